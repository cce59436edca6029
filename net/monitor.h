/* MONITOR: connections that are told of every command. Costs one load a command while there are none.
 *
 * Any thread. Lock: `mu`, then that of a reactor. */
#ifndef CHR_NET_MONITOR_H
#define CHR_NET_MONITOR_H

#include "net/delivery.h"

#include <pthread.h>

typedef struct monitors {
    pthread_mutex_t mu;
    conn_list       list; /* mu */
    _Atomic(size_t) count;
} monitors;

void monitors_init(monitors *m);
void monitors_free(monitors *m);
void monitors_tell(monitors *m, const request *r); /* the command has been run */
void monitors_leave(monitors *m, session *s);

#endif
