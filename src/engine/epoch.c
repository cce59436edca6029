/* Epochs with a slot per thread.
 *
 * `now` counts retirements. A reader stores `now` in its slot when it enters and 0 when it leaves. What is retired
 * is tagged with the count before its own retirement: it was out of sight by then, so readers that entered later
 * (slot > tag) cannot have it, and it is released once no slot holds 1..tag.
 * A reader that has read `now` but not yet stored it is not seen; it stores and only then loads the pointer, and the
 * retiring thread has replaced the pointer and only then reads the slots, all seq_cst, so it gets the new pointer.
 *
 * Slots belong to an epoch and are never freed before it. A thread that is new to an epoch takes one that nobody has
 * and remembers it in a thread-local list; when the thread ends its slots are given back. An epoch is known by a
 * number that is never used again, for a thread may outlive it. */
#include "engine/epoch.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_NS = 100 * 1000 };

typedef struct slot {
    _Alignas(64) _Atomic(uint64_t) entered; /* 0: not inside */
    uint32_t     depth;                     /* its thread only */
    bool         taken;                     /* registry.mu */
    struct slot *next;                      /* fixed before the slot is seen */
} slot;

typedef struct retired {
    struct retired *next;
    uint64_t        tag;
    void (*release)(void *arg);
    void *arg;
} retired;

struct epoch {
    uint64_t          id;
    _Atomic(uint64_t) now;
    _Atomic(slot *)   slots;
    _Atomic(uint32_t) strangers; /* inside without a slot, for want of memory; nothing is released meanwhile */
    pthread_mutex_t   mu;        /* protects the list of what is retired, oldest first */
    retired          *oldest, **end;
    epoch            *next; /* registry.mu */
};

/* All epochs of the process, so that a thread's end can tell which of its slots still exist. */
static struct {
    pthread_mutex_t mu;
    epoch          *first;
    uint64_t        last_id;
} registry = { .mu = PTHREAD_MUTEX_INITIALIZER };

typedef struct held_slot {
    uint64_t id; /* of the epoch */
    slot    *slot;
} held_slot;

typedef struct thread_slots {
    held_slot  recent; /* the one used last; {0, NULL}: none */
    held_slot *held;
    size_t     n, cap;
} thread_slots;

static _Thread_local thread_slots mine;
static pthread_key_t              thread_end;
static bool                       have_thread_end;
static pthread_once_t             once = PTHREAD_ONCE_INIT;

/* ---- slots ---- */

static bool is_alive(uint64_t id)
{
    for (const epoch *e = registry.first; e; e = e->next)
        if (e->id == id) return true;
    return false;
}

static void release_slots(void *arg)
{
    thread_slots *t = arg;
    pthread_mutex_lock(&registry.mu);
    for (size_t i = 0; i < t->n; i++)
        if (is_alive(t->held[i].id)) t->held[i].slot->taken = false;
    pthread_mutex_unlock(&registry.mu);
    free(t->held);
    *t = (thread_slots){ 0 };
}

static void make_key(void) { have_thread_end = pthread_key_create(&thread_end, release_slots) == 0; }

/* Room for one more held slot; those of epochs that are gone are forgotten. registry.mu held. */
static bool make_room(thread_slots *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++)
        if (is_alive(t->held[i].id)) t->held[kept++] = t->held[i];
    t->n = kept;
    if (t->n < t->cap) return true;
    size_t     cap = t->cap ? 2 * t->cap : 4;
    held_slot *more = realloc(t->held, cap * sizeof *more);
    if (!more) return false;
    t->held = more;
    t->cap = cap;
    return true;
}

static slot *take_slot(epoch *e)
{
    slot *s = atomic_load_explicit(&e->slots, memory_order_acquire);
    while (s && s->taken) s = s->next;
    if (!s) {
        s = aligned_alloc(_Alignof(slot), sizeof *s);
        if (!s) return NULL;
        atomic_init(&s->entered, 0);
        s->depth = 0;
        s->next = atomic_load_explicit(&e->slots, memory_order_acquire);
        atomic_store_explicit(&e->slots, s, memory_order_seq_cst);
    }
    s->taken = true;
    return s;
}

static slot *known_slot(const epoch *e)
{
    for (size_t i = 0; i < mine.n; i++)
        if (mine.held[i].id == e->id) {
            mine.recent = mine.held[i];
            return mine.recent.slot;
        }
    return NULL;
}

