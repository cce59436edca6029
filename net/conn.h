/* A connection: bytes in, commands, replies out, in order.
 *
 * Replies that depend on writes which are not acknowledged yet are held: `holds` says from which byte of `out` on which seq is
 * needed. While a worker runs a command of the connection, its later ones wait. Belongs to its reactor's thread. */
#ifndef CHR_NET_CONN_H
#define CHR_NET_CONN_H

#include "net/request.h"
#include "net/tls.h"

#include <stdatomic.h>
#include <sys/epoll.h>

typedef struct reactor  reactor;
typedef struct door     door;
typedef struct job      job;
typedef struct conn     conn;
typedef struct delivery delivery;
typedef struct message  message;

enum {
    IN_FIRST = 16 * 1024,              /* bytes of a receive buffer that is kept between commands */
    IN_MAX = (512 + 32) * 1024 * 1024, /* of one command: a value at its limit and its keys */
    OUT_PAUSE = 1024 * 1024,           /* unsent bytes at which no more commands are taken from a client */
    OUT_MAX = 1024 * 1024 * 1024,      /* unsent bytes at which a client is given up */
    OUT_KEPT = 256 * 1024,
    TURN_BYTES = 1024 * 1024, /* of one client, before others get a turn */
};

typedef struct hold {
    size_t   at; /* offset in out */
    uint64_t seq;
    uint64_t replies; /* before this one, counted from the beginning of the connection */
} hold;

struct conn {
    reactor    *reactor;
    conn       *prev, *next; /* of the reactor */
    conn       *held_prev, *held_next;
    bool        is_held;
    int         fd;
    const door *door;   /* by which it came */
    tls_stream *tls;    /* or NULL */
    uint32_t    events; /* asked of epoll */
    session     session;
    buf         in;
    size_t      in_at;   /* parsed so far */
    size_t      in_need; /* more bytes than that must come before parsing is worth it */
    bool        in_end;  /* the client has closed its half */
    buf         out;
    size_t      out_at; /* sent so far */
    hold       *holds;
    size_t      n_holds, cap_holds, first_hold;
    uint64_t    replies;
    arguments   args;
    job        *job;       /* at a worker, or parked */
    bool        parked;    /* the job has more to say once the client has taken what was said */
    int64_t     parked_ms; /* since when, of server_clock_ms */
    bool        dead;
    bool        is_paused;        /* a command is here, and may not begin yet */
    int64_t     request_since_ms; /* since when a request has been incomplete; 0: none is */
    atomic_bool unwanted;         /* to be closed, says CLIENT KILL */

    /* Of subscribers: */
    _Atomic(size_t) inbox_bytes;      /* published to it and not yet taken by its reactor */
    atomic_bool     overrun;          /* it was too slow; to be closed */
    delivery       *kept, *kept_last; /* what came in the middle of a reply */
    bool            touched;          /* in a list of those that got something in this turn */
    conn           *touched_next;
    size_t          pushed;       /* bytes of messages since everything was last sent */
    int64_t         over_soft_ms; /* since when its unsent bytes have been over the soft limit; 0: they are not */
};

void conn_close(conn *c);
/* It has been sent what its socket would take, and there is more. */
static inline bool conn_is_blocked(const conn *c) { return c->events & EPOLLOUT; }
conn              *conn_new(reactor *r, int fd, const door *by);
/* Events of epoll; 0 when an acknowledgement or a worker's answer may let it go on. May end in `dead`. */
void conn_turn(conn *c, uint32_t events);
/* The first half of that, without TLS: commands are run and nothing is sent. */
void     conn_read(conn *c, uint32_t events);
void     conn_dismiss(conn *c); /* its user may not go on: closed as soon as it has its answers */
uint64_t conn_lap(conn *c);     /* nanoseconds since the last one of its reactor */
void     conn_count(conn *c, const request *r, uint64_t ns); /* a command has run, and taken so long */
/* A command has answered from offset `at` of out on, completely, and depends on `seq`. */
void conn_finish_command(conn *c, size_t at, uint64_t seq, bool no_memory);
/* Hands a command to a worker, instead of what it may have answered from `at` on. */
void conn_defer(conn *c, request *r, size_t at);
bool conn_takes_more(const conn *c); /* commands, as long as the client takes the replies */
/* Takes the job over, which has come back from its worker. */
void conn_finish_job(conn *c, job *j);
/* True: a reply is half said, or to come first, so the message is kept, and delivered after it. */
bool conn_keeps_for_later(conn *c, delivery *d);
void conn_push(conn *c, const message *m); /* the connection then wants a turn */
void conn_deliver_kept(conn *c);           /* what was kept, unless it has to wait on */
/* A reply begins at offset `at` of out, and depends on `seq`. False: no memory. */
bool conn_note_reply(conn *c, size_t at, uint64_t seq);
bool conn_flush(conn *c, bool *blocked); /* sends what may go; false: dead */
void conn_set_held(conn *c, bool held);  /* in the reactor's list of those that wait for an acknowledgement */
void conn_retire(conn *c);               /* out of the list of the reactor and without a job; bury frees it */
void conn_free(conn *c);
static inline conn *conn_of(session *s) { return (conn *)((char *)s - offsetof(conn, session)); }

#endif
