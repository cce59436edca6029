/* Transactions over records. What is special about values in chunks is in chunks.c. */
#include "object/store_internal.h"

#include <stdlib.h>

/* ---- begin, commit, abort ---- */

txn *txn_begin(store *s, const slice *keys, size_t n)
{
    txn *t = entered(s);
    if (t) return txn_step_begin(t, keys, n);
    t = txn_take(s);
    if (!t) {
        chr_nomem();
        return NULL;
    }
    if (n == 0) {
        t->stripe_count = STRIPES;
        stripes_lock_all(&s->locks);
        return t;
    }
    for (size_t i = 0; i < n; i++) {
        t->stripe = stripe_of(key_hash(s, keys[i]));
        t->stripe_count += !stripe_set_has(&t->held, t->stripe);
        stripe_set_add(&t->held, t->stripe);
    }
    if (t->stripe_count == 1)
        stripe_lock(&s->locks, t->stripe);
    else
        stripes_lock(&s->locks, &t->held);
    return t;
}

void txn_set_origin(txn *t, const void *origin) { t->origin = origin; }
void txn_set_cause(txn *t, const void *cause)
{
    if (t != txn_entered) t->cause = cause;
}

static void finish(txn *t)
{
    stripes *locks = &t->s->locks;
    if (t->stripe_count == STRIPES)
        stripes_unlock_all(locks);
    else if (t->stripe_count == 1)
        stripe_unlock(locks, t->stripe);
    else
        stripes_unlock(locks, &t->held);
    txn_give_back(t);
}

void txn_abort(txn *t)
{
    if (t == txn_entered) {
        txn_step_abort(t);
        return;
    }
    for (size_t i = 0; i < t->ahead_count; i++) big_discard(t->s, t->ahead[i]);
    finish(t);
}

chr_status txn_poison(txn *t, chr_status st)
{
    if (chr_ok(st) || t->failed != CHR_OK) return st;
    t->failed = st;
    t->failure.len = 0;
    buf_append(&t->failure, chr_message(), strlen(chr_message()) + 1);
    return st;
}

/* Hashes of keys that get a value in chunks are added before the batch is applied, those of others removed after. */
static chr_status update_big_hashes(txn *t, bool adding)
{
    const staging *c = &t->changes;
    for (size_t i = 0; t->big_changes && i < c->count; i++) {
        slice key = staged_key(c, &c->items[i]);
        if (!key_is_in(key, SPACE_BIG) || c->items[i].put != adding) continue;
        uint64_t hash = key_hash(t->s, key_of_engine(key));
        if (!adding)
            stripes_remove_big(&t->s->locks, hash);
        else if (!stripes_add_big(&t->s->locks, hash))
            return chr_nomem();
    }
    return CHR_OK;
}

static void tell_ranges(txn *t, uint64_t seq)
{
    reader r = reader_of(buf_slice(&t->ranges));
    while (reader_left(&r)) {
        const slice none = chr_bytes(NULL, 0);
        change      told = { .kind = CHANGE_RANGE, .seq = seq, .origin = t->origin, .cause = t->cause };
        told.space = (object_space)read_u8(&r);
        told.key = read_u8(&r) ? read_sized(&r) : none;
        told.end = read_u8(&r) ? read_sized(&r) : none;
        assert(!r.failed);
        watches_tell(&t->s->watching, &told);
    }
}

static void tell_watchers(txn *t, uint64_t seq)
{
    const staging *c = &t->changes;
    tell_ranges(t, seq);
    for (size_t i = 0; i < c->count; i++) {
        slice key = staged_key(c, &c->items[i]);
        bool  dir = key_is_in(key, SPACE_DIRS);
        if (key_is_internal(key) && !dir) continue;
        change told = {
            .kind = c->items[i].put ? CHANGE_PUT
                    : t->expires    ? CHANGE_EXPIRED
                                    : CHANGE_DELETE,
            .space = dir ? OBJECT_DIR : OBJECT_KEY,
            .key = key_of_engine(key),
            .end = chr_bytes(NULL, 0),
            .seq = seq,
            .origin = t->origin,
            .cause = t->cause,
        };
        bool chunked;
        if (c->items[i].put && !record_expiry(staged_value(c, &c->items[i]), &told.expire_ms, &chunked))
            told.expire_ms = 0;
        watches_tell(&t->s->watching, &told);
    }
}

