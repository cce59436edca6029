/* Names: mknod, mkdir, unlink, rmdir, symlink, readlink, link. */
#include "fs/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)name;
    mount      *m = fs_begin(req);
    const node *p = node_of(m, parent);
    fuse_reply_err(req, p && p->at ? EROFS : EPERM); /* a key has one path, as on FAT */
    fs_end(m);
}

static chr_status write_device(mount *m, node *n, dev_t device)
{
    char text[32];
    int  len = snprintf(text, sizeof text, "%u:%u", major(device), minor(device));
    n->device = device;
    return file_write(m, n, 0, chr_bytes(text, (size_t)len));
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    buf        key = { 0 };
    bool       partial;
    chr_status st = p && p->kind == NODE_DIR ? node_lookup(m, p, name, &n) : no_such_directory();
    int        error = st == CHR_OK ? EEXIST : st == CHR_NOT_FOUND ? 0 : fs_errno(st);
    if (!error) error = p->at ? EROFS : quota_check_name(m, p, name);
    if (!error) {
        st = node_key(p, name, false, &key, &partial);
        if (st == CHR_OK && !(n = node_new(m, p, name, NODE_FILE))) st = chr_nomem();
        if (st == CHR_OK) {
            n->key = key;
            key = (buf){ 0 };
            n->loaded = true;
            n->meta = new_meta(m, req, p, mode);
            seen_add(m, buf_slice(&n->key));
            file_mark_dirty(m, n);
            if (S_ISCHR(mode) || S_ISBLK(mode)) st = write_device(m, n, rdev); /* the kernel has asked who may */
            if (st == CHR_OK) st = file_commit(m, n);
            if (st == CHR_OK) {
                dir_touch(m, p);
            } else if (n->dirty) { /* it did not come to be */
                file_forget_dirty(m, n);
                node_release(m, n);
            }
        }
        error = st == CHR_OK ? 0 : fs_errno(st);
    }
    if (error)
        fuse_reply_err(req, error);
    else
        reply_entry(m, req, n);
    chr_buf_free(&key);
    fs_end(m);
}

static void make_snapshot(mount *m, fuse_req_t req, node *dir, const char *name)
{
    node *n = NULL;
    int   error = snapshot_make(m, dir, name, &n);
    if (error)
        fuse_reply_err(req, error);
    else
        reply_entry(m, req, n);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    mount *m = fs_begin(req);
    node  *p = node_of(m, parent), *n = NULL;
    buf    prefix = { 0 };
    bool   partial;
    if (p && p->kind == NODE_SNAPSHOTS) {
        make_snapshot(m, req, p, name);
        fs_end(m);
        return;
    }
    chr_status st = p && p->kind == NODE_DIR ? node_lookup(m, p, name, &n) : no_such_directory();
    int        error = st == CHR_OK ? EEXIST : st == CHR_NOT_FOUND ? 0 : fs_errno(st);
    if (!error) error = p->at ? EROFS : quota_check_name(m, p, name);
    if (!error) st = node_key(p, name, true, &prefix, &partial);
    if (!error && st == CHR_OK && partial) st = chr_fail(CHR_INVALID, "%s stands for a piece of a longer name", name);
    if (!error && st == CHR_OK) {
        slice       key = chr_bytes(prefix.data, prefix.len - 1);
        object_meta meta = new_meta(m, req, p, S_IFDIR | (mode & 07777));
        fs_txn     *t = fs_txn_begin(m, &key, 1);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = fs_txn_set_meta(t, OBJECT_DIR, key, &meta);
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
        }
        if (st == CHR_OK) st = node_lookup(m, p, name, &n);
    }
    if (!error && st != CHR_OK) error = fs_errno(st);
    if (!error) dir_touch(m, p);
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
    if (!error) error = p->at ? EROFS : quota_check_name(m, p, name);
    if (!error) st = node_key(p, name, false, &key, &partial);
    if (!error && st == CHR_OK) {
        object_meta meta = new_meta(m, req, p, S_IFLNK | 0777);
        slice       k = buf_slice(&key);
        fs_txn     *t = fs_txn_begin(m, &k, 1);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = fs_txn_put(t, k, &meta, chr_str(target));
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
        }
        if (st == CHR_OK) st = node_lookup(m, p, name, &n);
    }
    if (!error && st != CHR_OK) error = fs_errno(st);
    if (!error) dir_touch(m, p);
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
    char       target[PATH_MAX] = "";
    size_t     got = 0;
    chr_status st = n && n->kind == NODE_FILE
                        ? fs_read(m, n->at, buf_slice(&n->key), 0, target, sizeof target - 1, &got)
                        : CHR_NOT_FOUND;
    if (st == CHR_OK)
        fuse_reply_readlink(req, target);
    else
        fuse_reply_err(req, fs_errno(st));
    fs_end(m);
}

