/* The inside of a mount, shared by the files of this folder.
 *
 * One mutex (mu) guards the tree of nodes and the state of files; requests hold it while they work, which is microseconds but for cold reads.
 * Lock order: barrier (shared), mu, then the store's own locks. The store's watcher runs under the store's locks
 * and takes none of these but queue_mu, which is a leaf; so there is no way to a deadlock between the doors.
 *
 * Coherence: the kernel caches names, attributes and pages for a day. A change through another door is queued by the watcher and held
 * back from being acknowledged; the invalidator waits for requests that may have read what was there before (they hold the
 * barrier shared from their first look until they have replied), tells the kernel, and settles the change. So whoever
 * was told of a change finds it through the mount. */
#ifndef CHR_FS_FS_H
#define CHR_FS_FS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/mount.h"
#include "fs/path.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    FILE_DIRTY_MAX =
        8 << 20, /* unwritten bytes of one file; a file that stays below reaches the store whole, at close or fsync */
    ALL_DIRTY_MAX = 128 << 20,     /* of all files together */
    UNLINKED_IN_MEMORY = 16 << 20, /* a file unlinked while open is kept in memory up to this size */
    XATTR_VALUE_MAX = 64 * 1024,
    SEEN_BITS = 1 << 22, /* of names the kernel has asked for: a hash without collisions to speak of */
};
#define CACHE_SECONDS 86400.0
#define SNAPSHOTS_NAME "snapshots"            /* in .chronos */
#define UNLINKED_PREFIX ".chronos/unlinked/"  /* of keys of files that are unlinked, open, and too big for memory */
#define UNLINKED_FAR ".chronos/unlinked-far/" /* the same of mounts on other machines, each in a directory of its own */

typedef enum node_kind { NODE_FILE, NODE_DIR, NODE_CONTROL_DIR, NODE_CONTROL_FILE, NODE_SNAPSHOTS } node_kind;

/* A run of bytes that were written and not yet given to the store. */
typedef struct extent {
    uint64_t offset;
    buf      bytes;
} extent;

typedef struct node {
    uint64_t  ino; /* never used again */
    node_kind kind;
    bool      top;      /* directory: the root, or that of a snapshot */
    bool      partial;  /* directory: see place */
    bool      self;     /* file: the value of the directory it is in */
    bool      unlinked; /* no name leads here any more */
    /* Files. */
    bool in_store; /* there is an object under the key */
    bool loaded;   /* meta is what the store has, or newer */
    bool dirty;    /* anything below is newer than the store */
    bool owed;     /* dirty, and an attempt to give it to the store has failed */
    /* Files and directories: the moment that they show, and then nothing of them ever changes; NULL: now. Their top's. */
    store_snapshot *at;
    struct node    *parent;    /* holds a reference of its children; NULL: the root, or unlinked */
    struct node    *next_ino;  /* in mount.by_ino */
    struct node    *next_name; /* in mount.by_name */
    struct node    *next_child, *prev_child, *children;
    char           *name; /* under the parent */
    buf             key;  /* file: its key; directory: its place's prefix */
    int64_t  names_ns;    /* directory: when its names last changed through the mount, 0: not since it is known here */
    uint64_t lookups;     /* references of the kernel */
    unsigned opens;
    unsigned refs; /* by children, and by requests under way */
    /* Files. */
    dev_t        device;  /* what a device file stands for; its value is the text "MAJOR:MINOR" */
    object_meta  meta;    /* size included; of directories, only those without a record */
    uint64_t     base;    /* bytes of the stored value that still count; behind it are zeroes */
    extent      *extents; /* sorted, apart from each other */
    size_t       n_extents, cap_extents;
    uint64_t     dirty_bytes;
    buf          xattrs; /* of what has no object: a new file, or what is unlinked and still in use */
    struct node *next_dirty, *prev_dirty;
    uint64_t     generation; /* changes made through other doors, as the kernel's pages know them */
} node;

/* See backend.h. */
typedef struct fs_txn {
    mount             *m;
    txn               *local;
    struct remote_txn *remote; /* or NULL */
} fs_txn;

struct mount {
    store               *store;
    struct remote       *remote; /* the server that has it, and `store` is NULL; or NULL */
    fs_txn               change; /* the transaction that is under way */
    mount_options        options;
    char                *mount_point;
    dev_t                device; /* of what is mounted there */
    struct fuse_session *session;
    store_watch         *watch;
    pthread_t            threads[4], invalidator;
    unsigned             n_threads, wanted;
    bool                 invalidating;
    atomic_bool          stopping, told;
    atomic_uint          started, running, awake; /* of the threads */
    _Atomic(uint64_t)    requests, waited_for;    /* all there were; those of them for which somebody waits */
    int                  stop_fd; /* an eventfd that ends the loops; never read, so that all of them see it */

