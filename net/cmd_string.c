/* Commands on values. */
#include "net/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- GET, MGET, STRLEN: straight from where the store has it into the reply ---- */

static void get_visit(void *arg, const object_meta *meta, slice value)
{
    request *r = arg;
    if (!value.data && meta->size > 0) { /* in chunks: for a worker */
        if (request_defer(r)) return;
        return;
    }
    reply_value(r, value);
}

/* Writes the value or null; false: an error was written, or the request is deferred. */
static bool reply_get(request *r, slice key)
{
    uint64_t   seq = 0;
    size_t     before = r->out->len;
    chr_status st = store_visit(r->store, key, get_visit, r, &seq);
    if (r->deferred) return false;
    request_saw(r, seq);
    if (st == CHR_OK && r->out->len == before && !r->no_memory) {
        buf value = { 0 };
        st = store_get(r->store, NULL, key, &value, NULL, &seq);
        request_saw(r, seq);
        if (st == CHR_OK) reply_value(r, buf_slice(&value));
        chr_buf_free(&value);
    }
    if (st == CHR_NOT_FOUND)
        reply_null(r);
    else if (st != CHR_OK)
        reply_status(r, st);
    return st == CHR_OK || st == CHR_NOT_FOUND;
}

void cmd_get(request *r) { reply_get(r, r->args[1]); }

void cmd_mget(request *r)
{
    size_t before = r->out->len;
    reply_array(r, r->n - 1);
    for (size_t i = 1; i < r->n; i++) {
        if (reply_get(r, r->args[i])) continue;
        if (r->deferred) {
            r->out->len = before;
            return;
        }
    }
}

void cmd_strlen(request *r)
{
    object_meta meta;
    uint64_t    seq = 0;
    chr_status  st = store_stat(r->store, NULL, OBJECT_KEY, r->args[1], &meta, &seq);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_integer(r, (int64_t)meta.size);
    else if (st == CHR_NOT_FOUND)
        reply_integer(r, 0);
    else
        reply_status(r, st);
}

/* ---- SET, MSET ---- */

typedef struct set_options {
    bool     nx, xx, get, keep_ttl;
    uint64_t expire_ms;
} set_options;

/* The moment of expiry from an option's number; false: an error was written. */
static bool expiry(request *r, slice number, bool seconds, bool absolute, uint64_t *expire_ms)
{
    int64_t v;
    if (!parse_int64(number, &v)) {
        reply_error(r, "ERR value is not an integer or out of range");
        return false;
    }
    int64_t now = absolute ? 0 : store_now_ms(r->store);
    if (v <= 0 || (seconds && v > INT64_MAX / 1000) || (v = seconds ? v * 1000 : v) > INT64_MAX - now) {
        reply_error(r, "ERR invalid expire time in '%s' command", r->command->name);
        return false;
    }
    *expire_ms = (uint64_t)(now + v);
    return true;
}

