/* What the store says of itself. */
#include "engine/db_impl.h"

#include <inttypes.h>

void db_get_stats(db *d, chr_stats *s)
{
    view       *v = db_view_take(d);
    cache_stats cached = cache_get_stats(d->cache);
    wal_stats   log = d->wal ? wal_get_stats(d->wal) : (wal_stats){ 0 };
    *s = (chr_stats){
        .wal_bytes = log.bytes,
        .wal_syncs = log.syncs,
        .wal_sync_us = log.sync_ns / 1000,
        .cache_bytes = cached.bytes,
        .cache_hits = cached.hits,
        .cache_misses = cached.misses,
        .flushes = d->counters.flushes,
        .compactions = d->counters.compactions,
        .compaction_bytes_read = d->counters.compaction_read,
        .compaction_bytes_written = d->counters.compaction_written,
        .flush_bytes_written = d->counters.flush_bytes,
        .user_bytes_written = d->counters.user_bytes,
        .stall_us = d->counters.stall_ns / 1000,
        .read_only = d->read_only || !chr_ok(db_failure(d)),
    };
    for (size_t i = 0; i < v->n_mem; i++) {
        s->memtable_bytes += memtable_bytes(v->mem[i]->mem);
        s->keys_estimate += memtable_entries(v->mem[i]->mem);
    }
    for (uint32_t i = 0; i < LEVELS; i++) {
        const level *l = &v->version->levels[i];
        s->level_files[i] = (uint32_t)l->count;
        s->level_bytes[i] = l->bytes;
        s->disk_bytes += l->bytes;
        for (size_t k = 0; k < l->count; k++) {
            const table_info *t = table_ref_info(l->tables[k]);
            s->keys_estimate += t->entries > 2 * t->deletes ? t->entries - 2 * t->deletes : 0;
        }
    }
    s->blob_files = (uint32_t)v->version->n_blobs;
    s->blob_bytes = v->version->blob_bytes;
    s->blob_live_bytes = v->version->blob_live;
    s->disk_bytes += s->blob_bytes;
    view_drop(v);
}

uint64_t db_live_bytes(db *d)
{
    uint64_t bytes = 0;
    epoch_enter(d->epoch);
    const view *v = db_view_now(d);
    for (size_t i = 0; i < v->n_mem; i++) bytes += memtable_bytes(v->mem[i]->mem);
    for (uint32_t i = 0; i < LEVELS; i++) bytes += v->version->levels[i].bytes;
    bytes += v->version->blob_live;
    epoch_exit(d->epoch);
    return bytes;
}

static bool put_stats(db *d, buf *text)
{
    chr_stats s;
    db_get_stats(d, &s);
    double    written = (double)(s.wal_bytes + s.flush_bytes_written + s.compaction_bytes_written);
    double    amplification = s.user_bytes_written ? written / (double)s.user_bytes_written : 0;
    wal_stats log = d->wal ? wal_get_stats(d->wal) : (wal_stats){ 0 };
    return buf_printf(text,
                      "keys_estimate:%" PRIu64 "\ndisk_bytes:%" PRIu64 "\nmemtable_bytes:%" PRIu64
                      "\nuser_bytes_written:%" PRIu64 "\nwrite_amplification:%.2f\nwal_bytes:%" PRIu64
                      "\nwal_writes:%" PRIu64 "\nwal_syncs:%" PRIu64 "\nwal_sync_us_mean:%" PRIu64 "\nflushes:%" PRIu64
                      "\nflush_bytes:%" PRIu64 "\ncompactions:%" PRIu64 "\ntrivial_moves:%" PRIu64
                      "\ncompaction_bytes_read:%" PRIu64 "\ncompaction_bytes_written:%" PRIu64 "\ncache_bytes:%" PRIu64
                      "\ncache_hits:%" PRIu64 "\ncache_misses:%" PRIu64 "\nblob_files:%u\nblob_bytes:%" PRIu64
                      "\nblob_live_bytes:%" PRIu64 "\nstall_us:%" PRIu64
                      "\npressure:%u\nread_only:%d\nscrubbed_bytes:%" PRIu64 "\nscrub_damaged:%" PRIu64 "\n",
                      s.keys_estimate, s.disk_bytes, s.memtable_bytes, s.user_bytes_written, amplification, s.wal_bytes,
                      log.writes, s.wal_syncs, s.wal_syncs ? log.sync_ns / s.wal_syncs / 1000 : 0, s.flushes,
                      s.flush_bytes_written, s.compactions, (uint64_t)d->counters.trivial_moves,
                      s.compaction_bytes_read, s.compaction_bytes_written, s.cache_bytes, s.cache_hits, s.cache_misses,
                      s.blob_files, s.blob_bytes, s.blob_live_bytes, s.stall_us, d->pressure, s.read_only,
                      (uint64_t)d->counters.scrub_bytes, (uint64_t)d->counters.scrub_damaged);
}

static bool put_levels(db *d, buf *text)
{
    view *v = db_view_take(d);
    bool  good = true;
    for (uint32_t i = 0; i < LEVELS && good; i++)
        if (v->version->levels[i].count)
            good = buf_printf(text, "level%u:files=%zu,bytes=%" PRIu64 ",score=%.2f\n", i, v->version->levels[i].count,
                              v->version->levels[i].bytes, level_score(d, v->version, i));
    view_drop(v);
    return good;
}

static bool put_error(db *d, buf *text)
{
    if (!chr_ok(db_failure(d))) return buf_printf(text, "%s\n", chr_message());
    pthread_mutex_lock(&d->mu);
    bool good = (d->background == CHR_OK || buf_printf(text, "%s\n", d->background_text)) &&
                (!d->scrub_text[0] || buf_printf(text, "%s\n", d->scrub_text));
    pthread_mutex_unlock(&d->mu);
    return good;
}

chr_status db_property(db *d, const char *name, buf *text)
{
    bool good;
    text->len = 0;
    if (strcmp(name, "stats") == 0)
        good = put_stats(d, text) && put_levels(d, text);
    else if (strcmp(name, "levels") == 0)
        good = put_levels(d, text);
    else if (strcmp(name, "error") == 0)
        good = put_error(d, text);
    else
        return chr_fail(CHR_NOT_FOUND, "there is no property called %s", name);
    return good ? CHR_OK : chr_nomem();
}
