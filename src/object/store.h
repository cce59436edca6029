/* The object layer: what the TCP server, the mount and the C API share. An object is a key's value with its
 * attributes and expiry, kept in one record of the LSM tree; a value above CHUNK_BYTES is kept in chunks, so that a
 * small write in a big file costs one chunk and a big value streams. (record.h has the bytes of a record.)
 *
 * Reads go straight to the tree. Every change is a transaction (txn): it locks the stripes of its keys, reads what
 * it needs, stages changes and commits them as one batch: atomic after any crash, and no reader sees half.
 * Conditional and read-modify-write commands are therefore plain code between txn_begin and txn_commit.
 *
 * Spaces: OBJECT_KEY holds the users' keys. OBJECT_DIR holds the directories made by mkdir, which only the mount
 * sees; its keys are paths in the same encoding, without a trailing slash.
 *
 * Expiry: an expired object is absent for every function here. A snapshot with a name shows what had not expired when it was made.
 *
 * Acknowledgement: as in engine/db.h, a change is visible at once and acknowledged later; tell nobody of what has
 * seq s before store_ack_seq() >= s. Here that also includes the watchers: a change that a watcher still has to
 * pass on (the mount dropping kernel caches) is not acknowledged until it has.
 *
 * Threads: every function from any thread; a txn or an iterator belongs to one at a time. A thread holds at most
 * one txn, and must not block for other threads while it does. */
#ifndef CHR_OBJECT_STORE_H
#define CHR_OBJECT_STORE_H

#include "engine/db.h"

#include <sys/stat.h>

typedef chr_store    store;
typedef chr_snapshot store_snapshot;
typedef chr_iter     store_iter;
typedef struct txn   txn;

enum { CHUNK_BYTES = 64 * 1024 };
/* CHR_VALUE_MAX bounds what is put or got whole. In parts, as the mount does it, a value can grow to OBJECT_SIZE_MAX. */
#define OBJECT_SIZE_MAX (UINT64_C(1) << 47)
#define WRITE_BYTES_MAX (128u << 20)  /* of one txn_write; a transaction holds what it writes in memory */
#define XATTRS_BYTES_MAX (256u << 10) /* of an object's whole list */

typedef enum object_space { OBJECT_KEY, OBJECT_DIR } object_space;

typedef struct object_meta {
    uint64_t size;                         /* of the value, bytes; set by the object layer, ignored when staged */
    uint64_t expire_ms;                    /* wall clock, milliseconds since 1970; 0: never */
    int64_t  atime_ns, mtime_ns, ctime_ns; /* wall clock, since 1970 */
    uint32_t mode;                         /* type (S_IFREG, S_IFLNK, S_IFDIR, ...) and permissions */
    uint32_t uid, gid;
    bool     has_attrs; /* mode, owner and times are its own; otherwise all but mtime are the defaults */
    bool     has_xattrs;
} object_meta;
/* A plain value as TCP sets it: S_IFREG | 0644, owner of the process, times now, no expiry. `now_ns` 0: ask the clock. */
object_meta object_meta_default(store *s, int64_t now_ns);

/* `env` NULL: the real one. `store` is closed by chr_close. */
typedef struct store_options {
    env        *env;
    chr_options chr;
    bool        inline_work; /* see db_options */
    bool        keeps_hot;   /* a part of the cache is for records that are read often (hot.h): for a server */
} store_options;
chr_status store_open(const char *dir, const store_options *options, store **out);
db        *store_db(store *s);
int64_t    store_now_ms(store *s);
int64_t    store_now_ns(store *s);

/* ---- reading; seq may be NULL, snapshot NULL means now; CHR_NOT_FOUND comes without a message ---- */

/* The whole value replaces the contents of `value`. `value` or `meta` may be NULL. CHR_TOO_BIG: the value is over
 * CHR_VALUE_MAX, see store_read. */
chr_status store_get(store *s, const store_snapshot *snapshot, slice key, buf *value, object_meta *meta, uint64_t *seq);
chr_status store_stat(store *s, const store_snapshot *snapshot, object_space space, slice key, object_meta *meta,
                      uint64_t *seq);
/* Up to `len` bytes from `offset` into `to`; *got is less only at the end of the value. Holes read as zeroes. */
chr_status store_read(store *s, const store_snapshot *snapshot, slice key, uint64_t offset, void *to, size_t len,
                      size_t *got, object_meta *meta, uint64_t *seq);
