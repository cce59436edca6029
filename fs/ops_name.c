/* Names: mkdir, unlink, rmdir, rename, symlink, readlink, link. */
#include "fs/fs.h"

#include <errno.h>
#include <stdlib.h>

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)parent, (void)name;
    fuse_reply_err(req, EPERM); /* a key has one path, as on FAT */
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    buf        prefix = { 0 };
    bool       partial;
    chr_status st = p && p->kind == NODE_DIR ? node_lookup(m, p, name, &n) : no_such_directory();
    int        error = st == CHR_OK ? EEXIST : st == CHR_NOT_FOUND ? 0 : fs_errno(st);
    if (!error) st = node_key(p, name, true, &prefix, &partial);
    if (!error && st == CHR_OK && partial) st = chr_fail(CHR_INVALID, "%s stands for a piece of a longer name", name);
    if (!error && st == CHR_OK) {
        slice       key = chr_bytes(prefix.data, prefix.len - 1);
        object_meta meta = new_meta(m, req, S_IFDIR | (mode & 07777));
        txn        *t = txn_begin(m->store, &key, 1);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = txn_set_meta(t, OBJECT_DIR, key, &meta);
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
        if (st == CHR_OK) st = node_lookup(m, p, name, &n);
    }
    if (!error && st != CHR_OK) error = fs_errno(st);
    if (error)
        fuse_reply_err(req, error);
    else
        reply_entry(m, req, n);
    chr_buf_free(&prefix);
    fs_end(m);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    buf        key = { 0 };
    bool       partial;
    chr_status st = p && p->kind == NODE_DIR ? node_lookup(m, p, name, &n) : no_such_directory();
    int        error = st == CHR_OK ? EEXIST : st == CHR_NOT_FOUND ? 0 : fs_errno(st);
    if (!error) st = node_key(p, name, false, &key, &partial);
    if (!error && st == CHR_OK) {
        object_meta meta = new_meta(m, req, S_IFLNK | 0777);
        slice       k = buf_slice(&key);
        txn        *t = txn_begin(m->store, &k, 1);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = txn_put(t, k, &meta, chr_str(target));
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
        if (st == CHR_OK) st = node_lookup(m, p, name, &n);
    }
    if (!error && st != CHR_OK) error = fs_errno(st);
    if (error)
        fuse_reply_err(req, error);
    else
        reply_entry(m, req, n);
    chr_buf_free(&key);
    fs_end(m);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    buf        target = { 0 };
    chr_status st =
        n && n->kind == NODE_FILE ? store_get(m->store, NULL, buf_slice(&n->key), &target, NULL, NULL) : CHR_NOT_FOUND;
    if (st == CHR_OK && !buf_append_byte(&target, 0)) st = chr_nomem();
    if (st == CHR_OK)
        fuse_reply_readlink(req, target.data);
    else
        fuse_reply_err(req, fs_errno(st));
    chr_buf_free(&target);
    fs_end(m);
}

/* Takes a file's name and object away; who has it open keeps its contents. */
static chr_status remove_file(mount *m, node *n)
{
    node *parent = n->parent;
    buf   key = { 0 };
    if (!buf_set(&key, buf_slice(&n->key))) return chr_nomem();
    bool       stored = n->in_store;
    chr_status st = file_keep_contents(m, n);
    if (st == CHR_OK && stored) {
        slice keys[2] = { buf_slice(&key), dir_key(parent) };
        txn  *t = txn_begin(m->store, keys, 2);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = txn_delete(t, OBJECT_KEY, keys[0], NULL);
            if (st == CHR_OK) st = dir_keep(m, t, parent);
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
    }
    chr_buf_free(&key);
    if (st != CHR_OK) return st;
    if (!n->opens) file_forget_dirty(m, n);
    node_detach(m, n);
    node_release(m, n);
    return CHR_OK;
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    chr_status st = p ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = st == CHR_OK ? 0 : fs_errno(st);
    if (!error && n->kind != NODE_FILE) error = n->kind == NODE_DIR ? EISDIR : EPERM;
    if (!error) error = fs_errno(remove_file(m, n));
    fuse_reply_err(req, error);
    fs_end(m);
}

