/* Walking a table, and checking it whole.
 *
 * A cursor holds one block: pinned in the cache, or, for TABLE_SEQUENTIAL, in a window of the file that is read at one
 * go. Where it steps from block to block, the entries on both sides are checked against the bound between. */
#include "engine/blob.h"
#include "engine/filter.h"
#include "engine/table_format.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WINDOW_BYTES = 1 << 20,
    READ_AHEAD_MIN = 8 << 10,
    READ_AHEAD_MAX = 256 << 10,
};
static const char out_of_bounds[] = "the entries of the block are not within its bounds in the index";

typedef struct table_iter {
    iter          base;
    const table  *t;
    table_access  access;
    block_cursor  cursor;
    size_t        nth;      /* block that the cursor is in */
    bool          loaded;   /* whether it is in one */
    cache_handle *pin;      /* TABLE_CACHED */
    size_t        ahead;    /* bytes of the next read-ahead; 0: not reading in sequence */
    uint64_t      ahead_to; /* what lies between here and the cursor has been asked for */
    char         *window;   /* TABLE_SEQUENTIAL: bytes of the file */
    size_t        window_cap, window_len;
    uint64_t      window_at;
    char         *unpacked; /* the block, if it was packed */
} table_iter;

static table_iter *self(iter *it) { return (table_iter *)it; }

static void unload(table_iter *it)
{
    if (it->pin) cache_release(it->t->cache, it->pin);
    it->pin = NULL;
    free(it->unpacked);
    it->unpacked = NULL;
    it->loaded = false;
}

/* ---- getting at blocks ---- */

/* Asks for more of the file when blocks are read in sequence, and for more each time. Blocks that come from the cache
 * ask for nothing. */
static void read_ahead(table_iter *it, size_t i, bool forward, bool in_sequence)
{
    const uint64_t *at = it->t->index.block_at;
    uint64_t        data_end = at[it->t->index.n];
    if (!in_sequence) {
        it->ahead = 0;
        return;
    }
    if (it->ahead == 0) {
        it->ahead = READ_AHEAD_MIN;
        it->ahead_to = forward ? at[i + 1] : at[i];
    }
    if (forward ? at[i + 1] < it->ahead_to : at[i] > it->ahead_to) return;
    uint64_t from = forward ? at[i + 1] : at[i] > it->ahead ? at[i] - it->ahead : 0;
    uint64_t to = forward ? (data_end - from < it->ahead ? data_end : from + it->ahead) : at[i];
    if (from < to) env_read_ahead(it->t->file, from, to - from);
    it->ahead_to = forward ? to : from;
    if (it->ahead < READ_AHEAD_MAX) it->ahead *= 2;
}

/* Makes the window hold block i, and what lies beyond it in the direction of travel. */
static chr_status move_window(table_iter *it, size_t i, bool forward)
{
    const uint64_t *at = it->t->index.block_at;
    if (it->window_len && at[i] >= it->window_at && at[i + 1] <= it->window_at + it->window_len) return CHR_OK;
    uint64_t len = at[i + 1] - at[i], all = at[it->t->index.n];
    if (len < WINDOW_BYTES) len = all < WINDOW_BYTES ? all : WINDOW_BYTES;
    uint64_t from = forward ? at[i] : at[i + 1] > len ? at[i + 1] - len : 0;
    if (len > all - from) len = all - from;
    it->window_len = 0;
    if (len > it->window_cap) {
        char *more = malloc(len);
        if (!more) return chr_nomem();
        free(it->window);
        it->window = more;
        it->window_cap = len;
    }
    chr_status st = table_read(it->t, it->window, len, from);
    if (!chr_ok(st)) return st;
    it->window_at = from;
    it->window_len = len;
    return CHR_OK;
}

/* Puts the cursor into block i, at no entry yet. False: the iterator has failed. */
static bool load(table_iter *it, size_t i, bool forward)
{
    bool         missed, in_sequence = it->loaded && i == (forward ? it->nth + 1 : it->nth - 1);
    block        own = it->cursor.b;
    const block *b = &own;
    chr_status   st;
    if (it->loaded && i == it->nth) {
        block_cursor_set(&it->cursor, b);
        return true;
    }
    unload(it);
    if (it->access == TABLE_CACHED) {
        st = table_read_block(it->t, i, &it->pin, &b, &missed);
        if (chr_ok(st) && missed) read_ahead(it, i, forward, in_sequence);
    } else {
        slice raw;
        st = move_window(it, i, forward);
        if (chr_ok(st))
            st = table_check_block(it->t, i, it->window + (it->t->index.block_at[i] - it->window_at), 0, &raw,
                                   &it->unpacked);
        const char *problem = chr_ok(st) ? block_open(raw, &own) : NULL;
        if (problem) st = table_block_problem(it->t, i, problem);
    }
    if (!chr_ok(st)) {
        unload(it);
        iter_fail(&it->base, st);
        return false;
    }
    it->nth = i;
    it->loaded = true;
    block_cursor_set(&it->cursor, b);
    return true;
}

