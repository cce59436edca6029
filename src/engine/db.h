/* The LSM tree: the one place that all data goes through. ARCHITECTURE.md tells the story from write to
 * compaction; FORMAT.md describes the files.
 *
 * Visibility and acknowledgement are two things. A write is visible to every reader as soon as db_apply
 * returns. It is acknowledged when its seq is at or below db_ack_seq: after write(2) in the modes INTERVAL and
 * NONE, after fdatasync in the mode ALWAYS. Nobody may be told of a write, neither its writer nor a reader that
 * saw it, before it is acknowledged: db_wait blocks for that, db_request_ack and the listener are for threads
 * that must not block. If the log fails, everything beyond what was acknowledged is hidden again and the store
 * is read-only until it is reopened.
 *
 * Threads: every function from any thread, except that a db_iter belongs to one at a time. */
#ifndef CHR_ENGINE_DB_H
#define CHR_ENGINE_DB_H

#include "engine/batch.h"
#include "engine/named.h"
#include "env/env.h"

typedef struct db          db;
typedef struct db_snapshot db_snapshot;
typedef struct db_iter     db_iter;

/* Asked by compaction about the newest version of a key that no snapshot needs: true drops it. Called from the
 * compaction thread; must not call the db. */
typedef bool db_drop_fn(void *arg, slice key, slice value, uint64_t wall_ns);
/* The acknowledged seq has grown, or the store has become read-only. From any thread, perhaps with locks of the
 * engine held: it must not block nor call the db except db_ack_seq and db_failure. */
typedef void db_ack_fn(void *arg);

typedef struct db_options {
    env        *env;
    const char *dir;
    chr_options chr;
    db_drop_fn *drop; /* may be NULL */
    void       *drop_arg;
    bool        inline_work;   /* for deterministic tests: flush and compact in the writing thread, no threads */
    size_t      l1_bytes;      /* target of the first level below level 0; 0: eight memtables */
    uint64_t    first_file_no; /* of a new store; 0: 1 */
    unsigned keep_share; /* thousandths of a log segment that must be big values for it to stay (blob_keep.h); 0: 900 */
    size_t   table_bytes; /* size at which compaction cuts a table; 0: a memtable */
} db_options;

chr_status db_open(const db_options *options, db **out);
/* Syncs and closes. Iterators and snapshots are gone. The db is freed whatever is returned. */
chr_status db_close(db *d);

/* Applies a batch: visible on return, *seq its last sequence number (may be NULL). It may be slowed down by
 * back-pressure. CHR_READ_ONLY and CHR_NO_SPACE change nothing. An empty batch is CHR_OK with *seq = 0. */
chr_status db_apply(db *d, const batch *b, uint64_t *seq);
/* Whether db_apply would have to wait now because flush and compaction are behind. For threads that must not. */
bool db_would_stall(const db *d);

uint64_t   db_ack_seq(const db *d);
chr_status db_wait(db *d, uint64_t seq); /* until acknowledged; at once if it is */
chr_status db_wait_written(db      *d,
                           uint64_t seq); /* until write(2) has returned: survives the process, not a power cut */
chr_status db_wait_durable(db *d, uint64_t seq); /* until fdatasync'ed, whatever the mode */
/* Sees to it that everything applied so far gets acknowledged soon; never blocks for a sync (it may do one
 * write(2)). The listener is told. */
void db_request_ack(db *d);
/* Several listeners (one per reactor). Not removed while calls may be under way: add before, remove after use. */
chr_status db_add_ack_listener(db *d, db_ack_fn *fn, void *arg);
void       db_remove_ack_listener(db *d, db_ack_fn *fn, void *arg);
/* CHR_OK, or why the store is read-only, with the message. */
chr_status db_failure(const db *d);

/* Reads. `seq` (may be NULL) receives the seq of what was seen, put or tombstone, 0 for nothing: wait for it to be
 * acknowledged before passing the answer on. With a snapshot the answer is as of the snapshot.
 * `visit` is called at most once, with the value in place, during the call: copy what you need, don't block.
 * CHR_NOT_FOUND comes without a message. */
