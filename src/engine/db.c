/* Opening, recovering and closing a store, and changing what is current. */
#include "engine/blob_keep.h"
#include "engine/db_impl.h"

#include "base/arena.h"
#include "base/log.h"
#include "engine/names.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMTABLE_BYTES_MAX (UINT64_C(1) << 30) /* the log of a larger one could not be read back: see env_read_file */

enum {
    MANIFEST_ROLL_BYTES = 8 * 1024 * 1024, /* a longer manifest is written anew */
    DIR_MAX = PATH_MAX - 64,
};

chr_options chr_options_default(void)
{
    return (chr_options){
        .sync = CHR_SYNC_ALWAYS,
        .sync_interval_ms = 1000,
        .cache_bytes = 128u << 20,
        .memtable_bytes = 32u << 20,
        .block_bytes = 8u << 10,
        .filter_bits = 10,
        .compression = CHR_COMPRESS_LZ4,
        .bottom_compression = CHR_COMPRESS_LZ4,
        .blob_bytes = 16u << 10,
        .create_if_missing = true,
    };
}

env        *db_env(const db *d) { return d->env; }
const char *db_dir(const db *d) { return d->dir; }
uint64_t    db_new_file_no(db *d) { return atomic_fetch_add(&d->next_file_no, 1); }

uint64_t db_visible_seq(const db *d)
{
    uint64_t last = atomic_load_explicit(&d->last_seq, memory_order_acquire);
    uint64_t ceiling = atomic_load_explicit(&d->ceiling, memory_order_acquire);
    return last < ceiling ? last : ceiling;
}

/* ---- what is current ---- */

static void release_view(void *arg) { view_drop(arg); }

void db_swap_view(db *d, view *next)
{
    view *old = atomic_load_explicit(&d->view, memory_order_relaxed);
    atomic_store_explicit(&d->view, next, memory_order_seq_cst);
    if (old) epoch_retire(d->epoch, release_view, old);
}

view *db_view_take(db *d)
{
    epoch_enter(d->epoch);
    view *v = db_view_now(d);
    view_take(v);
    epoch_exit(d->epoch);
    return v;
}

void db_background_failed(db *d, chr_status st)
{
    pthread_mutex_lock(&d->mu);
    if (!d->background_final && st != CHR_CLOSING) {
        if (d->background != st)
            log_line(LOG_ERROR, "engine", "background work failed", "reason=\"%s\"", chr_message());
        d->background = st;
        d->background_final = st != CHR_NO_SPACE && st != CHR_NO_MEMORY;
        snprintf(d->background_text, sizeof d->background_text, "%s", chr_message());
    }
    pthread_cond_broadcast(&d->progress);
    pthread_mutex_unlock(&d->mu);
}

chr_status db_background_status(db *d)
{
    return d->background == CHR_OK ? CHR_OK : chr_fail(d->background, "%s", d->background_text);
}

/* Whether, after a failure, the manifest is as it was before. */
static bool retry_manifest(chr_status st) { return st == CHR_NO_MEMORY || st == CHR_NO_SPACE; }

/* The manifest grows by every edit; now and then it is begun anew with just what is there. edit_mu held. */
static void roll_manifest(db *d, const version *v, uint64_t log_no, uint64_t flushed_seq)
{
    manifest *next;
    uint64_t  old_no = manifest_no(d->manifest);
    if (manifest_bytes(d->manifest) < MANIFEST_ROLL_BYTES) return;
    uint64_t   no = db_new_file_no(d);
    chr_status st = manifest_create(d->env, d->dir, no, v, log_no, flushed_seq, &d->named, &next);
    if (!chr_ok(st)) {
        log_line(LOG_WARN, "engine", "could not begin a new manifest", "reason=\"%s\"", chr_message());
        if (retry_manifest(st)) { /* CURRENT does not name it */
            file_path made = path_of(d->dir, FILE_MANIFEST, no);
            (void)env_unlink(d->env, made.text);
            return;
        }
        d->manifest_failed = true;
        db_background_failed(d, st);
        return;
    }
    file_path old = path_of(d->dir, FILE_MANIFEST, old_no);
    manifest_free(d->manifest);
    d->manifest = next;
    (void)env_unlink(d->env, old.text);
}

