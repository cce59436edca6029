/* Writing the log. See wal.h for the contract and wal_format.h for the bytes.
 *
 * Three locks, taken in this order, each held only as long as its name says:
 *     sync leadership (sync_mu + syncing)   one fdatasync at a time, without holding a mutex during it
 *     write_mu                              one write(2) at a time; the order of records in the file
 *     buf_mu                                the list of segments and their pending bytes; never during I/O
 * While a sync runs, appending and writing go on, and everything they bring is covered by the next sync. */
#include "engine/wal.h"

#include "base/log.h"
#include "engine/names.h"
#include "engine/wal_format.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_MIN = 256 * 1024,      /* bytes by which a segment that was not recycled is extended: doubling, */
    STEP_MAX = 4 * 1024 * 1024, /* between these */
    BIG_PAYLOAD = 64 * 1024,
    SEAL_ROOM = WAL_RECORD_BYTES + WAL_ALIGN,
    GATHER_NS_MAX = 1000 * 1000,
    PENDING_MAX = 4 * 1024 * 1024,
    BUFFER_KEPT_MAX = 8 * 1024 * 1024, /* a buffer that one huge batch has blown up is not kept */
    RECYCLE_MAX = 256 * 1024 * 1024,   /* a segment that one huge batch has blown up is not kept */
};

typedef struct segment {
    struct segment *next;
    uint64_t        no, incarnation;
    env_file       *file;
    uint64_t        allocated;  /* bytes of the file that exist and may be overwritten; appender only */
    uint64_t        end;        /* offset behind the last record, pending ones included; buf_mu */
    uint64_t        pending_at; /* file offset of pending.data[0]; buf_mu */
    buf             pending;    /* appended, not yet written; buf_mu */
    uint64_t        last_seq;   /* newest in this segment; buf_mu */
    bool            sealed;     /* buf_mu */
    atomic_bool     dirty;      /* written since its last sync began */
} segment;

struct wal {
    env             *env;
    char            *dir;
    bool             often; /* see wal_new */
    wal_progress_fn *progress;
    void            *progress_arg;

    pthread_mutex_t   buf_mu;
    segment          *head, *tail;  /* oldest unsynced ... the one that is appended to; buf_mu */
    pthread_mutex_t   prepare_mu;   /* without a prepared segment nobody rotates, so the tail stays while it is held */
    segment          *prepared;     /* set under prepare_mu, taken by the appender */
    atomic_bool       has_prepared; /* publishes `prepared` */
    _Atomic(uint64_t) appended, written, synced;
    _Atomic(size_t)   pending; /* bytes in all segments */

    pthread_mutex_t write_mu;
    buf             write_buf; /* memory that is being written; write_mu */

    pthread_mutex_t sync_mu;
    pthread_cond_t  sync_done;
    bool            syncing;  /* sync_mu */
    unsigned        waiting;  /* threads that have come to wal_sync, or woken up in it, since the last sync; sync_mu */
    unsigned        expected; /* how many there were last time; sync_mu */
    uint64_t        usual_sync; /* ns, a moving average; sync leader */

    pthread_mutex_t files_mu;
    uint64_t       *closed; /* numbers of sealed segments whose files still exist; files_mu */
    size_t          n_closed, cap_closed;
    uint64_t        spare_no; /* a released segment kept as NO.spare; 0: none; files_mu */

    pthread_mutex_t fail_mu;
    atomic_bool     failed;
    chr_status      failure; /* fail_mu */
    char            failure_text[512];

    _Atomic(uint64_t) bytes, writes, syncs, sync_ns;
};

uint64_t wal_written(const wal *w) { return atomic_load_explicit(&w->written, memory_order_acquire); }
uint64_t wal_synced(const wal *w) { return atomic_load_explicit(&w->synced, memory_order_acquire); }
bool     wal_behind(const wal *w) { return atomic_load_explicit(&w->pending, memory_order_relaxed) > PENDING_MAX; }
bool     wal_prepared(const wal *w) { return atomic_load_explicit(&w->has_prepared, memory_order_acquire); }
uint64_t wal_segment_no(const wal *w) { return w->tail->no; }

