/* What keeping big values apart from their keys is worth: fills a store with values of one size, overwrites keys at random, reads some,
 * for several thresholds (0: all values stay in tables), and prints rates, bytes written to files for each byte put, and the space
 * taken for each live byte. Values do not shrink by packing.
 *
 * usage: bench_values [VALUE_BYTES [LIVE_MIB [TIMES_OVERWRITTEN [THRESHOLD ...]]]] */
#include "engine/db.h"
#include "tests/bench/stores.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { POOL_BYTES = 8 << 20, SAMPLE_EVERY_BYTES = 8 << 20, READS = 20000 };

static char    *pool;
static size_t   value_bytes = 64 << 10;
static uint64_t keys;

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_values: %s: %s\n", what, why);
    exit(1);
}

static double seconds(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* By this process, through write(2) and the like: the page cache counts, so it is what the engine asked for. */
static uint64_t bytes_written(void)
{
    uint64_t bytes = 0;
    FILE    *f = fopen("/proc/self/io", "r");
    char     line[128];
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "wchar: ", 7) == 0) bytes = strtoull(line + 7, NULL, 10);
    if (f) fclose(f);
    return bytes;
}

/* Tables and blob files, those that are about to be removed included. */
static uint64_t bytes_on_disk(const char *dir)
{
    uint64_t       bytes = 0;
    DIR           *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char        path[512];
        const char *dot = strrchr(e->d_name, '.');
        struct stat s;
        if (!dot || (strcmp(dot, ".sst") != 0 && strcmp(dot, ".blob") != 0)) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (stat(path, &s) == 0) bytes += (uint64_t)s.st_size;
    }
    if (d) closedir(d);
    return bytes;
}

static void put(db *d, uint64_t key, uint64_t nth)
{
    static batch b;
    char         name[KEY_BYTES];
    key_of(name, key);
    batch_clear(&b);
    slice value = chr_bytes(pool + scramble(nth) % (POOL_BYTES - value_bytes), value_bytes);
    if (batch_put(&b, chr_bytes(name, KEY_BYTES), value) != CHR_OK || db_apply(d, &b, NULL) != CHR_OK)
        die("put", chr_message());
}

static uint64_t highest; /* bytes on disk seen while writing */

static void write_all(db *d, const char *what, uint64_t n, bool at_random)
{
    double   begin = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), took;
    uint64_t before = bytes_written();
    highest = 0;
    for (uint64_t i = 0; i < n; i++) {
        put(d, at_random ? scramble(i) % keys : i, i + at_random * keys);
        if (i % (SAMPLE_EVERY_BYTES / value_bytes + 1) != 0) continue;
        uint64_t now = bytes_on_disk(db_dir(d));
        if (now > highest) highest = now;
    }
    if (db_flush(d) != CHR_OK) die("flush", chr_message());
    took = seconds(CLOCK_MONOTONIC) - begin;
    printf("  %-10s %9.0f puts/s  %7.1f MB/s  %5.1f us CPU/put  %5.2f bytes written per byte", what, (double)n / took,
           (double)n * (double)value_bytes / took / 1e6, (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)n,
           (double)(bytes_written() - before) / ((double)n * (double)value_bytes));
}

static void count(void *arg, slice value) { *(uint64_t *)arg += value.len; }

static void measure(size_t threshold, uint64_t overwrites)
{
    const char *tmp = getenv("TMPDIR");
    char        dir[256], command[300];
    db_options  o = { .env = env_posix(), .chr = chr_options_default() };
    db         *d;
    double      live = (double)keys * (double)value_bytes;
    snprintf(dir, sizeof dir, "%s/bench-values-%d", tmp ? tmp : "/tmp", (int)getpid());
    o.dir = dir;
    o.chr.sync = CHR_SYNC_NONE;
    o.chr.blob_bytes = threshold;
    if (db_open(&o, &d) != CHR_OK) die("open", chr_message());
    printf("threshold %zu\n", threshold);
    write_all(d, "fill", keys, false);
    printf("\n");
    write_all(d, "overwrite", overwrites, true);
    chr_stats stats;
    db_get_stats(d, &stats);
    printf("  space: highest %.2f, at the end %.2f of live (%u blob files, %" PRIu64 " compactions)\n",
           (double)highest / live, (double)stats.disk_bytes / live, stats.blob_files, stats.compactions);
    double   begin = seconds(CLOCK_MONOTONIC);
    uint64_t read = 0;
    for (uint64_t i = 0; i < READS; i++) {
        char name[KEY_BYTES];
        key_of(name, scramble(i + 7) % keys);
        if (db_get(d, NULL, chr_bytes(name, KEY_BYTES), count, &read, NULL) != CHR_OK) die("get", chr_message());
    }
    printf("  %-10s %9.0f gets/s\n", "read", READS / (seconds(CLOCK_MONOTONIC) - begin));
    if (db_close(d) != CHR_OK) die("close", chr_message());
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) die("remove", dir);
}

int main(int argc, char **argv)
{
    uint64_t mib = 1024, times = 4;
    if (argc > 1) value_bytes = (size_t)strtoull(argv[1], NULL, 10);
    if (argc > 2) mib = strtoull(argv[2], NULL, 10);
    if (argc > 3) times = strtoull(argv[3], NULL, 10);
    if (value_bytes == 0 || value_bytes > ENGINE_VALUE_MAX) die("start", "VALUE_BYTES must be 1 to 1048576");
    if (!(pool = malloc(POOL_BYTES))) die("start", "no memory");
    for (size_t i = 0; i < POOL_BYTES; i += 8) put_u64(pool + i, scramble(i + 1) * UINT64_C(0x9e3779b97f4a7c15));
    keys = (mib << 20) / value_bytes;
    printf("%" PRIu64 " values of %zu bytes, overwritten %" PRIu64 " times over\n", keys, value_bytes, times);
    if (argc <= 4) {
        measure(0, times * keys);
        measure(chr_options_default().blob_bytes, times * keys);
    }
    for (int i = 4; i < argc; i++) measure((size_t)strtoull(argv[i], NULL, 10), times * keys);
    free(pool);
    return 0;
}
