#include "object/stripes.h"

#include <stdlib.h>

void stripes_init(stripes *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < PARKS; i++) {
        pthread_mutex_init(&s->parks[i].lock, NULL);
        pthread_cond_init(&s->parks[i].freed, NULL);
    }
}

void stripes_free(stripes *s)
{
    for (uint32_t i = 0; i < STRIPES; i++) free(s->at[i].hashes);
    for (int i = 0; i < PARKS; i++) {
        pthread_cond_destroy(&s->parks[i].freed);
        pthread_mutex_destroy(&s->parks[i].lock);
    }
}

void stripe_lock(stripes *s, uint32_t i)
{
    stripe  *at = &s->at[i];
    uint32_t expected = 0;
    if (atomic_compare_exchange_strong_explicit(&at->state, &expected, 1, memory_order_acquire, memory_order_relaxed))
        return;
    pthread_mutex_lock(&s->parks[i % PARKS].lock);
    while (atomic_exchange_explicit(&at->state, 2, memory_order_acquire) != 0)
        pthread_cond_wait(&s->parks[i % PARKS].freed, &s->parks[i % PARKS].lock);
    pthread_mutex_unlock(&s->parks[i % PARKS].lock);
}

void stripe_unlock(stripes *s, uint32_t i)
{
    uint32_t was = atomic_exchange_explicit(&s->at[i].state, 0, memory_order_release);
    assert(was != 0);
    if (was != 2) return;
    /* Whoever set it to 2 did so under the park's lock and waits by the time we have that. */
    pthread_mutex_lock(&s->parks[i % PARKS].lock);
    pthread_cond_broadcast(&s->parks[i % PARKS].freed);
    pthread_mutex_unlock(&s->parks[i % PARKS].lock);
}

void stripes_lock(stripes *s, const stripe_set *set)
{
    for (uint32_t w = 0; w < STRIPE_WORDS; w++)
        for (uint64_t left = set->words[w]; left; left &= left - 1)
            stripe_lock(s, w * 64 + (uint32_t)__builtin_ctzll(left));
}

void stripes_unlock(stripes *s, const stripe_set *set)
{
    for (uint32_t w = 0; w < STRIPE_WORDS; w++)
        for (uint64_t left = set->words[w]; left; left &= left - 1)
            stripe_unlock(s, w * 64 + (uint32_t)__builtin_ctzll(left));
}

void stripes_raise(stripes *s, const stripe_set *set)
{
    for (uint32_t w = 0; w < STRIPE_WORDS; w++)
        for (uint64_t left = set->words[w]; left; left &= left - 1)
            stripe_raise(&s->at[w * 64 + (uint32_t)__builtin_ctzll(left)]);
}

void stripes_raise_all(stripes *s)
{
    for (uint32_t i = 0; i < STRIPES; i++) stripe_raise(&s->at[i]);
}

void stripes_lock_all(stripes *s)
{
    for (uint32_t i = 0; i < STRIPES; i++) stripe_lock(s, i);
}

void stripes_unlock_all(stripes *s)
{
    for (uint32_t i = 0; i < STRIPES; i++) stripe_unlock(s, i);
}

/* ---- the set of hashes: linear probing, at most half full ---- */

enum { SET_SLOTS_MIN = 8 };

static uint64_t usable(uint64_t hash) { return hash ? hash : 1; }

/* The slot of `hash`, or the empty one where it belongs. */
static uint32_t slot_of(const stripe *at, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (at->slots - 1);
    while (at->hashes[i] && at->hashes[i] != hash) i = (i + 1) & (at->slots - 1);
    return i;
}

bool stripes_may_be_big(const stripes *s, uint64_t hash)
{
    const stripe *at = &s->at[stripe_of(hash)];
    return at->count && at->hashes[slot_of(at, usable(hash))];
}

static bool grow(stripe *at)
{
    stripe bigger = { .slots = at->slots ? at->slots * 2 : SET_SLOTS_MIN };
    bigger.hashes = calloc(bigger.slots, sizeof *bigger.hashes);
    if (!bigger.hashes) return false;
    for (uint32_t i = 0; i < at->slots; i++)
        if (at->hashes[i]) bigger.hashes[slot_of(&bigger, at->hashes[i])] = at->hashes[i];
    free(at->hashes);
    at->hashes = bigger.hashes;
    at->slots = bigger.slots;
    return true;
}

bool stripes_add_big(stripes *s, uint64_t hash)
{
    stripe *at = &s->at[stripe_of(hash)];
    if (at->count >= at->slots / 2 && !grow(at)) return false;
    uint64_t *slot = &at->hashes[slot_of(at, usable(hash))];
    if (!*slot) at->count++;
    *slot = usable(hash);
    return true;
}

void stripes_remove_big(stripes *s, uint64_t hash)
{
    stripe *at = &s->at[stripe_of(hash)];
    if (!at->count) return;
    uint32_t mask = at->slots - 1, hole = slot_of(at, usable(hash));
    if (!at->hashes[hole]) return;
    at->count--;
    /* Those behind move up, unless that would put them before the slot they hash to. */
    for (uint32_t i = (hole + 1) & mask; at->hashes[i]; i = (i + 1) & mask) {
        if (((i - (uint32_t)at->hashes[i]) & mask) < ((i - hole) & mask)) continue;
        at->hashes[hole] = at->hashes[i];
        hole = i;
    }
    at->hashes[hole] = 0;
}