wal_stats wal_get_stats(const wal *w)
{
    return (wal_stats){ .bytes = w->bytes, .writes = w->writes, .syncs = w->syncs, .sync_ns = w->sync_ns };
}

chr_status wal_failure(wal *w)
{
    if (!atomic_load_explicit(&w->failed, memory_order_acquire)) return CHR_OK;
    pthread_mutex_lock(&w->fail_mu);
    chr_status st = chr_fail(w->failure, "%s", w->failure_text);
    pthread_mutex_unlock(&w->fail_mu);
    return st;
}

/* The first failure counts; the calling thread's message becomes everybody's. */
chr_status wal_fail(wal *w, chr_status st)
{
    pthread_mutex_lock(&w->fail_mu);
    if (!w->failed) {
        w->failure = st;
        snprintf(w->failure_text, sizeof w->failure_text, "%s", chr_message());
        atomic_store_explicit(&w->failed, true, memory_order_release);
        log_line(LOG_ERROR, "wal", "failed; the store is read-only until it is reopened", "reason=\"%s\"",
                 w->failure_text);
    }
    pthread_mutex_unlock(&w->fail_mu);
    w->progress(w->progress_arg);
    return wal_failure(w);
}

/* ---- segments ---- */

static void segment_free(segment *s)
{
    if (!s) return;
    env_close(s->file);
    chr_buf_free(&s->pending);
    free(s);
}

/* Zeroes written in advance are for the sake of syncs that come often; behind something big they would only cost. */
static chr_status extend(const wal *w, const segment *s, uint64_t to, size_t payload)
{
    return w->often || payload >= BIG_PAYLOAD ? env_reserve(s->file, to) : env_allocate(s->file, to);
}

/* Header and name are durable before the first record: a segment without an intact header is damage, never a
 * crash. The file is prepared under its spare name. */
static chr_status segment_create(wal *w, uint64_t no, uint64_t prev_no, segment **out)
{
    chr_status st;
    segment   *s = calloc(1, sizeof *s);
    uint8_t   *page = malloc(WAL_HEADER_BYTES);
    if (!s || !page) {
        st = chr_nomem();
        goto free_all;
    }
    pthread_mutex_lock(&w->files_mu);
    uint64_t spare = w->spare_no;
    w->spare_no = 0;
    pthread_mutex_unlock(&w->files_mu);

    file_path from = path_of(w->dir, FILE_SPARE, spare ? spare : no);
    file_path to = path_of(w->dir, FILE_LOG, no);
    st = env_open(w->env, from.text, spare ? ENV_READ_WRITE : ENV_CREATE, &s->file);
    if (!chr_ok(st)) goto free_all;
    s->no = no;
    s->incarnation = env_random(w->env);
    s->end = s->pending_at = WAL_HEADER_BYTES;
    wal_header_encode(page, &(wal_header){ no, prev_no, s->incarnation });
    if (!chr_ok(st = env_pwrite(s->file, page, WAL_HEADER_BYTES, 0))) goto remove;
    if (!spare && !chr_ok(st = extend(w, s, STEP_MIN, 0))) goto remove;
    if (!chr_ok(st = env_size(s->file, &s->allocated))) goto remove;
    if (!chr_ok(st = env_sync(s->file))) goto remove;
    if (!chr_ok(st = env_rename(w->env, from.text, to.text))) goto remove;
    if (!chr_ok(st = env_sync_dir(w->env, w->dir))) {
        /* Nobody knows whether the name will be there. Another segment instead of this one would not fit to it. */
        if (w->tail) st = wal_fail(w, st);
        goto free_all;
    }
    free(page);
    char *path = strdup(to.text); /* messages should name the file as it is called now */
    if (path) {
        free(s->file->path);
        s->file->path = path;
    }
    *out = s;
    return CHR_OK;
remove:
    env_unlink(w->env, from.text);
free_all:
    free(page);
    segment_free(s);
    return st;
}

