/* LATENCY: what took longer than latency-monitor-threshold, and when. Any thread. */
#ifndef CHR_NET_LATENCY_H
#define CHR_NET_LATENCY_H

#include "net/request.h"

#include <pthread.h>

enum { LATENCY_SAMPLES = 160 };

typedef enum latency_event {
    LATENCY_COMMAND,
    LATENCY_FAST_COMMAND, /* one that Redis calls fast */
    LATENCY_STALL,        /* how long writers were held up within a second, since compaction lags behind */
    LATENCY_SYNC,         /* how long a sync of the log took, the mean of a second */
    LATENCY_EVENTS
} latency_event;

typedef struct latency_series {
    struct {
        int64_t  at_s;
        uint64_t ms;
    } samples[LATENCY_SAMPLES]; /* a ring */
    size_t   next, n;
    uint64_t max;
} latency_series;

typedef struct latency {
    pthread_mutex_t mu;
    latency_series  of[LATENCY_EVENTS]; /* mu */
    int64_t         looked_ms;          /* mu, as what follows: what the engine had counted then */
    uint64_t        stall_us, syncs, sync_us;
} latency;

void latency_init(latency *l);
void latency_free(latency *l);
void latency_note(server *s, latency_event e, uint64_t ms); /* ignored if it is below the threshold */
/* Now and then: asks the engine what it has waited for. */
void latency_look(server *s, int64_t now_ms);

#endif
