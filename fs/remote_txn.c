/* A transaction on a server's objects: gathered here, and sent whole. The server does it only if what was read has not changed,
 * and does one with a number that it has had not again. */
#include "fs/remote_internal.h"

#include <stdlib.h>

enum { CONFLICTS_MAX = 100 };

struct remote_txn {
    remote *r;
    buf     keys, expected, ops;
    size_t  n_keys, n_expected;
};

remote_txn *remote_txn_begin(remote *r, const slice *keys, size_t n)
{
    remote_txn *t = calloc(1, sizeof *t);
    bool        good = t != NULL;
    r->conflict = false;
    for (size_t i = 0; i < n && good; i++) good = buf_append_sized(&t->keys, keys[i]);
    if (!good) {
        (void)chr_nomem();
        if (t) remote_txn_abort(t);
        return NULL;
    }
    t->r = r;
    t->n_keys = n;
    return t;
}

void remote_txn_abort(remote_txn *t)
{
    chr_buf_free(&t->keys);
    chr_buf_free(&t->expected);
    chr_buf_free(&t->ops);
    free(t);
}

chr_status remote_txn_stat(remote_txn *t, object_space space, slice key, object_meta *meta)
{
    uint64_t   version;
    chr_status st = remote_txn_look(t->r, space, key, meta, &version);
    if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
    t->n_expected++;
    if (!buf_append_byte(&t->expected, (uint8_t)space) || !buf_append_sized(&t->expected, key) ||
        !buf_append_varint(&t->expected, version))
        return chr_nomem();
    return st;
}

chr_status remote_txn_stage(remote_txn *t, const wire_op *op)
{
    return wire_put_op(&t->ops, op) ? CHR_OK : chr_nomem();
}

static bool encode(const remote_txn *t, buf *to)
{
    return buf_append_u64(to, t->r->commits) && buf_append_varint(to, t->n_keys) &&
           buf_append_slice(to, buf_slice(&t->keys)) && buf_append_varint(to, t->n_expected) &&
           buf_append_slice(to, buf_slice(&t->expected)) && buf_append_slice(to, buf_slice(&t->ops));
}

chr_status remote_txn_commit(remote_txn *t)
{
    remote    *r = t->r;
    buf        payload = { 0 };
    answer     a;
    uint8_t    code = 0;
    chr_status st = CHR_OK;
    r->commits++;
    if (!encode(t, &payload)) st = chr_nomem();
    remote_txn_abort(t);
    const slice args[] = { chr_str("FSCOMMIT"), chr_str(r->token), buf_slice(&payload) };
    if (st == CHR_OK) st = remote_ask(r, args, 3, &a, &code);
    chr_buf_free(&payload);
    remote_begin(r); /* what was found may be different now */
    if (st != CHR_OK) return st;
    answer_free(&a);
    r->conflict = code == WIRE_CONFLICT;
    r->conflicts = r->conflict ? r->conflicts + 1 : 0;
    return r->conflict ? chr_fail(CHR_IO, "others change the same key all the time") : CHR_OK;
}

bool remote_again(remote *r) { return r->conflict && r->conflicts < CONFLICTS_MAX; }