chr_status wal_prepare(wal *w, _Atomic(uint64_t) *next_no)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&w->prepare_mu);
    if (!wal_prepared(w)) {
        pthread_mutex_lock(&w->buf_mu);
        uint64_t prev_no = w->tail->no;
        pthread_mutex_unlock(&w->buf_mu);
        st = segment_create(w, atomic_fetch_add(next_no, 1), prev_no, &w->prepared);
        if (chr_ok(st)) atomic_store_explicit(&w->has_prepared, true, memory_order_release);
    }
    pthread_mutex_unlock(&w->prepare_mu);
    return st;
}

/* Bounded by doubling, so that a small store stays small and a busy one does not stop often. */
static chr_status segment_grow(const wal *w, segment *s, uint64_t need, size_t payload)
{
    uint64_t step = s->allocated < STEP_MIN ? STEP_MIN : s->allocated > STEP_MAX ? STEP_MAX : s->allocated;
    uint64_t to = s->allocated + step;
    if (to < need) to = need + STEP_MIN;
    chr_status st = extend(w, s, to, payload);
    if (chr_ok(st)) s->allocated = to;
    return st;
}

/* buf_mu held, room on disk made. */
static bool segment_put(wal *w, segment *s, const wal_record *r)
{
    size_t size = wal_record_size(r->payload.len);
    if (!buf_reserve(&s->pending, size)) return false;
    wal_record_encode((uint8_t *)s->pending.data + s->pending.len, r, s->incarnation, s->end);
    s->pending.len += size;
    w->pending += size;
    s->end += size;
    return true;
}

/* ---- open and close ---- */

chr_status wal_new(env *e, const char *dir, uint64_t no, uint64_t prev_no, uint64_t last_seq, bool often,
                   wal_progress_fn *progress, void *arg, wal **out)
{
    chr_status st;
    wal       *w = calloc(1, sizeof *w);
    if (!w || !(w->dir = strdup(dir))) {
        free(w);
        return chr_nomem();
    }
    w->env = e;
    w->often = often;
    w->progress = progress;
    w->progress_arg = arg;
    w->appended = w->written = w->synced = last_seq;
    pthread_mutex_init(&w->prepare_mu, NULL);
    pthread_mutex_init(&w->buf_mu, NULL);
    pthread_mutex_init(&w->write_mu, NULL);
    pthread_mutex_init(&w->sync_mu, NULL);
    pthread_mutex_init(&w->files_mu, NULL);
    pthread_mutex_init(&w->fail_mu, NULL);
    pthread_cond_init(&w->sync_done, NULL);
    if (!chr_ok(st = segment_create(w, no, prev_no, &w->tail))) {
        free(w->dir);
        free(w);
        return st;
    }
    w->head = w->tail;
    *out = w;
    return CHR_OK;
}

chr_status wal_close(wal *w)
{
    /* First the batches, so that the seal can say that they were durable: then damage to the last of them shows. */
    chr_status st = wal_sync(w, w->appended);
    if (chr_ok(st)) st = wal_failure(w);
    if (chr_ok(st)) {
        uint8_t none[8] = { 0 };
        pthread_mutex_lock(&w->buf_mu);
        wal_record seal = { .first_seq = w->appended + 1,
                            .synced_seq = wal_synced(w),
                            .type = WAL_SEAL,
                            .payload = chr_bytes(none, sizeof none) };
        bool       sealed = segment_put(w, w->tail, &seal);
        pthread_mutex_unlock(&w->buf_mu);
        st = sealed ? wal_sync(w, UINT64_MAX) : chr_nomem();
    }
    while (w->head) {
        segment *s = w->head;
        w->head = s->next;
        segment_free(s);
    }
    segment_free(w->prepared);
    chr_buf_free(&w->write_buf);
    pthread_mutex_destroy(&w->prepare_mu);
    pthread_mutex_destroy(&w->buf_mu);
    pthread_mutex_destroy(&w->write_mu);
    pthread_mutex_destroy(&w->sync_mu);
    pthread_mutex_destroy(&w->files_mu);
    pthread_mutex_destroy(&w->fail_mu);
    pthread_cond_destroy(&w->sync_done);
    free(w->closed);
    free(w->dir);
    free(w);
    return st;
}