    pthread_rwlock_t barrier;
    pthread_mutex_t  mu;
    node            *root;
    node           **by_ino, **by_name;
    size_t           n_nodes, buckets;
    uint64_t         next_ino;
    node            *dirty;
    uint64_t         dirty_bytes;
    uint64_t         next_unlinked;
    char             unlinked_prefix[80]; /* of the keys of files that are unlinked, open, and too big for memory */

    pthread_t      compactor; /* see has_compactor */
    bool           has_compactor, compacting;
    pthread_cond_t compacted;
    uint64_t       compacted_seq;               /* the newest write when the last one began */
    uint64_t       compacted_ns, compaction_ns; /* when it ended, and how long it took */

    store_watch    *log_watch; /* NULL: nobody has opened .chronos/log yet */
    pthread_mutex_t log_mu;
    buf             log_text;
    uint64_t        log_start; /* where log_text begins in the stream of all lines */

    pthread_t      repayer; /* see far.c; the flags are guarded by queue_mu */
    pthread_cond_t repay_work;
    bool           repaying, repay;

    pthread_mutex_t   queue_mu;
    pthread_cond_t    queue_work;
    struct pending   *queue_first, **queue_last;
    _Atomic(uint64_t) seen[SEEN_BITS / 64];
};

#include "fs/backend.h"

static inline void buf_swap(buf *a, buf *b)
{
    buf was = *a;
    *a = *b;
    *b = was;
}

/* ---- requests ---- */
mount *fs_begin(fuse_req_t req); /* takes barrier and mu */
void   fs_end(mount *m);         /* after the reply, which leaves now (reply.c) */
/* To be called, with mu held, if the reply that follows does not reach the kernel: the request was interrupted. */
typedef void      fs_lost_fn(mount *m, node *n, struct fuse_file_info *fi);
void              fs_if_lost(fs_lost_fn *fn, node *n, const struct fuse_file_info *fi);
bool              replies_prepare(struct fuse_session *session); /* of a session that is mounted; false: no memory */
bool              replies_begin_thread(void); /* in each thread that serves requests; false: no memory */
void              replies_end_thread(void);
int               fs_errno_of(chr_status st); /* not for CHR_OK; and a log line for what an operator should know */
static inline int fs_errno(chr_status st)
{
    if (st == CHR_OK) return 0;
    int error = fs_errno_of(st);
    assert(error != 0);
    return error;
}
static inline chr_status no_such_directory(void)
{
    (void)chr_fail(CHR_INVALID, "there is no such directory");
    return CHR_INVALID;
}

/* ---- nodes (node.c); mu held ---- */
chr_status nodes_init(mount *m);
void       nodes_free(mount *m);
node      *node_of(mount *m, fuse_ino_t ino);
node      *node_find(mount *m, node *parent, const char *name);
node      *node_new(mount *m, node *parent, const char *name, node_kind kind); /* NULL: no memory */
void       node_release(mount *m, node *n);                                    /* frees it once nothing refers to it */
void       node_detach(mount *m, node *n);                                     /* its name is gone */
bool       node_attach(mount *m, node *n, node *parent, const char *name);
/* Looks a name up: in memory, then in the store. CHR_NOT_FOUND; CHR_INVALID: the name is not spelt as it should be. */
chr_status node_lookup(mount *m, node *parent, const char *name, node **out);
/* The key (of a file) or prefix (of a directory) that a name stands for. */
chr_status node_key(const node *parent, const char *name, bool dir, buf *key, bool *partial);
place      place_of(const node *dir);
slice      dir_key(const node *dir); /* of a directory's record: its prefix without the slash */
chr_status dir_exists(mount *m, const store_snapshot *at, slice prefix, bool *exists); /* a record, or a key below */
chr_status dir_keep(mount *m, fs_txn *t, const node *dir); /* stages a record, so that it stays when empty */
bool       dir_has_children_in_memory(const node *dir);
chr_status dir_is_empty(mount *m, const node *dir, bool *empty); /* a value of its own counts */
void       node_default_meta(const mount *m, object_meta *meta); /* if it has no attributes of its own */
void       node_stat(mount *m, const node *n, struct stat *st);
/* Of what the caller makes in the directory. */
object_meta new_meta(mount *m, fuse_req_t req, const node *parent, mode_t mode);
/* A name in it has come or gone. */
void       dir_touch(mount *m, node *dir);
chr_status dir_keep_attrs(mount *m, node *dir); /* before its record goes, for those who have it open or stand in it */
void       seen_add(mount *m, slice key);
bool       seen_has(const mount *m, slice key);

