/* What the screen of chronos stats --watch shows. */
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUSIEST = 5, COMMAND_NAME = 32, LEVELS_MAX = 16 };

/* Two answers to INFO. */
typedef struct pair {
    const char *before, *now;
    double      seconds;
} pair;

typedef struct busy {
    char   name[COMMAND_NAME];
    double rate;
} busy;

/* How much a counter grew each second, or -1 if that is not known (yet): the server may be another one. */
static double rate(const pair *p, const char *name)
{
    if (!p->before || p->seconds <= 0) return -1;
    double grown = info_number(p->now, name) - info_number(p->before, name);
    return grown < 0 ? -1 : grown / p->seconds;
}

static bool append_rate(buf *to, const pair *p, const char *name, bool (*append)(buf *, double))
{
    double r = rate(p, name);
    if (r < 0) return buf_printf(to, "-");
    return append(to, r) && buf_printf(to, "/s");
}

static bool append_duration(buf *to, double seconds)
{
    unsigned long long s = (unsigned long long)seconds;
    if (s < 60) return buf_printf(to, "%llu s", s);
    if (s < 3600) return buf_printf(to, "%llu min %llu s", s / 60, s % 60);
    if (s < 86400) return buf_printf(to, "%llu h %llu min", s / 3600, s / 60 % 60);
    return buf_printf(to, "%llu d %llu h", s / 86400, s / 3600 % 24);
}

/* The word behind "NAME:" in INFO. */
static slice info_word(const char *info, const char *name)
{
    char        line[64];
    const char *at;
    snprintf(line, sizeof line, "\n%s:", name);
    if (!(at = strstr(info, line))) return chr_str("?");
    at += strlen(line);
    return chr_bytes(at, strcspn(at, "\r\n"));
}

static bool label(buf *to, const char *name) { return buf_printf(to, "%-15s", name); }

static bool put_head(buf *to, const peer_options *server, const pair *p)
{
    char address[300];
    if (strncmp(server->host, "unix:", 5) == 0)
        snprintf(address, sizeof address, "%s", server->host);
    else
        snprintf(address, sizeof address, "%s port %u", server->host, (unsigned)server->port);
    return buf_printf(to, "chronos ") && append_escaped(to, info_word(p->now, "chronos_version")) &&
           buf_printf(to, " at ") && append_escaped(to, chr_str(address)) && buf_printf(to, ", up ") &&
           append_duration(to, info_number(p->now, "uptime_in_seconds")) && buf_printf(to, "   (q ends)\n\n");
}

static bool put_load(buf *to, const pair *p)
{
    return label(to, "requests") && append_rate(to, p, "total_commands_processed", append_count) &&
           buf_printf(to, "   clients ") && append_count(to, info_number(p->now, "connected_clients")) &&
           buf_printf(to, "   new ") && append_rate(to, p, "total_connections_received", append_count) &&
           buf_printf(to, "\n") && label(to, "keys") && buf_printf(to, "about ") &&
           append_count(to, info_number(p->now, "keys_estimate")) && buf_printf(to, "\n") && label(to, "memory") &&
           append_size(to, info_number(p->now, "used_memory_rss")) && buf_printf(to, "   of it new writes ") &&
           append_size(to, info_number(p->now, "memtable_bytes")) && buf_printf(to, ", cache ") &&
           append_size(to, info_number(p->now, "cache_bytes")) && buf_printf(to, "\n");
}

static bool put_writes(buf *to, const pair *p)
{
    return label(to, "written") && append_rate(to, p, "user_bytes_written", append_size) && buf_printf(to, "   log ") &&
           append_rate(to, p, "wal_bytes", append_size) && buf_printf(to, "   flush ") &&
           append_rate(to, p, "flush_bytes", append_size) && buf_printf(to, "   compaction ") &&
           append_rate(to, p, "compaction_bytes_written", append_size) &&
           buf_printf(to, "\n%-15s%.2f since the start\n", "amplification",
                      info_number(p->now, "write_amplification")) &&
           label(to, "syncs") && append_rate(to, p, "wal_syncs", append_count) &&
           buf_printf(to, "   %.1f ms each\n", info_number(p->now, "wal_sync_us_mean") / 1000);
}

