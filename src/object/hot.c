#include "object/hot.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SLOT_BYTES = 192, ROOM = SLOT_BYTES - 32, WAYS = 2, SETS_MIN = 1024 };

struct hot_slot {
    _Alignas(64) atomic_bool taken;
    uint8_t  key_len, record_len;
    uint64_t hash, version, seq; /* seq 0: the slot is empty */
    char     bytes[ROOM];        /* key, record */
};
typedef hot_slot slot;
static_assert(sizeof(slot) == SLOT_BYTES, "three cache lines");
static_assert(ROOM <= UINT8_MAX, "lengths fit");

/* What a set knows of its slots, in a word, so that looking in vain costs one load: from the lowest bit up, a tag of 16 bits for each way (part of
 * the hash; 0: empty), the tag that was last offered and not taken in, and a bit for each way that was used since it was last spared.
 * All of it is a hint: an update that gets lost between two threads makes a record come in later, or be looked for in vain. */
typedef uint64_t head;
enum { TAG_BITS = 16, ASKED_SHIFT = WAYS * TAG_BITS, USED_SHIFT = ASKED_SHIFT + TAG_BITS };

static uint16_t tag_of(uint64_t hash) { return (uint16_t)(hash >> 48 | 1); }
static uint16_t tag_at(head h, unsigned way) { return (uint16_t)(h >> way * TAG_BITS); }
static head     with_tag(head h, unsigned shift, uint16_t tag)
{
    return (h & ~((head)UINT16_MAX << shift)) | (head)tag << shift;
}
static head used_bit(unsigned way) { return (head)1 << (USED_SHIFT + way); }

struct hot {
    uint64_t       sets;
    slot          *slots;
    _Atomic(head) *heads;
};

/* Zeroes that cost nothing until they are touched. */
static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

hot *hot_new(size_t bytes)
{
    uint64_t sets = bytes / (WAYS * sizeof(slot) + sizeof(head));
    hot     *h = sets >= SETS_MIN ? calloc(1, sizeof *h) : NULL;
    if (!h) return NULL;
    h->sets = sets;
    h->slots = map(sets * WAYS * sizeof(slot));
    h->heads = map(sets * sizeof(head));
    if (h->slots && h->heads) return h;
    hot_free(h);
    return NULL;
}

void hot_free(hot *h)
{
    if (!h) return;
    if (h->slots) (void)munmap(h->slots, h->sets * WAYS * sizeof(slot));
    if (h->heads) (void)munmap(h->heads, h->sets * sizeof(head));
    free(h);
}

/* The lower half of the hash, spread over all sets. */
static uint64_t set_of(const hot *h, uint64_t hash) { return (hash & UINT32_MAX) * h->sets >> 32; }

/* WAYS: none has the tag. */
static unsigned way_of(head at, uint64_t hash)
{
    unsigned way = 0;
    while (way < WAYS && tag_at(at, way) != tag_of(hash)) way++;
    return way;
}

static bool take(slot *s) { return !atomic_exchange_explicit(&s->taken, true, memory_order_acquire); }
static void give_back(slot *s) { atomic_store_explicit(&s->taken, false, memory_order_release); }

void hot_prefetch(const hot *h, uint64_t hash)
{
    if (!h) return;
    uint64_t set = set_of(h, hash);
    unsigned way = way_of(atomic_load_explicit(&h->heads[set], memory_order_relaxed), hash);
    if (way == WAYS) return;
    const char *s = (const char *)&h->slots[set * WAYS + way];
    for (size_t line = 0; line < SLOT_BYTES; line += 64) __builtin_prefetch(s + line);
}

bool hot_visit(hot *h, uint64_t hash, slice key, uint64_t version, uint64_t newest, hot_visit_fn *visit, void *arg,
               uint64_t *seq)
{
    if (!h) return false;
    uint64_t set = set_of(h, hash);
    head     at = atomic_load_explicit(&h->heads[set], memory_order_relaxed);
    unsigned way = way_of(at, hash);
    slot    *s = &h->slots[set * WAYS + way];
    if (way == WAYS || !take(s)) return false;
    bool found = s->seq && s->seq <= newest && s->hash == hash && s->version == version && s->key_len == key.len &&
                 memcmp(s->bytes, key.data, key.len) == 0;
    if (found) {
        if (!(at & used_bit(way))) atomic_fetch_or_explicit(&h->heads[set], used_bit(way), memory_order_relaxed);
        if (seq) *seq = s->seq;
        visit(arg, chr_bytes(s->bytes + s->key_len, s->record_len));
    }
    give_back(s);
    return found;
}

/* The way that the key is in, or one that is empty or was not used lately; WAYS: all were used. */
static unsigned choose(head at, uint64_t hash)
{
    unsigned chosen = way_of(at, hash);
    for (unsigned way = 0; way < WAYS && chosen == WAYS; way++)
        if (!tag_at(at, way)) chosen = way;
    for (unsigned way = 0; way < WAYS && chosen == WAYS; way++)
        if (!(at & used_bit(way))) chosen = way;
    return chosen;
}

slot *hot_offer(hot *h, uint64_t hash, slice key, uint64_t version, slice record)
{
    if (!h || key.len > ROOM || record.len > ROOM - key.len) return NULL;
    uint64_t set = set_of(h, hash);
    head     at = atomic_load_explicit(&h->heads[set], memory_order_relaxed);
    if ((uint16_t)(at >> ASKED_SHIFT) != tag_of(hash)) {
        atomic_store_explicit(&h->heads[set], with_tag(at, ASKED_SHIFT, tag_of(hash)), memory_order_relaxed);
        return NULL;
    }
    unsigned way = choose(at, hash);
    if (way == WAYS) { /* spared for now */
        atomic_store_explicit(&h->heads[set], at & (used_bit(0) - 1), memory_order_relaxed);
        return NULL;
    }
    slot *s = &h->slots[set * WAYS + way];
    if (!take(s)) return NULL;
    at = with_tag(at, way * TAG_BITS, tag_of(hash)) & ~used_bit(way);
    atomic_store_explicit(&h->heads[set], at, memory_order_relaxed);
    s->hash = hash;
    s->version = version;
    s->key_len = (uint8_t)key.len;
    s->record_len = (uint8_t)record.len;
    if (key.len) memcpy(s->bytes, key.data, key.len);
    if (record.len) memcpy(s->bytes + key.len, record.data, record.len);
    return s;
}

void hot_settle(slot *s, uint64_t seq)
{
    s->seq = seq;
    give_back(s);
}
