/* Garbage collection of blob files is part of compaction: values in files that are to go are copied, when their references pass
 * by, into new ones. Here it is said which files are to go, and which tables to compact for that alone.
 *
 * Dead space is kept below GARBAGE_MAX of what is alive. Beyond that, files go, the emptiest first, until those that
 * stay have no more than GARBAGE_LOW. Since copying makes only the files that go emptier, the choice stays the same until they are
 * gone. Any thread that holds the version. */
#ifndef CHR_ENGINE_BLOB_GC_H
#define CHR_ENGINE_BLOB_GC_H

#include "engine/db_impl.h"

/* The files of `v` that are to go, ascending by number; NULL with *n = 0: none. The caller frees the list. */
chr_status blob_victims(const version *v, live_blob **victims, size_t *n);
/* A compaction of one table, in its own level, for the sake of the files it refers to. `urgent`: only if dead space
 * has grown far too much. False: there is nothing to do. mu held. */
bool pick_blobs(version *v, bool urgent, compaction *c, chr_status *st);
/* Whether level 0 has so many references, for its size, that it is worth looking which values they replace. */
bool level0_hides_garbage(const version *v, const level *target);

#endif