/* ---- append, write, sync ---- */

chr_status wal_append(wal *w, uint64_t first_seq, uint32_t count, slice payload, uint64_t *at)
{
    chr_status st = wal_failure(w);
    if (!chr_ok(st)) return st;
    assert(first_seq == w->appended + 1);

    segment *s = w->tail; /* only this thread changes tail */
    uint64_t need = s->end + wal_record_size(payload.len) + SEAL_ROOM;
    if (need > s->allocated) {
        st = segment_grow(w, s, need, payload.len);
        if (st == CHR_NO_SPACE) return st;
        if (!chr_ok(st)) return wal_fail(w, st);
    }
    wal_record r = { .first_seq = first_seq,
                     .synced_seq = wal_synced(w),
                     .count = count,
                     .type = WAL_BATCH,
                     .payload = payload };
    pthread_mutex_lock(&w->buf_mu);
    *at = s->end + WAL_RECORD_BYTES;
    bool done = segment_put(w, s, &r);
    if (done) {
        s->last_seq = first_seq + count - 1;
        atomic_store_explicit(&w->appended, s->last_seq, memory_order_release);
    }
    pthread_mutex_unlock(&w->buf_mu);
    return done ? CHR_OK : chr_nomem();
}

uint64_t wal_rotate(wal *w)
{
    assert(wal_prepared(w));
    segment *next = w->prepared;
    uint8_t  next_no[8];
    put_u64(next_no, next->no);
    pthread_mutex_lock(&w->buf_mu);
    wal_record seal = { .first_seq = w->appended + 1,
                        .synced_seq = wal_synced(w),
                        .type = WAL_SEAL,
                        .payload = chr_bytes(next_no, sizeof next_no) };
    /* Without memory the segment stays without a seal: recovery does without, it only checks less. */
    uint64_t end = segment_put(w, w->tail, &seal) ? w->tail->end : 0;
    w->tail->sealed = true;
    next->last_seq = w->tail->last_seq;
    w->tail->next = next;
    w->tail = next;
    /* Only now: whoever prepares the next one takes this tail as its predecessor. */
    w->prepared = NULL;
    atomic_store_explicit(&w->has_prepared, false, memory_order_release);
    pthread_mutex_unlock(&w->buf_mu);
    return end;
}

/* write_mu held. Writes everything that is pending, oldest segment first. */
static chr_status write_pending(wal *w)
{
    for (;;) {
        pthread_mutex_lock(&w->buf_mu);
        uint64_t upto = w->appended;
        segment *s = w->head;
        while (s && s->pending.len == 0) s = s->next;
        uint64_t at = 0;
        if (s) {
            buf empty = w->write_buf;
            w->write_buf = s->pending;
            empty.len = 0;
            s->pending = empty;
            at = s->pending_at;
            s->pending_at += w->write_buf.len;
            w->pending -= w->write_buf.len;
        }
        pthread_mutex_unlock(&w->buf_mu);
        if (!s) {
            atomic_store_explicit(&w->written, upto, memory_order_release);
            return CHR_OK;
        }
        chr_status st = w->often ? env_put(s->file, w->write_buf.data, w->write_buf.len, at)
                                 : env_pwrite(s->file, w->write_buf.data, w->write_buf.len, at);
        if (!chr_ok(st)) return wal_fail(w, st);
        atomic_store_explicit(&s->dirty, true, memory_order_release);
        w->bytes += w->write_buf.len;
        w->writes++;
        if (w->write_buf.cap > BUFFER_KEPT_MAX) chr_buf_free(&w->write_buf);
    }
}

