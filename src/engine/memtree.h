/* The sorted index of a memtable: a B+tree over entries that lie in an arena. One writer; readers take no lock,
 * write nothing and never wait. Nothing is ever removed. How that works is told in memtree.c. */
#ifndef CHR_ENGINE_MEMTREE_H
#define CHR_ENGINE_MEMTREE_H

#include "base/arena.h"
#include "engine/entry.h"

/* An entry as it lies in memory: trailer (8 bytes), varint key length, varint value length, key, value. It never
 * changes and lives as long as its arena. */
typedef struct mem_entry mem_entry;

mem_entry *mem_entry_new(arena *a, slice key, uint64_t trailer, slice value); /* NULL: no memory */
entry      mem_entry_read(const mem_entry *e);

enum { MEMTREE_SLOTS = 14 }; /* entries of a leaf, children of an inner node */

typedef struct memtree_node memtree_node;

typedef struct memtree {
    arena                   memory; /* of nodes and separators */
    _Atomic(memtree_node *) root;
    /* Writer only. */
    memtree_node    *last;     /* the rightmost leaf */
    const mem_entry *greatest; /* its last entry; NULL: the tree is empty */
    uint64_t         greatest_prefix;
    memtree_node    *spare[2]; /* [0] inner nodes, [1] leaves that are not in the tree */
} memtree;

bool memtree_init(memtree *t); /* false: no memory */
void memtree_free(memtree *t);
/* Writer only. No entry with the same key and trailer may be there. False: no memory, and nothing has changed. */
bool memtree_insert(memtree *t, const mem_entry *e);
/* The first entry at or after (key, trailer); NULL: none. */
const mem_entry *memtree_find(const memtree *t, slice key, uint64_t trailer);

/* A place between two entries: before (key, trailer), after it, or after everything. */
typedef struct memtree_bound {
    slice    key;
    uint64_t trailer;
    enum { BEFORE, AFTER, AT_END } side;
} memtree_bound;

/* Walks over a copy of one leaf at a time, so that the writer does not disturb it. It sees what was in the tree when
 * it was positioned; of what is inserted later it may see some. */
typedef struct memtree_cursor {
    const memtree      *tree;
    const memtree_node *leaf;
    uint32_t            version;   /* of `leaf` when it was copied */
    uint32_t            at, count; /* at < count: on entries[at] */
    const mem_entry    *entries[MEMTREE_SLOTS];
} memtree_cursor;

/* Each leaves it on an entry and returns true, or returns false if there is none. */
bool memtree_seek(memtree_cursor *c, memtree_bound b);      /* first entry after the bound */
bool memtree_seek_back(memtree_cursor *c, memtree_bound b); /* last entry before it */
/* From an entry to the next one. */
bool memtree_next(memtree_cursor *c);
bool memtree_prev(memtree_cursor *c);

#endif
