/* The cache: shards, each with a lock, a hash table and a clock.
 *
 * The clock is a ring of entries with a hand. An entry that is found gets up to USES_MAX marks; the hand takes one mark
 * from each entry it passes and removes the first that has none and that nobody holds. A new entry has no mark and is
 * put just behind the hand: a scan, which touches each block once, drives out first what nobody came back to.
 *
 * An entry is counted: one for the table it is in, one per handle. Counts rise only under the shard's lock, so what has
 * only the table's count while the lock is held can be removed. Releasing a handle takes no lock. */
#include "engine/cache.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    SHARDS_MAX = 32,
    SHARD_BYTES_MIN = 512 << 10, /* a cache too small for that has fewer shards */
    BUCKETS_MIN = 64,            /* per shard */
    USES_MAX = 3,
    ENTRY_OVERHEAD = 128, /* of an entry beside its data, what malloc needs included */
};

struct cache_handle {
    atomic_uint   refs;
    uint32_t      uses; /* marks of the clock */
    uint64_t      file_no, offset, hash;
    void         *data;
    size_t        len;
    cache_handle *chain;       /* next in the bucket */
    cache_handle *prev, *next; /* in the ring */
};

typedef struct shard {
    pthread_mutex_t mu;
    cache_handle  **buckets;
    size_t          n_buckets; /* a power of two */
    size_t          n_entries;
    cache_handle   *hand; /* NULL: the ring is empty */
    size_t          bytes, capacity;
    uint64_t        hits, misses;
} __attribute__((aligned(64))) shard;

struct cache {
    shard   *shards;
    uint32_t n_shards; /* a power of two */
    size_t   capacity;
};

static size_t charge_of(size_t len) { return len + ENTRY_OVERHEAD; }

cache *cache_new(size_t capacity_bytes)
{
    cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->capacity = capacity_bytes;
    c->n_shards = SHARDS_MAX;
    while (c->n_shards > 1 && capacity_bytes / c->n_shards < SHARD_BYTES_MIN) c->n_shards /= 2;
    c->shards = aligned_alloc(_Alignof(shard), c->n_shards * sizeof *c->shards);
    if (!c->shards) goto free_cache;
    memset(c->shards, 0, c->n_shards * sizeof *c->shards);
    uint32_t made = 0;
    for (; made < c->n_shards; made++) {
        shard *s = &c->shards[made];
        s->capacity = capacity_bytes / c->n_shards;
        s->n_buckets = BUCKETS_MIN;
        s->buckets = calloc(s->n_buckets, sizeof(cache_handle *));
        if (!s->buckets) goto free_shards;
        if (pthread_mutex_init(&s->mu, NULL) != 0) {
            free(s->buckets);
            goto free_shards;
        }
    }
    return c;
free_shards:
    while (made-- > 0) {
        pthread_mutex_destroy(&c->shards[made].mu);
        free(c->shards[made].buckets);
    }
    free(c->shards);
free_cache:
    free(c);
    return NULL;
}

static void drop_ref(cache_handle *h)
{
    if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) return;
    free(h->data);
    free(h);
}

static void drop_chain(cache_handle *gone)
{
    while (gone) {
        cache_handle *next = gone->chain;
        drop_ref(gone);
        gone = next;
    }
}

static cache_handle **bucket_of(const shard *s, uint64_t hash) { return &s->buckets[(hash >> 8) & (s->n_buckets - 1)]; }

static cache_handle *find(const shard *s, uint64_t hash, uint64_t file_no, uint64_t offset)
{
    cache_handle *h = *bucket_of(s, hash);
    while (h && (h->file_no != file_no || h->offset != offset)) h = h->chain;
    return h;
}

/* Out of table and ring; the table's count is the caller's to drop. */
static void unlink_entry(shard *s, cache_handle *h)
{
    cache_handle **at = bucket_of(s, h->hash);
    while (*at != h) at = &(*at)->chain;
    *at = h->chain;
    if (s->hand == h) s->hand = h->next == h ? NULL : h->next;
    h->prev->next = h->next;
    h->next->prev = h->prev;
    s->n_entries--;
    s->bytes -= charge_of(h->len);
}

static void link_entry(shard *s, cache_handle *h)
{
    cache_handle **at = bucket_of(s, h->hash);
    h->chain = *at;
    *at = h;
    if (s->hand) {
        h->next = s->hand;
        h->prev = s->hand->prev;
        h->prev->next = h->next->prev = h;
    } else {
        s->hand = h->prev = h->next = h;
    }
    s->n_entries++;
    s->bytes += charge_of(h->len);
}

