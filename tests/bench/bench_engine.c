/* The same work through Chronos, RocksDB and LevelDB, in turn, in one run; medians of the rounds, as a table.
 *
 * usage: bench_engine [ENTRIES [ROUNDS [WORKLOAD ...]]]    a workload is wanted if its name contains a WORKLOAD
 *
 * Entries have 16-byte keys and 100-byte values, half compressible. All stores: LZ4 (LevelDB: Snappy), 64 MiB memtable,
 * 10-bit filters, 1 GiB cache unless the workload says otherwise, log on, checksums verified.
 *
 * Every workload runs in a process of its own, so that CPU time (of all threads, background work included until the store has
 * come to rest), memory and bytes written are the store's alone. "idle": the process has used next to no CPU for a while. */
#include "stores.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    VALUE_BYTES = 100,
    BIG_BYTES = 65536,
    BIG_SHARE = 400, /* one big value for so many entries */
    POOL_BYTES = 1 << 20,
    ROUNDS_MAX = 15,
    THREADS_MAX = 16,
    READERS = 2,
    SCAN_STEPS = 10,
    SYNCS = 4000, /* by one thread; sixteen make four times as many */
    PACED_WRITES_PER_S = 20000,
    LOG_BYTES_PER_ENTRY = 150, /* about */
    IDLE_MS = 300,
};

static uint64_t entries;
static char     base[256];
static char    *pool; /* where values come from */

/* ---- time ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}
/* Waits for background work; returns the seconds it waited for nothing. */
static double wait_until_idle(void)
{
    for (;;) {
        double used = cpu_seconds();
        sleep_ms(IDLE_MS);
        if (cpu_seconds() - used < 0.02 * IDLE_MS / 1000) return IDLE_MS / 1000.0;
    }
}

/* ---- keys and values ---- */

static void make_pool(void)
{
    if (!(pool = malloc(POOL_BYTES + BIG_BYTES))) die("start", "no memory");
    memset(pool, 'c', POOL_BYTES + BIG_BYTES);
    for (size_t at = 0; at + VALUE_BYTES <= POOL_BYTES + BIG_BYTES; at += VALUE_BYTES)
        for (size_t k = 0; k < VALUE_BYTES / 2; k++) pool[at + k] = (char)scramble(at + k);
}
static const char *value_of(uint64_t i) { return pool + i * VALUE_BYTES % POOL_BYTES; }

/* ---- workloads ---- */

typedef struct run_state {
    const store_face *face;
    void             *store;
    uint64_t          seed;
    uint64_t          ops;
} run_state;

typedef struct part {
    const run_state *r;
    uint64_t         n, first;
    bool             missing;
    uint64_t         done;
} part;

static void put(const run_state *r, uint64_t key, uint64_t value)
{
    char k[KEY_BYTES];
    key_of(k, key);
    r->face->put(r->store, k, value_of(value), VALUE_BYTES);
}

static void fill_in_order(run_state *r)
{
    for (uint64_t i = 0; i < entries; i++) put(r, i, i);
    r->ops = entries;
}
static void fill_at_random(run_state *r)
{
    for (uint64_t i = 0; i < entries; i++) put(r, scramble(i + r->seed) % entries, i);
    r->ops = entries;
}

static void in_threads(run_state *r, int threads, void *(*work)(void *), uint64_t n, bool missing)
{
    pthread_t ids[THREADS_MAX];
    part      parts[THREADS_MAX];
    for (int i = 0; i < threads; i++) {
        parts[i] = (part){ r, n / (uint64_t)threads, (uint64_t)i * UINT64_C(0x9e3779b9) + r->seed, missing, 0 };
        if (pthread_create(&ids[i], NULL, work, &parts[i]) != 0) die("thread", "cannot start one");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        r->ops += parts[i].n;
    }
}
static void *write_part(void *arg)
{
    part *p = arg;
    for (uint64_t i = 0; i < p->n; i++) put(p->r, scramble(i + p->first) % entries, i);
    return NULL;
}
static void sync_one(run_state *r) { in_threads(r, 1, write_part, SYNCS, false); }
static void sync_many(run_state *r) { in_threads(r, 16, write_part, 4 * SYNCS, false); }

