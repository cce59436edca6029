#include "net/tracking.h"

#include "base/hash.h"
#include "net/clients.h"
#include "net/server_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define entry entry_of_hsearch /* a name that the engine has for itself */
#include <search.h>
#undef entry

enum { BUCKETS = 1 << 20 }; /* only those that are used take memory */

typedef struct tracker {
    uint64_t        id; /* of the session */
    struct tracker *next;
    conn           *own, *to; /* `to`: who is told; NULL: it was another one, and is gone */
    unsigned        flags;
    uint64_t        redirect; /* 0: to itself */
    buf             prefixes; /* each sized */
} tracker;

/* A key and who has read it. Those who have gone meanwhile are dropped when there is no room for another. */
struct tracked {
    tracked  *next;
    uint64_t *ids; /* ascending */
    size_t    n, cap;
    slice     key;
    char      bytes[];
};

_Thread_local uint64_t tracking_actor;

/* ---- messages ---- */

static void say_value(request *r, const message *m)
{
    if (m->parts[0].data) {
        reply_array(r, 1);
        reply_value(r, m->parts[0]);
    } else {
        reply_null(r); /* everything */
    }
}

/* RESP2 has no way to say it between replies. */
static void say_invalid(request *r, const message *m)
{
    if (r->session->resp < 3) return;
    reply_push(r, 2);
    reply_value(r, chr_str("invalidate"));
    say_value(r, m);
}

static void say_redirected(request *r, const message *m)
{
    if (r->session->resp >= 3) {
        say_invalid(r, m);
    } else if (pubsub_count(r->session)) {
        reply_array(r, 3);
        reply_value(r, chr_str("message"));
        reply_value(r, chr_str("__redis__:invalidate"));
        say_value(r, m);
    }
}

static void say_broken(request *r, const message *m)
{
    if (r->session->resp < 3) return;
    reply_push(r, 2);
    reply_value(r, chr_str("tracking-redir-broken"));
    reply_integer(r, (int64_t)get_u64(m->parts[0].data));
}

/* What there is to tell; made when somebody is to be told, one for all. With mu held. */
typedef struct news {
    slice    key; /* NULL data: all keys */
    uint64_t seq;
    message *own, *redirected;
} news;

static void news_free(news *n)
{
    message_release(n->own);
    message_release(n->redirected);
}

static void tell_broken(const tracker *to)
{
    char id[8];
    put_u64(id, to->redirect);
    const slice part = chr_bytes(id, sizeof id);
    message    *m = message_new(say_broken, &part, 1, 0);
    (void)message_send(to->own, m);
    message_release(m);
}

static void tell(news *n, const tracker *to)
{
    message **m = to->redirect ? &n->redirected : &n->own;
    if (!to->to) {
        tell_broken(to);
        return;
    }
    if (!*m) {
        *m = message_new(to->redirect ? say_redirected : say_invalid, &n->key, 1, n->seq);
        if (*m) (*m)->after_reply = true;
    }
    (void)message_send(to->to, *m);
}

/* ---- trackers; with mu held ---- */

static int compare_trackers(const void *a, const void *b)
{
    uint64_t x = ((const tracker *)a)->id, y = ((const tracker *)b)->id;
    return (x > y) - (x < y);
}

static tracker *find(tracking *t, uint64_t id)
{
    const tracker wanted = { .id = id };
    void         *found = tfind(&wanted, &t->trackers, compare_trackers);
    return found ? *(tracker **)found : NULL;
}

static tracker *find_or_make(tracking *t, session *s)
{
    tracker *x = find(t, s->id);
    if (x) return x;
    x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->id = s->id;
    x->own = conn_of(s);
    if (!tsearch(x, &t->trackers, compare_trackers)) {
        free(x);
        return NULL;
    }
    x->next = t->all;
    t->all = x;
    atomic_fetch_add(&t->count, 1);
    return x;
}

static size_t count_prefixes(const tracker *x)
{
    size_t n = 0;
    for (reader r = reader_of(buf_slice(&x->prefixes)); reader_left(&r); n++) (void)read_sized(&r);
    return n;
}

