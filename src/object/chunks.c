/* Values in chunks. A value has a big id, and its chunk `i` is the engine key (id, i): bytes i * CHUNK_BYTES and up.
 *
 * Invariant: no chunk reaches beyond the value's size, and none lies beyond it. So what is cut off is gone, and a
 * value that grows again shows zeroes: a chunk that is absent or short is a hole.
 *
 * A big id belongs to one key and is never used again. Whoever holds the stripe of that key may change its chunks;
 * readers look at one snapshot. */
#include "object/store_internal.h"

#include <stdlib.h>

enum { DISCARD_PAUSE_MS = 1000 };

static chr_status size_check(uint64_t size)
{
    if (size <= OBJECT_SIZE_MAX) return CHR_OK;
    return chr_fail(CHR_TOO_BIG, "the value would have %llu bytes; at most %llu are possible", (unsigned long long)size,
                    (unsigned long long)OBJECT_SIZE_MAX);
}

/* ---- reading ---- */

typedef struct chunk_part {
    size_t offset, len; /* in the chunk */
    char  *to;
    size_t stored; /* out: bytes of the chunk */
} chunk_part;

static void copy_part(void *arg, slice chunk)
{
    chunk_part *p = arg;
    size_t      n = chunk.len > p->offset ? chunk.len - p->offset : 0;
    if (n > p->len) n = p->len;
    if (n) memcpy(p->to, chunk.data + p->offset, n);
    if (p->len > n) memset(p->to + n, 0, p->len - n);
    p->stored = chunk.len;
}

chr_status big_read(store *s, const db_snapshot *at, uint64_t id, uint64_t offset, char *to, size_t len)
{
    while (len) {
        chunk_part part = { .offset = offset % CHUNK_BYTES, .to = to };
        part.len = CHUNK_BYTES - part.offset < len ? CHUNK_BYTES - part.offset : len;
        char       key[CHUNK_KEY_BYTES];
        chr_status st = db_get(s->d, at, chunk_key(key, id, (uint32_t)(offset / CHUNK_BYTES)), copy_part, &part, NULL);
        if (st == CHR_NOT_FOUND)
            memset(to, 0, part.len);
        else if (!chr_ok(st))
            return st;
        offset += part.len;
        to += part.len;
        len -= part.len;
    }
    return CHR_OK;
}

static chr_status reserve_value(const record *rec, buf *value)
{
    if (rec->meta.size > (uint64_t)CHR_VALUE_MAX)
        return chr_fail(CHR_TOO_BIG, "the value has %llu bytes; more than %u can only be read in parts",
                        (unsigned long long)rec->meta.size, CHR_VALUE_MAX);
    value->len = 0;
    return buf_reserve(value, rec->meta.size) ? CHR_OK : chr_nomem();
}

chr_status big_get(store *s, const db_snapshot *at, const record *rec, buf *value)
{
    chr_status st = reserve_value(rec, value);
    if (chr_ok(st)) st = big_read(s, at, rec->big_id, 0, value->data, rec->meta.size);
    if (chr_ok(st)) value->len = rec->meta.size;
    return st;
}

/* A chunk as a transaction sees it: `len` bytes from `offset`, zeroes where it ends. *stored: how many it has in the store. */
static chr_status load_chunk(txn *t, uint64_t id, uint64_t index, size_t offset, char *to, size_t len, size_t *stored)
{
    char       space[CHUNK_KEY_BYTES];
    slice      key = chunk_key(space, id, (uint32_t)index), chunk = chr_bytes("", 0);
    bool       put = false;
    chunk_part part = { .offset = offset, .len = len, .to = to };
    assert(to);
    if (!staging_find(&t->changes, key, &put, &chunk)) {
        chr_status st = db_get(t->s->d, NULL, key, copy_part, &part, NULL);
        if (st == CHR_NOT_FOUND)
            copy_part(&part, chunk);
        else if (!chr_ok(st))
            return st;
    } else {
        copy_part(&part, put ? chunk : chr_bytes("", 0));
    }
    *stored = part.stored;
    return CHR_OK;
}

chr_status txn_big_get(txn *t, const record *rec, buf *value)
{
    uint64_t   size = rec->meta.size;
    chr_status st = reserve_value(rec, value);
    if (!chr_ok(st)) return st;
    for (uint64_t at = 0; at < size; at += CHUNK_BYTES) {
        size_t stored, n = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
        st = load_chunk(t, rec->big_id, at / CHUNK_BYTES, 0, value->data + at, n, &stored);
        if (!chr_ok(st)) return st;
    }
    value->len = size;
    return CHR_OK;
}

