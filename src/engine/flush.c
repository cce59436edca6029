/* Immutable memtables become tables of level 0, and the threads that do this and compaction. */
#include "engine/blob_gc.h"
#include "engine/blob_keep.h"
#include "engine/build.h"

#include "base/arena.h"
#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum {
    RETRY_SECONDS = 1, /* after a full disk */
    IDLE_SECONDS = 2,  /* after which memory is given back */
    COMPACT_NICE = 10, /* readers and writers come first */
};

table_options db_table_options(const db *d, uint32_t at_level)
{
    const chr_options *o = &d->options.chr;
    return (table_options){
        .block_bytes = o->block_bytes,
        .filter_bits = o->filter_bits,
        .compression = at_level == LEVELS - 1 ? o->bottom_compression : o->compression,
    };
}

chr_status flush_memtable(db *d, mem_ref *m, version_edit *edit)
{
    build_job  job = { .db = d, .level = 0, .cut_bytes = UINT64_MAX };
    chr_status st = memtable_rangedels(m->mem, &job.dels);
    if (!chr_ok(st)) return st;
    pthread_mutex_lock(&d->mu);
    job.n_snapshots = db_snapshot_seqs(d, &job.snapshots);
    pthread_mutex_unlock(&d->mu);
    job.in = memtable_iter_new(m->mem);
    st = job.snapshots && job.in ? blob_keep_segment(d, m, &job.blobs) : chr_nomem();
    if (chr_ok(st)) st = build_tables(&job);
    if (chr_ok(st)) {
        assert(job.n_out <= 1);
        d->counters.flush_bytes += job.bytes_out;
        d->counters.flushes += job.n_out;
        st = build_keep_results(&job, edit);
    }
    if (!chr_ok(st)) build_drop_results(&job, true);
    iter_free(job.in);
    free(job.snapshots);
    return st;
}

chr_status db_flush_oldest(db *d)
{
    view        *v = db_view_take(d);
    version_edit edit = { 0 };
    assert(v->n_mem > 1);
    mem_ref *oldest = v->mem[v->n_mem - 1];
    bool     unused = false;
    /* A table has only the newest version of a key. If the log then could not keep that one, it would be hidden, and the
     * acknowledged version before it would be gone. */
    chr_status st = db_wait(d, oldest->last_seq);
    if (chr_ok(st)) st = db_failure(d);
    if (chr_ok(st)) st = flush_memtable(d, oldest, &edit);
    if (chr_ok(st)) {
        edit.log_no = v->mem[v->n_mem - 2]->log_no;
        edit.flushed_seq = oldest->last_seq;
        st = db_install(d, &edit, true);
        /* After any other failure the edit may be in force at the next opening, which then needs the table. */
        unused = st == CHR_NO_MEMORY || st == CHR_NO_SPACE;
        if (chr_ok(st)) {
            blob_kept(d, &edit);
            wal_release(d->wal, edit.log_no);
        }
    }
    edit_release(&edit, unused);
    view_drop(v);
    return st;
}

/* ---- threads ---- */

static bool has_immutable(db *d) { return atomic_load_explicit(&d->view, memory_order_acquire)->n_mem > 1; }

/* mu held. After a failure: waits a while before the next try, or until closing if there is none. */
static void wait_after_failure(db *d)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_SECONDS;
    while (!d->closing && d->background_final) pthread_cond_wait(&d->work, &d->mu);
    while (!d->closing && pthread_cond_timedwait(&d->work, &d->mu, &until) != ETIMEDOUT) continue;
}

void *db_flush_main(void *arg)
{
    db  *d = arg;
    bool tried = false; /* to prepare a segment; if it fails, the writer that needs it tries again and gets the error */
    bool flushed = false; /* not long ago: a new memtable may soon need the memory of the last one */
    pthread_mutex_lock(&d->mu);
    while (!d->closing) {
        if (!wal_prepared(d->wal) && !tried) {
            tried = true;
            pthread_mutex_unlock(&d->mu);
            (void)wal_prepare(d->wal, &d->next_file_no);
            pthread_mutex_lock(&d->mu);
            continue;
        }
        tried = false;
        if (!has_immutable(d)) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += IDLE_SECONDS;
            if (!flushed) {
                pthread_cond_wait(&d->work, &d->mu);
            } else if (pthread_cond_timedwait(&d->work, &d->mu, &until) == ETIMEDOUT) {
                flushed = false;
                arena_trim();
                (void)malloc_trim(0); /* and what big values have left behind */
            }
            continue;
        }
        flushed = true;
        pthread_mutex_unlock(&d->mu);
        chr_status st = db_flush_oldest(d);
        if (!chr_ok(st)) db_background_failed(d, st);
        epoch_collect(d->epoch);
        pthread_mutex_lock(&d->mu);
        if (chr_ok(st) && !d->background_final) d->background = CHR_OK;
        pthread_cond_broadcast(&d->progress);
        if (!chr_ok(st)) wait_after_failure(d);
    }
    pthread_mutex_unlock(&d->mu);
    return NULL;
}

