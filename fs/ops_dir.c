/* Listing directories. A listing is taken once, at opendir or rewinddir, names only: its positions stay right while entries come
 * and go, and each name that was there all along appears exactly once. readdirplus looks each name up as it goes. */
#include "fs/fs.h"

#include <errno.h>
#include <stdlib.h>

typedef struct listing {
    buf     names; /* each u8 is it a directory, then its zero-ended text */
    size_t *at;    /* offsets into names */
    size_t  n, cap;
} listing;

static bool add(listing *l, const char *name, bool dir)
{
    if (l->n == l->cap) {
        size_t  cap = l->cap ? 2 * l->cap : 64;
        size_t *more = realloc(l->at, cap * sizeof *more);
        if (!more) return false;
        l->at = more;
        l->cap = cap;
    }
    size_t at = l->names.len;
    if (!buf_append_byte(&l->names, dir) || !buf_append(&l->names, name, strlen(name) + 1)) return false;
    l->at[l->n++] = at;
    return true;
}

static int by_name(const void *a, const void *b, void *names)
{
    return strcmp((const char *)names + *(const size_t *)a + 1, (const char *)names + *(const size_t *)b + 1);
}

/* Both spaces and what is in memory may give the same name; a directory wins over a file. */
static void sort_unique(listing *l)
{
    size_t kept = 0;
    if (l->n) qsort_r(l->at, l->n, sizeof *l->at, by_name, l->names.data);
    for (size_t i = 0; i < l->n; i++) {
        if (kept && by_name(&l->at[kept - 1], &l->at[i], l->names.data) == 0) {
            l->names.data[l->at[kept - 1]] |= l->names.data[l->at[i]];
            continue;
        }
        l->at[kept++] = l->at[i];
    }
    l->n = kept;
}

/* The first component of every key below the directory. Subtrees are passed over by seeking behind them. */
static chr_status list_space(mount *m, const node *dir, object_space space, listing *l)
{
    slice       prefix = buf_slice(&dir->key);
    place       where = place_of(dir);
    store_iter *it;
    buf         next = { 0 };
    chr_status  st = store_iter_below(m->store, dir->at, space, prefix, &it);
    if (st != CHR_OK) return st;
    chr_iter_first(it);
    while (chr_iter_valid(it)) {
        char   name[NAME_BYTES_MAX + 1];
        size_t used;
        bool   piece;
        slice  rest = slice_from(chr_iter_key(it), prefix.len);
        if (!path_encode(where, rest, name, &used, &piece)) {
            chr_iter_next(it);
            continue;
        }
        bool below = !piece && used < rest.len; /* a slash follows */
        if (!add(l, name, piece || below || space == OBJECT_DIR)) {
            st = chr_nomem();
            break;
        }
        if (!below) {
            chr_iter_next(it);
            continue;
        }
        next.len = 0; /* '0' comes right after '/' */
        if (!buf_append_slice(&next, prefix) || !buf_append(&next, rest.data, used) || !buf_append_byte(&next, '0')) {
            st = chr_nomem();
            break;
        }
        chr_iter_seek(it, buf_slice(&next));
    }
    if (st == CHR_OK) st = chr_iter_status(it);
    chr_iter_free(it);
    chr_buf_free(&next);
    return st;
}

static chr_status take_listing(mount *m, node *dir, listing *l)
{
    l->n = 0;
    l->names.len = 0;
    chr_status st = list_space(m, dir, OBJECT_KEY, l);
    if (st == CHR_OK) st = list_space(m, dir, OBJECT_DIR, l);
    for (const node *c = dir->children; c && st == CHR_OK; c = c->next_child)
        if (c->kind == NODE_FILE && c->dirty && !c->in_store && !add(l, c->name, false)) st = chr_nomem();
    if (st == CHR_OK && !dir->top && !dir->partial &&
        store_stat(m->store, dir->at, OBJECT_KEY, dir_key(dir), NULL, NULL) == CHR_OK && !add(l, NAME_SELF, false))
        st = chr_nomem();
    if (st == CHR_OK) sort_unique(l);
    return st;
}

