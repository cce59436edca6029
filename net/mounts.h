/* Mounts on other machines, which are told of changes before those are acknowledged.
 *
 * A mount is known by its token, from FSWATCH on, until the connection that said so ends. The names that it asks for are
 * noted; a change of one of them, or of what is below it, is sent to it, and held back from being acknowledged until it says
 * that its kernel has forgotten what it knew (FSSETTLED), or MOUNT_LEASE_MS are over: then it is closed, and what its
 * kernel knows is by then too old to be used (fs/remote.c). One whose connection ends without FS BYE is waited for in the
 * same way, since its kernel may not know yet. Its own changes are not sent to it.
 *
 * Any thread. Lock: `mu`, then that of a reactor; the watcher of the store takes it, with a stripe locked. */
#ifndef CHR_NET_MOUNTS_H
#define CHR_NET_MOUNTS_H

#include "net/delivery.h"

#include <pthread.h>

enum { MOUNT_LEASE_MS = 2000 };

typedef struct far_mount far_mount;

typedef struct mounts {
    server         *server;
    pthread_mutex_t watch_mu; /* of installing `watch` */
    store_watch    *watch;    /* from the first FSWATCH on */
    pthread_t       lessor;   /* the same: it closes those that do not answer */
    pthread_mutex_t mu;
    pthread_cond_t  sent, settled; /* something was sent; something was settled, or a mount is gone */
    bool            stopping;
    far_mount      *all;
    uint64_t        registrations;
    _Atomic(size_t) count;
} mounts;

void mounts_init(mounts *m, server *s);
void mounts_free(mounts *m); /* no connection is left */

/* On a worker. Takes the place of an earlier connection of the same mount. */
chr_status mounts_watch(mounts *m, session *s, slice token, uint64_t *registration);
void       mounts_leave(mounts *m, const session *s); /* the connection ends */
void       mounts_forget(mounts *m, slice token);     /* its kernel knows nothing any more */
void       mounts_settled(mounts *m, const session *s, uint64_t registration, uint64_t n);
/* Notes that its kernel may know these keys from now on. False: the mount is not known. */
bool mounts_note(mounts *m, slice token, const slice *keys, size_t n);
/* For txn_set_origin. NULL: the mount is not known. To be given back. */
const void *mounts_origin(mounts *m, slice token);
void        mounts_give_back(mounts *m, const void *origin);

#endif
