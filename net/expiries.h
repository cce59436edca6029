/* Who listens is told when a key expires: notifications (x) and CLIENT TRACKING. For everybody else a key that has expired is absent,
 * and nothing else needs to be done about it.
 *
 * While anybody wants it, a thread knows the keys that expire next: at first it goes through the store, and then it is told of each
 * that is written. When the time of a key has come, its record is deleted, which the watchers of the store hear of. Memory is
 * bounded: of too many keys only the earliest are kept, and the store is gone through again when they have expired. Any thread;
 * `mu` is held for moments only, and nothing else is asked for meanwhile. */
#ifndef CHR_NET_EXPIRIES_H
#define CHR_NET_EXPIRIES_H

#include "object/store.h"

#include <pthread.h>

typedef enum expiries_wish { EXPIRIES_NOTIFY = 1, EXPIRIES_TRACKING = 2 } expiries_wish;

typedef struct expiry {
    uint64_t ms;
    char    *key;
    size_t   len;
} expiry;

typedef struct expiries {
    store          *store;
    pthread_mutex_t wish_mu; /* of starting and stopping */
    unsigned        wishes;
    store_watch    *watch;
    pthread_t       thread;

    pthread_mutex_t mu;
    pthread_cond_t  work;
    bool            stop;
    expiry         *heap; /* the earliest first */
    size_t          n, cap;
    uint64_t        horizon; /* those from then on have been left out; UINT64_MAX: none has */
    bool            scanning;
} expiries;

void expiries_init(expiries *e, store *s);
void expiries_free(expiries *e);
/* On a worker, and not within a transaction: it waits for every transaction. */
chr_status expiries_want(expiries *e, expiries_wish who, bool wanted);

#endif
