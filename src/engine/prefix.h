/* The first eight bytes of keys as numbers: comparing those decides most searches without touching the keys. */
#ifndef CHR_ENGINE_PREFIX_H
#define CHR_ENGINE_PREFIX_H

#include "base/bytes.h"

/* Bytes from..from+8 of the key as a big-endian number, padded with zeroes. If two keys agree before `from`, the
 * one with the smaller number is the smaller key; equal numbers decide nothing. */
static inline uint64_t key_prefix(slice key, size_t from)
{
    if (key.len >= from + 8) return get_be64(key.data + from);
    char padded[8] = { 0 };
    if (key.len > from) memcpy(padded, key.data + from, key.len - from);
    return get_be64(padded);
}

/* How many of the `n` ascending numbers at `column` (which need not be aligned) are below `bound`. */
static inline size_t prefixes_below(const uint8_t *column, size_t n, uint64_t bound)
{
    const uint8_t *base = column;
    if (n == 0) return 0;
    while (n > 1) { /* a conditional move, no branch */
        size_t         half = n / 2;
        const uint8_t *mid = base + 8 * half;
        base = get_u64(mid - 8) < bound ? mid : base;
        n -= half;
    }
    return (size_t)(base - column) / 8 + (get_u64(base) < bound);
}
/* How many are not above it, given that `below` are below it. */
static inline size_t prefixes_up_to(const uint8_t *column, size_t n, size_t below, uint64_t bound)
{
    if (below == n || get_u64(column + 8 * below) != bound) return below;
    if (bound == UINT64_MAX) return n;
    return below + prefixes_below(column + 8 * below, n - below, bound + 1);
}

static inline size_t common_prefix(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t differ = get_u64(a.data + i) ^ get_u64(b.data + i);
        if (differ) return i + (size_t)__builtin_ctzll(differ) / 8;
    }
    while (i < n && a.data[i] == b.data[i]) i++;
    return i;
}

#endif
