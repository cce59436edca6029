/* Open files: create, open, read, write, flush, fsync, release. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static bool is_writing(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

/* O_TRUNC. The kernel guards set-id bits over writes and truncate, but leaves it to us here. */
static chr_status empty_file(mount *m, fuse_req_t req, node *n)
{
    chr_status st = file_truncate(m, n, 0);
    if (st == CHR_OK && fuse_req_ctx(req)->uid != 0) {
        n->meta.mode &= ~(uint32_t)S_ISUID;
        if (n->meta.mode & S_IXGRP) n->meta.mode &= ~(uint32_t)S_ISGID;
    }
    return st;
}

static void open_lost(mount *m, node *n, struct fuse_file_info *fi)
{
    n->opens--;
    if (n->kind == NODE_CONTROL_FILE) control_close(fi);
    node_release(m, n);
}
static void create_lost(mount *m, node *n, struct fuse_file_info *fi)
{
    n->lookups--;
    open_lost(m, n, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    buf        key = { 0 };
    bool       partial;
    chr_status st = p ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = 0;
    if (p && p->at) {
        error = EROFS; /* the kernel opens what is there */
    } else if (st == CHR_OK) {
        if (fi->flags & O_EXCL)
            error = EEXIST;
        else if (n->kind != NODE_FILE)
            error = EISDIR;
        else if (fi->flags & O_TRUNC)
            error = fs_errno(empty_file(m, req, n));
    } else if (st != CHR_NOT_FOUND) {
        error = fs_errno(st);
    } else if (!p || p->kind != NODE_DIR) {
        error = p ? EPERM : ENOENT;
    } else if (m->options.read_only) {
        error = EROFS;
    } else if (!(error = quota_check_name(m, p, name))) {
        bool self = strcmp(name, NAME_SELF) == 0 && p != m->root;
        st = self ? (buf_set(&key, dir_key(p)) ? CHR_OK : chr_nomem()) : node_key(p, name, false, &key, &partial);
        if (st == CHR_OK && key.len > CHR_KEY_MAX) st = chr_fail(CHR_TOO_BIG, "the key is too long");
        if (st == CHR_OK && !(n = node_new(m, p, name, NODE_FILE))) st = chr_nomem();
        if (st == CHR_OK) {
            chr_buf_free(&n->key);
            n->key = key;
            key = (buf){ 0 };
            n->self = self;
            n->loaded = true;
            n->meta = new_meta(m, req, p, S_IFREG | (mode & 07777));
            seen_add(m, buf_slice(&n->key));
            file_mark_dirty(m, n);
            dir_touch(m, p);
        }
        error = st == CHR_OK ? 0 : fs_errno(st);
    }
    if (error) {
        fuse_reply_err(req, error);
    } else {
        struct fuse_entry_param e;
        fill_entry(m, n, &e);
        fi->keep_cache = !m->options.strict;
        fi->direct_io = m->options.strict;
        n->lookups++;
        n->opens++;
        fs_if_lost(create_lost, n, fi);
        fuse_reply_create(req, &e, fi);
    }
    chr_buf_free(&key);
    fs_end(m);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    chr_status st = n ? CHR_OK : CHR_NOT_FOUND;
    if (st == CHR_OK && n->kind == NODE_CONTROL_FILE) {
        st = control_open(m, n, fi);
    } else if (st == CHR_OK && n->at && (is_writing(fi->flags) || (fi->flags & O_TRUNC))) {
        st = chr_fail(CHR_READ_ONLY, "a snapshot does not change");
    } else if (st == CHR_OK) {
        st = file_refresh(m, n);
        if (st == CHR_OK && (fi->flags & O_TRUNC)) st = empty_file(m, req, n);
        fi->keep_cache = !n->meta.expire_ms && !m->options.strict;
        fi->direct_io = m->options.strict;
        fi->noflush = !is_writing(fi->flags) && !(fi->flags & O_TRUNC);
    }
    if (st == CHR_OK) {
        n->opens++;
        fs_if_lost(open_lost, n, fi);
        fuse_reply_open(req, fi);
    } else {
        fuse_reply_err(req, fs_errno(st));
    }
    fs_end(m);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    char      *to = malloc(size + 1);
    size_t     got = 0;
    chr_status st = !n ? CHR_NOT_FOUND : to ? CHR_OK : chr_nomem();
    if (st == CHR_OK && n->kind == NODE_CONTROL_FILE) {
        got = control_read(m, n, fi, (uint64_t)offset, to, size);
    } else if (st == CHR_OK) {
        st = file_refresh(m, n);
        if (st == CHR_OK) st = file_read(m, n, (uint64_t)offset, to, size, &got);
    }
    if (st == CHR_OK)
        fuse_reply_buf(req, to, got);
    else
        fuse_reply_err(req, fs_errno(st));
    free(to);
    fs_end(m);
}

static chr_status make_durable(mount *m, node *n)
{
    chr_status st = file_flush(m, n);
    return st == CHR_OK ? fs_wait_durable(m, fs_mark_now(m)) : st;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    mount   *m = fs_begin(req);
    node    *n = node_of(m, ino);
    uint64_t at = (uint64_t)offset;
    if (n && n->kind == NODE_CONTROL_FILE) {
        int error = control_write(m, n, chr_bytes(data, size));
        if (error)
            fuse_reply_err(req, error);
        else
            fuse_reply_write(req, size);
        fs_end(m);
        return;
    }
    chr_status st = n && n->kind == NODE_FILE ? CHR_OK : CHR_NOT_FOUND;
    int        over = st == CHR_OK ? quota_check(m, n, size) : 0;
    if (over) {
        fuse_reply_err(req, over);
        fs_end(m);
        return;
    }
    if (st == CHR_OK && (fi->flags & O_APPEND) && !fi->writepage) {
        /* The end may have moved through another door. The kernel then has these bytes in the wrong place. */ st =
            file_refresh(m, n);
        if (st == CHR_NOT_FOUND) st = CHR_OK; /* the whole file is gone */
        if (st == CHR_OK && at != n->meta.size) {
            at = n->meta.size;
            invalidate_file(m, n);
        }
    }
    if (st == CHR_OK) st = file_write(m, n, at, chr_bytes(data, size));
    if (st == CHR_OK && (fi->flags & (O_SYNC | O_DSYNC))) st = make_durable(m, n);
    /* Pages of a mapping come back after the file was closed: nobody else would write them out. */
    if (st == CHR_OK && (fi->writepage || n->opens == 0)) st = file_flush(m, n);
    if (st == CHR_OK)
        fuse_reply_write(req, size);
    else
        fuse_reply_err(req, fs_errno(st));
    fs_end(m);
}

/* When close returns, the value is in the log as the kernel has it: it survives the process. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    chr_status st = n && n->kind == NODE_FILE ? file_commit(m, n) : CHR_OK;
    fuse_reply_err(req, st == CHR_OK ? 0 : fs_errno(st));
    fs_end(m);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    chr_status st = n && n->kind == NODE_FILE ? file_flush(m, n) : CHR_OK;
    uint64_t   last = fs_mark_now(m); /* what was flushed before counts too */
    pthread_mutex_unlock(&m->mu);     /* others need not wait for the disk */
    if (st == CHR_OK) st = fs_wait_durable(m, last);
    pthread_mutex_lock(&m->mu);
    fuse_reply_err(req, st == CHR_OK ? 0 : fs_errno(st));
    fs_end(m);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    mount *m = fs_begin(req);
    node  *n = node_of(m, ino);
    if (n) {
        if (n->kind == NODE_CONTROL_FILE) control_close(fi);
        if (n->opens) n->opens--;
        if (n->kind == NODE_FILE && n->opens == 0)
            (void)file_flush(m, n); /* flush has reported what there was to report */
        node_release(m, n);
    }
    fuse_reply_err(req, 0);
    fs_end(m);
}

void ops_file_init(struct fuse_lowlevel_ops *ops)
{
    ops->create = op_create;
    ops->open = op_open;
    ops->read = op_read;
    ops->write = op_write;
    ops->flush = op_flush;
    ops->fsync = op_fsync;
    ops->release = op_release;
}
