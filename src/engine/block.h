/* Data blocks: a run of entries in internal order. Format: FORMAT.md, "Table".
 *
 * A block is read in place. Every field is checked where it is used, so a block of any bytes whatsoever is safe to
 * search and walk: the worst that happens is a `problem`. Keys lie together, apart from the values, so that
 * a search touches few cache lines. One thread per builder and cursor. */
#ifndef CHR_ENGINE_BLOCK_H
#define CHR_ENGINE_BLOCK_H

#include "engine/entry.h"

enum { BLOCK_RESTART_EVERY = 8 };   /* entries; part of the format */
enum { BLOCK_PREFIX_MAX = 255 };    /* of the common prefix that is kept apart */
#define BLOCK_TARGET_MAX (1u << 20) /* bytes at which a block is cut at the latest */
#define BLOCK_RAW_MAX (4u << 20)    /* no block is longer, unpacked */

/* ---- building ---- */

typedef struct block_builder {
    buf      keys, values;
    buf      restarts; /* pairs of u32: offset in keys, offset in values */
    buf      last_key;
    uint64_t last_trailer;
    uint64_t base_seq; /* of the first entry; the others are stored as differences to it */
    uint32_t entries;
} block_builder;

/* `shared`: how many bytes the key has in common with last_key, which is that of the last block after a reset. False:
 * no memory. */
bool   block_builder_add(block_builder *b, slice key, size_t shared, uint64_t trailer, slice value);
size_t block_builder_bytes(const block_builder *b); /* what block_builder_finish would append */
/* Appends the block to `out` and empties the builder, but for last_key and last_trailer. False: no memory. */
bool block_builder_finish(block_builder *b, buf *out);
void block_builder_free(block_builder *b);

/* ---- reading ---- */

typedef struct block {
    const uint8_t *keys, *values;
    const uint8_t *column;   /* u64 per restart: key_prefix after the common prefix */
    const uint8_t *restarts; /* two u32 per restart, as in the builder */
    slice          prefix;   /* all keys begin with it */
    uint64_t       base_seq;
    uint32_t       keys_len, values_len;
    uint32_t       n_entries, n_restarts;
} block;

extern const char block_no_memory[]; /* the one problem that is not the block's fault */

/* NULL, or what is wrong with it. `raw` outlives *b. */
const char *block_open(slice raw, block *b);
/* The first entry at or after (key, trailer), if it is one of `key`. *present false: there is none. The value
 * points into the block. NULL, or what is wrong with the block. */
const char *block_get(const block *b, slice key, uint64_t trailer, entry *found, bool *present);

typedef struct block_cursor {
    block          b;
    bool           valid;
    const char    *problem; /* NULL, or why it is not valid any more */
    uint32_t       nth;
    const uint8_t *next;     /* where the entry after this one begins in keys */
    uint32_t       body_end; /* where its body begins in values */
    buf            key;      /* of the entry it stands on; stays when the cursor leaves the block */
    uint64_t       trailer;
    slice          value;
} block_cursor;

/* Begins as zeroes. Moves to another block; the key stays, so that a key of the old block can be sought. */
void block_cursor_set(block_cursor *c, const block *b);
void block_cursor_first(block_cursor *c);
void block_cursor_last(block_cursor *c);
void block_cursor_seek(block_cursor *c, slice key, uint64_t trailer);      /* first entry at or after */
void block_cursor_seek_back(block_cursor *c, slice key, uint64_t trailer); /* last entry at or before */
void block_cursor_next(block_cursor *c);                                   /* requires valid; checks the order */
void block_cursor_prev(block_cursor *c);                                   /* requires valid */
void block_cursor_free(block_cursor *c);

#endif
