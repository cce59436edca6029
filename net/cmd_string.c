/* Commands on whole values. */
#include "net/calls.h"

#include <inttypes.h>
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
    if (st == CHR_OK || st == CHR_NOT_FOUND) calls_note_lookup(r, st == CHR_OK);
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

/* A value so big that it is said in pieces, as the client takes them: it is never in memory whole. */
enum { PIECES_FROM = 4 << 20, PIECE_BYTES = 1 << 20 };

typedef struct big_value {
    store_snapshot *at;
    uint64_t        size, said;
} big_value;

static void big_value_free(void *arg)
{
    big_value *b = arg;
    chr_snapshot_free(b->at);
    free(b);
}

/* It is too late for an error: if something cannot be read any more, the connection is closed. */
static void say_piece(request *r, big_value *b)
{
    uint64_t left = b->size - b->said;
    size_t   len = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, got = 0;
    if (!buf_reserve(r->out, len) ||
        store_read(r->store, b->at, r->args[1], b->said, r->out->data + r->out->len, len, &got, NULL, NULL) != CHR_OK)
        got = 0;
    r->no_memory = got < len;
    r->out->len += got;
    b->said += got;
    if (b->said == b->size && !buf_append_slice(r->out, chr_str(request_is_line(r) ? "\n" : "\r\n")))
        r->no_memory = true;
    if (b->said == b->size || r->no_memory) request_is_complete(r);
}

/* False: it is not such a value, or not there; nothing was written. */
static bool reply_in_pieces(request *r, slice key)
{
    object_meta meta;
    uint64_t    seq = 0;
    big_value  *b = calloc(1, sizeof *b);
    if (!b || chr_snapshot_new(r->store, &b->at) != CHR_OK) {
        free(b);
        return false;
    }
    if (store_stat(r->store, b->at, OBJECT_KEY, key, &meta, &seq) != CHR_OK || meta.size < PIECES_FROM ||
        meta.size > CHR_VALUE_MAX) {
        big_value_free(b);
        return false;
    }
    b->size = meta.size;
    request_saw(r, seq);
    calls_note_lookup(r, true);
    request_goes_on(r, b, big_value_free);
    if (!request_is_line(r) && !buf_printf(r->out, "$%" PRIu64 "\r\n", b->size)) r->no_memory = true;
    say_piece(r, b);
    return true;
}

void cmd_get(request *r)
{
    if (r->rest)
        say_piece(r, r->rest);
    else if (!r->on_worker || r->whole || !reply_in_pieces(r, r->args[1]))
        reply_get(r, r->args[1]);
}

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
    calls_note_lookup(r, st == CHR_OK);
    if (st == CHR_OK)
        reply_integer(r, (int64_t)meta.size);
    else if (st == CHR_NOT_FOUND)
        reply_integer(r, 0);
    else
        reply_status(r, st);
}

/* ---- moments of expiry, as SET, GETEX and their kin take them ---- */

typedef struct set_options {
    bool         nx, xx, get, keep_ttl, persist;
    bool         ex, px, exat, pxat;
    const slice *when; /* the number of the last of these four */
} set_options;

