#include "net/expiries.h"

#include <stdlib.h>
#include <time.h>

enum {
    KEPT = 100 * 1000, /* keys, of twice as many */
    SCAN_AT_ONCE = 1024,
    PAUSE_MS = 1000, /* at most, since the wall clock may be set; and after an error */
};

/* ---- the heap; with mu held ---- */

static void swap(expiry *a, expiry *b)
{
    expiry c = *a;
    *a = *b;
    *b = c;
}

static bool reserve_one(expiries *e)
{
    if (e->n < e->cap) return true;
    size_t  more = e->cap ? 2 * e->cap : 64;
    expiry *grown = realloc(e->heap, more * sizeof *grown);
    if (!grown) return false;
    e->heap = grown;
    e->cap = more;
    return true;
}

/* What cannot be kept is found when the store is gone through again. */
static void add(expiries *e, slice key, uint64_t ms)
{
    if (ms >= e->horizon) return;
    char *copy = e->n < 2 * (size_t)KEPT && reserve_one(e) ? malloc(key.len + 1) : NULL;
    if (!copy) {
        e->horizon = ms;
        return;
    }
    if (key.len) memcpy(copy, key.data, key.len);
    size_t i = e->n++;
    e->heap[i] = (expiry){ ms, copy, key.len };
    for (; i > 0 && e->heap[i].ms < e->heap[(i - 1) / 2].ms; i = (i - 1) / 2) swap(&e->heap[i], &e->heap[(i - 1) / 2]);
}

static expiry take_first(expiries *e)
{
    expiry first = e->heap[0];
    e->heap[0] = e->heap[--e->n];
    for (size_t i = 0, child; (child = 2 * i + 1) < e->n; i = child) {
        if (child + 1 < e->n && e->heap[child + 1].ms < e->heap[child].ms) child++;
        if (e->heap[i].ms <= e->heap[child].ms) break;
        swap(&e->heap[i], &e->heap[child]);
    }
    return first;
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const expiry *)a)->ms, y = ((const expiry *)b)->ms;
    return (x > y) - (x < y);
}

static void keep_earliest(expiries *e)
{
    if (e->n < 2 * (size_t)KEPT) return;
    qsort(e->heap, e->n, sizeof *e->heap, by_time); /* what is in order is a heap */
    if (e->heap[KEPT].ms < e->horizon) e->horizon = e->heap[KEPT].ms;
    while (e->n > KEPT) free(e->heap[--e->n].key);
}

/* ---- the thread ---- */

static bool on_change(void *arg, const change *c)
{
    expiries *e = arg;
    if (c->kind != CHANGE_PUT || !c->expire_ms || c->space != OBJECT_KEY) return false;
    pthread_mutex_lock(&e->mu);
    add(e, c->key, c->expire_ms);
    if (e->n && e->heap[0].ms == c->expire_ms) pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->mu);
    return false;
}

static void found(void *arg, slice key, uint64_t expire_ms)
{
    expiries *e = arg;
    pthread_mutex_lock(&e->mu);
    add(e, key, expire_ms);
    keep_earliest(e);
    pthread_mutex_unlock(&e->mu);
}

/* With mu held. */
static void pause_until(expiries *e, uint64_t now_ms, uint64_t until_ms)
{
    struct timespec at;
    uint64_t        wait_ms = until_ms - now_ms < PAUSE_MS ? until_ms - now_ms : PAUSE_MS;
    clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t ns = (uint64_t)at.tv_nsec + wait_ms % 1000 * 1000000;
    at.tv_sec += (time_t)(wait_ms / 1000 + ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    if (!e->stop) pthread_cond_timedwait(&e->work, &e->mu, &at);
}

/* One key whose time has come, with mu held at both ends. */
static void expire_first(expiries *e)
{
    expiry   x = take_first(e);
    slice    key = chr_bytes(x.key, x.len);
    uint64_t again_ms = 0;
    pthread_mutex_unlock(&e->mu);
    chr_status st = store_expire(e->store, key, &again_ms);
    pthread_mutex_lock(&e->mu);
    if (st == CHR_OK && again_ms) add(e, key, again_ms);
    if (st != CHR_OK) { /* the disk may be full for a while */
        uint64_t now = (uint64_t)store_now_ms(e->store);
        add(e, key, x.ms);
        pause_until(e, now, now + PAUSE_MS);
    }
    free(x.key);
}

static void scan_on(expiries *e, buf *from)
{
    bool done = false;
    pthread_mutex_unlock(&e->mu);
    chr_status st = store_expiries(e->store, from, SCAN_AT_ONCE, found, e, &done);
    pthread_mutex_lock(&e->mu);
    if (st != CHR_OK) {
        uint64_t now = (uint64_t)store_now_ms(e->store);
        pause_until(e, now, now + PAUSE_MS);
    }
    e->scanning = !done;
}

static void *expiries_main(void *arg)
{
    expiries *e = arg;
    buf       from = { 0 };
    pthread_mutex_lock(&e->mu);
    while (!e->stop) {
        uint64_t now = (uint64_t)store_now_ms(e->store), next = e->n ? e->heap[0].ms : UINT64_MAX;
        keep_earliest(e);
        if (next <= now) expire_first(e);
        if (e->scanning) {
            scan_on(e, &from);
        } else if (next > now && e->horizon <= now) {
            e->horizon = UINT64_MAX;
            e->scanning = true;
        } else if (next > now) {
            pause_until(e, now, next < e->horizon ? next : e->horizon);
        }
    }
    pthread_mutex_unlock(&e->mu);
    chr_buf_free(&from);
    return NULL;
}

/* ---- starting and stopping; with wish_mu held ---- */

static void forget_all(expiries *e)
{
    while (e->n) free(e->heap[--e->n].key);
    free(e->heap);
    e->heap = NULL;
    e->cap = 0;
}

static chr_status start(expiries *e)
{
    e->stop = false;
    e->scanning = true;
    e->horizon = UINT64_MAX;
    chr_status st = store_watch_add(e->store, on_change, e, &e->watch);
    if (st != CHR_OK) return st;
    if (pthread_create(&e->thread, NULL, expiries_main, e) == 0) {
        pthread_setname_np(e->thread, "chr-expiries");
        return CHR_OK;
    }
    store_watch_remove(e->watch);
    forget_all(e);
    return chr_nomem();
}

static void stop(expiries *e)
{
    store_watch_remove(e->watch);
    pthread_mutex_lock(&e->mu);
    e->stop = true;
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->mu);
    pthread_join(e->thread, NULL);
    forget_all(e);
}

chr_status expiries_want(expiries *e, expiries_wish who, bool wanted)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&e->wish_mu);
    unsigned before = e->wishes, after = wanted ? before | who : before & ~(unsigned)who;
    if (!before && after) st = start(e);
    if (before && !after) stop(e);
    if (st == CHR_OK) e->wishes = after;
    pthread_mutex_unlock(&e->wish_mu);
    return st;
}

void expiries_init(expiries *e, store *s)
{
    pthread_condattr_t steady;
    e->store = s;
    pthread_mutex_init(&e->wish_mu, NULL);
    pthread_mutex_init(&e->mu, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&e->work, &steady);
    pthread_condattr_destroy(&steady);
}

void expiries_free(expiries *e)
{
    (void)expiries_want(e, EXPIRIES_NOTIFY, false);
    (void)expiries_want(e, EXPIRIES_TRACKING, false);
    pthread_mutex_destroy(&e->wish_mu);
    pthread_mutex_destroy(&e->mu);
    pthread_cond_destroy(&e->work);
}
