/* Turns a sorted stream of entries into tables: what flush and compaction have in common. It drops what nobody can
 * see any more.
 *
 * Stripes: snapshots cut the order of writes into stripes; two seqs are in one stripe if no snapshot lies between
 * them. Of the versions of a key in one stripe only the newest can ever be seen, and whatever a range tombstone
 * covers in its own stripe cannot. A tombstone itself is dropped once nothing below could be hidden by it. */
#ifndef CHR_ENGINE_BUILD_H
#define CHR_ENGINE_BUILD_H

#include "engine/blob_build.h"
#include "engine/db_impl.h"

typedef struct build_job {
    db                *db;
    iter              *in;        /* every version, in internal order; positioned by build_tables */
    const rangedel    *dels;      /* the range tombstones of all inputs; may be NULL */
    uint32_t           level;     /* that the tables are for */
    uint64_t           cut_bytes; /* a table is ended at this size */
    const version     *below;     /* with levels > `level` that may still hold older versions; NULL: anything may */
    uint64_t          *snapshots; /* ascending */
    size_t             n_snapshots;
    bool               may_expire; /* ask the drop function */
    const atomic_bool *cancel;     /* read now and then; NULL: never */
    blob_build         blobs;      /* base and victims are set by who makes the job; its results are results, too */
    /* Results: references to finished, durable, open tables. */
    table_ref **out;
    size_t      n_out, cap_out;
    uint64_t    bytes_out;
} build_job;

/* On error, files made so far are removed from disk, and there are no results. */
chr_status build_tables(build_job *job);
/* The references to the results go to `edit`, which adds them in job->level (edit_release). CHR_NO_MEMORY: the results are gone,
 * and their files removed. */
chr_status build_keep_results(build_job *job, version_edit *edit);
void       build_drop_results(build_job *job, bool remove_files);

#endif
