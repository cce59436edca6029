/* Records that are read again and again, by key: what is found here needs no search of memtables and tables.
 *
 * A table of slots of a fixed size, two of which make a set; a key belongs to one set by its hash. A record is taken in when its key
 * is asked for a second time with no other key of its set in between, so reading everything once does not wash out what is hot;
 * one that does not fit into a slot stays outside.
 *
 * Nothing is ever removed when a key changes: a slot is good only while its key's stripe has the version (stripes.h) it had when the
 * record was read, and whoever commits raises the versions of its stripes before its batch can be seen. So a reader who gets here what
 * was replaced could have got it from the engine at that moment.
 *
 * Any thread. A slot that another thread has is as good as empty: nobody waits. */
#ifndef CHR_OBJECT_HOT_H
#define CHR_OBJECT_HOT_H

#include "base/bytes.h"

typedef struct hot hot;

hot *hot_new(size_t bytes); /* NULL: no memory, or too few bytes to be of use; then it goes without */
void hot_free(hot *h);

typedef void hot_visit_fn(void *arg, slice record);
/* Calls `visit` with the record and tells its seq if it is here, was read at this version of its stripe, and is not newer than
 * `newest`. The visit is short and does not come back here. `h` may be NULL. */
void hot_prefetch(const hot *h, uint64_t hash);
bool hot_visit(hot *h, uint64_t hash, slice key, uint64_t version, uint64_t newest, hot_visit_fn *visit, void *arg,
               uint64_t *seq);
/* Offers the record of a key, as the engine tells it; `version` is from before it was asked, when the stripe was free. If it is taken
 * in, hot_settle must follow, soon and in the same thread, with its seq (0: it is not to be kept after all). */
typedef struct hot_slot hot_slot;
hot_slot *hot_offer(hot *h, uint64_t hash, slice key, uint64_t version, slice record); /* NULL: not taken in */
void      hot_settle(hot_slot *s, uint64_t seq);

#endif
