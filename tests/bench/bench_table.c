/* What building, reading and walking one table costs.
 *
 *   bench_table [ENTRIES] [VALUE_BYTES]
 *
 * Keys are 16 bytes, values half random. Reads are warm: the file is in the page cache, and the block cache holds all
 * of it, except where the line says otherwise. */
#include "base/hash.h"
#include "engine/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { READS = 1000000, FILE_NO = 1 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void need(chr_status st)
{
    if (st == CHR_OK) return;
    fprintf(stderr, "bench_table: %s\n", chr_message());
    exit(1);
}

static uint64_t random_state = 42;
static uint64_t next_random(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Even numbers are in the table, odd ones are not. */
static slice key_of(char key[32], uint64_t n)
{
    for (int i = 15; i >= 0; i--, n /= 10) key[i] = (char)('0' + n % 10);
    return chr_bytes(key, 16);
}

static uint64_t build(const char *path, uint64_t entries, size_t value_len, chr_compression codec)
{
    table_options  options = { 8192, 10, codec };
    char          *value = malloc(value_len + 1);
    env_file      *file;
    table_builder *b;
    table_info     info;
    if (!value) exit(1);
    need(env_open(env_posix(), path, ENV_CREATE, &file));
    need(table_builder_new(file, FILE_NO, &options, &b));
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < entries; i++) {
        char key[32];
        for (size_t k = 0; k < value_len; k++) value[k] = 'v';
        for (size_t k = 0; k + 8 <= value_len / 2; k += 8) put_u64(value + k, next_random());
        need(table_builder_add(b, key_of(key, 2 * i), trailer_of(1 + (i * 7919) % entries, KIND_PUT),
                               chr_bytes(value, value_len)));
    }
    need(table_builder_finish(b, &info));
    uint64_t ns = now_ns() - start;
    printf("  build            %8.1f MB/s of keys and values, %.1f ns per entry, file %.1f %% of them\n",
           (double)info.raw_bytes * 1e3 / (double)ns, (double)ns / (double)entries,
           100.0 * (double)info.file_bytes / (double)info.raw_bytes);
    uint64_t bytes = info.file_bytes;
    table_info_free(&info);
    table_builder_free(b);
    env_close(file);
    free(value);
    return bytes;
}

static table *open_table(const char *path, cache *c)
{
    env_file *file;
    table    *t;
    need(env_open(env_posix(), path, ENV_READ, &file));
    need(table_open(file, FILE_NO, c, &t));
    return t;
}

static void gets(table *t, cache *c, uint64_t entries, uint64_t odd, size_t reads, const char *what)
{
    uint64_t found = 0, start = now_ns();
    for (size_t i = 0; i < reads; i++) {
        char          key[32];
        entry         e;
        cache_handle *pin;
        slice         wanted = key_of(key, 2 * (next_random() % entries) + odd);
        if (table_get(t, wanted, hash64(wanted), SEQ_MAX, &e, &pin) != CHR_OK) continue;
        found += (uint8_t)e.value.data[0] | 1; /* touches the value */
        cache_release(c, pin);
    }
    printf("  %-16s %8.1f ns%s\n", what, (double)(now_ns() - start) / (double)reads,
           (found > 0) == odd ? "  (wrong!)" : "");
}

static void walk(table *t, table_access access, bool back, const char *what)
{
    iter    *it = table_iter_new(t, access);
    uint64_t n = 0, bytes = 0, start = now_ns();
    if (!it) exit(1);
    for (back ? iter_last(it) : iter_first(it); it->valid; back ? iter_prev(it) : iter_next(it)) {
        n++;
        bytes += it->at.key.len + it->at.value.len;
    }
    uint64_t ns = now_ns() - start;
    need(it->status);
    printf("  %-16s %8.1f ns per entry, %.0f MB/s\n", what, (double)ns / (double)n, (double)bytes * 1e3 / (double)ns);
    iter_free(it);
}

static void seeks(table *t, uint64_t entries)
{
    iter    *it = table_iter_new(t, TABLE_CACHED);
    uint64_t start = now_ns();
    char     key[32];
    if (!it) exit(1);
    for (size_t i = 0; i < READS; i++)
        iter_seek(it, key_of(key, next_random() % (2 * entries - 1)), seek_trailer(SEQ_MAX));
    printf("  %-16s %8.1f ns\n", "seek", (double)(now_ns() - start) / READS);
    iter_free(it);
}

int main(int argc, char **argv)
{
    static const char *const codecs[] = { "none", "lz4", "zstd" };
    uint64_t                 entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
    size_t                   value_len = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    const char              *tmp = getenv("TMPDIR");
    char                     path[256];
    if (entries == 0 || value_len == 0) return 2;
    snprintf(path, sizeof path, "%s/bench-table-%d", tmp ? tmp : "/tmp", (int)getpid());
    for (int codec = CHR_COMPRESS_NONE; codec <= CHR_COMPRESS_ZSTD; codec++) {
        printf("%s, %" PRIu64 " entries, values of %zu bytes\n", codecs[codec], entries, value_len);
        uint64_t bytes = build(path, entries, value_len, (chr_compression)codec);
        cache   *c = cache_new(4 * bytes + (64 << 20)), *none = cache_new(0);
        if (!c || !none) return 1;
        table *t = open_table(path, c), *uncached = open_table(path, none);
        printf("  memory           %8.2f bytes per entry for filter and index\n",
               (double)table_memory(t) / (double)entries);
        walk(t, TABLE_SEQUENTIAL, false, "next, sequential");
        walk(t, TABLE_CACHED, false, "next, cold");
        walk(t, TABLE_CACHED, false, "next");
        walk(t, TABLE_CACHED, true, "prev");
        seeks(t, entries);
        gets(t, c, entries, 0, READS, "get");
        gets(t, c, entries, 1, READS, "get, absent");
        gets(uncached, none, entries, 0, READS / 10, "get, no cache");
        table_free(t);
        table_free(uncached);
        cache_free(c);
        cache_free(none);
    }
    return unlink(path) == 0 ? 0 : 1;
}