static void *read_part(void *arg)
{
    part *p = arg;
    char  key[KEY_BYTES];
    for (uint64_t i = 0; i < p->n; i++) {
        key_of(key, scramble(i + p->first) % entries);
        if (p->missing) key[KEY_BYTES - 1] = 'x';
        size_t len = p->r->face->get(p->r->store, key);
        if (p->missing && len) die("read", "found a key that was never written");
        p->done += len == VALUE_BYTES;
    }
    /* Keys were drawn at random, so about 1/e of them were never written. */
    if (!p->missing && p->done < p->n / 2) die("read", "too few keys are there");
    return NULL;
}
static void read_random(run_state *r) { in_threads(r, READERS, read_part, entries, false); }
static void read_missing(run_state *r) { in_threads(r, READERS, read_part, entries, true); }

static atomic_bool stop_writing;
static void       *write_paced(void *arg)
{
    const run_state *r = arg;
    double           begin = seconds();
    for (uint64_t i = 0; !stop_writing; i++) {
        put(r, scramble(i * 3 + r->seed) % entries, i);
        if (i % 20 == 0 && seconds() - begin < (double)i / PACED_WRITES_PER_S) sleep_ms(1);
    }
    return NULL;
}
static void read_while_writing(run_state *r)
{
    pthread_t writer;
    stop_writing = false;
    if (pthread_create(&writer, NULL, write_paced, r) != 0) die("thread", "cannot start one");
    read_random(r);
    stop_writing = true;
    pthread_join(writer, NULL);
}

static void scan(run_state *r, void (*begin)(void *), void (*step)(void *))
{
    void  *c = r->face->cursor(r->store);
    size_t len;
    for (begin(c); r->face->entry(c, &len); step(c)) r->ops += len == VALUE_BYTES;
    r->face->cursor_free(c);
    if (r->ops < entries / 2) die("scan", "it did not see every entry");
}
static void scan_forward(run_state *r) { scan(r, r->face->first, r->face->next); }
static void scan_backward(run_state *r) { scan(r, r->face->last, r->face->prev); }

static void seek_random(run_state *r)
{
    char     key[KEY_BYTES];
    void    *c = r->face->cursor(r->store);
    size_t   len;
    uint64_t seen = 0;
    r->ops = entries / 4;
    for (uint64_t i = 0; i < r->ops; i++) {
        key_of(key, scramble(i * 5 + r->seed) % entries);
        r->face->seek(c, key);
        for (int k = 0; k < SCAN_STEPS && r->face->entry(c, &len); k++) {
            seen += len == VALUE_BYTES;
            r->face->next(c);
        }
    }
    r->face->cursor_free(c);
    if (seen < r->ops * SCAN_STEPS * 9 / 10) die("seek", "it did not see every entry");
}

static void fill_big(run_state *r)
{
    char key[KEY_BYTES];
    for (uint64_t i = 0; i < entries / BIG_SHARE; i++) {
        key_of(key, scramble(i) % entries);
        r->face->put(r->store, key, pool + i * 4096 % POOL_BYTES, BIG_BYTES);
    }
    r->ops = entries / BIG_SHARE;
}
static void read_big(run_state *r)
{
    char key[KEY_BYTES];
    for (uint64_t i = 0; i < entries / BIG_SHARE; i++) {
        key_of(key, scramble(i) % entries);
        if (r->face->get(r->store, key) != BIG_BYTES) die("read", "a big value is not there");
    }
    r->ops = entries / BIG_SHARE;
}

/* The work is what opening does with the log that a killed process has left. */
static void leave_log(run_state *r)
{
    fill_at_random(r);
    _exit(0);
}
static void nothing(run_state *r) { r->ops = 1; }

