/* The locks of transactions, and under each the keys with values in chunks.
 *
 * A key belongs to one of STRIPES stripes by its hash. Whoever takes several takes them in ascending order, so nobody
 * deadlocks. A stripe's lock is one word while nobody waits; waiters park on one of a few condition variables. (Not
 * a pthread mutex each: a transaction may hold all stripes, and the sanitizers follow no more than 64 mutexes a thread.)
 *
 * Below its lock a stripe keeps the hashes of its keys whose value is in chunks: a put that replaces a value must
 * delete the chunks, and need not read the old record when the hash is not here. A hash too many only costs a read. */
#ifndef CHR_OBJECT_STRIPES_H
#define CHR_OBJECT_STRIPES_H

#include "base/bytes.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STRIPES = 8192, STRIPE_WORDS = STRIPES / 64, PARKS = 16 };

typedef struct stripe {
    _Alignas(32) _Atomic(uint32_t) state; /* 0 free, 1 taken, 2 taken and perhaps waited for */
    uint32_t          count, slots;       /* of `hashes`: used; all, a power of two or 0 */
    uint64_t         *hashes;             /* 0: empty */
    _Atomic(uint64_t) version;            /* raised before a batch that changes its keys can be seen */
} stripe;

typedef struct stripes {
    stripe at[STRIPES];
    struct {
        pthread_mutex_t lock;
        pthread_cond_t  freed;
    } parks[PARKS];
} stripes;

typedef struct stripe_set {
    uint64_t words[STRIPE_WORDS];
} stripe_set;

static inline uint32_t stripe_of(uint64_t hash) { return (uint32_t)(hash >> 32) % STRIPES; }
static inline void     stripe_set_add(stripe_set *set, uint32_t i) { set->words[i / 64] |= UINT64_C(1) << i % 64; }
static inline bool     stripe_set_has(const stripe_set *set, uint32_t i) { return set->words[i / 64] >> i % 64 & 1; }

void stripes_init(stripes *s);
void stripes_free(stripes *s);
void stripe_lock(stripes *s, uint32_t i);
void stripe_unlock(stripes *s, uint32_t i);
void stripes_lock(stripes *s, const stripe_set *set);
void stripes_unlock(stripes *s, const stripe_set *set);
void stripes_lock_all(stripes *s);
void stripes_unlock_all(stripes *s);

/* Raises the versions of stripes that the caller has locked. */
static inline void stripe_raise(stripe *at) { atomic_fetch_add_explicit(&at->version, 1, memory_order_acq_rel); }
void               stripes_raise(stripes *s, const stripe_set *set);
void               stripes_raise_all(stripes *s);
/* Without its lock. *settled: nobody has the lock, so what is then read of the stripe's keys is right for this version; if it is
 * outdated by then, so is the version. */
static inline uint64_t stripe_version(const stripe *at, bool *settled)
{
    uint64_t version = atomic_load_explicit(&at->version, memory_order_acquire);
    *settled = atomic_load_explicit(&at->state, memory_order_acquire) == 0;
    return version;
}

/* All with the stripe of `hash` locked. */
bool stripes_may_be_big(const stripes *s, uint64_t hash);
bool stripes_add_big(stripes *s, uint64_t hash); /* false: no memory */
void stripes_remove_big(stripes *s, uint64_t hash);

#endif
