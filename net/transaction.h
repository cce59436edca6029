/* What MULTI and WATCH keep of a connection: queued commands and watched keys. Used by whoever runs the connection's commands. */
#ifndef CHR_NET_TRANSACTION_H
#define CHR_NET_TRANSACTION_H

#include "net/command.h"

/* Whether the command is to be queued now instead of being run. */
bool transaction_takes(const session *s, const command *c);
bool transaction_is_open(const session *s); /* MULTI came */
/* Answers QUEUED, or an error, after which EXEC refuses. */
void transaction_queue(request *r);
/* A command that cannot be queued was answered with an error: EXEC will refuse. */
void transaction_spoil(session *s);
/* Drops commands and watched keys, and forgets them. */
void transaction_end(session *s);

#endif