/* ---- moving ---- */

static void fail(table_iter *it, const char *problem)
{
    iter_fail(&it->base, table_block_problem(it->t, it->nth, problem));
}

/* Shows what the cursor stands on. False: it stands on nothing, because of an error or not. */
static inline bool show(table_iter *it)
{
    const block_cursor *c = &it->cursor;
    it->base.valid = c->valid;
    if (!c->valid) {
        if (c->problem) fail(it, c->problem);
        return false;
    }
    it->base.at = (entry){ buf_slice(&c->key), c->trailer, c->value };
    return true;
}

static bool ended(const table_iter *it) { return !it->base.valid && it->base.status == CHR_OK; }

/* From the end of a block to the entry behind it. */
static void forward(table_iter *it)
{
    const block_cursor *c = &it->cursor;
    size_t              i = it->nth + 1;
    if (i == it->t->index.n || !load(it, i, true)) return;
    block_cursor_first(&it->cursor);
    if (show(it) && table_compare_bound(it->t, i - 1, buf_slice(&c->key), c->trailer) >= 0) fail(it, out_of_bounds);
}

/* From the beginning of a block to the entry before it. */
static void backward(table_iter *it)
{
    const block_cursor *c = &it->cursor;
    if (it->nth == 0 || !load(it, it->nth - 1, false)) return;
    block_cursor_last(&it->cursor);
    if (show(it) && table_compare_bound(it->t, it->nth, buf_slice(&c->key), c->trailer) < 0) fail(it, out_of_bounds);
}

/* Begins a new walk in block i. */
static bool begin(table_iter *it, size_t i, bool ahead)
{
    it->base.valid = false;
    it->base.status = CHR_OK;
    it->ahead = 0;
    return i < it->t->index.n && load(it, i, ahead);
}

static void table_first(iter *base)
{
    table_iter *it = self(base);
    if (!begin(it, 0, true)) return;
    block_cursor_first(&it->cursor);
    (void)show(it);
}

static void table_last(iter *base)
{
    table_iter *it = self(base);
    if (!begin(it, it->t->index.n - 1, false)) return; /* of no blocks there is no last: n - 1 is beyond n */
    block_cursor_last(&it->cursor);
    (void)show(it);
}

static void table_seek(iter *base, slice key, uint64_t trailer)
{
    table_iter *it = self(base);
    if (!key.data) key = chr_bytes("", 0);
    if (!begin(it, table_find_block(it->t, key, trailer), true)) return;
    block_cursor_seek(&it->cursor, key, trailer);
    if (!show(it) && ended(it)) forward(it);
}

static void table_seek_back(iter *base, slice key, uint64_t trailer)
{
    table_iter *it = self(base);
    if (!key.data) key = chr_bytes("", 0);
    size_t i = table_find_block(it->t, key, trailer);
    if (i == it->t->index.n) {
        table_last(base);
        return;
    }
    if (!begin(it, i, false)) return;
    block_cursor_seek_back(&it->cursor, key, trailer);
    if (!show(it) && ended(it)) backward(it);
}

static void table_next(iter *base)
{
    table_iter   *it = self(base);
    block_cursor *c = &it->cursor;
    block_cursor_next(c);
    if (show(it) || !ended(it)) return;
    /* The cursor still has the key it came from. */
    if (table_compare_bound(it->t, it->nth, buf_slice(&c->key), c->trailer) < 0)
        fail(it, out_of_bounds);
    else
        forward(it);
}

static void table_prev(iter *base)
{
    table_iter *it = self(base);
    block_cursor_prev(&it->cursor);
    if (!show(it) && ended(it)) backward(it);
}

static void table_iter_free(iter *base)
{
    table_iter *it = self(base);
    unload(it);
    block_cursor_free(&it->cursor);
    chr_buf_free(&it->base.error);
    free(it->window);
    free(it);
}

static iter *iter_over(const table *t, table_access access)
{
    static const struct iter_ops ops = { table_first, table_last, table_seek,     table_seek_back,
                                         table_next,  table_prev, table_iter_free };
    table_iter                  *it = calloc(1, sizeof *it);
    if (!it) return NULL;
    it->base.ops = &ops;
    it->t = t;
    it->access = access;
    return &it->base;
}

iter *table_iter_new(table *t, table_access access) { return iter_over(t, access); }

/* ---- checking ---- */

/* What is counted while a table is walked, to be compared with what it says of itself. */
typedef struct tally {
    uint64_t entries, deletes, raw_bytes, min_seq, max_seq;
    bool     within;   /* all keys are within the bounds */
    bool     filtered; /* the filter knows all keys */
    bool     referred; /* all references make sense */

    table_blob *blobs;
    size_t      n_blobs;
} tally;