chr_status wal_write(wal *w, uint64_t seq)
{
    if (wal_written(w) >= seq) return CHR_OK;
    pthread_mutex_lock(&w->write_mu);
    chr_status st = wal_failure(w);
    if (chr_ok(st) && wal_written(w) < seq) st = write_pending(w);
    pthread_mutex_unlock(&w->write_mu);
    if (chr_ok(st)) w->progress(w->progress_arg);
    return st;
}

static void add_closed(wal *w, uint64_t no)
{
    pthread_mutex_lock(&w->files_mu);
    if (w->n_closed == w->cap_closed) {
        size_t    cap = w->cap_closed ? 2 * w->cap_closed : 16;
        uint64_t *closed = realloc(w->closed, cap * sizeof *closed);
        if (closed) {
            w->closed = closed;
            w->cap_closed = cap;
        }
    }
    /* A number that could not be noted is a file left for the next opening to remove. */
    if (w->n_closed < w->cap_closed) w->closed[w->n_closed++] = no;
    pthread_mutex_unlock(&w->files_mu);
}

/* Sync leader. Takes sealed segments off the front that need no more I/O, or that are below `below`. After a failure nobody knows what
 * of the others is on the disk. */
static void reap(wal *w, uint64_t below)
{
    pthread_mutex_lock(&w->write_mu);
    pthread_mutex_lock(&w->buf_mu);
    while (w->head->sealed && w->head->pending.len == 0 &&
           (w->head->no < below || (!w->failed && !atomic_load_explicit(&w->head->dirty, memory_order_acquire)))) {
        segment *s = w->head;
        w->head = s->next;
        if (s->last_seq > wal_synced(w)) atomic_store_explicit(&w->synced, s->last_seq, memory_order_release);
        add_closed(w, s->no);
        segment_free(s);
    }
    pthread_mutex_unlock(&w->buf_mu);
    pthread_mutex_unlock(&w->write_mu);
}

/* Sync leader, no mutex held. */
static chr_status sync_all(wal *w)
{
    pthread_mutex_lock(&w->write_mu);
    chr_status st = wal_failure(w);
    if (chr_ok(st)) st = write_pending(w);
    uint64_t target = wal_written(w);
    pthread_mutex_unlock(&w->write_mu);
    if (!chr_ok(st)) return st;

    pthread_mutex_lock(&w->buf_mu);
    segment *s = w->head;
    pthread_mutex_unlock(&w->buf_mu);
    while (s) { /* only the leader takes segments away */
        if (atomic_exchange_explicit(&s->dirty, false, memory_order_acq_rel)) {
            uint64_t begin = env_monotonic_ns(w->env);
            if (!chr_ok(st = env_sync(s->file))) return wal_fail(w, st);
            uint64_t took = env_monotonic_ns(w->env) - begin;
            w->usual_sync = w->usual_sync - w->usual_sync / 8 + took / 8;
            w->sync_ns += took;
            w->syncs++;
        }
        pthread_mutex_lock(&w->buf_mu);
        s = s->next;
        pthread_mutex_unlock(&w->buf_mu);
    }
    if (target > wal_synced(w)) atomic_store_explicit(&w->synced, target, memory_order_release);
    reap(w, 0);
    return CHR_OK;
}

static void lead_begin(wal *w) /* sync_mu held */
{
    while (w->syncing) pthread_cond_wait(&w->sync_done, &w->sync_mu);
    w->syncing = true;
}
static void lead_end(wal *w) /* sync_mu held */
{
    w->syncing = false;
    w->expected = w->waiting;
    w->waiting = 0;
    pthread_cond_broadcast(&w->sync_done);
}