/* See hot.h: from here on nobody takes what was read before for what is there. */
static void raise_versions(txn *t)
{
    stripes *locks = &t->s->locks;
    if (t->stripe_count == STRIPES)
        stripes_raise_all(locks);
    else if (t->stripe_count == 1)
        stripe_raise(&locks->at[t->stripe]);
    else
        stripes_raise(locks, &t->held);
}

static chr_status apply(txn *t, uint64_t *seq)
{
    watches   *w = &t->s->watching;
    uint64_t   hold = 0;
    const bool watched = w->count != 0;
    chr_status st = update_big_hashes(t, true);
    if (!chr_ok(st)) return st;
    if (watched && !chr_ok(st = watches_begin(w, &hold))) return st;
    raise_versions(t);
    st = db_apply(t->s->d, &t->changes.b, seq);
    if (chr_ok(st)) update_big_hashes(t, false);
    if (watched) {
        if (chr_ok(st)) tell_watchers(t, *seq);
        watches_end(w, hold);
    }
    return st;
}

chr_status txn_commit(txn *t, uint64_t *seq)
{
    if (t == txn_entered) return txn_step_commit(t, seq);
    store     *s = t->s;
    uint64_t   own = t->seen;
    chr_status st = t->failed;
    if (!chr_ok(st) && t->failure.len) chr_fail(st, "%s", t->failure.data);
    for (size_t i = 0; i < t->ahead_count && chr_ok(st); i++) {
        char key[PENDING_KEY_BYTES];
        st = staging_delete(&t->changes, pending_key(key, t->ahead[i]));
    }
    if (chr_ok(st) && t->changes.b.count) st = apply(t, &own);
    if (!chr_ok(st)) {
        buf why = { 0 }; /* discarding may fail too, and is not what the caller asked about */
        buf_append(&why, chr_message(), strlen(chr_message()) + 1);
        txn_abort(t);
        if (why.data) chr_fail(st, "%s", why.data);
        chr_buf_free(&why);
        return st;
    }
    if (seq) *seq = own;
    finish(t);
    if (expire_sweep_is_due(s)) expire_sweep_step(s);
    return CHR_OK;
}

/* ---- reading ---- */

typedef struct copied {
    buf *to;
    bool no_memory;
} copied;

static void copy_value(void *arg, slice value)
{
    copied *c = arg;
    c->no_memory = !buf_set(c->to, value);
}

static void assert_held(const txn *t, slice key)
{
    assert(txn_holds(t, key));
    (void)t;
    (void)key;
}

chr_status txn_load(txn *t, object_space space, slice key, buf *raw, record *rec)
{
    engine_key k;
    assert_held(t, key);
    chr_status st = engine_key_of(&k, space, key);
    if (!chr_ok(st)) return st;
    bool  put = false;
    slice own;
    if (staging_find(&t->changes, k.bytes, &put, &own)) {
        st = !put ? CHR_NOT_FOUND : buf_set(raw, own) ? CHR_OK : chr_nomem();
    } else {
        copied   c = { raw, false };
        uint64_t seq = 0;
        st = db_get(t->s->d, NULL, k.bytes, copy_value, &c, &seq);
        if (chr_ok(st) && c.no_memory) st = chr_nomem();
        if (seq > t->seen) t->seen = seq;
    }
    engine_key_free(&k);
    return chr_ok(st) ? record_decode(buf_slice(raw), &t->s->defaults[space], rec) : st;
}

/* The same for those to whom an expired object is absent. */
static chr_status load_live(txn *t, object_space space, slice key, buf *raw, record *rec)
{
    chr_status st = txn_load(t, space, key, raw, rec);
    return chr_ok(st) && is_expired(t->s, &rec->meta) ? CHR_NOT_FOUND : st;
}

