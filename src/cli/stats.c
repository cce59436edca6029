#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/show.h"

int stats_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    (void)operand;
    buf    text = { 0 };
    store *s;
    if (!offline_open(values->key.dir, false, "info", &s)) return EXIT_FAILED;
    chr_status st     = chr_property(s, "stats", &text);
    int        status = chr_ok(st) ? print_bytes(buf_slice(&text)) : complain("%s", chr_message());
    chr_buf_free(&text);
    return offline_close(s, status);
}
