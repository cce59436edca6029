/* A merge of cursors: a heap of those that are valid, the one whose turn it is on top. Going forward that is the
 * smallest, going backward the largest. The first eight bytes of each one's key are at hand in the heap, so that most
 * comparisons touch no key; and the next entry often comes from the same cursor, which costs two comparisons.
 *
 * Forward, every other cursor stands on its first entry after the current one; backward, on its last one before it.
 * To turn round, all of them are positioned anew: a memtable may have got entries in between, so a step is not
 * enough. */
#include "engine/iter.h"
#include "engine/prefix.h"

#include <stdlib.h>

typedef struct source {
    uint64_t prefix;
    iter    *it;
} source;

typedef struct merge_iter {
    iter    base;
    bool    backward;
    size_t  n, n_heap;
    iter  **all;
    source *heap;
} merge_iter;

static merge_iter *self(iter *it) { return (merge_iter *)it; }

static inline bool goes_first(const merge_iter *m, const source *a, const source *b)
{
    if (a->prefix != b->prefix) return (a->prefix < b->prefix) != m->backward;
    int c = entry_compare(a->it->at.key, a->it->at.trailer, b->it->at.key, b->it->at.trailer);
    assert(c != 0);
    return (c < 0) != m->backward;
}

static void sift_down(merge_iter *m, size_t i)
{
    source moving = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) break;
        if (child + 1 < m->n_heap && goes_first(m, &m->heap[child + 1], &m->heap[child])) child++;
        if (!goes_first(m, &m->heap[child], &moving)) break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = moving;
}

static void take_error(merge_iter *m, const iter *from)
{
    m->base.valid = false;
    m->base.status = from->status;
    buf_set(&m->base.error, buf_slice(&from->error));
}

static inline void show_top(merge_iter *m)
{
    m->base.valid = m->n_heap > 0;
    if (m->base.valid) m->base.at = m->heap[0].it->at;
}

/* All sources have been positioned for the direction. */
static void build(merge_iter *m)
{
    m->n_heap = 0;
    m->base.status = CHR_OK;
    for (size_t i = 0; i < m->n; i++) {
        iter *it = m->all[i];
        if (it->valid) {
            m->heap[m->n_heap++] = (source){ key_prefix(it->at.key, 0), it };
        } else if (it->status != CHR_OK) {
            take_error(m, it);
            return;
        }
    }
    for (size_t i = m->n_heap / 2; i-- > 0;) sift_down(m, i);
    show_top(m);
}

/* The one on top has moved. */
static inline void settle_top(merge_iter *m)
{
    iter *it = m->heap[0].it;
    if (it->valid) {
        m->heap[0].prefix = key_prefix(it->at.key, 0);
    } else if (it->status != CHR_OK) {
        take_error(m, it);
        return;
    } else if (--m->n_heap > 0) {
        m->heap[0] = m->heap[m->n_heap];
    }
    if (m->n_heap > 1) sift_down(m, 0);
    show_top(m);
}

static void merge_first(iter *it)
{
    merge_iter *m = self(it);
    m->backward = false;
    for (size_t i = 0; i < m->n; i++) iter_first(m->all[i]);
    build(m);
}

static void merge_last(iter *it)
{
    merge_iter *m = self(it);
    m->backward = true;
    for (size_t i = 0; i < m->n; i++) iter_last(m->all[i]);
    build(m);
}

static void merge_seek(iter *it, slice key, uint64_t trailer)
{
    merge_iter *m = self(it);
    m->backward = false;
    for (size_t i = 0; i < m->n; i++) iter_seek(m->all[i], key, trailer);
    build(m);
}

static void merge_seek_back(iter *it, slice key, uint64_t trailer)
{
    merge_iter *m = self(it);
    m->backward = true;
    for (size_t i = 0; i < m->n; i++) iter_seek_back(m->all[i], key, trailer);
    build(m);
}

/* The current entry's cursor moves last, for the entry's key must stay until the others have been positioned. */
static void turn(merge_iter *m, bool backward)
{
    iter *current = m->heap[0].it;
    entry at = m->base.at;
    m->backward = backward;
    for (size_t i = 0; i < m->n; i++) {
        if (m->all[i] == current) continue;
        if (backward)
            iter_seek_back(m->all[i], at.key, at.trailer);
        else
            iter_seek(m->all[i], at.key, at.trailer);
    }
    if (backward)
        iter_prev(current);
    else
        iter_next(current);
    build(m);
}

static void merge_next(iter *it)
{
    merge_iter *m = self(it);
    if (m->backward) {
        turn(m, false);
        return;
    }
    iter_next(m->heap[0].it);
    settle_top(m);
}

static void merge_prev(iter *it)
{
    merge_iter *m = self(it);
    if (!m->backward) {
        turn(m, true);
        return;
    }
    iter_prev(m->heap[0].it);
    settle_top(m);
}

static void merge_free(iter *it)
{
    merge_iter *m = self(it);
    for (size_t i = 0; i < m->n; i++) iter_free(m->all[i]);
    free(m->all);
    free(m->heap);
    chr_buf_free(&it->error);
    free(m);
}

static const struct iter_ops merge_ops = {
    .first = merge_first,
    .last = merge_last,
    .seek = merge_seek,
    .seek_back = merge_seek_back,
    .next = merge_next,
    .prev = merge_prev,
    .free = merge_free,
};

iter *merge_iter_new(iter **sources, size_t n)
{
    if (n == 1) return sources[0];
    merge_iter *m = calloc(1, sizeof *m);
    if (m) {
        m->base.ops = &merge_ops;
        m->n = n;
        m->all = calloc(n + 1, sizeof(iter *));
        m->heap = calloc(n + 1, sizeof *m->heap);
    }
    if (!m || !m->all || !m->heap) {
        for (size_t i = 0; i < n; i++) iter_free(sources[i]);
        if (m) {
            m->n = 0;
            merge_free(&m->base);
        }
        return NULL;
    }
    for (size_t i = 0; i < n; i++) m->all[i] = sources[i];
    return &m->base;
}