/* What a disk can do: the bytes of a small record, again and again, over blocks that exist. */
static void bare_sync(run_state *r)
{
    char path[300], record[128] = { 1 };
    snprintf(path, sizeof path, "%s/bare", base);
    int   fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char *zeros = calloc(1, POOL_BYTES);
    if (fd < 0 || !zeros || pwrite(fd, zeros, POOL_BYTES, 0) != POOL_BYTES || fsync(fd) != 0)
        die("bare loop", "cannot write");
    double begin = seconds();
    for (uint64_t i = 0; i < SYNCS; i++)
        if (pwrite(fd, record, sizeof record, (off_t)(i * sizeof record)) < 0 || fdatasync(fd) != 0)
            die("bare loop", "cannot write");
    r->ops = (uint64_t)((double)SYNCS / (seconds() - begin));
    close(fd);
    free(zeros);
    unlink(path);
}

typedef struct workload {
    const char *name;
    const char *dir;   /* of the store; workloads with the same one follow each other */
    bool        fresh; /* the directory is emptied first */
    bool        sync;
    bool        small_cache; /* 5 % of the data instead of 1 GiB */
    bool        warm;        /* reads everything first */
    bool        settle;      /* the time is measured until the store has come to rest */
    void (*work)(run_state *r);
    double must, cpu_must; /* ratios to RocksDB that we hold ourselves to; 0: none */
} workload;

static const workload workloads[] = {
    { "fillsync", "sync", .fresh = true, .sync = true, .work = sync_one, .must = 1.25, .cpu_must = 0.7 },
    { "fillsync x16", "sync", .fresh = true, .sync = true, .work = sync_many, .must = 2.5, .cpu_must = 0.7 },
    { "fillseq", "seq", .fresh = true, .work = fill_in_order, .must = 2.5, .cpu_must = 0.5 },
    { "fillrandom", "random", .fresh = true, .work = fill_at_random, .must = 2, .cpu_must = 0.5 },
    { "overwrite", "random", .settle = true, .work = fill_at_random, .must = 2, .cpu_must = 0.5 },
    { "readrandom x2", "random", .warm = true, .work = read_random, .must = 2.5, .cpu_must = 0.5 },
    { "  cache 5 %", "random", .warm = true, .small_cache = true, .work = read_random, .must = 1.3, .cpu_must = 0.5 },
    { "readmissing x2", "random", .warm = true, .work = read_missing, .must = 2.5, .cpu_must = 0.5 },
    { "readseq", "random", .warm = true, .work = scan_forward, .must = 1.3, .cpu_must = 0.5 },
    { "readreverse", "random", .warm = true, .work = scan_backward, .must = 1.3, .cpu_must = 0.5 },
    { "seek + 10 next", "random", .warm = true, .work = seek_random, .must = 1.8, .cpu_must = 0.5 },
    { "read x2 + write", "random", .warm = true, .work = read_while_writing, .must = 2.5, .cpu_must = 0.5 },
    { "fill 64 KiB", "big", .fresh = true, .work = fill_big, .must = 1.5, .cpu_must = 0.5 },
    { "read 64 KiB", "big", .work = read_big, .must = 1.5, .cpu_must = 0.5 },
    { "open after kill", "log", .fresh = true, .work = nothing, .must = 1.5, .cpu_must = 0.5 },
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads };

/* ---- running one in a process of its own ---- */

typedef struct result {
    double rate, cpu_us, peak_mib, written_per_byte, disk_mib;
} result;

static void remove_dir(const char *dir)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) die("cannot remove", dir); // NOLINT(cert-env33-c): the name is our own
}
static uint64_t dir_bytes(const char *dir)
{
    uint64_t bytes = 0;
    DIR     *d = opendir(dir);
    if (!d) return 0;
    for (const struct dirent *x; (x = readdir(d));) {
        char        path[700];
        struct stat s;
        snprintf(path, sizeof path, "%s/%s", dir, x->d_name);
        if (stat(path, &s) == 0 && S_ISREG(s.st_mode)) bytes += (uint64_t)s.st_blocks * 512;
    }
    closedir(d);
    return bytes;
}
static uint64_t bytes_written(void)
{
    char               line[80];
    unsigned long long n = 0;
    FILE              *f = fopen("/proc/self/io", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "write_bytes: %llu", &n) == 1) break;
    if (f) fclose(f);
    return n;
}

