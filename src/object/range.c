/* Deleting ranges of objects. Chunks and registrations of values in chunks go one by one, the records by a range delete. */
#include "object/store_internal.h"

/* The chunks of every value in chunks in the range, those in the store and those that are only staged. */
static chr_status drop_big_range(txn *t, slice lower, slice upper)
{
    staging   *c = &t->changes;
    db_iter   *it;
    record     rec;
    buf        key = { 0 };
    size_t     staged_before = c->count;
    chr_status st = db_iter_new(t->s->d, NULL, lower, upper, &it);
    if (!chr_ok(st)) return st;
    for (db_iter_first(it); chr_ok(st) && db_iter_valid(it); db_iter_next(it)) {
        slice k = key_of_engine(db_iter_key(it));
        st = txn_load(t, OBJECT_KEY, k, &t->raw, &rec);
        if (chr_ok(st))
            st = txn_drop_big(t, k, &rec);
        else if (st == CHR_NOT_FOUND)
            st = CHR_OK;
    }
    if (chr_ok(st)) st = db_iter_status(it);
    db_iter_free(it);
    for (size_t i = 0; i < staged_before && chr_ok(st); i++) {
        slice k = staged_key(c, &c->items[i]);
        if (!c->items[i].put || slice_compare(k, lower) < 0 || slice_compare(k, upper) >= 0) continue;
        if (!buf_set(&key, key_of_engine(k))) st = chr_nomem();
        if (chr_ok(st)) st = txn_load(t, OBJECT_KEY, buf_slice(&key), &t->raw, &rec);
        if (chr_ok(st)) st = txn_drop_big(t, buf_slice(&key), &rec);
    }
    chr_buf_free(&key);
    return st;
}

/* Deletes the engine's keys in [start, end), if there may be any: most stores have none beyond FF, and no bound there is short. */
static chr_status delete_engine_range(txn *t, slice start, slice end)
{
    if (slice_compare(start, end) >= 0) return CHR_OK;
    db_iter   *it;
    chr_status st = db_iter_new(t->s->d, NULL, start, end, &it);
    if (!chr_ok(st)) return st;
    db_iter_first(it);
    bool any = db_iter_valid(it);
    if (db_iter_seq(it) > t->seen) t->seen = db_iter_seq(it); /* whoever is told "gone" must not see it again */
    st = db_iter_status(it);
    db_iter_free(it);
    for (size_t i = 0; i < t->changes.count && !any; i++) {
        slice k = staged_key(&t->changes, &t->changes.items[i]);
        any = slice_compare(k, start) >= 0 && slice_compare(k, end) < 0;
    }
    return chr_ok(st) && any ? staging_delete_range(&t->changes, start, end) : st;
}

static chr_status delete_key_range(txn *t, slice start, slice end)
{
    engine_key  big_lower, big_upper, lower, upper;
    buf         beyond = { 0 }; /* a key behind all others */
    const slice gap = space_start(0), after_gap = space_start(SPACE_END);
    chr_status  st = engine_key_in(&big_lower, SPACE_BIG, start);
    if (!chr_ok(st)) return st;
    if (!chr_ok(st = engine_key_in(&big_upper, end.data ? SPACE_BIG : SPACE_BIG + 1, end))) goto free_big_lower;
    if (!chr_ok(st = engine_position_of(&lower, OBJECT_KEY, start))) goto free_big_upper;
    if (!chr_ok(st = engine_position_of(&upper, OBJECT_KEY, end))) goto free_lower;
    if (!lower.bytes.data) lower.bytes = chr_str("");
    if (!end.data) {
        if (!buf_reserve(&beyond, ENGINE_KEY_MAX)) {
            st = chr_nomem();
            goto free_upper;
        }
        memset(beyond.data, 0xff, ENGINE_KEY_MAX);
        upper.bytes = chr_bytes(beyond.data, ENGINE_KEY_MAX);
    }
    st = drop_big_range(t, big_lower.bytes, big_upper.bytes);
    if (chr_ok(st)) st = delete_engine_range(t, lower.bytes, slice_compare(upper.bytes, gap) < 0 ? upper.bytes : gap);
    if (chr_ok(st))
        st = delete_engine_range(t, slice_compare(lower.bytes, after_gap) > 0 ? lower.bytes : after_gap, upper.bytes);

free_upper:
    chr_buf_free(&beyond);
    engine_key_free(&upper);
free_lower:
    engine_key_free(&lower);
free_big_upper:
    engine_key_free(&big_upper);
free_big_lower:
    engine_key_free(&big_lower);
    return st;
}

static chr_status delete_dir_range(txn *t, slice start, slice end)
{
    engine_key lower, upper;
    chr_status st = engine_key_in(&lower, SPACE_DIRS, start);
    if (!chr_ok(st)) return st;
    st = engine_key_in(&upper, end.data ? SPACE_DIRS : SPACE_DIRS + 1, end);
    if (chr_ok(st)) {
        st = delete_engine_range(t, lower.bytes, upper.bytes);
        engine_key_free(&upper);
    }
    engine_key_free(&lower);
    return st;
}

static bool append_bound(buf *b, slice bound)
{
    return buf_append_byte(b, bound.data != NULL) && (!bound.data || buf_append_sized(b, bound));
}

chr_status txn_delete_range(txn *t, object_space space, slice start, slice end)
{
    assert(t->stripe_count == STRIPES);
    chr_status st = key_check(start);
    if (chr_ok(st)) st = key_check(end);
    if (!chr_ok(st) || (end.data && slice_compare(start, end) >= 0)) return st;
    st = space == OBJECT_DIR ? delete_dir_range(t, start, end) : delete_key_range(t, start, end);
    if (chr_ok(st) && !(buf_append_byte(&t->ranges, (uint8_t)space) && append_bound(&t->ranges, start) &&
                        append_bound(&t->ranges, end)))
        st = chr_nomem();
    return txn_poison(t, st);
}
