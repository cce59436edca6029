/* One connection to a server: requests and replies of RESP, over TCP, TLS or a Unix socket. One thread at a time, but for
 * remote_link_break. */
#ifndef CHR_FS_REMOTE_LINK_H
#define CHR_FS_REMOTE_LINK_H

#include "base/bytes.h"
#include "fs/remote.h"

#include <hiredis/hiredis.h>

typedef struct remote_link remote_link;

/* Connects and tells the server who it is. CHR_INVALID: it refuses, or is not to be trusted; CHR_IO: it cannot be reached. */
chr_status remote_link_open(const remote_options *o, remote_link **out);
bool       remote_link_send(remote_link *l, const slice *args, size_t n);
/* The next reply, or NULL if none has come after `wait_ms`, or sooner if `wake_fd` (-1: none) can be read. False: the connection
 * is lost. */
bool remote_link_receive(remote_link *l, int wake_fd, int wait_ms, redisReply **reply);
/* The reply to what was sent, however long it takes. NULL: the connection is lost. */
redisReply *remote_link_ask(remote_link *l, const slice *args, size_t n);
/* From any thread: whoever sends or waits fails. */
void remote_link_break(remote_link *l);
void remote_link_close(remote_link *l);

#endif