/* Whether anything is in a directory but its own record. */
static chr_status dir_is_empty(mount *m, node *n, bool *empty)
{
    *empty = !dir_has_children_in_memory(n);
    for (int space = OBJECT_KEY; space <= OBJECT_DIR && *empty; space++) {
        store_iter *it;
        chr_status  st =
            store_iter_new(m->store, NULL, (object_space)space, buf_slice(&n->key), chr_bytes(NULL, 0), &it);
        if (st != CHR_OK) return st;
        chr_iter_first(it);
        *empty = !chr_iter_valid(it) || !slice_has_prefix(chr_iter_key(it), buf_slice(&n->key));
        st = chr_iter_status(it);
        chr_iter_free(it);
        if (st != CHR_OK) return st;
    }
    return CHR_OK;
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    bool       empty = false;
    chr_status st = p ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = st == CHR_OK ? 0 : fs_errno(st);
    if (!error && n->kind != NODE_DIR) error = n->kind == NODE_FILE ? ENOTDIR : EPERM;
    if (!error) error = fs_errno(dir_is_empty(m, n, &empty));
    /* With a value of its own it would turn into a file, which rmdir must not do. */
    if (!error && (!empty || store_stat(m->store, NULL, OBJECT_KEY, dir_key(n), NULL, NULL) == CHR_OK))
        error = ENOTEMPTY;
    if (!error) {
        slice keys[2] = { dir_key(n), dir_key(p) };
        txn  *t = txn_begin(m->store, keys, 2);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = txn_delete(t, OBJECT_DIR, keys[0], NULL);
            if (st == CHR_OK) st = dir_keep(m, t, p);
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
        error = fs_errno(st);
    }
    if (!error) {
        node_detach(m, n);
        node_release(m, n);
    }
    fuse_reply_err(req, error);
    fs_end(m);
}

/* ---- rename ---- */

static chr_status flush_below(mount *m, const node *dir)
{
    for (node *c = dir->children; c; c = c->next_child) {
        chr_status st = c->kind == NODE_FILE ? file_flush(m, c, NULL) : flush_below(m, c);
        if (st != CHR_OK) return st;
    }
    return CHR_OK;
}

/* Nodes below a directory that has moved get their new keys. */
static chr_status rekey_below(node *dir, slice from, slice to)
{
    for (node *c = dir->children; c; c = c->next_child) {
        buf key = { 0 };
        if (slice_has_prefix(buf_slice(&c->key), from)) {
            if (!buf_append_slice(&key, to) || !buf_append_slice(&key, slice_from(buf_slice(&c->key), from.len)))
                return chr_nomem();
            chr_buf_free(&c->key);
            c->key = key;
        }
        chr_status st = rekey_below(c, from, to);
        if (st != CHR_OK) return st;
    }
    return CHR_OK;
}

static chr_status move_space(mount *m, txn *t, object_space space, slice from, slice to)
{
    store_iter *it;
    buf         key = { 0 };
    chr_status  st = store_iter_new(m->store, NULL, space, from, chr_bytes(NULL, 0), &it);
    if (st != CHR_OK) return st;
    for (chr_iter_first(it); st == CHR_OK && chr_iter_valid(it) && slice_has_prefix(chr_iter_key(it), from);
         chr_iter_next(it)) {
        key.len = 0;
        slice rest = slice_from(chr_iter_key(it), from.len);
        if (!buf_append_slice(&key, to) || !buf_append_slice(&key, rest))
            st = chr_nomem();
        else
            st = txn_move(t, space, chr_iter_key(it), buf_slice(&key));
    }
    if (st == CHR_OK) st = chr_iter_status(it);
    chr_iter_free(it);
    chr_buf_free(&key);
    return st;
}

