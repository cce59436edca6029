/* What the files of the object layer share, and nobody else sees. */
#ifndef CHR_OBJECT_STORE_INTERNAL_H
#define CHR_OBJECT_STORE_INTERNAL_H

#include "base/hash.h"
#include "object/hot.h"
#include "object/keys.h"
#include "object/record.h"
#include "object/staging.h"
#include "object/stripes.h"
#include "object/watch.h"

#include <stdatomic.h>

enum {
    PREWRITE_BYTES =
        4 << 20, /* a value that takes a batch above this is written ahead of the batch, in batches this big */
    CHUNK_DELETES_MAX = 256, /* more chunks than this are deleted by one range delete */
    TXN_SPARES = 16,         /* transactions kept for reuse */
    ID_BLOCK = 4096,         /* big ids taken at a time */
};

struct chr_store {
    db             *d;
    env            *e;
    uint64_t        hash_seed;   /* random, so that nobody can choose keys that collide */
    record_defaults defaults[2]; /* by object_space */
    bool            read_only;
    stripes         locks;
    hot            *often; /* read; NULL: goes without */
    watches         watching;
    _Atomic(txn *)  spares[TXN_SPARES];

    pthread_mutex_t id_lock;
    uint64_t        next_id, ids_end; /* under id_lock: the ids of the block that are not given out yet */

    buf undiscarded; /* under id_lock: u64 ids that big_discard could not delete, to be tried again */

    _Atomic(uint64_t) sweep_at_ms;   /* when the next big value may expire, or the sweep goes on */
    pthread_mutex_t   sweep_lock;    /* one sweep at a time; the fields below are under it */
    buf               sweep_from;    /* where in SPACE_BIG the sweep goes on */
    uint64_t          sweep_next_ms; /* the earliest expiry it has passed that is still to come */
};

struct chr_snapshot {
    store            *s;
    db_snapshot      *at;
    uint64_t          wall_ns; /* of one with a name: when it was made; 0: it has none */
    _Atomic(uint32_t) users;   /* the caller and each iterator */
};
void snapshot_release(store_snapshot *snapshot);

struct txn {
    store      *s;
    const void *origin, *cause;
    stripe_set  held;
    uint32_t    stripe_count; /* held; STRIPES: all, and `held` is not filled in */
    uint32_t    stripe;       /* if it is one */
    staging     changes;
    uint64_t    seen;        /* newest seq that was read */
    chr_status  failed;      /* a change was staged in part: commit returns this and applies nothing */
    buf         failure;     /* its message */
    bool        expires;     /* what it deletes has expired */
    size_t      big_changes; /* staged changes in SPACE_BIG */
    uint64_t   *ahead;       /* ids of values written ahead of the batch */
    size_t      ahead_count;
    buf         ranges; /* deleted ones, for the watchers: u8 space, then start and end, each u8 0, or u8 1 and sized */
    buf         raw, other; /* records that were read */
    buf         head;       /* of a record with extended attributes */
    char       *chunk;      /* CHUNK_BYTES of scratch, or NULL so far */
    struct {                /* where the step began, while steps are made */
        size_t big_changes, ahead_count, ranges_len;
    } step;
};

static inline uint64_t key_hash(const store *s, slice key) { return hash64_seed(key, s->hash_seed); }
static inline bool     txn_holds(const txn *t, slice key)
{
    return t->stripe_count == STRIPES || stripe_set_has(&t->held, stripe_of(key_hash(t->s, key)));
}
static inline uint64_t chunks_of(uint64_t size) { return (size + CHUNK_BYTES - 1) / CHUNK_BYTES; }
/* What has expired by then is absent. */
static inline uint64_t moment_of(store *s, const store_snapshot *snapshot)
{
    return snapshot && snapshot->wall_ns ? snapshot->wall_ns / 1000000 : (uint64_t)store_now_ms(s);
}
static inline bool is_expired_at(store *s, const store_snapshot *snapshot, const object_meta *m)
{
    return __builtin_expect(m->expire_ms != 0, 0) && m->expire_ms <= moment_of(s, snapshot);
}
static inline bool is_expired(store *s, const object_meta *m) { return is_expired_at(s, NULL, m); }