static void drop_tracker(tracking *t, tracker *x)
{
    tracker **at = &t->all;
    while (*at != x) at = &(*at)->next;
    *at = x->next;
    tdelete(x, &t->trackers, compare_trackers);
    atomic_fetch_sub(&t->prefixes, count_prefixes(x));
    chr_buf_free(&x->prefixes);
    free(x);
    atomic_fetch_sub(&t->count, 1);
}

/* ---- keys; with mu held ---- */

static tracked **bucket_of(const tracking *t, slice key) { return &t->buckets[hash64(key) % BUCKETS]; }

static void forget(tracking *t, tracked **at)
{
    tracked *k = *at;
    *at = k->next;
    atomic_fetch_sub(&t->keys, 1);
    atomic_fetch_sub(&t->readers, k->n);
    free(k->ids);
    free(k);
}

/* Tells its readers, and forgets it. */
static void invalidate(tracking *t, tracked **at, uint64_t seq, uint64_t actor)
{
    news n = { .key = (*at)->key, .seq = seq };
    for (size_t i = 0; i < (*at)->n; i++) {
        const tracker *x = find(t, (*at)->ids[i]);
        /* One that has changed its mode since has nothing to do with it. */
        if (x && !(x->flags & TRACK_BCAST) && !(x->flags & TRACK_NOLOOP && x->id == actor)) tell(&n, x);
    }
    news_free(&n);
    forget(t, at);
}

