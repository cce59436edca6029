#include "object/watch.h"

#include "object/store_internal.h"

#include <sched.h>
#include <stdlib.h>

struct store_watch {
    watches        *in;
    store          *s;
    store_watch_fn *fn;
    void           *arg;
    held_queue      unsettled; /* under in->lock */
};

/* ---- queues of held seqs ---- */

enum { HELD_CAPACITY_MIN = 64 };

static held_seq *held_at(const held_queue *q, size_t i) { return &q->ring[(q->first + i) & (q->capacity - 1)]; }

static uint64_t held_oldest(const held_queue *q) { return q->count ? held_at(q, 0)->seq : UINT64_MAX; }

static bool held_reserve(held_queue *q, size_t more)
{
    if (q->count + more <= q->capacity) return true;
    held_queue bigger = { .capacity = q->capacity ? q->capacity : HELD_CAPACITY_MIN, .count = q->count };
    while (bigger.capacity < q->count + more) bigger.capacity *= 2;
    bigger.ring = calloc(bigger.capacity, sizeof *bigger.ring);
    if (!bigger.ring) return false;
    for (size_t i = 0; i < q->count; i++) bigger.ring[i] = *held_at(q, i);
    free(q->ring);
    *q = bigger;
    return true;
}

/* Seqs come nearly in order, so the place is near the end. Room was reserved. */
static void held_add(held_queue *q, uint64_t seq)
{
    size_t at = q->count;
    while (at && held_at(q, at - 1)->seq > seq) at--;
    if (at && held_at(q, at - 1)->seq == seq) {
        held_at(q, at - 1)->count++;
        return;
    }
    assert(q->count < q->capacity);
    q->count++;
    for (size_t i = q->count - 1; i > at; i--) *held_at(q, i) = *held_at(q, i - 1);
    *held_at(q, at) = (held_seq){ seq, 1 };
}

static void held_settle(held_queue *q, uint64_t seq)
{
    size_t low = 0, high = q->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (held_at(q, middle)->seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low < q->count && held_at(q, low)->seq == seq && held_at(q, low)->count);
    held_at(q, low)->count--;
    while (q->count && held_at(q, 0)->count == 0) {
        q->first = (q->first + 1) & (q->capacity - 1);
        q->count--;
    }
}

/* ---- who hears of acknowledgements ---- */

static void tell_listeners(watches *w)
{
    atomic_fetch_add(&w->telling, 1);
    uint32_t end = atomic_load(&w->listener_end);
    for (uint32_t i = 0; i < end; i++) {
        db_ack_fn *fn = atomic_load(&w->listeners[i].fn);
        if (fn) fn(w->listeners[i].arg);
    }
    atomic_fetch_sub(&w->telling, 1);
}

static void on_engine_ack(void *arg)
{
    watches *w = arg;
    atomic_fetch_add_explicit(&w->oldest_held, 0, memory_order_acq_rel);
    tell_listeners(w);
}

/* With the lock held, after the queues have changed. True: the listeners are to be told. */
static bool publish_oldest(watches *w)
{
    uint64_t oldest = held_oldest(&w->in_flight);
    for (uint32_t i = 0; i < w->count; i++) {
        uint64_t of_watch = held_oldest(&w->at[i]->unsettled);
        if (of_watch < oldest) oldest = of_watch;
    }
    uint64_t was = atomic_exchange_explicit(&w->oldest_held, oldest, memory_order_acq_rel);
    if (oldest <= was) return false;
    pthread_cond_broadcast(&w->released);
    return db_ack_seq(w->d) >= was;
}

chr_status watches_init(watches *w, db *d)
{
    memset(w, 0, sizeof *w);
    w->d = d;
    atomic_init(&w->oldest_held, UINT64_MAX);
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->listeners_lock, NULL);
    pthread_cond_init(&w->released, NULL);
    chr_status st = db_add_ack_listener(d, on_engine_ack, w);
    if (!chr_ok(st)) {
        pthread_mutex_destroy(&w->lock);
        pthread_mutex_destroy(&w->listeners_lock);
        pthread_cond_destroy(&w->released);
    }
    return st;
}

void watches_free(watches *w)
{
    assert(w->count == 0 && w->in_flight.count == 0);
    db_remove_ack_listener(w->d, on_engine_ack, w);
    free(w->in_flight.ring);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->listeners_lock);
    pthread_cond_destroy(&w->released);
}

chr_status store_add_ack_listener(store *s, db_ack_fn *fn, void *arg)
{
    watches   *w = &s->watching;
    chr_status st = CHR_OK;
    uint32_t   i = 0;
    pthread_mutex_lock(&w->listeners_lock);
    while (i < LISTENERS_MAX && atomic_load(&w->listeners[i].fn)) i++;
    if (i == LISTENERS_MAX) {
        st = chr_fail(CHR_INVALID, "more than %d listeners for acknowledgements", LISTENERS_MAX);
    } else {
        w->listeners[i].arg = arg;
        atomic_store(&w->listeners[i].fn, fn);
        if (i >= atomic_load(&w->listener_end)) atomic_store(&w->listener_end, i + 1);
    }
    pthread_mutex_unlock(&w->listeners_lock);
    return st;
}

