/* Moments of the store. One without a name shows what has not expired by the clock; one with a name what had not when it was made,
 * so that it never changes. */
#include "object/store_internal.h"

#include <stdlib.h>

static store_snapshot *alloc(store *s)
{
    store_snapshot *snapshot = malloc(sizeof *snapshot);
    if (!snapshot) {
        (void)chr_nomem();
        return NULL;
    }
    snapshot->s = s;
    snapshot->wall_ns = 0;
    atomic_init(&snapshot->users, 1);
    return snapshot;
}

chr_status chr_snapshot_new(chr_store *s, chr_snapshot **out)
{
    store_snapshot *snapshot = alloc(s);
    if (!snapshot) return CHR_NO_MEMORY;
    chr_status st = db_snapshot_new(s->d, &snapshot->at);
    if (chr_ok(st))
        *out = snapshot;
    else
        free(snapshot);
    return st;
}

chr_status store_snapshot_open(store *s, slice name, store_snapshot **out)
{
    store_snapshot *snapshot = alloc(s);
    if (!snapshot) return CHR_NO_MEMORY;
    chr_status st = db_snapshot_open(s->d, name, &snapshot->at, &snapshot->wall_ns);
    if (chr_ok(st))
        *out = snapshot;
    else
        free(snapshot);
    return st;
}

int64_t store_snapshot_ns(const store_snapshot *snapshot) { return (int64_t)snapshot->wall_ns; }

bool store_snapshots_equal(const store_snapshot *a, const store_snapshot *b)
{
    return db_snapshot_seq(a->at) == db_snapshot_seq(b->at) && a->wall_ns == b->wall_ns;
}

void snapshot_release(store_snapshot *snapshot)
{
    if (atomic_fetch_sub_explicit(&snapshot->users, 1, memory_order_acq_rel) > 1) return;
    db_snapshot_free(snapshot->s->d, snapshot->at);
    free(snapshot);
}

void chr_snapshot_free(chr_snapshot *snapshot)
{
    if (snapshot) snapshot_release(snapshot);
}
