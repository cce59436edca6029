/* Which tables make up the store, and what readers look at.
 *
 *   table_ref  one open table file; removed from disk when the last version that names it is gone
 *   version    an immutable arrangement of tables in levels, and the blob files they refer to; versions share both
 *   mem_ref    a memtable and the log segments that hold the same writes
 *   view       the memtables and the version that are current together: all that a read needs
 *
 * All four are counted. A reader inside an epoch may use the current view without a reference (db.c);
 * whoever stays longer (iterators, compaction) takes one.
 *
 * Level 0 holds tables as they were flushed, newest first; they may overlap. Below, the tables of a level are
 * disjoint and in key order. Data only moves down, so what a higher level has of a key is newer. */
#ifndef CHR_ENGINE_VERSION_H
#define CHR_ENGINE_VERSION_H

#include "engine/blob.h"
#include "engine/memtable.h"
#include "engine/named.h"
#include "engine/table.h"

#include <stdatomic.h>

enum {
    LEVELS = 7,
    IMMUTABLE_MAX = 3, /* memtables waiting for flush; a fourth stops writers */
};

typedef struct table_ref {
    atomic_uint refs;
    atomic_bool obsolete; /* not in the current version any more: remove the file with the last reference */
    uint64_t    file_no;
    uint64_t    largest_prefix; /* key_prefix of its largest key, for level_find */
    table      *table;
    cache      *cache;
    env        *env;
} table_ref;
/* Opens the table file `no` in `dir` and checks it against what is expected of it (NULL: nothing). */
chr_status table_ref_open(env *e, const char *dir, uint64_t no, cache *c, const table_info *expected, table_ref **out);
void       table_ref_take(table_ref *t);
void       table_ref_drop(table_ref *t);
const table_info *table_ref_info(const table_ref *t);

typedef struct level {
    table_ref **tables; /* level 0: newest first; below: in key order */
    size_t      count;
    uint64_t    bytes;
} level;

/* A blob file, and how much of it the tables of a version refer to: at least one value. */
typedef struct live_blob {
    blob_file *file;
    uint64_t   values, bytes;
} live_blob;

typedef struct version {
    atomic_uint refs;
    level       levels[LEVELS];
    live_blob  *blobs; /* ascending by file number */
    size_t      n_blobs;
    uint64_t    blob_bytes, blob_live; /* that the values in them take: all, and those referred to */
} version;

/* What an edit of the manifest says: tables that come and go, and how far the log has been flushed. */
typedef struct version_edit {
    struct edit_add {
        uint32_t   level;
        table_ref *table;
    } * adds; /* references are borrowed */
    size_t n_adds, cap_adds;
    struct edit_remove {
        uint32_t level;
        uint64_t file_no;
    } * removes;
    size_t                n_removes, cap_removes;
    blob_file           **blobs; /* new ones; borrowed, too. Those to which no table refers any more go by themselves */
    size_t                n_blobs, cap_blobs;
    uint64_t              log_no;      /* 0: unchanged; else the oldest segment still needed */
    uint64_t              flushed_seq; /* with log_no: everything up to here is in tables */
    const named_snapshot *keep, *drop; /* of the manifest only; NULL: none */
} version_edit;
bool edit_add_table(version_edit *e, uint32_t level, table_ref *table);
bool edit_remove_table(version_edit *e, uint32_t level, uint64_t file_no);
bool edit_add_blob(version_edit *e, blob_file *file);
void edit_free(version_edit *e);
/* For edits that hold references to what they add: drops those, and frees the edit. `remove_files`: they are not needed. */
void edit_release(version_edit *e, bool remove_files);

version *version_new(void);
/* A new version: `base` (may be NULL: nothing) changed by `edit`. CHR_CORRUPT: it removes what is not there, or adds what
 * overlaps or refers to blob files that are not there. */
chr_status version_apply(const version *base, const version_edit *edit, version **out);
void       version_take(version *v);
void       version_drop(version *v);
blob_file *version_blob(const version *v, uint64_t file_no); /* NULL: no table of it refers to such a file */
/* Tables of a level below 0 are searched by key: index of the first table whose keys are not all below `key`. */
size_t level_find(const level *l, slice key);
/* Whether a table holds (or could hold) keys in [smallest, largest]; NULL data: no bound. `largest_exclusive` as in table_info. */
bool table_overlaps(const table_info *t, slice smallest, slice largest, bool largest_exclusive);

/* Where in the log segment a big value lies, and how: see blob_at. */
typedef struct logged_value {
    uint64_t seq, offset;
    uint32_t len, checksum;
    uint8_t  codec;
} logged_value;

typedef struct mem_ref {
    atomic_uint refs;
    memtable   *mem;
    uint64_t    log_no;   /* the log segment with its writes */
    uint64_t    last_seq; /* newest write in it; set when it becomes immutable */
    /* For blob_keep.c; the writer fills them, and who has waited for it to become immutable reads them. */
    logged_value *logged; /* ascending by seq; not all need be there */
    size_t        n_logged, cap_logged;
    uint64_t      logged_bytes;
    uint64_t      log_end; /* of the segment, its seal included; 0: it has none */
} mem_ref;
mem_ref *mem_ref_new(uint64_t log_no);
/* Notes the values of a batch, as it is in the log at `log_at`, that are packed or have at least `big` bytes. Writer only. */
void mem_note_logged(mem_ref *m, slice logged, uint64_t first_seq, uint64_t log_at, size_t big);
/* NULL: it is not known where. */
const logged_value *mem_logged_at(const mem_ref *m, uint64_t seq);
void                mem_ref_drop(mem_ref *m);

typedef struct view {
    atomic_uint refs;
    mem_ref    *mem[1 + IMMUTABLE_MAX]; /* [0] is written to; then immutable ones, newest first */
    size_t      n_mem;
    version    *version;
} view;
view *view_alloc(void); /* NULL: no memory; filled by view_fill, which cannot fail */
/* Takes references on everything it names. */
void view_fill(view *w, mem_ref *const *mem, size_t n_mem, version *v);
void view_take(view *v);
void view_drop(view *v);

#endif
