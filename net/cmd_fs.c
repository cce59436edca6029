/* FS, FSCOMMIT, FSWATCH and FSSETTLED: what mounts on other machines ask. Not meant for people; PROTOCOL.md has the bytes.
 *
 * What a mount reads is what the store has now, acknowledged or not, as for a mount of this process: a reply that waited for a
 * change to be acknowledged would wait for the mount itself, which has to pass that change on first. */
#include "net/server_internal.h"
#include "object/subtree.h"
#include "object/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    QUICK_READ = CHUNK_BYTES, /* more is read on a worker */
    QUICK_LOOKUPS = 8,
    NUMBER_MAX = 20, /* digits */
};

/* The keys of the records that say which commit of a mount was the last. Not seen by any client. */
#define MOUNTS_PREFIX ".chronos/mounts/"

/* ---- replies: a byte, and what belongs to it ---- */

static void answer(request *r, uint8_t code, slice payload)
{
    buf  whole = { 0 };
    bool fits = buf_append_byte(&whole, code) && buf_append_slice(&whole, payload);
    if (fits)
        reply_value(r, buf_slice(&whole));
    else
        reply_status(r, CHR_NO_MEMORY);
    chr_buf_free(&whole);
}

static void answer_status(request *r, chr_status st)
{
    answer(r, (uint8_t)st, chr_str(st == CHR_OK || st == CHR_NOT_FOUND ? "" : chr_message()));
}

static void answer_buf(request *r, chr_status st, bool fits, buf *payload)
{
    if (st == CHR_OK && !fits) st = chr_nomem();
    if (st == CHR_OK)
        answer(r, CHR_OK, buf_slice(payload));
    else
        answer_status(r, st);
    chr_buf_free(payload);
}

static void answer_malformed(request *r)
{
    (void)chr_fail(CHR_INVALID, "the request of a mount makes no sense; is it another version?");
    answer_status(r, CHR_INVALID);
}

static bool parse_number(slice text, uint64_t max, uint64_t *number)
{
    int64_t n;
    if (!parse_int64(text, &n) || n < 0 || (uint64_t)n > max) return false;
    *number = (uint64_t)n;
    return true;
}

/* False: answered. The keys are noted before they are looked at, so that no change is missed. */
static bool is_known(request *r, const slice *keys, size_t n)
{
    if (mounts_note(&r->server->mounts, r->args[2], keys, n)) return true;
    answer(r, WIRE_UNKNOWN, chr_str(""));
    return false;
}

/* ---- FS ---- */

static chr_status put_object(request *r, object_space space, slice key, buf *to, bool *found)
{
    object_meta meta;
    uint64_t    seq = 0;
    chr_status  st = store_stat(r->store, NULL, space, key, &meta, &seq);
    *found = st == CHR_OK;
    if (st == CHR_NOT_FOUND) return CHR_OK;
    if (st != CHR_OK) return st;
    return buf_append_varint(to, wire_version(st, seq)) && wire_put_meta(to, &meta) ? CHR_OK : chr_nomem();
}

static chr_status any_below(request *r, object_space space, slice key, buf *scratch, bool *any)
{
    scratch->len = 0;
    if (!buf_append_slice(scratch, key) || !buf_append_byte(scratch, '/')) return chr_nomem();
    return store_any_below(r->store, NULL, space, buf_slice(scratch), any);
}

static chr_status look_up(request *r, slice key, uint64_t what, buf *to, buf *scratch)
{
    bool       found[4] = { false };
    size_t     at = to->len;
    chr_status st = buf_append_byte(to, 0) ? CHR_OK : chr_nomem();
    if (st == CHR_OK && what & WIRE_FILE) st = put_object(r, OBJECT_KEY, key, to, &found[0]);
    if (st == CHR_OK && what & WIRE_DIR) st = put_object(r, OBJECT_DIR, key, to, &found[1]);
    if (st == CHR_OK && what & WIRE_KEYS_BELOW) st = any_below(r, OBJECT_KEY, key, scratch, &found[2]);
    if (st == CHR_OK && what & WIRE_DIRS_BELOW) st = any_below(r, OBJECT_DIR, key, scratch, &found[3]);
    for (int i = 0; i < 4; i++)
        if (st == CHR_OK && found[i]) to->data[at] = (char)(to->data[at] | 1 << i);
    return st;
}

