/* A cursor over entries in internal order: one memtable, one table, one level, or a merge of those.
 *
 * It begins unpositioned. While `valid`, `at` is the entry it stands on; key and value stay until it moves.
 * When it stops being valid, `status` says why: CHR_OK at either end. After an error it stays invalid until
 * it is positioned anew. One thread at a time. */
#ifndef CHR_ENGINE_ITER_H
#define CHR_ENGINE_ITER_H

#include "engine/entry.h"

typedef struct iter iter;
struct iter_ops {
    void (*first)(iter *);
    void (*last)(iter *);
    void (*seek)(iter *, slice key, uint64_t trailer);      /* first entry at or after, in internal order */
    void (*seek_back)(iter *, slice key, uint64_t trailer); /* last entry at or before */
    void (*next)(iter *);                                   /* requires valid */
    void (*prev)(iter *); /* requires valid; may follow next and the other way round */
    void (*free)(iter *);
};
struct iter {
    const struct iter_ops *ops;
    bool                   valid;
    chr_status             status;
    buf                    error; /* chr_message() of `status`, for whoever asks later */
    entry                  at;
};

static inline void iter_first(iter *it) { it->ops->first(it); }
static inline void iter_last(iter *it) { it->ops->last(it); }
static inline void iter_seek(iter *it, slice key, uint64_t trailer) { it->ops->seek(it, key, trailer); }
static inline void iter_seek_back(iter *it, slice key, uint64_t trailer) { it->ops->seek_back(it, key, trailer); }
static inline void iter_next(iter *it)
{
    assert(it->valid);
    it->ops->next(it);
}
static inline void iter_prev(iter *it)
{
    assert(it->valid);
    it->ops->prev(it);
}
static inline void iter_free(iter *it)
{
    if (it) it->ops->free(it);
}

/* Makes `it` invalid with a status and the thread's message. */
static inline void iter_fail(iter *it, chr_status st)
{
    it->valid = false;
    it->status = st;
    buf_set(&it->error, chr_str(chr_message()));
}

/* The merge of `n` cursors (merge.c), which it owns from now on, also when it returns NULL for want of memory.
 * Equal (key, trailer) pairs do not occur. One source is returned as it is. An error in any source makes the
 * merge invalid with that error. */
iter *merge_iter_new(iter **sources, size_t n);

#endif
