/* What the memtable costs: ns of CPU per insert, get and iterator step, and bytes per entry beyond key, value and trailer.
 *
 * usage: bench_memtable [ENTRIES]     (default 1000000) 16-byte keys, 100-byte values; one thread
 * Each row is one key pattern in one order of arrival. Gets come in another random order and touch the value. */
#include "engine/memtable.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEY_BYTES = 16, VALUE_BYTES = 100 };

typedef enum pattern { BINARY, DIGITS, PREFIXED, PATTERNS } pattern;
static const char *const pattern_names[] = { "random bytes", "16 digits", "user:+11 digits" };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Ascending in `i` for all patterns. */
static slice make_key(char *key, pattern p, uint64_t i, uint64_t n)
{
    char text[32];
    if (p == BINARY) {
        put_be64(key, UINT64_MAX / n * i + mix(i) % (UINT64_MAX / n));
        put_u64(key + 8, mix(i));
    } else {
        (void)snprintf(text, sizeof text, p == DIGITS ? "%016llu" : "user:%011llu", (unsigned long long)i);
        memcpy(key, text, KEY_BYTES);
    }
    return chr_bytes(key, KEY_BYTES);
}

/* A different order of 0..n-1 for each `salt`, at no cost to speak of. */
static void shuffle(uint32_t *order, uint32_t n, uint64_t salt)
{
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = (uint32_t)(mix(salt + i) % i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
}

static void run(pattern p, const char *arrival, uint32_t n, char *keys, uint32_t *order)
{
    char      value[VALUE_BYTES];
    memtable *m = memtable_new();
    if (!m) abort();
    memset(value, 'v', sizeof value);
    for (uint32_t i = 0; i < n; i++) (void)make_key(keys + (size_t)i * KEY_BYTES, p, order[i], n);
    double begin = now_ns();
    for (uint32_t i = 0; i < n; i++)
        if (memtable_insert(m, chr_bytes(keys + (size_t)i * KEY_BYTES, KEY_BYTES), trailer_of(i + 1, KIND_PUT),
                            chr_bytes(value, sizeof value)) != CHR_OK)
            abort();
    double insert = (now_ns() - begin) / n;

    shuffle(order, n, 7);
    for (uint32_t i = 0; i < n; i++) (void)make_key(keys + (size_t)i * KEY_BYTES, p, order[i], n);
    uint64_t sum = 0;
    begin = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        entry found;
        if (!memtable_get(m, chr_bytes(keys + (size_t)i * KEY_BYTES, KEY_BYTES), SEQ_MAX, &found)) abort();
        sum += (uint8_t)found.value.data[VALUE_BYTES / 2];
    }
    double get = (now_ns() - begin) / n;

    iter *it = memtable_iter_new(m);
    if (!it) abort();
    begin = now_ns();
    for (iter_first(it); it->valid; iter_next(it)) sum += (uint8_t)it->at.value.data[0];
    double next = (now_ns() - begin) / n;
    begin = now_ns();
    for (iter_last(it); it->valid; iter_prev(it)) sum += (uint8_t)it->at.value.data[0];
    double prev = (now_ns() - begin) / n;
    iter_free(it);
    if (sum != (uint64_t)3 * n * 'v') abort();

    double over = (double)memtable_bytes(m) / n - (KEY_BYTES + VALUE_BYTES + 8);
    printf("%-16s %-10s %7.0f %7.0f %7.1f %7.1f %9.1f\n", pattern_names[p], arrival, insert, get, next, prev, over);
    memtable_free(m);
}

int main(int argc, char **argv)
{
    uint32_t  n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    char     *keys = malloc((size_t)n * KEY_BYTES);
    uint32_t *order = malloc(n * sizeof *order);
    if (n == 0 || !keys || !order) {
        free(keys);
        free(order);
        return 2;
    }
    printf("%u entries\n%-16s %-10s %7s %7s %7s %7s %9s\n", n, "keys", "arrival", "insert", "get", "next", "prev",
           "overhead");
    for (pattern p = 0; p < PATTERNS; p++) {
        shuffle(order, n, 1);
        run(p, "random", n, keys, order);
        for (uint32_t i = 0; i < n; i++) order[i] = i;
        run(p, "ascending", n, keys, order);
        for (uint32_t i = 0; i < n; i++) order[i] = n - 1 - i;
        run(p, "descending", n, keys, order);
    }
    free(keys);
    free(order);
    return 0;
}
