/* What a connection says: replies, held until what they tell of is safe, and messages among them. */
#include "net/conn.h"
#include "net/pubsub.h"
#include "net/server_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

void conn_set_held(conn *c, bool held)
{
    reactor *r = c->reactor;
    if (held == c->is_held) return;
    c->is_held = held;
    if (held) {
        c->held_prev = NULL;
        c->held_next = r->held;
        if (r->held) r->held->held_prev = c;
        r->held = c;
        return;
    }
    if (c->held_prev)
        c->held_prev->held_next = c->held_next;
    else
        r->held = c->held_next;
    if (c->held_next) c->held_next->held_prev = c->held_prev;
}

/* A reply begins at offset `at` of out and depends on `seq`. */
bool conn_note_reply(conn *c, size_t at, uint64_t seq)
{
    uint64_t replies = c->replies++;
    if (seq <= store_ack_seq(c->reactor->server->store)) return true;
    if (c->n_holds > c->first_hold && c->holds[c->n_holds - 1].seq >= seq) return true;
    if (c->n_holds == c->cap_holds) {
        size_t cap = c->cap_holds ? 2 * c->cap_holds : 16;
        hold  *more = realloc(c->holds, cap * sizeof *more);
        if (!more) return false;
        c->holds = more;
        c->cap_holds = cap;
    }
    c->holds[c->n_holds++] = (hold){ at, seq, replies };
    return true;
}

/* The log has failed: what is held will never be acknowledged, so these replies become errors. */
static void replace_held(conn *c)
{
    const hold *h = &c->holds[c->first_hold];
    uint64_t    lost = c->replies - h->replies;
    buf         error = { 0 };
    request     r = { .session = &c->session, .out = &error };
    (void)db_failure(store_db(c->reactor->server->store));
    reply_error(&r, "READONLY this was not made durable, and may be gone after a restart: %s", chr_message());
    c->out.len = h->at;
    for (uint64_t i = 0; i < lost; i++)
        if (!buf_append_slice(&c->out, buf_slice(&error))) break;
    c->first_hold = c->n_holds = 0;
    c->session.closing = true;
    chr_buf_free(&error);
}

/* How much of out may go. */
static size_t sendable(conn *c)
{
    store   *s = c->reactor->server->store;
    uint64_t ack = store_ack_seq(s);
    while (c->first_hold < c->n_holds && c->holds[c->first_hold].seq <= ack) c->first_hold++;
    if (c->first_hold < c->n_holds && db_failure(store_db(s)) != CHR_OK &&
        c->holds[c->first_hold].seq > db_ack_seq(store_db(s)))
        replace_held(c);
    if (c->first_hold == c->n_holds) {
        c->first_hold = c->n_holds = 0;
        return c->out.len;
    }
    return c->holds[c->first_hold].at;
}

static void compact_out(conn *c)
{
    if (c->out_at < c->out.len) {
        if (c->out_at < OUT_PAUSE) return;
        memmove(c->out.data, c->out.data + c->out_at, c->out.len - c->out_at);
        c->out.len -= c->out_at;
        for (size_t i = c->first_hold; i < c->n_holds; i++) c->holds[i].at -= c->out_at;
        c->out_at = 0;
        return;
    }
    c->out_at = c->out.len = c->pushed = 0;
    if (c->out.cap > OUT_KEPT) chr_buf_free(&c->out);
}

/* Sends what may go. False: dead. */
bool conn_flush(conn *c, bool *blocked)
{
    size_t until = sendable(c);
    *blocked = false;
    while (c->out_at < until) {
        const void *data = c->out.data + c->out_at;
        size_t      len = until - c->out_at;
        ssize_t     n = c->tls ? tls_send(c->tls, data, len) : send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            *blocked = true;
            break;
        }
        if (n <= 0) {
            conn_close(c);
            return false;
        }
        c->out_at += (size_t)n;
        calls_add_own(&c->reactor->calls.totals[TOTAL_OUT], (uint64_t)n);
        atomic_store_explicit(&c->session.active_ms, c->reactor->now_ms, memory_order_relaxed);
    }
    compact_out(c);
    conn_set_held(c, c->first_hold < c->n_holds);
    if (c->out.len - c->out_at > OUT_MAX) {
        conn_close(c);
        return false;
    }
    return true;
}

/* How much may wait for a subscriber: more for a moment than for long. */
static bool subscriber_keeps_up(conn *c)
{
    const settings *s = &c->reactor->server->settings;
    size_t          unsent = c->out.len - c->out_at;
    if (unsent > c->pushed) unsent = c->pushed; /* long replies are no reason to close it */
    if (atomic_load(&c->overrun) || (s->pubsub_hard && unsent > s->pubsub_hard)) return false;
    if (!s->pubsub_soft || unsent <= s->pubsub_soft) {
        c->over_soft_ms = 0;
        return true;
    }
    int64_t now = server_clock_ms();
    if (!c->over_soft_ms) c->over_soft_ms = now;
    return now - c->over_soft_ms <= (int64_t)s->pubsub_soft_seconds * 1000;
}

bool conn_keeps_for_later(conn *c, delivery *d)
{
    if (c->dead || !c->job || !(c->job->noted || d->message->after_reply)) return false;
    d->next = NULL;
    if (c->kept)
        c->kept_last->next = d;
    else
        c->kept = d;
    c->kept_last = d;
    return true;
}

void conn_deliver_kept(conn *c)
{
    for (delivery *d; !c->job && (d = c->kept);) {
        c->kept = d->next;
        delivery_finish(d);
    }
}

void conn_push(conn *c, const message *m)
{
    request r = { .server = c->reactor->server, .session = &c->session, .out = &c->out };
    size_t  at = c->out.len;
    if (c->dead || c->session.closing) return;
    m->say(&r, m);
    if (c->out.len == at && !r.no_memory) return;
    c->pushed += c->out.len - at;
    if (r.no_memory || !conn_note_reply(c, at, m->seq) || !subscriber_keeps_up(c)) conn_close(c);
}
