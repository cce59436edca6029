/* rename: onto a free name, in place of what is there, or exchanging the two. Each is one batch, whatever lies below. */
#include "fs/fs.h"

#include <errno.h>
#include <stdio.h> /* RENAME_* */
#include <stdlib.h>

static chr_status flush_below(mount *m, const node *dir)
{
    for (node *c = dir->children; c; c = c->next_child) {
        chr_status st = c->kind == NODE_FILE ? file_flush(m, c) : flush_below(m, c);
        if (st != CHR_OK) return st;
    }
    return CHR_OK;
}

/* Nodes below a directory that has moved get their new keys. */
static chr_status rekey_below(node *dir, slice from, slice to)
{
    for (node *c = dir->children; c; c = c->next_child) {
        buf key = { 0 };
        if (c->self) {
            if (!buf_set(&c->key, dir_key(dir))) return chr_nomem();
        } else if (slice_has_prefix(buf_slice(&c->key), from)) {
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
    if (st == CHR_OK && target) st = dir_keep_attrs(m, target);
    if (st == CHR_OK) {
        slice   from = buf_slice(&n->key), own = dir_key(n), new_own = chr_bytes(to.data, to.len - 1);
        fs_txn *t = fs_txn_begin(m, NULL, 0);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = fs_txn_move_below(t, from, buf_slice(&to));
            if (st == CHR_OK) st = dir_keep(m, t, n); /* so that it has a record to move */
            if (st == CHR_OK) st = fs_txn_move(t, OBJECT_DIR, own, new_own);
            if (st == CHR_OK) st = fs_txn_stamp(t, OBJECT_DIR, new_own, fs_now_ns(m));
            if (st == CHR_OK) st = fs_txn_move_if_there(t, OBJECT_KEY, own, new_own);
            if (st == CHR_OK) st = dir_keep(m, t, from_parent);
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
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
    buf   to = { 0 }, hidden = { 0 };
    bool  partial;
    bool  self = strcmp(to_name, NAME_SELF) == 0 && to_parent != m->root;
    node *from_parent = n->parent;
    if (target && target->kind != NODE_FILE) return EISDIR;
    chr_status st = self ? (buf_set(&to, dir_key(to_parent)) ? CHR_OK : chr_nomem())
                         : node_key(to_parent, to_name, false, &to, &partial);
    /* What is not in the store yet goes there first, so that the rename is one step for everybody. */
    if (st == CHR_OK) st = file_flush(m, n);
    if (st == CHR_OK && target) st = file_keep_contents(m, target, &hidden);
    if (st == CHR_OK) {
        slice   keys[4] = { buf_slice(&n->key), buf_slice(&to), dir_key(from_parent), buf_slice(&hidden) };
        fs_txn *t = fs_txn_begin(m, keys, 4);
        st = t ? CHR_OK : CHR_NO_MEMORY;
        if (t) {
            st = target ? file_move_hidden(t, target, keys[3]) : CHR_OK;
            if (st == CHR_OK) st = fs_txn_move(t, OBJECT_KEY, keys[0], keys[1]);
            if (st == CHR_OK) st = fs_txn_stamp(t, OBJECT_KEY, keys[1], fs_now_ns(m));
            if (st == CHR_OK) st = dir_keep(m, t, from_parent);
            if (st == CHR_OK)
                st = fs_commit(t);
            else
                fs_txn_abort(t);
        }
    }
    if (st == CHR_OK && target) {
        if (hidden.len) buf_swap(&target->key, &hidden);
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
    chr_buf_free(&hidden);
    chr_buf_free(&to);
    return fs_errno(st);
}

/* ---- exchange ---- */

/* The names change places: nodes first leave theirs, then each takes the other's. */
static chr_status exchange_nodes(mount *m, node *a, node *b)
{
    node      *parents[2] = { a->parent, b->parent };
    char      *names[2] = { strdup(a->name), strdup(b->name) };
    chr_status st = names[0] && names[1] ? CHR_OK : chr_nomem();
    a->refs++, b->refs++, parents[0]->refs++, parents[1]->refs++;
    if (st == CHR_OK) {
        node_detach(m, a);
        node_detach(m, b);
        if (!node_attach(m, a, parents[1], names[1]) || !node_attach(m, b, parents[0], names[0])) st = chr_nomem();
    }
    a->refs--, b->refs--, parents[0]->refs--, parents[1]->refs--;
    free(names[0]);
    free(names[1]);
    return st;
}

/* The prefix of what lies below a directory, or would lie below a file if it were one. */
static bool prefix_of(const node *n, buf *prefix)
{
    return buf_set(prefix, buf_slice(&n->key)) && (n->kind == NODE_DIR || buf_append_byte(prefix, '/'));
}

static chr_status exchange_keys(mount *m, const node *a, const node *b, slice below_a, slice below_b)
{
    bool    dirs = a->kind == NODE_DIR || b->kind == NODE_DIR;
    slice   keys[2] = { chr_bytes(below_a.data, below_a.len - 1), chr_bytes(below_b.data, below_b.len - 1) };
    fs_txn *t = fs_txn_begin(m, keys, dirs ? 0 : 2);
    if (!t) return CHR_NO_MEMORY;
    chr_status st = fs_txn_swap(t, OBJECT_KEY, keys[0], keys[1]);
    if (st == CHR_OK && dirs) st = fs_txn_swap(t, OBJECT_DIR, keys[0], keys[1]);
    for (int i = 0; i < 2 && st == CHR_OK; i++) {
        st = fs_txn_stamp(t, OBJECT_KEY, keys[i], fs_now_ns(m));
        if (st == CHR_OK && dirs) st = fs_txn_stamp(t, OBJECT_DIR, keys[i], fs_now_ns(m));
    }
    if (st == CHR_OK && dirs) st = fs_txn_swap_below(t, below_a, below_b);
    if (st == CHR_OK) return fs_commit(t);
    fs_txn_abort(t);
    return st;
}

static chr_status flush_node(mount *m, node *n) { return n->kind == NODE_DIR ? flush_below(m, n) : file_flush(m, n); }

static chr_status rekey(mount *m, node *n, slice to, slice from)
{
    if (!buf_set(&n->key, to)) return chr_nomem();
    seen_add(m, n->kind == NODE_DIR ? dir_key(n) : to);
    return n->kind == NODE_DIR ? rekey_below(n, from, to) : file_load(m, n);
}

static int exchange(mount *m, node *a, node *b)
{
    buf below_a = { 0 }, below_b = { 0 };
    if (a->partial || b->partial) return EPERM;
    if ((a->self && b->kind == NODE_DIR) || (b->self && a->kind == NODE_DIR)) return EINVAL;
    for (const node *x = a->parent; x; x = x->parent)
        if (x == b) return EINVAL;
    for (const node *x = b->parent; x; x = x->parent)
        if (x == a) return EINVAL;
    chr_status st = flush_node(m, a);
    if (st == CHR_OK) st = flush_node(m, b);
    if (st == CHR_OK && !(prefix_of(a, &below_a) && prefix_of(b, &below_b))) st = chr_nomem();
    slice pa = buf_slice(&below_a), pb = buf_slice(&below_b);
    if (st == CHR_OK) st = exchange_keys(m, a, b, pa, pb);
    if (st == CHR_OK) st = exchange_nodes(m, a, b);
    if (st == CHR_OK) {
        bool self = a->self;
        a->self = b->self;
        b->self = self;
        st = rekey(m, a, chr_bytes(pb.data, pb.len - (a->kind != NODE_DIR)), pa);
    }
    if (st == CHR_OK) st = rekey(m, b, chr_bytes(pa.data, pa.len - (b->kind != NODE_DIR)), pb);
    chr_buf_free(&below_a);
    chr_buf_free(&below_b);
    return fs_errno(st);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
    mount     *m = fs_begin(req);
    node      *p = node_of(m, parent), *q = node_of(m, new_parent), *n = NULL, *target = NULL;
    chr_status st = p && q ? node_lookup(m, p, name, &n) : CHR_NOT_FOUND;
    int        error = st == CHR_OK ? 0 : fs_errno(st);
    if (!error && flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) error = EINVAL;
    if (!error && (n->at || q->at)) error = EROFS;
    if (!error && ((n->kind != NODE_FILE && n->kind != NODE_DIR) || q->kind != NODE_DIR)) error = EPERM;
    if (!error) {
        n->refs++;
        st = node_lookup(m, q, new_name, &target);
        n->refs--;
        if (st == CHR_NOT_FOUND)
            target = NULL;
        else if (st != CHR_OK)
            error = fs_errno(st);
        if (!error && target && flags == RENAME_NOREPLACE) error = EEXIST;
        if (!error && !target && flags == RENAME_EXCHANGE) error = ENOENT;
    }
    if (!error && target && target->kind != NODE_FILE && target->kind != NODE_DIR) error = EPERM;
    if (!error && target != n && flags == RENAME_EXCHANGE)
        error = exchange(m, n, target);
    else if (!error && target != n)
        error = n->kind == NODE_DIR ? rename_dir(m, n, q, new_name, target) : rename_file(m, n, q, new_name, target);
    if (!error && target != n) {
        dir_touch(m, p);
        dir_touch(m, q);
    }
    fuse_reply_err(req, error);
    fs_end(m);
}

void ops_rename_init(struct fuse_lowlevel_ops *ops) { ops->rename = op_rename; }
