/* What remote.c, remote_read.c and remote_txn.c share. */
#ifndef CHR_FS_REMOTE_INTERNAL_H
#define CHR_FS_REMOTE_INTERNAL_H

#include "fs/remote_link.h"
#include "fs/remote_store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LINKS_MAX = 32, LINKS_KEPT = 4 };

/* What was found about a key in this request of the kernel. */
typedef struct finding {
    uint64_t    hash;
    slice       key;
    uint8_t     asked, found; /* WIRE_* */
    uint64_t    version[2];   /* by space */
    object_meta meta[2];
} finding;

struct remote {
    remote_options options;
    char           address[300];
    char           token[2 * WIRE_TOKEN_BYTES + 1];
    remote_events  events;
    pthread_t      thread;
    bool           has_thread;
    int            wake_fd;

    pthread_mutex_t mu;      /* of what follows */
    pthread_cond_t  changed; /* up, stopping */
    bool            up, stopping;
    uint64_t        generation; /* how often it has been up */
    int64_t         down_since_ms;
    uint64_t        run; /* of the server; another one at each start of it */
    remote_link    *idle[LINKS_KEPT], *busy[LINKS_MAX];
    size_t          n_idle;
    int64_t         clock_ns; /* how much the server's clock is ahead */
    uint32_t        uid, gid;

    uint64_t registration;
    uint64_t unsettled, settled; /* of what the server has told: not passed on; passed on, and not yet said so */
    int64_t  since_ms;           /* heard_ms when the oldest unsettled one came, or before */

    _Atomic(int64_t) heard_ms; /* when that was sent which the server answered last; 0: it is not up */

    remote_link *ears; /* of the thread, or before there is one */

    /* With the mount's mu held: */
    finding *findings;
    size_t   n_findings, cap_findings;
    uint64_t commits; /* numbers of them */
    unsigned conflicts;
    bool     conflict;
};

/* An answer of the server. The payload is valid until the reply is freed. */
typedef struct answer {
    redisReply *reply;
    slice       payload;
} answer;
static inline void answer_free(answer *a) { freeReplyObject(a->reply); }

/* Asks, again and again if connections are lost. CHR_OK: `a` is to be freed. Of the server's own errors, *code is the first byte
 * of the reply. Any thread. */
chr_status remote_ask(remote *r, const slice *args, size_t n, answer *a, uint8_t *code);
chr_status remote_malformed(void); /* what the server has answered */
void       findings_free(remote *r);
/* As remote_stat, with the object's version: 0 if it is not there. */
chr_status remote_txn_look(remote *r, object_space space, slice key, object_meta *meta, uint64_t *version);

#endif