chr_status txn_get(txn *t, slice key, buf *value, object_meta *meta)
{
    record     rec;
    chr_status st = load_live(t, OBJECT_KEY, key, &t->raw, &rec);
    if (chr_ok(st) && value) {
        if (rec.chunked)
            st = txn_big_get(t, &rec, value);
        else if (!buf_set(value, rec.value))
            st = chr_nomem();
    }
    if (chr_ok(st) && meta) *meta = rec.meta;
    return st;
}

chr_status txn_stat(txn *t, object_space space, slice key, object_meta *meta)
{
    record     rec;
    chr_status st = load_live(t, space, key, &t->raw, &rec);
    if (chr_ok(st) && meta) *meta = rec.meta;
    return st;
}

chr_status txn_get_xattrs(txn *t, object_space space, slice key, buf *xattrs)
{
    record     rec;
    chr_status st = load_live(t, space, key, &t->raw, &rec);
    if (chr_ok(st) && !buf_set(xattrs, rec.xattrs)) st = chr_nomem();
    return st;
}

/* ---- staging ---- */

chr_status txn_stage_record(txn *t, object_space space, slice key, const object_meta *meta, slice xattrs, slice value,
                            uint64_t big_id)
{
    engine_key k;
    chr_status st = engine_key_of(&k, space, key);
    if (!chr_ok(st)) return st;
    char    plain[RECORD_HEAD_MAX], big[RECORD_BIG_BYTES];
    uint8_t flags = (uint8_t)((xattrs.len ? RECORD_XATTRS : 0) | (value.data ? 0 : RECORD_CHUNKED));
    slice   head = chr_bytes(plain, record_head(plain, meta, flags)), body = value;
    if (xattrs.len) {
        t->head.len = 0;
        if (!buf_append_slice(&t->head, head) || !buf_append_sized(&t->head, xattrs)) st = chr_nomem();
        head = buf_slice(&t->head);
    }
    if (!value.data) {
        record_put_big(big, big_id, meta->size);
        body = chr_bytes(big, sizeof big);
    }
    if (chr_ok(st)) st = staging_put(&t->changes, k.bytes, head, body);
    engine_key_free(&k);
    return st;
}

chr_status txn_drop_big(txn *t, slice key, const record *rec)
{
    if (!rec->chunked) return CHR_OK;
    chr_status st = txn_delete_chunks(t, rec->big_id, 0, chunks_of(rec->meta.size));
    return chr_ok(st) ? txn_unregister_big(t, key) : st;
}

/* Before a key's record is replaced or deleted unread: its chunks, if it has any. */
static chr_status drop_old(txn *t, slice key)
{
    if (!stripes_may_be_big(&t->s->locks, key_hash(t->s, key)) && !t->big_changes) return CHR_OK;
    record     rec;
    chr_status st = txn_load(t, OBJECT_KEY, key, &t->other, &rec);
    if (st == CHR_NOT_FOUND) return CHR_OK;
    return chr_ok(st) ? txn_drop_big(t, key, &rec) : st;
}

/* Remembers that a value was written ahead, and so must come to be referred to or be deleted. */
static chr_status own_ahead(txn *t, uint64_t id)
{
    uint64_t *ahead = realloc(t->ahead, (t->ahead_count + 1) * sizeof *ahead);
    if (!ahead) {
        big_discard(t->s, id);
        return chr_nomem();
    }
    t->ahead = ahead;
    t->ahead[t->ahead_count++] = id;
    return CHR_OK;
}

/* `id`: of the value, if it is written ahead already, or 0. */
static chr_status stage_big(txn *t, slice key, object_meta *meta, slice value, uint64_t id)
{
    chr_status st = CHR_OK;
    if (!id && t->changes.b.payload.len + value.len > PREWRITE_BYTES) {
        st = big_write_ahead(t->s, value, &id);
        if (chr_ok(st)) st = own_ahead(t, id);
    } else if (!id) {
        st = big_new_id(t->s, &id);
        if (chr_ok(st)) st = txn_stage_chunks(t, id, value);
    }
    if (chr_ok(st)) st = txn_register_big(t, key, id, meta->expire_ms);
    if (!chr_ok(st)) return st;
    meta->size = value.len;
    return txn_stage_record(t, OBJECT_KEY, key, meta, chr_bytes(NULL, 0), chr_bytes(NULL, 0), id);
}