static size_t place_of(const tracked *k, uint64_t id)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (k->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_reader(const tracked *k, uint64_t id)
{
    size_t at = place_of(k, id);
    return at < k->n && k->ids[at] == id;
}

static bool make_room(tracking *t, tracked *k)
{
    size_t kept = 0;
    if (k->n < k->cap) return true;
    for (size_t i = 0; i < k->n; i++)
        if (find(t, k->ids[i])) k->ids[kept++] = k->ids[i];
    atomic_fetch_sub(&t->readers, k->n - kept);
    k->n = kept;
    if (k->n < k->cap) return true;
    size_t    cap = k->cap ? 2 * k->cap : 1;
    uint64_t *more = realloc(k->ids, cap * sizeof *more);
    if (!more) return false;
    k->ids = more;
    k->cap = cap;
    return true;
}

static bool remember(tracking *t, slice key, uint64_t id)
{
    tracked **bucket = bucket_of(t, key), *k = *bucket;
    while (k && !slice_equal(k->key, key)) k = k->next;
    if (!k) {
        k = calloc(1, sizeof *k + key.len);
        if (!k) return false;
        if (key.len) memcpy(k->bytes, key.data, key.len);
        k->key = chr_bytes(k->bytes, key.len);
        k->next = *bucket;
        *bucket = k;
        atomic_fetch_add(&t->keys, 1);
    }
    if (has_reader(k, id)) return true;
    if (!make_room(t, k)) return false;
    size_t at = place_of(k, id);
    memmove(k->ids + at + 1, k->ids + at, (k->n++ - at) * sizeof *k->ids);
    k->ids[at] = id;
    atomic_fetch_add(&t->readers, 1);
    return true;
}

static void trim(tracking *t)
{
    uint64_t max = atomic_load(&t->server->settings.tracking_keys);
    while (max && t->buckets && atomic_load(&t->keys) > max) {
        t->cursor = (t->cursor + 1) % BUCKETS;
        if (t->buckets[t->cursor]) invalidate(t, &t->buckets[t->cursor], 0, 0);
    }
}

void tracking_trim(tracking *t)
{
    pthread_mutex_lock(&t->mu);
    trim(t);
    pthread_mutex_unlock(&t->mu);
}

/* ---- what changes ---- */

static void key_changed(tracking *t, slice key, uint64_t seq, uint64_t actor)
{
    news      n = { .key = key, .seq = seq };
    tracked **at = bucket_of(t, key);
    while (*at && !slice_equal((*at)->key, key)) at = &(*at)->next;
    if (*at) invalidate(t, at, seq, actor);
    for (const tracker *x = t->all; x; x = x->next) {
        if (!(x->flags & TRACK_BCAST) || (x->flags & TRACK_NOLOOP && x->id == actor)) continue;
        for (reader r = reader_of(buf_slice(&x->prefixes)); reader_left(&r);)
            if (slice_has_prefix(key, read_sized(&r))) {
                tell(&n, x);
                break;
            }
    }
    news_free(&n);
}

static bool is_within(slice key, slice start, slice end)
{
    return (!start.data || slice_compare(key, start) >= 0) && (!end.data || slice_compare(key, end) < 0);
}

/* Which keys there were is not known: those who are told of prefixes are told that all may have changed. */
static void range_changed(tracking *t, slice start, slice end, uint64_t seq)
{
    bool all = !start.data && !end.data;
    news n = { .key = chr_bytes(NULL, 0), .seq = seq };
    for (const tracker *x = t->all; x; x = x->next)
        if (all || x->flags & TRACK_BCAST) tell(&n, x);
    news_free(&n);
    for (size_t i = 0; i < BUCKETS && atomic_load(&t->keys); i++)
        for (tracked **at = &t->buckets[i]; *at;) {
            if (all)
                forget(t, at);
            else if (is_within((*at)->key, start, end))
                invalidate(t, at, seq, tracking_actor);
            else
                at = &(*at)->next;
        }
}

/* The fences here and in tracking_remember: either the reader sees the change, or it is found among the readers. */
static bool on_change(void *arg, const change *c)
{
    tracking *t = arg;
    atomic_thread_fence(memory_order_seq_cst);
    if (c->space != OBJECT_KEY || !atomic_load(&t->count)) return false;
    pthread_mutex_lock(&t->mu);
    if (c->kind == CHANGE_RANGE)
        range_changed(t, c->key, c->end, c->seq);
    else if (c->kind == CHANGE_PUT || c->kind == CHANGE_DELETE)
        key_changed(t, c->key, c->seq, tracking_actor);
    else
        key_changed(t, c->key, c->seq, 0); /* whoever runs that has not asked for it */
    pthread_mutex_unlock(&t->mu);
    return false;
}

/* ---- what connections do ---- */

void tracking_init(tracking *t, server *s)
{
    t->server = s;
    pthread_mutex_init(&t->mu, NULL);
    pthread_mutex_init(&t->watch_mu, NULL);
}

void tracking_free(tracking *t)
{
    if (t->watch) store_watch_remove(t->watch);
    assert(!t->trackers);
    for (size_t i = 0; i < BUCKETS && atomic_load(&t->keys); i++)
        while (t->buckets[i]) forget(t, &t->buckets[i]);
    free(t->buckets);
    pthread_mutex_destroy(&t->mu);
    pthread_mutex_destroy(&t->watch_mu);
}

static chr_status start_watching(tracking *t)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&t->watch_mu);
    if (!t->buckets) t->buckets = calloc(BUCKETS, sizeof(tracked *)); /* nobody looks at them before there is a watch */
    if (!t->buckets) st = chr_nomem();
    if (st == CHR_OK && !t->watch) st = store_watch_add(t->server->store, on_change, t, &t->watch);
    if (st == CHR_OK) st = expiries_want(&t->server->expiries, EXPIRIES_TRACKING, true);
    pthread_mutex_unlock(&t->watch_mu);
    return st;
}

static bool add_prefixes(tracking *t, tracker *x, const slice *prefixes, size_t n)
{
    size_t had = x->prefixes.len;
    for (size_t i = 0; i < n; i++)
        if (!buf_append_sized(&x->prefixes, prefixes[i])) {
            x->prefixes.len = had;
            return false;
        }
    atomic_fetch_add(&t->prefixes, n);
    return true;
}

