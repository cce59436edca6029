/* Range tombstones: "every key in [start, end) older than seq is deleted".
 *
 * `rangedel` is an immutable set of them, cut into fragments that do not overlap, so that a lookup is one binary
 * search. A memtable makes one anew as tombstones arrive; a table has one made when it is opened. */
#ifndef CHR_ENGINE_RANGEDEL_H
#define CHR_ENGINE_RANGEDEL_H

#include "engine/entry.h"

typedef struct rangedel rangedel;

typedef struct range_tombstone {
    slice    start, end; /* start < end */
    uint64_t seq;
} range_tombstone;

/* From `n` tombstones in any order, overlapping as they like (an empty range covers nothing); keys are copied. NULL: no
 * memory. */
rangedel *rangedel_new(const range_tombstone *tombstones, size_t n);
void      rangedel_free(rangedel *set);
/* The newest seq <= `at_seq` of a tombstone that covers `key`; 0 if there is none (0 is no valid seq). `set` may
 * be NULL: the empty set. */
uint64_t rangedel_covers(const rangedel *set, slice key, uint64_t at_seq);
size_t   rangedel_bytes(const rangedel *set); /* memory it takes */
/* Fragments in order of start, each with its seqs newest first, no seq twice. Fragments that touch differ in seqs. */
size_t rangedel_count(const rangedel *set);
typedef struct range_fragment {
    slice           start, end;
    const uint64_t *seqs;
    size_t          n_seqs;
} range_fragment;
range_fragment rangedel_at(const rangedel *set, size_t i);

#endif