/* NULL: no memory. */
static slot *new_slot(epoch *e)
{
    pthread_once(&once, make_key);
    if (!have_thread_end || pthread_setspecific(thread_end, &mine) != 0) return NULL;
    pthread_mutex_lock(&registry.mu);
    slot *s = make_room(&mine) ? take_slot(e) : NULL;
    if (s) mine.held[mine.n++] = mine.recent = (held_slot){ e->id, s };
    pthread_mutex_unlock(&registry.mu);
    return s;
}

/* ---- readers ---- */

void epoch_enter(epoch *e)
{
    slot *s = mine.recent.id == e->id ? mine.recent.slot : known_slot(e);
    if (!s) s = new_slot(e);
    if (!s)
        atomic_fetch_add(&e->strangers, 1);
    else if (s->depth++ == 0)
        atomic_store(&s->entered, atomic_load(&e->now));
}

void epoch_exit(epoch *e)
{
    slot *s = mine.recent.id == e->id ? mine.recent.slot : known_slot(e);
    if (s && s->depth > 0) {
        if (--s->depth == 0) atomic_store_explicit(&s->entered, 0, memory_order_release);
    } else {
        uint32_t strangers = atomic_fetch_sub(&e->strangers, 1);
        assert(strangers > 0);
        (void)strangers;
    }
}

static bool is_inside(const epoch *e)
{
    const slot *s = mine.recent.id == e->id ? mine.recent.slot : known_slot(e);
    return s && s->depth > 0;
}

/* ---- retiring ---- */

/* What is tagged below this can be released. */
static uint64_t safe_before(epoch *e)
{
    uint64_t least = UINT64_MAX;
    if (atomic_load(&e->strangers) > 0) return 0;
    for (const slot *s = atomic_load(&e->slots); s; s = s->next) {
        uint64_t entered = atomic_load(&s->entered);
        if (entered > 0 && entered < least) least = entered;
    }
    return least;
}

void epoch_collect(epoch *e)
{
    pthread_mutex_lock(&e->mu);
    retired *done = NULL, **end = &done;
    if (e->oldest) {
        uint64_t before = safe_before(e);
        while (e->oldest && e->oldest->tag < before) {
            *end = e->oldest;
            end = &e->oldest->next;
            e->oldest = *end;
        }
        if (!e->oldest) e->end = &e->oldest;
        *end = NULL;
    }
    pthread_mutex_unlock(&e->mu);
    while (done) {
        retired *r = done;
        done = r->next;
        r->release(r->arg);
        free(r);
    }
}

bool epoch_retire(epoch *e, void (*release)(void *arg), void *arg)
{
    assert(!is_inside(e));
    retired *r = malloc(sizeof *r);
    if (!r) {
        uint64_t tag = atomic_fetch_add(&e->now, 1);
        while (safe_before(e) <= tag) nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
        release(arg);
        return false;
    }
    *r = (retired){ .release = release, .arg = arg };
    pthread_mutex_lock(&e->mu);
    r->tag = atomic_fetch_add(&e->now, 1);
    *e->end = r;
    e->end = &r->next;
    pthread_mutex_unlock(&e->mu);
    epoch_collect(e);
    return true;
}

/* ---- making and freeing ---- */

epoch *epoch_new(void)
{
    epoch *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    if (pthread_mutex_init(&e->mu, NULL) != 0) {
        free(e);
        return NULL;
    }
    atomic_init(&e->now, 1);
    e->end = &e->oldest;
    pthread_mutex_lock(&registry.mu);
    e->id = ++registry.last_id;
    e->next = registry.first;
    registry.first = e;
    pthread_mutex_unlock(&registry.mu);
    return e;
}

void epoch_free(epoch *e)
{
    if (!e) return;
    assert(safe_before(e) == UINT64_MAX);
    epoch_collect(e);
    assert(!e->oldest);
    pthread_mutex_lock(&registry.mu);
    epoch **at = &registry.first;
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    pthread_mutex_unlock(&registry.mu);
    for (slot *s = atomic_load(&e->slots), *next; s; s = next) {
        next = s->next;
        free(s);
    }
    pthread_mutex_destroy(&e->mu);
    free(e);
}
