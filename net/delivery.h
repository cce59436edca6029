/* What connections are told without having asked: published messages, the lines of MONITOR, invalidations.
 *
 * Whoever has something to tell, on whatever thread, puts a delivery into the inbox of the connection's reactor; only the
 * reactor touches the connection. The caller sees to it that the connection is alive: it is in a list that it leaves, under
 * the list's lock, before it dies (conn_retire). What waits for a connection is bounded; one that misses something is
 * closed, so that it knows. */
#ifndef CHR_NET_DELIVERY_H
#define CHR_NET_DELIVERY_H

#include "net/conn.h"

enum { MESSAGE_PARTS = 3 };

typedef struct message message;
/* Writes it as that connection is to see it, or nothing. On the reactor. */
typedef void message_say_fn(request *r, const message *m);

/* One for all that get it. */
struct message {
    _Atomic(size_t) users;
    uint64_t        seq; /* nobody sees it before that is acknowledged */
    message_say_fn *say;
    bool            after_reply; /* never before the reply of the command that runs now */
    slice           parts[MESSAGE_PARTS];
    char            bytes[];
};

struct delivery {
    delivery *next;
    conn     *to;
    message  *message;
};

/* Copies the parts, up to MESSAGE_PARTS; one with NULL data stays that. NULL: no memory. */
message *message_new(message_say_fn *say, const slice *parts, size_t n, uint64_t seq);
void     message_release(message *m);
/* False: the connection is too slow, and will be closed. `m` NULL: there was no memory for it, so it is closed, too. */
bool message_send(conn *c, message *m);

/* By the reactor: hands it to the connection, if that lives, and frees it. */
void delivery_finish(delivery *d);
void delivery_drop(delivery *d); /* undelivered */

/* Connections that all get the same. */
typedef struct conn_list {
    conn **at;
    size_t n, cap;
} conn_list;
bool conn_list_add(conn_list *l, conn *c); /* false: no memory */
void conn_list_remove(conn_list *l, const conn *c);

#endif
