#include "net/conn.h"

#include "net/clients.h"
#include "net/cmd_auth.h"
#include "net/pipeline.h"
#include "net/pubsub.h"
#include "net/server_internal.h"
#include "net/transaction.h"
#include "net/users.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void describe_peer(session *s, int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t               len = sizeof a;
    char                    host[INET6_ADDRSTRLEN] = "?";
    unsigned                port = 0;
    if (getpeername(fd, (struct sockaddr *)&a, &len) == 0) {
        if (a.ss_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&a;
            inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
            port = ntohs(in->sin_port);
        } else if (a.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&a;
            inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
            port = ntohs(in->sin6_port);
        }
    }
    snprintf(s->address, sizeof s->address, "%s:%u", a.ss_family == AF_UNIX ? "unix" : host, port);
}

conn *conn_new(reactor *r, int fd, const door *by)
{
    conn *c = calloc(1, sizeof *c);
    int   on = 1;
    if (!c) return NULL;
    c->reactor = r;
    c->fd = fd;
    c->door = by;
    c->session.id = atomic_fetch_add(&r->server->next_id, 1) + 1;
    c->session.resp = 2;
    atomic_init(&c->session.queued, -1);
    c->session.created_ms = r->now_ms;
    atomic_init(&c->session.active_ms, r->now_ms);
    describe_peer(&c->session, fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->events = EPOLLIN;
    struct epoll_event e = { .events = c->events, .data.ptr = c };
    if (by->tls) {
        c->tls = tls_accept(by->tls, fd);
        c->request_since_ms = r->now_ms; /* the handshake has no more time than a request */
    }
    if ((by->tls && !c->tls) || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        tls_stream_free(c->tls);
        free(c);
        return NULL;
    }
    user_forget(&c->session);
    pthread_mutex_lock(&r->mu);
    c->next = r->conns;
    if (c->next) c->next->prev = c;
    r->conns = c;
    pthread_mutex_unlock(&r->mu);
    return c;
}

void conn_free(conn *c)
{
    for (delivery *d; (d = c->kept);) {
        c->kept = d->next;
        delivery_drop(d);
    }
    if (c->job) job_free(c->job);
    tls_stream_free(c->tls);
    chr_buf_free(&c->in);
    chr_buf_free(&c->out);
    chr_buf_free(&c->session.name);
    transaction_end(&c->session);
    identity_drop(&c->session.user);
    arguments_free(&c->args);
    free(c->holds);
    free(c);
}

/* Nothing is published to it any more. */
static void leave_all(conn *c)
{
    server *s = c->reactor->server;
    pubsub_leave(&s->pubsub, &c->session);
    monitors_leave(&s->monitors, &c->session);
    tracking_leave(&s->tracking, &c->session);
    mounts_leave(&s->mounts, &c->session);
}

/* Nobody has the connection any more, but perhaps the inbox: it is freed at the end of the turn. */
void conn_retire(conn *c)
{
    reactor *r = c->reactor;
    leave_all(c);
    c->dead = true;
    c->next = r->dead;
    r->dead = c;
}

/* It retires at once, or when the worker has come back. */
void conn_close(conn *c)
{
    reactor *r = c->reactor;
    if (c->dead) return;
    c->dead = true;
    conn_set_held(c, false);
    pthread_mutex_lock(&r->mu);
    if (c->prev)
        c->prev->next = c->next;
    else
        r->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    pthread_mutex_unlock(&r->mu);
    atomic_fetch_sub(&r->server->clients, 1); /* before the client can see that there is room */
    close(c->fd);
    if (!c->job || c->parked) conn_retire(c);
}

/* False: no more for now, or the end (in_end), or dead. */
static bool receive(conn *c)
{
    if (c->in_at == c->in.len) c->in_at = c->in.len = 0;
    if (c->in_at > 0 && (c->in.cap - c->in.len < IN_FIRST / 2 || c->in_at > c->in.len / 2)) {
        memmove(c->in.data, c->in.data + c->in_at, c->in.len - c->in_at);
        c->in.len -= c->in_at;
        c->in_at = 0;
    }
    size_t have = c->in.len - c->in_at, room = IN_FIRST;
    if (c->in_need > have && c->in_need - have > room) {
        /* The client has announced so much; believe it a step at a time, at most doubling what it has sent. */
        room = c->in_need - have;
        if (room > have + TURN_BYTES) room = have + TURN_BYTES;
    }
    if (have > IN_MAX || !buf_reserve(&c->in, room)) {
        conn_close(c);
        return false;
    }
    for (;;) {
        void   *to = c->in.data + c->in.len;
        size_t  len = c->in.cap - c->in.len;
        ssize_t n = c->tls ? tls_recv(c->tls, to, len) : recv(c->fd, to, len, 0);
        if (n > 0) {
            c->in.len += (size_t)n;
            calls_add_own(&c->reactor->calls.totals[TOTAL_IN], (uint64_t)n);
            atomic_store_explicit(&c->session.active_ms, c->reactor->now_ms, memory_order_relaxed);
            return true;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (n == 0)
            c->in_end = true;
        else
            conn_close(c);
        return false;
    }
}

/* The first line decides. */
static void choose_protocol(conn *c, slice in)
{
    const char *end = memchr(in.data, '\n', in.len);
    if (in.data[0] == '*')
        c->session.protocol = PROTOCOL_RESP;
    else if (end)
        c->session.protocol = end > in.data && end[-1] == '\r' ? PROTOCOL_RESP : PROTOCOL_LINE;
    else if (in.len >= INLINE_BYTES_MAX)
        c->session.protocol = PROTOCOL_LINE; /* a long line comes from a script */
}

/* What a command has answered, from `at` on, is complete. */
void conn_finish_command(conn *c, size_t at, uint64_t seq, bool no_memory)
{
    session *s = &c->session;
    if (s->mute || s->mute_this) c->out.len = at;
    s->mute_this = s->mute_next;
    s->mute_next = false;
    if (no_memory || !conn_note_reply(c, at, seq)) conn_close(c);
}

void conn_defer(conn *c, request *r, size_t at)
{
    c->out.len = at;
    c->job = job_new(c, r);
    if (c->job) {
        workers_add(r->server->workers, c->job);
        return;
    }
    reply_status(r, CHR_NO_MEMORY);
    conn_finish_command(c, at, r->seq, r->no_memory);
}

uint64_t conn_lap(conn *c)
{
    uint64_t now = ticks_now(), ns = ticks_between(c->reactor->ticks, now);
    c->reactor->ticks = now;
    return ns;
}

void conn_count(conn *c, const request *r, uint64_t ns)
{
    calls_count(&c->reactor->calls, r, ns);
    if (__builtin_expect(ns >= atomic_load_explicit(&r->server->calls.notable_ns, memory_order_relaxed), 0))
        calls_tell(r, ns);
}

bool conn_takes_more(const conn *c) { return c->out.len - c->out_at < OUT_PAUSE; }

/* It is closed when what it has been answered is sent, and is told nothing more. */
static void dismiss(conn *c)
{
    leave_all(c);
    c->session.closing = true;
}

void conn_dismiss(conn *c)
{
    dismiss(c);
    conn_turn(c, 0);
}

/* Runs the command that has been parsed, or hands it to a worker. */
static void run_command(conn *c, const command *found)
{
    server *srv = c->reactor->server;
    request r = { .counts = &c->reactor->calls,
                  .server = srv,
                  .store = srv->store,
                  .session = &c->session,
                  .args = c->args.at,
                  .n = c->args.n,
                  .out = &c->out };
    size_t  at = c->out.len;
    bool    ran = false;
    if (__builtin_expect(srv->users != NULL, 0) && !user_is_current(&c->session) && !user_refresh(&c->session)) {
        dismiss(c);
        return;
    }
    r.command = found;
    atomic_store_explicit(&c->session.last_command, found, memory_order_relaxed);
    if (!r.command) {
        transaction_spoil(&c->session);
        reply_unknown_command(&r);
    } else if (!arity_fits(r.command->arity, r.n)) {
        transaction_spoil(&c->session);
        reply_wrong_arity(&r);
    } else if (srv->users && !user_may(&r)) {
        transaction_spoil(&c->session);
    } else if (!(r.command->flags & CMD_SUBSCRIBED) && pubsub_is_bound(&c->session)) {
        reply_error(
            &r,
            "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
            "this context",
            r.command->name);
    } else if (transaction_takes(&c->session, r.command)) {
        transaction_queue(&r);
    } else {
        ran = true;
        bool is_tracked = atomic_load_explicit(&c->session.tracking, memory_order_relaxed);
        if (__builtin_expect(is_tracked, 0)) tracking_before(&r);
        if (r.command->flags & CMD_SLOW || (r.command->flags & CMD_WRITE && db_would_stall(store_db(srv->store))))
            r.deferred = true;
        else if (!is_tracked && pipeline_run(c, &r))
            return;
        else
            r.command->run(&r);
    }
    if (r.deferred) {
        conn_defer(c, &r, at);
        return;
    }
    if (ran)
        conn_count(c, &r, conn_lap(c));
    else if (found && r.failed)
        calls_note_rejected(&r);
    conn_finish_command(c, at, r.seq, r.no_memory);
}

/* Takes over what the job has to say. False: that is all. */
static bool take_piece(conn *c, job *j)
{
    size_t at = c->out.len;
    bool   first = !j->noted, mute = c->session.mute || c->session.mute_this;
    bool   no_memory = j->request.no_memory || !buf_append_slice(&c->out, buf_slice(&j->out));
    j->out.len = 0;
    j->noted = true;
    if (first)
        conn_finish_command(c, at, j->request.seq, no_memory);
    else if (no_memory)
        conn_close(c);
    return !c->dead && !(first && mute) && j->request.rest;
}

void conn_finish_job(conn *c, job *j)
{
    c->job = NULL;
    if (c->dead) {
        conn_retire(c);
    } else if (j->noted && c->session.closing) { /* an error has taken the place of the reply meanwhile */
    } else if (take_piece(c, j)) {
        c->job = j;
        c->parked = true;
        c->parked_ms = c->reactor->now_ms;
        return;
    }
    job_free(j);
    conn_deliver_kept(c);
}

/* What is parked goes on when there is room. */
static void resume_job(conn *c)
{
    if (!c->parked || c->out.len - c->out_at >= OUT_PAUSE) return;
    c->parked = false;
    if (!c->session.closing) {
        workers_add(c->reactor->server->workers, c->job);
        return;
    }
    job_free(c->job);
    c->job = NULL;
    conn_deliver_kept(c);
}

/* Parses and runs what has come. False: dead. */
static bool work_through(conn *c)
{
    c->is_paused = false;
    c->reactor->ticks = ticks_now();
    tracking_actor = c->session.id;
    while (!c->dead && !c->job && !c->session.closing && c->out.len - c->out_at < OUT_PAUSE) {
        slice in = chr_bytes(c->in.data + c->in_at, c->in.len - c->in_at);
        if (in.len == 0 || (in.len < c->in_need && !c->in_end)) break;
        if (c->session.protocol == PROTOCOL_UNKNOWN) choose_protocol(c, in);
        if (c->session.protocol == PROTOCOL_UNKNOWN && c->in_end) c->session.protocol = PROTOCOL_LINE;
        if (c->session.protocol == PROTOCOL_UNKNOWN) {
            if (!c->request_since_ms) c->request_since_ms = c->reactor->now_ms;
            break;
        }
        const char  *error = NULL;
        size_t       used = 0;
        bool         line = c->session.protocol == PROTOCOL_LINE;
        parse_result p = line ? parse_line(in, &c->args, &used, &error) : parse_resp(in, &c->args, &used, &error);
        if (p == PARSE_MORE) {
            c->in_need = used;
            if (!c->request_since_ms) c->request_since_ms = c->reactor->now_ms;
            if (line && c->in_end) { /* the last line of a script may lack its end */
                if (!buf_append_byte(&c->in, '\n')) conn_close(c);
                c->in_need = 0;
                continue;
            }
            break;
        }
        c->in_need = 0;
        c->request_since_ms = 0;
        if (p == PARSE_COMMAND) {
            const command *before = atomic_load_explicit(&c->session.last_command, memory_order_relaxed);
            const command *found = c->args.n > 0 ? command_find_again(before, c->args.at[0]) : NULL;
            c->is_paused = clients_are_paused(c->reactor->server, found);
            if (c->is_paused) break;
            c->in_at += used;
            if (c->args.n > 0) run_command(c, found);
            continue;
        }
        if (p == PARSE_NO_MEMORY) {
            conn_close(c);
            break;
        }
        request r = { .session = &c->session, .out = &c->out };
        size_t  at = c->out.len;
        reply_error(&r, "ERR %s", error);
        c->session.closing = true;
        if (!conn_note_reply(c, at, 0)) conn_close(c);
    }
    tracking_actor = 0;
    return !c->dead;
}

static void ask_for(conn *c, uint32_t events)
{
    if (c->dead || events == c->events) return;
    struct epoll_event e = { .events = events, .data.ptr = c };
    if (epoll_ctl(c->reactor->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) == 0)
        c->events = events;
    else
        conn_close(c);
}

static bool wants_more(const conn *c)
{
    return !c->in_end && !c->job && !c->is_paused && !c->session.closing && c->out.len - c->out_at < OUT_PAUSE;
}

void conn_read(conn *c, uint32_t events)
{
    if (c->dead) return;
    if (events & EPOLLERR) {
        conn_close(c);
        return;
    }
    bool arrived = events & (EPOLLIN | EPOLLHUP);
    if (arrived && !c->in_end && !c->job && !c->is_paused) (void)receive(c);
    if (!c->dead) (void)work_through(c);
}

void conn_turn(conn *c, uint32_t events)
{
    bool blocked = false;
    if (c->dead) return;
    if (events & EPOLLERR) {
        conn_close(c);
        return;
    }
    bool arrived = events & (EPOLLIN | EPOLLHUP) || (c->tls && (events & EPOLLOUT || tls_pending(c->tls)));
    do {
        if (arrived && !c->in_end && !c->job && !c->is_paused) (void)receive(c);
        if (c->dead) return;
        if (c->tls && c->in.len == c->in_at && tls_is_ready(c->tls)) c->request_since_ms = 0;
        do {
            if (!work_through(c) || !conn_flush(c, &blocked)) return;
            /* Replies that were sent may have made room for commands that are here already. */
        } while (!c->job && !c->is_paused && !blocked && !c->session.closing && c->in.len - c->in_at > 0 &&
                 c->in.len - c->in_at >= c->in_need && c->session.protocol != PROTOCOL_UNKNOWN &&
                 c->out.len - c->out_at < OUT_PAUSE && c->in_need == 0);
        resume_job(c);
        arrived = c->tls && tls_pending(c->tls); /* no event tells of it */
    } while (arrived && wants_more(c));
    bool unsent = c->out_at < c->out.len;
    if (!unsent && !c->job && (c->session.closing || (c->in_end && (c->in.len == c->in_at || c->in_need)))) {
        leave_all(c); /* before the client can see the end, and others count on it */
        if (c->tls) tls_say_goodbye(c->tls);
        (void)shutdown(c->fd, SHUT_WR);
        conn_close(c);
        return;
    }
    if (!c->job && c->in_at == c->in.len && c->in.cap > 4 * IN_FIRST) {
        chr_buf_free(&c->in);
        c->in_at = 0;
    }
    bool handshake = c->tls && !c->in_end && tls_wants_write(c->tls);
    ask_for(c, (wants_more(c) ? EPOLLIN : 0u) | (blocked || handshake ? EPOLLOUT : 0u));
}