/* A trivial move removes a table from one level and adds it to another: it stays. */
static void mark_obsolete(const version *base, const version_edit *edit, const struct edit_remove *gone)
{
    const level *l = &base->levels[gone->level];
    for (size_t i = 0; i < edit->n_adds; i++)
        if (edit->adds[i].table->file_no == gone->file_no) return;
    for (size_t k = 0; k < l->count; k++)
        if (l->tables[k]->file_no == gone->file_no) atomic_store(&l->tables[k]->obsolete, true);
}

static void mark_obsolete_blobs(const version *base, const version *next)
{
    for (size_t i = 0; i < base->n_blobs; i++) {
        blob_file *f = base->blobs[i].file;
        if (!version_blob(next, f->file_no)) atomic_store(&f->obsolete, true);
    }
}

chr_status db_append_edit(db *d, const version_edit *edit)
{
    if (d->manifest_failed) return chr_fail(CHR_IO, "the manifest cannot be written since an earlier failure");
    chr_status st = manifest_append(d->manifest, edit);
    d->manifest_failed = !chr_ok(st) && !retry_manifest(st);
    return st;
}

chr_status db_install(db *d, const version_edit *edit, bool drop_oldest_mem)
{
    version *next = NULL;
    view    *made = view_alloc(); /* before the edit is in force: afterwards nothing may fail */
    if (!made) return chr_nomem();
    pthread_mutex_lock(&d->edit_mu);
    /* Versions change only under edit_mu, so this one stays current until we replace it. */
    view      *base = db_view_take(d);
    chr_status st = version_apply(base->version, edit, &next);
    if (chr_ok(st)) st = db_append_edit(d, edit);
    if (!chr_ok(st)) goto out;
    if (edit->log_no) {
        d->log_no = edit->log_no;
        d->flushed_seq = edit->flushed_seq;
    }

    pthread_mutex_lock(&d->mu);
    const view *now = atomic_load_explicit(&d->view, memory_order_acquire); /* it may have a newer memtable than base */
    view_fill(made, now->mem, now->n_mem - (drop_oldest_mem ? 1 : 0), next);
    for (size_t i = 0; i < edit->n_removes; i++) mark_obsolete(base->version, edit, &edit->removes[i]);
    mark_obsolete_blobs(base->version, next);
    db_swap_view(d, made);
    made = NULL;
    db_update_pressure(d);
    pthread_cond_broadcast(&d->progress);
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
    roll_manifest(d, next, d->log_no, d->flushed_seq);
out:
    free(made);
    version_drop(next);
    pthread_mutex_unlock(&d->edit_mu);
    view_drop(base);
    return st;
}

/* ---- opening ---- */

typedef struct found_files {
    uint64_t *logs; /* ascending */
    size_t    n_logs, cap_logs;
    uint64_t  next_no;
    bool      tables;
    const db *d;
    /* When removing: what to keep. */
    const version *keep;
    uint64_t       keep_manifest, keep_log;
} found_files;

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static chr_status note_file(void *arg, const char *name)
{
    found_files *f = arg;
    uint64_t     no;
    file_type    type = name_parse(name, &no);
    if (type == FILE_OTHER) return CHR_OK;
    if (no >= f->next_no) f->next_no = no + 1;
    if (type == FILE_TABLE) f->tables = true;
    if (type != FILE_LOG) return CHR_OK;
    if (f->n_logs == f->cap_logs) {
        size_t    cap = f->cap_logs ? 2 * f->cap_logs : 16;
        uint64_t *more = realloc(f->logs, cap * sizeof *more);
        if (!more) return chr_nomem();
        f->logs = more;
        f->cap_logs = cap;
    }
    f->logs[f->n_logs++] = no;
    return CHR_OK;
}

