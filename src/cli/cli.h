/* The inside of chronos cli: cli.c and its modes. One thread. */
#ifndef CHR_CLI_CLI_H
#define CHR_CLI_CLI_H

#include "cli/commands.h"

#include <hiredis/hiredis.h>

typedef enum reply_format {
    FORMAT_PLAIN,
    FORMAT_PRETTY, /* for a person at a terminal */
    FORMAT_JSON,
} reply_format;

typedef struct client {
    const cli_options *options;
    redisContext      *connection; /* NULL: there is none */
    reply_format       format;
    bool               pages; /* long replies go to a pager */
} client;

/* What became of a command. */
typedef enum outcome { ANSWERED, ANSWERED_ERROR, NO_ANSWER } outcome;
int exit_status_of(outcome result);

/* Makes a connection if there is none, or none any more. False: complained. */
bool client_connect(client *c);
void client_disconnect(client *c);
/* Runs a command and prints the reply. */
outcome client_run(client *c, int count, const char **word, const size_t *len);
/* The reply of a command as text; false: no memory. */
bool client_append(const client *c, buf *to, const redisReply *reply, const char *const *word, int count);
/* SUBSCRIBE, MONITOR: more replies follow without being asked for. */
bool    is_listening_command(const char *name);
outcome client_listen(client *c); /* prints them, until the connection ends */
/* CLIENT REPLY OFF and SKIP: the reply that one would wait for never comes. True: complained. */
bool is_refused_command(const char *const *word, int count);
/* QUIT, SHUTDOWN: the connection ends with it. */
bool is_last_command(const char *name);

int run_pipe(client *c);     /* cli_pipe.c: commands from stdin */
int run_terminal(client *c); /* cli_terminal.c */
int run_bigkeys(client *c);  /* cli_survey.c */
int run_stat(client *c);

#endif
