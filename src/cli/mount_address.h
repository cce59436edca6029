/* Where a mount's keys are: a directory, or a server. */
#ifndef CHR_CLI_MOUNT_ADDRESS_H
#define CHR_CLI_MOUNT_ADDRESS_H

#include "fs/mount.h"

/* "HOST:PORT" or "unix:PATH", and nothing of that name is there. */
bool is_server_address(const char *text);
/* With what the mount options say of the connection. Who one is comes from their file `auth`, or else from CHRONOS_AUTH. */
chr_status mount_address(const char *text, const mount_options *options, remote_options *to);

#endif
