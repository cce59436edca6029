/* Channels, patterns and their subscribers; and notifications of changed keys, which are published like everything else.
 *
 * Messages go as net/delivery.h has it. Locks: `mu`, then that of a reactor; nothing else is asked for while they are
 * held, so a watcher of the store may publish. */
#ifndef CHR_NET_PUBSUB_H
#define CHR_NET_PUBSUB_H

#include "net/delivery.h"

#include <pthread.h>

typedef struct pubsub {
    pthread_mutex_t   mu;
    void             *topics[TOPIC_KINDS]; /* trees of tsearch; mu */
    _Atomic(size_t)   counts[TOPIC_KINDS];
    store            *store;
    struct expiries  *expiries;
    pthread_mutex_t   notify_mu; /* of changing `watch` */
    store_watch      *watch;
    _Atomic(unsigned) notify; /* NOTIFY_* */
} pubsub;

void pubsub_init(pubsub *p, store *s, struct expiries *e);
void pubsub_free(pubsub *p); /* nobody is subscribed any more */

/* By the thread of the connection. */
chr_status pubsub_subscribe(pubsub *p, session *s, topic_kind kind, slice name);
void       pubsub_unsubscribe(pubsub *p, session *s, topic_kind kind, slice name);
void       pubsub_leave(pubsub *p, session *s); /* everything */
size_t     pubsub_count(const session *s);      /* of channels and patterns; any thread */
/* Calls for the names of what the session is subscribed to; `fn` may not change it. */
typedef void pubsub_name_fn(void *arg, slice name);
void         pubsub_each_own(const session *s, topic_kind kind, pubsub_name_fn *fn, void *arg);
/* Subscribed and speaking RESP2: what it is sent and replies could not be told apart, so few commands are allowed. */
static inline bool pubsub_is_bound(const session *s)
{
    return s->resp == 2 && s->protocol == PROTOCOL_RESP && pubsub_count(s) > 0;
}

/* How many got it. They see it when `seq` is acknowledged. */
int64_t pubsub_publish(pubsub *p, slice channel, slice payload, uint64_t seq);
void   pubsub_each_channel(pubsub *p, pubsub_name_fn *fn, void *arg); /* with mu held: it must not call anything here */
size_t pubsub_subscribers(pubsub *p, slice channel);

/* notify-keyspace-events: the characters of Redis. False: there is an unknown one among them. */
bool notify_parse(slice text, unsigned *flags);
void notify_format(unsigned flags, buf *text);
/* What its changes are called, for txn_set_cause; NULL: set and del. */
const void *notify_events_of(const command *c);
/* On a worker: it waits for every transaction. */
chr_status notify_set(pubsub *p, unsigned flags);

#endif