/* Takes a file's name and object away; who has it open keeps its contents. */
static chr_status remove_file(mount *m, node *n)
{
    node      *parent = n->parent;
    buf        hidden = { 0 };
    bool       stored = n->in_store;
    chr_status st = file_keep_contents(m, n, &hidden);
    if (st == CHR_OK && stored) {
        slice   keys[3] = { buf_slice(&n->key), dir_key(parent), buf_slice(&hidden) };
        fs_txn *t = fs_txn_begin(m, keys, 3);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = file_move_hidden(t, n, keys[2]);
            if (st == CHR_OK) st = fs_txn_delete(t, OBJECT_KEY, keys[0]);
            if (st == CHR_OK) st = dir_keep(m, t, parent);
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
        }
    }
    if (st == CHR_OK && hidden.len) buf_swap(&n->key, &hidden);
    chr_buf_free(&hidden);
    if (st != CHR_OK) return st;
    if (!n->opens) file_forget_dirty(m, n);
    dir_touch(m, parent);
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
    if (!error && n->at) error = EROFS;
    if (!error) error = fs_errno(remove_file(m, n));
    fuse_reply_err(req, error);
    fs_end(m);
}

chr_status dir_is_empty(mount *m, const node *n, bool *empty)
{
    *empty = !dir_has_children_in_memory(n);
    for (int space = OBJECT_KEY; space <= OBJECT_DIR && *empty; space++) {
        bool       any = false;
        chr_status st = fs_any_below(m, NULL, (object_space)space, buf_slice(&n->key), &any);
        if (st != CHR_OK) return st;
        *empty = !any;
    }
    if (!*empty) return CHR_OK;
    chr_status st = fs_stat(m, NULL, OBJECT_KEY, dir_key(n), NULL);
    *empty = st != CHR_OK;
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    mount *m = fs_begin(req);
    node  *p = node_of(m, parent), *n = NULL;
    bool   empty = false;
    if (p && p->kind == NODE_SNAPSHOTS) {
        fuse_reply_err(req, snapshot_remove(m, p, name));
        fs_end(m);
        return;
    }
    chr_status st = p ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = st == CHR_OK ? 0 : fs_errno(st);
    if (!error && n->at) error = EROFS;
    if (!error && n->kind != NODE_DIR) error = n->kind == NODE_FILE ? ENOTDIR : EPERM;
    if (!error) error = fs_errno(dir_is_empty(m, n, &empty));
    if (!error && !empty) error = ENOTEMPTY;
    if (!error) error = fs_errno(dir_keep_attrs(m, n));
    if (!error) {
        slice   keys[2] = { dir_key(n), dir_key(p) };
        fs_txn *t = fs_txn_begin(m, keys, 2);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = fs_txn_delete(t, OBJECT_DIR, keys[0]);
            if (st == CHR_OK) st = dir_keep(m, t, p);
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
        }
        error = fs_errno(st);
    }
    if (!error) {
        dir_touch(m, p);
        node_detach(m, n);
        node_release(m, n);
    }
    fuse_reply_err(req, error);
    fs_end(m);
}

void ops_name_init(struct fuse_lowlevel_ops *ops)
{
    ops->link = op_link;
    ops->mknod = op_mknod;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->readlink = op_readlink;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
}
