/* A bump allocator: memory is handed out piece by piece and freed all at once.
 *
 * One thread at a time allocates; any thread may read how much was handed out. Chunks are taken as needed and grow
 * from ARENA_CHUNK_MIN to ARENA_CHUNK_MAX; a piece too big for that gets a chunk of its own. */
#ifndef CHR_BASE_ARENA_H
#define CHR_BASE_ARENA_H

#include <stdatomic.h>
#include <stddef.h>

enum {
    ARENA_CHUNK_MIN = 64 << 10,
    ARENA_CHUNK_MAX = 2 << 20, /* a huge page */
    ARENA_KEPT_MAX = 128 << 20,
};

typedef struct arena_chunk arena_chunk;

typedef struct arena {
    char           *at, *end;   /* what is left of the current chunk */
    arena_chunk    *chunks;     /* all of them */
    size_t          next_chunk; /* bytes of the chunk to take next */
    _Atomic(size_t) used;       /* bytes handed out, with what alignment and chunk ends have cost */
} arena;

/* Full chunks of freed arenas are kept for the next ones, up to ARENA_KEPT_MAX bytes of them in the process: a memtable that fills
 * needs no fresh pages from the kernel, which would have to be cleared first. This gives them back. Any thread. */
void arena_trim(void);

void arena_init(arena *a);
void arena_free(arena *a);
/* `align` is a power of two, at most 64. NULL: no memory, and nothing has changed. */
void *arena_alloc(arena *a, size_t size, size_t align);

static inline size_t arena_used(const arena *a) { return atomic_load_explicit(&a->used, memory_order_relaxed); }

#endif