typedef void db_visit_fn(void *arg, slice value);
chr_status   db_get(db *d, const db_snapshot *snapshot, slice key, db_visit_fn *visit, void *arg, uint64_t *seq);
/* The same for who only wants to know what and how long the value is: `head` is its first bytes, at least DB_HEAD of them or all.
 * Of big values that is much less work. */
enum { DB_HEAD = 64 };
typedef void db_peek_fn(void *arg, slice head, size_t len);
chr_status   db_peek(db *d, const db_snapshot *snapshot, slice key, db_peek_fn *visit, void *arg, uint64_t *seq);
/* The newest seq applied so far. */
uint64_t db_last_seq(const db *d);

chr_status db_snapshot_new(db *d, db_snapshot **out);
void       db_snapshot_free(db *d, db_snapshot *s);
uint64_t   db_snapshot_seq(const db_snapshot *s);

/* Snapshots with names, kept until they are dropped, over restarts and crashes. (named.c)
 * Of now; durable when it returns, with all that it shows. Blocks for that. CHR_EXISTS, CHR_INVALID. */
chr_status db_snapshot_keep(db *d, slice name);
chr_status db_snapshot_drop(db *d, slice name); /* CHR_NOT_FOUND. Who has it open may go on reading it */
/* To read at it, until db_snapshot_free. *wall_ns: when it was made. CHR_NOT_FOUND. */
chr_status db_snapshot_open(db *d, slice name, db_snapshot **out, uint64_t *wall_ns);
/* All there are, each of them opened. */
chr_status db_snapshots_take(db *d, named_list *out);
void       db_snapshots_give_back(db *d, named_list *l);

/* Live user keys in [lower, upper) in order, as of the snapshot or of now. A NULL data pointer is no bound; the
 * bounds are copied. Unpositioned at first. */
chr_status db_iter_new(db *d, const db_snapshot *snapshot, slice lower, slice upper, db_iter **out);
void       db_iter_free(db_iter *it);
void       db_iter_first(db_iter *it);
void       db_iter_last(db_iter *it);
void       db_iter_seek(db_iter *it, slice key);      /* first key >= key */
void       db_iter_seek_back(db_iter *it, slice key); /* last key <= key */
void       db_iter_next(db_iter *it);
void       db_iter_prev(db_iter *it);
bool       db_iter_valid(const db_iter *it);
slice      db_iter_key(const db_iter *it); /* until the iterator moves */
/* Until the iterator moves, too. A big value is read only now, and that may fail; the iterator can go on. */
chr_status db_iter_value(db_iter *it, slice *value);
chr_status db_iter_head(db_iter *it, slice *head, size_t *len); /* as db_peek tells it */
chr_status db_iter_status(const db_iter *it); /* CHR_OK at either end; otherwise sets the thread's message */
uint64_t   db_iter_seq(const db_iter *it);    /* the moment it shows; wait for it before passing answers on */

chr_status db_flush(db *d);                           /* memtable to a table, and wait */
chr_status db_compact(db *d, slice start, slice end); /* NULL data: no bound; to the last level, and wait */
chr_status db_checkpoint(db *d, const char *dir);     /* `dir` must not exist */
void       db_get_stats(db *d, chr_stats *stats);
/* Of memtables, tables, and the values in blob files that tables refer to: what is stored, and what of it was replaced and not
 * compacted yet. Cheap. */
uint64_t    db_live_bytes(db *d);
chr_status  db_property(db *d, const char *name, buf *text);
env        *db_env(const db *d);
const char *db_dir(const db *d);

/* Reads and checks every file of a closed store. Calls `report` with a sentence for each thing that is wrong, and returns
 * CHR_CORRUPT if there was any. (check.c) */
typedef void db_report_fn(void *arg, const char *sentence);
chr_status   db_check(env *e, const char *dir, db_report_fn *report, void *arg);
/* Saves everything readable into new files, keeps the old ones in DIR/lost, and reports what could not be read. After a failure, or if
 * it is interrupted, the store is as it was before, or repaired. (repair.c) */
chr_status db_repair(env *e, const char *dir, db_report_fn *report, void *arg);

#endif