static result measure(const workload *w, const store_face *face, const char *dir, uint64_t seed)
{
    store_settings settings = { .sync = w->sync, .cache_bytes = 1u << 30, .memtable_bytes = 64u << 20 };
    if (w->small_cache) settings.cache_bytes = (size_t)(entries * (KEY_BYTES + VALUE_BYTES) / 20);
    run_state r = { .face = face, .seed = seed };
    uint64_t  written = bytes_written();
    double    used = cpu_seconds(), begin = seconds();
    r.store = face->open(dir, &settings);
    if (w->warm) {
        scan_forward(&r);
        read_random(&r);
        wait_until_idle();
        r.ops = 0;
    }
    if (w->work != nothing) {
        used = cpu_seconds();
        begin = seconds();
    }
    char thread_name[16]; /* a profiler can tell what is measured from what prepares it */
    snprintf(thread_name, sizeof thread_name, "%.3s %s", face->name, w->name);
    (void)prctl(PR_SET_NAME, thread_name);
    w->work(&r);
    double end = seconds();
    if (w->fresh && w->work != nothing) face->flush(r.store);
    double idle = w->work == nothing ? 0 : wait_until_idle();
    if (w->settle) end = seconds() - idle;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double user_bytes = (double)r.ops * (w->work == fill_big ? KEY_BYTES + BIG_BYTES : KEY_BYTES + VALUE_BYTES);
    result out = { .rate = (double)r.ops / (end - begin),
                   .cpu_us = (cpu_seconds() - used) * 1e6 / (double)r.ops,
                   .peak_mib = (double)u.ru_maxrss / 1024 };
    if (w->fresh || w->settle) out.written_per_byte = (double)(bytes_written() - written) / user_bytes;
    face->close(r.store);
    out.disk_mib = (double)dir_bytes(dir) / 1048576;
    return out;
}

/* A log of everything: nothing of it reaches a table before the process ends. */
static void prepare_log(const store_face *face, const char *dir, uint64_t seed)
{
    size_t         most = 1u << 30, wanted = (size_t)entries * LOG_BYTES_PER_ENTRY * 4;
    store_settings settings = { .cache_bytes = 1u << 20, .memtable_bytes = wanted < most ? wanted : most };
    run_state      r = { .face = face, .seed = seed };
    r.store = face->open(dir, &settings);
    leave_log(&r);
}

static result in_own_process(const workload *w, const store_face *face, uint64_t seed)
{
    char   dir[300];
    int    fds[2];
    result out = { 0 };
    snprintf(dir, sizeof dir, "%s/%s-%s", base, face->name, w->dir);
    if (w->fresh) remove_dir(dir);
    for (int prepare = w->work == nothing; prepare >= 0; prepare--) {
        if (pipe(fds) != 0) die("pipe", "cannot make one");
        pid_t pid = fork();
        if (pid < 0) die("fork", "cannot");
        if (pid == 0) {
            close(fds[0]);
            if (prepare) prepare_log(face, dir, seed);
            result mine = measure(w, face, dir, seed);
            _exit(write(fds[1], &mine, sizeof mine) != sizeof mine);
        }
        int status;
        close(fds[1]);
        ssize_t n = read(fds[0], &out, sizeof out);
        close(fds[0]);
        if (waitpid(pid, &status, 0) != pid || status != 0 || (!prepare && n != sizeof out)) die(face->name, w->name);
    }
    return out;
}

