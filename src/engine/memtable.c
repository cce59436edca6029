/* A memtable: puts and deletes in a B+tree (memtree.c), range tombstones apart from them.
 *
 * Range tombstones are kept in a list, and as runs that readers look into: run sizes are powers of RUN_RADIX and
 * never grow towards the newest, like the digits of a number. A new tombstone is a run of one; whenever there are
 * RUN_RADIX runs of a size, they become one. So n tombstones cost n log n in all, and a lookup log n searches,
 * in whatever way writes and reads take turns. A run moves only towards the front of the array, and readers go
 * through it from the end, so they never miss one. Runs that were replaced are kept to the end, for readers may be in
 * them. */
#include "engine/memtable.h"

#include "engine/memtree.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    RUN_RADIX = 4,
    RUN_SIZES = 16,
    RUNS_MAX = RUN_SIZES * (RUN_RADIX - 1), /* enough for 4^16 tombstones */
};

/* A set that lives as long as the memtable. */
typedef struct kept_set {
    struct kept_set *next;
    rangedel        *set;
} kept_set;

struct memtable {
    memtree                   tree;
    arena                     memory; /* of entries; writer only */
    _Atomic(uint64_t)         entries;
    _Atomic(const rangedel *) runs[RUNS_MAX];
    _Atomic(size_t)           n_runs;     /* those that a reader has to look at */
    _Atomic(size_t)           set_bytes;  /* of all sets */
    pthread_mutex_t           mu;         /* protects what follows; held briefly by the writer, and to make `all` */
    range_tombstone          *tombstones; /* in order of arrival */
    size_t                    n_tombstones, cap_tombstones;
    const rangedel           *all; /* of the first n_all tombstones */
    size_t                    n_all;
    kept_set                 *kept;
};

memtable *memtable_new(void)
{
    memtable *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    arena_init(&m->memory);
    if (!memtree_init(&m->tree) || pthread_mutex_init(&m->mu, NULL) != 0) {
        memtree_free(&m->tree);
        free(m);
        return NULL;
    }
    return m;
}

void memtable_free(memtable *m)
{
    if (!m) return;
    while (m->kept) {
        kept_set *k = m->kept;
        m->kept = k->next;
        rangedel_free(k->set);
        free(k);
    }
    free(m->tombstones);
    pthread_mutex_destroy(&m->mu);
    memtree_free(&m->tree);
    arena_free(&m->memory);
    free(m);
}

/* ---- range tombstones ---- */

/* A set of tombstones [from, to), kept. NULL: no memory. mu held. */
static const rangedel *make_set(memtable *m, size_t from, size_t to)
{
    kept_set *k = malloc(sizeof *k);
    rangedel *set = k ? rangedel_new(m->tombstones + from, to - from) : NULL;
    if (!set) {
        free(k);
        return NULL;
    }
    *k = (kept_set){ m->kept, set };
    m->kept = k;
    atomic_fetch_add_explicit(&m->set_bytes, rangedel_bytes(set) + sizeof *k, memory_order_relaxed);
    return set;
}

/* Runs that stand for `n` tombstones: the sum of the digits of n. */
static size_t runs_for(size_t n)
{
    size_t runs = 0;
    for (; n > 0; n /= RUN_RADIX) runs += n % RUN_RADIX;
    return runs;
}

static bool add_tombstone(memtable *m, range_tombstone tombstone)
{
    if (m->n_tombstones == m->cap_tombstones) {
        size_t           cap = m->cap_tombstones ? 2 * m->cap_tombstones : 8;
        range_tombstone *more = realloc(m->tombstones, cap * sizeof *more);
        if (!more) return false;
        m->tombstones = more;
        m->cap_tombstones = cap;
    }
    m->tombstones[m->n_tombstones] = tombstone;
    size_t n = m->n_tombstones + 1, size = 1;
    while (n % (size * RUN_RADIX) == 0) size *= RUN_RADIX;
    const rangedel *run = make_set(m, n - size, n);
    if (!run) return false;
    m->n_tombstones = n;
    size_t runs = runs_for(n), old = atomic_load_explicit(&m->n_runs, memory_order_relaxed);
    assert(runs > 0 && runs <= RUNS_MAX);
    atomic_store_explicit(&m->runs[runs - 1], run, memory_order_release);
    if (runs > old) atomic_store_explicit(&m->n_runs, runs, memory_order_release);
    for (size_t i = runs; i < old; i++) atomic_store_explicit(&m->runs[i], NULL, memory_order_release);
    return true;
}