void store_remove_ack_listener(store *s, db_ack_fn *fn, void *arg)
{
    watches *w = &s->watching;
    pthread_mutex_lock(&w->listeners_lock);
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        if (atomic_load(&w->listeners[i].fn) != fn || w->listeners[i].arg != arg) continue;
        atomic_store(&w->listeners[i].fn, NULL);
        break;
    }
    while (atomic_load(&w->telling)) sched_yield(); /* calls are short, and those that begin now do not see it */
    pthread_mutex_unlock(&w->listeners_lock);
}

/* The engine's seq is read first: a commit that it covers took its hold before it was applied, so its hold is seen. */
uint64_t store_ack_seq(const store *s)
{
    uint64_t acked = db_ack_seq(s->d);
    uint64_t held = atomic_load_explicit(&s->watching.oldest_held, memory_order_acquire);
    return acked < held ? acked : held - 1;
}

static chr_status wait_released(watches *w, uint64_t seq)
{
    if (atomic_load_explicit(&w->oldest_held, memory_order_acquire) > seq) return CHR_OK;
    pthread_mutex_lock(&w->lock);
    while (atomic_load_explicit(&w->oldest_held, memory_order_acquire) <= seq)
        pthread_cond_wait(&w->released, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return CHR_OK;
}

chr_status store_wait(store *s, uint64_t seq)
{
    chr_status st = db_wait(s->d, seq);
    return chr_ok(st) ? wait_released(&s->watching, seq) : st;
}

chr_status store_wait_durable(store *s, uint64_t seq)
{
    chr_status st = db_wait_durable(s->d, seq);
    return chr_ok(st) ? wait_released(&s->watching, seq) : st;
}

void store_request_ack(store *s) { db_request_ack(s->d); }

/* ---- commits ---- */

chr_status watches_begin(watches *w, uint64_t *hold)
{
    pthread_mutex_lock(&w->lock);
    /* Every commit under way may add one seq to each queue, and must not fail to. */
    size_t under_way = 1;
    for (size_t i = 0; i < w->in_flight.count; i++) under_way += held_at(&w->in_flight, i)->count;
    bool room = held_reserve(&w->in_flight, 1);
    for (uint32_t i = 0; i < w->count; i++) room = held_reserve(&w->at[i]->unsettled, under_way) && room;
    if (room) {
        *hold = db_last_seq(w->d) + 1;
        held_add(&w->in_flight, *hold);
        publish_oldest(w);
    }
    pthread_mutex_unlock(&w->lock);
    return room ? CHR_OK : chr_nomem();
}

void watches_tell(watches *w, const change *c)
{
    for (uint32_t i = 0; i < w->count; i++) {
        store_watch *watch = w->at[i];
        /* Held first: the watcher may settle it before it returns. */
        pthread_mutex_lock(&w->lock);
        held_add(&watch->unsettled, c->seq);
        pthread_mutex_unlock(&w->lock);
        if (!watch->fn(watch->arg, c)) store_watch_settled(watch, c->seq);
    }
}

static void after_release(watches *w, bool tell)
{
    pthread_mutex_unlock(&w->lock);
    if (tell) tell_listeners(w);
}

void watches_end(watches *w, uint64_t hold)
{
    pthread_mutex_lock(&w->lock);
    held_settle(&w->in_flight, hold);
    after_release(w, publish_oldest(w));
}

void store_watch_settled(store_watch *watch, uint64_t seq)
{
    pthread_mutex_lock(&watch->in->lock);
    held_settle(&watch->unsettled, seq);
    after_release(watch->in, publish_oldest(watch->in));
}

chr_status store_watch_add(store *s, store_watch_fn *fn, void *arg, store_watch **out)
{
    watches     *w = &s->watching;
    store_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return chr_nomem();
    *watch = (store_watch){ .in = w, .s = s, .fn = fn, .arg = arg };

    chr_status st = CHR_OK;
    stripes_lock_all(&s->locks);
    pthread_mutex_lock(&w->lock);
    if (w->count == WATCHES_MAX)
        st = chr_fail(CHR_INVALID, "more than %d watchers", WATCHES_MAX);
    else
        w->at[w->count++] = watch;
    pthread_mutex_unlock(&w->lock);
    stripes_unlock_all(&s->locks);

    if (chr_ok(st))
        *out = watch;
    else
        free(watch);
    return st;
}

void store_watch_remove(store_watch *watch)
{
    watches *w = watch->in;
    stripes *locks = &watch->s->locks;
    stripes_lock_all(locks);
    pthread_mutex_lock(&w->lock);
    uint32_t i = 0;
    while (w->at[i] != watch) i++;
    w->at[i] = w->at[--w->count];
    after_release(w, publish_oldest(w));
    stripes_unlock_all(locks);
    free(watch->unsettled.ring);
    free(watch);
}
