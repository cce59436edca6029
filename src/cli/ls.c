#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/show.h"

#include <time.h>

static bool append_time(buf *line, int64_t seconds)
{
    char      text[32];
    struct tm tm;
    time_t    t = (time_t)seconds;
    if (!localtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        return buf_printf(line, "%20lld", (long long)seconds);
    return buf_printf(line, "  %s", text);
}

/* Permissions, size, time of change, time of expiry, as `ls -l` would. */
static bool append_details(buf *line, const object_meta *meta)
{
    char mode[] = "-rwxrwxrwx";
    for (unsigned i = 0; i < 9; i++)
        if (!(meta->mode & (0400u >> i))) mode[i + 1] = '-';
    if (S_ISLNK(meta->mode)) mode[0] = 'l';
    if (!buf_printf(line, "%s %10llu", mode, (unsigned long long)meta->size)) return false;
    if (!append_time(line, meta->mtime_ns / 1000000000)) return false;
    if (meta->expire_ms == 0) return buf_printf(line, "  %-19s  ", "never expires");
    return append_time(line, (int64_t)(meta->expire_ms / 1000)) && buf_append(line, "  ", 2);
}

/* Prints the key that `it` stands on: EXIT_DONE or EXIT_FAILED. */
static int print_key(store_iter *it, bool details, buf *line)
{
    line->len = 0;
    if (details) {
        const object_meta *meta = store_iter_meta(it);
        if (!meta) {
            (void)chr_iter_status(it);
            return complain("%s", chr_message());
        }
        if (!append_details(line, meta)) return complain("not enough memory");
    }
    if (!append_escaped(line, chr_iter_key(it)) || !buf_append_byte(line, '\n')) return complain("not enough memory");
    return EXIT_DONE;
}

static int print_keys(store_iter *it, bool details)
{
    enum { PRINT_BYTES = 32 * 1024 };
    buf line = { 0 }, page = { 0 };
    int status = EXIT_DONE;
    for (chr_iter_first(it); status == EXIT_DONE && chr_iter_valid(it); chr_iter_next(it)) {
        status = print_key(it, details, &line);
        if (status == EXIT_DONE && !buf_append_slice(&page, buf_slice(&line))) status = complain("not enough memory");
        if (page.len < PRINT_BYTES) continue;
        int printed = print_bytes(buf_slice(&page));
        if (status == EXIT_DONE) status = printed;
        page.len = 0;
    }
    int printed = print_bytes(buf_slice(&page));
    if (status == EXIT_DONE) status = printed;
    if (status == EXIT_DONE && !chr_ok(chr_iter_status(it))) status = complain("%s", chr_message());
    chr_buf_free(&line);
    chr_buf_free(&page);
    return status;
}

int ls_run(const command_values *values, size_t count, char **operand)
{
    slice           prefix = chr_str(count ? operand[0] : "");
    buf             end = { 0 };
    int             status;
    store          *s;
    store_snapshot *at;
    store_iter     *it;
    if (!offline_open(values->key.dir, false, "scan 0", &s)) return EXIT_FAILED;
    if (!offline_snapshot(s, values->key.snapshot, &at)) return offline_close(s, EXIT_FAILED);
    if (!buf_set_prefix_end(&end, prefix)) {
        status = complain("not enough memory");
    } else if (!chr_ok(store_iter_new(s, at, OBJECT_KEY, prefix, buf_slice(&end), &it))) {
        status = complain("%s", chr_message());
    } else {
        status = print_keys(it, values->key.details);
        chr_iter_free(it);
    }
    chr_snapshot_free(at);
    chr_buf_free(&end);
    return offline_close(s, status);
}
