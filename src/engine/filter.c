/* The upper half of a key's hash chooses the block, the lower half the bits in it: each probe multiplies it by an odd
 * constant and takes the nine uppermost bits. */
#include "engine/filter.h"

#include <stdlib.h>

enum { PROBES_MAX = 16 };

bool filter_add(filter_builder *f, uint64_t key_hash)
{
    if (f->n == f->cap) {
        size_t    cap = f->cap ? 2 * f->cap : 1024;
        uint64_t *more = realloc(f->hashes, cap * sizeof *more);
        if (!more) return false;
        f->hashes = more;
        f->cap = cap;
    }
    f->hashes[f->n++] = key_hash;
    return true;
}

void filter_builder_free(filter_builder *f)
{
    free(f->hashes);
    *f = (filter_builder){ 0 };
}

static inline size_t   block_of(uint64_t hash, size_t n_blocks) { return (size_t)((hash >> 32) * n_blocks >> 32); }
static inline uint32_t next_probe(uint32_t probe) { return probe * UINT32_C(0x9e3779b9); }
static inline uint32_t bit_of(uint32_t probe) { return probe >> (32 - 9); }

/* 0.6 per bit is a little less than the optimum of an ideal filter: blocks fill unevenly. */
static uint32_t probes_for(uint32_t bits_per_key)
{
    uint32_t probes = bits_per_key > 100 ? PROBES_MAX : (bits_per_key * 3 + 2) / 5;
    return probes < 1 ? 1 : probes > PROBES_MAX ? PROBES_MAX : probes;
}

bool filter_finish(const filter_builder *f, uint32_t bits_per_key, buf *out)
{
    if (f->n == 0 || bits_per_key == 0) return true;
    const size_t block_bits = 8 * (size_t)FILTER_BLOCK_BYTES;
    size_t       n_blocks = (f->n * (size_t)bits_per_key + block_bits - 1) / block_bits;
    if (n_blocks > UINT32_MAX) n_blocks = UINT32_MAX;
    if (!buf_reserve(out, n_blocks * FILTER_BLOCK_BYTES + 1)) return false;
    uint8_t *bits = (uint8_t *)out->data + out->len;
    uint32_t probes = probes_for(bits_per_key);
    memset(bits, 0, n_blocks * FILTER_BLOCK_BYTES);
    for (size_t i = 0; i < f->n; i++) {
        uint8_t *at = bits + block_of(f->hashes[i], n_blocks) * FILTER_BLOCK_BYTES;
        uint32_t probe = (uint32_t)f->hashes[i];
        for (uint32_t k = 0; k < probes; k++, probe = next_probe(probe)) {
            uint32_t bit = bit_of(probe);
            at[bit / 8] = (uint8_t)(at[bit / 8] | 1u << bit % 8);
        }
    }
    bits[n_blocks * FILTER_BLOCK_BYTES] = (uint8_t)probes;
    out->len += n_blocks * FILTER_BLOCK_BYTES + 1;
    return true;
}

const char *filter_check(slice filter)
{
    if (filter.len == 0) return NULL;
    uint8_t probes = (uint8_t)filter.data[filter.len - 1];
    size_t  n_blocks = filter.len / FILTER_BLOCK_BYTES;
    if (filter.len % FILTER_BLOCK_BYTES != 1 || n_blocks < 1 || n_blocks > UINT32_MAX)
        return "the filter has an impossible length";
    if (probes < 1 || probes > PROBES_MAX) return "the filter has an impossible number of probes";
    return NULL;
}

bool filter_may_hold(slice filter, uint64_t key_hash)
{
    if (filter.len == 0) return true;
    size_t         n_blocks = filter.len / FILTER_BLOCK_BYTES;
    const uint8_t *at = (const uint8_t *)filter.data + block_of(key_hash, n_blocks) * FILTER_BLOCK_BYTES;
    uint32_t       probes = (uint8_t)filter.data[filter.len - 1], probe = (uint32_t)key_hash;
    for (uint32_t k = 0; k < probes; k++, probe = next_probe(probe)) {
        uint32_t bit = bit_of(probe);
        if (!(at[bit / 8] & 1u << bit % 8)) return false;
    }
    return true;
}
