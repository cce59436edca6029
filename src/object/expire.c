/* Expired objects are absent for every reader at once; here they go from the disk.
 *
 * Compaction drops small ones when it meets them. One with chunks has to be deleted with them, by a transaction: for
 * those the registration has the expiry too, and a sweep goes through the registrations when the earliest has
 * come, a bounded step at a time, in threads that have just committed something. */
#include "object/keys.h"
#include "object/store_internal.h"

enum { SWEEP_SCAN_MAX = 256, SWEEP_DELETES_MAX = 8, SWEEP_PAUSE_MS = 1000 };

bool expire_drop(void *arg, slice key, slice value, uint64_t wall_ns)
{
    (void)arg;
    uint64_t expire_ms = 0;
    bool     chunked = true;
    if (key_is_internal(key) || !record_expiry(value, &expire_ms, &chunked)) return false;
    return expire_ms && !chunked && expire_ms <= wall_ns / 1000000;
}

void expire_note(store *s, uint64_t expire_ms)
{
    uint64_t at = atomic_load_explicit(&s->sweep_at_ms, memory_order_relaxed);
    while (expire_ms < at && !atomic_compare_exchange_weak_explicit(&s->sweep_at_ms, &at, expire_ms,
                                                                    memory_order_relaxed, memory_order_relaxed)) {
    }
}

chr_status store_expire(store *s, slice key, uint64_t *expire_ms)
{
    record rec;
    txn   *t = txn_begin(s, &key, 1);
    *expire_ms = 0;
    if (!t) return chr_nomem();
    chr_status st = txn_load(t, OBJECT_KEY, key, &t->raw, &rec);
    bool       there = chr_ok(st), expired = there && is_expired(s, &rec.meta);
    t->expires = expired;
    if (there && !expired) *expire_ms = rec.meta.expire_ms;
    if (expired) st = txn_delete(t, OBJECT_KEY, key, NULL);
    if (expired && chr_ok(st)) return txn_commit(t, NULL);
    txn_abort(t);
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

static chr_status next_expiries(db_iter *it, size_t max, store_expiry_fn *fn, void *arg)
{
    chr_status st = CHR_OK;
    for (size_t seen = 0; chr_ok(st) && seen < max && db_iter_valid(it); seen++) {
        slice    value;
        uint64_t expire_ms = 0;
        bool     chunked;
        if (key_is_internal(db_iter_key(it))) {
            db_iter_seek(it, space_start(SPACE_END));
            continue;
        }
        st = db_iter_value(it, &value);
        if (chr_ok(st) && record_expiry(value, &expire_ms, &chunked) && expire_ms)
            fn(arg, key_of_engine(db_iter_key(it)), expire_ms);
        if (chr_ok(st)) db_iter_next(it);
    }
    return chr_ok(st) ? db_iter_status(it) : st;
}

chr_status store_expiries(store *s, buf *from, size_t max, store_expiry_fn *fn, void *arg, bool *done)
{
    db_iter   *it;
    chr_status st = db_iter_new(s->d, NULL, buf_slice(from), chr_bytes(NULL, 0), &it);
    *done = false;
    if (!chr_ok(st)) return st;
    db_iter_first(it);
    st = next_expiries(it, max, fn, arg);
    *done = chr_ok(st) && !db_iter_valid(it);
    from->len = 0;
    if (chr_ok(st) && !*done && !buf_set(from, db_iter_key(it))) st = chr_nomem();
    db_iter_free(it);
    return st;
}

/* One step with the lock held, from sweep_from on. *done: the end was reached. */
static chr_status step(store *s, uint64_t now_ms, buf expired[SWEEP_DELETES_MAX], size_t *expired_count, bool *done)
{
    db_iter   *it;
    size_t     scanned = 0;
    slice      from = s->sweep_from.len ? buf_slice(&s->sweep_from) : space_start(SPACE_BIG);
    chr_status st = db_iter_new(s->d, NULL, from, space_start(SPACE_BIG + 1), &it);
    if (!chr_ok(st)) return st;
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) {
        if (scanned++ == SWEEP_SCAN_MAX || *expired_count == SWEEP_DELETES_MAX) break;
        slice value;
        if (!chr_ok(st = db_iter_value(it, &value))) break;
        reader r = reader_of(value);
        read_u64(&r);
        uint64_t expire_ms = read_u64(&r);
        if (!expire_ms) continue;
        if (expire_ms > now_ms) {
            if (expire_ms < s->sweep_next_ms) s->sweep_next_ms = expire_ms;
        } else if (buf_set(&expired[*expired_count], key_of_engine(db_iter_key(it)))) {
            ++*expired_count;
        }
    }
    *done = !db_iter_valid(it);
    if (chr_ok(st)) st = db_iter_status(it);
    s->sweep_from.len = 0;
    if (chr_ok(st) && !*done && !buf_set(&s->sweep_from, db_iter_key(it))) st = chr_nomem();
    db_iter_free(it);
    return st;
}

void expire_sweep_step(store *s)
{
    buf    expired[SWEEP_DELETES_MAX] = { 0 };
    size_t expired_count = 0;
    bool   done = false;
    if (pthread_mutex_trylock(&s->sweep_lock)) return;
    uint64_t now_ms = (uint64_t)store_now_ms(s);
    uint64_t at = atomic_load_explicit(&s->sweep_at_ms, memory_order_relaxed);
    if (at > now_ms) goto unlock;
    if (!s->sweep_from.len) s->sweep_next_ms = UINT64_MAX;
    /* Those noted from here on lower it again. */
    atomic_store_explicit(&s->sweep_at_ms, UINT64_MAX, memory_order_relaxed);
    big_discard_again(s);
    chr_status st = step(s, now_ms, expired, &expired_count, &done);
    for (size_t i = 0; i < expired_count; i++) {
        uint64_t expire_ms;
        (void)store_expire(s, buf_slice(&expired[i]), &expire_ms); /* the next sweep tries again */
        chr_buf_free(&expired[i]);
    }
    if (!chr_ok(st))
        expire_note(s, now_ms + SWEEP_PAUSE_MS);
    else if (!done)
        expire_note(s, now_ms);
    else if (s->sweep_next_ms != UINT64_MAX)
        expire_note(s, s->sweep_next_ms > now_ms + SWEEP_PAUSE_MS ? s->sweep_next_ms : now_ms + SWEEP_PAUSE_MS);
unlock:
    pthread_mutex_unlock(&s->sweep_lock);
}

void expire_sweep_all(store *s)
{
    while (expire_sweep_is_due(s)) expire_sweep_step(s);
}
