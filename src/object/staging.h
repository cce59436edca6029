/* What a transaction is going to write: a batch, and an index of it, so that the transaction sees its own changes.
 * Writing a key twice is fine: the later one counts, in the batch as in the index. One thread at a time. */
#ifndef CHR_OBJECT_STAGING_H
#define CHR_OBJECT_STAGING_H

#include "engine/batch.h"

typedef struct staged {
    uint64_t hash;
    size_t   key_at, value_at; /* in the batch's payload, which may move */
    uint32_t key_len, value_len;
    bool     put; /* false: deleted */
} staged;

typedef struct staged_range {
    size_t   start_at, end_at; /* engine keys in the payload */
    uint32_t start_len, end_len;
} staged_range;

typedef struct staging {
    batch         b;
    staged       *items;
    size_t        count, capacity;
    uint32_t     *slots;      /* index + 1 into items, by hash; used above STAGED_LINEAR items */
    size_t        slot_count; /* a power of two, or 0 */
    staged_range *ranges;
    size_t        range_count;
    size_t        floor; /* what the payload has below this is not changed in place */
} staging;               /* starts as {0} */

void staging_free(staging *s);
void staging_clear(staging *s); /* keeps a bounded amount of memory */

/* The key and value given must not lie in the staging itself. */
chr_status staging_put(staging *s, slice key, slice head, slice body);
chr_status staging_delete(staging *s, slice key);
chr_status staging_delete_range(staging *s, slice start, slice end);

/* Whether the transaction has written or deleted `key`; then *put says which, and *value is what it holds, valid until the
 * next change. `value` may be changed in place through staging_value. */
bool staging_find(const staging *s, slice key, bool *put, slice *value);
/* The bytes of a staged value, to be changed in place; NULL if `key` has none here, or has it below the floor. */
char *staging_value(staging *s, slice key, size_t *len);

/* From here on staging_rollback can drop what is staged later. */
static inline void staging_mark(staging *s) { s->floor = s->b.payload.len; }
void               staging_rollback(staging *s); /* to the last mark */

static inline slice staged_key(const staging *s, const staged *item)
{
    return chr_bytes(s->b.payload.data + item->key_at, item->key_len);
}
static inline slice staged_value(const staging *s, const staged *item)
{
    return chr_bytes(s->b.payload.data + item->value_at, item->value_len);
}
static inline slice range_start(const staging *s, const staged_range *r)
{
    return chr_bytes(s->b.payload.data + r->start_at, r->start_len);
}
static inline slice range_end(const staging *s, const staged_range *r)
{
    return chr_bytes(s->b.payload.data + r->end_at, r->end_len);
}

#endif
