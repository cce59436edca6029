/* The reactors: one thread each, with an epoll and a listening socket of its own on the shared port (see net/listen.c), so that the
 * kernel spreads connections and nothing is shared between them but the store. */
#include "net/server_internal.h"

#include "base/log.h"
#include "net/clients.h"
#include "net/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    CLIENTS_MAX = 10000,
    ACCEPTS_A_TURN = 64,
    WORKERS = 4,
    DRAIN_MS = 3000, /* what is in flight has so long to finish when the server stops */
    DRAIN_STEP_MS = 10,
};

/* ---- reactors ---- */

int64_t server_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void reactor_wake(reactor *r)
{
    uint64_t one = 1;
    if (atomic_exchange(&r->woken, true)) return;
    ssize_t ignored = write(r->wake_fd, &one, sizeof one); /* it cannot be full */
    (void)ignored;
}

/* Most changes have nobody here who waits for them: those of the mount, and of other reactors. */
static void acknowledged(void *arg)
{
    server *s = arg;
    atomic_fetch_add(&s->acks, 1);
    for (unsigned i = 0; i < s->n_reactors; i++)
        if (atomic_load(&s->reactors[i].awaits_ack)) reactor_wake(&s->reactors[i]);
}

static void accept_some(reactor *r, int listen_fd, const door *by)
{
    server *s = r->server;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return; /* none left, or a client that has gone already */
        if (atomic_fetch_add(&s->clients, 1) >= s->settings.max_clients) {
            atomic_fetch_sub(&s->clients, 1);
            static const char full[] = "-ERR max number of clients reached\r\n";
            ssize_t           ignored = by->tls ? 0 : send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            (void)ignored;
            atomic_fetch_add(&s->rejected, 1);
        } else if (conn_new(r, fd, by)) {
            atomic_fetch_add(&s->connections, 1);
            continue;
        } else {
            atomic_fetch_sub(&s->clients, 1);
        }
        close(fd);
    }
}

static void take_finished(reactor *r)
{
    pthread_mutex_lock(&r->mu);
    job *j = r->finished;
    r->finished = NULL;
    pthread_mutex_unlock(&r->mu);
    while (j) {
        job  *next = j->next;
        conn *c = j->conn;
        conn_finish_job(c, j);
        conn_turn(c, 0);
        j = next;
    }
}

/* Those that are touched get a turn together when something has happened to all of them. */
static void touch(conn *c, conn **touched)
{
    if (c->touched) return;
    c->touched = true;
    c->touched_next = *touched;
    *touched = c;
}
static void turn_touched(conn *touched)
{
    while (touched) {
        conn *c = touched;
        touched = c->touched_next;
        c->touched = false;
        conn_turn(c, 0);
    }
}

static void take_published(reactor *r)
{
    conn *touched = NULL;
    pthread_mutex_lock(&r->mu);
    delivery *d = r->inbox;
    r->inbox = NULL;
    r->inbox_end = &r->inbox;
    pthread_mutex_unlock(&r->mu);
    while (d) {
        delivery *next = d->next;
        conn     *c = d->to;
        delivery_finish(d);
        touch(c, &touched);
        d = next;
    }
    turn_touched(touched);
}

static void wake_held(reactor *r)
{
    for (conn *c = r->held, *next; c; c = next) {
        next = c->held_next;
        conn_turn(c, 0);
    }
}

/* Nothing is published to the dead any more, but something may be on its way. */
static void bury(reactor *r)
{
    /* The inbox may have messages for them until they have left; taking those may add to the dead. */
    for (conn *gone; (gone = r->dead);) {
        r->dead = NULL;
        take_published(r);
        for (conn *next; gone; gone = next) {
            next = gone->next;
            conn_free(gone);
        }
    }
    if (r->held) store_request_ack(r->server->store); /* commands may have run just now */
}

/* Returns after how many milliseconds there must be another.
 * A connection in the list of held ones may have become ready between its turn and now. */
