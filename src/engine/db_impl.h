/* The inside of a db, shared by the files that make it up:
 *   db.c         opening, recovery, closing, views
 *   write.c      batches to log and memtable, acknowledgement, back-pressure
 *   read.c       point reads, snapshots
 *   db_iter.c    iterators over live keys
 *   flush.c      immutable memtables to level 0, and the background threads
 *   pick.c       what to compact next
 *   compact.c    compaction
 *   blob_gc.c    which files of big values are to go
 *   blob_keep.c  log segments that become such files
 *   scrub.c      reading everything now and then
 *   named.c      snapshots with names
 *   checkpoint.c, stats.c, check.c
 *
 * Locks, in the order in which they may be taken:
 *   write_mu    who appends: log, active memtable, last_seq
 *   edit_mu     who changes the manifest; held during its I/O
 *   mu          the current view, snapshots, background state; never held during I/O
 * Readers take none: they enter the epoch and load the current view, then the visible seq (in this order: a table
 * made by compaction may lack versions that only an older seq could see). */
#ifndef CHR_ENGINE_DB_IMPL_H
#define CHR_ENGINE_DB_IMPL_H

#include "engine/db.h"
#include "engine/epoch.h"
#include "engine/manifest.h"
#include "engine/wal.h"

#include <pthread.h>

enum { LISTENERS_MAX = 64 };

struct db_snapshot {
    db_snapshot *prev, *next;
    uint64_t     seq;
    bool         named; /* it is, or was opened by a name: much may have been kept for it */
};

typedef struct counters {
    _Atomic(uint64_t) flushes, flush_bytes, compactions, compaction_read, compaction_written, user_bytes, stall_ns,
        trivial_moves, scrub_bytes, scrub_damaged;
} counters;

/* A compaction asked for by db_compact; lives on the asker's stack. */
typedef struct manual_compaction {
    slice                     start, end;
    chr_status                st;
    buf                       error;
    bool                      done;
    struct manual_compaction *next;
} manual_compaction;

struct db {
    env       *env;
    char      *dir;
    db_options options;   /* dir points to the copy above */
    bool       read_only; /* opened so */
    env_lock  *lock;
    epoch     *epoch;
    cache     *cache;

    _Atomic(view *)   view;     /* current; changed under mu */
    _Atomic(uint64_t) last_seq; /* newest applied; write_mu */
    _Atomic(uint64_t) ceiling;  /* nothing above it is shown; UINT64_MAX unless the log has failed */
    _Atomic(uint64_t) next_file_no;

    pthread_mutex_t write_mu;
    wal            *wal; /* NULL if read_only */

    pthread_mutex_t edit_mu;
    manifest       *manifest;
    bool            manifest_failed;     /* nobody knows what the next opening would read: no more edits; edit_mu */
    uint64_t        log_no, flushed_seq; /* as the manifest has them; edit_mu */

    pthread_mutex_t    mu;
    pthread_cond_t     work;      /* background threads wait here */
    pthread_cond_t     progress;  /* whoever waits for background work */
    db_snapshot        snapshots; /* ring, oldest first */
    named_list         named;     /* changed with edit_mu and mu held; its pins are in the ring */
    atomic_bool        closing;   /* set under mu */
    manual_compaction *manual;
    chr_status         background; /* why flush or compaction cannot go on; CHR_OK: they can */
    char               background_text[512];
    bool               background_final; /* corruption or a failed manifest: not worth trying again */

    char           scrub_text[512]; /* the damage that was found last; mu */
    pthread_cond_t scrub_ends;      /* signalled when the store is closed */

    pthread_t flush_thread, compact_thread, sync_thread, scrub_thread;
    bool      threads_started;

    /* Acknowledgement. */
    pthread_mutex_t  sync_mu;
    pthread_cond_t   sync_wanted;
    bool             sync_requested, sync_stop;
    pthread_rwlock_t listeners_mu;
    struct {
        db_ack_fn *fn;
        void      *arg;
    } listeners[LISTENERS_MAX];
    size_t n_listeners;

    /* Back-pressure: see write.c. */
    _Atomic(uint32_t) pressure;      /* 0..1000; 1000: writers stop */
    _Atomic(uint64_t) drain_rate;    /* bytes per second that compaction has been getting done */
    _Atomic(uint64_t) admit_ns;      /* when the next write may go */
    uint64_t          collecting_ns; /* spent on garbage since the last sample of drain_rate; who compacts */

    counters counters;
};