/* ---- staging chunks ---- */

static chr_status put_chunk(txn *t, uint64_t id, uint64_t index, slice bytes)
{
    char key[CHUNK_KEY_BYTES];
    return staging_put(&t->changes, chunk_key(key, id, (uint32_t)index), bytes, chr_bytes(NULL, 0));
}

chr_status txn_stage_chunks(txn *t, uint64_t id, slice value)
{
    chr_status st = CHR_OK;
    for (size_t at = 0; at < value.len && chr_ok(st); at += CHUNK_BYTES) {
        size_t n = value.len - at < CHUNK_BYTES ? value.len - at : CHUNK_BYTES;
        st = put_chunk(t, id, at / CHUNK_BYTES, chr_bytes(value.data + at, n));
    }
    return st;
}

chr_status txn_delete_chunks(txn *t, uint64_t id, uint64_t from, uint64_t to)
{
    char       key[CHUNK_KEY_BYTES], end[CHUNK_KEY_BYTES];
    chr_status st = CHR_OK;
    if (to - from > CHUNK_DELETES_MAX)
        return staging_delete_range(&t->changes, chunk_key(key, id, (uint32_t)from), chunk_key(end, id, (uint32_t)to));
    for (uint64_t i = from; i < to && chr_ok(st); i++)
        st = staging_delete(&t->changes, chunk_key(key, id, (uint32_t)i));
    return st;
}

static chr_status scratch(txn *t)
{
    if (!t->chunk) t->chunk = malloc(CHUNK_BYTES);
    return t->chunk ? CHR_OK : chr_nomem();
}

/* Changes a part of one chunk of a value that had `size` bytes. */
static chr_status patch_chunk(txn *t, uint64_t id, uint64_t size, uint64_t index, size_t offset, slice data)
{
    char     space[CHUNK_KEY_BYTES];
    uint64_t start = index * CHUNK_BYTES;
    size_t   had = size <= start ? 0 : size - start < CHUNK_BYTES ? size - start : CHUNK_BYTES;
    size_t   end = offset + data.len, staged_len = 0, stored = 0;
    slice    key = chunk_key(space, id, (uint32_t)index);
    if (offset == 0 && end >= had) return put_chunk(t, id, index, data);

    char *here = staging_value(&t->changes, key, &staged_len);
    if (here && end <= staged_len) {
        memcpy(here + offset, data.data, data.len);
        return CHR_OK;
    }
    chr_status st = scratch(t);
    if (chr_ok(st)) st = load_chunk(t, id, index, 0, t->chunk, CHUNK_BYTES, &stored);
    if (!chr_ok(st)) return st;
    memcpy(t->chunk + offset, data.data, data.len);
    return put_chunk(t, id, index, chr_bytes(t->chunk, stored > end ? stored : end));
}

/* Cuts what the last chunk of a shrunk value has beyond `size`, and deletes those after it. */
static chr_status cut_chunks(txn *t, uint64_t id, uint64_t old_size, uint64_t size)
{
    uint64_t   last = (size - 1) / CHUNK_BYTES;
    size_t     keep = size - last * CHUNK_BYTES, stored = 0;
    chr_status st = scratch(t);
    if (chr_ok(st)) st = load_chunk(t, id, last, 0, t->chunk, keep, &stored);
    if (chr_ok(st) && stored > keep) st = put_chunk(t, id, last, chr_bytes(t->chunk, keep));
    return chr_ok(st) ? txn_delete_chunks(t, id, last + 1, chunks_of(old_size)) : st;
}

/* ---- registration ---- */

chr_status txn_register_big(txn *t, slice key, uint64_t id, uint64_t expire_ms)
{
    engine_key k;
    char       value[RECORD_BIG_BYTES];
    chr_status st = engine_key_in(&k, SPACE_BIG, key);
    if (!chr_ok(st)) return st;
    put_u64(value, id);
    put_u64(value + 8, expire_ms);
    st = staging_put(&t->changes, k.bytes, chr_bytes(value, sizeof value), chr_bytes(NULL, 0));
    engine_key_free(&k);
    t->big_changes++;
    if (chr_ok(st) && expire_ms) expire_note(t->s, expire_ms);
    return st;
}