void cache_free(cache *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->n_shards; i++) {
        shard *s = &c->shards[i];
        while (s->hand) {
            cache_handle *h = s->hand;
            assert(atomic_load(&h->refs) == 1);
            unlink_entry(s, h);
            drop_ref(h);
        }
        free(s->buckets);
        pthread_mutex_destroy(&s->mu);
    }
    free(c->shards);
    free(c);
}

/* Makes room for `charge` bytes, as far as that goes: what is held stays. What is removed is chained to *gone, to be
 * freed without the lock. */
static bool make_room(shard *s, size_t charge, cache_handle **gone)
{
    if (charge > s->capacity) return false;
    for (size_t steps = s->n_entries * (USES_MAX + 1); s->bytes + charge > s->capacity; steps--) {
        if (steps == 0) return false;
        cache_handle *h = s->hand;
        s->hand = h->next;
        if (atomic_load_explicit(&h->refs, memory_order_acquire) > 1) continue;
        if (h->uses > 0) {
            h->uses--;
            continue;
        }
        unlink_entry(s, h);
        h->chain = *gone;
        *gone = h;
    }
    return true;
}

/* More buckets than entries as a rule; without memory the chains grow. */
static void grow_buckets(shard *s)
{
    if (s->n_entries < s->n_buckets) return;
    cache_handle **buckets = calloc(2 * s->n_buckets, sizeof(cache_handle *));
    if (!buckets) return;
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets *= 2;
    cache_handle *h = s->hand;
    do {
        cache_handle **at = bucket_of(s, h->hash);
        h->chain = *at;
        *at = h;
        h = h->next;
    } while (h != s->hand);
}

static uint64_t hash_of(uint64_t file_no, uint64_t offset)
{
    uint64_t h = (file_no * UINT64_C(0x9e3779b97f4a7c15) + offset) * UINT64_C(0xd6e8feb86659fd93);
    return (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93) >> 20;
}

static shard *shard_of(cache *c, uint64_t hash) { return &c->shards[hash & (c->n_shards - 1)]; }

cache_handle *cache_lookup(cache *c, uint64_t file_no, uint64_t offset)
{
    uint64_t hash = hash_of(file_no, offset);
    shard   *s = shard_of(c, hash);
    pthread_mutex_lock(&s->mu);
    cache_handle *h = find(s, hash, file_no, offset);
    if (h) {
        atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
        if (h->uses < USES_MAX) h->uses++;
        s->hits++;
    } else {
        s->misses++;
    }
    pthread_mutex_unlock(&s->mu);
    return h;
}

cache_handle *cache_insert(cache *c, uint64_t file_no, uint64_t offset, void *data, size_t len)
{
    cache_handle *h = malloc(sizeof *h), *gone = NULL;
    if (!h) {
        free(data);
        return NULL;
    }
    uint64_t hash = hash_of(file_no, offset);
    shard   *s = shard_of(c, hash);
    *h = (cache_handle){ .file_no = file_no, .offset = offset, .hash = hash, .data = data, .len = len };
    atomic_init(&h->refs, 1);
    pthread_mutex_lock(&s->mu);
    cache_handle *other = find(s, hash, file_no, offset);
    if (other) {
        atomic_fetch_add_explicit(&other->refs, 1, memory_order_relaxed);
    } else if (make_room(s, charge_of(len), &gone)) {
        atomic_store_explicit(&h->refs, 2, memory_order_relaxed);
        link_entry(s, h);
        grow_buckets(s);
    }
    pthread_mutex_unlock(&s->mu);
    drop_chain(gone);
    if (other) drop_ref(h);
    return other ? other : h;
}

slice cache_data(const cache_handle *h) { return chr_bytes(h->data, h->len); }

void cache_release(cache *c, cache_handle *h)
{
    (void)c;
    drop_ref(h);
}

void cache_drop_file(cache *c, uint64_t file_no)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        shard        *s = &c->shards[i];
        cache_handle *gone = NULL;
        pthread_mutex_lock(&s->mu);
        cache_handle *h = s->hand;
        for (size_t left = s->n_entries; left > 0; left--) {
            cache_handle *next = h->next;
            if (h->file_no == file_no) {
                unlink_entry(s, h);
                h->chain = gone;
                gone = h;
            }
            h = next;
        }
        pthread_mutex_unlock(&s->mu);
        drop_chain(gone);
    }
}

cache_stats cache_get_stats(const cache *c)
{
    cache_stats stats = { .capacity = c->capacity };
    for (uint32_t i = 0; i < c->n_shards; i++) {
        shard *s = &c->shards[i];
        pthread_mutex_lock(&s->mu);
        stats.hits += s->hits;
        stats.misses += s->misses;
        stats.bytes += s->bytes;
        pthread_mutex_unlock(&s->mu);
    }
    return stats;
}
