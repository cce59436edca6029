/* The tree of nodes: what the kernel knows of, and what is not in the store yet. See fs.h. */
#include "fs/fs.h"

#include "base/hash.h"

#include <stdlib.h>
#include <unistd.h>

enum { BUCKETS_FIRST = 1 << 14 };

static uint64_t name_hash(const node *parent, const char *name) { return hash64_seed(chr_str(name), parent->ino); }

static node **ino_bucket(mount *m, uint64_t ino) { return &m->by_ino[ino & (m->buckets - 1)]; }
static node **name_bucket(mount *m, const node *parent, const char *name)
{
    return &m->by_name[name_hash(parent, name) & (m->buckets - 1)];
}

static void grow_tables(mount *m)
{
    size_t buckets = m->buckets * 2;
    node **by_ino = calloc(buckets, sizeof *by_ino), **by_name = calloc(buckets, sizeof *by_name);
    if (!by_ino || !by_name) { /* longer chains, then */
        free(by_ino);
        free(by_name);
        return;
    }
    for (size_t i = 0; i < m->buckets; i++) {
        for (node *n = m->by_ino[i], *next; n; n = next) {
            next = n->next_ino;
            n->next_ino = by_ino[n->ino & (buckets - 1)];
            by_ino[n->ino & (buckets - 1)] = n;
        }
        for (node *n = m->by_name[i], *next; n; n = next) {
            next = n->next_name;
            size_t at = name_hash(n->parent, n->name) & (buckets - 1);
            n->next_name = by_name[at];
            by_name[at] = n;
        }
    }
    free(m->by_ino);
    free(m->by_name);
    m->by_ino = by_ino;
    m->by_name = by_name;
    m->buckets = buckets;
}

node *node_of(mount *m, fuse_ino_t ino)
{
    node *n = *ino_bucket(m, ino);
    while (n && n->ino != ino) n = n->next_ino;
    return n;
}

node *node_find(mount *m, node *parent, const char *name)
{
    node *n = *name_bucket(m, parent, name);
    while (n && (n->parent != parent || strcmp(n->name, name) != 0)) n = n->next_name;
    return n;
}

bool node_attach(mount *m, node *n, node *parent, const char *name)
{
    char *copy = strdup(name);
    if (!copy) return false;
    free(n->name);
    n->name = copy;
    n->parent = parent;
    n->unlinked = false;
    parent->refs++;
    n->next_child = parent->children;
    n->prev_child = NULL;
    if (n->next_child) n->next_child->prev_child = n;
    parent->children = n;
    node **bucket = name_bucket(m, parent, name);
    n->next_name = *bucket;
    *bucket = n;
    return true;
}

void node_detach(mount *m, node *n)
{
    node *parent = n->parent;
    if (!parent) return;
    node **at = name_bucket(m, parent, n->name);
    while (*at != n) at = &(*at)->next_name;
    *at = n->next_name;
    if (n->prev_child)
        n->prev_child->next_child = n->next_child;
    else
        parent->children = n->next_child;
    if (n->next_child) n->next_child->prev_child = n->prev_child;
    n->next_child = n->prev_child = n->next_name = NULL;
    n->parent = NULL;
    n->unlinked = true;
    parent->refs--;
    node_release(m, parent);
}

node *node_new(mount *m, node *parent, const char *name, node_kind kind)
{
    node *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    n->ino = m->next_ino++;
    n->kind = kind;
    n->at = parent && (kind == NODE_FILE || kind == NODE_DIR) ? parent->at : NULL;
    if (parent && !node_attach(m, n, parent, name)) {
        free(n);
        return NULL;
    }
    if (m->n_nodes++ > m->buckets) grow_tables(m);
    node **bucket = ino_bucket(m, n->ino);
    n->next_ino = *bucket;
    *bucket = n;
    return n;
}

static void free_node(mount *m, node *n)
{
    file_forget_dirty(m, n);
    node **at = ino_bucket(m, n->ino);
    while (*at != n) at = &(*at)->next_ino;
    *at = n->next_ino;
    m->n_nodes--;
    if (n->top) chr_snapshot_free(n->at);
    free(n->name);
    chr_buf_free(&n->key);
    chr_buf_free(&n->xattrs);
    free(n);
}