/* ---- the table ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median_of(const result *results, int n, size_t member)
{
    double v[ROUNDS_MAX];
    for (int i = 0; i < n; i++) memcpy(&v[i], (const char *)&results[i] + member, sizeof v[i]);
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
static result median(const result *results, int n)
{
    return (result){ median_of(results, n, offsetof(result, rate)), median_of(results, n, offsetof(result, cpu_us)),
                     median_of(results, n, offsetof(result, peak_mib)),
                     median_of(results, n, offsetof(result, written_per_byte)),
                     median_of(results, n, offsetof(result, disk_mib)) };
}

static void show(const workload *w, result results[STORES][ROUNDS_MAX], int rounds)
{
    result m[STORES];
    char   bound[32] = "", cpu_bound[32] = "";
    for (int s = 0; s < STORES; s++) m[s] = median(results[s], rounds);
    snprintf(bound, sizeof bound, "%s%.2f", m[0].rate >= w->must * m[1].rate ? ">=" : "NOT ", w->must);
    snprintf(cpu_bound, sizeof cpu_bound, "%s%.2f", m[0].cpu_us <= w->cpu_must * m[1].cpu_us ? "<=" : "NOT ",
             w->cpu_must);
    printf("%-15s %10.0f %10.0f %10.0f %6.2f %-8s | %9.3f %9.3f %9.3f %5.2f %-8s | %5.0f %5.0f %5.0f", w->name,
           m[0].rate, m[1].rate, m[2].rate, m[0].rate / m[1].rate, bound, m[0].cpu_us, m[1].cpu_us, m[2].cpu_us,
           m[0].cpu_us / m[1].cpu_us, cpu_bound, m[0].peak_mib, m[1].peak_mib, m[2].peak_mib);
    if (m[0].written_per_byte > 0)
        printf(" | %5.2f %5.2f %5.2f | %5.0f %5.0f %5.0f", m[0].written_per_byte, m[1].written_per_byte,
               m[2].written_per_byte, m[0].disk_mib, m[1].disk_mib, m[2].disk_mib);
    printf("\n");
    fflush(stdout);
}

static bool wanted(const workload *w, char **names)
{
    if (!*names) return true;
    for (; *names; names++)
        if (strstr(w->name, *names)) return true;
    return false;
}

/* Whether a workload that is wanted reads what this one fills. */
static bool prepares_wanted(int i, char **names)
{
    for (int k = i + 1; workloads[i].fresh && k < WORKLOADS; k++)
        if (!workloads[k].fresh && strcmp(workloads[k].dir, workloads[i].dir) == 0 && wanted(&workloads[k], names))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
    int         rounds = argc > 2 ? atoi(argv[2]) : 3;
    char      **names = argc > 3 ? argv + 3 : argv + argc;
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/chronos-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (entries < 10000 || rounds < 1 || rounds > ROUNDS_MAX || !mkdtemp(base))
        die("usage", "bench_engine [ENTRIES (10000 or more) [ROUNDS (1 to 15) [WORKLOAD ...]]]");
    make_pool();

    printf("%llu entries, medians of %d rounds: Chronos, RocksDB, LevelDB, and Chronos to RocksDB\n"
           "%-15s %32s %6s %-8s | %29s %5s %-8s | %17s | %17s | %s\n",
           (unsigned long long)entries, rounds, "", "operations per second", "ratio", "must", "CPU us per operation",
           "ratio", "must", "peak memory, MiB", "written per byte", "on disk, MiB");
    for (int i = 0; i < WORKLOADS; i++) {
        const workload *w = &workloads[i];
        result          results[STORES][ROUNDS_MAX];
        if (!wanted(w, names)) {
            for (int s = 0; s < STORES && prepares_wanted(i, names); s++) (void)in_own_process(w, &stores[s], 0);
            continue;
        }
        for (int round = 0; round < rounds; round++)
            for (int k = 0; k < STORES; k++) { /* none always goes first */
                int s = (k + round) % STORES;
                results[s][round] = in_own_process(w, &stores[s], (uint64_t)round << 32);
            }
        show(w, results, rounds);
    }
    run_state r = { 0 };
    bare_sync(&r);
    printf("a bare loop of pwrite and fdatasync: %llu per second\n", (unsigned long long)r.ops);
    remove_dir(base);
    return 0;
}
