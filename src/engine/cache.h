/* The block cache: decoded, checked blocks by (file number, offset), in shards, within a byte limit.
 * Any thread. A handle pins its block: hold it while using the bytes, then release it. */
#ifndef CHR_ENGINE_CACHE_H
#define CHR_ENGINE_CACHE_H

#include "base/bytes.h"

typedef struct cache        cache;
typedef struct cache_handle cache_handle;

cache *cache_new(size_t capacity_bytes); /* NULL: no memory */
void   cache_free(cache *c);             /* no handle left */

/* NULL: not there. Counts a hit or a miss. */
cache_handle *cache_lookup(cache *c, uint64_t file_no, uint64_t offset);
/* Takes over `data` (malloc'ed) in every case and returns it pinned. If another thread was quicker, its block is
 * returned and ours freed. A block is usable even if the cache is too small to keep it. NULL: no memory, and
 * `data` has been freed. */
cache_handle *cache_insert(cache *c, uint64_t file_no, uint64_t offset, void *data, size_t len);
slice         cache_data(const cache_handle *h);
void          cache_release(cache *c, cache_handle *h);
/* Forgets the blocks of a file that is gone. */
void cache_drop_file(cache *c, uint64_t file_no);

typedef struct cache_stats {
    uint64_t hits, misses, bytes, capacity;
} cache_stats;
cache_stats cache_get_stats(const cache *c);

#endif
