/* The public C API. What the object layer leaves to its callers is done here: waiting until what was written is as
 * durable as the mode promises, and until what was read is acknowledged. (Iterators: iter.c. Closing: store.c.) */
#include "object/store_internal.h"

#include <stdlib.h>

enum { BATCH_PUT = 1, BATCH_DELETE = 2 };
/* Of a batch, keys and values. Values above CHUNK_BYTES go to the log in pieces, so this may be above BATCH_BYTES_MAX. */
#define API_BATCH_BYTES_MAX (UINT64_C(1) << 30)

chr_status chr_open(const char *dir, const chr_options *options, chr_store **out)
{
    if (!dir || !*dir) return chr_fail(CHR_INVALID, "no directory was given to open");
    store_options o = { .chr = options ? *options : chr_options_default() };
    return store_open(dir, &o, out);
}

/* ---- one key ---- */

chr_status chr_put(chr_store *s, chr_slice key, chr_slice value)
{
    uint64_t   seq = 0;
    chr_status st = store_put(s, key, NULL, value, &seq);
    return chr_ok(st) ? store_wait(s, seq) : st;
}

/* NOT_FOUND is an answer too, and may rest on a deletion that is not acknowledged. */
static chr_status answer(store *s, chr_status st, uint64_t seq)
{
    if (!chr_ok(st) && st != CHR_NOT_FOUND) return st;
    chr_status waited = store_wait(s, seq);
    return chr_ok(waited) ? st : waited;
}

static chr_status absent(chr_status st)
{
    return st == CHR_NOT_FOUND ? chr_say(CHR_NOT_FOUND, "there is no such key") : st;
}

chr_status chr_get_at(chr_store *s, const chr_snapshot *snapshot, chr_slice key, chr_buf *value)
{
    uint64_t seq = 0;
    value->len = 0;
    chr_status st = answer(s, store_get(s, snapshot, key, value, NULL, &seq), seq);
    if (!chr_ok(st)) value->len = 0;
    return absent(st);
}

chr_status chr_get(chr_store *s, chr_slice key, chr_buf *value) { return chr_get_at(s, NULL, key, value); }

static chr_status commit_and_wait(store *s, txn *t, chr_status st)
{
    uint64_t seq = 0;
    if (!chr_ok(st)) {
        txn_abort(t);
        return st;
    }
    st = txn_commit(t, &seq);
    return chr_ok(st) ? store_wait(s, seq) : st;
}

chr_status chr_delete(chr_store *s, chr_slice key)
{
    txn *t = txn_begin(s, &key, 1);
    return t ? commit_and_wait(s, t, txn_delete(t, OBJECT_KEY, key, NULL)) : CHR_NO_MEMORY;
}

chr_status chr_delete_range(chr_store *s, chr_slice start, chr_slice end)
{
    txn *t = txn_begin(s, NULL, 0);
    return t ? commit_and_wait(s, t, txn_delete_range(t, OBJECT_KEY, start, end)) : CHR_NO_MEMORY;
}

/* ---- batches ---- */

struct chr_batch {
    buf    ops; /* for each: u8 BATCH_PUT or BATCH_DELETE, sized key, and for a put sized value */
    size_t count;
};

chr_batch *chr_batch_new(void) { return calloc(1, sizeof(chr_batch)); }

void chr_batch_free(chr_batch *b)
{
    if (!b) return;
    chr_buf_free(&b->ops);
    free(b);
}

void chr_batch_clear(chr_batch *b)
{
    b->ops.len = 0;
    b->count = 0;
}

static chr_status batch_add(chr_batch *b, uint8_t kind, slice key, slice value)
{
    size_t     more = 1 + 2 * VARINT64_MAX + key.len + value.len;
    chr_status st = key_check(key);
    if (chr_ok(st)) st = value_check(value);
    if (!chr_ok(st)) return st;
    if (b->ops.len + more > API_BATCH_BYTES_MAX)
        return chr_fail(CHR_TOO_BIG, "a batch holds at most %llu bytes", (unsigned long long)API_BATCH_BYTES_MAX);
    if (!buf_reserve(&b->ops, more)) return chr_nomem();
    buf_append_byte(&b->ops, kind);
    buf_append_sized(&b->ops, key);
    if (kind == BATCH_PUT) buf_append_sized(&b->ops, value);
    b->count++;
    return CHR_OK;
}

chr_status chr_batch_put(chr_batch *b, chr_slice key, chr_slice value) { return batch_add(b, BATCH_PUT, key, value); }
chr_status chr_batch_delete(chr_batch *b, chr_slice key) { return batch_add(b, BATCH_DELETE, key, chr_bytes(NULL, 0)); }

chr_status chr_write(chr_store *s, chr_batch *b)
{
    if (!b->count) return CHR_OK;
    slice *keys = malloc(b->count * sizeof *keys);
    if (!keys) return chr_nomem();
    reader r = reader_of(buf_slice(&b->ops));
    for (size_t i = 0; i < b->count; i++) {
        uint8_t kind = read_u8(&r);
        keys[i] = read_sized(&r);
        if (kind == BATCH_PUT) read_sized(&r);
    }
    txn *t = txn_begin(s, keys, b->count);
    free(keys);
    if (!t) return CHR_NO_MEMORY;
    chr_status st = CHR_OK;
    r = reader_of(buf_slice(&b->ops));
    while (reader_left(&r) && chr_ok(st)) {
        uint8_t kind = read_u8(&r);
        slice   key = read_sized(&r);
        st = kind == BATCH_PUT ? txn_put(t, key, NULL, read_sized(&r)) : txn_delete(t, OBJECT_KEY, key, NULL);
    }
    return commit_and_wait(s, t, st);
}

/* ---- iterators, and what concerns the whole store ---- */

chr_status chr_iter_new(chr_store *s, const chr_snapshot *snapshot, chr_slice lower, chr_slice upper, chr_iter **out)
{
    chr_iter  *it;
    chr_status st = store_iter_new(s, snapshot, OBJECT_KEY, lower, upper, &it);
    if (!chr_ok(st)) return st;
    st = store_wait(s, store_iter_seq(it));
    if (chr_ok(st))
        *out = it;
    else
        chr_iter_free(it);
    return st;
}

chr_status chr_sync(chr_store *s) { return store_wait_durable(s, db_last_seq(s->d)); }
chr_status chr_flush(chr_store *s) { return db_flush(s->d); }

chr_status chr_compact(chr_store *s)
{
    expire_sweep_all(s);
    return db_compact(s->d, chr_bytes(NULL, 0), chr_bytes(NULL, 0));
}

chr_status chr_checkpoint(chr_store *s, const char *dir)
{
    if (!dir || !*dir) return chr_fail(CHR_INVALID, "no directory was given for the copy");
    return db_checkpoint(s->d, dir);
}

void       chr_get_stats(chr_store *s, chr_stats *stats) { db_get_stats(s->d, stats); }
chr_status chr_property(chr_store *s, const char *name, chr_buf *text) { return db_property(s->d, name, text); }
