/* A connection to a running server, for the commands that talk to one. */
#ifndef CHR_CLI_REMOTE_H
#define CHR_CLI_REMOTE_H

#include "cli/commands.h"

#include <hiredis/hiredis.h>

/* Connects, and tells the server who one is: by the options, or else if the environment has CHRONOS_AUTH=NAME:PASSWORD. NULL:
 * complained. */
redisContext *remote_connect(const peer_options *server);
/* A command that is answered with text; the reply (NULL unless CHR_OK) is freed with freeReplyObject. `argument` may be NULL. */
chr_status remote_text(redisContext *c, const char *word, const char *argument, redisReply **out);
/* The number behind "NAME:" at the beginning of a line of INFO, or 0. */
double info_number(const char *info, const char *name);

#endif
