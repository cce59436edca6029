/* The mount option max_size: how many bytes the store may have before the mount takes no more. Counted is what the engine cannot do without:
 * tables, the values in blob files that they refer to, and what is in memory still, here and in the engine. That is cheap to know,
 * but has in it what was overwritten or deleted and not compacted yet. So before anything is refused, the store is compacted,
 * and the request that would be refused waits for it, for a while. mu held throughout, but while waiting. */
#include "fs/fs.h"

#include <errno.h>
#include <time.h>

enum {
    OBJECT_BYTES = 256, /* a new name costs this, besides its bytes */
    REST = 10,          /* times as long as a compaction took, none follows */
    WAIT_SECONDS = 5,
};

uint64_t quota_used(mount *m) { return db_live_bytes(store_db(m->store)) + m->dirty_bytes; }

static bool fits(mount *m, uint64_t bytes)
{
    uint64_t used = quota_used(m);
    return used <= m->options.max_size && bytes <= m->options.max_size - used;
}

/* Compaction does not help if nothing was written since the last one, and must not be all that is done. */
static bool worth_compacting(mount *m)
{
    uint64_t since = env_monotonic_ns(db_env(store_db(m->store))) - m->compacted_ns;
    return since >= REST * m->compaction_ns && db_last_seq(store_db(m->store)) != m->compacted_seq;
}

int quota_check(mount *m, node *n, uint64_t bytes)
{
    if (!m->options.max_size || fits(m, bytes)) return 0;
    if (!m->compacting && (!worth_compacting(m) || !control_compact(m))) return EDQUOT;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_SECONDS;
    n->refs++;
    while (m->compacting && pthread_cond_timedwait(&m->compacted, &m->mu, &until) != ETIMEDOUT) continue;
    n->refs--;
    return fits(m, bytes) ? 0 : EDQUOT;
}

int quota_check_name(mount *m, node *parent, const char *name)
{
    return quota_check(m, parent, OBJECT_BYTES + parent->key.len + strlen(name));
}