/* mu held; lets go of it while it works. False: there was nothing to do. */
static bool compact_once(db *d, chr_status *st)
{
    compaction         c = { 0 };
    manual_compaction *m = d->manual;
    view              *v = atomic_load_explicit(&d->view, memory_order_acquire);
    *st = CHR_OK;
    bool found = m ? pick_manual(d, v->version, m->start, m->end, &c, st)
                   : pick_blobs(d, v->version, true, &c, st) || pick_compaction(d, v->version, &c, st) ||
                         pick_blobs(d, v->version, false, &c, st) || pick_forgotten(d, v->version, &c, st);
    if (found) {
        pthread_mutex_unlock(&d->mu);
        *st = compaction_run(d, &c);
        compaction_free(&c);
        if (!chr_ok(*st)) db_background_failed(d, *st);
        epoch_collect(d->epoch);
        pthread_mutex_lock(&d->mu);
        if (chr_ok(*st) && !d->background_final) d->background = CHR_OK;
    }
    if (m) {
        d->manual = m->next;
        m->st = *st;
        if (!chr_ok(*st)) buf_set(&m->error, chr_str(chr_message()));
        m->done = true;
    }
    pthread_cond_broadcast(&d->progress);
    return found || m;
}

void *db_compact_main(void *arg)
{
    db *d = arg;
    /* Linux keeps niceness per thread. */
    (void)setpriority(PRIO_PROCESS, 0, COMPACT_NICE);
    pthread_mutex_lock(&d->mu);
    while (!d->closing) {
        chr_status st;
        if (d->background_final && d->manual) { /* nobody must wait for ever */
            d->manual->st = d->background;
            buf_set(&d->manual->error, chr_str(d->background_text));
            d->manual->done = true;
            d->manual = d->manual->next;
            pthread_cond_broadcast(&d->progress);
            continue;
        }
        if (d->background_final || !compact_once(d, &st)) {
            pthread_cond_wait(&d->work, &d->mu);
            continue;
        }
        if (!chr_ok(st) && !d->closing) wait_after_failure(d);
    }
    for (; d->manual; d->manual = d->manual->next) {
        d->manual->st = chr_fail(CHR_CLOSING, "the store is being closed");
        buf_set(&d->manual->error, chr_str(chr_message()));
        d->manual->done = true;
    }
    pthread_cond_broadcast(&d->progress);
    pthread_mutex_unlock(&d->mu);
    return NULL;
}

void db_work_inline(db *d)
{
    chr_status st = CHR_OK;
    while (chr_ok(st) && has_immutable(d)) st = db_flush_oldest(d);
    pthread_mutex_lock(&d->mu);
    if (chr_ok(st) && !d->background_final) d->background = CHR_OK;
    pthread_mutex_unlock(&d->mu);
    if (!chr_ok(st)) {
        db_background_failed(d, st);
        return;
    }
    pthread_mutex_lock(&d->mu);
    while (!d->background_final && compact_once(d, &st) && chr_ok(st)) continue;
    pthread_mutex_unlock(&d->mu);
}

/* ---- asked for ---- */

chr_status db_flush(db *d)
{
    chr_status st = CHR_OK;
    if (d->read_only) return chr_fail(CHR_READ_ONLY, "the store was opened read-only");
    pthread_mutex_lock(&d->write_mu);
    uint64_t upto = db_last_seq(d);
    for (;;) {
        epoch_enter(d->epoch);
        const view *v = db_view_now(d);
        bool        empty = memtable_entries(v->mem[0]->mem) == 0, full = v->n_mem > IMMUTABLE_MAX;
        epoch_exit(d->epoch);
        if (empty || !chr_ok(st = db_failure(d))) break;
        if (!full) {
            st = db_switch_memtable(d);
            break;
        }
        pthread_mutex_unlock(&d->write_mu);
        pthread_mutex_lock(&d->mu);
        /* It may have come to an end meanwhile, and then nobody would wake us. */
        while (chr_ok(st = db_background_status(d)) && !d->closing &&
               atomic_load_explicit(&d->view, memory_order_acquire)->n_mem > IMMUTABLE_MAX)
            pthread_cond_wait(&d->progress, &d->mu);
        if (chr_ok(st) && d->closing) st = chr_fail(CHR_CLOSING, "the store is being closed");
        pthread_mutex_unlock(&d->mu);
        if (!chr_ok(st)) return st;
        pthread_mutex_lock(&d->write_mu);
    }
    if (chr_ok(st) && d->options.inline_work) db_work_inline(d);
    pthread_mutex_unlock(&d->write_mu);
    if (!chr_ok(st)) return st;

    pthread_mutex_lock(&d->mu);
    for (;;) {
        view *v = atomic_load_explicit(&d->view, memory_order_acquire);
        if (v->n_mem == 1 || v->mem[v->n_mem - 1]->last_seq > upto) break; /* immutables are flushed oldest first */
        if (!chr_ok(st = db_background_status(d))) break;
        if (d->closing) {
            st = chr_fail(CHR_CLOSING, "the store is being closed");
            break;
        }
        pthread_cond_wait(&d->progress, &d->mu);
    }
    pthread_mutex_unlock(&d->mu);
    return st;
}

chr_status db_compact(db *d, slice start, slice end)
{
    chr_status st = db_flush(d);
    if (!chr_ok(st)) return st;
    manual_compaction m = { .start = start, .end = end };
    pthread_mutex_lock(&d->mu);
    manual_compaction **last = &d->manual;
    while (*last) last = &(*last)->next;
    *last = &m;
    pthread_cond_broadcast(&d->work);
    while (!m.done) {
        if (d->options.inline_work)
            (void)compact_once(d, &st);
        else
            pthread_cond_wait(&d->progress, &d->mu);
    }
    pthread_mutex_unlock(&d->mu);
    st = chr_ok(m.st) ? CHR_OK : chr_fail(m.st, "%.*s", (int)m.error.len, m.error.data ? m.error.data : "");
    chr_buf_free(&m.error);
    return st;
}