/* As txn_put; `ahead_id`: of the value, if it is written ahead already, or 0. */
static chr_status put_value(txn *t, slice key, const object_meta *meta, slice value, uint64_t ahead_id)
{
    assert_held(t, key);
    chr_status st = key_check(key);
    if (chr_ok(st)) st = value_check(value);
    if (!chr_ok(st)) return st;
    object_meta m = meta ? *meta : object_meta_default(t->s, 0);
    if (!value.data) value = chr_str("");
    st = drop_old(t, key);
    if (!chr_ok(st)) return txn_poison(t, st);
    if (value.len > CHUNK_BYTES)
        st = stage_big(t, key, &m, value, ahead_id);
    else
        st = txn_stage_record(t, OBJECT_KEY, key, &m, chr_bytes(NULL, 0), value, 0);
    return txn_poison(t, st);
}

chr_status txn_put(txn *t, slice key, const object_meta *meta, slice value)
{
    return put_value(t, key, meta, value, 0);
}

static chr_status stage_delete(txn *t, object_space space, slice key)
{
    engine_key k;
    chr_status st = engine_key_of(&k, space, key);
    if (!chr_ok(st)) return st;
    st = staging_delete(&t->changes, k.bytes);
    engine_key_free(&k);
    return st;
}

chr_status txn_delete(txn *t, object_space space, slice key, bool *existed)
{
    assert_held(t, key);
    chr_status st = key_check(key);
    if (!chr_ok(st)) return st;
    bool there = true;
    if (existed) {
        record rec;
        st = txn_load(t, space, key, &t->raw, &rec);
        if (st == CHR_NOT_FOUND) {
            *existed = false;
            return CHR_OK;
        }
        if (!chr_ok(st)) return txn_poison(t, st);
        there = !is_expired(t->s, &rec.meta);
        st = txn_drop_big(t, key, &rec);
    } else if (space == OBJECT_KEY) {
        st = drop_old(t, key);
    }
    if (chr_ok(st)) st = stage_delete(t, space, key);
    if (!chr_ok(st)) return txn_poison(t, st);
    if (existed) *existed = there;
    return CHR_OK;
}

/* Writes an object's record anew, with other attributes, and all else as it is in `rec`. */
static chr_status restage(txn *t, object_space space, slice key, const record *rec, const object_meta *meta,
                          slice xattrs)
{
    object_meta m = *meta;
    m.size = rec->meta.size;
    chr_status st = CHR_OK;
    if (rec->chunked && m.expire_ms != rec->meta.expire_ms) st = txn_register_big(t, key, rec->big_id, m.expire_ms);
    return chr_ok(st) ? txn_stage_record(t, space, key, &m, xattrs, rec->value, rec->big_id) : st;
}

chr_status txn_set_meta(txn *t, object_space space, slice key, const object_meta *meta)
{
    record     rec;
    chr_status st = load_live(t, space, key, &t->raw, &rec);
    if (st == CHR_NOT_FOUND && space == OBJECT_DIR) {
        rec = (record){ .value = chr_str("") };
        st = CHR_OK;
    }
    if (!chr_ok(st)) return st;
    return txn_poison(t, restage(t, space, key, &rec, meta, rec.xattrs));
}

chr_status txn_set_xattrs(txn *t, object_space space, slice key, slice xattrs)
{
    if (xattrs.len > XATTRS_BYTES_MAX)
        return chr_fail(CHR_TOO_BIG, "the extended attributes have %zu bytes; at most %u are allowed", xattrs.len,
                        XATTRS_BYTES_MAX);
    record     rec;
    chr_status st = load_live(t, space, key, &t->raw, &rec);
    if (!chr_ok(st)) return st;
    return txn_poison(t, restage(t, space, key, &rec, &rec.meta, xattrs));
}