/* For a server's hot path: `visit` sees meta and value in place, without a copy, during the call; `value.data` is NULL
 * for a value in chunks (meta->size tells): fetch that with store_get or store_read. */
typedef void store_visit_fn(void *arg, const object_meta *meta, slice value);
chr_status   store_visit(store *s, slice key, store_visit_fn *visit, void *arg, uint64_t *seq);
/* The next run of stored bytes at or after `offset`; *start = *end = the size if there is none. Outside of runs there are holes,
 * zeroes that take no room. A run may be told in several pieces. */
chr_status store_data(store *s, const store_snapshot *snapshot, slice key, uint64_t offset, uint64_t *start,
                      uint64_t *end);
/* The encoded list of extended attributes: for each, sized name, sized value (buf_append_sized). */
chr_status store_get_xattrs(store *s, const store_snapshot *snapshot, object_space space, slice key, buf *xattrs);

/* ---- snapshots with names: db_snapshot_keep and so on ---- */

chr_status store_snapshot_open(store *s, slice name, store_snapshot **out); /* until chr_snapshot_free; CHR_NOT_FOUND */
int64_t    store_snapshot_ns(const store_snapshot *snapshot);               /* when it was made, since 1970 */
bool       store_snapshots_equal(const store_snapshot *a, const store_snapshot *b); /* both from store_snapshot_open */

/* ---- iterating: chr_iter_* of the C API work on it. What has expired when it is made is absent, as long as it lives ---- */
chr_status store_iter_new(store *s, const store_snapshot *snapshot, object_space space, slice lower, slice upper,
                          store_iter **out);
/* Of those whose keys begin with `prefix`. */
chr_status         store_iter_below(store *s, const store_snapshot *snapshot, object_space space, slice prefix,
                                    store_iter **out);
const object_meta *store_iter_meta(store_iter *it); /* of the object it stands on; NULL: it is corrupt, see status */
uint64_t           store_iter_seq(const store_iter *it);

/* ---- changing ---- */

/* Locks the stripes of `n` keys (duplicates are fine), in an order that cannot deadlock; n = 0 locks all of them,
 * for changes to unknown sets of keys. NULL: no memory. Then only these keys may be used below. */
txn *txn_begin(store *s, const slice *keys, size_t n);
/* Whose change it is, so that a watcher does not hear of its own. */
void txn_set_origin(txn *t, const void *origin);
/* By what it is changed, for the watchers. Not of a step, which is told of as a part of its transaction. */
void txn_set_cause(txn *t, const void *cause);
/* As store_get / store_read / store_stat, seeing this transaction's own changes. */
chr_status txn_get(txn *t, slice key, buf *value, object_meta *meta);
chr_status txn_read(txn *t, slice key, uint64_t offset, void *to, size_t len, size_t *got, object_meta *meta);
chr_status txn_stat(txn *t, object_space space, slice key, object_meta *meta);
chr_status txn_get_xattrs(txn *t, object_space space, slice key, buf *xattrs);
/* Sets value and attributes, whatever was there; `meta` NULL: defaults. Extended attributes are dropped. Cheap: reads nothing
 * unless the key may hold a value in chunks. CHR_TOO_BIG: key or value over its limit. A value of many MiB is written out
 * here and now, with the stripes locked; store_put does that before it locks any. */
chr_status txn_put(txn *t, slice key, const object_meta *meta, slice value);
/* CHR_OK also if it was absent; *existed (may be NULL, which spares a read) tells. */
chr_status txn_delete(txn *t, object_space space, slice key, bool *existed);
/* Change parts of a value in place; the object must exist (CHR_NOT_FOUND). Beyond the end the value grows, over a
 * hole if need be. Cost is proportional to the chunks touched. mtime and ctime become now; txn_set_meta after it can set
 * them otherwise. CHR_TOO_BIG: over OBJECT_SIZE_MAX or WRITE_BYTES_MAX. */
