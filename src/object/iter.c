/* Iterators of a space of objects, over an iterator of the engine's keys: they leave out expired objects and, among the
 * users' keys, the object layer's own, which lie between those that begin with FF and the others. */
#include "object/store_internal.h"

#include <stdlib.h>

struct chr_iter {
    store          *s;
    store_snapshot *snapshot; /* the moment of `it`, for chunks; held */
    db_iter        *it;
    object_space    space;
    uint64_t   now_ms; /* the moment for expiry: what is not there the first time is not there later, and the reverse */
    record     rec;    /* where it stands; its slices are `it`'s */
    bool       is_head;   /* only rec.meta is known; the value has not been read yet */
    chr_status record_st; /* of decoding it */
    chr_status failed;    /* of positioning: then it is not valid */
    buf        value;     /* of a value in chunks */
    bool       value_read;
};

/* ---- making and freeing ---- */

static chr_status bounds(object_space space, slice lower, slice upper, engine_key *from, engine_key *to)
{
    chr_status st = engine_position_of(from, space, lower);
    if (!chr_ok(st)) return st;
    if (space == OBJECT_DIR && !upper.data)
        st = engine_key_in(to, SPACE_DIRS + 1, upper);
    else
        st = engine_position_of(to, space, upper);
    if (!chr_ok(st)) engine_key_free(from);
    return st;
}

chr_status store_iter_new(store *s, const store_snapshot *snapshot, object_space space, slice lower, slice upper,
                          store_iter **out)
{
    engine_key from, to;
    chr_status st = CHR_OK;
    const txn *t = entered(s);
    if (t && t->changes.b.count)
        return chr_fail(CHR_INVALID, "keys cannot be listed behind changes in the same transaction; list them before");
    store_iter *it = calloc(1, sizeof *it);
    if (!it) return chr_nomem();
    it->s = s;
    it->space = space;
    it->now_ms = moment_of(s, snapshot);
    if (snapshot) {
        it->snapshot = (store_snapshot *)snapshot;
        atomic_fetch_add_explicit(&it->snapshot->users, 1, memory_order_relaxed);
    } else if (!chr_ok(st = chr_snapshot_new(s, &it->snapshot))) {
        goto free_it;
    }
    assert(it->snapshot);
    if (!chr_ok(st = bounds(space, lower, upper, &from, &to))) goto release_snapshot;
    st = db_iter_new(s->d, it->snapshot->at, from.bytes, to.bytes, &it->it);
    engine_key_free(&from);
    engine_key_free(&to);
    if (!chr_ok(st)) goto release_snapshot;
    *out = it;
    return CHR_OK;

release_snapshot:
    snapshot_release(it->snapshot);
free_it:
    free(it);
    return st;
}

chr_status store_iter_below(store *s, const store_snapshot *snapshot, object_space space, slice prefix,
                            store_iter **out)
{
    buf        end = { 0 };
    chr_status st = buf_set_prefix_end(&end, prefix) ? store_iter_new(s, snapshot, space, prefix, buf_slice(&end), out)
                                                     : chr_nomem();
    chr_buf_free(&end);
    return st;
}

void chr_iter_free(chr_iter *it)
{
    if (!it) return;
    db_iter_free(it->it);
    snapshot_release(it->snapshot);
    chr_buf_free(&it->value);
    free(it);
}

/* ---- moving ---- */

static chr_status decode(const chr_iter *it, record *rec)
{
    slice      value;
    chr_status st = db_iter_value(it->it, &value);
    return chr_ok(st) ? record_decode(value, &it->s->defaults[it->space], rec) : st;
}

static chr_status decode_head(chr_iter *it)
{
    slice      head;
    size_t     len;
    chr_status st = db_iter_head(it->it, &head, &len);
    it->is_head = chr_ok(st) && head.len < len && record_peek(head, len, &it->s->defaults[it->space], &it->rec.meta);
    return it->is_head ? CHR_OK : decode(it, &it->rec);
}

/* From where the engine's iterator is, on to the first object that is to be seen. */
static void settle(chr_iter *it, bool forward)
{
    it->value_read = false;
    while (db_iter_valid(it->it)) {
        if (it->space == OBJECT_KEY && key_is_internal(db_iter_key(it->it))) {
            if (forward)
                db_iter_seek(it->it, space_start(SPACE_END));
            else
                db_iter_seek_back(it->it, chr_str("\xff")); /* no key is just that */
            continue;
        }
        it->record_st = decode_head(it);
        const uint64_t expire_ms = it->rec.meta.expire_ms;
        if (!chr_ok(it->record_st) || !expire_ms || expire_ms > it->now_ms) return;
        if (forward)
            db_iter_next(it->it);
        else
            db_iter_prev(it->it);
    }
}

void chr_iter_first(chr_iter *it)
{
    it->failed = CHR_OK;
    db_iter_first(it->it);
    settle(it, true);
}

void chr_iter_last(chr_iter *it)
{
    it->failed = CHR_OK;
    db_iter_last(it->it);
    settle(it, false);
}

static void seek(chr_iter *it, slice key, bool forward)
{
    engine_key k;
    it->failed = engine_position_of(&k, it->space, key);
    if (!chr_ok(it->failed)) return;
    if (forward)
        db_iter_seek(it->it, k.bytes);
    else
        db_iter_seek_back(it->it, k.bytes);
    engine_key_free(&k);
    settle(it, forward);
}

void chr_iter_seek(chr_iter *it, chr_slice key) { seek(it, key, true); }
void chr_iter_seek_back(chr_iter *it, chr_slice key) { seek(it, key, false); }

void chr_iter_next(chr_iter *it)
{
    assert(chr_iter_valid(it));
    db_iter_next(it->it);
    settle(it, true);
}

void chr_iter_prev(chr_iter *it)
{
    assert(chr_iter_valid(it));
    db_iter_prev(it->it);
    settle(it, false);
}

/* ---- looking ---- */

bool chr_iter_valid(const chr_iter *it) { return chr_ok(it->failed) && db_iter_valid(it->it); }

chr_slice chr_iter_key(const chr_iter *it)
{
    assert(chr_iter_valid(it));
    return key_of_engine(db_iter_key(it->it));
}

/* Decodes again for the message. */
static chr_status record_status(const chr_iter *it)
{
    record ignored;
    if (chr_ok(it->record_st)) return CHR_OK;
    return decode(it, &ignored);
}

chr_status chr_iter_value(chr_iter *it, chr_slice *value)
{
    assert(chr_iter_valid(it));
    chr_status st = record_status(it);
    if (chr_ok(st) && it->is_head) {
        st = decode(it, &it->rec);
        it->is_head = !chr_ok(st);
    }
    if (!chr_ok(st)) return st;
    if (!it->rec.chunked) {
        *value = it->rec.value;
        return CHR_OK;
    }
    if (!it->value_read && !chr_ok(st = big_get(it->s, it->snapshot->at, &it->rec, &it->value))) return st;
    it->value_read = true;
    *value = buf_slice(&it->value);
    return CHR_OK;
}

chr_status chr_iter_status(const chr_iter *it)
{
    if (!chr_ok(it->failed)) return chr_fail(it->failed, "out of memory");
    return db_iter_valid(it->it) ? record_status(it) : db_iter_status(it->it);
}

const object_meta *store_iter_meta(store_iter *it)
{
    assert(chr_iter_valid(it));
    return chr_ok(it->record_st) ? &it->rec.meta : NULL;
}

uint64_t store_iter_seq(const store_iter *it) { return db_iter_seq(it->it); }
