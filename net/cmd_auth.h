/* Who a connection is, and what it may do. By whoever runs the connection's commands; with --users, but for user_may_know. */
#ifndef CHR_NET_CMD_AUTH_H
#define CHR_NET_CMD_AUTH_H

#include "net/rights.h"

/* It is nobody any more, or the default user if that needs no password. */
void user_forget(session *s);
bool authenticate(request *r, slice name, slice password);

/* False: the users have changed, and it must be refreshed. */
bool user_is_current(const session *s);
/* False: it is to be closed, as Redis does, since its user is gone or it is told of what it may not hear of any more. */
bool user_refresh(session *s);

/* False: an error was written, and noted. */
bool    user_may(request *r);
verdict user_verdict(const request *r, slice *what); /* the same without saying a word; `what` may be NULL */
bool    user_may_know(const session *s, slice key);  /* that there is such a key */

#endif
