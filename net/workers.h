/* Threads for what takes long, so that reactors never do. A job has its own copy of the command's arguments. */
#ifndef CHR_NET_WORKERS_H
#define CHR_NET_WORKERS_H

#include "net/conn.h"

typedef struct workers workers;

struct job {
    job     *next;
    conn    *conn; /* not to be touched by the worker, but for its session */
    request  request;
    buf      bytes; /* of the arguments */
    slice   *args;
    buf      out;
    uint64_t ns;    /* that it has run */
    bool     noted; /* the connection knows of its reply, of which this is a further piece */
};

/* NULL: no memory. Copies the arguments. */
job *job_new(conn *c, const request *r);
void job_free(job *j);

workers *workers_start(unsigned threads); /* NULL: no memory or no thread */
void     workers_add(workers *w, job *j); /* a connection has at most one, so the queue is bounded */
void     workers_stop(workers *w);        /* finishes what is queued */

#endif
