#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(slice s) { return XXH3_64bits(s.data, s.len); }
uint64_t hash64_seed(slice s, uint64_t seed) { return XXH3_64bits_withSeed(s.data, s.len, seed); }