void node_release(mount *m, node *n)
{
    if (n == m->root || n->lookups || n->opens || n->refs || (n->dirty && !n->unlinked)) return;
    if (n->unlinked && n->in_store && n->kind == NODE_FILE) { /* a big file that was unlinked while open */
        slice   key = buf_slice(&n->key);
        fs_txn *t = fs_txn_begin(m, &key, 1);
        if (t && fs_txn_delete(t, OBJECT_KEY, key) == CHR_OK)
            (void)fs_txn_commit(t);
        else if (t)
            fs_txn_abort(t);
        n->in_store = false;
    }
    node_detach(m, n);
    free_node(m, n);
}

chr_status nodes_init(mount *m)
{
    m->buckets = BUCKETS_FIRST;
    m->by_ino = calloc(m->buckets, sizeof *m->by_ino);
    m->by_name = calloc(m->buckets, sizeof *m->by_name);
    m->next_ino = FUSE_ROOT_ID;
    if (!m->by_ino || !m->by_name || !(m->root = node_new(m, NULL, "", NODE_DIR))) return chr_nomem();
    m->root->meta = fs_default_meta(m, 0);
    m->root->meta.mode = S_IFDIR | 0755;
    node_default_meta(m, &m->root->meta);
    m->root->top = true;
    if (m->options.snapshot.len) {
        store_snapshot *at;
        chr_status      st = store_snapshot_open(m->store, m->options.snapshot, &at);
        if (st == CHR_OK) st = snapshot_fill_top(m, m->root, at);
        if (st != CHR_OK) return st;
    }
    slice prefix = m->options.prefix;
    bool  ends = !prefix.len || prefix.data[prefix.len - 1] == '/';
    return buf_set(&m->root->key, prefix) && (ends || buf_append_byte(&m->root->key, '/')) ? CHR_OK : chr_nomem();
}

void nodes_free(mount *m)
{
    for (size_t i = 0; m->by_ino && i < m->buckets; i++)
        while (m->by_ino[i]) {
            node *n = m->by_ino[i];
            free_node(m, n);
        }
    free(m->by_ino);
    free(m->by_name);
}

/* ---- names the kernel has asked for ---- */

static uint64_t seen_bit(slice key) { return hash64(key) & (SEEN_BITS - 1); }
void            seen_add(mount *m, slice key)
{
    uint64_t bit = seen_bit(key);
    atomic_fetch_or_explicit(&m->seen[bit / 64], UINT64_C(1) << bit % 64, memory_order_seq_cst);
}
bool seen_has(const mount *m, slice key)
{
    uint64_t bit = seen_bit(key);
    return atomic_load_explicit(&m->seen[bit / 64], memory_order_seq_cst) >> bit % 64 & 1;
}

/* ---- keys ---- */

place place_of(const node *dir) { return (place){ buf_slice(&dir->key), dir->partial, dir->top ? dir->key.len : 0 }; }

chr_status node_key(const node *parent, const char *name, bool dir, buf *key, bool *partial)
{
    key->len = 0;
    *partial = false;
    if (strlen(name) > NAME_BYTES_MAX)
        return chr_fail(CHR_TOO_BIG, "the key's name has more than %d bytes", NAME_BYTES_MAX);
    if (!buf_append_slice(key, buf_slice(&parent->key))) return chr_nomem();
    if (!path_decode(place_of(parent), name, key, partial))
        return chr_fail(CHR_INVALID, "%s is not how a name is spelt", name);
    if (*partial && !dir) return chr_fail(CHR_INVALID, "%s stands for a piece of a longer name", name);
    if (dir && !*partial && !buf_append_byte(key, '/')) return chr_nomem();
    size_t limit = CHR_KEY_MAX + (dir && !*partial);
    return key->len <= limit
               ? CHR_OK
               : chr_fail(CHR_TOO_BIG, "the key has %zu bytes; at most %u are allowed", key->len, CHR_KEY_MAX);
}

slice dir_key(const node *dir)
{
    slice prefix = buf_slice(&dir->key);
    if (!dir->partial && prefix.len) prefix.len--;
    return prefix;
}

chr_status dir_exists(mount *m, const store_snapshot *at, slice prefix, bool *exists)
{
    *exists = false;
    slice      record = chr_bytes(prefix.data, prefix.len ? prefix.len - 1 : 0);
    chr_status st =
        prefix.len && prefix.data[prefix.len - 1] == '/' ? fs_stat(m, at, OBJECT_DIR, record, NULL) : CHR_NOT_FOUND;
    if (st == CHR_OK) *exists = true;
    if (st != CHR_NOT_FOUND) return st;
    st = fs_any_below(m, at, OBJECT_KEY, prefix, exists);
    return st == CHR_OK && !*exists ? fs_any_below(m, at, OBJECT_DIR, prefix, exists) : st;
}

