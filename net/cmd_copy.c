/* COPY, DUMP, RESTORE: the same value elsewhere.
 *
 * What DUMP gives: the value, u16 DUMP_VERSION, u64 XXH3-64 of all that is before it with the seed DUMP_SEED. As with Redis, the
 * expiry is not in it; nor are the attributes that the mount shows, which no client may set. */
#include "net/command.h"

#include "base/hash.h"

enum { DUMP_VERSION = 1, DUMP_SEED = 0x504d5544, DUMP_TRAILER = 2 + 8 };
enum { BIG_VALUE = 1 << 20 }; /* more takes long enough to keep others waiting */

static bool parse_copy_options(request *r, bool *replace)
{
    for (size_t i = 3; i < r->n; i++) {
        if (argument_is(r->args[i], "replace")) {
            *replace = true;
        } else if (argument_is(r->args[i], "db") && i + 1 < r->n) {
            if (!argument_database(r, r->args[++i])) return false;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static chr_status copy_in(txn *t, slice from, slice to)
{
    buf         value = { 0 }, xattrs = { 0 };
    object_meta meta;
    chr_status  st = txn_get(t, from, &value, &meta);
    if (st == CHR_OK) st = txn_get_xattrs(t, OBJECT_KEY, from, &xattrs);
    if (st == CHR_OK) st = txn_put(t, to, &meta, buf_slice(&value));
    if (st == CHR_OK && xattrs.len) st = txn_set_xattrs(t, OBJECT_KEY, to, buf_slice(&xattrs));
    chr_buf_free(&value);
    chr_buf_free(&xattrs);
    return st;
}

void cmd_copy(request *r)
{
    slice       from = r->args[1], to = r->args[2];
    object_meta meta;
    bool        replace = false;
    if (!parse_copy_options(r, &replace)) return;
    if (slice_equal(from, to)) {
        reply_error(r, "ERR source and destination objects are the same");
        return;
    }
    txn *t = request_begin(r, r->args + 1, 2);
    if (!t) return;
    chr_status st = txn_stat(t, OBJECT_KEY, from, &meta);
    bool       copied = st == CHR_OK;
    if (copied && !replace) {
        st = txn_stat(t, OBJECT_KEY, to, NULL);
        copied = st == CHR_NOT_FOUND;
    }
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (copied && !(meta.size > BIG_VALUE && request_defer(r))) st = copy_in(t, from, to);
    if (request_end(r, t, st)) reply_integer(r, copied);
}

void cmd_dump(request *r)
{
    buf         value = { 0 };
    object_meta meta;
    uint64_t    seq = 0;
    chr_status  st = store_stat(r->store, NULL, OBJECT_KEY, r->args[1], &meta, &seq);
    if (st == CHR_OK && meta.size > BIG_VALUE && request_defer(r)) return;
    if (st == CHR_OK) st = store_get(r->store, NULL, r->args[1], &value, NULL, &seq);
    request_saw(r, seq);
    if (st == CHR_OK) {
        char trailer[DUMP_TRAILER];
        put_u16(trailer, DUMP_VERSION);
        if (!buf_append(&value, trailer, 2)) st = CHR_NO_MEMORY;
        put_u64(trailer + 2, hash64_seed(buf_slice(&value), DUMP_SEED));
        if (st == CHR_OK && !buf_append(&value, trailer + 2, 8)) st = CHR_NO_MEMORY;
    }
    if (st == CHR_OK)
        reply_value(r, buf_slice(&value));
    else if (st == CHR_NOT_FOUND)
        reply_null(r);
    else
        reply_status(r, st);
    chr_buf_free(&value);
}

/* ---- RESTORE ---- */

typedef struct restore_options {
    bool    replace, absolute;
    int64_t idle, frequency; /* -1: not given. There is nothing to do with them */
} restore_options;

static bool parse_restore_options(request *r, restore_options *o)
{
    for (size_t i = 4; i < r->n; i++) {
        bool last = i + 1 == r->n;
        if (argument_is(r->args[i], "replace")) {
            o->replace = true;
        } else if (argument_is(r->args[i], "absttl")) {
            o->absolute = true;
        } else if (argument_is(r->args[i], "idletime") && !last && o->frequency == -1) {
            if (!argument_integer(r, r->args[++i], &o->idle)) return false;
            if (o->idle < 0) {
                reply_error(r, "ERR Invalid IDLETIME value, must be >= 0");
                return false;
            }
        } else if (argument_is(r->args[i], "freq") && !last && o->idle == -1) {
            if (!argument_integer(r, r->args[++i], &o->frequency)) return false;
            if (o->frequency < 0 || o->frequency > 255) {
                reply_error(r, "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static bool open_dump(slice dump, slice *value)
{
    if (dump.len < DUMP_TRAILER) return false;
    const char *trailer = dump.data + dump.len - DUMP_TRAILER;
    *value = chr_bytes(dump.data, dump.len - DUMP_TRAILER);
    return get_u16(trailer) == DUMP_VERSION &&
           get_u64(trailer + 2) == hash64_seed(chr_bytes(dump.data, dump.len - 8), DUMP_SEED);
}

/* False: an error was written. */
static bool check_restore(request *r, const restore_options *o, bool there, int64_t *expire_ms, slice *value)
{
    if (!o->replace && there) {
        reply_error(r, "BUSYKEY Target key name already exists.");
        return false;
    }
    if (!argument_integer(r, r->args[2], expire_ms)) return false;
    if (*expire_ms < 0) {
        reply_error(r, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    if (!open_dump(r->args[3], value)) {
        reply_error(r, "ERR DUMP payload version or checksum are wrong");
        return false;
    }
    if (*expire_ms && !o->absolute && __builtin_add_overflow(*expire_ms, store_now_ms(r->store), expire_ms))
        *expire_ms = INT64_MAX;
    return true;
}

void cmd_restore(request *r)
{
    restore_options o = { .idle = -1, .frequency = -1 };
    slice           key = r->args[1], value;
    int64_t         expire_ms;
    object_meta     meta = object_meta_default(r->store, 0);
    if (r->args[3].len > BIG_VALUE && request_defer(r)) return;
    if (!parse_restore_options(r, &o)) return;
    txn *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = txn_stat(t, OBJECT_KEY, key, NULL);
    bool       there = st == CHR_OK;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st == CHR_OK && !check_restore(r, &o, there, &expire_ms, &value)) {
        uint64_t seq = 0;
        if (txn_commit(t, &seq) == CHR_OK) request_saw(r, seq); /* the answer tells of a key that was there */
        return;
    }
    if (st == CHR_OK && expire_ms && expire_ms <= store_now_ms(r->store)) {
        st = txn_delete(t, OBJECT_KEY, key, NULL);
    } else if (st == CHR_OK) {
        meta.expire_ms = (uint64_t)expire_ms;
        st = txn_put(t, key, &meta, value);
    }
    if (request_end(r, t, st)) reply_ok(r);
}
