#include "net/mounts.h"

#include "base/hash.h"
#include "base/log.h"
#include "net/server_internal.h"
#include "object/wire.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    NOTED_BITS = 1 << 22,  /* of names that a mount has asked for: a hash without collisions to speak of */
    UNSETTLED_MAX = 65536, /* changes under way to a mount that is this slow: it is closed */
};

/* A change that was sent to `waiting` mounts. */
typedef struct sent_change {
    uint64_t seq;
    size_t   waiting;
} sent_change;

typedef struct unsettled {
    sent_change *change;
    int64_t      sent_ms;
} unsettled;

struct far_mount {
    far_mount *next;
    char       token[2 * WIRE_TOKEN_BYTES];
    conn
        *conn; /* NULL: its connection has ended, but what its kernel knows may still be used until the lease is over */
    uint64_t   registration;
    int64_t    heard_ms; /* when it last said that it is there */
    bool       over;     /* nothing waits for it, and only origins are left */
    unsigned   users;    /* origins that are given out */
    unsettled *queue;    /* a ring */
    size_t     first, n, cap;
    uint64_t   noted[NOTED_BITS / 64];
};

/* ---- with mu held ---- */

static slice token_of(const far_mount *x) { return chr_bytes(x->token, sizeof x->token); }

static far_mount *find(const mounts *m, slice token)
{
    far_mount *x = m->all;
    while (x && !(x->conn && slice_equal(token, token_of(x)))) x = x->next;
    return x;
}

static far_mount *find_of(const mounts *m, const session *s)
{
    far_mount *x = m->all;
    while (x && x->conn != conn_of((session *)(uintptr_t)s)) x = x->next;
    return x;
}

static void remove_if_unused(mounts *m, far_mount *x)
{
    far_mount **at = &m->all;
    if (!x->over || x->users) return;
    while (*at != x) at = &(*at)->next;
    *at = x->next;
    free(x->queue);
    free(x);
}

/* The oldest change that waits for it. */
static void settle_one(mounts *m, far_mount *x)
{
    sent_change *c = x->queue[x->first].change;
    x->first = (x->first + 1) % x->cap;
    x->n--;
    if (--c->waiting) return;
    store_watch_settled(m->watch, c->seq);
    free(c);
}

/* Nothing waits for it any more. */
static void let_go(mounts *m, far_mount *x)
{
    while (x->n) settle_one(m, x);
    x->conn = NULL;
    x->over = true;
    atomic_fetch_sub(&m->count, 1);
    pthread_cond_broadcast(&m->settled);
    remove_if_unused(m, x);
}

static bool reserve(far_mount *x)
{
    if (x->n < x->cap) return true;
    size_t     cap = x->cap ? 2 * x->cap : 64;
    unsettled *more = cap <= UNSETTLED_MAX ? malloc(cap * sizeof *more) : NULL;
    if (!more) return false;
    for (size_t i = 0, from = x->first; i < x->n; i++) {
        more[i] = x->queue[from];
        if (++from == x->cap) from = 0;
    }
    free(x->queue);
    x->queue = more;
    x->cap = cap;
    x->first = 0;
    return true;
}

/* ---- names ---- */

static uint64_t bit_of(slice key) { return hash64(key) & (NOTED_BITS - 1); }
static bool     is_noted(const far_mount *x, slice key)
{
    uint64_t bit = bit_of(key);
    return x->noted[bit / 64] >> bit % 64 & 1;
}

/* The kernel may know the key itself, or one of the directories above it, which may have come or gone with it. */
static bool may_know(const far_mount *x, slice key)
{
    if (is_noted(x, key)) return true;
    for (size_t i = key.len; i-- > 0;)
        if (key.data[i] == '/' && is_noted(x, chr_bytes(key.data, i))) return true;
    return false;
}

/* ---- telling ---- */

static void say_change(request *r, const message *m)
{
    reply_push(r, 3);
    reply_value(r, chr_str("change"));
    reply_integer(r, m->parts[0].data[0]);
    reply_value(r, m->parts[1]);
}

