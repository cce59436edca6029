/* Reading without a transaction. One db_get tells; only a value in chunks needs a snapshot, to be of one moment. */
#include "object/store_internal.h"

typedef struct looked {
    store                *s;
    const store_snapshot *snapshot; /* NULL: now */
    object_space          space;
    chr_status            st;    /* of decoding, copying */
    record                rec;   /* its slices are gone after the visit */
    buf                  *value; /* gets the whole value, or the list of extended attributes */
    bool                  xattrs;
    bool                  only_meta; /* is asked for; turns false if that takes the whole record */
    uint64_t              offset;    /* or: `to` gets up to `len` bytes from here */
    size_t                len, got;
    char                 *to;
    store_visit_fn       *visit; /* or: this is called */
    void                 *visit_arg;

    /* Whether what is found may be kept in `often`, and what for. */
    bool      keep;
    slice     key;
    uint64_t  hash, version;
    hot_slot *kept;
} looked;

static size_t part_len(uint64_t size, uint64_t offset, size_t len)
{
    if (offset >= size) return 0;
    return size - offset < len ? (size_t)(size - offset) : len;
}

static void look(void *arg, slice bytes)
{
    looked *l = arg;
    l->st = record_decode(bytes, &l->s->defaults[l->space], &l->rec);
    if (!chr_ok(l->st)) return;
    if (l->keep) l->kept = hot_offer(l->s->often, l->hash, l->key, l->version, bytes);
    if (is_expired_at(l->s, l->snapshot, &l->rec.meta)) {
        l->st = CHR_NOT_FOUND;
        return;
    }
    if (l->visit) l->visit(l->visit_arg, &l->rec.meta, l->rec.value);
    if (l->xattrs) {
        if (!buf_set(l->value, l->rec.xattrs)) l->st = chr_nomem();
    } else if (!l->rec.chunked) {
        if (l->value && !buf_set(l->value, l->rec.value)) l->st = chr_nomem();
        l->got = part_len(l->rec.value.len, l->offset, l->len);
        if (l->got) memcpy(l->to, l->rec.value.data + l->offset, l->got);
    }
}

static void look_at_head(void *arg, slice head, size_t len)
{
    looked *l = arg;
    if (head.len == len)
        look(l, head);
    else if (!record_peek(head, len, &l->s->defaults[l->space], &l->rec.meta))
        l->only_meta = false;
    else if (is_expired_at(l->s, l->snapshot, &l->rec.meta))
        l->st = CHR_NOT_FOUND;
}

static chr_status look_up(store *s, const db_snapshot *at, slice key, looked *l, uint64_t *seq)
{
    engine_key k;
    chr_status st = engine_key_of(&k, l->space, key);
    uint64_t   seen = 0;
    if (!chr_ok(st)) return st;
    l->s = s;
    if (s->often && !at && l->space == OBJECT_KEY) {
        l->key = key;
        l->hash = key_hash(s, key);
        bool settled;
        l->version = stripe_version(&s->locks.at[stripe_of(l->hash)], &settled);
        if (hot_visit(s->often, l->hash, key, l->version, store_ack_seq(s), look, l, seq)) {
            engine_key_free(&k);
            return l->st;
        }
        l->keep = settled;
    }
    bool peek = l->only_meta;
    if (peek) st = db_peek(s->d, at, k.bytes, look_at_head, l, &seen);
    if (!peek || (chr_ok(st) && !l->only_meta)) st = db_get(s->d, at, k.bytes, look, l, &seen);
    if (seq) *seq = seen;
    if (l->kept) hot_settle(l->kept, chr_ok(st) ? seen : 0);
    engine_key_free(&k);
    return chr_ok(st) ? l->st : st;
}

/* ---- the same as a step of the transaction that the thread has entered ---- */

static chr_status visit_in(txn *t, slice key, store_visit_fn *visit, void *arg)
{
    record     rec;
    chr_status st = txn_load(t, OBJECT_KEY, key, &t->raw, &rec);
    if (chr_ok(st) && is_expired(t->s, &rec.meta)) st = CHR_NOT_FOUND;
    if (chr_ok(st)) visit(arg, &rec.meta, rec.value);
    return st;
}

static chr_status seen_in(txn *t, chr_status st, uint64_t *seq)
{
    if (seq) *seq = t->seen;
    return st;
}

/* ---- */

static const db_snapshot *engine_snapshot(const store_snapshot *snapshot) { return snapshot ? snapshot->at : NULL; }

