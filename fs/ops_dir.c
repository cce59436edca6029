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

/* The first component of every key below the directory. */
typedef struct gathering {
    const node  *dir;
    object_space space;
    listing     *to;
    bool         memory;
} gathering;

static bool gather(void *arg, slice rest)
{
    gathering *g = arg;
    char       name[NAME_BYTES_MAX + 1];
    size_t     used;
    bool       piece;
    /* What a server keeps of mounts on other machines. */
    if (g->space == OBJECT_DIR && !g->dir->key.len && slice_has_prefix(rest, chr_str(".chronos/mounts/"))) return true;
    if (!path_encode(place_of(g->dir), rest, name, &used, &piece)) return true;
    bool below = !piece && used < rest.len; /* a slash follows */
    g->memory = add(g->to, name, piece || below || g->space == OBJECT_DIR);
    return g->memory;
}

static chr_status list_space(mount *m, const node *dir, object_space space, listing *l)
{
    gathering  g = { dir, space, l, true };
    chr_status st = fs_names(m, dir->at, space, buf_slice(&dir->key), gather, &g);
    return st == CHR_OK && !g.memory ? chr_nomem() : st;
}

static chr_status take_listing(mount *m, node *dir, listing *l)
{
    l->n = 0;
    l->names.len = 0;
    chr_status st = list_space(m, dir, OBJECT_KEY, l);
    if (st == CHR_OK) st = list_space(m, dir, OBJECT_DIR, l);
    for (const node *c = dir->children; c && st == CHR_OK; c = c->next_child)
        if (c->kind == NODE_FILE && c->dirty && !c->in_store && !add(l, c->name, false)) st = chr_nomem();
    if (st == CHR_OK && !dir->top && !dir->partial && fs_stat(m, dir->at, OBJECT_KEY, dir_key(dir), NULL) == CHR_OK &&
        !add(l, NAME_SELF, false))
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

/* The entries from `from` on are going to be looked up, as many as `size` bytes of them can be. A server is asked once for all. */
static void foresee(mount *m, const node *dir, const listing *l, size_t from, size_t size)
{
    enum { ENTRY_MIN = 152 /* bytes of one without its name */, AT_ONCE = 256 };
    slice  keys[AT_ONCE];
    buf    all[AT_ONCE] = { { 0 } };
    size_t n = 0;
    for (size_t i = from; i < l->n && n < AT_ONCE && (n + 1) * ENTRY_MIN <= size; i++) {
        bool partial;
        if (node_key(dir, l->names.data + l->at[i] + 1, false, &all[n], &partial) == CHR_OK) n++;
    }
    for (size_t i = 0; i < n; i++) keys[i] = buf_slice(&all[i]);
    if (n > 1) remote_foresee(m->remote, keys, n);
    for (size_t i = 0; i < AT_ONCE; i++) chr_buf_free(&all[i]);
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
        for (size_t i = 0; n->kind == NODE_CONTROL_DIR && control_name(m, i) && st == CHR_OK; i++)
            if (!add(l, control_name(m, i), false)) st = chr_nomem();
        if (st == CHR_OK && n->kind == NODE_CONTROL_DIR && !m->remote && !add(l, SNAPSHOTS_NAME, true))
            st = chr_nomem();
        if (n->kind == NODE_SNAPSHOTS) st = list_snapshots(m, l);
    }
    if (st == CHR_OK && plus && m->remote && n->kind == NODE_DIR)
        foresee(m, n, l, offset > 2 ? (size_t)offset - 2 : 0, size);
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
    chr_status st = fs_wait_durable(m, fs_mark_now(m));
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
