/* Attributes: lookup, forget, getattr, setattr, statfs, access. */
#include "fs/fs.h"

double name_seconds(mount *m)
{
    if (m->options.strict) return 0;
    return !m->remote ? CACHE_SECONDS : remote_is_fresh(m->remote) ? REMOTE_CACHE_SECONDS : 0;
}

double cache_seconds(mount *m, const node *n)
{
    double whole = n->kind == NODE_CONTROL_FILE ? 0 : name_seconds(m);
    if (whole == 0 || n->kind != NODE_FILE || !n->meta.expire_ms) return whole;
    double left = (double)((int64_t)n->meta.expire_ms - fs_now_ms(m)) / 1000;
    return left > whole ? whole : left > 0 ? left : 0;
}

void fill_entry(mount *m, node *n, struct fuse_entry_param *e)
{
    memset(e, 0, sizeof *e);
    e->ino = n->ino;
    node_stat(m, n, &e->attr);
    e->attr_timeout = e->entry_timeout = cache_seconds(m, n);
    if (n->top) e->entry_timeout = 0; /* of a snapshot, which may be dropped by its name */
}

static void entry_lost(mount *m, node *n, struct fuse_file_info *fi)
{
    (void)fi;
    n->lookups--;
    node_release(m, n);
}

void reply_entry(mount *m, fuse_req_t req, node *n)
{
    struct fuse_entry_param e;
    fill_entry(m, n, &e);
    n->lookups++;
    fs_if_lost(entry_lost, n, NULL);
    fuse_reply_entry(req, &e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *n = NULL;
    chr_status st = p ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    if (st == CHR_OK) {
        reply_entry(m, req, n);
    } else if (st == CHR_NOT_FOUND || st == CHR_INVALID) {
        /* ino 0: remember that it is not there. */
        struct fuse_entry_param e = { .entry_timeout = p && p->kind != NODE_SNAPSHOTS ? name_seconds(m) : 0 };
        fuse_reply_entry(req, &e);
    } else {
        fuse_reply_err(req, fs_errno(st));
    }
    fs_end(m);
}

static void forget(mount *m, fuse_ino_t ino, uint64_t n)
{
    node *x = node_of(m, ino);
    if (!x) return;
    x->lookups -= n < x->lookups ? n : x->lookups;
    node_release(m, x);
}
static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    mount *m = fs_begin(req);
    forget(m, ino, n);
    fuse_reply_none(req);
    fs_end(m);
}
static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    mount *m = fs_begin(req);
    for (size_t i = 0; i < count; i++) forget(m, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
    fs_end(m);
}

static void reply_attr(mount *m, fuse_req_t req, const node *n)
{
    struct stat st;
    node_stat(m, n, &st);
    fuse_reply_attr(req, &st, cache_seconds(m, n));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    chr_status st = n ? CHR_OK : CHR_NOT_FOUND;
    if (st == CHR_OK && n->kind == NODE_FILE) st = file_refresh(m, n);
    if (st == CHR_OK)
        reply_attr(m, req, n);
    else
        fuse_reply_err(req, fs_errno(st));
    fs_end(m);
}