static int turn(reactor *r, struct epoll_event *events, int n)
{
    bool  woken = false;
    conn *touched = NULL;
    r->now_ms = server_clock_ms();
    for (int i = 0; i < n; i++) {
        const int *fd = events[i].data.ptr;
        if (fd >= r->door_fds && fd < r->door_fds + SERVER_DOORS_MAX) {
            accept_some(r, *fd, &r->server->doors[fd - r->door_fds]);
        } else if (events[i].data.ptr == &r->wake_fd) {
            uint64_t count;
            ssize_t  ignored = read(r->wake_fd, &count, sizeof count);
            (void)ignored;
            atomic_store(&r->woken, false);
            atomic_store(&r->asked, false);
            woken = true;
        } else {
            conn *c = events[i].data.ptr;
            if (c->tls) {
                conn_turn(c, events[i].events);
            } else {
                conn_read(c, events[i].events);
                touch(c, &touched);
            }
        }
    }
    turn_touched(touched);
    if (woken) {
        take_finished(r);
        take_published(r);
    }
    int wait = clients_look_after(r); /* may hold replies, too */
    if (r->held) {
        store_request_ack(r->server->store);
        wake_held(r);
        /* Commands that had waited for room may have run, and be held in their turn. */
        if (r->held) store_request_ack(r->server->store);
    }
    bury(r);
    return wait;
}

static void *reactor_main(void *arg)
{
    reactor           *r = arg;
    struct epoll_event events[EVENTS];
    int                wait = -1;
    while (!atomic_load(&r->server->stopping)) {
        int      n = epoll_wait(r->epoll_fd, events, EVENTS, r->conns ? wait : -1);
        uint64_t acks = atomic_load(&r->server->acks);
        wait = turn(r, events, n > 0 ? n : 0);
        if (atomic_load_explicit(&r->awaits_ack, memory_order_relaxed) != (r->held != NULL))
            atomic_store(&r->awaits_ack, r->held != NULL);
        /* What was acknowledged before that was told to nobody, perhaps after the turn had looked. */
        if (r->held && atomic_load(&r->server->acks) != acks) wait = 0;
    }
    /* No new connections; replies that are under way may still go out. */
    for (size_t i = 0; i < r->server->n_doors; i++) (void)epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, r->door_fds[i], NULL);
    for (int waited = 0; waited < DRAIN_MS; waited += DRAIN_STEP_MS) {
        bool busy = false;
        for (const conn *c = r->conns; c; c = c->next) busy = busy || c->job || c->out_at < c->out.len;
        if (!busy) break;
        int n = epoll_wait(r->epoll_fd, events, EVENTS, DRAIN_STEP_MS);
        (void)turn(r, events, n > 0 ? n : 0);
    }
    return NULL;
}

static chr_status reactor_init(reactor *r)
{
    pthread_mutex_init(&r->mu, NULL);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event waking = { .events = EPOLLIN, .data.ptr = &r->wake_fd };
    bool ok = r->epoll_fd >= 0 && r->wake_fd >= 0 && epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->wake_fd, &waking) == 0;
    for (size_t i = 0; i < r->server->n_doors && ok; i++) {
        struct epoll_event listening = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &r->door_fds[i] };
        ok = epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->door_fds[i], &listening) == 0;
    }
    return ok ? CHR_OK : chr_errno(errno, "prepare", "a reactor");
}

static void reactor_free(reactor *r)
{
    while (r->conns) {
        conn *c = r->conns;
        r->conns = c->next;
        close(c->fd);
        conn_retire(c);
    }
    bury(r);
    for (size_t i = 0; i < SERVER_DOORS_MAX; i++)
        if (r->door_fds[i] >= 0) close(r->door_fds[i]);
    if (r->wake_fd >= 0) close(r->wake_fd);
    if (r->epoll_fd >= 0) close(r->epoll_fd);
    pthread_mutex_destroy(&r->mu);
}

/* ---- the server ---- */

const char *server_address(const server *s, size_t i, bool *with_tls)
{
    if (i >= s->n_doors) return NULL;
    *with_tls = s->doors[i].tls != NULL;
    return s->doors[i].address;
}

const char *server_port(const server *s)
{
    for (size_t i = 0; i < s->n_doors; i++)
        if (!s->doors[i].tls && strncmp(s->doors[i].address, "unix:", 5) != 0)
            return strrchr(s->doors[i].address, ':') + 1;
    return "0";
}

/* Each reactor is woken, and must have had a turn by the next time. */
bool server_breathes(server *s)
{
    bool all = true;
    for (unsigned i = 0; i < s->n_reactors; i++) {
        reactor *r = &s->reactors[i];
        all = all && !atomic_exchange(&r->asked, true);
        reactor_wake(r);
    }
    return all;
}