static bool parse_set_options(request *r, set_options *o)
{
    bool timed = false;
    for (size_t i = 3; i < r->n; i++) {
        slice a = r->args[i];
        bool  ex = argument_is(a, "ex"), px = argument_is(a, "px"), exat = argument_is(a, "exat"),
             pxat = argument_is(a, "pxat");
        if (argument_is(a, "nx") && !o->xx) {
            o->nx = true;
        } else if (argument_is(a, "xx") && !o->nx) {
            o->xx = true;
        } else if (argument_is(a, "get")) {
            o->get = true;
        } else if (argument_is(a, "keepttl") && !timed) {
            o->keep_ttl = true;
        } else if ((ex || px || exat || pxat) && i + 1 < r->n && !timed && !o->keep_ttl) {
            timed = true;
            if (!expiry(r, r->args[++i], ex || exat, exat || pxat, &o->expire_ms)) return false;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static void set_with_options(request *r, const set_options *o)
{
    slice       key = r->args[1];
    buf         old = { 0 };
    object_meta had, meta = object_meta_default(r->store, 0);
    uint64_t    seq = 0;
    txn        *t = txn_begin(r->store, &key, 1);
    if (!t) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    chr_status st = o->get ? txn_get(t, key, &old, &had) : txn_stat(t, OBJECT_KEY, key, &had);
    bool       there = st == CHR_OK;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    bool wanted = !(o->nx && there) && !(o->xx && !there);
    meta.expire_ms = o->keep_ttl && there ? had.expire_ms : o->expire_ms;
    if (st == CHR_OK && wanted) st = txn_put(t, key, &meta, r->args[2]);
    if (st != CHR_OK) {
        txn_abort(t);
        reply_status(r, st);
        goto out;
    }
    st = txn_commit(t, &seq);
    request_saw(r, seq);
    if (st != CHR_OK)
        reply_status(r, st);
    else if (o->get && there)
        reply_value(r, buf_slice(&old));
    else if (o->get || !wanted)
        reply_null(r);
    else
        reply_ok(r);
out:
    chr_buf_free(&old);
}

enum { BIG_VALUE = 1 << 20 }; /* writing more takes long enough to keep others waiting */

void cmd_set(request *r)
{
    set_options o = { 0 };
    uint64_t    seq = 0;
    if (r->args[2].len > BIG_VALUE && request_defer(r)) return;
    if (!parse_set_options(r, &o)) return;
    if (o.nx || o.xx || o.get || o.keep_ttl) {
        set_with_options(r, &o);
        return;
    }
    object_meta meta, *with = NULL;
    if (o.expire_ms) {
        meta = object_meta_default(r->store, 0);
        meta.expire_ms = o.expire_ms;
        with = &meta;
    }
    chr_status st = store_put(r->store, r->args[1], with, r->args[2], &seq);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

/* Keys are every `step`-th argument. NULL: no memory, and an error was written. */
static txn *begin_on_arguments(request *r, size_t step)
{
    size_t n = (r->n - 1) / step;
    slice *keys = malloc(n * sizeof *keys);
    for (size_t i = 0; keys && i < n; i++) keys[i] = r->args[1 + i * step];
    txn *t = keys ? txn_begin(r->store, keys, n) : NULL;
    free(keys);
    if (!t) reply_status(r, CHR_NO_MEMORY);
    return t;
}

void cmd_mset(request *r)
{
    uint64_t seq = 0;
    if (r->n % 2 == 0) {
        reply_wrong_arity(r);
        return;
    }
    txn *t = begin_on_arguments(r, 2);
    if (!t) return;
    chr_status st = CHR_OK;
    for (size_t i = 1; i < r->n && st == CHR_OK; i += 2) st = txn_put(t, r->args[i], NULL, r->args[i + 1]);
    if (st == CHR_OK)
        st = txn_commit(t, &seq);
    else
        txn_abort(t);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

/* ---- read, change, write ---- */

void cmd_append(request *r)
{
    slice       key = r->args[1], more = r->args[2];
    object_meta meta;
    uint64_t    seq = 0;
    txn        *t = txn_begin(r->store, &key, 1);
    if (!t) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    chr_status st = txn_stat(t, OBJECT_KEY, key, &meta);
    if (st == CHR_NOT_FOUND) {
        meta.size = 0;
        st = txn_put(t, key, NULL, more);
    } else if (st == CHR_OK && meta.size + more.len > CHR_VALUE_MAX) {
        st = chr_fail(CHR_TOO_BIG, "string exceeds maximum allowed size (%u bytes)", CHR_VALUE_MAX);
    } else if (st == CHR_OK) {
        st = txn_write(t, key, meta.size, more);
    }
    if (st == CHR_OK)
        st = txn_commit(t, &seq);
    else
        txn_abort(t);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_integer(r, (int64_t)(meta.size + more.len));
    else
        reply_status(r, st);
}

static void add_to(request *r, int64_t by)
{
    slice       key = r->args[1];
    buf         old = { 0 };
    object_meta meta = object_meta_default(r->store, 0), had;
    int64_t     v = 0;
    uint64_t    seq = 0;
    char        text[32];
    txn        *t = txn_begin(r->store, &key, 1);
    if (!t) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    chr_status st = txn_get(t, key, &old, &had);
    if (st == CHR_OK) {
        meta = had; /* expiry and attributes stay */
        meta.mtime_ns = meta.ctime_ns = store_now_ns(r->store);
        if (!parse_int64(buf_slice(&old), &v)) st = chr_fail(CHR_INVALID, "value is not an integer or out of range");
    } else if (st == CHR_NOT_FOUND) {
        st = CHR_OK;
    }
    if (st == CHR_OK && __builtin_add_overflow(v, by, &v))
        st = chr_fail(CHR_INVALID, "increment or decrement would overflow");
    if (st == CHR_OK) st = txn_put(t, key, &meta, chr_bytes(text, (size_t)snprintf(text, sizeof text, "%" PRId64, v)));
    if (st == CHR_OK)
        st = txn_commit(t, &seq);
    else
        txn_abort(t);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_integer(r, v);
    else
        reply_status(r, st);
    chr_buf_free(&old);
}

static bool increment(request *r, int64_t *by)
{
    if (parse_int64(r->args[2], by)) return true;
    reply_error(r, "ERR value is not an integer or out of range");
    return false;
}

void cmd_incr(request *r) { add_to(r, 1); }
void cmd_decr(request *r) { add_to(r, -1); }
void cmd_incrby(request *r)
{
    int64_t by;
    if (increment(r, &by)) add_to(r, by);
}
void cmd_decrby(request *r)
{
    int64_t by;
    if (!increment(r, &by)) return;
    if (by == INT64_MIN)
        reply_error(r, "ERR decrement would overflow");
    else
        add_to(r, -by);
}
