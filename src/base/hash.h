/* XXH3 (libxxhash): the one hash function of Chronos, for checksums, filters, shards and stripes. */
#ifndef CHR_BASE_HASH_H
#define CHR_BASE_HASH_H

#include "base/bytes.h"

uint64_t hash64(slice s);
uint64_t hash64_seed(slice s, uint64_t seed);
/* The checksum of all files: the low 32 bits of XXH3-64 with a seed, which is where the bytes belong (file number,
 * offset), so that intact bytes in the wrong place do not pass. */
static inline uint32_t checksum32(slice s, uint64_t seed) { return (uint32_t)hash64_seed(s, seed); }

#endif
