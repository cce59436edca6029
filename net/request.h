/* A command under way, and the ways to answer it. One set of reply functions serves RESP2, RESP3 and the line protocol.
 *
 * A handler runs on a reactor, or on a worker if it may take long; it sees only its request. What it answers goes to
 * `out`, together with the newest seq that the answer depends on: the connection sends it once that is acknowledged. */
#ifndef CHR_NET_REQUEST_H
#define CHR_NET_REQUEST_H

#include "net/identity.h"
#include "net/parse.h"
#include "object/store.h"

#include <stdatomic.h>

typedef struct server      server;
typedef struct command     command;
typedef struct transaction transaction;
typedef struct subscriber  subscriber;

typedef enum topic_kind { TOPIC_CHANNEL, TOPIC_PATTERN, TOPIC_KINDS } topic_kind;

typedef enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_RESP, PROTOCOL_LINE } protocol;

/* What commands may read and change of the connection they came by. */
typedef struct session {
    uint64_t     id;
    protocol     protocol;
    _Atomic(int) resp;    /* 2 or 3 */
    bool         closing; /* after what was answered so far */
    buf          name;    /* changed with the reactor's mu held: others list it */
    char         address[64];
    bool         mute, mute_this, mute_next; /* of CLIENT REPLY: replies are dropped */

    bool     caching; /* CLIENT CACHING YES or NO came before this command */
    identity user;    /* changed with the reactor's mu held */

    /* For those who list connections. */
    int64_t                  created_ms;
    _Atomic(int64_t)         active_ms;
    _Atomic(const command *) last_command;
    _Atomic(int)             queued; /* since MULTI; -1: there was none */
    _Atomic(uint32_t)        subscriptions[TOPIC_KINDS];
    atomic_bool              monitors;          /* it is told of every command */
    _Atomic(unsigned)        tracking;          /* TRACK_*; 0: it does not */
    _Atomic(uint64_t)        tracking_redirect; /* 0: to itself */

    transaction *transaction; /* of MULTI or WATCH, or NULL */
    subscriber  *subscriber;  /* to channels, or NULL */
} session;

typedef struct request {
    struct call_table *counts; /* of the reactor that runs it; NULL on a worker */
    server            *server;
    store             *store;
    session           *session;
    const command     *command;
    const slice       *args;
    size_t             n;
    buf               *out;
    uint64_t           seq; /* the answer depends on it; raised by request_saw */
    bool               on_worker;
    bool               whole;     /* its reply must be complete when it returns: it is one of an EXEC */
    bool               deferred;  /* a reactor's handler wants to run again on a worker; nothing was answered */
    bool               failed;    /* an error was answered */
    bool               no_memory; /* the reply could not be written: the connection is closed */
    void              *rest;      /* of a reply in pieces, see request_goes_on; NULL: it is complete */
    void (*rest_free)(void *rest);
} request;

/* For replies of any length: a handler on a worker writes a piece, keeps what it needs for the others in `rest`, and is called
 * again, with that in r->rest, when the client has taken so much that it is worth it. All pieces depend on the first one's seq. When
 * the reply is complete, or cannot be finished (no_memory), or nobody waits for it any more, `rest` is freed. */
static inline void request_goes_on(request *r, void *rest, void (*rest_free)(void *))
{
    r->rest = rest;
    r->rest_free = rest_free;
}
static inline void request_is_complete(request *r)
{
    if (r->rest) r->rest_free(r->rest);
    r->rest = NULL;
}

static inline void request_saw(request *r, uint64_t seq)
{
    if (seq > r->seq) r->seq = seq;
}
/* True: the handler must return at once, it will be called again on a worker. */
static inline bool request_defer(request *r)
{
    r->deferred = !r->on_worker;
    return r->deferred;
}
/* A transaction on these keys; n = 0: on all. NULL: an error was written. */
txn *request_begin(request *r, const slice *keys, size_t n);
/* Commits it if `st` is CHR_OK and the request is not deferred, and drops it otherwise. False: the handler must return at once,
 * there is nothing more to answer. */
bool               request_end(request *r, txn *t, chr_status st);
static inline bool request_is_line(const request *r) { return r->session->protocol == PROTOCOL_LINE; }

void reply_ok(request *r);
void reply_text(request *r, const char *text); /* a simple string without line ends */
void reply_integer(request *r, int64_t value);
void reply_value(request *r, slice value); /* a bulk string; as it is in the line protocol */
void reply_null(request *r);
void reply_null_array(request *r);           /* where there could have been an array */
void reply_array(request *r, size_t n);      /* n replies follow */
void reply_map(request *r, size_t n);        /* n pairs follow; an array of 2n in RESP2 */
void reply_set(request *r, size_t n);        /* n replies follow; an array in RESP2 */
void reply_push(request *r, size_t n);       /* n replies follow, which answer no command */
void reply_verbatim(request *r, slice text); /* text for people */
/* `format` begins with the code: "ERR ...". */
void reply_error(request *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_wrong_arity(request *r);
/* The error that belongs to a status, with the thread's message. */
void reply_status(request *r, chr_status st);
/* Reply of a key, as it is in lists of the line protocol: one item a line. */
static inline void reply_key(request *r, slice key) { reply_value(r, key); }

/* For commands whose first argument says which. */
static inline bool arity_fits(int arity, size_t n) { return arity >= 0 ? n == (size_t)arity : n >= (size_t)-arity; }
/* The lines of HELP between the first and the last, up to NULL. */
void reply_help(request *r, const char *const *lines);
/* Its place among those of the command; -1: an error was written. */
int find_subcommand(request *r);

bool argument_is(slice arg, const char *word); /* without regard to case */
/* False: an error was written. */
bool argument_integer(request *r, slice arg, int64_t *value);
bool argument_database(request *r, slice arg); /* there is number 0 */
/* Of `size` things those from `start` to `end`, which is one of them; negative ones count from behind. False: there are none. */
bool range_within(int64_t start, int64_t end, uint64_t size, uint64_t *from, uint64_t *count);
/* Some commands find nothing in such a range even if both ends lie before the first. */
static inline bool range_is_backwards(int64_t start, int64_t end) { return start < 0 && end < 0 && start > end; }

#endif