chr_status memtable_range_deleted(memtable *m, slice key, uint64_t seq, uint64_t *tombstone_seq)
{
    uint64_t newest = 0;
    for (size_t i = atomic_load_explicit(&m->n_runs, memory_order_acquire); i-- > 0;) {
        uint64_t covered = rangedel_covers(atomic_load_explicit(&m->runs[i], memory_order_acquire), key, seq);
        if (covered > newest) newest = covered;
    }
    *tombstone_seq = newest;
    return CHR_OK;
}

chr_status memtable_rangedels(memtable *m, const rangedel **set)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&m->mu);
    if (m->n_all < m->n_tombstones) {
        const rangedel *all = make_set(m, 0, m->n_tombstones);
        if (all) {
            m->all = all;
            m->n_all = m->n_tombstones;
        } else {
            st = chr_nomem();
        }
    }
    if (chr_ok(st)) *set = m->all;
    pthread_mutex_unlock(&m->mu);
    return st;
}

/* ---- entries ---- */

chr_status memtable_insert(memtable *m, slice key, uint64_t trailer, slice value)
{
    mem_entry *e = mem_entry_new(&m->memory, key, trailer, value);
    bool       good = e != NULL;
    if (good && trailer_kind(trailer) == KIND_DELETE_RANGE) {
        entry kept = mem_entry_read(e);
        pthread_mutex_lock(&m->mu);
        good = add_tombstone(m, (range_tombstone){ kept.key, kept.value, trailer_seq(trailer) });
        pthread_mutex_unlock(&m->mu);
    } else if (good) {
        good = memtree_insert(&m->tree, e);
    }
    if (!good) return chr_nomem();
    atomic_store_explicit(&m->entries, memtable_entries(m) + 1, memory_order_relaxed);
    return CHR_OK;
}

bool memtable_get(const memtable *m, slice key, uint64_t seq, entry *found)
{
    const mem_entry *e = memtree_find(&m->tree, key, seek_trailer(seq));
    if (!e) return false;
    entry first = mem_entry_read(e);
    if (!slice_equal(first.key, key)) return false;
    *found = first;
    return true;
}

size_t memtable_bytes(const memtable *m)
{
    return arena_used(&m->memory) + arena_used(&m->tree.memory) +
           atomic_load_explicit(&m->set_bytes, memory_order_relaxed);
}

uint64_t memtable_entries(const memtable *m) { return atomic_load_explicit(&m->entries, memory_order_relaxed); }

/* ---- iterator ---- */

typedef struct memtable_iter {
    iter           base;
    memtree_cursor cursor;
} memtable_iter;

static memtable_iter *self(iter *it) { return (memtable_iter *)it; }

static void take(memtable_iter *it, bool found)
{
    it->base.valid = found;
    it->base.status = CHR_OK;
    if (found) it->base.at = mem_entry_read(it->cursor.entries[it->cursor.at]);
}

static void iter_to_first(iter *it)
{
    take(self(it), memtree_seek(&self(it)->cursor, (memtree_bound){ .trailer = UINT64_MAX, .side = BEFORE }));
}
static void iter_to_last(iter *it)
{
    take(self(it), memtree_seek_back(&self(it)->cursor, (memtree_bound){ .side = AT_END }));
}

static void iter_to(iter *it, slice key, uint64_t trailer)
{
    take(self(it), memtree_seek(&self(it)->cursor, (memtree_bound){ key, trailer, BEFORE }));
}

static void iter_back_to(iter *it, slice key, uint64_t trailer)
{
    take(self(it), memtree_seek_back(&self(it)->cursor, (memtree_bound){ key, trailer, AFTER }));
}

static void iter_forward(iter *it) { take(self(it), memtree_next(&self(it)->cursor)); }
static void iter_backward(iter *it) { take(self(it), memtree_prev(&self(it)->cursor)); }

static void iter_release(iter *it)
{
    chr_buf_free(&it->error);
    free(it);
}

static const struct iter_ops memtable_iter_ops = {
    .first = iter_to_first,
    .last = iter_to_last,
    .seek = iter_to,
    .seek_back = iter_back_to,
    .next = iter_forward,
    .prev = iter_backward,
    .free = iter_release,
};

iter *memtable_iter_new(const memtable *m)
{
    memtable_iter *it = calloc(1, sizeof *it);
    if (!it) return NULL;
    it->base.ops = &memtable_iter_ops;
    it->cursor.tree = &m->tree;
    return &it->base;
}