static int rename_dir(mount *m, node *n, node *to_parent, const char *to_name, node *target)
{
    buf        to = { 0 };
    bool       partial, empty = true;
    node      *from_parent = n->parent;
    chr_status st = CHR_OK;
    for (const node *x = to_parent; x; x = x->parent)
        if (x == n) return EINVAL;
    if (n->partial) return EPERM;
    if (target) {
        if (target->kind != NODE_DIR) return ENOTDIR;
        st = dir_is_empty(m, target, &empty);
        if (st == CHR_OK && !empty) return ENOTEMPTY;
    }
    if (st == CHR_OK) st = node_key(to_parent, to_name, true, &to, &partial);
    if (st == CHR_OK && partial) st = chr_fail(CHR_INVALID, "%s stands for a piece of a longer name", to_name);
    if (st == CHR_OK) st = flush_below(m, n);
    if (st == CHR_OK) {
        slice from = buf_slice(&n->key), own = dir_key(n), new_own = chr_bytes(to.data, to.len - 1);
        txn  *t = txn_begin(m->store, NULL, 0);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = move_space(m, t, OBJECT_KEY, from, buf_slice(&to));
            if (st == CHR_OK) st = move_space(m, t, OBJECT_DIR, from, buf_slice(&to));
            if (st == CHR_OK) st = dir_keep(m, t, n); /* so that it has a record to move */
            if (st == CHR_OK) st = txn_move(t, OBJECT_DIR, own, new_own);
            if (st == CHR_OK && txn_stat(t, OBJECT_KEY, own, NULL) == CHR_OK)
                st = txn_move(t, OBJECT_KEY, own, new_own);
            if (st == CHR_OK) st = dir_keep(m, t, from_parent);
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
    }
    if (st == CHR_OK && target) {
        node_detach(m, target);
        node_release(m, target);
    }
    if (st == CHR_OK) {
        buf old = n->key;
        n->key = to;
        to = (buf){ 0 };
        st = rekey_below(n, buf_slice(&old), buf_slice(&n->key));
        chr_buf_free(&old);
        n->refs++;
        node_detach(m, n);
        n->refs--;
        if (st == CHR_OK && !node_attach(m, n, to_parent, to_name)) st = chr_nomem();
    }
    chr_buf_free(&to);
    return fs_errno(st);
}

static int rename_file(mount *m, node *n, node *to_parent, const char *to_name, node *target)
{
    buf   to = { 0 };
    bool  partial;
    bool  self = strcmp(to_name, NAME_SELF) == 0 && to_parent != m->root;
    node *from_parent = n->parent;
    if (target && target->kind != NODE_FILE) return EISDIR;
    chr_status st = self ? (buf_set(&to, dir_key(to_parent)) ? CHR_OK : chr_nomem())
                         : node_key(to_parent, to_name, false, &to, &partial);
    /* What is not in the store yet goes there first, so that the rename is one step for everybody. */
    if (st == CHR_OK) st = file_flush(m, n, NULL);
    if (st == CHR_OK && target) st = file_keep_contents(m, target);
    if (st == CHR_OK) {
        slice keys[3] = { buf_slice(&n->key), buf_slice(&to), dir_key(from_parent) };
        txn  *t = txn_begin(m->store, keys, 3);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            txn_set_origin(t, m);
            st = txn_move(t, OBJECT_KEY, keys[0], keys[1]);
            if (st == CHR_OK) st = dir_keep(m, t, from_parent);
            if (st == CHR_OK)
                st = fs_commit(m, t);
            else
                txn_abort(t);
        }
    }
    if (st == CHR_OK && target) {
        if (!target->opens) file_forget_dirty(m, target);
        node_detach(m, target);
        node_release(m, target);
    }
    if (st == CHR_OK) {
        chr_buf_free(&n->key);
        n->key = to;
        to = (buf){ 0 };
        n->self = self;
        seen_add(m, buf_slice(&n->key));
        n->refs++;
        node_detach(m, n);
        n->refs--;
        if (!node_attach(m, n, to_parent, to_name)) st = chr_nomem();
        if (st == CHR_OK) st = file_load(m, n);
    }
    chr_buf_free(&to);
    return fs_errno(st);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *q = node_of(m, new_parent), *n = NULL, *target = NULL;
    chr_status st = p && q ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = st == CHR_OK ? 0 : fs_errno(st);
    if (!error && flags & ~1u) error = EINVAL; /* RENAME_NOREPLACE is what there is */
    if (!error && (n->kind == NODE_CONTROL_DIR || n->kind == NODE_CONTROL_FILE || q->kind != NODE_DIR)) error = EPERM;
    if (!error) {
        n->refs++;
        st = node_lookup(m, q, new_name, &target);
        n->refs--;
        if (st == CHR_NOT_FOUND)
            target = NULL;
        else if (st != CHR_OK)
            error = fs_errno(st);
        if (!error && target && (flags & 1u)) error = EEXIST;
    }
    if (!error && target != n)
        error = n->kind == NODE_DIR ? rename_dir(m, n, q, new_name, target) : rename_file(m, n, q, new_name, target);
    fuse_reply_err(req, error);
    fs_end(m);
}

void ops_name_init(struct fuse_lowlevel_ops *ops)
{
    ops->link = op_link;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->readlink = op_readlink;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
}
