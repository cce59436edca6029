/* Watchers, and the acknowledgements they hold back.
 *
 * A change that is visible must not be acknowledged before every watcher has passed it on. So while there are watchers,
 * a commit first takes a hold on all seqs that its batch may get (from the last one on), applies, tells the
 * watchers, turns the hold into one per watcher that wants time, and lets go. `oldest_held` is the lowest seq held.
 *
 * The list of watchers changes only with all stripes locked, so whoever holds one may read it.
 *
 * Losing no wake-up: whoever raises `oldest_held` exchanges it and then reads the engine's acknowledged seq; whoever hears
 * of a new acknowledged seq first touches `oldest_held` by a read-modify-write. One of the two sees both. */
#ifndef CHR_OBJECT_WATCH_H
#define CHR_OBJECT_WATCH_H

#include "object/store.h"

#include <pthread.h>

enum { WATCHES_MAX = 16, LISTENERS_MAX = 1024 };

/* Seqs held back, ascending: a ring. Those with count 0 are gone; the first one never is. */
typedef struct held_seq {
    uint64_t seq;
    uint32_t count;
} held_seq;
typedef struct held_queue {
    held_seq *ring;
    size_t    first, count, capacity; /* capacity: a power of two, or 0 */
} held_queue;

typedef struct ack_listener {
    _Atomic(db_ack_fn *) fn; /* NULL: free */
    void                *arg;
} ack_listener;

typedef struct watches {
    db               *d;
    pthread_mutex_t   lock;      /* of everything up to `released` */
    held_queue        in_flight; /* of commits between their beginning and the end of telling */
    store_watch      *at[WATCHES_MAX];
    pthread_cond_t    released;
    uint32_t          count;          /* of `at`; changes only with all stripes locked */
    _Atomic(uint64_t) oldest_held;    /* UINT64_MAX: none */
    pthread_mutex_t   listeners_lock; /* for adding and removing */
    ack_listener      listeners[LISTENERS_MAX];
    _Atomic(uint32_t) listener_end; /* those from here on are free */
    _Atomic(uint32_t) telling;      /* threads that go through the listeners */
} watches;

chr_status watches_init(watches *w, db *d);
void       watches_free(watches *w);

/* For a commit, with its stripes locked and w->count != 0: before db_apply, for each change after it, and at the end
 * whether db_apply succeeded or not. */
chr_status watches_begin(watches *w, uint64_t *hold);
void       watches_tell(watches *w, const change *c);
void       watches_end(watches *w, uint64_t hold);

#endif
