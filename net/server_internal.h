/* The inside of a server, shared by net/server.c, conn.c, workers.c and the commands that describe it. */
#ifndef CHR_NET_SERVER_INTERNAL_H
#define CHR_NET_SERVER_INTERNAL_H

#include "net/acl_log.h"
#include "net/calls.h"
#include "net/command.h"
#include "net/conn.h"
#include "net/cursors.h"
#include "net/expiries.h"
#include "net/latency.h"
#include "net/monitor.h"
#include "net/mounts.h"
#include "net/pubsub.h"
#include "net/server.h"
#include "net/settings.h"
#include "net/slowlog.h"
#include "net/tls.h"
#include "net/tracking.h"
#include "net/workers.h"

#include <stdatomic.h>

enum { REACTORS_MAX = 64 };

/* One thread with its own epoll; owns the connections it accepted. */
typedef struct reactor {
    server         *server;
    pthread_t       thread;
    int             epoll_fd;
    int             door_fds[SERVER_DOORS_MAX]; /* listen, as the server's doors say; -1: none */
    int             wake_fd;                    /* an eventfd: acknowledged writes, finished jobs, stopping */
    atomic_bool     woken;                      /* the eventfd has been written and not yet read */
    atomic_bool     asked;                      /* whether it breathes, and did not answer yet */
    conn           *conns;                      /* list; changed with mu held, so that others may read it */
    conn           *held;                       /* those with replies that wait for acknowledgement; list */
    atomic_bool     awaits_ack;                 /* there are such */
    pthread_mutex_t mu;
    job            *finished;           /* by workers; mu */
    delivery       *inbox, **inbox_end; /* published to subscribers here, oldest first; mu */
    conn           *dead;               /* closed in this turn, freed at its end */
    atomic_bool     look_now;           /* at all connections, without waiting for the time to come */
    int64_t         next_look_ms, now_ms;
    uint64_t        ticks; /* when the command that runs began */
    call_table      calls; /* changed by this thread only */
} reactor;

/* What clients come in by. */
struct door {
    char        address[160];
    const char *socket_path; /* in `address`, if it is a socket file of ours; removed at the end */
    tls        *tls;         /* NULL: none */
};

struct server {
    store            *store;
    server_options    options;
    door              doors[SERVER_DOORS_MAX];
    size_t            n_doors;
    tls              *tls; /* NULL: none */
    int64_t           started_ms;
    char              run_id[41]; /* another one at each start */
    reactor           reactors[REACTORS_MAX];
    unsigned          n_reactors;
    workers          *workers;
    cursors           cursors;
    expiries          expiries;
    pubsub            pubsub;
    monitors          monitors;
    tracking          tracking;
    mounts            mounts;
    slowlog           slowlog;
    latency           latency;
    calls             calls;
    settings          settings;
    struct users     *users; /* NULL: everybody may do everything */
    acl_log           acl_log;
    atomic_bool       stopping;
    _Atomic(uint64_t) acks;            /* how often something was acknowledged */
    _Atomic(int64_t)  saved_ms;        /* when the last checkpoint was made; before the first, the start */
    _Atomic(int64_t)  paused_until_ms; /* of server_clock_ms; 0: never */
    atomic_bool       pause_writes_only;
    _Atomic(uint64_t) next_id, clients, connections, rejected;
};

const char *server_port(const server *s); /* the first without TLS; "0": there is none */
chr_status  server_listen(server *s);     /* net/listen.c: opens all that the options name */
int64_t     server_clock_ms(void);        /* never goes back */
void        reactor_wake(reactor *r);

#endif
