/* MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * EXEC locks all keys of the queued commands and of WATCH, looks whether the watched ones have changed, and runs the
 * commands as steps of one transaction (txn_enter), which is committed as one batch before anything is answered. */
#include "net/cmd_auth.h"
#include "net/server_internal.h"
#include "net/transaction.h"

#include <stdlib.h>

enum {
    COMMANDS_QUEUED_MAX = 1024 * 1024,
    COMMANDS_AT_ONCE = 128, /* more are run by a worker, */
    BYTES_AT_ONCE = 1 << 20 /* and so is more than this */
};

typedef struct queued {
    const command *command;
    size_t         first, n; /* in `lengths` */
} queued;

typedef struct watched {
    buf      key;
    uint64_t seq; /* of its record or its tombstone; 0: neither */
    bool     there;
} watched;

struct transaction {
    bool     queueing, spoiled;
    queued  *commands;
    size_t   n_commands, commands_cap;
    buf      bytes; /* of all arguments */
    size_t  *lengths;
    size_t   n_lengths, lengths_cap;
    watched *watched;
    size_t   n_watched;
};

/* ---- queueing ---- */

bool transaction_is_open(const session *s) { return s->transaction && s->transaction->queueing; }

bool transaction_takes(const session *s, const command *c)
{
    return transaction_is_open(s) && !(c->flags & CMD_UNQUEUED);
}

void transaction_spoil(session *s)
{
    if (s->transaction && s->transaction->queueing) s->transaction->spoiled = true;
}

static void forget_watched(transaction *t)
{
    for (size_t i = 0; i < t->n_watched; i++) chr_buf_free(&t->watched[i].key);
    free(t->watched);
    t->watched = NULL;
    t->n_watched = 0;
}

void transaction_end(session *s)
{
    transaction *t = s->transaction;
    s->caching = false;
    if (!t) return;
    forget_watched(t);
    free(t->commands);
    free(t->lengths);
    chr_buf_free(&t->bytes);
    free(t);
    s->transaction = NULL;
    atomic_store(&s->queued, -1);
}

static transaction *transaction_of(request *r)
{
    session *s = r->session;
    if (!s->transaction) s->transaction = calloc(1, sizeof *s->transaction);
    if (!s->transaction) reply_status(r, CHR_NO_MEMORY);
    return s->transaction;
}

static bool grow(void **at, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return true;
    size_t more = *cap ? 2 * *cap : 16;
    while (more < need) more *= 2;
    void *grown = realloc(*at, more * size);
    if (!grown) return false;
    *at = grown;
    *cap = more;
    return true;
}

static bool keep_arguments(transaction *t, const request *r)
{
    size_t had = t->bytes.len;
    if (!grow((void **)&t->commands, &t->commands_cap, t->n_commands + 1, sizeof *t->commands) ||
        !grow((void **)&t->lengths, &t->lengths_cap, t->n_lengths + r->n, sizeof *t->lengths))
        return false;
    for (size_t i = 0; i < r->n; i++)
        if (!buf_append_slice(&t->bytes, r->args[i])) {
            t->bytes.len = had;
            return false;
        }
    t->commands[t->n_commands++] = (queued){ r->command, t->n_lengths, r->n };
    atomic_store(&r->session->queued, (int)t->n_commands);
    for (size_t i = 0; i < r->n; i++) t->lengths[t->n_lengths++] = r->args[i].len;
    return true;
}

void transaction_queue(request *r)
{
    transaction *t = r->session->transaction;
    size_t       bytes = t->bytes.len;
    for (size_t i = 0; i < r->n; i++) bytes += r->args[i].len;
    bool fits = bytes <= IN_MAX && t->n_lengths + r->n <= ARGS_MAX && t->n_commands < COMMANDS_QUEUED_MAX;
    if (r->command->flags & CMD_NO_MULTI)
        reply_error(r, "ERR Command not allowed inside a transaction");
    else if (!fits)
        reply_error(r, "ERR the transaction is too big; use several");
    else if (!keep_arguments(t, r))
        reply_status(r, CHR_NO_MEMORY);
    else {
        reply_text(r, "QUEUED");
        return;
    }
    t->spoiled = true;
}