chr_status tracking_on(tracking *t, session *s, unsigned flags, uint64_t redirect, const slice *prefixes, size_t n)
{
    conn      *to = conn_of(s);
    chr_status st = start_watching(t);
    if (st != CHR_OK) return st;
    /* First, so that whoever is found to redirect to comes here when it dies. */
    atomic_fetch_add(&t->count, 1);
    pthread_mutex_lock(&t->mu);
    if (redirect && !(to = clients_find(t->server, redirect))) st = CHR_NOT_FOUND;
    tracker *x = st == CHR_OK ? find_or_make(t, s) : NULL;
    if (st == CHR_OK && (!x || !add_prefixes(t, x, prefixes, n))) st = chr_nomem();
    if (st == CHR_OK) {
        x->to = to;
        x->flags = flags | TRACK_ON;
        x->redirect = redirect;
        atomic_store(&s->tracking, x->flags);
        atomic_store(&s->tracking_redirect, redirect);
    } else if (x && !x->flags) {
        drop_tracker(t, x);
    }
    pthread_mutex_unlock(&t->mu);
    atomic_fetch_sub(&t->count, 1);
    return st;
}

void tracking_off(tracking *t, session *s)
{
    if (!atomic_load(&s->tracking)) return;
    pthread_mutex_lock(&t->mu);
    tracker *x = find(t, s->id);
    if (x) drop_tracker(t, x);
    pthread_mutex_unlock(&t->mu);
    atomic_store(&s->tracking, 0);
    atomic_store(&s->tracking_redirect, 0);
    s->caching = false;
}

void tracking_leave(tracking *t, session *s)
{
    if (!atomic_load(&t->count)) return;
    tracking_off(t, s);
    pthread_mutex_lock(&t->mu);
    for (tracker *x = t->all; x; x = x->next)
        if (x->redirect && x->to == conn_of(s)) {
            x->to = NULL;
            atomic_fetch_or(&x->own->session.tracking, TRACK_BROKEN);
            tell_broken(x);
        }
    pthread_mutex_unlock(&t->mu);
}

bool tracking_overlaps(tracking *t, const session *s, slice prefix, buf *with)
{
    bool found = false;
    pthread_mutex_lock(&t->mu);
    const tracker *x = find(t, s->id);
    for (reader r = reader_of(x ? buf_slice(&x->prefixes) : chr_str("")); !found && reader_left(&r);) {
        slice has = read_sized(&r);
        found = slice_has_prefix(has, prefix) || slice_has_prefix(prefix, has);
        if (found) (void)buf_set(with, has);
    }
    pthread_mutex_unlock(&t->mu);
    return found;
}

size_t tracking_each_prefix(tracking *t, const session *s, tracking_prefix_fn *fn, void *arg)
{
    size_t n = 0;
    pthread_mutex_lock(&t->mu);
    const tracker *x = find(t, s->id);
    if (x && !fn) n = count_prefixes(x);
    for (reader r = reader_of(x && fn ? buf_slice(&x->prefixes) : chr_str("")); reader_left(&r); n++)
        fn(arg, read_sized(&r));
    pthread_mutex_unlock(&t->mu);
    return n;
}

void tracking_remember(const request *r)
{
    session       *s = r->session;
    tracking      *t = &r->server->tracking;
    const command *c = r->command;
    unsigned       flags = atomic_load(&s->tracking);
    bool           memory = true;
    if (!(c->flags & CMD_READ) || c->flags & CMD_UNQUEUED || !c->first_key || flags & TRACK_BCAST) return;
    if ((flags & TRACK_OPTIN && !s->caching) || (flags & TRACK_OPTOUT && s->caching)) return;
    key_places keys = command_keys(c, r->args, r->n);
    pthread_mutex_lock(&t->mu);
    for (size_t i = keys.first; i <= keys.last && i < r->n; i += keys.step)
        memory = remember(t, r->args[i], s->id) && memory;
    trim(t);
    pthread_mutex_unlock(&t->mu);
    if (!memory) (void)message_send(conn_of(s), NULL);
    atomic_thread_fence(memory_order_seq_cst);
}

void tracking_before(const request *r)
{
    tracking_remember(r);
    if (r->command->run != cmd_client && r->command->run != cmd_multi && r->command->run != cmd_exec)
        r->session->caching = false;
}