/* False: no memory. */
static bool count(tally *n, const table *t, const entry *at)
{
    blob_at           ref = { 0 };
    const table_info *info = &t->info;
    int               above = slice_compare(at->key, buf_slice(&info->largest));
    uint64_t          seq = trailer_seq(at->trailer);
    n->entries++;
    n->deletes += trailer_kind(at->trailer) == KIND_DELETE;
    n->raw_bytes += at->key.len + at->value.len;
    if (seq < n->min_seq) n->min_seq = seq;
    if (seq > n->max_seq) n->max_seq = seq;
    if (slice_compare(at->key, buf_slice(&info->smallest)) < 0 || (info->largest_exclusive ? above >= 0 : above > 0))
        n->within = false;
    if (!filter_may_hold(chr_bytes(t->filter, t->filter_len), hash64(at->key))) n->filtered = false;
    if (trailer_kind(at->trailer) != KIND_BLOB) return true;
    if (blob_ref_decode(at->value, &ref, NULL)) return table_blobs_add(&n->blobs, &n->n_blobs, ref);
    n->referred = false;
    return true;
}

static void count_ranges(tally *n, const table *t)
{
    for (size_t i = 0; i < rangedel_count(t->ranges); i++) {
        range_fragment f = rangedel_at(t->ranges, i);
        if (slice_compare(f.start, buf_slice(&t->info.smallest)) < 0 ||
            slice_compare(f.end, buf_slice(&t->info.largest)) > 0)
            n->within = false;
        for (size_t k = 0; k < f.n_seqs; k++) {
            if (f.seqs[k] < n->min_seq) n->min_seq = f.seqs[k];
            if (f.seqs[k] > n->max_seq) n->max_seq = f.seqs[k];
        }
    }
}

static chr_status compare_tally(const table *t, const tally *n)
{
    const table_info *info = &t->info;
    const char       *path = t->file->path;
    uint64_t          at = t->index.block_at[t->index.n];
    if (n->entries != info->entries || n->deletes != info->deletes || n->raw_bytes != info->raw_bytes)
        return chr_corrupt(path, at,
                           "the table has %" PRIu64 " entries (%" PRIu64 " deletes, %" PRIu64
                           " bytes), but says %" PRIu64 " (%" PRIu64 ", %" PRIu64 ")",
                           n->entries, n->deletes, n->raw_bytes, info->entries, info->deletes, info->raw_bytes);
    if (n->entries + info->range_deletes > 0 && (n->min_seq != info->min_seq || n->max_seq != info->max_seq))
        return chr_corrupt(path, at, "the table has seqs %" PRIu64 " to %" PRIu64 ", but says %" PRIu64 " to %" PRIu64,
                           n->min_seq, n->max_seq, info->min_seq, info->max_seq);
    if (!n->within) return chr_corrupt(path, at, "the table has keys outside the bounds it says");
    if (!n->filtered) return chr_corrupt(path, at, "the filter of the table denies keys it has");
    if (!n->referred || n->n_blobs != info->n_blobs ||
        (n->n_blobs && memcmp(n->blobs, info->blobs, n->n_blobs * sizeof *n->blobs) != 0))
        return chr_corrupt(path, at, "the table refers to other values in blob files than it says");
    return CHR_OK;
}

/* What is in memory is not trusted either: the file is loaded anew. */
chr_status table_verify(table *t, table_pause_fn *pause, void *arg)
{
    table      fresh = { .cache = t->cache };
    tally      n = { .min_seq = UINT64_MAX, .within = true, .filtered = true, .referred = true };
    iter      *it = NULL;
    chr_status st = table_load(&fresh, t->file, t->file_no);
    if (!chr_ok(st)) goto done;
    if (!(it = iter_over(&fresh, TABLE_SEQUENTIAL))) {
        st = chr_nomem();
        goto done;
    }
    uint64_t read = 0; /* and told */
    for (iter_first(it); it->valid; iter_next(it)) {
        if (!count(&n, &fresh, &it->at)) {
            st = chr_nomem();
            goto done;
        }
        uint64_t now = self(it)->window_at + self(it)->window_len;
        if (!pause || now == read) continue;
        if (!pause(arg, now - read)) {
            st = chr_fail(CHR_CLOSING, "the store is being closed");
            goto done;
        }
        read = now;
    }
    if (it->status != CHR_OK) {
        st = chr_fail(it->status, "%.*s", (int)it->error.len, it->error.data);
        goto done;
    }
    count_ranges(&n, &fresh);
    st = compare_tally(&fresh, &n);
done:
    iter_free(it);
    table_unload(&fresh);
    free(n.blobs);
    return st;
}