void cmd_multi(request *r)
{
    transaction *t = transaction_of(r);
    if (!t) return;
    if (t->queueing) {
        reply_error(r, "ERR MULTI calls can not be nested");
        return;
    }
    t->queueing = true;
    atomic_store(&r->session->queued, 0);
    reply_ok(r);
}

void cmd_discard(request *r)
{
    if (!r->session->transaction || !r->session->transaction->queueing) {
        reply_error(r, "ERR DISCARD without MULTI");
        return;
    }
    transaction_end(r->session);
    reply_ok(r);
}

/* ---- watching ---- */

static bool is_watched(const transaction *t, slice key)
{
    for (size_t i = 0; i < t->n_watched; i++)
        if (slice_equal(buf_slice(&t->watched[i].key), key)) return true;
    return false;
}

static chr_status watch_key(request *r, transaction *t, slice key)
{
    watched   *more = realloc(t->watched, (t->n_watched + 1) * sizeof *more);
    watched    w = { 0 };
    chr_status st = CHR_OK;
    if (!more) return chr_nomem();
    t->watched = more;
    st = store_stat(r->store, NULL, OBJECT_KEY, key, NULL, &w.seq);
    if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
    request_saw(r, w.seq);
    w.there = st == CHR_OK;
    if (!buf_set(&w.key, key)) return chr_nomem();
    t->watched[t->n_watched++] = w;
    return CHR_OK;
}

