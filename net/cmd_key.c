/* Commands on keys. */
#include "net/calls.h"

#include "net/cmd_auth.h"
#include "net/cursors.h"
#include "net/glob.h"
#include "net/server_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCAN_COUNT = 10 };

void cmd_del(request *r)
{
    size_t  n = r->n - 1;
    int64_t gone = 0;
    txn    *t = request_begin(r, r->args + 1, n);
    if (!t) return;
    chr_status st = CHR_OK;
    for (size_t i = 1; i < r->n && st == CHR_OK; i++) {
        bool existed = false;
        st = txn_delete(t, OBJECT_KEY, r->args[i], &existed);
        gone += existed;
    }
    if (!request_end(r, t, st)) return;
    if (request_is_line(r) && n == 1)
        reply_text(r, gone ? "OK_DELETED" : "NULL");
    else
        reply_integer(r, gone);
}

void cmd_exists(request *r)
{
    int64_t found = 0;
    for (size_t i = 1; i < r->n; i++) {
        uint64_t   seq = 0;
        chr_status st = store_stat(r->store, NULL, OBJECT_KEY, r->args[i], NULL, &seq);
        request_saw(r, seq);
        if (st != CHR_OK && st != CHR_NOT_FOUND) {
            reply_status(r, st);
            return;
        }
        calls_note_lookup(r, st == CHR_OK);
        found += st == CHR_OK;
    }
    reply_integer(r, found);
}

void cmd_type(request *r)
{
    uint64_t   seq = 0;
    chr_status st = store_stat(r->store, NULL, OBJECT_KEY, r->args[1], NULL, &seq);
    request_saw(r, seq);
    if (st == CHR_OK || st == CHR_NOT_FOUND)
        reply_text(r, st == CHR_OK ? "string" : "none");
    else
        reply_status(r, st);
}

/* False: there is nothing more to answer. */
static bool rename_key(request *r, bool only_new, bool *renamed)
{
    slice from = r->args[1], to = r->args[2];
    txn  *t = request_begin(r, r->args + 1, 2);
    if (!t) return false;
    chr_status st = txn_stat(t, OBJECT_KEY, from, NULL);
    bool       there = st == CHR_OK;
    *renamed = there;
    if (there && only_new) {
        st = txn_stat(t, OBJECT_KEY, to, NULL);
        *renamed = st == CHR_NOT_FOUND;
    }
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st == CHR_OK && *renamed) st = txn_move(t, OBJECT_KEY, from, to);
    if (!request_end(r, t, st)) return false;
    if (!there) reply_error(r, "ERR no such key");
    return there;
}

void cmd_rename(request *r)
{
    bool renamed;
    if (rename_key(r, false, &renamed)) reply_ok(r);
}
void cmd_renamenx(request *r)
{
    bool renamed;
    if (rename_key(r, true, &renamed)) reply_integer(r, renamed);
}

/* ---- over many keys; all of these run on a worker ---- */

/* Only keys that begin with what stands before the first special character can match. */
static chr_status iterate(request *r, slice pattern, slice from, store_iter **it)
{
    const slice none = chr_bytes(NULL, 0);
    slice       prefix = glob_prefix(pattern);
    chr_status  st = store_iter_new(r->store, NULL, OBJECT_KEY, prefix.len ? prefix : none, none, it);
    if (st != CHR_OK) return st;
    request_saw(r, store_iter_seq(*it));
    if (from.data)
        chr_iter_seek(*it, from);
    else
        chr_iter_first(*it);
    return CHR_OK;
}

static bool within(store_iter *it, slice prefix)
{
    return chr_iter_valid(it) && slice_has_prefix(chr_iter_key(it), prefix);
}

void cmd_scan(request *r)
{
    slice   pattern = chr_str("*"), from = chr_bytes(NULL, 0);
    int64_t count = SCAN_COUNT;
    bool    strings = true;
    buf     found = { 0 }, start = { 0 }, *out = r->out;
    size_t  n = 0;
    char    cursor[32] = "0";
    switch (cursors_find(&r->server->cursors, r->args[1], &start)) {
    case CURSOR_START: break;
    case CURSOR_FOUND: from = buf_slice(&start); break;
    case CURSOR_BAD: reply_error(r, "ERR invalid cursor"); return;
    }
    for (size_t i = 2; i < r->n; i += 2) {
        bool last = i + 1 == r->n;
        if (!last && argument_is(r->args[i], "match")) {
            pattern = r->args[i + 1];
        } else if (!last && argument_is(r->args[i], "type")) {
            strings = argument_is(r->args[i + 1], "string");
        } else if (!last && argument_is(r->args[i], "count")) {
            if (!argument_integer(r, r->args[i + 1], &count)) goto out;
            if (count < 1) {
                reply_error(r, "ERR syntax error");
                goto out;
            }
        } else {
            reply_error(r, "ERR syntax error");
            goto out;
        }
    }
    store_iter *it;
    const slice prefix = glob_prefix(pattern);
    chr_status  st = iterate(r, pattern, from, &it);
    if (st != CHR_OK) {
        reply_status(r, st);
        goto out;
    }
    r->out = &found;
    for (int64_t seen = 0; seen < count && within(it, prefix); chr_iter_next(it), seen++) {
        if (!strings || !glob_match(pattern, chr_iter_key(it)) || !user_may_know(r->session, chr_iter_key(it)))
            continue;
        reply_key(r, chr_iter_key(it));
        n++;
    }
    r->out = out;
    st = chr_iter_status(it);
    if (st == CHR_OK && within(it, prefix))
        snprintf(cursor, sizeof cursor, "%llu",
                 (unsigned long long)cursors_keep(&r->server->cursors, chr_iter_key(it)));
    if (st != CHR_OK) {
        reply_status(r, st);
    } else {
        reply_array(r, 2);
        reply_value(r, chr_str(cursor));
        reply_array(r, n);
        if (!buf_append_slice(out, buf_slice(&found))) r->no_memory = true;
    }
    chr_iter_free(it);
out:
    chr_buf_free(&found);
    chr_buf_free(&start);
}

void cmd_dbsize(request *r)
{
    store_iter *it;
    int64_t     n = 0;
    chr_status  st = iterate(r, chr_str("*"), chr_bytes(NULL, 0), &it);
    if (st != CHR_OK) {
        reply_status(r, st);
        return;
    }
    for (; chr_iter_valid(it); chr_iter_next(it)) n++;
    st = chr_iter_status(it);
    chr_iter_free(it);
    if (st == CHR_OK)
        reply_integer(r, n);
    else
        reply_status(r, st);
}

void cmd_flushall(request *r)
{
    const slice none = chr_bytes(NULL, 0);
    if (r->n > 2 || (r->n == 2 && !argument_is(r->args[1], "async") && !argument_is(r->args[1], "sync"))) {
        reply_error(r, "ERR syntax error");
        return;
    }
    txn *t = request_begin(r, NULL, 0);
    if (!t) return;
    if (request_end(r, t, txn_delete_range(t, OBJECT_KEY, none, none))) reply_ok(r);
}
