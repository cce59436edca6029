/* What was refused to whom, for ACL LOG: the last ones, the same thing of a minute counted together. Never a password. Any thread. */
#ifndef CHR_NET_ACL_LOG_H
#define CHR_NET_ACL_LOG_H

#include "net/rights.h"

#include <pthread.h>

enum { ACL_LOG_MAX = 128 };

typedef struct acl_entry {
    const char *reason; /* "command", "key", "channel", "auth" */
    bool        in_multi;
    buf         object, client;
    char        user[USER_NAME_MAX + 1];
    int64_t     at_ms; /* of server_clock_ms */
    uint64_t    count;
} acl_entry;

typedef struct acl_log {
    pthread_mutex_t mu;
    acl_entry       at[ACL_LOG_MAX]; /* the newest first */
    size_t          n;
} acl_log;

void acl_log_init(acl_log *l);
void acl_log_free(acl_log *l);
/* By whoever runs the request. `what` is the key or channel that was in the way. */
void acl_log_denied(const request *r, verdict why, slice what);
/* A wrong password; `user` "": of nobody who is known. */
void acl_log_auth(const request *r, const char *user);
/* Of ACL: */
void acl_log_command(request *r);

#endif