chr_status dir_keep(mount *m, fs_txn *t, const node *dir)
{
    slice       key = dir_key(dir);
    object_meta meta;
    if (dir == m->root || dir->partial || dir->unlinked) return CHR_OK;
    meta = fs_default_meta(m, 0);
    meta.mode = S_IFDIR | 0755;
    return fs_txn_keep_dir(t, key, &meta);
}

bool dir_has_children_in_memory(const node *dir)
{
    for (const node *c = dir->children; c; c = c->next_child)
        if (c->kind == NODE_FILE && c->dirty && !c->in_store) return true;
    return false;
}

void dir_touch(mount *m, node *dir) { dir->names_ns = fs_now_ns(m); }

object_meta new_meta(mount *m, fuse_req_t req, const node *parent, mode_t mode)
{
    struct stat            in;
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    object_meta            meta = fs_default_meta(m, 0);
    meta.mode = mode;
    meta.uid = ctx->uid;
    meta.gid = ctx->gid;
    meta.has_attrs = true;
    node_stat(m, parent, &in);
    if (in.st_mode & S_ISGID) { /* such a directory hands its group down */
        meta.gid = in.st_gid;
        if (S_ISDIR(mode)) meta.mode |= S_ISGID;
    }
    return meta;
}

/* ---- looking up ---- */

static chr_status lookup_control(mount *m, node *parent, const char *name, node **out)
{
    if (parent == m->root)
        *out = node_new(m, parent, name, NODE_CONTROL_DIR);
    else if (strcmp(name, SNAPSHOTS_NAME) == 0 && !m->remote)
        *out = node_new(m, parent, name, NODE_SNAPSHOTS);
    else if (control_exists(m, name))
        *out = node_new(m, parent, name, NODE_CONTROL_FILE);
    else
        return CHR_NOT_FOUND;
    return *out ? CHR_OK : chr_nomem();
}

static chr_status make_node(mount *m, node *parent, const char *name, node_kind kind, slice key, bool partial,
                            node **out)
{
    node *n = node_new(m, parent, name, kind);
    if (!n) return chr_nomem();
    n->partial = partial;
    /* There may be millions of them, and hardly any key ever grows: no room for that. */
    size_t room = key.len ? key.len : 1;
    n->key = (buf){ .data = malloc(room), .cap = room };
    if (!n->key.data) {
        n->key.cap = 0;
        node_release(m, n);
        return chr_nomem();
    }
    buf_set(&n->key, key);
    *out = n;
    return CHR_OK;
}

/* What the kernel knows of a file and what its node has go stale by the same changes, and are dropped together (invalidate.c).
 * Of a server's files both are only good for a while, which nobody counts here. */
static bool is_current(const mount *m, const node *n)
{
    return n->loaded && n->lookups && !n->meta.expire_ms && !m->options.strict && !m->remote;
}

chr_status node_lookup(mount *m, node *parent, const char *name, node **out)
{
    bool partial, exists;
    buf  key = { 0 };
    if (parent->kind == NODE_SNAPSHOTS) return snapshot_lookup(m, parent, name, out);
    node *n = node_find(m, parent, name);
    if (parent->kind == NODE_CONTROL_DIR || (parent == m->root && strcmp(name, ".chronos") == 0)) {
        *out = n;
        return n ? CHR_OK : lookup_control(m, parent, name, out);
    }
    /* What is dirty may not be in the store yet. */
    bool known = n && (n->at || (n->kind == NODE_FILE && (n->dirty || is_current(m, n))));
    if (known) {
        *out = n;
        return CHR_OK;
    }
    chr_status st = CHR_OK;
    if (strcmp(name, NAME_SELF) == 0 && !parent->partial && !parent->top) {
        slice self = dir_key(parent);
        if (!parent->at) seen_add(m, self);
        st = fs_stat(m, parent->at, OBJECT_KEY, self, NULL);
        if (st != CHR_OK) goto gone;
        if (!n && (st = make_node(m, parent, name, NODE_FILE, self, false, &n)) != CHR_OK) return st;
        n->self = true;
        n->in_store = true;
        *out = n;
        return file_load(m, n);
    }
    st = node_key(parent, name, true, &key, &partial);
    if (st != CHR_OK) goto out;
    slice plain = chr_bytes(key.data, key.len - (partial ? 0 : 1));
    if (!parent->at) seen_add(m, plain);
    st = dir_exists(m, parent->at, buf_slice(&key), &exists);
    if (st != CHR_OK) goto out;
    if (!exists && n && n->kind == NODE_DIR && dir_has_children_in_memory(n)) exists = true;
    if (exists) {
        if (n && n->kind != NODE_DIR) { /* a key that has become a directory */
            node_detach(m, n);
            n = NULL;
        }
        if (!n) st = make_node(m, parent, name, NODE_DIR, buf_slice(&key), partial, &n);
        if (st == CHR_OK) *out = n;
        goto out;
    }
    if (partial) {
        st = CHR_NOT_FOUND;
        goto gone;
    }
    if (n && n->kind == NODE_DIR) {
        node_detach(m, n);
        node_release(m, n);
        n = NULL;
    }
    st = fs_stat(m, parent->at, OBJECT_KEY, plain, NULL);
    if (st != CHR_OK) goto gone;
    if (!n) st = make_node(m, parent, name, NODE_FILE, plain, false, &n);
    if (st == CHR_OK) {
        n->in_store = true;
        st = file_load(m, n);
        *out = n;
    }
out:
    chr_buf_free(&key);
    return st;
gone:
    if (st == CHR_NOT_FOUND && n && !n->dirty) {
        node_detach(m, n);
        n->in_store = false;
        node_release(m, n);
    }
    chr_buf_free(&key);
    return st;
}

