#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/show.h"

#include <errno.h>
#include <unistd.h>

/* Stdin to its end. False: it has complained. */
static bool read_stdin(buf *value)
{
    enum { READ_BYTES = 64 * 1024 };
    for (;;) {
        if (!buf_reserve(value, READ_BYTES)) {
            complain("not enough memory for a value of more than %zu bytes", value->len);
            return false;
        }
        ssize_t n = read(STDIN_FILENO, value->data + value->len, READ_BYTES);
        if (n == 0) return true;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            complain("cannot read the value from stdin: %s", strerror(errno));
            return false;
        }
        value->len += (size_t)n;
        if (value->len > CHR_VALUE_MAX) {
            complain("a value has at most %u MiB, and stdin holds more", CHR_VALUE_MAX >> 20);
            return false;
        }
    }
}

int set_run(const command_values *values, size_t count, char **operand)
{
    int    status = EXIT_FAILED;
    slice  key = chr_str(operand[0]);
    buf    input = { 0 };
    slice  value = { 0 };
    store *s;
    /* Read before the store is opened, so that a slow pipe does not keep it locked. */
    if (count == 2 && strcmp(operand[1], "-") != 0)
        value = chr_str(operand[1]);
    else if (offline_key_fits(key) && read_stdin(&input))
        value = buf_slice(&input);
    else
        goto done;
    if (!offline_key_fits(key) || !offline_open(values->key.dir, true, "set KEY VALUE", &s)) goto done;
    chr_status st = chr_put(s, key, value);
    status = offline_close(s, chr_ok(st) ? EXIT_DONE : complain("%s", chr_message()));
done:
    chr_buf_free(&input);
    return status;
}
