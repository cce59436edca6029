/* Iterating over live keys: a merge of all memtables and tables gives every version of every key in internal order;
 * this picks of each key the newest version that the iterator may see, and passes over what is deleted.
 *
 * Forward, the merge stands on the version that is shown. Backward, the versions of a key come oldest first, so
 * the one to show is copied and the merge stands before its key. */
#include "engine/db_impl.h"
#include "engine/level_iter.h"

#include <stdlib.h>

struct db_iter {
    db              *db;
    view            *view; /* a reference */
    uint64_t         seq;
    iter            *in;
    const rangedel **dels; /* of all sources that have any */
    size_t           n_dels;
    buf              lower, upper;
    bool             has_lower, has_upper;
    bool             valid, backward;
    buf              key;          /* of what is shown */
    buf              value;        /* backward only */
    bool             is_reference; /* and not the value itself */
    cache_handle    *pin;          /* what the reference is to, once somebody has asked */
    chr_status       st;
    buf              error;
};

static void leave(db_iter *it)
{
    it->valid = false;
    if (it->pin) cache_release(it->db->cache, it->pin);
    it->pin = NULL;
}

static void clear_position(db_iter *it)
{
    leave(it);
    it->st = CHR_OK;
}

static void fail_iter(db_iter *it, chr_status st, slice message)
{
    it->valid = false;
    it->st = st;
    buf_set(&it->error, message);
}

/* True: the merge has ended because of an error, which is now ours. */
static bool merge_failed(db_iter *it)
{
    if (it->in->valid || it->in->status == CHR_OK) return false;
    fail_iter(it, it->in->status, buf_slice(&it->in->error));
    return true;
}

static bool out_of_bounds(const db_iter *it, slice key)
{
    if (it->backward) return it->has_lower && slice_compare(key, buf_slice(&it->lower)) < 0;
    return it->has_upper && slice_compare(key, buf_slice(&it->upper)) >= 0;
}

static bool range_deleted(const db_iter *it, const entry *e)
{
    for (size_t i = 0; i < it->n_dels; i++)
        if (rangedel_covers(it->dels[i], e->key, it->seq) > trailer_seq(e->trailer)) return true;
    return false;
}

static bool is_live(const db_iter *it, const entry *e)
{
    return trailer_kind(e->trailer) != KIND_DELETE && !range_deleted(it, e);
}

/* From where the merge stands to the first key that is live. `passed`: the versions of it->key are to be skipped. */
static void settle_forward(db_iter *it, bool passed)
{
    leave(it);
    while (it->in->valid) {
        const entry *e = &it->in->at;
        if (out_of_bounds(it, e->key)) return;
        bool hidden = trailer_seq(e->trailer) > it->seq || (passed && slice_equal(e->key, buf_slice(&it->key)));
        if (!hidden) {
            if (!buf_set(&it->key, e->key)) {
                fail_iter(it, chr_nomem(), chr_str(chr_message()));
                return;
            }
            if (is_live(it, e)) {
                it->valid = true;
                it->is_reference = trailer_kind(e->trailer) == KIND_BLOB;
                return;
            }
            passed = true; /* a tombstone hides the older versions */
        }
        iter_next(it->in);
    }
    merge_failed(it);
}

/* From where the merge stands, at the oldest version of some key, backward to the first key that is live. */
static void settle_backward(db_iter *it)
{
    leave(it);
    while (it->in->valid) {
        const entry *e = &it->in->at;
        if (out_of_bounds(it, e->key)) return;
        if (!buf_set(&it->key, e->key)) goto no_memory;
        bool live = false;
        while (it->in->valid && slice_equal(it->in->at.key, buf_slice(&it->key))) {
            e = &it->in->at;
            if (trailer_seq(e->trailer) <= it->seq) {
                live = is_live(it, e);
                if (live && !buf_set(&it->value, e->value)) goto no_memory;
                it->is_reference = trailer_kind(e->trailer) == KIND_BLOB;
            }
            iter_prev(it->in);
        }
        if (merge_failed(it)) return;
        if (live) {
            it->valid = true;
            return;
        }
    }
    merge_failed(it);
    return;
no_memory:
    fail_iter(it, chr_nomem(), chr_str(chr_message()));
}

void db_iter_seek(db_iter *it, slice key)
{
    clear_position(it);
    it->backward = false;
    if (it->has_lower && slice_compare(key, buf_slice(&it->lower)) < 0) key = buf_slice(&it->lower);
    iter_seek(it->in, key, seek_trailer(it->seq));
    settle_forward(it, false);
}

void db_iter_first(db_iter *it)
{
    if (it->has_lower) {
        db_iter_seek(it, buf_slice(&it->lower));
        return;
    }
    clear_position(it);
    it->backward = false;
    iter_first(it->in);
    settle_forward(it, false);
}

void db_iter_seek_back(db_iter *it, slice key)
{
    clear_position(it);
    it->backward = true;
    if (it->has_upper && slice_compare(key, buf_slice(&it->upper)) >= 0) {
        /* The upper bound is exclusive: the last entry before every version of it. */
        iter_seek_back(it->in, buf_slice(&it->upper), UINT64_MAX);
        while (it->in->valid && slice_compare(it->in->at.key, buf_slice(&it->upper)) >= 0) iter_prev(it->in);
    } else {
        iter_seek_back(it->in, key, 0);
    }
    settle_backward(it);
}

void db_iter_last(db_iter *it)
{
    if (it->has_upper) {
        db_iter_seek_back(it, buf_slice(&it->upper));
        return;
    }
    clear_position(it);
    it->backward = true;
    iter_last(it->in);
    settle_backward(it);
}

