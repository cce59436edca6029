/* Garbage collection of blob files is part of compaction: values in files that are to go are copied, when their references pass
 * by, into new ones. Here it is said which files are to go, and which tables to compact for that alone.
 *
 * Dead space is kept below GARBAGE_MAX of what is alive. Beyond that, files go, the emptiest first, until those that
 * stay have no more than GARBAGE_LOW; but not too many at once, for both copies are there until all tables are through. Copying makes
 * the files that go emptier still, so what has been begun is ended first. Any thread that holds the version. */
#ifndef CHR_ENGINE_BLOB_GC_H
#define CHR_ENGINE_BLOB_GC_H

#include "engine/db_impl.h"

/* The files of `v` that are to go, ascending by number; NULL with *n = 0: none. The caller frees the list. */
chr_status blob_victims(const version *v, live_blob **victims, size_t *n);
/* A compaction of a table, in its own level, for the sake of the files it refers to. `urgent`: only if dead space
 * has grown far too much, and level 0 need not sink first, which is quick and tells what else is dead. False: there is nothing to do. mu held. */
bool pick_blobs(const db *d, version *v, bool urgent, compaction *c, chr_status *st);
/* Whether a compaction collects garbage on its way. If its tables are small beside what they refer to, they had better sink at once: that
 * tells what is alive, and compacting them again for the garbage alone costs little. */
bool compaction_moves_values(const compaction *c);
/* Dead space, and what may turn out to be: whatever level 0 refers to may replace something. */
uint64_t blob_garbage(const version *v);
/* So much of it that nobody minds. */
uint64_t blob_garbage_easy(const db *d, const version *v);
/* Whether level 0 has so many references, for its size, that it is worth looking which values they replace. */
bool level0_hides_garbage(const version *v, const level *target);

#endif
