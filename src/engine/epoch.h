/* Epochs: readers mark that they are reading, and what they may be looking at is freed only after they have
 * gone. A reader writes to its own cache line only.
 *
 *     epoch_enter(e);  p = atomic_load(&current);  ... read *p ...  epoch_exit(e);      (the load is seq_cst too)
 *
 * enter/exit nest within a thread. Between them a thread must not block for long: memory piles up. Whoever retires
 * something has replaced the pointer to it by a seq_cst store before. */
#ifndef CHR_ENGINE_EPOCH_H
#define CHR_ENGINE_EPOCH_H

#include <stdbool.h>

typedef struct epoch epoch;

epoch *epoch_new(void);      /* NULL: no memory */
void   epoch_free(epoch *e); /* no reader inside; frees everything retired */
void   epoch_enter(epoch *e);
void   epoch_exit(epoch *e);
/* Calls release(arg) as soon as every reader that was inside has left; perhaps at once, perhaps in a later call
 * of epoch_retire or epoch_collect, from that caller's thread and without a lock held. False: no memory, and the
 * caller has waited for the readers and release has been called already. The caller must not be inside itself. */
bool epoch_retire(epoch *e, void (*release)(void *arg), void *arg);
/* Releases what can be released. Called by background threads now and then. */
void epoch_collect(epoch *e);

#endif
