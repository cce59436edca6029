/* CLIENT TRACKING: who has read what, and is told when it changes, through whatever door.
 *
 * A key is remembered before it is read, and looked up after it has changed; so a reader who has missed a change is
 * known by the time of it. When a key is said to be invalid it is forgotten, until it is read again. With BCAST there is no
 * remembering: those connections are told of all keys with their prefixes. What cannot be remembered or told closes the
 * connection, which then knows that it has missed something.
 *
 * Any thread. Lock: `mu`, then that of a reactor; nothing else is asked for while it is held, so the watcher of the store
 * may take it. */
#ifndef CHR_NET_TRACKING_H
#define CHR_NET_TRACKING_H

#include "net/delivery.h"

#include <pthread.h>

enum {
    TRACK_ON = 1,
    TRACK_BCAST = 2,
    TRACK_OPTIN = 4,
    TRACK_OPTOUT = 8,
    TRACK_NOLOOP = 16,
    TRACK_BROKEN = 32, /* the connection that messages were redirected to is gone */
};

typedef struct tracked tracked;

typedef struct tracking {
    server           *server;
    pthread_mutex_t   watch_mu; /* of installing `watch` */
    store_watch      *watch;    /* from the first CLIENT TRACKING on */
    _Atomic(size_t)   count;    /* of trackers, or more for a moment */
    pthread_mutex_t   mu;       /* of the rest */
    void             *trackers; /* by id; a tree of tsearch */
    struct tracker   *all;      /* the same in a list */
    tracked         **buckets;  /* of keys that were read */
    size_t            cursor;   /* where to drop the next key, if there are too many */
    _Atomic(uint64_t) keys, readers, prefixes;
} tracking;

void tracking_init(tracking *t, server *s);
void tracking_free(tracking *t); /* no connection is left */

/* What a connection asks for; `prefixes` are those that are new. On a worker, and not within a transaction: it may have to
 * wait for every transaction. CHR_NOT_FOUND: there is no connection `redirect`. */
chr_status tracking_on(tracking *t, session *s, unsigned flags, uint64_t redirect, const slice *prefixes, size_t n);
void       tracking_off(tracking *t, session *s);
void       tracking_leave(tracking *t, session *s); /* it dies, and nobody can redirect to it any more */
/* The prefix of the session that overlaps, copied; false: there is none. */
bool tracking_overlaps(tracking *t, const session *s, slice prefix, buf *with);
/* Calls for each prefix of the session; `fn` may call nothing here. Returns how many there are; `fn` may be NULL. */
typedef void tracking_prefix_fn(void *arg, slice prefix);
size_t       tracking_each_prefix(tracking *t, const session *s, tracking_prefix_fn *fn, void *arg);

/* The command is about to run: remembers the keys that it reads. */
void tracking_remember(const request *r);
/* The same for commands that a connection sends, which CLIENT CACHING may have been about. */
void tracking_before(const request *r);
/* There are too many keys: drops some. */
void tracking_trim(tracking *t);

/* The connection whose commands this thread runs; 0: none. Its changes are its own, see NOLOOP. */
extern _Thread_local uint64_t tracking_actor;

/* Of CLIENT: */
void client_tracking(request *r);
void client_caching(request *r);
void client_trackinginfo(request *r);
void client_getredir(request *r);

#endif
