/* SSTables: immutable sorted files of entries. Format: FORMAT.md, "Table".
 * Building: one thread. An open table: any thread. Every block is checked against its checksum when it is read
 * from disk; a mismatch is CHR_CORRUPT with file and offset, and never a wrong answer or a silent skip. */
#ifndef CHR_ENGINE_TABLE_H
#define CHR_ENGINE_TABLE_H

#include "engine/cache.h"
#include "engine/iter.h"
#include "engine/rangedel.h"
#include "env/env.h"

typedef struct table         table;
typedef struct table_builder table_builder;

typedef struct table_options {
    size_t          block_bytes; /* data block before compression */
    uint32_t        filter_bits; /* per key; 0: no filter */
    chr_compression compression; /* a block that does not shrink by an eighth is stored as it is */
} table_options;

/* What a table refers to in one blob file. */
typedef struct table_blob {
    uint64_t file_no, values, bytes; /* bytes: that the values take there */
} table_blob;

/* What a table has only because a snapshot showed it when it was built. */
typedef struct table_kept {
    uint64_t snapshot; /* its seq: the newest one that shows these entries */
    uint64_t bytes;    /* of keys and values, in blob files too */
} table_kept;

/* What a finished table says of itself; stored in it and in the manifest. Key buffers belong to the holder. */
typedef struct table_info {
    uint64_t file_no;
    uint64_t file_bytes;
    uint64_t entries; /* puts and deletes */
    uint64_t deletes;
    uint64_t range_deletes;
    uint64_t min_seq, max_seq;
    uint64_t raw_bytes; /* of keys and values */
    /* Bounds over entries and range tombstones: smallest <= every user key; with `largest_exclusive`, every user
     * key < largest (a range tombstone's end sets the bound), else <= largest. */
    buf  smallest, largest;
    bool largest_exclusive;
    /* Ascending by file number. The manifest does not have it: the table does. */
    table_blob *blobs;
    size_t      n_blobs;
    /* Ascending by snapshot; not in the manifest, too. */
    table_kept *kept;
    size_t      n_kept;
} table_info;
void table_info_free(table_info *info);

/* Writes into `file`, which is empty, belongs to the caller and is neither synced nor closed here. */
chr_status table_builder_new(env_file *file, uint64_t file_no, const table_options *options, table_builder **b);
/* In strictly ascending internal order; asserted. Not for KIND_DELETE_RANGE. */
chr_status table_builder_add(table_builder *b, slice key, uint64_t trailer, slice value);
/* At any time before finish, in any order. */
chr_status table_builder_add_range(table_builder *b, range_tombstone tombstone);
/* Of what was added last: it is kept for a snapshot only. */
chr_status table_builder_kept(table_builder *b, uint64_t snapshot, uint64_t bytes);
uint64_t   table_builder_bytes(const table_builder *b); /* written so far, roughly what the file will have */
uint64_t   table_builder_entries(const table_builder *b);
/* Writes filter, range tombstones, properties, index and footer. `info` is filled; the caller frees its buffers. */
chr_status table_builder_finish(table_builder *b, table_info *info);
void       table_builder_free(table_builder *b); /* finished or not */

/* Reads footer, index, filter and range tombstones, which stay in memory. Owns `file` on success. `c` outlives
 * the table. */
chr_status        table_open(env_file *file, uint64_t file_no, cache *c, table **t);
void              table_free(table *t);
const char       *table_path(const table *t);
const table_info *table_get_info(const table *t);
const rangedel   *table_rangedels(const table *t); /* may be NULL */
size_t            table_memory(const table *t);    /* bytes that index, filter and tombstones hold */

/* The newest version of `key`, whose hash64 is `hash`, no newer than `seq`, range tombstones left aside. CHR_NOT_FOUND
 * (without a message) if there is none. On CHR_OK, found->value lives until cache_release(c, *pin). */
chr_status table_get(table *t, slice key, uint64_t hash, uint64_t seq, entry *found, cache_handle **pin);

typedef enum table_access {
    TABLE_CACHED,     /* through the cache: point lookups and short scans; grows read-ahead as a scan goes on */
    TABLE_SEQUENTIAL, /* for compaction and checking: big reads, blocks are not put into the cache */
} table_access;
iter *table_iter_new(table *t, table_access access); /* NULL: no memory; `t` outlives it */

/* For repair: calls `entry_fn` for every entry of each data block that can be read, and for every range tombstone, and
 * `lost` (chr_message() says what) for each part of the file that cannot. Without an index it looks for blocks. Fails only
 * if entry_fn does or memory is short. (salvage.c) */
typedef chr_status table_entry_fn(void *arg, const entry *e);
typedef void       table_lost_fn(void *arg);
chr_status table_salvage(env_file *file, uint64_t file_no, table_entry_fn *entry_fn, table_lost_fn *lost, void *arg);

/* Reads and checks every byte of the file: checksums, order, counts, filter against keys. `pause` (may be NULL) is called each
 * time some more bytes have been read; it may sleep, and ends the verification, with CHR_CLOSING, by returning false. */
typedef bool table_pause_fn(void *arg, uint64_t bytes);
chr_status   table_verify(table *t, table_pause_fn *pause, void *arg);

#endif