void db_iter_next(db_iter *it)
{
    assert(it->valid);
    if (it->backward) {
        /* The merge stands before all versions of the key that is shown. */
        it->backward = false;
        iter_seek(it->in, buf_slice(&it->key), seek_trailer(it->seq));
    }
    settle_forward(it, true);
}

void db_iter_prev(db_iter *it)
{
    assert(it->valid);
    if (!it->backward) {
        it->backward = true;
        while (it->in->valid && slice_equal(it->in->at.key, buf_slice(&it->key))) iter_prev(it->in);
        if (merge_failed(it)) return;
    }
    settle_backward(it);
}

bool     db_iter_valid(const db_iter *it) { return it->valid; }
uint64_t db_iter_seq(const db_iter *it) { return it->seq; }
slice    db_iter_key(const db_iter *it)
{
    assert(it->valid);
    return buf_slice(&it->key);
}
chr_status db_iter_value(db_iter *it, slice *value)
{
    assert(it->valid);
    *value = it->backward ? buf_slice(&it->value) : it->in->at.value;
    if (!it->is_reference) return CHR_OK;
    chr_status st = it->pin ? CHR_OK : db_resolve(it->db, it->view->version, *value, &it->pin);
    if (!chr_ok(st)) return st;
    *value = blob_value(it->pin);
    return CHR_OK;
}
chr_status db_iter_head(db_iter *it, slice *head, size_t *len)
{
    slice shown = it->backward ? buf_slice(&it->value) : it->in->at.value;
    if (it->is_reference && !it->pin && db_head_of(shown, head, len)) return CHR_OK;
    chr_status st = db_iter_value(it, head);
    *len = head->len;
    return st;
}
chr_status db_iter_status(const db_iter *it)
{
    return it->st == CHR_OK ? CHR_OK
                            : chr_fail(it->st, "%.*s", (int)it->error.len, it->error.data ? it->error.data : "");
}

/* ---- making one ---- */

static bool add_dels(db_iter *it, const rangedel *set, size_t *cap)
{
    if (!set || rangedel_count(set) == 0) return true;
    if (it->n_dels == *cap) {
        size_t           to = *cap ? 2 * *cap : 8;
        const rangedel **more = realloc(it->dels, to * sizeof *more);
        if (!more) return false;
        it->dels = more;
        *cap = to;
    }
    it->dels[it->n_dels++] = set;
    return true;
}

static chr_status gather(db_iter *it)
{
    const version *v = it->view->version;
    size_t         n = 0, cap_dels = 0;
    iter         **sources = calloc(it->view->n_mem + v->levels[0].count + LEVELS, sizeof *sources);
    if (!sources) return chr_nomem();
    chr_status st = CHR_OK;
    for (size_t i = 0; i < it->view->n_mem && chr_ok(st); i++) {
        const rangedel *set;
        st = memtable_rangedels(it->view->mem[i]->mem, &set);
        if (chr_ok(st) && (!add_dels(it, set, &cap_dels) || !(sources[n] = memtable_iter_new(it->view->mem[i]->mem))))
            st = chr_nomem();
        if (chr_ok(st)) n++;
    }
    slice lower = it->has_lower ? buf_slice(&it->lower) : chr_bytes(NULL, 0);
    slice upper = it->has_upper ? buf_slice(&it->upper) : chr_bytes(NULL, 0);
    for (uint32_t i = 0; i < LEVELS && chr_ok(st); i++) {
        const level *l = &v->levels[i];
        for (size_t k = 0; k < l->count && chr_ok(st); k++) {
            if (!table_overlaps(table_ref_info(l->tables[k]), lower, upper, true)) continue;
            if (!add_dels(it, table_rangedels(l->tables[k]->table), &cap_dels)) st = chr_nomem();
            if (i > 0 || !chr_ok(st)) continue;
            if ((sources[n] = table_iter_new(l->tables[k]->table, TABLE_CACHED)))
                n++;
            else
                st = chr_nomem();
        }
        if (i == 0 || l->count == 0 || !chr_ok(st)) continue;
        if ((sources[n] = level_iter_new(l->tables, l->count, TABLE_CACHED)))
            n++;
        else
            st = chr_nomem();
    }
    if (chr_ok(st)) {
        it->in = merge_iter_new(sources, n);
        if (!it->in) st = chr_nomem();
    } else {
        for (size_t i = 0; i < n; i++) iter_free(sources[i]);
    }
    free(sources);
    return st;
}

chr_status db_iter_new(db *d, const db_snapshot *snapshot, slice lower, slice upper, db_iter **out)
{
    db_iter *it = calloc(1, sizeof *it);
    if (!it) return chr_nomem();
    it->db = d;
    it->has_lower = lower.data != NULL;
    it->has_upper = upper.data != NULL;
    chr_status st = buf_set(&it->lower, lower) && buf_set(&it->upper, upper) ? CHR_OK : chr_nomem();
    it->view = db_view_take(d);
    it->seq = db_visible_seq(d);
    if (snapshot && snapshot->seq < it->seq) it->seq = snapshot->seq;
    if (chr_ok(st)) st = gather(it);
    if (!chr_ok(st)) {
        db_iter_free(it);
        return st;
    }
    *out = it;
    return CHR_OK;
}

void db_iter_free(db_iter *it)
{
    if (!it) return;
    leave(it);
    iter_free(it->in);
    view_drop(it->view);
    free(it->dels);
    chr_buf_free(&it->lower);
    chr_buf_free(&it->upper);
    chr_buf_free(&it->key);
    chr_buf_free(&it->value);
    chr_buf_free(&it->error);
    free(it);
}