chr_status txn_write(txn *t, slice key, uint64_t offset, slice data);
chr_status txn_truncate(txn *t, slice key, uint64_t size);
/* Makes zeroes of a part of the value, or of what of it lies below the size; whole chunks become holes. */
chr_status txn_punch(txn *t, slice key, uint64_t offset, uint64_t len);
/* Sets attributes and expiry (not size) of an object that exists; in OBJECT_DIR it creates the directory record. */
chr_status txn_set_meta(txn *t, object_space space, slice key, const object_meta *meta);
chr_status txn_set_xattrs(txn *t, object_space space, slice key, slice xattrs); /* replaces the whole list */
/* Value (however big, without copying it), attributes and xattrs go to another key, replacing what was there. */
chr_status txn_move(txn *t, object_space space, slice from, slice to);
/* The same in both directions at once; either may be absent. */
chr_status txn_swap(txn *t, object_space space, slice a, slice b);
/* Every object with start <= key < end (NULL data: no bound) in the space. Needs all stripes. */
chr_status txn_delete_range(txn *t, object_space space, slice start, slice end);
/* Applies everything staged, tells the watchers, unlocks and frees `t`, whatever is returned. *seq (may be NULL) is what must
 * be acknowledged before anyone is told how the transaction went: its own seq, or, if nothing was staged, that of
 * the newest thing it read. If something was staged in part only (no memory, a batch that gets too big, a failed
 * read), nothing is applied and that error is returned again. */
chr_status txn_commit(txn *t, uint64_t *seq);
/* Drops everything staged. Someone who answers from what the transaction read commits it instead, for its seq. */
void txn_abort(txn *t);

/* Many commands in one transaction: from txn_enter to txn_leave all that this thread asks of the store above and by store_put is a
 * step of `t`. Reads see what it has staged; txn_begin gives `t` itself, whose commit only ends the step, while its abort, or
 * a commit that fails, takes back what the step staged, and nothing else. A step may only lock keys that `t` has locked;
 * reads of other keys see the store as it is. Iterators refuse once something is staged, since they would not see it. After
 * txn_leave `t` is to be committed or aborted as ever. */
void txn_enter(txn *t);
void txn_leave(txn *t);

/* One put without conditions: what most writes are. */
/* The record of `key` will be asked for soon: begins to fetch what is in memory of it. */
void       store_prefetch(store *s, slice key);
chr_status store_put(store *s, slice key, const object_meta *meta, slice value, uint64_t *seq);

/* ---- expiring ---- */

/* Deletes the record of an object that has expired, so that watchers hear of it; *expire_ms: when it will, if it has not yet, or 0. */
chr_status store_expire(store *s, slice key, uint64_t *expire_ms);
/* Goes through at most `max` records of keys from *from on, "" at first, and calls for each that has an expiry, passed or not.
 * Afterwards *from is where to go on; *done: there are no more. */
typedef void store_expiry_fn(void *arg, slice key, uint64_t expire_ms);
chr_status   store_expiries(store *s, buf *from, size_t max, store_expiry_fn *fn, void *arg, bool *done);

/* ---- acknowledging ---- */
uint64_t   store_ack_seq(const store *s);
chr_status store_wait(store *s, uint64_t seq);         /* blocks until acknowledged */
chr_status store_wait_durable(store *s, uint64_t seq); /* until fdatasync'ed, whatever the mode */
void       store_request_ack(store *s);                /* never blocks; the listeners hear of it */
chr_status store_add_ack_listener(store *s, db_ack_fn *fn, void *arg);
void       store_remove_ack_listener(store *s, db_ack_fn *fn, void *arg);

/* ---- watching ---- */
typedef enum change_kind {
    CHANGE_PUT,
    CHANGE_DELETE,
    CHANGE_RANGE,
    CHANGE_EXPIRED, /* it had been absent already, and now its record is gone */
} change_kind;
typedef struct change {
    change_kind  kind;
    object_space space;
    slice        key; /* of CHANGE_RANGE: the start; `end` is its end, either with NULL data for no bound */
    slice        end;
    uint64_t     expire_ms; /* of CHANGE_PUT: when it will expire; 0: never */
    uint64_t     seq;
    const void  *origin; /* of txn_set_origin */
    const void  *cause;  /* of txn_set_cause, or NULL */
} change;
typedef struct store_watch store_watch;
/* Called after the change is visible, in commit order for each key, with its stripe locked: it must be quick, must not
 * use the store, and must not wait for anyone who might. True: it has something to pass on, and the change is held
 * back from being acknowledged until store_watch_settled. */
typedef bool store_watch_fn(void *arg, const change *c);
chr_status   store_watch_add(store *s, store_watch_fn *fn, void *arg, store_watch **out);
/* For each change that got true, once, in any order. */
void store_watch_settled(store_watch *w, uint64_t seq);
void store_watch_remove(store_watch *w); /* afterwards fn is not called any more; releases what it held back */

#endif
