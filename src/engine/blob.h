/* Big values apart from their keys. Format: FORMAT.md, "Blob file" and "References".
 *
 * A value of at least chr_options.blob_bytes goes into a blob file when its table is built; the table keeps a reference
 * (KIND_BLOB). Compaction moves references, not values. A value is referred to by exactly one entry of the current
 * version, so the tables themselves say how much of each file is alive (blob_refs.c), and a file that no table of a version
 * refers to is gone from it. Files are counted like tables: versions hold them, and the last one that lets go removes them.
 *
 * A log segment that holds hardly anything but such values becomes a blob file itself, once its memtable is in a table: then they
 * are written only once. The checksums of its values are in the references.
 *
 *   blob_refs.c   references, what a table and a version know of them
 *   blob_write.c  writing a file
 *   blob_read.c   reading and checking one
 *   blob_build.c  what building tables does with values: out to a file, or from one that is to go to a new one
 *   blob_keep.c   whether a log segment becomes one
 *   blob_gc.c     which files are to go
 *
 * Writing: one thread. An open file: any thread. */
#ifndef CHR_ENGINE_BLOB_H
#define CHR_ENGINE_BLOB_H

#include "engine/cache.h"
#include "engine/entry.h"
#include "engine/table.h"
#include "env/env.h"

#include <stdatomic.h>

#define BLOB_MAGIC UINT64_C(0x53424f4c42524843) /* "CHRBLOBS" */
enum {
    BLOB_FORMAT = 1,
    BLOB_HEADER_BYTES = 32,
    BLOB_FOOTER_BYTES = 40,
    BLOB_LENGTH_BYTES = 4,  /* before each value */
    BLOB_TRAILER_BYTES = 5, /* behind it: u8 codec, u32 checksum */
    BLOB_HEAD_MAX = 64,
    BLOB_REF_MAX = 1 + 4 * VARINT64_MAX + 2 + 4 + BLOB_HEAD_MAX,
};

/* ---- references ---- */

/* Where a value lies: the offset of its record, and how many bytes it has there, packed, without length and trailer. In a log
 * segment: of its bytes, and how many they are. */
typedef struct blob_at {
    uint64_t file_no, offset, len;
    bool     logged; /* the file is a log segment, which has none of what a record tells: */
    uint8_t  codec;
    uint32_t checksum; /* of its bytes, seeded as in a blob file */
} blob_at;
/* What a record takes of its file. */
static inline uint64_t blob_stored_bytes(uint64_t len) { return BLOB_LENGTH_BYTES + len + BLOB_TRAILER_BYTES; }
static inline uint64_t blob_at_bytes(blob_at at) { return at.logged ? at.len : blob_stored_bytes(at.len); }
/* What a reference tells of the value, so that who wants to know what and how big it is need not read it. */
typedef struct blob_head {
    slice    bytes; /* the first ones, at most BLOB_HEAD_MAX */
    uint64_t len;   /* of all; 0: the reference was made before references told that */
} blob_head;
slice blob_ref_encode(char to[static BLOB_REF_MAX], blob_at at, blob_head head);
bool  blob_ref_decode(slice s, blob_at *at, blob_head *head); /* `head` points into `s`; it may be NULL */

/* Counts a reference in a list that ascends by file number. False: no memory. */
bool     table_blobs_add(table_blob **list, size_t *n, blob_at at);
uint64_t table_blob_bytes(const table_info *t); /* of all values that it refers to */

/* ---- writing ---- */

typedef struct blob_writer blob_writer;
/* Writes into `file`, which is empty, belongs to the caller and is neither synced nor closed here. */
chr_status blob_writer_new(env_file *file, uint64_t file_no, chr_compression compression, blob_writer **out);
chr_status blob_writer_add(blob_writer *w, slice value, blob_at *at);
/* A value as blob_read_stored gave it. */
chr_status blob_writer_copy(blob_writer *w, slice stored, chr_compression codec, blob_at *at);
uint64_t   blob_writer_bytes(const blob_writer *w); /* written so far */
chr_status blob_writer_finish(blob_writer *w);
void       blob_writer_free(blob_writer *w); /* finished or not */

/* ---- reading ---- */

typedef struct blob_file {
    atomic_uint refs;
    atomic_bool obsolete; /* not in the current version any more: remove the file with the last reference */
    uint64_t    file_no;
    uint64_t    file_bytes;
    bool        logged; /* it was a log segment */
    uint64_t    bytes;  /* that all its values take; of a log segment: all but its header */
    uint64_t    values; /* of a log segment: UINT64_MAX */
    env_file   *file;
    cache      *cache;
    env        *env;
} blob_file;
/* Opens the file `no` in `dir` and checks header and footer, if it has one. */
chr_status blob_file_open(env *e, const char *dir, uint64_t no, cache *c, blob_file **out);
void       blob_file_take(blob_file *f);
void       blob_file_drop(blob_file *f);

/* The value through the cache; blob_value(*pin) lives until cache_release. */
chr_status blob_read(const blob_file *f, blob_at at, cache_handle **pin);
slice      blob_value(const cache_handle *pin);
/* The value as it is stored, checked, in `room`. */
chr_status blob_read_stored(const blob_file *f, blob_at at, buf *room, slice *stored, chr_compression *codec);
/* Reads and checks every byte of the file, and that each of `refs` (ascending by offset, all into this file) is one of
 * its values. `pause` as in table_verify. */
chr_status blob_verify(const blob_file *f, const blob_at *refs, size_t n, table_pause_fn *pause, void *arg);

#endif
