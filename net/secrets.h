/* Which arguments of a command may be shown to others than its client: not passwords. Used by MONITOR and SLOWLOG. */
#ifndef CHR_NET_SECRETS_H
#define CHR_NET_SECRETS_H

#include "net/command.h"

/* The argument, or "(redacted)". */
slice secrets_shown(const request *r, size_t i);

#endif
