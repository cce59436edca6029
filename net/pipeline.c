#include "net/pipeline.h"

#include "net/cmd_auth.h"
#include "net/server_internal.h"

enum {
    TOGETHER = 64,
    ARGS = 3,
    SMALL_VALUE = 4096, /* a pipeline of larger ones has little to gain */
};

typedef struct row {
    slice  args[TOGETHER][ARGS];
    size_t end[TOGETHER]; /* of each in the input */
    size_t n;
} row;

typedef bool fits_fn(const request *r);
static bool  is_get(const request *r) { return r->n == 2; }
static bool  is_plain_set(const request *r) { return r->n == 3 && r->args[2].len <= SMALL_VALUE; }

/* Arguments of a frame lie in the input until it is received into again; those of a line in `args`, until the next command is parsed. */
static bool lies_in_input(const conn *c, const request *r)
{
    uintptr_t at = (uintptr_t)r->args[0].data, in = (uintptr_t)c->in.data;
    return at >= in && at - in < c->in.len;
}

/* Parses what comes next, if that is whole and one more of these. */
static bool follows(conn *c, request *r, fits_fn *fits)
{
    const char *error;
    size_t      used;
    slice       in = chr_bytes(c->in.data + c->in_at, c->in.len - c->in_at);
    if (in.len == 0 || in.data[0] != '*' || parse_resp(in, &c->args, &used, &error) != PARSE_COMMAND) return false;
    r->args = c->args.at;
    r->n = c->args.n;
    if (r->n == 0 || command_find(r->args[0]) != r->command || !fits(r) || user_verdict(r, NULL) != MAY) return false;
    c->in_at += used;
    return true;
}

static void collect(conn *c, request *r, fits_fn *fits, row *all)
{
    size_t n = r->n;
    do {
        memcpy(all->args[all->n], r->args, n * sizeof *r->args);
        all->end[all->n++] = c->in_at;
        store_prefetch(r->store, r->args[1]);
    } while (all->n < TOGETHER && follows(c, r, fits));
    r->n = n;
}

static bool set_together(request *r, const row *all)
{
    slice    keys[TOGETHER] = { 0 };
    uint64_t seq = 0;
    for (size_t i = 0; i < all->n; i++) keys[i] = all->args[i][1];
    /* Who listens hears of each, and not of what a transaction leaves. */
    if (atomic_load_explicit(&r->server->pubsub.notify, memory_order_relaxed)) return false;
    txn *t = txn_begin(r->store, keys, all->n);
    if (!t) return false;
    chr_status st = CHR_OK;
    for (size_t i = 0; i < all->n && chr_ok(st); i++) st = txn_put(t, keys[i], NULL, all->args[i][2]);
    if (!chr_ok(st)) {
        txn_abort(t);
        return false;
    }
    if (!chr_ok(txn_commit(t, &seq))) return false;
    request_saw(r, seq);
    return true;
}

bool pipeline_run(conn *c, request *r)
{
    command_fn *run = r->command->run;
    fits_fn    *fits = run == cmd_set ? is_plain_set : run == cmd_get ? is_get : NULL;
    if (!fits || c->session.protocol != PROTOCOL_RESP || !lies_in_input(c, r) || !fits(r)) return false;
    row all;
    all.n = 0;
    collect(c, r, fits, &all);
    /* If it fails, each is tried alone and answered alone. */
    bool     set = run == cmd_set && all.n > 1 && set_together(r, &all);
    uint64_t each_ns = set ? conn_lap(c) / all.n : 0;
    for (size_t i = 0; i < all.n && !c->dead && !r->deferred && (i == 0 || conn_takes_more(c)); i++) {
        size_t at = c->out.len;
        r->args = all.args[i];
        r->failed = false;
        c->in_at = all.end[i]; /* what is not run stays in the input */
        if (set)
            reply_ok(r);
        else
            run(r);
        if (r->deferred) {
            conn_defer(c, r, at);
            continue;
        }
        conn_count(c, r, set ? each_ns : conn_lap(c));
        conn_finish_command(c, at, r->seq, r->no_memory);
    }
    return true;
}
