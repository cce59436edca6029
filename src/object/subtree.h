/* Keys as the mount sees them: those below a prefix, and the names that they make there. Both spaces at once, unless said. */
#ifndef CHR_OBJECT_SUBTREE_H
#define CHR_OBJECT_SUBTREE_H

#include "object/store.h"

/* Whether any key of the space begins with `prefix`. A snapshot may be NULL: now. */
chr_status store_any_below(store *s, const store_snapshot *at, object_space space, slice prefix, bool *any);
/* Calls with what follows `prefix` in the first key of each component there, from the key `from` on (NULL data: from the
 * first): what lies below a component that has been told is passed over by seeking. False ends it. */
typedef bool store_name_fn(void *arg, slice rest);
chr_status   store_names(store *s, const store_snapshot *at, object_space space, slice prefix, slice from,
                         store_name_fn *fn, void *arg);
/* The key behind all those that begin with the first component of `rest` and a slash; `rest` has a slash. False: no memory. */
bool behind_component(slice prefix, slice rest, buf *key);

/* In a transaction that has all stripes: every object whose key begins with `from` gets a key that begins with `to` instead. */
chr_status txn_move_below(txn *t, slice from, slice to);
/* The same in both directions. */
chr_status txn_swap_below(txn *t, slice a, slice b);
/* What has times of its own remembers that it got another name. CHR_OK also if there is nothing. */
chr_status txn_stamp(txn *t, object_space space, slice key, int64_t ctime_ns);

#endif
