/* From a batch to the log and the memtable, and from there to "acknowledged".
 *
 * One writer at a time (write_mu) appends its batch to the log's buffer and inserts it into the memtable; that takes
 * about a microsecond, so there is nothing to gain from letting them in together. What takes long, write(2) and fdatasync,
 * happens behind it, once for everybody who waits (wal.c).
 *
 * Back-pressure: `pressure` rises from 0 to 1000 as memtables wait for flush and tables pile up in level 0. From
 * PRESSURE_SLOW on writers are admitted at a rate that falls smoothly below what compaction gets done; only at 1000 do they
 * stop. They pay by sleeping before they take a lock. */
#include "engine/batch_pack.h"
#include "engine/blob_gc.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    PRESSURE_SLOW = 500,
    PRESSURE_STOP = 1000,
    LEVEL0_EASY = 8, /* tables in level 0 that nobody minds */
    LEVEL0_STOP = 24,
    NAP_MIN_NS = 500 * 1000, /* shorter debts wait until there is more to sleep for */
    NAP_MAX_NS = 50 * 1000 * 1000,
    STOP_RETRY_MS = 100,              /* a stopped writer looks again */
    DRAIN_RATE_MIN = 2 * 1024 * 1024, /* bytes per second: slow, never standing still */
};

/* ---- acknowledgement ---- */

static uint64_t horizon(const db *d)
{
    return d->options.chr.sync == CHR_SYNC_ALWAYS ? wal_synced(d->wal) : wal_written(d->wal);
}

uint64_t db_ack_seq(const db *d) { return d->read_only ? UINT64_MAX : horizon(d); }

chr_status db_failure(const db *d) { return d->read_only ? CHR_OK : wal_failure(d->wal); }

chr_status db_refusal(const db *d)
{
    if (d->read_only) return chr_fail(CHR_READ_ONLY, "the store was opened read-only");
    chr_status st = db_failure(d);
    return chr_ok(st) ? CHR_OK : chr_fail(CHR_READ_ONLY, "the store is read-only since a failure: %s", chr_message());
}

void db_log_progress(void *arg)
{
    db *d = arg;
    /* The log may report before db_open has stored it. */
    if (d->wal && !chr_ok(wal_failure(d->wal))) {
        uint64_t none = UINT64_MAX;
        atomic_compare_exchange_strong(&d->ceiling, &none, horizon(d));
    }
    pthread_rwlock_rdlock(&d->listeners_mu);
    for (size_t i = 0; i < d->n_listeners; i++) d->listeners[i].fn(d->listeners[i].arg);
    pthread_rwlock_unlock(&d->listeners_mu);
}

chr_status db_wait_written(db *d, uint64_t seq)
{
    if (d->read_only) return CHR_OK;
    return wal_written(d->wal) >= seq ? CHR_OK : wal_write(d->wal, seq);
}

chr_status db_wait_durable(db *d, uint64_t seq)
{
    if (d->read_only) return CHR_OK;
    if (seq > db_last_seq(d)) seq = db_last_seq(d);
    return wal_synced(d->wal) >= seq ? CHR_OK : wal_sync(d->wal, seq);
}

chr_status db_wait(db *d, uint64_t seq)
{
    if (db_ack_seq(d) >= seq) return CHR_OK;
    return d->options.chr.sync == CHR_SYNC_ALWAYS ? db_wait_durable(d, seq) : db_wait_written(d, seq);
}

void db_request_ack(db *d)
{
    if (d->read_only || horizon(d) >= db_last_seq(d)) return;
    if (d->options.chr.sync != CHR_SYNC_ALWAYS) {
        (void)wal_write(d->wal, db_last_seq(d)); /* a failure is told by the listener and by db_failure */
        return;
    }
    if (!d->threads_started) {
        (void)wal_sync(d->wal, db_last_seq(d));
        return;
    }
    pthread_mutex_lock(&d->sync_mu);
    d->sync_requested = true;
    pthread_cond_signal(&d->sync_wanted);
    pthread_mutex_unlock(&d->sync_mu);
}

