/* A cursor over one level below 0: its tables one behind the other, each opened when the cursor comes to it. */
#ifndef CHR_ENGINE_LEVEL_ITER_H
#define CHR_ENGINE_LEVEL_ITER_H

#include "engine/version.h"

/* `tables` (disjoint, in key order) and what they name outlive it. NULL: no memory. */
iter *level_iter_new(table_ref *const *tables, size_t count, table_access access);

#endif
