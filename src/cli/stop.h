/* Why and when a serving process ends. A thread of its own takes SIGTERM, SIGINT and SIGHUP, so that a second SIGINT ends
 * the process at once whatever the main thread is busy with. */
#ifndef CHR_CLI_STOP_H
#define CHR_CLI_STOP_H

#include "base/status.h"

#include <pthread.h>
#include <signal.h>

typedef struct stop {
    pthread_mutex_t lock;
    pthread_cond_t  asked;
    const char     *why; /* under `lock`; NULL until asked */
    sigset_t        signals;
    pthread_t       listener;
} stop;

/* Blocks the signals in the calling thread and so in all that it starts from now on: call it before there are any.
 * `s` stays in place until stop_end. SIGPIPE is ignored from here on. */
chr_status stop_begin(stop *s);
/* From any thread; waits for nobody. The first reason counts; `why` must live on. */
void stop_ask(stop *s, const char *why);
/* Blocks until somebody asks, and returns why. */
const char *stop_wait(stop *s);
void        stop_end(stop *s);

#endif