/* Sync leader, sync_mu held; lets go of it. Those whom the last sync has served are on their way with their next write, and those
 * who came while it ran are waking up: a sync that waits a little for all of them serves all, one that does not serves a few and
 * keeps the others waiting for a whole one more. They need the processor to get here, so it is left to them. */
static void gather_group(wal *w)
{
    if (w->waiting >= w->expected) return;
    uint64_t half = w->usual_sync / 2, until = env_monotonic_ns(w->env) + (half < GATHER_NS_MAX ? half : GATHER_NS_MAX);
    do {
        pthread_mutex_unlock(&w->sync_mu);
        sched_yield();
        pthread_mutex_lock(&w->sync_mu);
    } while (w->waiting < w->expected && env_monotonic_ns(w->env) < until);
}

/* UINT64_MAX: everything there is, seals included. */
chr_status wal_sync(wal *w, uint64_t seq)
{
    if (wal_synced(w) >= seq) return CHR_OK;
    chr_status st = CHR_OK;
    bool       led = false;
    pthread_mutex_lock(&w->sync_mu);
    while (wal_synced(w) < seq && !(seq == UINT64_MAX && led)) {
        if (!chr_ok(st = wal_failure(w))) break;
        w->waiting++;
        if (w->syncing) {
            pthread_cond_wait(&w->sync_done, &w->sync_mu);
            continue;
        }
        w->syncing = true;
        gather_group(w);
        pthread_mutex_unlock(&w->sync_mu);
        st = sync_all(w);
        led = true;
        pthread_mutex_lock(&w->sync_mu);
        lead_end(w);
        if (!chr_ok(st)) break;
    }
    pthread_mutex_unlock(&w->sync_mu);
    if (led && chr_ok(st)) w->progress(w->progress_arg);
    return st;
}

/* ---- recycling ---- */

void wal_forget(wal *w, uint64_t no)
{
    pthread_mutex_lock(&w->files_mu);
    size_t i = 0;
    while (i < w->n_closed && w->closed[i] != no) i++;
    if (i < w->n_closed) w->closed[i] = w->closed[--w->n_closed];
    pthread_mutex_unlock(&w->files_mu);
}

void wal_release(wal *w, uint64_t no)
{
    /* What is below `no` is durable in a table: its segments need no sync any more. */
    (void)wal_write(w, w->appended);
    pthread_mutex_lock(&w->sync_mu);
    lead_begin(w);
    pthread_mutex_unlock(&w->sync_mu);
    reap(w, no);
    pthread_mutex_lock(&w->sync_mu);
    lead_end(w);
    pthread_mutex_unlock(&w->sync_mu);
    w->progress(w->progress_arg);

    pthread_mutex_lock(&w->files_mu);
    for (size_t i = 0; i < w->n_closed;) {
        if (w->closed[i] >= no) {
            i++;
            continue;
        }
        uint64_t  gone = w->closed[i];
        file_path log = path_of(w->dir, FILE_LOG, gone);
        file_path spare = path_of(w->dir, FILE_SPARE, gone);
        w->closed[i] = w->closed[--w->n_closed];
        env_file *file = NULL;
        uint64_t  bytes = UINT64_MAX;
        if (w->spare_no == 0 && chr_ok(env_open(w->env, log.text, ENV_READ, &file))) {
            if (!chr_ok(env_size(file, &bytes))) bytes = UINT64_MAX;
            env_close(file);
        }
        /* What cannot be renamed or removed now is removed at the next opening. */
        if (bytes <= RECYCLE_MAX && chr_ok(env_rename(w->env, log.text, spare.text)))
            w->spare_no = gone;
        else
            (void)env_unlink(w->env, log.text);
    }
    pthread_mutex_unlock(&w->files_mu);
}