/* db.c */
/* The current view, for who is inside the epoch. seq_cst and no less: the mark that the reader has set must be seen before
 * this is loaded (epoch.c). */
static inline view *db_view_now(const db *d) { return atomic_load_explicit(&d->view, memory_order_seq_cst); }
view               *db_view_take(db *d); /* the current view, with a reference */
uint64_t            db_visible_seq(const db *d);
/* Makes the edit durable and the resulting version current. `drop_oldest_mem`: the oldest immutable memtable is in a table now.
 * The new version holds the references it needs. */
chr_status db_install(db *d, const version_edit *edit, bool drop_oldest_mem);
/* Makes the edit durable, and nothing else; edit_mu held. After a failure manifest_failed says whether it may be in force. */
chr_status db_append_edit(db *d, const version_edit *edit);
void       db_swap_view(db *d, view *next); /* mu held; the old view's reference is retired */
uint64_t   db_new_file_no(db *d);
/* Records why background work cannot go on. */
void       db_background_failed(db *d, chr_status st);
chr_status db_background_status(db *d); /* mu held; sets the message */

/* write.c */
void       db_update_pressure(db *d);  /* mu held */
chr_status db_refusal(const db *d);    /* CHR_OK, or CHR_READ_ONLY with the reason: nothing may change */
void       db_log_progress(void *arg); /* wal_progress_fn */
chr_status db_switch_memtable(db *d);  /* write_mu held; the active memtable becomes immutable */
void      *db_sync_main(void *arg);

/* read.c */
/* What a reference tells of a value itself. False: nothing. */
bool db_head_of(slice reference, slice *head, size_t *len);
/* The value that a table of `v` refers to: blob_value(*pin), until cache_release. */
chr_status db_resolve(db *d, const version *v, slice reference, cache_handle **pin);
/* The oldest seq that some snapshot may read at, and all of them, newest last; mu held. NULL: no memory. */
size_t db_snapshot_seqs(db *d, uint64_t **seqs);
/* One at a seq that another one holds, or from before there were readers; mu held. */
chr_status db_snapshot_pin(db *d, uint64_t seq, db_snapshot **out);
bool       db_snapshot_is_live(const db *d, uint64_t seq); /* some snapshot has just this seq; mu held */

/* named.c */
/* Takes over what a manifest says, which is then no longer in the list. `to_manifest`: ours is to say so, too. */
chr_status db_adopt_snapshots(db *d, named_list *l, bool to_manifest);

/* flush.c */
void      *db_flush_main(void *arg);
void      *db_compact_main(void *arg);
void       db_work_inline(db *d); /* everything there is to do, in this thread (options.inline_work) */
chr_status db_flush_oldest(db *d);
/* Writes the contents of a memtable to a new level 0 table, which `edit` then adds, with a reference (edit_release); nothing if
 * there was nothing in it. CHR_NO_MEMORY may have released all of the edit. */
chr_status    flush_memtable(db *d, mem_ref *m, version_edit *edit);
table_options db_table_options(const db *d, uint32_t at_level);

/* pick.c */
typedef struct compaction {
    version    *base; /* a reference */
    uint32_t    level, target;
    table_ref **inputs[2]; /* of `level` (and, for a manual one, all above the target) and of the target; borrowed */
    size_t      n_inputs[2];
    uint32_t   *input_levels; /* parallel to inputs[0] */
    bool        trivial_move;
} compaction;
bool pick_compaction(db *d, version *v, compaction *c, chr_status *st); /* mu held; false: nothing to do */
/* A table that has much that only snapshots that are gone showed; it is compacted in its own level. */
bool pick_forgotten(db *d, version *v, compaction *c, chr_status *st); /* mu held */
/* `n` tables of a level, from `first` on, are to be compacted in that level. */
bool   compaction_in_place(compaction *c, version *v, uint32_t at_level, size_t first, size_t n); /* false: no memory */
bool   pick_manual(db *d, version *v, slice start, slice end, compaction *c, chr_status *st);
double level_score(const db *d, const version *v, uint32_t at_level);
uint64_t level_target(const db *d, const version *v, uint32_t at_level);
void     compaction_free(compaction *c);
uint32_t base_level(const db *d, const version *v); /* where level 0 is compacted to */

/* compact.c */
chr_status compaction_run(db *d, compaction *c);

/* scrub.c */
void *db_scrub_main(void *arg);
/* Verifies all tables there are. CHR_CORRUPT or CHR_IO: of the last one that is damaged; the others have been looked at too. */
chr_status db_scrub(db *d);

#endif
