/* What can be found wrong before anything is created or changed. Each returns CHR_OK, or CHR_INVALID with a sentence that
 * says what is wrong and what to do. They are for the sake of the user only: what they look at may change right after,
 * so those that do the work check again. */
#ifndef CHR_CLI_PRECHECK_H
#define CHR_CLI_PRECHECK_H

#include "base/status.h"

#include <limits.h>

/* A directory that holds a store, or (if `may_create`) in which one can be made. */
chr_status precheck_store(const char *dir, bool may_create);
/* A directory that is there and empty, or a mount that a dead server left behind, and is not mixed up with the store's (NULL:
 * that is elsewhere). */
chr_status precheck_mount_point(const char *path, const char *dir);
/* "ADDR:PORT" can be listened on; beyond this machine only if `allow_remote`. */
chr_status precheck_listen(const char *address, bool allow_remote);
/* The same of a socket that listens already. */
chr_status precheck_socket_passed(int fd, bool allow_remote);

/* `path` from / on. False: it would be too long. */
bool absolute_path(const char *path, char absolute[PATH_MAX]);

#endif