chr_status txn_unregister_big(txn *t, slice key)
{
    engine_key k;
    chr_status st = engine_key_in(&k, SPACE_BIG, key);
    if (!chr_ok(st)) return st;
    st = staging_delete(&t->changes, k.bytes);
    engine_key_free(&k);
    t->big_changes++;
    return st;
}

/* ---- writing ahead ---- */

chr_status big_write_ahead(store *s, slice value, uint64_t *out)
{
    uint64_t   id;
    char       mark[PENDING_KEY_BYTES], key[CHUNK_KEY_BYTES];
    chr_status st = big_new_id(s, &id);
    if (!chr_ok(st)) return st;
    batch b = { 0 };
    bool  marked = false;
    st = batch_put(&b, pending_key(mark, id), chr_bytes("", 0));
    for (size_t at = 0; at < value.len && chr_ok(st);) {
        size_t n = value.len - at < CHUNK_BYTES ? value.len - at : CHUNK_BYTES;
        st = batch_put(&b, chunk_key(key, id, (uint32_t)(at / CHUNK_BYTES)), chr_bytes(value.data + at, n));
        at += n;
        if (!chr_ok(st) || (at < value.len && b.payload.len < PREWRITE_BYTES)) continue;
        st = db_apply(s->d, &b, NULL);
        marked = marked || chr_ok(st);
        batch_clear(&b);
    }
    batch_free(&b);
    if (chr_ok(st))
        *out = id;
    else if (marked)
        big_discard(s, id);
    return st;
}

static chr_status try_discard(store *s, uint64_t id)
{
    char       from[CHUNK_KEY_BYTES], to[CHUNK_KEY_BYTES], mark[PENDING_KEY_BYTES];
    batch      b = { 0 };
    chr_status st = batch_delete_range(&b, chunk_key(from, id, 0), chunk_key(to, id + 1, 0));
    if (chr_ok(st)) st = batch_delete(&b, pending_key(mark, id));
    if (chr_ok(st)) st = db_apply(s->d, &b, NULL);
    batch_free(&b);
    return st;
}

void big_discard(store *s, uint64_t id)
{
    buf        why = { 0 }; /* whoever discards has something of its own to report */
    bool       kept = buf_append(&why, chr_message(), strlen(chr_message()) + 1);
    chr_status st = try_discard(s, id);
    if (!chr_ok(st)) {
        pthread_mutex_lock(&s->id_lock);
        buf_append_u64(&s->undiscarded, id);
        pthread_mutex_unlock(&s->id_lock);
        expire_note(s, (uint64_t)store_now_ms(s) + DISCARD_PAUSE_MS);
    }
    if (kept) chr_fail(st, "%s", why.data);
    chr_buf_free(&why);
}

void big_discard_again(store *s)
{
    pthread_mutex_lock(&s->id_lock);
    buf ids = s->undiscarded;
    s->undiscarded = (buf){ 0 };
    pthread_mutex_unlock(&s->id_lock);
    for (size_t at = 0; at < ids.len; at += sizeof(uint64_t)) big_discard(s, get_u64(ids.data + at));
    chr_buf_free(&ids);
}

/* ---- changing parts of a value ---- */

/* Makes a value in chunks of one in a record. */
static chr_status spread(txn *t, slice key, record *rec)
{
    chr_status st = big_new_id(t->s, &rec->big_id);
    if (chr_ok(st) && rec->value.len) st = put_chunk(t, rec->big_id, 0, rec->value);
    if (chr_ok(st)) st = txn_register_big(t, key, rec->big_id, rec->meta.expire_ms);
    rec->chunked = true;
    rec->value = chr_bytes(NULL, 0);
    return st;
}

static chr_status stage_resized(txn *t, slice key, record *rec, slice value, uint64_t size)
{
    rec->meta.size = size;
    rec->meta.mtime_ns = rec->meta.ctime_ns = store_now_ns(t->s);
    return txn_stage_record(t, OBJECT_KEY, key, &rec->meta, rec->xattrs, value, rec->big_id);
}

static chr_status load_existing(txn *t, slice key, record *rec)
{
    chr_status st = txn_load(t, OBJECT_KEY, key, &t->raw, rec);
    return chr_ok(st) && is_expired(t->s, &rec->meta) ? CHR_NOT_FOUND : st;
}