void cmd_watch(request *r)
{
    transaction *t = transaction_of(r);
    chr_status   st = CHR_OK;
    if (!t) return;
    if (t->queueing) {
        reply_error(r, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < r->n && st == CHR_OK; i++)
        if (!is_watched(t, r->args[i])) st = watch_key(r, t, r->args[i]);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

void cmd_unwatch(request *r)
{
    if (r->session->transaction) forget_watched(r->session->transaction);
    reply_ok(r);
}

/* With the keys locked. A key that is absent may lose its tombstone to compaction, which changes nothing. */
static chr_status watched_have_changed(request *r, const transaction *t, bool *changed)
{
    for (size_t i = 0; i < t->n_watched; i++) {
        const watched *w = &t->watched[i];
        uint64_t       seq = 0;
        chr_status     st = store_stat(r->store, NULL, OBJECT_KEY, buf_slice(&w->key), NULL, &seq);
        if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
        bool there = st == CHR_OK;
        request_saw(r, seq);
        *changed = *changed || there != w->there || (there ? seq != w->seq : seq > w->seq);
    }
    return CHR_OK;
}

/* ---- EXEC ---- */

typedef struct ran {
    uint64_t ns;
    bool     failed;
    verdict  denied; /* by rights that the user had when it was queued, and has not any more */
} ran;

typedef struct execution {
    slice *args;
    slice *keys;
    size_t n_keys;
    bool   all; /* a command changes keys that it does not name */
    bool   slow;
    ran   *runs; /* of each command */
} execution;

static void execution_free(execution *e)
{
    free(e->args);
    free(e->keys);
    free(e->runs);
}

static bool prepare(const transaction *t, execution *e)
{
    size_t at = 0;
    e->args = malloc((t->n_lengths + 1) * sizeof *e->args);
    e->keys = malloc((t->n_lengths + t->n_watched + 1) * sizeof *e->keys);
    e->runs = calloc(t->n_commands + 1, sizeof *e->runs);
    if (!e->args || !e->keys || !e->runs) return false;
    for (size_t i = 0; i < t->n_lengths; at += t->lengths[i++])
        e->args[i] = chr_bytes(t->bytes.data + at, t->lengths[i]);
    for (size_t i = 0; i < t->n_commands; i++) {
        const queued  *q = &t->commands[i];
        const command *c = q->command;
        e->slow = e->slow || c->flags & CMD_SLOW || c->run == cmd_publish; /* which must not run twice, see run_all */
        key_places keys = command_keys(c, e->args + q->first, q->n);
        if (keys.first == 0) {
            e->all = e->all || c->flags & CMD_WRITE;
            continue;
        }
        for (size_t k = keys.first; k <= keys.last && k < q->n; k += keys.step)
            e->keys[e->n_keys++] = e->args[q->first + k];
    }
    for (size_t i = 0; i < t->n_watched; i++) e->keys[e->n_keys++] = buf_slice(&t->watched[i].key);
    e->slow = e->slow || t->n_commands > COMMANDS_AT_ONCE || t->bytes.len > BYTES_AT_ONCE;
    if (e->n_keys == 0) e->keys[e->n_keys++] = chr_str(""); /* no keys would mean all */
    return true;
}

static request one_of(const request *r, const transaction *t, const execution *e, size_t i)
{
    request each = *r;
    each.whole = true;
    each.command = t->commands[i].command;
    each.args = e->args + t->commands[i].first;
    each.n = t->commands[i].n;
    return each;
}

static void reply_denied(request *r, verdict why)
{
    static const char *const reasons[] = {
        [MAY_NOT_RUN] = "no permission to execute the command or subcommand",
        [MAY_NOT_USE_KEY] = "no permission to touch the specified keys",
        [MAY_NOT_USE_CHANNEL] = "no permission to access one of the channels used as arguments",
    };
    reply_error(r,
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This "
                "command is no longer allowed for the following reason: %s",
                reasons[why]);
}

/* All commands, with their replies to `out`. False: one of them wants a worker, or memory is out. */
static bool run_all(request *r, const transaction *t, const execution *e, buf *out)
{
    for (size_t i = 0; i < t->n_commands; i++) {
        request  each = one_of(r, t, e, i);
        uint64_t began = ticks_now();
        each.out = out;
        verdict denied = user_verdict(&each, NULL);
        if (denied != MAY) {
            reply_denied(&each, denied);
        } else {
            if (atomic_load(&r->session->tracking)) tracking_remember(&each);
            each.command->run(&each);
        }
        e->runs[i] = (ran){ ticks_between(began, ticks_now()), each.failed, denied };
        request_saw(r, each.seq);
        r->no_memory = r->no_memory || each.no_memory;
        if (each.deferred || each.no_memory) return false;
    }
    return true;
}

/* When all is said and done, since what is deferred runs once more. */
static void note_all(const request *r, const transaction *t, const execution *e)
{
    for (size_t i = 0; i < t->n_commands; i++) {
        request each = one_of(r, t, e, i);
        slice   what = chr_bytes(NULL, 0);
        each.failed = e->runs[i].failed;
        if (e->runs[i].denied != MAY) {
            acl_log_denied(&each, user_verdict(&each, &what), what);
            continue;
        }
        calls_note(&each, e->runs[i].ns);
    }
}

/* False: it was deferred. */
static bool execute(request *r, const transaction *t, const execution *e)
{
    buf        out = { 0 };
    bool       changed = false;
    uint64_t   seq = 0;
    txn       *x = txn_begin(r->store, e->keys, e->all ? 0 : e->n_keys);
    chr_status st = x ? watched_have_changed(r, t, &changed) : CHR_NO_MEMORY;
    if (st != CHR_OK || changed) {
        if (x) txn_abort(x);
        if (st != CHR_OK)
            reply_status(r, st);
        else
            reply_null_array(r);
        return true;
    }
    txn_enter(x);
    bool done = run_all(r, t, e, &out);
    txn_leave(x);
    if (done) {
        st = txn_commit(x, &seq);
        request_saw(r, seq);
    } else {
        txn_abort(x);
    }
    if (done && st != CHR_OK) {
        reply_status(r, st);
    } else if (done) {
        note_all(r, t, e);
        reply_array(r, t->n_commands);
        if (!buf_append_slice(r->out, buf_slice(&out))) r->no_memory = true;
    }
    chr_buf_free(&out);
    return done || r->no_memory || !request_defer(r);
}

void cmd_exec(request *r)
{
    transaction *t = r->session->transaction;
    execution    e = { 0 };
    if (!t || !t->queueing) {
        reply_error(r, "ERR EXEC without MULTI");
        return;
    }
    if (t->spoiled)
        reply_error(r, "EXECABORT Transaction discarded because of previous errors.");
    else if (!prepare(t, &e))
        reply_status(r, CHR_NO_MEMORY);
    else if ((e.slow && request_defer(r)) || !execute(r, t, &e)) {
        execution_free(&e);
        return;
    }
    execution_free(&e);
    transaction_end(r->session);
}
