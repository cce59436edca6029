/* Leaving the terminal: for `chronos mount`, which returns while its child serves on. */
#ifndef CHR_CLI_BACKGROUND_H
#define CHR_CLI_BACKGROUND_H

#include "base/status.h"

/* Makes / the working directory and the calling process a session of its own, without stdin and stdout; what it writes to
 * stderr from now on goes to the system log, passed on by a thread. */
chr_status background_enter(void);
/* Waits until the system log has the last line; does nothing if background_enter did not succeed. */
void background_leave(void);

#endif