/* A look at a value that turned out to be in chunks, at a moment of its own if the caller gave none. */
static chr_status look_again(store *s, const db_snapshot *given, slice key, looked *l, uint64_t *seq)
{
    db_snapshot *own = NULL;
    chr_status   st = CHR_OK;
    if (!given) {
        st = db_snapshot_new(s->d, &own);
        if (chr_ok(st)) st = look_up(s, own, key, l, seq);
        if (!chr_ok(st)) goto done;
    }
    const db_snapshot *at = given ? given : own;
    if (l->rec.chunked && l->value) st = big_get(s, at, &l->rec, l->value);
    if (l->rec.chunked && l->to) {
        size_t n = part_len(l->rec.meta.size, l->offset, l->len);
        st = big_read(s, at, l->rec.big_id, l->offset, l->to, n);
        if (chr_ok(st)) l->got = n;
    }
done:
    db_snapshot_free(s->d, own);
    return st;
}

chr_status store_get(store *s, const store_snapshot *snapshot, slice key, buf *value, object_meta *meta, uint64_t *seq)
{
    looked l = { .snapshot = snapshot, .space = OBJECT_KEY, .value = value };
    txn   *t = snapshot ? NULL : entered_for(s, key);
    if (t) return seen_in(t, txn_get(t, key, value, meta), seq);
    chr_status st = look_up(s, engine_snapshot(snapshot), key, &l, seq);
    if (chr_ok(st) && l.rec.chunked && value) st = look_again(s, engine_snapshot(snapshot), key, &l, seq);
    if (chr_ok(st) && meta) *meta = l.rec.meta;
    return st;
}

chr_status store_stat(store *s, const store_snapshot *snapshot, object_space space, slice key, object_meta *meta,
                      uint64_t *seq)
{
    looked l = { .snapshot = snapshot, .space = space, .only_meta = true };
    txn   *t = snapshot ? NULL : entered_for(s, key);
    if (t) return seen_in(t, txn_stat(t, space, key, meta), seq);
    chr_status st = look_up(s, engine_snapshot(snapshot), key, &l, seq);
    if (chr_ok(st) && meta) *meta = l.rec.meta;
    return st;
}

chr_status store_read(store *s, const store_snapshot *snapshot, slice key, uint64_t offset, void *to, size_t len,
                      size_t *got, object_meta *meta, uint64_t *seq)
{
    looked l = { .snapshot = snapshot, .space = OBJECT_KEY, .offset = offset, .to = to, .len = len };
    txn   *t = snapshot ? NULL : entered_for(s, key);
    if (t) return seen_in(t, txn_read(t, key, offset, to, len, got, meta), seq);
    chr_status st = look_up(s, engine_snapshot(snapshot), key, &l, seq);
    if (chr_ok(st) && l.rec.chunked) st = look_again(s, engine_snapshot(snapshot), key, &l, seq);
    if (!chr_ok(st)) return st;
    *got = l.got;
    if (meta) *meta = l.rec.meta;
    return CHR_OK;
}

chr_status store_data(store *s, const store_snapshot *snapshot, slice key, uint64_t offset, uint64_t *start,
                      uint64_t *end)
{
    looked       l = { .snapshot = snapshot, .space = OBJECT_KEY };
    db_snapshot *own = NULL;
    chr_status   st = snapshot ? CHR_OK : db_snapshot_new(s->d, &own);
    if (!chr_ok(st)) return st;
    const db_snapshot *at = snapshot ? snapshot->at : own;
    st = look_up(s, at, key, &l, NULL);
    if (chr_ok(st) && l.rec.chunked) {
        st = big_data(s, at, l.rec.big_id, offset, start, end);
        if (st == CHR_NOT_FOUND) {
            *start = *end = l.rec.meta.size;
            st = CHR_OK;
        }
    } else if (chr_ok(st)) {
        *end = l.rec.meta.size;
        *start = offset < *end ? offset : *end;
    }
    db_snapshot_free(s->d, own);
    return st;
}

void store_prefetch(store *s, slice key)
{
    uint64_t hash = key_hash(s, key);
    __builtin_prefetch(&s->locks.at[stripe_of(hash)]);
    hot_prefetch(s->often, hash);
}

chr_status store_visit(store *s, slice key, store_visit_fn *visit, void *arg, uint64_t *seq)
{
    looked l = { .space = OBJECT_KEY, .visit = visit, .visit_arg = arg };
    txn   *t = entered_for(s, key);
    if (t) return seen_in(t, visit_in(t, key, visit, arg), seq);
    return look_up(s, NULL, key, &l, seq);
}

chr_status store_get_xattrs(store *s, const store_snapshot *snapshot, object_space space, slice key, buf *xattrs)
{
    looked l = { .snapshot = snapshot, .space = space, .value = xattrs, .xattrs = true };
    return look_up(s, engine_snapshot(snapshot), key, &l, NULL);
}