static bool put_cache(buf *to, const pair *p)
{
    double hits = rate(p, "cache_hits"), misses = rate(p, "cache_misses"), stalled = rate(p, "stall_us");
    bool   ok = label(to, "cache");
    if (hits < 0 || misses < 0 || hits + misses <= 0)
        ok = ok && buf_printf(to, "no reads of blocks\n");
    else
        ok = ok && buf_printf(to, "%.1f %% hits of ", 100 * hits / (hits + misses)) &&
             append_count(to, hits + misses) && buf_printf(to, " reads/s\n");
    ok = ok && label(to, "stalls");
    return ok && (stalled < 0 ? buf_printf(to, "-\n") : buf_printf(to, "writers waited %.0f ms/s\n", stalled / 1e3));
}

static bool put_levels(buf *to, const pair *p)
{
    bool ok = label(to, "on disk") && append_size(to, info_number(p->now, "disk_bytes")) && buf_printf(to, "\n");
    for (unsigned i = 0; i < LEVELS_MAX && ok; i++) {
        char               line[32];
        unsigned           files = 0;
        unsigned long long bytes = 0;
        snprintf(line, sizeof line, "\nlevel%u:", i);
        const char *at = strstr(p->now, line);
        if (!at || sscanf(at + strlen(line), "files=%u,bytes=%llu", &files, &bytes) != 2) continue;
        ok = buf_printf(to, "  level %-7u%u table%s, ", i, files, files == 1 ? "" : "s") &&
             append_size(to, (double)bytes) && buf_printf(to, "\n");
    }
    return ok;
}

static int by_rate(const void *a, const void *b)
{
    double x = ((const busy *)a)->rate, y = ((const busy *)b)->rate;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The commands that were called most often. Our own INFO is not among them. */
static bool put_busiest(buf *to, const pair *p)
{
    static const char mark[] = "\ncmdstat_";
    busy              found[512];
    size_t            n = 0;
    bool              ok = label(to, "commands");
    for (const char *at = p->now; (at = strstr(at, mark)) && n < sizeof found / sizeof *found;) {
        char        counter[COMMAND_NAME + sizeof mark];
        double      before = 0, calls = 0;
        const char *line, *name = at + sizeof mark - 1;
        at = name;
        snprintf(found[n].name, COMMAND_NAME, "%.*s", (int)strcspn(name, ":"), name);
        snprintf(counter, sizeof counter, "%s%s:", mark, found[n].name);
        if (p->before && (line = strstr(p->before, counter)))
            (void)sscanf(line + strlen(counter), "calls=%lf", &before);
        (void)sscanf(name + strcspn(name, ":"), ":calls=%lf", &calls);
        found[n].rate = p->before && p->seconds > 0 ? (calls - before) / p->seconds : 0;
        n += found[n].rate > 0 && strcmp(found[n].name, "info") != 0;
    }
    qsort(found, n, sizeof *found, by_rate);
    for (size_t i = 0; i < n && i < BUSIEST && ok; i++)
        ok = buf_printf(to, "%s%s ", i ? ", " : "", found[i].name) && append_count(to, found[i].rate) &&
             buf_printf(to, "/s");
    return ok && buf_printf(to, "%s\n", n ? "" : "none");
}

static bool put_trouble(buf *to, const pair *p)
{
    bool ok = true;
    if (info_number(p->now, "read_only") != 0)
        ok =
            buf_printf(to, "\nREAD-ONLY: ") && append_escaped(to, info_word(p->now, "failure")) && buf_printf(to, "\n");
    double damaged = info_number(p->now, "scrub_damaged");
    if (ok && damaged > 0)
        ok = buf_printf(to, "\nDAMAGED: %.0f table%s; 'chronos check' tells more\n", damaged, damaged == 1 ? "" : "s");
    return ok;
}

bool watch_frame(buf *to, const peer_options *server, const char *before, const char *now, double seconds)
{
    const pair p = { before, now, seconds };
    to->len = 0;
    return put_head(to, server, &p) && put_load(to, &p) && put_busiest(to, &p) && put_writes(to, &p) &&
           put_cache(to, &p) && put_levels(to, &p) && put_trouble(to, &p);
}
