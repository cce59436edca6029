/* The last commands that took long: SLOWLOG. Any thread. */
#ifndef CHR_NET_SLOWLOG_H
#define CHR_NET_SLOWLOG_H

#include "net/request.h"

#include <pthread.h>

typedef struct slow_entry slow_entry;

typedef struct slowlog {
    pthread_mutex_t mu;
    slow_entry     *newest; /* list; mu */
    size_t          n;
    uint64_t        next_id;
} slowlog;

void slowlog_init(slowlog *l);
void slowlog_free(slowlog *l);
void slowlog_add(slowlog *l, const request *r, uint64_t ns); /* unless the command is not to be logged */
void slowlog_trim(slowlog *l, size_t max);

#endif
