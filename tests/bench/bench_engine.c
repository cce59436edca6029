/* The same work through libchronos and through librocksdb, in turn, in one run: medians of ROUNDS, as a table.
 *
 * usage: bench_engine [ENTRIES] [ROUNDS]     entries of 16-byte keys and 100-byte values, half compressible
 * Both: lz4, 64 MiB memtable, 10-bit filters, 1 GiB cache, log on, checksums verified. */
#include "chronos.h"

#include <rocksdb/c.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { KEY_BYTES = 16, VALUE_BYTES = 100, ROUNDS_MAX = 15, READ_THREADS = 2 };

static uint64_t entries;
static char     base[256];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, why);
    exit(1);
}

/* ---- the two stores behind one face ---- */

typedef struct engine {
    const char *name;
    void *(*open)(const char *dir, bool sync);
    void (*close)(void *store);
    void (*put)(void *store, const char *key, const char *value);
    bool (*get)(void *store, const char *key);
    uint64_t (*scan)(void *store); /* entries seen */
    void (*settle)(void *store);   /* memtables to disk */
} engine;

static void *chr_bench_open(const char *dir, bool sync)
{
    chr_options o = chr_options_default();
    chr_store  *s;
    o.sync = sync ? CHR_SYNC_ALWAYS : CHR_SYNC_NONE;
    o.memtable_bytes = 64u << 20;
    o.cache_bytes = 1u << 30;
    if (chr_open(dir, &o, &s) != CHR_OK) die("open", chr_message());
    return s;
}
static void chr_bench_close(void *s)
{
    if (chr_close(s) != CHR_OK) die("close", chr_message());
}
static void chr_bench_put(void *s, const char *key, const char *value)
{
    if (chr_put(s, chr_bytes(key, KEY_BYTES), chr_bytes(value, VALUE_BYTES)) != CHR_OK) die("put", chr_message());
}
static bool chr_bench_get(void *s, const char *key)
{
    static _Thread_local chr_buf value;
    chr_status                   st = chr_get(s, chr_bytes(key, KEY_BYTES), &value);
    if (st != CHR_OK && st != CHR_NOT_FOUND) die("get", chr_message());
    return st == CHR_OK && value.len == VALUE_BYTES;
}
static uint64_t chr_bench_scan(void *s)
{
    chr_iter *it;
    uint64_t  n = 0;
    if (chr_iter_new(s, NULL, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it) != CHR_OK) die("scan", chr_message());
    for (chr_iter_first(it); chr_iter_valid(it); chr_iter_next(it)) {
        chr_slice value;
        if (chr_iter_value(it, &value) != CHR_OK) die("scan", chr_message());
        n += value.len == VALUE_BYTES;
    }
    chr_iter_free(it);
    return n;
}
static void chr_bench_settle(void *s)
{
    if (chr_flush(s) != CHR_OK) die("flush", chr_message());
}

typedef struct rocks {
    rocksdb_t              *db;
    rocksdb_options_t      *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t  *read;
} rocks;

static void check(char *error)
{
    if (error) die("rocksdb", error);
}
static void *rocks_open(const char *dir, bool sync)
{
    rocks *r = calloc(1, sizeof *r);
    char  *error = NULL;
    if (!r) die("open", "no memory");
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    r->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(r->options, 1);
    rocksdb_options_set_write_buffer_size(r->options, 64u << 20);
    rocksdb_options_set_max_write_buffer_number(r->options, 4);
    rocksdb_options_set_compression(r->options, rocksdb_lz4_compression);
    rocksdb_options_set_max_background_jobs(r->options, 2);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_block_cache(t, rocksdb_cache_create_lru(1u << 30));
    rocksdb_block_based_options_set_block_size(t, 8192);
    rocksdb_options_set_block_based_table_factory(r->options, t);
    r->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->write, sync);
    r->read = rocksdb_readoptions_create();
    r->db = rocksdb_open(r->options, dir, &error);
    check(error);
    return r;
}
static void rocks_close(void *store)
{
    rocks *r = store;
    rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->write);
    rocksdb_readoptions_destroy(r->read);
    free(r);
}
static void rocks_put(void *store, const char *key, const char *value)
{
    rocks *r = store;
    char  *error = NULL;
    rocksdb_put(r->db, r->write, key, KEY_BYTES, value, VALUE_BYTES, &error);
    check(error);
}
static bool rocks_get(void *store, const char *key)
{
    rocks                   *r = store;
    char                    *error = NULL;
    size_t                   len = 0;
    rocksdb_pinnableslice_t *p = rocksdb_get_pinned(r->db, r->read, key, KEY_BYTES, &error);
    check(error);
    if (p) rocksdb_pinnableslice_value(p, &len);
    rocksdb_pinnableslice_destroy(p);
    return len == VALUE_BYTES;
}
static uint64_t rocks_scan(void *store)
{
    rocks              *r = store;
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, r->read);
    uint64_t            n = 0;
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t len;
        rocksdb_iter_value(it, &len);
        n += len == VALUE_BYTES;
    }
    rocksdb_iter_destroy(it);
    return n;
}
static void rocks_settle(void *store)
{
    rocks                  *r = store;
    char                   *error = NULL;
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    rocksdb_flush(r->db, f, &error);
    rocksdb_flushoptions_destroy(f);
    check(error);
}

static const engine engines[2] = {
    { "chronos", chr_bench_open, chr_bench_close, chr_bench_put, chr_bench_get, chr_bench_scan, chr_bench_settle },
    { "rocksdb", rocks_open, rocks_close, rocks_put, rocks_get, rocks_scan, rocks_settle },
};

/* ---- workloads ---- */

