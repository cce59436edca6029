/* Reading everything now and then, so that damage is found while there is still a backup without it.
 *
 * A thread of low priority verifies the tables, and then the blob files, one after the other, in the order of their numbers, at SCRUB_BYTES_PER_S, and begins
 * anew a while after the last. It holds one table at a time, so compaction can remove the others meanwhile. Damage is logged, counted,
 * and told by the property "error"; the store goes on, for all that is not damaged can still be read. */
#include "engine/db_impl.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum {
    FIRST_PASS_S = 10 * 60,
    NEXT_PASS_S = 24 * 60 * 60,
    SCRUB_NICE = 19,
};
#define SCRUB_BYTES_PER_S (UINT64_C(4) << 20)

/* Waits unless the store is being closed. mu held. */
static void wait_seconds(db *d, uint64_t seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    while (!d->closing && pthread_cond_timedwait(&d->scrub_ends, &d->mu, &until) != ETIMEDOUT) continue;
}

/* Called by table_verify each time it has read so much. False: stop. */
static bool pause_after(void *arg, uint64_t bytes)
{
    db             *d = arg;
    struct timespec until;
    uint64_t        ns = bytes * 1000000000 / SCRUB_BYTES_PER_S;
    d->counters.scrub_bytes += bytes;
    if (d->options.inline_work) return true;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&d->mu);
    while (!d->closing && pthread_cond_timedwait(&d->scrub_ends, &d->mu, &until) != ETIMEDOUT) continue;
    bool go_on = !d->closing;
    pthread_mutex_unlock(&d->mu);
    return go_on;
}

/* The table with the lowest number above `after`, with a reference; NULL: there is none. */
static table_ref *next_table(db *d, uint64_t after)
{
    view      *v = db_view_take(d);
    table_ref *best = NULL;
    for (uint32_t i = 0; i < LEVELS; i++)
        for (size_t k = 0; k < v->version->levels[i].count; k++) {
            table_ref *t = v->version->levels[i].tables[k];
            if (t->file_no > after && (!best || t->file_no < best->file_no)) best = t;
        }
    if (best) table_ref_take(best);
    view_drop(v);
    return best;
}

static blob_file *next_blob(db *d, uint64_t after)
{
    view      *v = db_view_take(d);
    blob_file *next = NULL;
    for (size_t i = 0; i < v->version->n_blobs && !next; i++)
        if (v->version->blobs[i].file->file_no > after) next = v->version->blobs[i].file;
    if (next) blob_file_take(next);
    view_drop(v);
    return next;
}

static void note_result(db *d, chr_status st, chr_status *worst)
{
    if (st != CHR_CORRUPT && st != CHR_IO) return;
    *worst = st;
    log_line(LOG_ERROR, "scrub", "damage", "reason=\"%s\"", chr_message());
    pthread_mutex_lock(&d->mu);
    d->counters.scrub_damaged++;
    snprintf(d->scrub_text, sizeof d->scrub_text, "%s", chr_message());
    pthread_mutex_unlock(&d->mu);
}

chr_status db_scrub(db *d)
{
    chr_status worst = CHR_OK;
    uint64_t   after = 0;
    for (table_ref *t; !d->closing && (t = next_table(d, after)); table_ref_drop(t)) {
        after = t->file_no;
        note_result(d, table_verify(t->table, pause_after, d), &worst);
    }
    after = 0;
    for (blob_file *f; !d->closing && (f = next_blob(d, after)); blob_file_drop(f)) {
        after = f->file_no;
        note_result(d, blob_verify(f, NULL, 0, pause_after, d), &worst);
    }
    return worst == CHR_OK ? CHR_OK : chr_fail(worst, "%s", d->scrub_text);
}

void *db_scrub_main(void *arg)
{
    db *d = arg;
    /* Linux keeps niceness per thread. */
    (void)setpriority(PRIO_PROCESS, 0, SCRUB_NICE);
    pthread_mutex_lock(&d->mu);
    for (uint64_t pause = FIRST_PASS_S; !d->closing; pause = NEXT_PASS_S) {
        wait_seconds(d, pause);
        pthread_mutex_unlock(&d->mu);
        (void)db_scrub(d);
        pthread_mutex_lock(&d->mu);
    }
    pthread_mutex_unlock(&d->mu);
    return NULL;
}