chr_status txn_read(txn *t, slice key, uint64_t offset, void *to, size_t len, size_t *got, object_meta *meta)
{
    record     rec;
    size_t     stored, n = 0;
    chr_status st = load_existing(t, key, &rec);
    if (!chr_ok(st)) return st;
    if (offset < rec.meta.size) n = rec.meta.size - offset < len ? rec.meta.size - offset : len;
    if (!rec.chunked && n) memcpy(to, rec.value.data + offset, n);
    for (size_t done = 0, more; rec.chunked && done < n; done += more) {
        uint64_t at = offset + done;
        size_t   within = at % CHUNK_BYTES;
        more = CHUNK_BYTES - within < n - done ? CHUNK_BYTES - within : n - done;
        st = load_chunk(t, rec.big_id, at / CHUNK_BYTES, within, (char *)to + done, more, &stored);
        if (!chr_ok(st)) return st;
    }
    *got = n;
    if (meta) *meta = rec.meta;
    return CHR_OK;
}

static chr_status write_small(txn *t, slice key, record *rec, uint64_t offset, slice data)
{
    size_t     had = rec->value.len, end = offset + data.len, len = end > had ? end : had;
    chr_status st = scratch(t);
    if (!chr_ok(st)) return st;
    memcpy(t->chunk, rec->value.data, had);
    if (offset > had) memset(t->chunk + had, 0, offset - had);
    memcpy(t->chunk + offset, data.data, data.len);
    return stage_resized(t, key, rec, chr_bytes(t->chunk, len), len);
}

static chr_status write_big(txn *t, slice key, record *rec, uint64_t offset, slice data, uint64_t new_size)
{
    uint64_t   size = rec->meta.size;
    chr_status st = rec->chunked ? CHR_OK : spread(t, key, rec);
    for (size_t done = 0; done < data.len && chr_ok(st);) {
        uint64_t at = offset + done;
        size_t   within = at % CHUNK_BYTES, n = CHUNK_BYTES - within;
        if (n > data.len - done) n = data.len - done;
        st = patch_chunk(t, rec->big_id, size, at / CHUNK_BYTES, within, chr_bytes(data.data + done, n));
        done += n;
    }
    return chr_ok(st) ? stage_resized(t, key, rec, chr_bytes(NULL, 0), new_size) : st;
}

chr_status txn_write(txn *t, slice key, uint64_t offset, slice data)
{
    record     rec;
    chr_status st = CHR_OK;
    if (data.len > WRITE_BYTES_MAX)
        return chr_fail(CHR_TOO_BIG, "a change of %zu bytes at once; at most %u are possible", data.len,
                        WRITE_BYTES_MAX);
    st = size_check(offset > OBJECT_SIZE_MAX ? offset : offset + data.len);
    if (chr_ok(st)) st = load_existing(t, key, &rec);
    if (!chr_ok(st) || data.len == 0) return st;
    uint64_t size = offset + data.len > rec.meta.size ? offset + data.len : rec.meta.size;
    if (!rec.chunked && size <= CHUNK_BYTES)
        st = write_small(t, key, &rec, offset, data);
    else
        st = write_big(t, key, &rec, offset, data, size);
    return txn_poison(t, st);
}

/* Makes a value in a record of one in chunks, `size` bytes long. */
static chr_status gather(txn *t, slice key, record *rec, uint64_t size)
{
    size_t     stored;
    chr_status st = scratch(t);
    if (chr_ok(st)) st = load_chunk(t, rec->big_id, 0, 0, t->chunk, size, &stored);
    if (chr_ok(st)) st = txn_drop_big(t, key, rec);
    return chr_ok(st) ? stage_resized(t, key, rec, chr_bytes(t->chunk, size), size) : st;
}

static chr_status truncate_small(txn *t, slice key, record *rec, uint64_t size)
{
    chr_status st = scratch(t);
    size_t     keep = rec->value.len < size ? rec->value.len : size;
    if (!chr_ok(st)) return st;
    memcpy(t->chunk, rec->value.data, keep);
    memset(t->chunk + keep, 0, size - keep);
    return stage_resized(t, key, rec, chr_bytes(t->chunk, size), size);
}