/* ---- files (file.c); mu held ---- */
chr_status file_load(mount *m, node *n);
/* The same, and no error if the file has no object to be loaded from: it is new, or unlinked. */
chr_status file_refresh(mount *m, node *n);
chr_status file_read(mount *m, node *n, uint64_t offset, char *to, size_t len, size_t *got);
chr_status file_write(mount *m, node *n, uint64_t offset, slice data);
chr_status file_truncate(mount *m, node *n, uint64_t size);
/* Zeroes, which take no room where they fill chunks, for what of these bytes lies below the size. What the file has in the
 * store is changed there at once, after everything unwritten went there. */
chr_status file_punch(mount *m, node *n, uint64_t offset, uint64_t len);
/* The next run of bytes at or after `offset` that are not a hole; *start = *end = the size if there is none. A run may be
 * told in pieces. */
chr_status file_data(mount *m, node *n, uint64_t offset, uint64_t *start, uint64_t *end);
chr_status file_flush(mount *m, node *n); /* everything to the store, as one batch */
/* The same; returns once all that was ever flushed of the file survives the process. */
chr_status file_commit(mount *m, node *n);
void       file_mark_dirty(mount *m, node *n);
void       file_forget_dirty(mount *m, node *n);
/* Before its key goes away: its contents stay for those who have it open. *hidden goes to file_move_hidden in the transaction
 * that takes the key away, and is the file's key thereafter if it is not empty. */
chr_status file_keep_contents(mount *m, node *n, buf *hidden);
chr_status file_move_hidden(fs_txn *t, const node *n, slice hidden);
chr_status files_flush_all(mount *m);

/* ---- invalidate.c ---- */
chr_status invalidate_start(mount *m);
void       invalidate_stop(mount *m);
/* What a server says of changes; `registration` is for remote_settled, or 0. False: no memory. */
bool invalidate_key(mount *m, change_kind kind, slice key, uint64_t registration);
/* Soon, the kernel will forget what it knows of the file. */
void invalidate_file(mount *m, const node *n);

void   fs_init_ops(struct fuse_lowlevel_ops *ops);
void   ops_attr_init(struct fuse_lowlevel_ops *ops);
void   ops_name_init(struct fuse_lowlevel_ops *ops);
void   ops_rename_init(struct fuse_lowlevel_ops *ops);
void   ops_file_init(struct fuse_lowlevel_ops *ops);
void   ops_space_init(struct fuse_lowlevel_ops *ops);
void   ops_dir_init(struct fuse_lowlevel_ops *ops);
void   ops_xattr_init(struct fuse_lowlevel_ops *ops);
void   reply_entry(mount *m, fuse_req_t req, node *n);
void   fill_entry(mount *m, node *n, struct fuse_entry_param *e);
double cache_seconds(mount *m, const node *n);
double name_seconds(mount *m); /* for which the kernel may know that a name is, or is not, there */

/* ---- far.c: what a mount of another machine's store does beside serving requests ---- */
chr_status far_start(mount *m); /* after invalidate_start */
void       far_stop(mount *m);  /* before invalidate_stop; nothing without a server */

/* ---- control.c ---- */
const char *control_name(const mount *m, size_t i); /* NULL behind the last */
bool        control_exists(const mount *m, const char *name);
void        control_meta(mount *m, const node *n, object_meta *meta);
chr_status  control_open(mount *m, const node *n, struct fuse_file_info *fi);
void        control_close(struct fuse_file_info *fi);
size_t control_read(mount *m, const node *n, const struct fuse_file_info *fi, uint64_t offset, char *to, size_t len);
int    control_write(mount *m, const node *n, slice data); /* whole lines; an errno */
bool   control_compact(mount *m);                          /* begins a compaction, unless one runs; false: no thread */
void   control_end(mount *m);                              /* once no request comes any more */

/* ---- snapshots.c ---- */
/* Makes a top of a directory, and takes `at` over, also on failure. */
chr_status snapshot_fill_top(mount *m, node *top, store_snapshot *at);
chr_status snapshot_lookup(mount *m, node *dir, const char *name, node **out);
chr_status snapshot_each(mount *m, bool (*add)(void *arg, const char *name), void *arg); /* false: no memory */
int        snapshot_make(mount *m, node *dir, const char *name, node **out);             /* an errno, as the next */
int        snapshot_remove(mount *m, node *dir, const char *name);

/* ---- quota.c ---- */
/* 0, or EDQUOT if the store may not grow by so many bytes. It may let go of mu, and wait for a compaction; `n` stays. */
int      quota_check(mount *m, node *n, uint64_t bytes);
int      quota_check_name(mount *m, node *parent, const char *name); /* the same for a new name */
uint64_t quota_used(mount *m);

/* ---- change_log.c ---- */
chr_status change_log_begin(mount *m);
void       change_log_end(mount *m);
uint64_t   change_log_size(mount *m); /* of all lines ever */
size_t     change_log_read(mount *m, uint64_t *position, char *to, size_t len);

#endif
