/* Bloom filters over user keys, in blocks of one cache line: a lookup touches one line. Format: FORMAT.md, "Table".
 * About 1 % of absent keys pass at 10 bits per key; a key that is there always passes. */
#ifndef CHR_ENGINE_FILTER_H
#define CHR_ENGINE_FILTER_H

#include "base/bytes.h"

enum { FILTER_BLOCK_BYTES = 64 };

typedef struct filter_builder {
    uint64_t *hashes; /* hash64 of each key */
    size_t    n, cap;
} filter_builder;
bool filter_add(filter_builder *f, uint64_t key_hash); /* false: no memory */
/* Appends the filter; nothing at all if there are no keys or no bits. False: no memory. */
bool filter_finish(const filter_builder *f, uint32_t bits_per_key, buf *out);
void filter_builder_free(filter_builder *f);

/* NULL, or what is wrong with it. The empty filter lets everything pass. */
const char *filter_check(slice filter);
/* `filter` has been checked; it is best aligned to FILTER_BLOCK_BYTES. */
bool filter_may_hold(slice filter, uint64_t key_hash);

#endif