chr_status txn_truncate(txn *t, slice key, uint64_t size)
{
    record     rec;
    chr_status st = size_check(size);
    if (chr_ok(st)) st = load_existing(t, key, &rec);
    if (!chr_ok(st)) return st;
    if (size <= CHUNK_BYTES) {
        st = rec.chunked ? gather(t, key, &rec, size) : truncate_small(t, key, &rec, size);
        return txn_poison(t, st);
    }
    if (!rec.chunked)
        st = spread(t, key, &rec);
    else if (size < rec.meta.size)
        st = cut_chunks(t, rec.big_id, rec.meta.size, size);
    if (chr_ok(st)) st = stage_resized(t, key, &rec, chr_bytes(NULL, 0), size);
    return txn_poison(t, st);
}

/* ---- holes ---- */

/* Zeroes from `from` up to `to` of a chunk; it takes no more room than before. */
static chr_status clear_in_chunk(txn *t, uint64_t id, uint64_t index, size_t from, size_t to)
{
    size_t     stored = 0;
    chr_status st = scratch(t);
    if (chr_ok(st)) st = load_chunk(t, id, index, 0, t->chunk, CHUNK_BYTES, &stored);
    if (!chr_ok(st) || stored <= from) return st;
    if (to >= stored && from == 0) return txn_delete_chunks(t, id, index, index + 1);
    if (to >= stored) return put_chunk(t, id, index, chr_bytes(t->chunk, from));
    memset(t->chunk + from, 0, to - from);
    return put_chunk(t, id, index, chr_bytes(t->chunk, stored));
}

static chr_status punch_big(txn *t, slice key, record *rec, uint64_t offset, uint64_t end)
{
    uint64_t   size = rec->meta.size, first = offset / CHUNK_BYTES, last = end / CHUNK_BYTES;
    size_t     from = offset % CHUNK_BYTES, to = end % CHUNK_BYTES;
    chr_status st = CHR_OK;
    if (end == size && to) { /* whatever the last chunk has, it ends here */
        last++;
        to = 0;
    }
    if (from) st = clear_in_chunk(t, rec->big_id, first, from, first == last ? to : CHUNK_BYTES);
    first += from > 0;
    if (chr_ok(st) && first < last) st = txn_delete_chunks(t, rec->big_id, first, last);
    if (chr_ok(st) && to && first <= last) st = clear_in_chunk(t, rec->big_id, last, 0, to);
    return chr_ok(st) ? stage_resized(t, key, rec, chr_bytes(NULL, 0), size) : st;
}

chr_status txn_punch(txn *t, slice key, uint64_t offset, uint64_t len)
{
    record     rec;
    chr_status st = load_existing(t, key, &rec);
    if (!chr_ok(st) || offset >= rec.meta.size || len == 0) return st;
    uint64_t end = len < rec.meta.size - offset ? offset + len : rec.meta.size;
    if (rec.chunked) return txn_poison(t, punch_big(t, key, &rec, offset, end));
    st = scratch(t);
    if (!chr_ok(st)) return st;
    memcpy(t->chunk, rec.value.data, rec.value.len);
    memset(t->chunk + offset, 0, end - offset);
    return txn_poison(t, stage_resized(t, key, &rec, chr_bytes(t->chunk, rec.value.len), rec.value.len));
}

/* The chunks it looks through at a time: who asks may hold locks. */
enum { DATA_CHUNKS = 256 };

chr_status big_data(store *s, const db_snapshot *at, uint64_t id, uint64_t offset, uint64_t *start, uint64_t *end)
{
    char       from[CHUNK_KEY_BYTES], to[CHUNK_KEY_BYTES];
    db_iter   *it;
    bool       found = false;
    slice      lower = chunk_key(from, id, (uint32_t)(offset / CHUNK_BYTES));
    chr_status st = db_iter_new(s->d, at, lower, chunk_key(to, id + 1, 0), &it);
    if (!chr_ok(st)) return st;
    db_iter_first(it);
    for (int i = 0; i < DATA_CHUNKS && db_iter_valid(it); i++) {
        slice chunk;
        if (!chr_ok(st = db_iter_value(it, &chunk))) break;
        uint64_t begin = (uint64_t)chunk_index(db_iter_key(it)) * CHUNK_BYTES, stop = begin + chunk.len;
        if (found && begin != *end) break;
        if (stop > offset) {
            if (!found) *start = begin > offset ? begin : offset;
            *end = stop;
            found = true;
            if (stop - begin < CHUNK_BYTES) break;
        }
        db_iter_next(it);
    }
    if (chr_ok(st)) st = db_iter_status(it);
    db_iter_free(it);
    return chr_ok(st) && !found ? CHR_NOT_FOUND : st;
}