chr_status txn_move(txn *t, object_space space, slice from, slice to)
{
    record     rec;
    engine_key k;
    assert_held(t, to);
    chr_status st = key_check(to);
    if (chr_ok(st)) st = load_live(t, space, from, &t->raw, &rec);
    if (!chr_ok(st) || slice_equal(from, to)) return st;

    if (space == OBJECT_KEY) st = drop_old(t, to);
    if (chr_ok(st) && rec.chunked) st = txn_unregister_big(t, from);
    if (chr_ok(st) && rec.chunked) st = txn_register_big(t, to, rec.big_id, rec.meta.expire_ms);
    if (chr_ok(st)) st = stage_delete(t, space, from);
    if (chr_ok(st)) st = engine_key_of(&k, space, to);
    if (!chr_ok(st)) return txn_poison(t, st);
    st = staging_put(&t->changes, k.bytes, buf_slice(&t->raw), chr_bytes(NULL, 0));
    engine_key_free(&k);
    return txn_poison(t, st);
}

/* Half of a swap: `key` had `old`, and gets what `raw` holds and `rec` decodes. NULL: there is none. */
static chr_status stage_swapped(txn *t, object_space space, slice key, const record *old, const record *rec, slice raw)
{
    engine_key k;
    chr_status st = CHR_OK;
    if (rec && rec->chunked)
        st = txn_register_big(t, key, rec->big_id, rec->meta.expire_ms);
    else if (old && old->chunked)
        st = txn_unregister_big(t, key);
    if (chr_ok(st) && !rec) return old ? stage_delete(t, space, key) : CHR_OK;
    if (chr_ok(st)) st = engine_key_of(&k, space, key);
    if (!chr_ok(st)) return st;
    st = staging_put(&t->changes, k.bytes, raw, chr_bytes(NULL, 0));
    engine_key_free(&k);
    return st;
}

/* *found: `rec`, or NULL. What has expired goes for good, with its chunks. */
static chr_status load_for_swap(txn *t, object_space space, slice key, buf *raw, record *rec, const record **found)
{
    chr_status st = txn_load(t, space, key, raw, rec);
    if (st == CHR_NOT_FOUND) return CHR_OK;
    if (chr_ok(st) && is_expired(t->s, &rec->meta)) {
        st = txn_drop_big(t, key, rec);
        return chr_ok(st) ? stage_delete(t, space, key) : st;
    }
    if (chr_ok(st)) *found = rec;
    return st;
}

chr_status txn_swap(txn *t, object_space space, slice a, slice b)
{
    record     in_a, in_b;
    chr_status st = key_check(a);
    if (chr_ok(st)) st = key_check(b);
    if (!chr_ok(st) || slice_equal(a, b)) return st;
    const record *old_a = NULL, *old_b = NULL;
    st = load_for_swap(t, space, a, &t->raw, &in_a, &old_a);
    if (chr_ok(st)) st = load_for_swap(t, space, b, &t->other, &in_b, &old_b);
    if (!chr_ok(st)) return txn_poison(t, st);
    st = stage_swapped(t, space, a, old_a, old_b, buf_slice(&t->other));
    if (chr_ok(st)) st = stage_swapped(t, space, b, old_b, old_a, buf_slice(&t->raw));
    return txn_poison(t, st);
}

/* ---- one put ---- */

chr_status store_put(store *s, slice key, const object_meta *meta, slice value, uint64_t *seq)
{
    uint64_t ahead_id = 0;
    if (value.len > PREWRITE_BYTES && !entered(s)) { /* nobody waits for a lock meanwhile */
        chr_status st = key_check(key);
        if (chr_ok(st)) st = value_check(value);
        if (chr_ok(st)) st = big_write_ahead(s, value, &ahead_id);
        if (!chr_ok(st)) return st;
    }
    txn *t = txn_begin(s, &key, 1);
    if (!t) {
        if (ahead_id) big_discard(s, ahead_id);
        return CHR_NO_MEMORY;
    }
    chr_status st = ahead_id ? own_ahead(t, ahead_id) : CHR_OK;
    if (chr_ok(st)) st = put_value(t, key, meta, value, ahead_id);
    if (chr_ok(st)) return txn_commit(t, seq);
    txn_abort(t);
    return st;
}
