/* What becomes of values while tables are built: big ones go out to a blob file, and those in files that are to go move to a new
 * one. Part of a build_job, in its thread. */
#ifndef CHR_ENGINE_BLOB_BUILD_H
#define CHR_ENGINE_BLOB_BUILD_H

#include "engine/blob.h"
#include "engine/version.h"

struct db;

typedef struct blob_build {
    struct db       *db;
    uint32_t         level;     /* that the tables are for */
    uint64_t         cut_bytes; /* a blob file is ended at this size */
    const version   *base;      /* whose tables are the inputs; NULL: they refer to nothing */
    const live_blob *victims;   /* files of `base` that are to go (blob_victims) */
    size_t           n_victims;
    const mem_ref   *segment; /* the memtable whose log segment has become a blob file (blob_keep.c); NULL: none has */

    env_file    *file; /* under way; NULL: none */
    uint64_t     file_no;
    blob_writer *writer;
    buf          room;
    char         ref[BLOB_REF_MAX];
    /* Results: references to finished, durable, open files. */
    blob_file **out;
    size_t      n_out, cap_out;
    uint64_t    bytes_out;

    uint64_t placed_bytes; /* what the value takes that the last reference is to */
} blob_build;

/* Whether the entry, which comes from a memtable, should have its value in a blob file. */
bool blob_is_for(const struct db *d, const entry *e);
/* Room for one more result. False: no memory. */
bool blob_build_room(blob_build *b);
/* Puts the value of an entry that is to be in a table where it belongs. The entry may become a reference, which lives until the
 * next call. */
chr_status blob_build_place(blob_build *b, entry *e);
chr_status blob_build_finish(blob_build *b); /* what is under way */
/* Frees it. `remove_files`: the results are not needed. */
void blob_build_free(blob_build *b, bool remove_files);

#endif