static bool version_names(const version *v, uint64_t file_no)
{
    for (size_t i = 0; i < LEVELS; i++)
        for (size_t k = 0; k < v->levels[i].count; k++)
            if (v->levels[i].tables[k]->file_no == file_no) return true;
    return false;
}

static chr_status remove_if_orphan(void *arg, const char *name)
{
    const found_files *f = arg;
    uint64_t           no = 0;
    bool               keep = true;
    switch (name_parse(name, &no)) {
    case FILE_LOG: keep = no >= f->keep_log; break;
    case FILE_TABLE: keep = version_names(f->keep, no); break;
    case FILE_BLOB: keep = version_blob(f->keep, no) != NULL; break;
    case FILE_MANIFEST: keep = no == f->keep_manifest; break;
    case FILE_SPARE: keep = false; break;
    case FILE_OTHER: break;
    }
    if (keep) return CHR_OK;
    file_path path = path_in(f->d->dir, name);
    /* What a crash left behind; if it cannot be removed, the next opening tries again. */
    if (!chr_ok(env_unlink(f->d->env, path.text)))
        log_line(LOG_WARN, "engine", "could not remove a file that is not needed", "reason=\"%s\"", chr_message());
    return CHR_OK;
}

typedef struct load {
    db          *d;
    version_edit edit;
} load;

static chr_status load_table(void *arg, uint32_t at_level, const table_info *info)
{
    load      *l = arg;
    table_ref *t;
    chr_status st = table_ref_open(l->d->env, l->d->dir, info->file_no, l->d->cache, info, &t);
    if (!chr_ok(st)) return st;
    if (edit_add_table(&l->edit, at_level, t)) return CHR_OK;
    table_ref_drop(t);
    return chr_nomem();
}

typedef struct recovery {
    db          *d;
    mem_ref     *mem;
    version_edit flushed; /* tables made of replayed batches */
} recovery;

static chr_status flush_replayed(recovery *r)
{
    chr_status st = flush_memtable(r->d, r->mem, &r->flushed);
    if (!chr_ok(st)) return st;
    mem_ref_drop(r->mem);
    r->mem = mem_ref_new(0);
    return r->mem ? CHR_OK : chr_nomem();
}

static chr_status replay_batch(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)count;
    recovery  *r = arg;
    reader     at = reader_of(payload);
    entry      write;
    uint64_t   seq = first_seq;
    chr_status st;
    while (batch_next(&at, &write, &st)) {
        st = memtable_insert(r->mem->mem, write.key, trailer_of(seq++, trailer_kind(write.trailer)), write.value);
        if (!chr_ok(st)) return st;
    }
    if (chr_ok(st) && !r->d->read_only && memtable_bytes(r->mem->mem) >= r->d->options.chr.memtable_bytes)
        st = flush_replayed(r);
    return st;
}

static chr_status refuse_batch(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)arg, (void)first_seq, (void)count, (void)payload;
    return chr_fail(CHR_CORRUPT, "it holds writes");
}

/* Without CURRENT a directory is new, or a crash came before anything was acknowledged; it is not if it has tables or
 * logs with writes. */
static chr_status check_new(db *d, const found_files *f)
{
    wal_replay_result result;
    chr_status        st = f->tables ? chr_fail(CHR_CORRUPT, "it holds tables") : CHR_OK;
    if (chr_ok(st) && f->n_logs) st = wal_replay(d->env, d->dir, f->logs, f->n_logs, 1, refuse_batch, NULL, &result);
    if (st == CHR_CORRUPT)
        return chr_fail(st, "%s has no file %s, and is not empty (%s); run `chronos check`", d->dir, NAME_CURRENT,
                        chr_message());
    if (chr_ok(st) && !d->options.chr.create_if_missing)
        return chr_fail(CHR_NOT_FOUND, "there is no store in %s", d->dir);
    return st;
}