/* FS LOOKUP token what key ... */
static void fs_lookup(request *r)
{
    uint64_t     what;
    const slice *keys = r->args + 4;
    size_t       n = r->n - 4;
    buf          out = { 0 }, scratch = { 0 };
    chr_status   st = CHR_OK;
    if (!parse_number(r->args[3], 15, &what) || n > WIRE_LOOKUPS_MAX) {
        answer_malformed(r);
    } else if ((n <= QUICK_LOOKUPS || !request_defer(r)) && is_known(r, keys, n)) {
        for (size_t i = 0; i < n && st == CHR_OK; i++) st = look_up(r, keys[i], what, &out, &scratch);
        answer_buf(r, st, true, &out);
    }
    chr_buf_free(&scratch);
}

/* FS READ token key offset length */
static void fs_read_part(request *r)
{
    uint64_t offset, len;
    size_t   got = 0;
    if (!parse_number(r->args[4], INT64_MAX, &offset) || !parse_number(r->args[5], WIRE_READ_MAX, &len)) {
        answer_malformed(r);
        return;
    }
    if ((len > QUICK_READ && request_defer(r)) || !is_known(r, &r->args[3], 1)) return;
    char      *to = malloc(len + 1);
    chr_status st = to ? store_read(r->store, NULL, r->args[3], offset, to + 1, len, &got, NULL, NULL) : chr_nomem();
    if (st == CHR_OK) {
        to[0] = CHR_OK;
        reply_value(r, chr_bytes(to, got + 1));
    } else {
        answer_status(r, st);
    }
    free(to);
}

/* FS DATA token key offset */
static void fs_data_run(request *r)
{
    uint64_t offset, start = 0, end = 0;
    buf      out = { 0 };
    if (request_defer(r) || !is_known(r, &r->args[3], 1)) return;
    if (!parse_number(r->args[4], INT64_MAX, &offset)) {
        answer_malformed(r);
        return;
    }
    chr_status st = store_data(r->store, NULL, r->args[3], offset, &start, &end);
    answer_buf(r, st, st != CHR_OK || (buf_append_varint(&out, start) && buf_append_varint(&out, end)), &out);
}

/* FS XATTRS token space key */
static void fs_xattrs(request *r)
{
    uint64_t space;
    buf      out = { 0 };
    if (!parse_number(r->args[3], OBJECT_DIR, &space))
        answer_malformed(r);
    else if (is_known(r, &r->args[4], 1))
        answer_buf(r, store_get_xattrs(r->store, NULL, (object_space)space, r->args[4], &out), true, &out);
}

typedef struct page {
    buf  out;
    bool fits, full;
} page;

static bool put_name(void *arg, slice rest)
{
    page *p = arg;
    p->full = p->out.len >= WIRE_PAGE_BYTES;
    if (!p->full) p->fits = buf_append_sized(&p->out, rest);
    return !p->full && p->fits;
}

/* FS NAMES token space prefix from */
static void fs_names_page(request *r)
{
    uint64_t space;
    page     p = { .fits = true };
    if (!parse_number(r->args[3], OBJECT_DIR, &space)) {
        answer_malformed(r);
        return;
    }
    if (request_defer(r) || !is_known(r, NULL, 0)) return;
    p.fits = buf_append_byte(&p.out, 1);
    chr_status st = CHR_OK;
    if (p.fits) st = store_names(r->store, NULL, (object_space)space, r->args[4], r->args[5], put_name, &p);
    if (p.fits && p.full) p.out.data[0] = 0;
    answer_buf(r, st, p.fits, &p.out);
}

/* FS SYNC token: all that was answered for is on disk then. It does not wait for what mounts have to pass on. */
static void fs_sync(request *r)
{
    db *d = store_db(r->store);
    if (!request_defer(r) && is_known(r, NULL, 0)) answer_status(r, db_wait_durable(d, db_last_seq(d)));
}

/* FS FIGURES token */
static void fs_figures(request *r)
{
    db       *d = store_db(r->store);
    uint64_t  free_bytes = 0, whole = 0;
    chr_stats stats;
    buf       out = { 0 };
    if (!is_known(r, NULL, 0)) return;
    chr_status st = env_space(db_env(d), db_dir(d), &free_bytes, &whole);
    chr_get_stats(r->store, &stats);
    bool fits = buf_append_varint(&out, free_bytes) && buf_append_varint(&out, whole) &&
                buf_append_varint(&out, stats.keys_estimate);
    answer_buf(r, st, fits, &out);
}