static int64_t ns_of(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static void change_meta(mount *m, object_meta *meta, const struct stat *attr, int set)
{
    int64_t now = fs_now_ns(m);
    if (set & FUSE_SET_ATTR_MODE) meta->mode = (meta->mode & S_IFMT) | (attr->st_mode & 07777);
    if (set & FUSE_SET_ATTR_UID) meta->uid = attr->st_uid;
    if (set & FUSE_SET_ATTR_GID) meta->gid = attr->st_gid;
    if (set & FUSE_SET_ATTR_ATIME) meta->atime_ns = ns_of(attr->st_atim);
    if (set & FUSE_SET_ATTR_MTIME) meta->mtime_ns = ns_of(attr->st_mtim);
    if (set & FUSE_SET_ATTR_ATIME_NOW) meta->atime_ns = now;
    if (set & FUSE_SET_ATTR_MTIME_NOW) meta->mtime_ns = now;
    meta->ctime_ns = set & FUSE_SET_ATTR_CTIME ? ns_of(attr->st_ctim) : now;
    meta->has_attrs = true;
}

static chr_status commit_meta_once(mount *m, object_space space, slice key, const struct stat *attr, int set)
{
    object_meta meta;
    fs_txn     *t = fs_txn_begin(m, &key, 1);
    if (!t) return CHR_NO_MEMORY;
    chr_status st = fs_txn_stat(t, space, key, &meta);
    if (st == CHR_NOT_FOUND && space == OBJECT_DIR) {
        meta = fs_default_meta(m, 0);
        meta.mode = S_IFDIR | 0755;
        st = CHR_OK;
    }
    if (st == CHR_OK) {
        node_default_meta(m, &meta);
        change_meta(m, &meta, attr, set);
        st = fs_txn_set_meta(t, space, key, &meta);
    }
    if (st == CHR_OK) return fs_commit(t);
    fs_txn_abort(t);
    return st;
}

static chr_status commit_meta(mount *m, object_space space, slice key, const struct stat *attr, int set)
{
    chr_status st;
    do st = commit_meta_once(m, space, key, attr, set);
    while (fs_again(m, st));
    return st;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set, struct fuse_file_info *fi)
{
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    chr_status st = n ? CHR_OK : CHR_NOT_FOUND;
    bool       was_dirty = n && n->dirty;
    bool       rest = set != FUSE_SET_ATTR_SIZE; /* even if it is nothing, it is a change */
    if (st == CHR_OK && n->at) st = chr_fail(CHR_READ_ONLY, "a snapshot does not change");
    if (st == CHR_OK && (n->kind == NODE_CONTROL_DIR || n->kind == NODE_CONTROL_FILE || n->kind == NODE_SNAPSHOTS))
        st = CHR_OK; /* as > does; it changes nothing */
    else if (st == CHR_OK && n->kind == NODE_DIR) {
        slice key = dir_key(n);
        if (n->partial)
            st = chr_fail(CHR_INVALID, "the attributes of this directory are fixed");
        else if (n == m->root || n->unlinked) /* nowhere to keep them, but until it is forgotten */
            change_meta(m, &n->meta, attr, set);
        else
            st = commit_meta(m, OBJECT_DIR, key, attr, set);
        if (st == CHR_OK && (set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))) n->names_ns = 0;
    } else if (st == CHR_OK) {
        if (set & FUSE_SET_ATTR_SIZE) st = file_truncate(m, n, (uint64_t)attr->st_size);
        /* An open file takes its attributes with it when it is closed; otherwise they go to the store now. */
        if (st == CHR_OK && rest && (n->dirty || n->unlinked))
            change_meta(m, &n->meta, attr, set);
        else if (st == CHR_OK && rest) {
            st = commit_meta(m, OBJECT_KEY, buf_slice(&n->key), attr, set);
            if (st == CHR_OK) st = file_load(m, n);
        }
        /* Half of what is being written must not be seen; but a file that is closed may be released a little later. */
        if (st == CHR_OK && (set & FUSE_SET_ATTR_SIZE) && !fi && (n->opens == 0 || !was_dirty)) st = file_commit(m, n);
    }
    if (st == CHR_OK)
        reply_attr(m, req, n);
    else
        fuse_reply_err(req, fs_errno(st));
    fs_end(m);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    mount         *m = fs_begin(req);
    uint64_t       free_bytes = 0, total = 0;
    uint64_t       keys = 0;
    struct statvfs v = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_BYTES_MAX };
    chr_status     st = fs_space(m, &free_bytes, &total);
    if (st == CHR_OK) st = fs_keys_estimate(m, &keys);
    if (m->options.max_size) {
        uint64_t used = quota_used(m), left = used < m->options.max_size ? m->options.max_size - used : 0;
        total = m->options.max_size;
        if (left < free_bytes) free_bytes = left;
    }
    v.f_blocks = total / v.f_frsize;
    v.f_bfree = v.f_bavail = free_bytes / v.f_frsize;
    v.f_files = keys + free_bytes / v.f_frsize;
    v.f_ffree = v.f_favail = free_bytes / v.f_frsize;
    if (st == CHR_OK)
        fuse_reply_statfs(req, &v);
    else
        fuse_reply_err(req, fs_errno(st));
    fs_end(m);
}

void ops_attr_init(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->getattr = op_getattr;
    ops->setattr = op_setattr;
    ops->statfs = op_statfs;
}