/* Opens the blob files that the tables refer to. */
static chr_status load_blobs(load *l)
{
    table_blob *all = NULL;
    size_t      n = 0;
    chr_status  st = CHR_OK;
    for (size_t i = 0; i < l->edit.n_adds && chr_ok(st); i++) {
        const table_info *t = table_ref_info(l->edit.adds[i].table);
        for (size_t k = 0; k < t->n_blobs && chr_ok(st); k++)
            if (!table_blobs_add(&all, &n, (blob_at){ .file_no = t->blobs[k].file_no })) st = chr_nomem();
    }
    for (size_t i = 0; i < n && chr_ok(st); i++) {
        blob_file *f;
        st = blob_file_open(l->d->env, l->d->dir, all[i].file_no, l->d->cache, &f);
        if (!chr_ok(st) || edit_add_blob(&l->edit, f)) continue;
        blob_file_drop(f);
        st = chr_nomem();
    }
    free(all);
    return st;
}

/* Rebuilds what the files say: the version from the manifest, then the log on top of it. */
static chr_status recover(db *d)
{
    manifest_state    state = { .next_file_no = 1 };
    found_files       files = { .d = d };
    load              l = { .d = d };
    recovery          r = { .d = d };
    wal_replay_result replayed = { 0 };
    version          *v = NULL, *merged = NULL;

    chr_status st = env_list(d->env, d->dir, note_file, &files);
    if (!chr_ok(st)) goto out;
    if (files.n_logs) qsort(files.logs, files.n_logs, sizeof *files.logs, by_number);

    st = manifest_read(d->env, d->dir, &state, load_table, &l);
    bool fresh = st == CHR_NOT_FOUND;
    if (fresh) st = check_new(d, &files);
    if (!chr_ok(st)) goto out;
    /* Before anything is flushed: they need versions that are in the log. */
    if (!chr_ok(st = db_adopt_snapshots(d, &state.named, false))) goto out;
    if (!chr_ok(st = load_blobs(&l)) || !chr_ok(st = version_apply(NULL, &l.edit, &v))) goto out;
    d->next_file_no = files.next_no > state.next_file_no ? files.next_no : state.next_file_no;
    if (fresh && d->next_file_no < d->options.first_file_no) d->next_file_no = d->options.first_file_no;
    if (d->next_file_no == 0) d->next_file_no = 1;

    if (!(r.mem = mem_ref_new(0))) {
        st = chr_nomem();
        goto out;
    }
    size_t first_log = 0;
    while (first_log < files.n_logs && files.logs[first_log] < state.log_no) first_log++;
    replayed.last_seq = state.flushed_seq;
    if (!fresh) {
        if (first_log == files.n_logs || files.logs[first_log] != state.log_no) {
            file_path log = path_of(d->dir, FILE_LOG, state.log_no);
            st = chr_corrupt(log.text, 0, "the log segment is missing, although the manifest needs it");
            goto out;
        }
        st = wal_replay(d->env, d->dir, files.logs + first_log, files.n_logs - first_log, state.flushed_seq + 1,
                        replay_batch, &r, &replayed);
        if (!chr_ok(st)) goto out;
    }
    d->last_seq = replayed.last_seq;
    /* A repaired store may lack the last writes that they show: their numbers are not given again. */
    if (d->snapshots.prev->seq > d->last_seq) d->last_seq = d->snapshots.prev->seq;
    if (!d->read_only) {
        if (!chr_ok(st = flush_replayed(&r))) goto out;
        if (!chr_ok(st = version_apply(v, &r.flushed, &merged))) goto out;
        uint64_t prev = files.n_logs ? files.logs[files.n_logs - 1] : 0;
        d->log_no = db_new_file_no(d);
        d->flushed_seq = d->last_seq;
        bool often = d->options.chr.sync != CHR_SYNC_ALWAYS;
        if (!chr_ok(st = wal_new(d->env, d->dir, d->log_no, prev, d->last_seq, often, db_log_progress, d, &d->wal)))
            goto out;
        st = manifest_create(d->env, d->dir, db_new_file_no(d), merged, d->log_no, d->flushed_seq, &d->named,
                             &d->manifest);
        if (!chr_ok(st)) goto out;
        files.keep = merged;
        files.keep_manifest = manifest_no(d->manifest);
        files.keep_log = d->log_no;
        if (!chr_ok(st = env_list(d->env, d->dir, remove_if_orphan, &files))) goto out;
        r.mem->log_no = d->log_no;
    }
    view *first = view_alloc();
    if (!first) {
        st = chr_nomem();
        goto out;
    }
    view_fill(first, &r.mem, 1, merged ? merged : v);
    db_swap_view(d, first);
    if (replayed.batches)
        log_line(LOG_INFO, "engine", "replayed the log", "batches=%llu last_seq=%llu",
                 (unsigned long long)replayed.batches, (unsigned long long)replayed.last_seq);
out:
    version_drop(v);
    version_drop(merged);
    edit_release(&l.edit, false);
    edit_release(&r.flushed, false);
    mem_ref_drop(r.mem);
    named_free(&state.named);
    free(files.logs);
    return st;
}