static void stop(server *s, unsigned running)
{
    atomic_store(&s->stopping, true);
    for (unsigned i = 0; i < s->n_reactors; i++) reactor_wake(&s->reactors[i]);
    for (unsigned i = 0; i < running; i++) pthread_join(s->reactors[i].thread, NULL);
    if (s->workers) workers_stop(s->workers);
    for (unsigned i = 0; i < s->n_reactors; i++) {
        reactor *r = &s->reactors[i];
        while (r->finished) { /* came back too late to be sent */
            job *j = r->finished;
            r->finished = j->next;
            j->conn->job = NULL;
            if (j->conn->dead) conn_retire(j->conn);
            job_free(j);
        }
        reactor_free(r);
    }
    cursors_free(&s->cursors);
    for (size_t i = 0; i < s->n_doors; i++)
        if (s->doors[i].socket_path) (void)unlink(s->doors[i].socket_path);
    pubsub_free(&s->pubsub);
    tracking_free(&s->tracking);
    mounts_free(&s->mounts);
    expiries_free(&s->expiries);
    monitors_free(&s->monitors);
    slowlog_free(&s->slowlog);
    latency_free(&s->latency);
    calls_free(&s->calls);
    users_free(s->users);
    acl_log_free(&s->acl_log);
    tls_free(s->tls);
    free(s);
}

chr_status server_start(store *st, const server_options *options, server **out)
{
    long       cpus = sysconf(_SC_NPROCESSORS_ONLN);
    server    *s = calloc(1, sizeof *s);
    chr_status status;
    unsigned   running = 0;
    if (!s) return chr_nomem();
    assert(command_count <= COMMANDS_MAX);
    s->store = st;
    s->options = *options;
    s->started_ms = store_now_ms(st);
    for (size_t i = 0; i + 1 < sizeof s->run_id; i++)
        s->run_id[i] = "0123456789abcdef"[env_random(db_env(store_db(st))) % 16];
    s->saved_ms = s->started_ms;
    s->n_reactors = options->threads ? options->threads : cpus > 0 ? (unsigned)cpus : 1;
    if (s->n_reactors > REACTORS_MAX) s->n_reactors = REACTORS_MAX;
    cursors_init(&s->cursors);
    expiries_init(&s->expiries, st);
    pubsub_init(&s->pubsub, st, &s->expiries);
    monitors_init(&s->monitors);
    tracking_init(&s->tracking, s);
    mounts_init(&s->mounts, s);
    slowlog_init(&s->slowlog);
    acl_log_init(&s->acl_log);
    latency_init(&s->latency);
    calls_init(&s->calls);
    ticks_start();
    settings_init(&s->settings, options->max_clients ? options->max_clients : CLIENTS_MAX);
    calls_update_notable(s);
    for (unsigned i = 0; i < s->n_reactors; i++) {
        reactor *r = &s->reactors[i];
        r->server = s;
        r->epoll_fd = r->wake_fd = -1;
        for (size_t k = 0; k < SERVER_DOORS_MAX; k++) r->door_fds[k] = -1;
        r->inbox_end = &r->inbox;
    }
    status = options->users ? users_open(options->users, &s->users) : CHR_OK;
    if (status == CHR_OK) status = server_listen(s);
    for (unsigned i = 0; i < s->n_reactors; i++) {
        chr_status made = status == CHR_OK ? reactor_init(&s->reactors[i]) : CHR_OK;
        if (status == CHR_OK) status = made;
    }
    if (status == CHR_OK && !(s->workers = workers_start(WORKERS))) status = chr_nomem();
    if (status == CHR_OK) status = store_add_ack_listener(st, acknowledged, s);
    if (status != CHR_OK) {
        stop(s, 0);
        return status;
    }
    for (; running < s->n_reactors; running++)
        if (pthread_create(&s->reactors[running].thread, NULL, reactor_main, &s->reactors[running]) == 0)
            pthread_setname_np(s->reactors[running].thread, "chr-reactor");
        else
            break;
    if (running < s->n_reactors) {
        store_remove_ack_listener(st, acknowledged, s);
        stop(s, running);
        return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
    }
    for (size_t i = 0; i < s->n_doors; i++)
        log_line(LOG_INFO, "net", "listening", "address=%s%s reactors=%u", s->doors[i].address,
                 s->doors[i].tls ? " tls=yes" : "", s->n_reactors);
    *out = s;
    return CHR_OK;
}

void server_stop(server *s)
{
    atomic_store(&s->stopping, true);
    for (unsigned i = 0; i < s->n_reactors; i++) reactor_wake(&s->reactors[i]);
    for (unsigned i = 0; i < s->n_reactors; i++) pthread_join(s->reactors[i].thread, NULL);
    store_remove_ack_listener(s->store, acknowledged, s);
    stop(s, 0);
}