/* Of the mount that has made the change, by which connection ever. */
static slice own_token(const mounts *m, const change *c)
{
    const far_mount *x = m->all;
    while (x && x != c->origin) x = x->next;
    return x ? token_of(x) : chr_bytes(NULL, 0);
}

static bool is_concerned(const far_mount *x, const change *c, slice key, slice own)
{
    return !x->over && !slice_equal(own, token_of(x)) && (c->kind == CHANGE_RANGE || may_know(x, key));
}

static bool on_change(void *arg, const change *c)
{
    mounts      *m = arg;
    message     *news = NULL;
    sent_change *sent = NULL;
    char         kind = (char)c->kind;
    const slice  key = chr_bytes(c->key.data ? c->key.data : "", c->key.len);
    const slice  parts[] = { chr_bytes(&kind, 1), key };
    if (!atomic_load(&m->count)) return false;
    pthread_mutex_lock(&m->mu);
    const slice own = own_token(m, c);
    for (far_mount *x = m->all; x; x = x->next) {
        if (!is_concerned(x, c, key, own)) continue;
        if (!news) news = message_new(say_change, parts, 2, 0);
        if (!sent) sent = calloc(1, sizeof *sent);
        bool noted = sent && reserve(x);
        if (noted) {
            x->queue[(x->first + x->n++) % x->cap] = (unsettled){ sent, server_clock_ms() };
            sent->waiting++;
        }
        /* One that misses something is closed, and knows. */
        if (x->conn) (void)message_send(x->conn, noted ? news : NULL);
    }
    bool waits = sent && sent->waiting;
    if (waits)
        sent->seq = c->seq;
    else
        free(sent);
    if (waits) pthread_cond_signal(&m->sent);
    pthread_mutex_unlock(&m->mu);
    message_release(news);
    return waits;
}

/* When its time is over, unless it says something. */
static int64_t lease_ends(const far_mount *x)
{
    if (x->over) return INT64_MAX;
    if (!x->conn) return x->heard_ms + MOUNT_LEASE_MS;
    return x->n ? x->queue[x->first].sent_ms + MOUNT_LEASE_MS : INT64_MAX;
}

static void cut_off(mounts *m, far_mount *x)
{
    if (x->conn) {
        log_line(LOG_WARN, "net", "a mount that did not answer was closed", "client=%" PRIu64 " address=%s",
                 x->conn->session.id, x->conn->session.address);
        (void)message_send(x->conn, NULL);
    }
    let_go(m, x);
}

/* Closes those that do not answer. */
static void *lessor_main(void *arg)
{
    mounts *m = arg;
    pthread_mutex_lock(&m->mu);
    while (!m->stopping) {
        int64_t now = server_clock_ms(), oldest = INT64_MAX;
        for (far_mount *x = m->all, *next; x; x = next) {
            next = x->next;
            int64_t ends = lease_ends(x);
            if (ends <= now)
                cut_off(m, x);
            else if (ends < oldest)
                oldest = ends;
        }
        if (oldest == INT64_MAX) {
            pthread_cond_wait(&m->sent, &m->mu);
        } else {
            struct timespec t = { oldest / 1000, oldest % 1000 * 1000000 };
            (void)pthread_cond_timedwait(&m->sent, &m->mu, &t);
        }
    }
    pthread_mutex_unlock(&m->mu);
    return NULL;
}

/* ---- what connections do ---- */

void mounts_init(mounts *m, server *s)
{
    pthread_condattr_t attr;
    m->server = s;
    pthread_mutex_init(&m->mu, NULL);
    pthread_mutex_init(&m->watch_mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->sent, &attr);
    pthread_cond_init(&m->settled, &attr);
    pthread_condattr_destroy(&attr);
}

