/* All connections of a server, seen from any thread: listing, closing and pausing them. */
#ifndef CHR_NET_CLIENTS_H
#define CHR_NET_CLIENTS_H

#include "net/conn.h"

typedef struct client_filter {
    int64_t     id; /* 0: any, and so on */
    slice       address;
    const char *type; /* "normal", "pubsub" */
    int64_t     but_id;
    slice       user; /* that was authenticated */
} client_filter;

/* One line for each connection, as CLIENT LIST has it; `only` may be NULL. */
void        clients_list(server *s, const client_filter *only, buf *text);
void        clients_describe(conn *c, buf *text);                /* one of them, without the end of the line */
size_t      clients_kill(server *s, const client_filter *which); /* how many; they are closed soon */
const char *clients_user(const session *s);                      /* of which user it is; "": of none yet */
void        clients_recheck(server *s); /* users have changed: those who may not be here any more are closed soon */
/* NULL: there is none; it may be dead as soon as this returns, but for who holds up tracking_leave. */
conn *clients_find(server *s, uint64_t id);
/* False, and an error was written: not a name. */
bool client_set_name(request *r, slice name);

/* Commands are not begun before `until_ms` of server_clock_ms, or only writes are not. */
void clients_pause(server *s, int64_t until_ms, bool writes_only);
bool clients_are_paused(server *s, const command *c);

/* By the reactor, now and then: closes who is to be closed or has been idle or slow for too long, and lets those go on who were
 * paused. Returns the milliseconds until it wants to be called again. */
int clients_look_after(reactor *r);

#endif
