/* The memtable: the newest writes, in memory, in internal order. One writer, any number of readers that take no
 * lock and write nothing. Everything lives in one arena and is freed whole; nothing is ever removed.
 *
 * Reading: whoever guarantees that the memtable lives (an epoch or a reference, see version.h) may read at any
 * time, also while the writer inserts. A reader that took its seq after a write was published sees that write. */
#ifndef CHR_ENGINE_MEMTABLE_H
#define CHR_ENGINE_MEMTABLE_H

#include "engine/iter.h"
#include "engine/rangedel.h"

typedef struct memtable memtable;

memtable *memtable_new(void); /* NULL: no memory */
void      memtable_free(memtable *m);

/* Writer only. Key and value are copied. (key, trailer) must be new. CHR_NO_MEMORY changes nothing.
 * For KIND_DELETE_RANGE `value` is the end of the range. */
chr_status memtable_insert(memtable *m, slice key, uint64_t trailer, slice value);

/* The newest version of `key` no newer than `seq`, range tombstones left aside. The slices live as long as the
 * memtable. False: none here. */
bool memtable_get(const memtable *m, slice key, uint64_t seq, entry *found);
/* As rangedel_covers, over the memtable's range tombstones. */
chr_status memtable_range_deleted(memtable *m, slice key, uint64_t seq, uint64_t *tombstone_seq);
/* All range tombstones as of now; lives as long as the memtable. NULL set: none. */
chr_status memtable_rangedels(memtable *m, const rangedel **set);

/* Over puts and deletes, not range tombstones. Shows at least what was published when it was made; the caller
 * filters by seq. NULL: no memory. */
iter *memtable_iter_new(const memtable *m);

/* Any thread, approximate while the writer writes. */
size_t   memtable_bytes(const memtable *m);   /* memory held, as counted against the size limit */
uint64_t memtable_entries(const memtable *m); /* range tombstones included */

#endif
