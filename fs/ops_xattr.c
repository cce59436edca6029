/* Extended attributes: user.*, security.* and trusted.*, kept with the object. ACLs are not supported. */
#include "fs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>

static bool supported(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "security.", 9) == 0 || strncmp(name, "trusted.", 8) == 0;
}

/* Where a node's attributes are kept; false: it has none. */
static bool home(const node *n, object_space *space, slice *key)
{
    if (!n || n->top || n->partial || (n->kind != NODE_FILE && n->kind != NODE_DIR)) return false;
    *space = n->kind == NODE_DIR ? OBJECT_DIR : OBJECT_KEY;
    *key = n->kind == NODE_DIR ? dir_key(n) : buf_slice(&n->key);
    return true;
}

/* It has no object, or none yet. */
static bool is_only_here(const node *n) { return n->kind == NODE_DIR ? n->unlinked : !n->in_store; }

static chr_status load(mount *m, const node *n, buf *list)
{
    object_space space;
    slice        key;
    list->len = 0;
    if (!n || !home(n, &space, &key)) return CHR_OK;
    if (is_only_here(n)) return buf_set(list, buf_slice(&n->xattrs)) ? CHR_OK : chr_nomem();
    chr_status st = fs_get_xattrs(m, n->at, space, key, list);
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

static chr_status save_once(mount *m, node *n, slice list)
{
    object_space space;
    slice        key;
    object_meta  meta;
    if (!home(n, &space, &key)) return CHR_NOT_FOUND;
    if (is_only_here(n)) {
        if (list.len > XATTRS_BYTES_MAX) return chr_fail(CHR_TOO_BIG, "the attributes are over their limit");
        return buf_set(&n->xattrs, list) ? CHR_OK : chr_nomem();
    }
    fs_txn *t = fs_txn_begin(m, &key, 1);
    if (!t) return CHR_NO_MEMORY;
    chr_status st = CHR_OK;
    st = fs_txn_stat(t, space, key, &meta);
    if (st == CHR_NOT_FOUND && space == OBJECT_DIR) {
        meta = fs_default_meta(m, 0);
        meta.mode = S_IFDIR | 0755;
        st = CHR_OK;
    }
    meta.ctime_ns = n->meta.ctime_ns = fs_now_ns(m);
    meta.has_attrs = true;
    if (st == CHR_OK) st = fs_txn_set_meta(t, space, key, &meta);
    if (st == CHR_OK) st = fs_txn_set_xattrs(t, space, key, list);
    if (st == CHR_OK) return fs_commit(t);
    fs_txn_abort(t);
    return st;
}

static chr_status save(mount *m, node *n, slice list)
{
    chr_status st;
    do st = save_once(m, n, list);
    while (fs_again(m, st));
    return st;
}

static bool next_xattr(reader *r, slice *name, slice *value)
{
    if (reader_left(r) == 0) return false;
    *name = read_sized(r);
    *value = read_sized(r);
    return !r->failed;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *wanted, size_t size)
{
    mount *m = fs_begin(req);
    buf    list = { 0 };
    slice  name, value;
    bool   found = false;
    node  *n = node_of(m, ino);
    /* The kernel asks for security.capability before each write: most files have nothing to look for. */
    bool       none = n && n->kind == NODE_FILE && n->loaded && n->in_store && !n->meta.has_xattrs;
    chr_status st = !supported(wanted) || none ? CHR_OK : load(m, n, &list);
    reader     r = reader_of(buf_slice(&list));
    while (st == CHR_OK && !found && next_xattr(&r, &name, &value)) found = slice_equal(name, chr_str(wanted));
    if (!supported(wanted))
        fuse_reply_err(req, EOPNOTSUPP);
    else if (st != CHR_OK)
        fuse_reply_err(req, fs_errno(st));
    else if (!found)
        fuse_reply_err(req, ENODATA);
    else if (size == 0)
        fuse_reply_xattr(req, value.len);
    else if (size < value.len)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value.data, value.len);
    chr_buf_free(&list);
    fs_end(m);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    mount     *m = fs_begin(req);
    buf        list = { 0 }, names = { 0 };
    slice      name, value;
    chr_status st = load(m, node_of(m, ino), &list);
    reader     r = reader_of(buf_slice(&list));
    while (st == CHR_OK && next_xattr(&r, &name, &value)) {
        if (fuse_req_ctx(req)->uid != 0 && slice_has_prefix(name, chr_str("trusted."))) continue;
        if (!buf_append_slice(&names, name) || !buf_append_byte(&names, 0)) st = chr_nomem();
    }
    if (st != CHR_OK)
        fuse_reply_err(req, fs_errno(st));
    else if (size == 0)
        fuse_reply_xattr(req, names.len);
    else if (size < names.len)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, names.data, names.len);
    chr_buf_free(&list);
    chr_buf_free(&names);
    fs_end(m);
}

/* Sets (value) or removes (NULL data) one attribute; 0 or an errno. */
static int change_list(mount *m, node *n, const char *wanted, slice new_value, int flags)
{
    buf          list = { 0 }, next = { 0 };
    slice        name, value;
    bool         found = false, good = true;
    object_space space;
    slice        key;
    int          error = 0;
    if (n && n->at) return EROFS;
    if (!home(n, &space, &key)) return EOPNOTSUPP;
    chr_status st = load(m, n, &list);
    reader     r = reader_of(buf_slice(&list));
    while (st == CHR_OK && good && next_xattr(&r, &name, &value)) {
        if (slice_equal(name, chr_str(wanted)))
            found = true;
        else
            good = buf_append_sized(&next, name) && buf_append_sized(&next, value);
    }
    if (st == CHR_OK && new_value.data) {
        if (found && (flags & XATTR_CREATE)) error = EEXIST;
        if (!found && (flags & XATTR_REPLACE)) error = ENODATA;
        good = good && buf_append_sized(&next, chr_str(wanted)) && buf_append_sized(&next, new_value);
    } else if (st == CHR_OK && !found) {
        error = ENODATA;
    }
    if (!error && st == CHR_OK && good) st = save(m, n, buf_slice(&next));
    if (!error && st == CHR_TOO_BIG) error = ENOSPC;
    if (!error) error = good ? fs_errno(st) : ENOMEM;
    if (!error && n && n->kind == NODE_FILE) n->meta.has_xattrs = next.len > 0;
    chr_buf_free(&list);
    chr_buf_free(&next);
    return error;
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    mount *m = fs_begin(req);
    node  *n = node_of(m, ino);
    int    error = EOPNOTSUPP;
    if (size > XATTR_VALUE_MAX)
        error = E2BIG;
    else if (supported(name) && n && !(error = quota_check(m, n, size)))
        error = change_list(m, n, name, chr_bytes(value ? value : "", size), flags);
    fuse_reply_err(req, error);
    fs_end(m);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    mount *m = fs_begin(req);
    fuse_reply_err(req, supported(name) ? change_list(m, node_of(m, ino), name, chr_bytes(NULL, 0), 0) : EOPNOTSUPP);
    fs_end(m);
}

void ops_xattr_init(struct fuse_lowlevel_ops *ops)
{
    ops->getxattr = op_getxattr;
    ops->listxattr = op_listxattr;
    ops->setxattr = op_setxattr;
    ops->removexattr = op_removexattr;
}
