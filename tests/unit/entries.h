/* A sorted list of random entries: the model that blocks and tables are compared with. */
#ifndef CHR_TESTS_ENTRIES_H
#define CHR_TESTS_ENTRIES_H

#include "engine/entry.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct rng {
    uint64_t state;
} rng;
static inline uint64_t rng_next(rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static inline size_t rng_below(rng *r, size_t n)
{
    if (n == 0) abort();
    return (size_t)(rng_next(r) % n);
}

static inline uint64_t test_seed(void)
{
    const char *text = getenv("SEED");
    uint64_t    seed = text ? strtoull(text, NULL, 0) : 20240611;
    printf("# SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

typedef struct entries {
    entry *at;
    size_t n;
} entries;

typedef enum key_style { KEYS_SHORT, KEYS_COUNTED, KEYS_PATHS, KEYS_HUGE, KEY_STYLES } key_style;

static inline void random_key(rng *r, key_style style, buf *key)
{
    static const char *const parts[] = {
        "a", "b", "data", "data2", "log", "x\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", ""
    };
    key->len = 0;
    switch (style) {
    case KEYS_SHORT: /* few letters, NUL and 0xff among them; the empty key */
        for (size_t n = rng_below(r, 12); n > 0; n--) {
            char c = "\0\1a\xff"[rng_below(r, 4)];
            (void)buf_append(key, &c, 1);
        }
        break;
    case KEYS_COUNTED: (void)buf_printf(key, "user:%012zu", rng_below(r, 100000)); break;
    case KEYS_PATHS:
        (void)buf_append_slice(key, chr_str("/srv/store/"));
        for (size_t n = rng_below(r, 6); n > 0; n--) {
            (void)buf_append_slice(key, chr_str(parts[rng_below(r, 8)]));
            (void)buf_append_byte(key, '/');
        }
        break;
    case KEYS_HUGE: /* long common beginnings, up to the limit */
    case KEY_STYLES:
        (void)buf_reserve(key, ENGINE_KEY_MAX);
        key->len = rng_below(r, 4) ? rng_below(r, 600) : ENGINE_KEY_MAX - rng_below(r, 3);
        if (key->len) memset(key->data, 'k', key->len);
        for (size_t n = rng_below(r, 3); n > 0 && key->len; n--)
            key->data[rng_below(r, key->len)] = (char)('j' + rng_below(r, 3));
        break;
    }
}

static inline slice copy_of(slice s)
{
    char *p = malloc(s.len + 1);
    if (!p) abort();
    if (s.len) memcpy(p, s.data, s.len);
    return chr_bytes(p, s.len);
}

static inline int order_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return entry_compare(x->key, x->trailer, y->key, y->trailer);
}

/* About `n` entries with up to `versions` of a key; values are up to `value_max` bytes, most of them short. */
static inline entries random_entries(rng *r, key_style style, size_t n, size_t versions, size_t value_max)
{
    entries e = { calloc(n + 1, sizeof(entry)), 0 };
    buf     key = { 0 }, value = { 0 };
    if (!e.at) abort();
    while (e.n < n) {
        random_key(r, style, &key);
        for (size_t v = 1 + rng_below(r, versions); v > 0 && e.n < n; v--) {
            uint64_t seq = rng_below(r, 50) ? 1 + rng_below(r, 100000) : SEQ_MAX - rng_below(r, 1000);
            bool     put = rng_below(r, 5) > 0;
            value.len = 0;
            size_t len = !put ? 0 : rng_below(r, 20) ? rng_below(r, 40) : rng_below(r, value_max + 1);
            if (len > value_max) len = value_max;
            bool noise = rng_below(r, 2);
            for (size_t i = 0; i < len; i++)
                (void)buf_append_byte(&value, noise ? (uint8_t)rng_next(r) : (uint8_t)('a' + i % 7));
            e.at[e.n++] = (entry){ copy_of(buf_slice(&key)), trailer_of(seq, put ? KIND_PUT : KIND_DELETE),
                                   copy_of(buf_slice(&value)) };
        }
    }
    chr_buf_free(&key);
    chr_buf_free(&value);
    qsort(e.at, e.n, sizeof *e.at, order_entries);
    size_t kept = 0; /* the same key at the same seq occurs once */
    for (size_t i = 0; i < e.n; i++) {
        bool twin = kept > 0 && slice_equal(e.at[kept - 1].key, e.at[i].key) &&
                    trailer_seq(e.at[kept - 1].trailer) == trailer_seq(e.at[i].trailer);
        if (twin) {
            free((void *)(uintptr_t)e.at[i].key.data);
            free((void *)(uintptr_t)e.at[i].value.data);
        } else {
            e.at[kept++] = e.at[i];
        }
    }
    e.n = kept;
    return e;
}

static inline void entries_free(entries *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free((void *)(uintptr_t)e->at[i].key.data);
        free((void *)(uintptr_t)e->at[i].value.data);
    }
    free(e->at);
}

/* How many are before (key, trailer). */
static inline size_t entries_before(const entries *e, slice key, uint64_t trailer)
{
    size_t lo = 0, hi = e->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (entry_compare(e->at[mid].key, e->at[mid].trailer, key, trailer) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static inline bool entry_is(const entry *a, const entry *b)
{
    return slice_equal(a->key, b->key) && a->trailer == b->trailer && slice_equal(a->value, b->value);
}

#endif
