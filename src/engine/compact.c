/* Running one compaction: merge its inputs into new tables of the target level and put those in their place. */
#include "engine/blob_gc.h"
#include "engine/build.h"

#include "base/log.h"
#include "engine/level_iter.h"

#include <stdlib.h>

enum {
    DRAIN_SAMPLE_NS = 10 * 1000 * 1000, /* shorter compactions say nothing about speed */
};

/* The range tombstones of all inputs as one set; NULL if there are none. */
static chr_status gather_range_deletes(const compaction *c, rangedel **out)
{
    range_tombstone *all = NULL;
    size_t           n = 0, cap = 0;
    *out = NULL;
    for (int which = 0; which < 2; which++)
        for (size_t i = 0; i < c->n_inputs[which]; i++) {
            const rangedel *set = table_rangedels(c->inputs[which][i]->table);
            for (size_t k = 0, fragments = set ? rangedel_count(set) : 0; k < fragments; k++) {
                range_fragment f = rangedel_at(set, k);
                if (n + f.n_seqs > cap) {
                    cap = 2 * (n + f.n_seqs);
                    range_tombstone *more = realloc(all, cap * sizeof *more);
                    if (!more) {
                        free(all);
                        return chr_nomem();
                    }
                    all = more;
                }
                for (size_t s = 0; s < f.n_seqs; s++) all[n++] = (range_tombstone){ f.start, f.end, f.seqs[s] };
            }
        }
    if (n > 0) *out = rangedel_new(all, n);
    bool failed = n > 0 && !*out;
    free(all);
    return failed ? chr_nomem() : CHR_OK;
}

/* Tables of level 0 each on their own; of a deeper level, which are disjoint and come in order, as one. */
static chr_status open_inputs(const compaction *c, iter **out)
{
    size_t n = 0;
    iter **sources = calloc(c->n_inputs[0] + LEVELS + 1, sizeof *sources);
    if (!sources) return chr_nomem();
    bool good = true;
    for (size_t i = 0; i < c->n_inputs[0] && good;) {
        size_t run = 1;
        if (c->input_levels[i] > 0)
            while (i + run < c->n_inputs[0] && c->input_levels[i + run] == c->input_levels[i]) run++;
        sources[n] = run == 1 ? table_iter_new(c->inputs[0][i]->table, TABLE_SEQUENTIAL)
                              : level_iter_new(c->inputs[0] + i, run, TABLE_SEQUENTIAL);
        good = sources[n] != NULL;
        if (good) n++;
        i += run;
    }
    if (good && c->n_inputs[1] > 0) {
        sources[n] = level_iter_new(c->inputs[1], c->n_inputs[1], TABLE_SEQUENTIAL);
        good = sources[n] != NULL;
        if (good) n++;
    }
    if (good) {
        *out = merge_iter_new(sources, n);
        good = *out != NULL;
    } else {
        for (size_t i = 0; i < n; i++) iter_free(sources[i]);
    }
    free(sources);
    return good ? CHR_OK : chr_nomem();
}

static chr_status install(db *d, const compaction *c, table_ref *const *out, size_t n_out, const blob_build *blobs)
{
    version_edit edit = { 0 };
    bool         good = true;
    for (size_t i = 0; i < c->n_inputs[0]; i++)
        good = good && edit_remove_table(&edit, c->input_levels[i], c->inputs[0][i]->file_no);
    for (size_t i = 0; i < c->n_inputs[1]; i++)
        good = good && edit_remove_table(&edit, c->target, c->inputs[1][i]->file_no);
    for (size_t i = 0; i < n_out; i++) good = good && edit_add_table(&edit, c->target, out[i]);
    for (size_t i = 0; blobs && i < blobs->n_out; i++) good = good && edit_add_blob(&edit, blobs->out[i]);
    chr_status st = good ? db_install(d, &edit, false) : chr_nomem();
    edit_free(&edit);
    return st;
}

/* Writers are kept at the pace at which their bytes sink, and collecting garbage is part of it. */
static void note_speed(db *d, const compaction *c, uint64_t bytes, uint64_t ns)
{
    d->collecting_ns += ns;
    if (c->level == c->target) return;
    ns = d->collecting_ns;
    d->collecting_ns = 0;
    if (ns < DRAIN_SAMPLE_NS) return;
    uint64_t rate = (uint64_t)((double)bytes * 1e9 / (double)ns);
    uint64_t old = atomic_load_explicit(&d->drain_rate, memory_order_relaxed);
    atomic_store_explicit(&d->drain_rate, (3 * old + rate) / 4, memory_order_relaxed);
}

chr_status compaction_run(db *d, compaction *c)
{
    if (c->trivial_move) {
        d->counters.trivial_moves++;
        return install(d, c, c->inputs[0], c->n_inputs[0], NULL);
    }
    build_job  job = { .db = d,
                       .level = c->target,
                       .cut_bytes = d->options.table_bytes,
                       .below = c->base,
                       .may_expire = true,
                       .cancel = &d->closing,
                       .blobs = { .base = c->base } };
    live_blob *victims = NULL;
    rangedel  *dels = NULL;
    uint64_t   begin = env_monotonic_ns(d->env), bytes_in = 0, bytes_above = 0;
    /* What flush has made of the writers' bytes is in blob files, too. */
    for (size_t i = 0; i < c->n_inputs[0]; i++) {
        const table_info *t = table_ref_info(c->inputs[0][i]);
        bytes_in += t->file_bytes;
        bytes_above += t->file_bytes + table_blob_bytes(t);
    }
    for (size_t i = 0; i < c->n_inputs[1]; i++) bytes_in += table_ref_info(c->inputs[1][i])->file_bytes;

    pthread_mutex_lock(&d->mu);
    job.n_snapshots = db_snapshot_seqs(d, &job.snapshots);
    pthread_mutex_unlock(&d->mu);
    chr_status st = job.snapshots ? gather_range_deletes(c, &dels) : chr_nomem();
    job.dels = dels;
    if (chr_ok(st) && compaction_moves_values(c)) st = blob_victims(c->base, &victims, &job.blobs.n_victims);
    job.blobs.victims = victims;
    if (chr_ok(st)) st = open_inputs(c, &job.in);
    if (chr_ok(st)) st = build_tables(&job);
    if (chr_ok(st)) {
        st = install(d, c, job.out, job.n_out, &job.blobs);
        /* If the manifest failed, nobody knows whether the edit is in force: both old and new tables stay on disk, and
         * the next opening decides. */
        bool undone = st == CHR_NO_MEMORY || st == CHR_NO_SPACE;
        d->counters.compaction_read += bytes_in;
        d->counters.compaction_written += job.bytes_out;
        d->counters.compactions++;
        if (chr_ok(st)) {
            uint64_t ns = env_monotonic_ns(d->env) - begin;
            note_speed(d, c, bytes_above, ns);
            log_line(LOG_INFO, "compaction", "done",
                     "from=%u to=%u tables_in=%zu tables_out=%zu bytes_in=%llu bytes_out=%llu ms=%llu", c->level,
                     c->target, c->n_inputs[0] + c->n_inputs[1], job.n_out, (unsigned long long)bytes_in,
                     (unsigned long long)job.bytes_out, (unsigned long long)(ns / 1000000));
        }
        build_drop_results(&job, undone);
    }
    iter_free(job.in);
    rangedel_free(dels);
    free(victims);
    free(job.snapshots);
    return st;
}
