#include "base/arena.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Stands at the beginning of its chunk, which is aligned to this much. */
struct arena_chunk {
    _Alignas(64) arena_chunk *next;
    bool mapped; /* by map_chunk */
};

void arena_init(arena *a) { *a = (arena){ .next_chunk = ARENA_CHUNK_MIN }; }

/* Full chunks that nobody uses. */
static struct {
    pthread_mutex_t mu;
    arena_chunk    *first;
    size_t          bytes;
} kept = { .mu = PTHREAD_MUTEX_INITIALIZER };

static bool keep_chunk(arena_chunk *c)
{
    pthread_mutex_lock(&kept.mu);
    bool room = kept.bytes + ARENA_CHUNK_MAX <= ARENA_KEPT_MAX;
    if (room) {
        c->next = kept.first;
        kept.first = c;
        kept.bytes += ARENA_CHUNK_MAX;
    }
    pthread_mutex_unlock(&kept.mu);
    return room;
}

static arena_chunk *take_kept(void)
{
    pthread_mutex_lock(&kept.mu);
    arena_chunk *c = kept.first;
    if (c) {
        kept.first = c->next;
        kept.bytes -= ARENA_CHUNK_MAX;
    }
    pthread_mutex_unlock(&kept.mu);
    return c;
}

void arena_trim(void)
{
    for (arena_chunk *c; (c = take_kept());) (void)munmap(c, ARENA_CHUNK_MAX);
}

void arena_free(arena *a)
{
    while (a->chunks) {
        arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (!c->mapped)
            free(c);
        else if (!keep_chunk(c))
            (void)munmap(c, ARENA_CHUNK_MAX);
    }
    arena_init(a);
}

/* Full chunks are aligned, so that each can be one huge page: fewer faults while it fills, fewer TLB misses when it
 * is read. They come from the kernel and go back there, since malloc makes poor use of holes aligned like that. */
static arena_chunk *map_chunk(void)
{
    char *p = mmap(NULL, (size_t)2 * ARENA_CHUNK_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t head = (size_t)(-(uintptr_t)p & (ARENA_CHUNK_MAX - 1));
    if (head > 0) (void)munmap(p, head);
    (void)munmap(p + head + ARENA_CHUNK_MAX, ARENA_CHUNK_MAX - head);
    (void)madvise(p + head, ARENA_CHUNK_MAX, MADV_HUGEPAGE); /* a wish */
    return (arena_chunk *)(void *)(p + head);
}

/* Its first free byte. */
static char *take_chunk(arena *a, size_t bytes)
{
    bool  mapped = bytes == ARENA_CHUNK_MAX;
    void *p = mapped ? take_kept() : NULL;
    if (!p && mapped) p = map_chunk();
    if (!mapped && posix_memalign(&p, _Alignof(arena_chunk), bytes) != 0) p = NULL;
    if (!p) return NULL;
    arena_chunk *c = p;
    c->mapped = mapped;
    c->next = a->chunks;
    a->chunks = c;
    return (char *)(c + 1);
}

static void count(arena *a, size_t bytes)
{
    atomic_store_explicit(&a->used, arena_used(a) + bytes, memory_order_relaxed);
}

void *arena_alloc(arena *a, size_t size, size_t align)
{
    assert(size > 0 && align && align <= _Alignof(arena_chunk) && (align & (align - 1)) == 0);
    size_t left = (size_t)(a->end - a->at), pad = (size_t)(-(uintptr_t)a->at & (align - 1));
    if (size <= left && pad <= left - size) {
        char *p = a->at + pad;
        a->at = p + size;
        count(a, pad + size);
        return p;
    }
    if (size > ARENA_CHUNK_MAX / 8) { /* the current chunk stays in use */
        if (size > SIZE_MAX / 2) return NULL;
        char *own = take_chunk(a, sizeof(arena_chunk) + size);
        if (own) count(a, size);
        return own;
    }
    size_t bytes = a->next_chunk;
    while (bytes < sizeof(arena_chunk) + size) bytes *= 2;
    char *fresh = take_chunk(a, bytes);
    if (!fresh) return NULL;
    count(a, left + size);
    a->at = fresh + size;
    a->end = fresh + bytes - sizeof(arena_chunk);
    a->next_chunk = bytes < ARENA_CHUNK_MAX ? 2 * bytes : ARENA_CHUNK_MAX;
    return fresh;
}
