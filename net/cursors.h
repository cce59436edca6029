/* SCAN cursors. Clients expect a number; what we need is the key to go on from. So the last CURSORS keys are kept under
 * numbers that are given out once. Keys may come and go meanwhile: the scan goes on at the first key that is not before. A
 * cursor that has been pushed out by CURSORS newer ones is refused, rather than skipping or repeating anything. Any thread. */
#ifndef CHR_NET_CURSORS_H
#define CHR_NET_CURSORS_H

#include "base/bytes.h"

#include <pthread.h>

enum { CURSORS = 1024 };
typedef struct cursors {
    pthread_mutex_t mu;
    uint64_t        next; /* from 1 */
    buf             keys[CURSORS];
} cursors;
typedef enum cursor_state { CURSOR_START, CURSOR_FOUND, CURSOR_BAD } cursor_state;

void         cursors_init(cursors *c);
void         cursors_free(cursors *c);
uint64_t     cursors_keep(cursors *c, slice key); /* 0: no memory, which ends the scan */
cursor_state cursors_find(cursors *c, slice number, buf *key);

#endif
