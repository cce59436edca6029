#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/show.h"

#include <unistd.h>

int get_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    slice           key = chr_str(operand[0]);
    buf             value = { 0 };
    store          *s;
    store_snapshot *at;
    if (!offline_key_fits(key) || !offline_open(values->key.dir, false, "get KEY", &s)) return EXIT_FAILED;

    if (!offline_snapshot(s, values->key.snapshot, &at)) return offline_close(s, EXIT_FAILED);
    int        status;
    chr_status st = chr_get_at(s, at, key, &value);
    if (st == CHR_NOT_FOUND) {
        complain("there is no key '%s'", operand[0]);
        status = EXIT_NEGATIVE;
    } else if (!chr_ok(st)) {
        status = complain("%s", chr_message());
    } else {
        status = print_bytes(buf_slice(&value));
        if (status == EXIT_DONE && isatty(STDOUT_FILENO)) status = print_bytes(chr_str("\n"));
    }
    chr_snapshot_free(at);
    chr_buf_free(&value);
    return offline_close(s, status);
}
