/* Where a mount keeps its objects: in a store of this process, or, if `remote` is set, in that of a server (remote_store.h). The
 * files of this folder reach objects by these functions only; for a local store each is a call of the one that it is named
 * after. Included by fs.h. With mu held, but for waiting.
 *
 * A mount has at most one transaction at a time. What a remote one reads is remembered with its version, what it changes is
 * staged here, and both go to the server at its end, in one request. If what was read has changed meanwhile, nothing is
 * done, and fs_again says that the whole of it is to be tried again. */
#ifndef CHR_FS_BACKEND_H
#define CHR_FS_BACKEND_H

#include "fs/remote_store.h"
#include "object/subtree.h"

static inline int64_t fs_now_ns(mount *m) { return m->remote ? remote_now_ns(m->remote) : store_now_ns(m->store); }
static inline int64_t fs_now_ms(mount *m)
{
    return m->remote ? remote_now_ns(m->remote) / 1000000 : store_now_ms(m->store);
}
/* As object_meta_default. */
static inline object_meta fs_default_meta(mount *m, int64_t now_ns)
{
    return m->remote ? remote_default_meta(m->remote, now_ns) : object_meta_default(m->store, now_ns);
}

/* ---- reading, as of a snapshot, if that is not NULL (there are none of a server); CHR_NOT_FOUND comes without a message ---- */

static inline chr_status fs_stat(mount *m, const store_snapshot *at, object_space space, slice key, object_meta *meta)
{
    return m->remote ? remote_stat(m->remote, space, key, meta) : store_stat(m->store, at, space, key, meta, NULL);
}
static inline chr_status fs_read(mount *m, const store_snapshot *at, slice key, uint64_t offset, void *to, size_t len,
                                 size_t *got)
{
    return m->remote ? remote_read(m->remote, key, offset, to, len, got)
                     : store_read(m->store, at, key, offset, to, len, got, NULL, NULL);
}
static inline chr_status fs_data(mount *m, const store_snapshot *at, slice key, uint64_t offset, uint64_t *start,
                                 uint64_t *end)
{
    return m->remote ? remote_data(m->remote, key, offset, start, end)
                     : store_data(m->store, at, key, offset, start, end);
}
static inline chr_status fs_get_xattrs(mount *m, const store_snapshot *at, object_space space, slice key, buf *xattrs)
{
    return m->remote ? remote_get_xattrs(m->remote, space, key, xattrs)
                     : store_get_xattrs(m->store, at, space, key, xattrs);
}
static inline chr_status fs_any_below(mount *m, const store_snapshot *at, object_space space, slice prefix, bool *any)
{
    return m->remote ? remote_any_below(m->remote, space, prefix, any)
                     : store_any_below(m->store, at, space, prefix, any);
}
static inline chr_status fs_names(mount *m, const store_snapshot *at, object_space space, slice prefix,
                                  store_name_fn *fn, void *arg)
{
    return m->remote ? remote_names(m->remote, space, prefix, fn, arg)
                     : store_names(m->store, at, space, prefix, chr_bytes(NULL, 0), fn, arg);
}

/* ---- changing; txn_* has what each does ---- */

fs_txn    *fs_txn_begin(mount *m, const slice *keys, size_t n); /* NULL: no memory */
chr_status fs_txn_commit(fs_txn *t);
void       fs_txn_abort(fs_txn *t);
/* As fs_txn_commit; returns once the change is in the log as the kernel has it, so that it survives the process. */
chr_status fs_commit(fs_txn *t);
/* The transaction that has ended so is to be begun again. For those that read. */
static inline bool fs_again(mount *m, chr_status st) { return st != CHR_OK && m->remote && remote_again(m->remote); }

chr_status fs_txn_stat(fs_txn *t, object_space space, slice key, object_meta *meta);
chr_status fs_txn_put(fs_txn *t, slice key, const object_meta *meta, slice value);
chr_status fs_txn_delete(fs_txn *t, object_space space, slice key);
chr_status fs_txn_write(fs_txn *t, slice key, uint64_t offset, slice data);
chr_status fs_txn_truncate(fs_txn *t, slice key, uint64_t size);
chr_status fs_txn_punch(fs_txn *t, slice key, uint64_t offset, uint64_t len);
chr_status fs_txn_set_meta(fs_txn *t, object_space space, slice key, const object_meta *meta);
chr_status fs_txn_set_xattrs(fs_txn *t, object_space space, slice key, slice xattrs);
chr_status fs_txn_move(fs_txn *t, object_space space, slice from, slice to);
chr_status fs_txn_move_if_there(fs_txn *t, object_space space, slice from, slice to);
chr_status fs_txn_swap(fs_txn *t, object_space space, slice a, slice b);
chr_status fs_txn_move_below(fs_txn *t, slice from, slice to);
chr_status fs_txn_swap_below(fs_txn *t, slice a, slice b);
chr_status fs_txn_stamp(fs_txn *t, object_space space, slice key, int64_t ctime_ns);
chr_status fs_txn_keep_dir(fs_txn *t, slice key, const object_meta *meta); /* makes the record if there is none */
chr_status fs_txn_delete_range(fs_txn *t, object_space space, slice start, slice end);

/* ---- waiting; fs_mark_now and fs_wait_durable without mu ---- */

chr_status fs_wait_written(mount *m); /* all that was ever committed survives the process */
uint64_t   fs_mark_now(mount *m);     /* what was committed so far */
chr_status fs_wait_durable(mount *m, uint64_t mark);

/* ---- figures ---- */

chr_status fs_space(mount *m, uint64_t *free_bytes, uint64_t *total);
chr_status fs_keys_estimate(mount *m, uint64_t *keys);
chr_status fs_stats_text(mount *m, buf *text);
chr_status fs_compact(mount *m);

#endif