static uint64_t scramble(uint64_t i)
{
    i = (i ^ i >> 31) * UINT64_C(0x7fb5d329728ea185);
    i = (i ^ i >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return i ^ i >> 33;
}
static void key_of(char *to, uint64_t i)
{
    char text[32];
    snprintf(text, sizeof text, "%016llu", (unsigned long long)i);
    memcpy(to, text, KEY_BYTES);
}
static void value_of(char *to, uint64_t i)
{
    for (size_t k = 0; k < VALUE_BYTES / 2; k += 8) {
        uint64_t r = scramble(i + k);
        memcpy(to + k, &r, k + 8 <= VALUE_BYTES / 2 ? 8 : VALUE_BYTES / 2 - k);
    }
    memset(to + VALUE_BYTES / 2, 'c', VALUE_BYTES - VALUE_BYTES / 2);
}

typedef enum work { FILLSEQ, FILLRANDOM, FILLSYNC, READRANDOM, READMISSING, READSEQ, WORKS } work;
static const char *const work_names[WORKS] = { "fillseq",       "fillrandom",  "fillsync",
                                               "readrandom x2", "readmissing", "readseq" };
enum { SYNC_ENTRIES = 3000 };

typedef struct reader_arg {
    const engine *e;
    void         *store;
    uint64_t      n, seed;
    bool          missing;
} reader_arg;
static void *read_some(void *arg)
{
    const reader_arg *a = arg;
    for (uint64_t i = 0; i < a->n; i++) {
        char     key[KEY_BYTES];
        uint64_t k = scramble(i * 2 + a->seed) % entries;
        key_of(key, k);
        if (a->missing) key[0] = 'x';
        if (a->e->get(a->store, key) == a->missing)
            die("read", a->missing ? "a key that was never written" : "a key is missing");
    }
    return NULL;
}

static uint64_t run(const engine *e, void *store, work w)
{
    char key[KEY_BYTES], value[VALUE_BYTES];
    switch (w) {
    case FILLSEQ:
    case FILLRANDOM:
        for (uint64_t i = 0; i < entries; i++) {
            key_of(key, w == FILLSEQ ? i : scramble(i) % entries);
            value_of(value, i);
            e->put(store, key, value);
        }
        return entries;
    case FILLSYNC:
        for (uint64_t i = 0; i < SYNC_ENTRIES; i++) {
            key_of(key, scramble(i) % entries);
            value_of(value, i);
            e->put(store, key, value);
        }
        return SYNC_ENTRIES;
    case READRANDOM:
    case READMISSING: {
        pthread_t  threads[READ_THREADS];
        reader_arg args[READ_THREADS];
        uint64_t   each = entries / READ_THREADS;
        for (uint64_t i = 0; i < READ_THREADS; i++) {
            args[i] = (reader_arg){ e, store, each, i, w == READMISSING };
            if (pthread_create(&threads[i], NULL, read_some, &args[i]) != 0) die("thread", "cannot start one");
        }
        for (int i = 0; i < READ_THREADS; i++) pthread_join(threads[i], NULL);
        return each * READ_THREADS;
    }
    case READSEQ: {
        uint64_t n = e->scan(store);
        if (n != entries) die("scan", "it did not see every entry");
        return n;
    }
    case WORKS: break;
    }
    return 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *x; (x = readdir(d));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", dir, x->d_name);
        if (x->d_name[0] != '.') unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

static double rate[WORKS][2][ROUNDS_MAX], cpu[WORKS][2][ROUNDS_MAX];

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void measure(const engine *e, int which, int round, work w, void *store)
{
    double   wall = seconds(), used = cpu_seconds();
    uint64_t n = run(e, store, w);
    rate[w][which][round] = (double)n / (seconds() - wall);
    cpu[w][which][round] = (cpu_seconds() - used) * 1e6 / (double)n;
}

int main(int argc, char **argv)
{
    entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    int         rounds = argc > 2 ? atoi(argv[2]) : 3;
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/chronos-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (entries < 1000 || rounds < 1 || rounds > ROUNDS_MAX || !mkdtemp(base))
        die("usage", "bench_engine [ENTRIES >= 1000] [ROUNDS 1..15]");

    for (int round = 0; round < rounds; round++)
        for (int k = 0; k < 2; k++) {
            int           which = (k + round) % 2; /* neither always goes first */
            const engine *e = &engines[which];
            char          dir[300];
            void         *store;
            snprintf(dir, sizeof dir, "%s/%s", base, e->name);
            for (work w = FILLSYNC; w != WORKS; w = w == FILLSYNC ? FILLRANDOM : w == FILLRANDOM ? FILLSEQ : WORKS) {
                store = e->open(dir, w == FILLSYNC);
                measure(e, which, round, w, store);
                if (w == FILLSEQ) {
                    e->settle(store);
                    for (work r = READRANDOM; r < WORKS; r++) measure(e, which, round, r, store);
                }
                e->close(store);
                remove_dir(dir);
            }
        }
    rmdir(base);

    printf("%llu entries, %d rounds, medians\n%-14s %12s %12s %7s %14s %14s %7s\n", (unsigned long long)entries, rounds,
           "workload", "chronos/s", "rocksdb/s", "ratio", "chronos us CPU", "rocksdb us CPU", "ratio");
    for (work w = 0; w < WORKS; w++) {
        double a = median(rate[w][0], rounds), b = median(rate[w][1], rounds);
        double x = median(cpu[w][0], rounds), y = median(cpu[w][1], rounds);
        printf("%-14s %12.0f %12.0f %7.2f %14.3f %14.3f %7.2f\n", work_names[w], a, b, a / b, x, y, x / y);
    }
    return 0;
}
