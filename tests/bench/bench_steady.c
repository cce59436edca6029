/* Is a store as quick in its worst second as in its others? One thread overwrites keys at random, as fast as it may, for SECONDS;
 * then single reads are timed, first while the store is at rest, then while another thread writes and compaction runs.
 *
 * usage: bench_steady [SECONDS [KEYS [STORE ...]]]
 *
 * Prints the rate of every second, then of each store: median, worst second, and the reads' latencies. */
#include "stores.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    VALUE_BYTES = 100,
    POOL_BYTES = 1 << 20,
    SECONDS_MAX = 3600,
    READ_SECONDS = 10,
    READS_MAX = 4000000,
    READ_PAUSE_EVERY = 64, /* a reader that never pauses takes a whole processor from the writer */
    PACED_WRITES_PER_S = 100000,
};

static uint64_t         keys = 5000000;
static char            *pool;
static _Atomic uint64_t written;
static atomic_bool      stop;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void sleep_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

typedef struct writer_arg {
    const store_face *face;
    void             *store;
    uint64_t          per_second; /* 0: as fast as it may */
} writer_arg;

static void *write_all_the_time(void *arg)
{
    const writer_arg *a = arg;
    uint64_t          begin = now_ns();
    for (uint64_t i = 0; !stop; i++) {
        char key[KEY_BYTES];
        key_of(key, scramble(i + a->per_second) % keys);
        a->face->put(a->store, key, pool + i * VALUE_BYTES % POOL_BYTES, VALUE_BYTES);
        written++;
        if (a->per_second && i % 100 == 0)
            while (!stop && (now_ns() - begin) / 1000 * a->per_second / 1000000 < i) sleep_ms(1);
    }
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What all but one in `of` are within, in microseconds. */
static double us_within(const uint64_t *sorted, size_t n, size_t of)
{
    size_t at = n - n / of - 1;
    return (double)sorted[at] / 1000;
}

/* Times single reads for a while; prints what half, 99 % and 99.9 % of them are within, and returns the last. */
static double time_reads(const store_face *face, void *store, const char *when)
{
    uint64_t *took = malloc(READS_MAX * sizeof *took), end = now_ns() + READ_SECONDS * UINT64_C(1000000000);
    size_t    n = 0;
    if (!took) die("read", "no memory");
    while (n < READS_MAX && now_ns() < end) {
        char key[KEY_BYTES];
        key_of(key, scramble(n * 7) % keys);
        uint64_t begin = now_ns();
        (void)face->get(store, key);
        took[n++] = now_ns() - begin;
        if (n % READ_PAUSE_EVERY == 0) sleep_ms(1);
    }
    qsort(took, n, sizeof *took, by_number);
    double last = us_within(took, n, 1000);
    printf("%s: reads %s: %zu, half within %.1f us, 99 %% within %.1f us, 99.9 %% within %.1f us\n", face->name, when,
           n, us_within(took, n, 2), us_within(took, n, 100), last);
    free(took);
    return last;
}

static void fill(const store_face *face, void *store, int seconds)
{
    uint64_t   rates[SECONDS_MAX], before = 0;
    pthread_t  thread;
    writer_arg a = { face, store, 0 };
    written = 0;
    stop = false;
    if (pthread_create(&thread, NULL, write_all_the_time, &a) != 0) die("thread", "cannot start one");
    for (int i = 0; i < seconds; i++) {
        sleep_ms(1000);
        uint64_t n = written;
        rates[i] = n - before;
        before = n;
        printf("%s%llu",
               i % 20 ? " "
               : i    ? "\n"
                      : "writes each second, thousands:\n",
               (unsigned long long)rates[i] / 1000);
        fflush(stdout);
    }
    stop = true;
    pthread_join(thread, NULL);
    qsort(rates, (size_t)seconds, sizeof *rates, by_number);
    uint64_t worst = rates[0], median = rates[seconds / 2];
    printf("\n%s: writes, median second %llu, worst second %llu: %.2f of the median\n", face->name,
           (unsigned long long)median, (unsigned long long)worst, (double)worst / (double)median);
}

static void measure(const store_face *face, const char *dir, int seconds)
{
    store_settings settings = { .cache_bytes = 1u << 30, .memtable_bytes = 64u << 20 };
    void          *store = face->open(dir, &settings);
    fill(face, store, seconds);
    sleep_ms(10000);
    double idle = time_reads(face, store, "at rest");

    pthread_t  thread;
    writer_arg a = { face, store, PACED_WRITES_PER_S };
    stop = false;
    if (pthread_create(&thread, NULL, write_all_the_time, &a) != 0) die("thread", "cannot start one");
    sleep_ms(3000);
    double busy = time_reads(face, store, "beside 100,000 writes a second");
    stop = true;
    pthread_join(thread, NULL);
    printf("%s: 99.9 %% of the reads: %.2f times as long while it is written to\n", face->name, busy / idle);
    face->close(store);
}

int main(int argc, char **argv)
{
    int         seconds = argc > 1 ? atoi(argv[1]) : 60;
    const char *tmp = getenv("TMPDIR");
    char        base[256], command[300];
    if (argc > 2) keys = strtoull(argv[2], NULL, 10);
    snprintf(base, sizeof base, "%s/chronos-steady-XXXXXX", tmp ? tmp : "/tmp");
    if (seconds < 5 || seconds > SECONDS_MAX || keys < 1000 || !mkdtemp(base))
        die("usage", "bench_steady [SECONDS (5 to 3600) [KEYS (1000 or more) [STORE ...]]]");
    if (!(pool = malloc(POOL_BYTES + VALUE_BYTES))) die("start", "no memory");
    for (size_t k = 0; k < POOL_BYTES + VALUE_BYTES; k++) pool[k] = k / 50 % 2 ? 'c' : (char)scramble(k);

    for (int s = 0; s < STORES; s++) {
        char dir[300];
        bool wanted = argc <= 3 && s < 2;
        for (int i = 3; i < argc; i++) wanted = wanted || strcmp(argv[i], stores[s].name) == 0;
        snprintf(dir, sizeof dir, "%s/%s", base, stores[s].name);
        if (wanted) measure(&stores[s], dir, seconds);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) != 0; // NOLINT(cert-env33-c): the name is our own
}