/* The directory's own name must survive a power cut too. */
static chr_status make_dir(db *d)
{
    chr_status st = env_mkdir(d->env, d->dir);
    if (st != CHR_EXISTS) return chr_ok(st) ? env_sync_parent(d->env, d->dir) : st;
    /* Somebody may have made it just now, or we before a failure. But its parent need not be ours to read. */
    if (!chr_ok(env_sync_parent(d->env, d->dir)))
        log_line(LOG_WARN, "engine", "a power cut may take the data directory if it is new", "reason=\"%s\"",
                 chr_message());
    return CHR_OK;
}

enum { THREADS = 4 };

/* Ends the first `n` threads. */
static void end_threads(db *d, size_t n)
{
    pthread_t ids[THREADS] = { d->flush_thread, d->compact_thread, d->sync_thread, d->scrub_thread };
    pthread_mutex_lock(&d->mu);
    d->closing = true;
    pthread_cond_broadcast(&d->work);
    pthread_cond_broadcast(&d->progress);
    pthread_cond_broadcast(&d->scrub_ends);
    pthread_mutex_unlock(&d->mu);
    pthread_mutex_lock(&d->sync_mu);
    d->sync_stop = true;
    pthread_cond_broadcast(&d->sync_wanted);
    pthread_mutex_unlock(&d->sync_mu);
    for (size_t i = 0; i < n; i++) pthread_join(ids[i], NULL);
}

static chr_status start_threads(db *d)
{
    struct {
        pthread_t *id;
        void *(*main)(void *);
        const char *name;
    } threads[THREADS] = {
        { &d->flush_thread, db_flush_main, "chr-flush" },
        { &d->compact_thread, db_compact_main, "chr-compact" },
        { &d->sync_thread, db_sync_main, "chr-sync" },
        { &d->scrub_thread, db_scrub_main, "chr-scrub" },
    };
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(threads[i].id, NULL, threads[i].main, d) == 0) {
            pthread_setname_np(*threads[i].id, threads[i].name);
            continue;
        }
        end_threads(d, i);
        return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
    }
    d->threads_started = true;
    return CHR_OK;
}

