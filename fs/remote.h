/* The connections of a mount to its server: some for requests, made when they are needed, and one by which the server says
 * what other doors change. A thread keeps that one alive, and makes it anew when it is lost. Any thread. */
#ifndef CHR_FS_REMOTE_H
#define CHR_FS_REMOTE_H

#include "object/store.h"

typedef struct remote remote;

#define REMOTE_CACHE_SECONDS 1.0

typedef struct remote_options {
    char     host[256]; /* empty: a Unix socket */
    char     port[8];
    char     path[108]; /* of the socket */
    char     user[64];
    char     password[256]; /* empty: none is asked for */
    bool     tls;
    char     tls_ca[4096]; /* a file of certificates to trust; empty: those of the system */
    uint32_t timeout_ms;   /* how long a request waits for a server that is not there */
} remote_options;

/* What the server says; on the thread of the connection, and none of them may ask the server for anything. */
typedef struct remote_events {
    /* A key was changed by another door; remote_settled is to be called for each, in their order, with this registration. */
    void (*changed)(void *arg, change_kind kind, slice key, uint64_t registration);
    /* Changes may have been missed: nothing that was known before holds any more. */
    void (*missed)(void *arg);
    void *arg;
} remote_events;

/* Connects, and fails at once if that is not possible. */
chr_status remote_open(const remote_options *options, remote **out);
/* From here on the server tells of changes. */
chr_status remote_listen(remote *r, const remote_events *events);
void       remote_settled(remote *r, uint64_t registration); /* what it told has been passed on */
/* No event comes any more, and nothing is waited for; and, once kernels know nothing any more: the same, and frees it. */
void remote_quiet(remote *r);
void remote_close(remote *r);
/* What the kernel is told now may be kept for REMOTE_CACHE_SECONDS: the server waits for us longer than that. */
bool        remote_is_fresh(remote *r);
const char *remote_address(const remote *r);
const char *remote_token(const remote *r); /* in letters and digits: by which the server knows the mount */

#endif
