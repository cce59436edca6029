/* What systemd and a service tell each other, see sd_listen_fds(3) and sd_notify(3): a few lines of environment and datagrams, which are
 * not worth a library. Without systemd nothing happens. */
#ifndef CHR_CLI_SYSTEMD_H
#define CHR_CLI_SYSTEMD_H

#include "net/server.h"

/* Puts the sockets that were passed to this process into `o`, those named "tls" as such for TLS. Called once, before there are threads; the
 * environment is cleared of them, so that no child takes them for its own. CHR_INVALID: they will not do. */
chr_status systemd_sockets(server_options *o);
/* Tells how it is: "READY=1", "STOPPING=1". Any thread. */
void systemd_notify(const char *state);

/* Tells, as often as it is asked for, that the server breathes; if it does not any more, nothing is told, and systemd restarts it. */
typedef struct watchdog watchdog;
chr_status              watchdog_start(server *srv, watchdog **out); /* NULL: nobody asks */
void                    watchdog_stop(watchdog *w);                  /* NULL is fine; before the server */

#endif