static bool add_snapshot(void *arg, const char *name) { return add(arg, name, true); }

static chr_status list_snapshots(mount *m, listing *l)
{
    l->n = 0;
    l->names.len = 0;
    return snapshot_each(m, add_snapshot, l);
}

static void free_listing(listing *l)
{
    if (!l) return;
    chr_buf_free(&l->names);
    free(l->at);
    free(l);
}

static listing *listing_of(const struct fuse_file_info *fi) { return (listing *)(uintptr_t)fi->fh; }

static void opendir_lost(mount *m, node *n, struct fuse_file_info *fi)
{
    (void)m;
    (void)n;
    free_listing(listing_of(fi));
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    mount   *m = fs_begin(req);
    node    *n = node_of(m, ino);
    listing *l = calloc(1, sizeof *l);
    int      error = !n ? ENOENT : !l ? ENOMEM : n->kind == NODE_FILE || n->kind == NODE_CONTROL_FILE ? ENOTDIR : 0;
    fi->fh = (uintptr_t)l;
    if (error) {
        fuse_reply_err(req, error);
        free_listing(l);
    } else {
        fs_if_lost(opendir_lost, n, fi);
        fuse_reply_open(req, fi);
    }
    fs_end(m);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    free_listing(listing_of(fi));
    fuse_reply_err(req, 0);
}

/* Positions: 0 ".", 1 "..", then the listing. */
static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi, bool plus)
{
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    listing   *l = listing_of(fi);
    char      *out = malloc(size);
    size_t     used = 0;
    chr_status st = n && out ? CHR_OK : chr_nomem();
    if (st == CHR_OK && offset == 0) {
        if (n->kind == NODE_DIR) st = take_listing(m, n, l);
        for (size_t i = 0; n->kind == NODE_CONTROL_DIR && control_name(i) && st == CHR_OK; i++)
            if (!add(l, control_name(i), false)) st = chr_nomem();
        if (st == CHR_OK && n->kind == NODE_CONTROL_DIR && !add(l, SNAPSHOTS_NAME, true)) st = chr_nomem();
        if (n->kind == NODE_SNAPSHOTS) st = list_snapshots(m, l);
    }
    for (uint64_t i = (uint64_t)offset; st == CHR_OK && i < l->n + 2; i++) {
        struct fuse_entry_param e = { 0 };
        const char             *name = i == 0 ? "." : i == 1 ? ".." : l->names.data + l->at[i - 2] + 1;
        node                   *child = NULL;
        e.attr.st_mode = i < 2 || l->names.data[l->at[i - 2]] ? S_IFDIR : S_IFREG;
        e.attr.st_ino = i == 0 ? ino : UINT32_MAX;
        if (plus && i >= 2) {
            chr_status found = node_lookup(m, n, name, &child);
            if (found == CHR_NOT_FOUND) continue; /* gone since */
            if (found != CHR_OK) child = NULL; /* it is listed all the same, and a look at it will say what is wrong */
            if (child) fill_entry(m, child, &e);
        }
        size_t room = size - used;
        size_t need = plus ? fuse_add_direntry_plus(req, out + used, room, name, &e, (off_t)(i + 1))
                           : fuse_add_direntry(req, out + used, room, name, &e.attr, (off_t)(i + 1));
        if (need > room) {
            if (child) node_release(m, child);
            break;
        }
        if (child) child->lookups++;
        used += need;
    }
    if (st == CHR_OK)
        fuse_reply_buf(req, out, used);
    else
        fuse_reply_err(req, fs_errno(st));
    free(out);
    fs_end(m);
}
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    read_dir(req, ino, size, offset, fi, false);
}
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    read_dir(req, ino, size, offset, fi, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync, (void)fi;
    mount     *m = fuse_req_userdata(req);
    chr_status st = db_wait_durable(store_db(m->store), db_last_seq(store_db(m->store)));
    fuse_reply_err(req, fs_errno(st));
}

void ops_dir_init(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = op_opendir;
    ops->releasedir = op_releasedir;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
    ops->fsyncdir = op_fsyncdir;
}