void node_default_meta(const mount *m, object_meta *meta)
{
    const mount_options *o = &m->options;
    uint32_t             all = S_ISDIR(meta->mode) ? 0777 : 0666;
    if (meta->has_attrs) return;
    if (o->has_uid) meta->uid = o->uid;
    if (o->has_gid) meta->gid = o->gid;
    if (o->has_umask) meta->mode = (meta->mode & S_IFMT) | (all & ~o->umask);
}

static object_meta dir_meta(mount *m, const node *n)
{
    object_meta meta = n->meta;
    if (n->top || n->unlinked) return meta;
    if (n->kind != NODE_DIR || n->partial || fs_stat(m, n->at, OBJECT_DIR, dir_key(n), &meta) != CHR_OK) {
        meta = fs_default_meta(m, 1);
        meta.mode = S_IFDIR | 0755;
        meta.mtime_ns = meta.atime_ns = meta.ctime_ns = 0;
    }
    node_default_meta(m, &meta);
    if (n->names_ns > meta.mtime_ns) meta.mtime_ns = n->names_ns;
    if (n->names_ns > meta.ctime_ns) meta.ctime_ns = n->names_ns;
    return meta;
}

chr_status dir_keep_attrs(mount *m, node *n)
{
    n->meta = dir_meta(m, n);
    n->xattrs.len = 0;
    if (n->partial || !n->meta.has_xattrs) return CHR_OK;
    chr_status st = fs_get_xattrs(m, NULL, OBJECT_DIR, dir_key(n), &n->xattrs);
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

static struct timespec time_of(int64_t ns)
{
    int64_t nsec = ns % 1000000000;
    if (nsec < 0) nsec += 1000000000; /* before 1970 */
    return (struct timespec){ (ns - nsec) / 1000000000, nsec };
}

void node_stat(mount *m, const node *n, struct stat *st)
{
    object_meta meta = n->meta;
    memset(st, 0, sizeof *st);
    st->st_ino = n->ino;
    st->st_nlink = n->unlinked ? 0 : 1;
    st->st_blksize = CHUNK_BYTES;
    if (n->kind != NODE_FILE && n->kind != NODE_CONTROL_FILE) {
        meta = dir_meta(m, n);
        meta.size = 0;
        st->st_nlink *= 2;
    } else if (S_ISCHR(meta.mode) || S_ISBLK(meta.mode)) {
        meta.size = 0;
        st->st_rdev = n->device;
    } else if (n->kind == NODE_CONTROL_FILE) {
        meta = fs_default_meta(m, 0);
        control_meta(m, n, &meta);
    }
    st->st_mode = meta.mode;
    st->st_uid = meta.uid;
    st->st_gid = meta.gid;
    st->st_size = (off_t)meta.size;
    st->st_blocks = (blkcnt_t)((meta.size + 511) / 512);
    st->st_mtim = time_of(meta.mtime_ns);
    st->st_atim = time_of(meta.atime_ns);
    st->st_ctim = time_of(meta.ctime_ns);
}
