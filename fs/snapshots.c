/* .chronos/snapshots: the snapshots with names, each a directory that shows the tree as it was. What lies below one never changes,
 * so the kernel may keep it; but each walk through its name asks whether the snapshot is still there, since another door may
 * have dropped it. mu held throughout. */
#include "fs/fs.h"

#include <errno.h>

chr_status snapshot_fill_top(mount *m, node *top, store_snapshot *at)
{
    top->top = true;
    top->at = at;
    top->meta = m->root->meta;
    top->meta.atime_ns = top->meta.mtime_ns = top->meta.ctime_ns = store_snapshot_ns(at);
    return top == m->root || buf_set(&top->key, buf_slice(&m->root->key)) ? CHR_OK : chr_nomem();
}

chr_status snapshot_lookup(mount *m, node *dir, const char *name, node **out)
{
    store_snapshot *at;
    node           *n = node_find(m, dir, name);
    chr_status      st = store_snapshot_open(m->store, chr_str(name), &at);
    if (n && (st == CHR_NOT_FOUND || (st == CHR_OK && !store_snapshots_equal(n->at, at)))) {
        node_detach(m, n); /* who is in there stays */
        node_release(m, n);
        n = NULL;
    }
    if (st != CHR_OK) return st;
    if (n) {
        chr_snapshot_free(at);
    } else {
        if (!(n = node_new(m, dir, name, NODE_DIR))) {
            chr_snapshot_free(at);
            return chr_nomem();
        }
        st = snapshot_fill_top(m, n, at);
        if (st != CHR_OK) {
            node_release(m, n);
            return st;
        }
    }
    *out = n;
    return CHR_OK;
}

chr_status snapshot_each(mount *m, bool (*add)(void *arg, const char *name), void *arg)
{
    named_list l;
    chr_status st = db_snapshots_take(store_db(m->store), &l);
    if (st != CHR_OK) return st;
    for (size_t i = 0; i < l.n && st == CHR_OK; i++)
        if (!buf_append_byte(&l.at[i].name, 0) || !add(arg, l.at[i].name.data)) st = chr_nomem();
    db_snapshots_give_back(store_db(m->store), &l);
    return st;
}

/* It waits for the disk; others need not. */
static chr_status without_mu(mount *m, node *dir, chr_status (*what)(db *d, slice name), const char *name)
{
    dir->refs++;
    pthread_mutex_unlock(&m->mu);
    chr_status st = what(store_db(m->store), chr_str(name));
    pthread_mutex_lock(&m->mu);
    dir->refs--;
    return st;
}

int snapshot_make(mount *m, node *dir, const char *name, node **out)
{
    if (m->options.read_only) return EROFS;
    if (strlen(name) > SNAPSHOT_NAME_MAX) return ENAMETOOLONG;
    chr_status st = files_flush_all(m); /* what the mount shows by now is part of it */
    if (st == CHR_OK) st = without_mu(m, dir, db_snapshot_keep, name);
    if (st == CHR_OK) st = snapshot_lookup(m, dir, name, out);
    return fs_errno(st);
}

int snapshot_remove(mount *m, node *dir, const char *name)
{
    if (m->options.read_only) return EROFS;
    chr_status st = without_mu(m, dir, db_snapshot_drop, name);
    node      *n = node_find(m, dir, name);
    if (st == CHR_OK && n) {
        node_detach(m, n);
        node_release(m, n);
    }
    return fs_errno(st);
}