/* FS STATS token */
static void fs_stats(request *r)
{
    buf out = { 0 };
    if (is_known(r, NULL, 0)) answer_buf(r, chr_property(r->store, "stats", &out), true, &out);
}

/* FS BYE token: it has been unmounted. */
static void fs_bye(request *r)
{
    mounts_forget(&r->server->mounts, r->args[2]);
    answer_status(r, CHR_OK);
}

const subcommand fs_subcommands[] = {
    { "lookup", -5, CMD_READ, 0, 0 }, { "read", 6, CMD_READ, 0, 0 },
    { "data", 5, CMD_READ, 0, 0 },    { "xattrs", 5, CMD_READ, 0, 0 },
    { "names", 6, CMD_READ, 0, 0 },   { "sync", 3, CMD_READ, 0, 0 },
    { "figures", 3, CMD_READ, 0, 0 }, { "stats", 3, CMD_READ, 0, 0 },
    { "bye", 3, CMD_READ, 0, 0 },     { NULL, 0, 0, 0, 0 },
};

void cmd_fs(request *r)
{
    static command_fn *const run[] = { fs_lookup, fs_read_part, fs_data_run, fs_xattrs, fs_names_page,
                                       fs_sync,   fs_figures,   fs_stats,    fs_bye };
    int                      which = find_subcommand(r);
    if (which >= 0) run[which](r);
}

/* ---- FSCOMMIT token payload ---- */

/* What the payload says: u64 number, the keys to lock (none: everything), what the mount has read, and the changes. */
typedef struct commit {
    uint64_t number;
    slice   *keys; /* and one more: of the record of numbers */
    size_t   n;
    reader   expected, changes;
    size_t   n_expected;
} commit;

static bool skip_expected(reader *in, size_t n)
{
    for (size_t i = 0; i < n && !in->failed; i++) {
        if (read_u8(in) > OBJECT_DIR) return false;
        (void)read_sized(in);
        (void)read_varint(in);
    }
    return !in->failed;
}

static bool parse_commit(slice payload, commit *c)
{
    reader in = reader_of(payload);
    c->number = read_u64(&in);
    c->n = read_varint(&in);
    if (in.failed || c->n > reader_left(&in)) return false;
    c->keys = malloc((c->n + 1) * sizeof *c->keys);
    if (!c->keys) return false;
    for (size_t i = 0; i < c->n; i++) {
        c->keys[i] = read_sized(&in);
        if (c->keys[i].len > CHR_KEY_MAX + 1) return false;
    }
    c->n_expected = read_varint(&in);
    c->expected = in;
    if (c->n_expected > reader_left(&in) || !skip_expected(&in, c->n_expected)) return false;
    c->changes = in;
    size_t  ops = 0;
    wire_op op;
    for (; reader_left(&in); ops++)
        if (ops == WIRE_OPS_MAX || !wire_read_op(&in, &op) || !wire_op_is_within(&op, c->keys, c->n)) return false;
    return !in.failed;
}

/* With everything locked that it is about. */
static chr_status check_expected(request *r, const commit *c, bool *same)
{
    reader in = c->expected;
    *same = true;
    for (size_t i = 0; i < c->n_expected && *same; i++) {
        object_space space = (object_space)read_u8(&in);
        slice        key = read_sized(&in);
        uint64_t     version = read_varint(&in), seq = 0;
        chr_status   st = store_stat(r->store, NULL, space, key, NULL, &seq);
        if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
        *same = wire_version(st, seq) == version;
    }
    return CHR_OK;
}

