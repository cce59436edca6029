/* chronos stats --watch: what a running server does, drawn anew each second, until q or Ctrl-C. One thread. */
#ifndef CHR_CLI_WATCH_H
#define CHR_CLI_WATCH_H

#include "cli/commands.h"

/* An exit status. Needs a terminal, which is afterwards as it was. */
int watch_server(const peer_options *server);

/* The screen for what INFO said `seconds` ago and says now, in lines that end in \n. `before` is NULL at first: then
 * there are no rates. False: no memory. */
bool watch_frame(buf *to, const peer_options *server, const char *before, const char *now, double seconds);

#endif
