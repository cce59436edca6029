/* A store that a server has, as backend.h wants it: each call is a request that is answered before it returns.
 *
 * What was looked up is kept until remote_begin, which is called when a request of the kernel begins: within one, a file's
 * attributes are asked for once. With the mount's mu held, unless said; remote_sync, remote_told, remote_compact and remote_settled
 * on any thread.
 *
 * A lost connection: a call waits until the server is there again and asks again, at most as long as the mount option
 * `timeout` says; then it fails with CHR_IO, as those that come later do at once, until the server is there. */
#ifndef CHR_FS_REMOTE_STORE_H
#define CHR_FS_REMOTE_STORE_H

#include "fs/remote.h"
#include "object/subtree.h"
#include "object/wire.h"

typedef struct remote_txn remote_txn;

void    remote_begin(remote *r);
int64_t remote_now_ns(remote *r); /* by the server's clock */
/* What a key set there over TCP has. */
object_meta remote_default_meta(remote *r, int64_t now_ns);

chr_status remote_stat(remote *r, object_space space, slice key, object_meta *meta);
chr_status remote_read(remote *r, slice key, uint64_t offset, void *to, size_t len, size_t *got);
chr_status remote_data(remote *r, slice key, uint64_t offset, uint64_t *start, uint64_t *end);
chr_status remote_get_xattrs(remote *r, object_space space, slice key, buf *xattrs);
chr_status remote_any_below(remote *r, object_space space, slice prefix, bool *any);
chr_status remote_names(remote *r, object_space space, slice prefix, store_name_fn *fn, void *arg);
/* These keys are going to be looked up: asks for all of them at once. */
void remote_foresee(remote *r, const slice *keys, size_t n);

remote_txn *remote_txn_begin(remote *r, const slice *keys, size_t n);
chr_status  remote_txn_stat(remote_txn *t, object_space space, slice key, object_meta *meta);
chr_status  remote_txn_stage(remote_txn *t, const wire_op *op);
chr_status  remote_txn_commit(remote_txn *t); /* frees it */
void        remote_txn_abort(remote_txn *t);
/* The last commit found that something it depends on has changed. False after many in a row. */
bool remote_again(remote *r);

chr_status remote_sync(remote *r); /* all that was answered for is on the server's disk */
chr_status remote_figures(remote *r, uint64_t *free_bytes, uint64_t *total, uint64_t *keys);
chr_status remote_stats_text(remote *r, buf *text);
chr_status remote_compact(remote *r);

#endif