void mounts_free(mounts *m)
{
    if (m->watch) {
        pthread_mutex_lock(&m->mu);
        m->stopping = true;
        pthread_cond_signal(&m->sent);
        pthread_mutex_unlock(&m->mu);
        pthread_join(m->lessor, NULL);
    }
    for (far_mount *x; (x = m->all);) let_go(m, x);
    if (m->watch) store_watch_remove(m->watch);
    pthread_mutex_destroy(&m->mu);
    pthread_mutex_destroy(&m->watch_mu);
    pthread_cond_destroy(&m->sent);
    pthread_cond_destroy(&m->settled);
}

static chr_status start_watching(mounts *m)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&m->watch_mu);
    if (!m->watch) {
        st = store_watch_add(m->server->store, on_change, m, &m->watch);
        if (st == CHR_OK && pthread_create(&m->lessor, NULL, lessor_main, m) != 0) {
            store_watch_remove(m->watch);
            m->watch = NULL;
            st = chr_fail(CHR_NO_MEMORY, "cannot start a thread");
        }
    }
    pthread_mutex_unlock(&m->watch_mu);
    return st;
}

chr_status mounts_watch(mounts *m, session *s, slice token, uint64_t *registration)
{
    chr_status st = start_watching(m);
    far_mount *x = st == CHR_OK ? calloc(1, sizeof *x) : NULL;
    if (st != CHR_OK) return st;
    if (!x) return chr_nomem();
    memcpy(x->token, token.data, sizeof x->token);
    x->conn = conn_of(s);
    x->heard_ms = server_clock_ms();
    pthread_mutex_lock(&m->mu);
    far_mount *before = find(m, token);
    if (find_of(m, s)) {
        st = chr_fail(CHR_INVALID, "this connection is of a mount already");
        free(x);
    } else {
        if (before) {
            (void)message_send(before->conn, NULL);
            before->conn = NULL;
            pthread_cond_signal(&m->sent);
        }
        *registration = x->registration = ++m->registrations;
        x->next = m->all;
        m->all = x;
        atomic_fetch_add(&m->count, 1);
    }
    pthread_mutex_unlock(&m->mu);
    return st;
}

void mounts_leave(mounts *m, const session *s)
{
    if (!atomic_load(&m->count)) return;
    pthread_mutex_lock(&m->mu);
    far_mount *x = find_of(m, s);
    if (x) x->conn = NULL;
    if (x) pthread_cond_signal(&m->sent);
    pthread_mutex_unlock(&m->mu);
}

void mounts_forget(mounts *m, slice token)
{
    pthread_mutex_lock(&m->mu);
    for (far_mount *x = m->all, *next; x; x = next) {
        next = x->next;
        if (!x->over && slice_equal(token, token_of(x))) let_go(m, x);
    }
    pthread_mutex_unlock(&m->mu);
}

void mounts_settled(mounts *m, const session *s, uint64_t registration, uint64_t n)
{
    pthread_mutex_lock(&m->mu);
    far_mount *x = find_of(m, s);
    if (x) x->heard_ms = server_clock_ms();
    for (; x && x->registration == registration && n && x->n; n--) settle_one(m, x);
    pthread_cond_broadcast(&m->settled);
    pthread_mutex_unlock(&m->mu);
}

bool mounts_note(mounts *m, slice token, const slice *keys, size_t n)
{
    pthread_mutex_lock(&m->mu);
    far_mount *x = find(m, token);
    for (size_t i = 0; i < n && x; i++) {
        uint64_t bit = bit_of(keys[i]);
        x->noted[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    pthread_mutex_unlock(&m->mu);
    return x != NULL;
}

const void *mounts_origin(mounts *m, slice token)
{
    pthread_mutex_lock(&m->mu);
    far_mount *x = find(m, token);
    if (x) x->users++;
    pthread_mutex_unlock(&m->mu);
    return x;
}

void mounts_give_back(mounts *m, const void *origin)
{
    far_mount *x = (far_mount *)(uintptr_t)origin;
    pthread_mutex_lock(&m->mu);
    x->users--;
    remove_if_unused(m, x);
    pthread_mutex_unlock(&m->mu);
}
