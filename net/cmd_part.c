/* Commands on parts of values. Of a value in chunks they touch only the chunks concerned. */
#include "net/calls.h"

enum { BIG_PART = 1 << 20 }; /* more takes long enough to keep others waiting */

static bool too_long(uint64_t offset, size_t len) { return offset > CHR_VALUE_MAX || offset + len > CHR_VALUE_MAX; }
static void reply_too_long(request *r)
{
    reply_error(r, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

/* Writes at `offset`, or, without one, at the end. */
static void write_part(request *r, const uint64_t *offset, slice part)
{
    slice       key = r->args[1];
    object_meta meta = { .size = 0 };
    txn        *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = txn_stat(t, OBJECT_KEY, key, &meta);
    bool       there = st == CHR_OK;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    uint64_t at = offset ? *offset : meta.size;
    bool     refused = part.len && too_long(at, part.len);
    if (!there && at == 0 && (part.len || !offset)) {
        if (st == CHR_OK) st = txn_put(t, key, NULL, part);
    } else if (st == CHR_OK && part.len && !refused) {
        if (!there) st = txn_put(t, key, NULL, chr_str(""));
        if (st == CHR_OK) st = txn_write(t, key, at, part);
    }
    if (!request_end(r, t, st)) return;
    uint64_t end = part.len ? at + part.len : 0;
    if (refused)
        reply_too_long(r);
    else
        reply_integer(r, (int64_t)(end > meta.size ? end : meta.size));
}

void cmd_append(request *r)
{
    if (r->args[2].len > BIG_PART && request_defer(r)) return;
    write_part(r, NULL, r->args[2]);
}

void cmd_setrange(request *r)
{
    int64_t  v;
    uint64_t offset;
    if (r->args[3].len > BIG_PART && request_defer(r)) return;
    if (!argument_integer(r, r->args[2], &v)) return;
    if (v < 0) {
        reply_error(r, "ERR offset is out of range");
        return;
    }
    offset = (uint64_t)v;
    write_part(r, &offset, r->args[3]);
}

/* ---- GETRANGE ---- */

typedef struct wanted {
    request *r;
    int64_t  start, end;
    bool     in_chunks;
} wanted;

static bool range_of(const wanted *w, uint64_t size, uint64_t *from, uint64_t *count)
{
    return !range_is_backwards(w->start, w->end) && range_within(w->start, w->end, size, from, count);
}

static void getrange_visit(void *arg, const object_meta *meta, slice value)
{
    wanted  *w = arg;
    uint64_t from, count;
    if (!value.data && meta->size > 0)
        w->in_chunks = true;
    else if (range_of(w, value.len, &from, &count))
        reply_value(w->r, chr_bytes(value.data + from, count));
    else
        reply_value(w->r, chr_str(""));
}

static void getrange_in_chunks(request *r, const wanted *w)
{
    store_snapshot *at; /* the size and the bytes are of one moment */
    object_meta     meta;
    uint64_t        seq = 0, from, count = 0;
    buf             part = { 0 };
    chr_status      st = chr_snapshot_new(r->store, &at);
    if (st != CHR_OK) {
        reply_status(r, st);
        return;
    }
    st = store_stat(r->store, at, OBJECT_KEY, r->args[1], &meta, &seq);
    if (st == CHR_OK && range_of(w, meta.size, &from, &count)) {
        if (count > CHR_VALUE_MAX)
            st = chr_fail(CHR_TOO_BIG, "a reply has at most %u bytes; ask for less", CHR_VALUE_MAX);
        else if (count > BIG_PART && request_defer(r))
            goto out;
        else if (!buf_reserve(&part, count))
            st = CHR_NO_MEMORY;
        if (st == CHR_OK) st = store_read(r->store, at, r->args[1], from, part.data, count, &part.len, NULL, NULL);
    }
    request_saw(r, seq);
    if (st == CHR_OK || st == CHR_NOT_FOUND)
        reply_value(r, part.len ? buf_slice(&part) : chr_str(""));
    else
        reply_status(r, st);
out:
    chr_buf_free(&part);
    chr_snapshot_free(at);
}

void cmd_getrange(request *r)
{
    wanted   w = { .r = r };
    uint64_t seq = 0;
    if (!argument_integer(r, r->args[2], &w.start) || !argument_integer(r, r->args[3], &w.end)) return;
    chr_status st = store_visit(r->store, r->args[1], getrange_visit, &w, &seq);
    request_saw(r, seq);
    calls_note_lookup(r, st == CHR_OK);
    if (st == CHR_NOT_FOUND)
        reply_value(r, chr_str(""));
    else if (st != CHR_OK)
        reply_status(r, st);
    else if (w.in_chunks)
        getrange_in_chunks(r, &w);
}
