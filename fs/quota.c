/* The mount option max_size: how many bytes the store may have before the mount takes no more. Counted is what the engine cannot do without:
 * tables, the values in blob files that they refer to, and what is in memory still, here and in the engine. That is cheap to know,
 * but has in it what was overwritten or deleted and not compacted yet. So before anything is refused, the store is compacted,
 * in the request that would be refused. mu held throughout, but while compacting. */
#include "fs/fs.h"

#include "base/log.h"

#include <errno.h>

enum {
    OBJECT_BYTES = 256, /* a new name costs this, besides its bytes */
    REST = 10,          /* times as long as a compaction took, none follows */
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
    uint64_t now = env_monotonic_ns(db_env(store_db(m->store)));
    return now >= m->quota_rest_until_ns && db_last_seq(store_db(m->store)) != m->quota_compacted_seq;
}

int quota_check(mount *m, node *n, uint64_t bytes)
{
    if (!m->options.max_size || fits(m, bytes)) return 0;
    if (!worth_compacting(m)) return EDQUOT;
    env     *e = db_env(store_db(m->store));
    uint64_t begin = env_monotonic_ns(e);
    m->quota_compacted_seq = db_last_seq(store_db(m->store));
    m->quota_rest_until_ns = UINT64_MAX; /* not two at once */
    n->refs++;
    pthread_mutex_unlock(&m->mu);
    chr_status st = chr_compact(m->store);
    uint64_t   end = env_monotonic_ns(e);
    pthread_mutex_lock(&m->mu);
    n->refs--;
    m->quota_rest_until_ns = end + REST * (end - begin);
    if (st != CHR_OK) log_line(LOG_ERROR, "fs", "could not compact for max_size", "reason=\"%s\"", chr_message());
    return fits(m, bytes) ? 0 : EDQUOT;
}

int quota_check_name(mount *m, node *parent, const char *name)
{
    return quota_check(m, parent, OBJECT_BYTES + parent->key.len + strlen(name));
}
