/* Replies of a server as text: the way redis-cli shows them on a terminal, or plain for a program that reads them. */
#ifndef CHR_CLI_REPLY_H
#define CHR_CLI_REPLY_H

#include "base/bytes.h"

#include <hiredis/hiredis.h>

/* Types, quotes and numbered lists. False: no memory. */
bool reply_append_pretty(buf *to, const redisReply *reply);
/* Bytes as they are, one item a line. */
bool reply_append_plain(buf *to, const redisReply *reply);

/* A line of JSON. Bytes that are no text are {"base64":"..."}, an error {"error":"..."}. */
bool reply_append_json(buf *to, const redisReply *reply);

#endif