static struct timespec deadline_in_ms(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + ms % 1000 * 1000000;
    t.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

/* Syncs for those who must not block: on request in the mode ALWAYS, every interval in the mode INTERVAL. */
void *db_sync_main(void *arg)
{
    db  *d = arg;
    bool timed = d->options.chr.sync == CHR_SYNC_INTERVAL;
    pthread_mutex_lock(&d->sync_mu);
    while (!d->sync_stop) {
        if (timed) {
            struct timespec until = deadline_in_ms(d->options.chr.sync_interval_ms);
            while (!d->sync_stop && pthread_cond_timedwait(&d->sync_wanted, &d->sync_mu, &until) != ETIMEDOUT) continue;
        } else if (!d->sync_requested) {
            pthread_cond_wait(&d->sync_wanted, &d->sync_mu);
            continue;
        }
        d->sync_requested = false;
        pthread_mutex_unlock(&d->sync_mu);
        (void)wal_sync(d->wal, db_last_seq(d)); /* the log remembers a failure and tells everyone */
        pthread_mutex_lock(&d->sync_mu);
    }
    pthread_mutex_unlock(&d->sync_mu);
    return NULL;
}

chr_status db_add_ack_listener(db *d, db_ack_fn *fn, void *arg)
{
    chr_status st = CHR_OK;
    pthread_rwlock_wrlock(&d->listeners_mu);
    if (d->n_listeners == LISTENERS_MAX) {
        st = chr_fail(CHR_INVALID, "at most %d listeners are possible", LISTENERS_MAX);
    } else {
        d->listeners[d->n_listeners].fn = fn;
        d->listeners[d->n_listeners++].arg = arg;
    }
    pthread_rwlock_unlock(&d->listeners_mu);
    return st;
}

void db_remove_ack_listener(db *d, db_ack_fn *fn, void *arg)
{
    pthread_rwlock_wrlock(&d->listeners_mu);
    for (size_t i = 0; i < d->n_listeners; i++) {
        if (d->listeners[i].fn != fn || d->listeners[i].arg != arg) continue;
        d->listeners[i] = d->listeners[--d->n_listeners];
        break;
    }
    pthread_rwlock_unlock(&d->listeners_mu);
}

/* ---- back-pressure ---- */

static uint32_t scale(size_t have, size_t easy, size_t stop)
{
    if (have <= easy) return 0;
    if (have >= stop) return PRESSURE_STOP;
    return (uint32_t)(PRESSURE_STOP * (have - easy) / (stop - easy));
}

void db_update_pressure(db *d)
{
    const view *v = atomic_load_explicit(&d->view, memory_order_relaxed);
    uint32_t    level0 = scale(v->version->levels[0].count, LEVEL0_EASY, LEVEL0_STOP);
    /* Garbage slows writers down, but the disk may have room for it, so it does not stop them. */
    uint64_t garbage_easy = blob_garbage_easy(d, v->version);
    uint32_t garbage = scale(blob_garbage(v->version), garbage_easy, 2 * garbage_easy);
    if (garbage >= PRESSURE_STOP) garbage = PRESSURE_STOP - 1;
    /* Full memtables stop writers where the next one is needed (make_room), not here. */
    uint32_t memory = v->n_mem > IMMUTABLE_MAX ? PRESSURE_SLOW + PRESSURE_SLOW / 2 : 0;
    uint32_t most = level0 > memory ? level0 : memory;
    atomic_store_explicit(&d->pressure, most > garbage ? most : garbage, memory_order_relaxed);
}

bool db_would_stall(const db *d) { return atomic_load_explicit(&d->pressure, memory_order_relaxed) >= PRESSURE_SLOW; }

static void nap(uint64_t ns)
{
    struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
    while (nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

/* Sleeps off the debt of `bytes` if there is pressure. */
static void pay(db *d, size_t bytes)
{
    uint32_t p = atomic_load_explicit(&d->pressure, memory_order_relaxed);
    if (p < PRESSURE_SLOW || d->options.inline_work) return;
    uint64_t rate = atomic_load_explicit(&d->drain_rate, memory_order_relaxed);
    rate = rate / PRESSURE_STOP * (PRESSURE_STOP + PRESSURE_SLOW - (p < PRESSURE_STOP ? p : PRESSURE_STOP));
    if (rate < DRAIN_RATE_MIN) rate = DRAIN_RATE_MIN;
    uint64_t cost = (uint64_t)bytes * 1000000000 / rate;
    uint64_t now = env_monotonic_ns(d->env);
    uint64_t at = atomic_load_explicit(&d->admit_ns, memory_order_relaxed), next;
    do next = (at > now ? at : now) + cost;
    while (!atomic_compare_exchange_weak(&d->admit_ns, &at, next));
    if (next - now < NAP_MIN_NS) return;
    uint64_t ns = next - now < NAP_MAX_NS ? next - now : NAP_MAX_NS;
    nap(ns);
    d->counters.stall_ns += ns;
}

/* ---- writing ---- */

chr_status db_switch_memtable(db *d)
{
    chr_status st;
    if (!wal_prepared(d->wal) && !chr_ok(st = wal_prepare(d->wal, &d->next_file_no))) return st;

    mem_ref *fresh = mem_ref_new(0);
    view    *next = view_alloc();
    if (!fresh || !next) {
        mem_ref_drop(fresh);
        free(next);
        return chr_nomem();
    }
    pthread_mutex_lock(&d->mu);
    const view *old = atomic_load_explicit(&d->view, memory_order_acquire);
    mem_ref    *mem[1 + IMMUTABLE_MAX];
    assert(old->n_mem <= IMMUTABLE_MAX);
    mem[0] = fresh;
    for (size_t i = 0; i < old->n_mem; i++) mem[i + 1] = old->mem[i];
    old->mem[0]->last_seq = d->last_seq;
    old->mem[0]->log_end = wal_rotate(d->wal);
    fresh->log_no = wal_segment_no(d->wal);
    view_fill(next, mem, old->n_mem + 1, old->version);
    db_swap_view(d, next);
    db_update_pressure(d);
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
    mem_ref_drop(fresh);
    return CHR_OK;
}

/* write_mu held; may let go of it while it waits for flush or compaction to catch up. */
static chr_status make_room(db *d)
{
    bool go_on = false; /* in spite of the pressure */
    for (;;) {
        chr_status st = db_refusal(d);
        if (!chr_ok(st)) return st;
        /* write_mu keeps the active memtable where it is; the view around it may be replaced by flush and compaction,
         * so look at it inside the epoch. */
        epoch_enter(d->epoch);
        const view *v = db_view_now(d);
        bool        full = memtable_bytes(v->mem[0]->mem) >= d->options.chr.memtable_bytes;
        bool        no_room = full && v->n_mem > IMMUTABLE_MAX;
        epoch_exit(d->epoch);
        bool pressed = atomic_load_explicit(&d->pressure, memory_order_relaxed) >= PRESSURE_STOP && !go_on;
        if (!full && !pressed) return CHR_OK;
        if (!no_room && !pressed) {
            if (!chr_ok(st = db_switch_memtable(d))) return st;
            if (d->options.inline_work) db_work_inline(d);
            continue;
        }
        if (d->options.inline_work) db_work_inline(d);
        /* Flush and compaction must make progress first; if they cannot, say why instead of waiting for ever. */
        uint64_t begin = env_monotonic_ns(d->env);
        pthread_mutex_unlock(&d->write_mu);
        pthread_mutex_lock(&d->mu);
        st = db_background_status(d);
        /* A disk that is too full for compaction may still have room for a table more in level 0. */
        go_on = st == CHR_NO_SPACE && !no_room;
        if (go_on) st = CHR_OK;
        if (chr_ok(st) && d->closing) st = chr_fail(CHR_CLOSING, "the store is being closed");
        if (chr_ok(st) && !go_on && !d->options.inline_work) {
            struct timespec until = deadline_in_ms(STOP_RETRY_MS);
            pthread_cond_timedwait(&d->progress, &d->mu, &until);
        }
        pthread_mutex_unlock(&d->mu);
        pthread_mutex_lock(&d->write_mu);
        d->counters.stall_ns += env_monotonic_ns(d->env) - begin;
        if (!chr_ok(st)) return st;
    }
}

/* The log has the batch already: what cannot be inserted now cannot be taken back, so the store must not go on. */
static chr_status insert_all(db *d, const batch *b, uint64_t first_seq)
{
    mem_ref   *m = db_view_now(d)->mem[0];
    reader     r = reader_of(buf_slice(&b->payload));
    entry      write;
    chr_status st;
    uint64_t   seq = first_seq;
    while (batch_next(&r, &write, &st)) {
        st = memtable_insert(m->mem, write.key, trailer_of(seq++, trailer_kind(write.trailer)), write.value);
        if (!chr_ok(st)) return st;
    }
    return st;
}

chr_status db_apply(db *d, const batch *b, uint64_t *seq)
{
    if (seq) *seq = 0;
    if (b->count == 0) return CHR_OK;
    if (d->read_only) return chr_fail(CHR_READ_ONLY, "the store was opened read-only");
    pay(d, b->payload.len);
    size_t big = d->options.chr.blob_bytes;
    bool   may_be_big = big && b->payload.len >= big;
    buf    room = { 0 };
    slice  logged = buf_slice(&b->payload);
    if (may_be_big) logged = batch_pack(logged, big, db_table_options(d, 0).compression, &room);

    pthread_mutex_lock(&d->write_mu);
    uint64_t   first = d->last_seq + 1, last = d->last_seq + b->count, log_at = 0;
    chr_status st = make_room(d);
    if (chr_ok(st)) {
        first = d->last_seq + 1; /* make_room may have let others in */
        last = d->last_seq + b->count;
        if (last > SEQ_MAX) st = chr_fail(CHR_READ_ONLY, "the store has used up its sequence numbers");
    }
    if (chr_ok(st)) st = wal_append(d->wal, first, b->count, logged, &log_at);
    if (chr_ok(st)) {
        epoch_enter(d->epoch);
        st = insert_all(d, b, first);
        if (chr_ok(st) && may_be_big) mem_note_logged(db_view_now(d)->mem[0], logged, first, log_at, big);
        epoch_exit(d->epoch);
        if (!chr_ok(st)) st = wal_fail(d->wal, st);
    }
    if (chr_ok(st)) atomic_store_explicit(&d->last_seq, last, memory_order_release);
    pthread_mutex_unlock(&d->write_mu);
    chr_buf_free(&room);

    if (!chr_ok(st)) return st;
    if (seq) *seq = last;
    d->counters.user_bytes += b->payload.len;
    /* Many batches may come before anyone waits for one of them, and memory should hold only so much of the log. A failure is told
     * by the listener and to those who wait. */
    if (wal_behind(d->wal)) (void)wal_write(d->wal, last);
    return CHR_OK;
}