/* Whatever stage of opening it has reached. */
static void db_free(db *d)
{
    view *v = atomic_load(&d->view);
    db_snapshots_give_back(d, &d->named);
    assert(d->snapshots.next == &d->snapshots);
    if (v) view_drop(v);
    if (d->epoch) epoch_free(d->epoch);
    manifest_free(d->manifest);
    if (d->cache) cache_free(d->cache);
    env_unlock_file(d->env, d->lock);
    pthread_mutex_destroy(&d->write_mu);
    pthread_mutex_destroy(&d->edit_mu);
    pthread_mutex_destroy(&d->mu);
    pthread_mutex_destroy(&d->sync_mu);
    pthread_cond_destroy(&d->work);
    pthread_cond_destroy(&d->progress);
    pthread_cond_destroy(&d->scrub_ends);
    pthread_cond_destroy(&d->sync_wanted);
    pthread_rwlock_destroy(&d->listeners_mu);
    free(d->dir);
    free(d);
}

chr_status db_open(const db_options *options, db **out)
{
    chr_status st;
    if (strlen(options->dir) == 0 || strlen(options->dir) > DIR_MAX)
        return chr_fail(CHR_INVALID, "the name of the data directory must have 1 to %d bytes", DIR_MAX);
    if (options->chr.memtable_bytes > MEMTABLE_BYTES_MAX)
        return chr_fail(CHR_INVALID, "a memtable of %llu bytes was asked for; at most %llu are possible",
                        (unsigned long long)options->chr.memtable_bytes, (unsigned long long)MEMTABLE_BYTES_MAX);
    db *d = calloc(1, sizeof *d);
    if (!d || !(d->dir = strdup(options->dir))) {
        free(d);
        return chr_nomem();
    }
    d->env = options->env;
    d->options = *options;
    d->options.dir = d->dir;
    if (!d->options.keep_share) d->options.keep_share = KEEP_SHARE;
    if (!d->options.l1_bytes) d->options.l1_bytes = 8 * options->chr.memtable_bytes;
    if (!d->options.table_bytes) d->options.table_bytes = options->chr.memtable_bytes;
    d->read_only = options->chr.read_only;
    d->ceiling = UINT64_MAX;
    d->drain_rate = 64u << 20; /* until measured */
    d->snapshots.prev = d->snapshots.next = &d->snapshots;
    pthread_mutex_init(&d->write_mu, NULL);
    pthread_mutex_init(&d->edit_mu, NULL);
    pthread_mutex_init(&d->mu, NULL);
    pthread_mutex_init(&d->sync_mu, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->work, &monotonic);
    pthread_cond_init(&d->progress, &monotonic);
    pthread_cond_init(&d->scrub_ends, &monotonic);
    pthread_cond_init(&d->sync_wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_rwlock_init(&d->listeners_mu, NULL);

    if (!(d->epoch = epoch_new()) || !(d->cache = cache_new(options->chr.cache_bytes))) {
        st = chr_nomem();
        goto fail;
    }
    if (!d->read_only && options->chr.create_if_missing && !chr_ok(st = make_dir(d))) goto fail;
    file_path lock = path_in(d->dir, NAME_LOCK);
    st = env_lock_file(d->env, lock.text, &d->lock);
    if (st == CHR_NOT_FOUND) st = chr_fail(CHR_NOT_FOUND, "there is no store in %s", d->dir);
    if (st == CHR_READ_ONLY && d->read_only) st = CHR_OK; /* nobody can write there */
    if (!chr_ok(st)) goto fail;
    if (!chr_ok(st = recover(d))) goto fail;
    if (!d->read_only && !d->options.inline_work && !chr_ok(st = start_threads(d))) goto fail;
    pthread_mutex_lock(&d->mu);
    db_update_pressure(d);
    pthread_mutex_unlock(&d->mu);
    *out = d;
    return CHR_OK;
fail:
    if (d->wal) (void)wal_close(d->wal);
    d->wal = NULL;
    db_free(d);
    return st;
}

chr_status db_close(db *d)
{
    if (d->threads_started) end_threads(d, THREADS);
    chr_status st = d->wal ? wal_close(d->wal) : CHR_OK;
    d->wal = NULL;
    db_free(d);
    arena_trim();
    return st;
}
