#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/show.h"
#include "cli/watch.h"

#include <inttypes.h>

/* What a closed store has to tell; the counters of a running one are all zero. */
static bool append_stats(buf *text, const chr_stats *stats)
{
    bool ok = buf_printf(text, "keys_estimate:%" PRIu64 "\ndisk_bytes:%" PRIu64 "\nmemtable_bytes:%" PRIu64 "\n",
                         stats->keys_estimate, stats->disk_bytes, stats->memtable_bytes);
    for (size_t i = 0; i < sizeof stats->level_files / sizeof *stats->level_files && ok; i++)
        if (stats->level_files[i])
            ok = buf_printf(text, "level%zu:files=%" PRIu32 ",bytes=%" PRIu64 "\n", i, stats->level_files[i],
                            stats->level_bytes[i]);
    return ok;
}

int stats_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    (void)operand;
    if (values->stats.watch) return watch_server(&values->stats.server);
    buf       text = { 0 };
    chr_stats stats;
    store    *s;
    if (!offline_open(values->stats.dir, false, "info", &s)) return EXIT_FAILED;
    chr_get_stats(s, &stats);
    int status = append_stats(&text, &stats) ? print_bytes(buf_slice(&text)) : complain("not enough memory");
    chr_buf_free(&text);
    return offline_close(s, status);
}