/* Redis is lenient: an option may come twice, and the last one counts. */
static bool parse_options(request *r, size_t from, bool setting, set_options *o)
{
    for (size_t i = from; i < r->n; i++) {
        slice a = r->args[i];
        bool  number = i + 1 < r->n && !o->keep_ttl && !o->persist;
        bool *unit = NULL;
        if (argument_is(a, "ex") && !o->px && !o->exat && !o->pxat) unit = &o->ex;
        if (argument_is(a, "px") && !o->ex && !o->exat && !o->pxat) unit = &o->px;
        if (argument_is(a, "exat") && !o->ex && !o->px && !o->pxat) unit = &o->exat;
        if (argument_is(a, "pxat") && !o->ex && !o->px && !o->exat) unit = &o->pxat;
        if (unit && number) {
            *unit = true;
            o->when = &r->args[++i];
        } else if (setting && argument_is(a, "nx") && !o->xx) {
            o->nx = true;
        } else if (setting && argument_is(a, "xx") && !o->nx) {
            o->xx = true;
        } else if (setting && argument_is(a, "get")) {
            o->get = true;
        } else if (setting && argument_is(a, "keepttl") && !o->when) {
            o->keep_ttl = true;
        } else if (!setting && argument_is(a, "persist") && !o->when) {
            o->persist = true;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

/* The moment from its number; false: an error was written. */
static bool moment(request *r, slice number, bool seconds, bool absolute, uint64_t *expire_ms)
{
    int64_t v, now = absolute ? 0 : store_now_ms(r->store);
    if (!argument_integer(r, number, &v)) return false;
    if (v <= 0 || (seconds && v > INT64_MAX / 1000) || (v = seconds ? v * 1000 : v) > INT64_MAX - now) {
        reply_error(r, "ERR invalid expire time in '%s' command", r->command->name);
        return false;
    }
    *expire_ms = (uint64_t)(now + v);
    return true;
}
static bool moment_of_options(request *r, const set_options *o, uint64_t *expire_ms)
{
    return !o->when || moment(r, *o->when, o->ex || o->exat, o->exat || o->pxat, expire_ms);
}

/* ---- SET and its kin ---- */

enum { BIG_VALUE = 1 << 20 }; /* reading or writing more takes long enough to keep others waiting */

/* As txn_get, but a big value is for a worker. */
static chr_status get_in(request *r, txn *t, slice key, buf *value, object_meta *meta)
{
    chr_status st = txn_stat(t, OBJECT_KEY, key, meta);
    if (st != CHR_OK || (meta->size > BIG_VALUE && request_defer(r))) return st;
    return txn_get(t, key, value, NULL);
}

static void reply_old(request *r, bool there, const buf *old)
{
    if (there)
        reply_value(r, buf_slice(old));
    else
        reply_null(r);
}

/* True: it was set or, by NX or XX, not to be; `*wanted` tells. False: there is nothing more to answer. */
static bool set_in(request *r, slice value, const set_options *o, uint64_t expire_ms, bool *wanted, buf *old,
                   bool *there)
{
    slice       key = r->args[1];
    object_meta had, meta = object_meta_default(r->store, 0);
    txn        *t = request_begin(r, &key, 1);
    if (!t) return false;
    chr_status st = o->get ? get_in(r, t, key, old, &had) : txn_stat(t, OBJECT_KEY, key, &had);
    *there = st == CHR_OK;
    *wanted = !(o->nx && *there) && !(o->xx && !*there);
    meta.expire_ms = o->keep_ttl && *there ? had.expire_ms : expire_ms;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st == CHR_OK && *wanted) st = txn_put(t, key, &meta, value);
    return request_end(r, t, st);
}

static void set_unconditionally(request *r, slice value, uint64_t expire_ms)
{
    object_meta meta, *with = NULL;
    uint64_t    seq = 0;
    if (expire_ms) {
        meta = object_meta_default(r->store, 0);
        meta.expire_ms = expire_ms;
        with = &meta;
    }
    chr_status st = store_put(r->store, r->args[1], with, value, &seq);
    request_saw(r, seq);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

void cmd_set(request *r)
{
    set_options o = { 0 };
    uint64_t    expire_ms = 0;
    bool        wanted, there;
    buf         old = { 0 };
    if (r->args[2].len > BIG_VALUE && request_defer(r)) return;
    if (!parse_options(r, 3, true, &o) || !moment_of_options(r, &o, &expire_ms)) return;
    if (!o.nx && !o.xx && !o.get && !o.keep_ttl) {
        set_unconditionally(r, r->args[2], expire_ms);
    } else if (set_in(r, r->args[2], &o, expire_ms, &wanted, &old, &there)) {
        if (o.get)
            reply_old(r, there, &old);
        else if (wanted)
            reply_ok(r);
        else
            reply_null(r);
    }
    chr_buf_free(&old);
}

void cmd_setnx(request *r)
{
    const set_options o = { .nx = true };
    bool              wanted, there;
    if (r->args[2].len > BIG_VALUE && request_defer(r)) return;
    if (set_in(r, r->args[2], &o, 0, &wanted, NULL, &there)) reply_integer(r, wanted);
}

static void set_expiring(request *r, bool seconds)
{
    uint64_t expire_ms;
    if (r->args[3].len > BIG_VALUE && request_defer(r)) return;
    if (moment(r, r->args[2], seconds, false, &expire_ms)) set_unconditionally(r, r->args[3], expire_ms);
}
void cmd_setex(request *r) { set_expiring(r, true); }
void cmd_psetex(request *r) { set_expiring(r, false); }

/* ---- GET with something done to the key ---- */

void cmd_getset(request *r)
{
    const set_options o = { .get = true };
    bool              wanted, there;
    buf               old = { 0 };
    if (r->args[2].len > BIG_VALUE && request_defer(r)) return;
    if (set_in(r, r->args[2], &o, 0, &wanted, &old, &there)) reply_old(r, there, &old);
    chr_buf_free(&old);
}

void cmd_getdel(request *r)
{
    slice       key = r->args[1];
    buf         old = { 0 };
    object_meta had;
    txn        *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = get_in(r, t, key, &old, &had);
    bool       there = st == CHR_OK;
    if (there) st = txn_delete(t, OBJECT_KEY, key, NULL);
    if (request_end(r, t, there ? st : st == CHR_NOT_FOUND ? CHR_OK : st)) reply_old(r, there, &old);
    chr_buf_free(&old);
}

void cmd_getex(request *r)
{
    slice       key = r->args[1];
    set_options o = { 0 };
    buf         old = { 0 };
    object_meta meta;
    uint64_t    expire_ms = 0;
    if (!parse_options(r, 2, false, &o)) return;
    txn *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = get_in(r, t, key, &old, &meta);
    bool       there = st == CHR_OK;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (there && !r->deferred && !moment_of_options(r, &o, &expire_ms)) {
        txn_abort(t);
        goto out;
    }
    if (there && (o.exat || o.pxat) && expire_ms <= (uint64_t)store_now_ms(r->store)) {
        st = txn_delete(t, OBJECT_KEY, key, NULL);
    } else if (there && (o.when || (o.persist && meta.expire_ms))) {
        meta.expire_ms = expire_ms;
        st = txn_set_meta(t, OBJECT_KEY, key, &meta);
    }
    if (request_end(r, t, st)) reply_old(r, there, &old);
out:
    chr_buf_free(&old);
}

/* ---- several at once ---- */

/* True: they were set or, by `only_new`, not to be; `*set` tells. False: there is nothing more to answer. */
static bool set_several(request *r, bool only_new, bool *set)
{
    size_t n = r->n / 2;
    *set = true;
    if (r->n % 2 == 0) {
        reply_wrong_arity(r);
        return false;
    }
    slice *keys = malloc(n * sizeof *keys);
    for (size_t i = 0; keys && i < n; i++) keys[i] = r->args[1 + i * 2];
    txn *t = keys ? txn_begin(r->store, keys, n) : NULL;
    free(keys);
    if (!t) {
        reply_status(r, CHR_NO_MEMORY);
        return false;
    }
    chr_status st = CHR_OK;
    for (size_t i = 1; only_new && i < r->n && *set && st == CHR_OK; i += 2) {
        st = txn_stat(t, OBJECT_KEY, r->args[i], NULL);
        if (st == CHR_OK) *set = false;
        if (st == CHR_NOT_FOUND) st = CHR_OK;
    }
    for (size_t i = 1; *set && i < r->n && st == CHR_OK; i += 2) st = txn_put(t, r->args[i], NULL, r->args[i + 1]);
    return request_end(r, t, st);
}

void cmd_mset(request *r)
{
    bool set;
    if (set_several(r, false, &set)) reply_ok(r);
}
void cmd_msetnx(request *r)
{
    bool set;
    if (set_several(r, true, &set)) reply_integer(r, set);
}