/* The number of the last commit is kept in the record's atime, in the same batch as its changes: no crash can part them. */
static chr_status check_number(txn *t, slice record, uint64_t number, bool *done)
{
    object_meta last = { 0 };
    chr_status  st = txn_stat(t, OBJECT_DIR, record, &last);
    *done = st == CHR_OK && (uint64_t)last.atime_ns == number;
    if (st == CHR_OK && (uint64_t)last.atime_ns > number)
        return chr_fail(CHR_INVALID, "a change of a mount came too late: another one was done since");
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

static chr_status note_number(request *r, txn *t, slice record, uint64_t number)
{
    object_meta meta = object_meta_default(r->store, 0);
    meta.mode = S_IFDIR | 0700;
    meta.atime_ns = (int64_t)number;
    meta.has_attrs = true;
    return txn_set_meta(t, OBJECT_DIR, record, &meta);
}

/* On CHR_OK: *code says how it went. */
static chr_status run_commit(request *r, const commit *c, slice record, const void *origin, uint8_t *code)
{
    bool     same = true, done = false;
    uint64_t seq = 0;
    wire_op  op;
    c->keys[c->n] = record;
    txn *t = txn_begin(r->store, c->keys, c->n ? c->n + 1 : 0);
    if (!t) return CHR_NO_MEMORY;
    txn_set_origin(t, origin);
    chr_status st = check_number(t, record, c->number, &done);
    if (st == CHR_OK && !done) st = check_expected(r, c, &same);
    *code = same ? CHR_OK : WIRE_CONFLICT;
    if (st != CHR_OK || done || !same) {
        txn_abort(t);
        /* It was asked for again before the first answer: what is in memory may not be in the log yet. */
        return st == CHR_OK && done ? db_wait_written(store_db(r->store), db_last_seq(store_db(r->store))) : st;
    }
    for (reader in = c->changes; st == CHR_OK && reader_left(&in) && wire_read_op(&in, &op);) st = wire_apply(t, &op);
    if (st == CHR_OK) st = note_number(r, t, record, c->number);
    if (st != CHR_OK) {
        txn_abort(t);
        return st;
    }
    st = txn_commit(t, &seq);
    return st == CHR_OK && seq ? db_wait_written(store_db(r->store), seq) : st;
}

void cmd_fscommit(request *r)
{
    commit      c = { 0 };
    char        record[sizeof MOUNTS_PREFIX + 2 * WIRE_TOKEN_BYTES];
    uint8_t     code = CHR_OK;
    slice       token = r->args[1];
    const void *origin = mounts_origin(&r->server->mounts, token);
    if (!origin) {
        answer(r, WIRE_UNKNOWN, chr_str(""));
        return;
    }
    snprintf(record, sizeof record, "%s%.*s", MOUNTS_PREFIX, (int)token.len, token.data);
    if (!parse_commit(r->args[2], &c)) {
        answer_malformed(r);
    } else {
        (void)mounts_note(&r->server->mounts, token, c.keys, c.n);
        chr_status st = run_commit(r, &c, chr_str(record), origin, &code);
        if (st == CHR_OK)
            answer(r, code, chr_str(""));
        else
            answer_status(r, st);
    }
    free(c.keys);
    mounts_give_back(&r->server->mounts, origin);
}

/* ---- FSWATCH token, and FSSETTLED token registration n ---- */

static bool is_token(slice text)
{
    if (text.len != 2 * WIRE_TOKEN_BYTES) return false;
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789abcdef", text.data[i]) || !text.data[i]) return false;
    return true;
}

void cmd_fswatch(request *r)
{
    uint64_t registration = 0, run = 0;
    buf      out = { 0 };
    if (!is_token(r->args[1])) {
        answer_malformed(r);
        return;
    }
    chr_status  st = mounts_watch(&r->server->mounts, r->session, r->args[1], &registration);
    object_meta standard = object_meta_default(r->store, 0);
    memcpy(&run, r->server->run_id, sizeof run);
    bool fits = buf_append_varint(&out, WIRE_VERSION) && buf_append_u64(&out, run) &&
                buf_append_varint(&out, registration) && buf_append_u64(&out, (uint64_t)store_now_ns(r->store)) &&
                buf_append_varint(&out, standard.uid) && buf_append_varint(&out, standard.gid);
    answer_buf(r, st, fits, &out);
}

void cmd_fssettled(request *r)
{
    uint64_t registration, n;
    if (!parse_number(r->args[2], INT64_MAX, &registration) || !parse_number(r->args[3], INT64_MAX, &n)) {
        answer_malformed(r);
        return;
    }
    mounts_settled(&r->server->mounts, r->session, registration, n);
    reply_integer(r, (int64_t)n);
}
