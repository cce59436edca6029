/* TLS for a client that knows nothing of it: hiredis talks to a socket in this process, and a thread passes what comes on. */
#ifndef CHR_CLI_TUNNEL_H
#define CHR_CLI_TUNNEL_H

#include <hiredis/hiredis.h>

/* Shakes hands over a connection, which it takes, and returns the one to talk to. The server's certificate must be good for `host` and
 * vouched for by the file `ca`, or, if that is NULL, by the system's. NULL: complained. */
redisContext *tunnel_through(redisContext *plain, const char *host, const char *ca);

#endif