/* ---- steps of a transaction (steps.c) ---- */

/* What this thread has entered. Initial-exec: it is asked for by every call, in the shared library too. */
extern _Thread_local txn *txn_entered __attribute__((tls_model("initial-exec")));
static inline txn        *entered(const store *s)
{
    txn *t = txn_entered;
    return __builtin_expect(t != NULL, 0) && t->s == s ? t : NULL;
}
/* The same, if it has locked the key. */
static inline txn *entered_for(const store *s, slice key)
{
    txn *t = entered(s);
    return __builtin_expect(t != NULL, 0) && txn_holds(t, key) ? t : NULL;
}
txn       *txn_step_begin(txn *t, const slice *keys, size_t n);
chr_status txn_step_commit(txn *t, uint64_t *seq);
void       txn_step_abort(txn *t);

/* ---- transactions (txn.c) ---- */

txn *txn_take(store *s);    /* a fresh one that holds no stripe; NULL: no memory */
void txn_give_back(txn *t); /* which holds none any more */
/* Marks the transaction as failed if `st` is an error, and returns it. */
chr_status txn_poison(txn *t, chr_status st);
/* The record of a key as the transaction sees it, expired or not, copied to `raw`. CHR_NOT_FOUND without a message. */
chr_status txn_load(txn *t, object_space space, slice key, buf *raw, record *rec);
/* Stages a record; `value` NULL data: a value in chunks, `big_id` and meta->size. */
chr_status txn_stage_record(txn *t, object_space space, slice key, const object_meta *meta, slice xattrs, slice value,
                            uint64_t big_id);
/* Stages the deletion of the chunks and the registration of what `key` holds, if that is `rec` in chunks. */
chr_status txn_drop_big(txn *t, slice key, const record *rec);

/* ---- values in chunks (chunks.c) ---- */

chr_status big_new_id(store *s, uint64_t *id);
/* Writes a value's chunks under a new id, in several batches; a record in SPACE_PENDING marks them as not referred to. */
chr_status big_write_ahead(store *s, slice value, uint64_t *id);
/* Deletes what big_write_ahead wrote and nobody came to refer to. On failure (a full disk, say) a later sweep tries again,
 * and in the end the next opening. */
void big_discard(store *s, uint64_t id);
void big_discard_again(store *s);
/* `len` bytes from `offset`, all below the value's size. */
chr_status big_read(store *s, const db_snapshot *at, uint64_t id, uint64_t offset, char *to, size_t len);
/* As store_data; CHR_NOT_FOUND: no more data. */
chr_status big_data(store *s, const db_snapshot *at, uint64_t id, uint64_t offset, uint64_t *start, uint64_t *end);
chr_status big_get(store *s, const db_snapshot *at, const record *rec,
                   buf *value); /* CHR_TOO_BIG above CHR_VALUE_MAX */
chr_status txn_big_get(txn *t, const record *rec, buf *value);
chr_status txn_stage_chunks(txn *t, uint64_t id, slice value);
chr_status txn_delete_chunks(txn *t, uint64_t id, uint64_t from, uint64_t to);
chr_status txn_register_big(txn *t, slice key, uint64_t id, uint64_t expire_ms);
chr_status txn_unregister_big(txn *t, slice key);

/* ---- expiry (expire.c) ---- */

db_drop_fn expire_drop;                               /* arg: the store */
void       expire_note(store *s, uint64_t expire_ms); /* a big value has been given an expiry */
/* A bounded piece of work; by a thread that holds no transaction. */
void               expire_sweep_step(store *s);
void               expire_sweep_all(store *s);
static inline bool expire_sweep_is_due(store *s)
{
    uint64_t at = atomic_load_explicit(&s->sweep_at_ms, memory_order_relaxed);
    return __builtin_expect(at != UINT64_MAX, 0) && at <= (uint64_t)store_now_ms(s);
}

#endif
