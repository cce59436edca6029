/* What the LSM tree stores, and in which order.
 *
 * An entry is (user key, trailer, value). The trailer is seq << 8 | kind: seq is the write's place in the one
 * order of all writes (56 bits), so that higher means newer. Internal order: user key by memcmp ascending, then
 * trailer descending, i.e. the newest version of a key comes first. */
#ifndef CHR_ENGINE_ENTRY_H
#define CHR_ENGINE_ENTRY_H

#include "base/bytes.h"

/* Longest key of the engine: the public limit and what the object layer puts before it. */
#define ENGINE_KEY_MAX (CHR_KEY_MAX + 64u)
/* Longest value of the engine: the object layer cuts bigger ones up. */
#define ENGINE_VALUE_MAX (1u << 20)

enum { SEQ_BITS = 56 };
#define SEQ_MAX ((UINT64_C(1) << SEQ_BITS) - 1)

/* On disk: do not renumber. */
typedef enum entry_kind {
    KIND_DELETE = 0,
    KIND_PUT = 1,
    KIND_DELETE_RANGE = 2,
    KIND_BLOB = 3,   /* in tables only: a put whose value is a reference into a blob file (blob.h) */
    KIND_PACKED = 4, /* in the log only: a put whose value is packed (batch_pack.h) */
} entry_kind;

typedef struct entry {
    slice    key;
    uint64_t trailer;
    slice    value; /* of KIND_DELETE_RANGE: the end of the range, exclusive */
} entry;

static inline uint64_t   trailer_of(uint64_t seq, entry_kind kind) { return seq << 8 | (uint64_t)kind; }
static inline uint64_t   trailer_seq(uint64_t trailer) { return trailer >> 8; }
static inline entry_kind trailer_kind(uint64_t trailer) { return (entry_kind)(trailer & 0xff); }
/* Seeking to (key, seek_trailer(seq)) finds the newest version of key that is no newer than seq. */
static inline uint64_t seek_trailer(uint64_t seq) { return seq << 8 | 0xff; }

static inline int entry_compare(slice a, uint64_t a_trailer, slice b, uint64_t b_trailer)
{
    int c = slice_compare(a, b);
    return c ? c : (a_trailer < b_trailer) - (a_trailer > b_trailer);
}

#endif
