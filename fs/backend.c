#include "fs/fs.h"

#include "object/wire.h"

fs_txn *fs_txn_begin(mount *m, const slice *keys, size_t n)
{
    fs_txn *t = &m->change;
    assert(!t->local && !t->remote);
    t->m = m;
    if (m->remote) {
        t->remote = remote_txn_begin(m->remote, keys, n);
    } else {
        t->local = txn_begin(m->store, keys, n);
        if (t->local) txn_set_origin(t->local, m);
    }
    return t->local || t->remote ? t : NULL;
}

chr_status fs_txn_commit(fs_txn *t)
{
    txn        *local = t->local;
    remote_txn *far = t->remote;
    t->local = NULL;
    t->remote = NULL;
    return far ? remote_txn_commit(far) : txn_commit(local, NULL);
}

void fs_txn_abort(fs_txn *t)
{
    if (t->remote)
        remote_txn_abort(t->remote);
    else
        txn_abort(t->local);
    t->local = NULL;
    t->remote = NULL;
}

chr_status fs_commit(fs_txn *t)
{
    uint64_t seq = 0;
    txn     *local = t->local;
    if (t->remote) return fs_txn_commit(t);
    t->local = NULL;
    chr_status st = txn_commit(local, &seq);
    return st == CHR_OK && seq ? db_wait_written(store_db(t->m->store), seq) : st;
}

/* ---- */

static chr_status stage(fs_txn *t, const wire_op *op)
{
    return t->remote ? remote_txn_stage(t->remote, op) : wire_apply(t->local, op);
}

chr_status fs_txn_stat(fs_txn *t, object_space space, slice key, object_meta *meta)
{
    return t->remote ? remote_txn_stat(t->remote, space, key, meta) : txn_stat(t->local, space, key, meta);
}
chr_status fs_txn_put(fs_txn *t, slice key, const object_meta *meta, slice value)
{
    return stage(t, &(wire_op){ .kind = WIRE_PUT, .key = key, .data = value, .has_meta = true, .meta = *meta });
}
chr_status fs_txn_delete(fs_txn *t, object_space space, slice key)
{
    return stage(t, &(wire_op){ .kind = WIRE_DELETE, .space = space, .key = key });
}
chr_status fs_txn_write(fs_txn *t, slice key, uint64_t offset, slice data)
{
    return stage(t, &(wire_op){ .kind = WIRE_WRITE, .key = key, .offset = offset, .data = data });
}
chr_status fs_txn_truncate(fs_txn *t, slice key, uint64_t size)
{
    return stage(t, &(wire_op){ .kind = WIRE_TRUNCATE, .key = key, .len = size });
}
chr_status fs_txn_punch(fs_txn *t, slice key, uint64_t offset, uint64_t len)
{
    return stage(t, &(wire_op){ .kind = WIRE_PUNCH, .key = key, .offset = offset, .len = len });
}
chr_status fs_txn_set_meta(fs_txn *t, object_space space, slice key, const object_meta *meta)
{
    return stage(t, &(wire_op){ .kind = WIRE_META, .space = space, .key = key, .has_meta = true, .meta = *meta });
}
chr_status fs_txn_set_xattrs(fs_txn *t, object_space space, slice key, slice xattrs)
{
    return stage(t, &(wire_op){ .kind = WIRE_XATTRS, .space = space, .key = key, .data = xattrs });
}
chr_status fs_txn_move(fs_txn *t, object_space space, slice from, slice to)
{
    return stage(t, &(wire_op){ .kind = WIRE_MOVE, .space = space, .key = from, .other = to });
}
chr_status fs_txn_move_if_there(fs_txn *t, object_space space, slice from, slice to)
{
    return stage(t, &(wire_op){ .kind = WIRE_MOVE_IF_THERE, .space = space, .key = from, .other = to });
}
chr_status fs_txn_swap(fs_txn *t, object_space space, slice a, slice b)
{
    return stage(t, &(wire_op){ .kind = WIRE_SWAP, .space = space, .key = a, .other = b });
}
chr_status fs_txn_move_below(fs_txn *t, slice from, slice to)
{
    return stage(t, &(wire_op){ .kind = WIRE_MOVE_BELOW, .key = from, .other = to });
}
chr_status fs_txn_swap_below(fs_txn *t, slice a, slice b)
{
    return stage(t, &(wire_op){ .kind = WIRE_SWAP_BELOW, .key = a, .other = b });
}
chr_status fs_txn_stamp(fs_txn *t, object_space space, slice key, int64_t ctime_ns)
{
    const wire_op op = { .kind = WIRE_STAMP,
                         .space = space,
                         .key = key,
                         .has_meta = true,
                         .meta = { .ctime_ns = ctime_ns } };
    return stage(t, &op);
}
chr_status fs_txn_keep_dir(fs_txn *t, slice key, const object_meta *meta)
{
    return stage(t,
                 &(wire_op){ .kind = WIRE_KEEP_DIR, .space = OBJECT_DIR, .key = key, .has_meta = true, .meta = *meta });
}
chr_status fs_txn_delete_range(fs_txn *t, object_space space, slice start, slice end)
{
    return stage(t, &(wire_op){ .kind = WIRE_DELETE_RANGE, .space = space, .key = start, .other = end });
}

/* ---- waiting and figures ---- */

/* What a server has answered for has been written there. */
chr_status fs_wait_written(mount *m)
{
    return m->remote ? CHR_OK : db_wait_written(store_db(m->store), db_last_seq(store_db(m->store)));
}
uint64_t   fs_mark_now(mount *m) { return m->remote ? 0 : db_last_seq(store_db(m->store)); }
chr_status fs_wait_durable(mount *m, uint64_t mark)
{
    return m->remote ? remote_sync(m->remote) : db_wait_durable(store_db(m->store), mark);
}

chr_status fs_space(mount *m, uint64_t *free_bytes, uint64_t *total)
{
    uint64_t keys;
    if (m->remote) return remote_figures(m->remote, free_bytes, total, &keys);
    return env_space(db_env(store_db(m->store)), db_dir(store_db(m->store)), free_bytes, total);
}

chr_status fs_keys_estimate(mount *m, uint64_t *keys)
{
    uint64_t free_bytes, total;
    if (m->remote) return remote_figures(m->remote, &free_bytes, &total, keys);
    chr_stats stats;
    chr_get_stats(m->store, &stats);
    *keys = stats.keys_estimate;
    return CHR_OK;
}

chr_status fs_stats_text(mount *m, buf *text)
{
    return m->remote ? remote_stats_text(m->remote, text) : chr_property(m->store, "stats", text);
}

chr_status fs_compact(mount *m) { return m->remote ? remote_compact(m->remote) : chr_compact(m->store); }
