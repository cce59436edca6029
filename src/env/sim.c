/* The simulated disk. See sim.h for what it promises.
 *
 * A file (inode) has two images: what programs read (`now`), and what is on the disk for sure (`durable`), and in between the
 * list of changes that were made since its last sync, in order. A power cut starts from the durable image and applies the
 * changes that survive: all, none, some, or some of their sectors. Names work the same way: a current and a durable
 * set, and the changes in between, each belonging to the directories whose sync makes it durable. Images are sparse at the end:
 * bytes behind what was written read as zeroes and take no memory, so that preallocated logs cost nothing. */
#include "env/sim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { SECTOR = 512, CALL_NS = 1000 };

typedef struct image {
    buf      bytes; /* what was written; zeroes follow up to size */
    uint64_t size;
} image;

typedef enum change_kind { CHANGE_WRITE, CHANGE_RESIZE } change_kind;
typedef struct data_change {
    change_kind kind;
    uint64_t    offset; /* RESIZE: the new size */
    buf         bytes;
} data_change;

typedef struct inode {
    bool         dir;
    unsigned     names, handles;
    image        now, durable;
    data_change *changes;
    size_t       n_changes, cap_changes;
    size_t       index; /* in sim.inodes */
} inode;

typedef struct name {
    char  *path;
    inode *node;
} name;
typedef struct name_set {
    name  *at;
    size_t n, cap;
    bool   current; /* the names that programs see: they keep an inode's space in use */
} name_set;

/* `remove` and `add` may be NULL; a rename has both. */
typedef struct name_change {
    char  *remove, *add;
    inode *node; /* what `add` names */
} name_change;

typedef struct sim {
    env             base;
    pthread_mutex_t mu;
    uint64_t        random, wall_ns, monotonic_ns;
    inode         **inodes; /* all there ever were; freed with the disk */
    size_t          n_inodes, cap_inodes;
    name_set        now, durable;
    name_change    *changes;
    size_t          n_changes, cap_changes;
    char          **locks;
    size_t          n_locks, cap_locks;
    uint64_t        calls, halt_at, fail_at;
    sim_fault       fault;
    bool            persistent;
    uint64_t        space; /* 0: no limit */
} sim;

typedef struct sim_file {
    env_file base;
    inode   *node;
} sim_file;

struct env_lock {
    sim  *s;
    char *path;
};

static sim *sim_of(env *e) { return (sim *)e; }

/* ---- small things; a test environment may stop at once where memory runs out ---- */

static void *must(void *p)
{
    if (!p) abort();
    return p;
}
static void grow(void *items, size_t n, size_t *cap, size_t size)
{
    void **at = items;
    if (n < *cap) return;
    *cap = *cap ? 2 * *cap : 16;
    *at = must(realloc(*at, *cap * size));
}
static void must_buf(bool good)
{
    if (!good) abort();
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- images ---- */

static void image_write(image *m, uint64_t offset, const void *from, size_t len)
{
    uint64_t end = offset + len;
    if (end > m->size) m->size = end;
    if (end > m->bytes.len) {
        must_buf(buf_reserve(&m->bytes, (size_t)(end - m->bytes.len)));
        if (offset > m->bytes.len) memset(m->bytes.data + m->bytes.len, 0, (size_t)(offset - m->bytes.len));
        m->bytes.len = (size_t)end;
    }
    if (len) memcpy(m->bytes.data + offset, from, len);
}

static void image_resize(image *m, uint64_t size)
{
    m->size = size;
    if (m->bytes.len > size) m->bytes.len = (size_t)size;
}

static void image_copy(image *to, const image *from)
{
    must_buf(buf_set(&to->bytes, buf_slice(&from->bytes)));
    to->size = from->size;
}

static void apply_change(image *m, const data_change *c)
{
    if (c->kind == CHANGE_WRITE)
        image_write(m, c->offset, c->bytes.data, c->bytes.len);
    else
        image_resize(m, c->offset);
}

static inode *inode_new(sim *s, bool dir)
{
    inode *i = must(calloc(1, sizeof *i));
    i->dir = dir;
    i->index = s->n_inodes;
    grow(&s->inodes, s->n_inodes, &s->cap_inodes, sizeof *s->inodes);
    s->inodes[s->n_inodes++] = i;
    return i;
}

static void forget_changes(inode *i)
{
    for (size_t k = 0; k < i->n_changes; k++) chr_buf_free(&i->changes[k].bytes);
    i->n_changes = 0;
}

static void change_data(inode *i, change_kind kind, uint64_t offset, const void *from, size_t len)
{
    data_change c = { .kind = kind, .offset = offset };
    if (len) must_buf(buf_append(&c.bytes, from, len));
    grow(&i->changes, i->n_changes, &i->cap_changes, sizeof *i->changes);
    i->changes[i->n_changes++] = c;
    apply_change(&i->now, &c);
}

/* ---- names ---- */

static name *find(const name_set *set, const char *path)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->at[i].path, path) == 0) return &set->at[i];
    return NULL;
}

static void set_remove(name_set *set, const char *path)
{
    name *x = find(set, path);
    if (!x) return;
    x->node->names -= set->current;
    free(x->path);
    assert(set->at && set->n > 0);
    *x = set->at[--set->n];
}

static void set_add(name_set *set, const char *path, inode *node)
{
    set_remove(set, path);
    grow(&set->at, set->n, &set->cap, sizeof *set->at);
    assert(set->at);
    node->names += set->current;
    set->at[set->n++] = (name){ must(strdup(path)), node };
}

static void apply_name_change(name_set *set, const name_change *c)
{
    if (c->remove) set_remove(set, c->remove);
    if (c->add) set_add(set, c->add, c->node);
}

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}
static bool lies_in(const char *path, const char *dir)
{
    size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    return path && dir_len(path) == n && strncmp(path, dir, n) == 0;
}

static bool is_dir(const sim *s, const char *path)
{
    name *x = find(&s->now, path);
    return strcmp(path, "/") == 0 || (x && x->node->dir);
}
static bool parent_exists(const sim *s, const char *path)
{
    char   parent[4096];
    size_t n = dir_len(path);
    if (n >= sizeof parent) return false;
    memcpy(parent, path, n);
    parent[n] = 0;
    return is_dir(s, n ? parent : "/");
}

static void change_name(sim *s, const char *gone, const char *made, inode *node)
{
    name_change c = { gone ? must(strdup(gone)) : NULL, made ? must(strdup(made)) : NULL, node };
    grow(&s->changes, s->n_changes, &s->cap_changes, sizeof *s->changes);
    s->changes[s->n_changes++] = c;
    apply_name_change(&s->now, &c);
}

/* ---- faults ---- */

/* Counts a call that changes something. CHR_OK: it may go ahead. */
static chr_status begin(sim *s, const char *what, const char *path, sim_fault *fault)
{
    uint64_t call = ++s->calls;
    *fault = SIM_NONE;
    if (s->halt_at && call >= s->halt_at) return chr_errno(EIO, what, path);
    if (s->fail_at && (call == s->fail_at || (s->persistent && call > s->fail_at))) *fault = s->fault;
    switch (*fault) {
    case SIM_EIO: return chr_errno(EIO, what, path);
    case SIM_ENOSPC: return chr_errno(ENOSPC, what, path);
    case SIM_NONE:
    case SIM_SHORT_WRITE:
    case SIM_SYNC_LIES: break;
    }
    return CHR_OK;
}

static uint64_t used_space(const sim *s)
{
    uint64_t used = 0;
    for (size_t i = 0; i < s->n_inodes; i++)
        if (s->inodes[i]->names || s->inodes[i]->handles) used += s->inodes[i]->now.size;
    return used;
}

static bool has_room(const sim *s, const inode *i, uint64_t end)
{
    if (!s->space || end <= i->now.size) return true;
    return used_space(s) + (end - i->now.size) <= s->space;
}

/* ---- files ---- */

static chr_status sim_open(env *e, const char *path, env_open_mode mode, env_file **out)
{
    sim       *s = sim_of(e);
    chr_status st = CHR_OK;
    sim_fault  fault;
    pthread_mutex_lock(&s->mu);
    if (mode == ENV_CREATE) st = begin(s, "create", path, &fault);
    name  *x = find(&s->now, path);
    inode *node = x ? x->node : NULL;
    if (chr_ok(st) && mode != ENV_CREATE && !node) st = chr_errno(ENOENT, "open", path);
    if (chr_ok(st) && node && node->dir) st = chr_errno(EISDIR, "open", path);
    if (chr_ok(st) && mode == ENV_CREATE && !parent_exists(s, path)) st = chr_errno(ENOENT, "create", path);
    if (chr_ok(st) && mode == ENV_CREATE) {
        if (!node) {
            node = inode_new(s, false);
            change_name(s, NULL, path, node);
        } else {
            change_data(node, CHANGE_RESIZE, 0, NULL, 0);
        }
    }
    if (chr_ok(st)) {
        assert(node);
        sim_file *f = must(calloc(1, sizeof *f));
        f->base.env = e;
        f->base.path = must(strdup(path));
        f->node = node;
        node->handles++;
        *out = &f->base;
    }
    pthread_mutex_unlock(&s->mu);
    return st;
}

static void sim_close(env_file *f)
{
    sim *s = sim_of(f->env);
    pthread_mutex_lock(&s->mu);
    ((sim_file *)f)->node->handles--;
    pthread_mutex_unlock(&s->mu);
    free(f->path);
    free(f);
}

static chr_status sim_pread(env_file *f, void *to, size_t len, uint64_t offset, size_t *got)
{
    sim         *s = sim_of(f->env);
    const image *m = &((sim_file *)f)->node->now;
    pthread_mutex_lock(&s->mu);
    size_t n = offset >= m->size ? 0 : m->size - offset < len ? (size_t)(m->size - offset) : len;
    size_t stored = offset >= m->bytes.len ? 0 : m->bytes.len - offset < n ? m->bytes.len - (size_t)offset : n;
    if (stored) memcpy(to, m->bytes.data + offset, stored);
    if (n > stored) memset((char *)to + stored, 0, n - stored);
    pthread_mutex_unlock(&s->mu);
    *got = n;
    return CHR_OK;
}

static chr_status sim_pwrite(env_file *f, const void *from, size_t len, uint64_t offset)
{
    sim      *s = sim_of(f->env);
    inode    *i = ((sim_file *)f)->node;
    sim_fault fault;
    pthread_mutex_lock(&s->mu);
    chr_status st = begin(s, "write", f->path, &fault);
    if (chr_ok(st) && !has_room(s, i, offset + len)) st = chr_errno(ENOSPC, "write", f->path);
    if (chr_ok(st) && fault != SIM_NONE) { /* a short write that could not go on */
        if (fault == SIM_SHORT_WRITE) change_data(i, CHANGE_WRITE, offset, from, len / 2);
        st = chr_errno(EIO, "write", f->path);
    }
    if (chr_ok(st)) change_data(i, CHANGE_WRITE, offset, from, len);
    pthread_mutex_unlock(&s->mu);
    return st;
}

static chr_status sim_sync(env_file *f)
{
    sim      *s = sim_of(f->env);
    inode    *i = ((sim_file *)f)->node;
    sim_fault fault;
    pthread_mutex_lock(&s->mu);
    chr_status st = begin(s, "sync", f->path, &fault);
    if (chr_ok(st) && fault != SIM_NONE) {
        if (fault == SIM_SYNC_LIES) forget_changes(i); /* the pages count as clean now, and never reach the disk */
        st = chr_errno(EIO, "sync", f->path);
    }
    if (chr_ok(st)) {
        for (size_t k = 0; k < i->n_changes; k++) apply_change(&i->durable, &i->changes[k]);
        forget_changes(i);
    }
    pthread_mutex_unlock(&s->mu);
    return st;
}

static chr_status resize(env_file *f, uint64_t bytes, bool shrink, const char *what)
{
    sim      *s = sim_of(f->env);
    inode    *i = ((sim_file *)f)->node;
    sim_fault fault;
    pthread_mutex_lock(&s->mu);
    chr_status st = begin(s, what, f->path, &fault);
    if (chr_ok(st) && fault != SIM_NONE) st = chr_errno(EIO, what, f->path);
    if (chr_ok(st) && !has_room(s, i, bytes)) st = chr_errno(ENOSPC, what, f->path);
    if (chr_ok(st) && (shrink || bytes > i->now.size)) change_data(i, CHANGE_RESIZE, bytes, NULL, 0);
    pthread_mutex_unlock(&s->mu);
    return st;
}
static chr_status sim_allocate(env_file *f, uint64_t bytes) { return resize(f, bytes, false, "write"); }
static chr_status sim_truncate(env_file *f, uint64_t bytes) { return resize(f, bytes, true, "truncate"); }

static chr_status sim_size(env_file *f, uint64_t *bytes)
{
    sim *s = sim_of(f->env);
    pthread_mutex_lock(&s->mu);
    *bytes = ((sim_file *)f)->node->now.size;
    pthread_mutex_unlock(&s->mu);
    return CHR_OK;
}

static void sim_advise_read_ahead(env_file *f, uint64_t offset, uint64_t len) { (void)f, (void)offset, (void)len; }

/* ---- names, as programs use them ---- */

/* What all of these have in common; `then` runs under the lock once the call may go ahead. */
typedef chr_status name_fn(sim *s, const char *from, const char *to);
static chr_status  with_names(env *e, const char *what, const char *from, const char *to, name_fn *then)
{
    sim      *s = sim_of(e);
    sim_fault fault;
    pthread_mutex_lock(&s->mu);
    chr_status st = begin(s, what, from, &fault);
    if (chr_ok(st) && fault != SIM_NONE) st = chr_errno(EIO, what, from);
    if (chr_ok(st)) st = then(s, from, to);
    pthread_mutex_unlock(&s->mu);
    return st;
}

static chr_status do_rename(sim *s, const char *from, const char *to)
{
    name *x = find(&s->now, from);
    if (!x || !parent_exists(s, to)) return chr_errno(ENOENT, "rename", from);
    change_name(s, from, to, x->node);
    return CHR_OK;
}
static chr_status do_link(sim *s, const char *from, const char *to)
{
    name *x = find(&s->now, from);
    if (!x || !parent_exists(s, to)) return chr_errno(ENOENT, "link", from);
    if (find(&s->now, to)) return chr_errno(EEXIST, "link", to);
    change_name(s, NULL, to, x->node);
    return CHR_OK;
}
static chr_status do_unlink(sim *s, const char *path, const char *unused)
{
    (void)unused;
    name *x = find(&s->now, path);
    if (!x) return chr_errno(ENOENT, "remove", path);
    if (x->node->dir) return chr_errno(EISDIR, "remove", path);
    change_name(s, path, NULL, NULL);
    return CHR_OK;
}
static chr_status do_mkdir(sim *s, const char *path, const char *unused)
{
    (void)unused;
    if (find(&s->now, path)) return chr_errno(EEXIST, "create the directory", path);
    if (!parent_exists(s, path)) return chr_errno(ENOENT, "create the directory", path);
    change_name(s, NULL, path, inode_new(s, true));
    return CHR_OK;
}
static chr_status do_rmdir(sim *s, const char *path, const char *unused)
{
    (void)unused;
    name *x = find(&s->now, path);
    if (!x || !x->node->dir) return chr_errno(ENOENT, "remove the directory", path);
    for (size_t i = 0; i < s->now.n; i++)
        if (lies_in(s->now.at[i].path, path)) return chr_errno(ENOTEMPTY, "remove the directory", path);
    change_name(s, path, NULL, NULL);
    return CHR_OK;
}
static chr_status do_sync_dir(sim *s, const char *dir, const char *unused)
{
    (void)unused;
    if (!is_dir(s, dir)) return chr_errno(ENOENT, "sync the directory", dir);
    size_t kept = 0;
    for (size_t i = 0; i < s->n_changes; i++) {
        name_change *c = &s->changes[i];
        if (!lies_in(c->remove, dir) && !lies_in(c->add, dir)) {
            s->changes[kept++] = *c;
            continue;
        }
        apply_name_change(&s->durable, c);
        free(c->remove);
        free(c->add);
    }
    s->n_changes = kept;
    return CHR_OK;
}

static chr_status sim_rename(env *e, const char *from, const char *to)
{
    return with_names(e, "rename", from, to, do_rename);
}
static chr_status sim_link(env *e, const char *from, const char *to)
{
    return with_names(e, "link", from, to, do_link);
}
static chr_status sim_unlink(env *e, const char *path) { return with_names(e, "remove", path, NULL, do_unlink); }
static chr_status sim_mkdir(env *e, const char *path)
{
    return with_names(e, "create the directory", path, NULL, do_mkdir);
}
static chr_status sim_rmdir(env *e, const char *path)
{
    return with_names(e, "remove the directory", path, NULL, do_rmdir);
}
static chr_status sim_sync_dir(env *e, const char *dir)
{
    return with_names(e, "sync the directory", dir, NULL, do_sync_dir);
}

static chr_status sim_list(env *e, const char *dir, env_list_fn *fn, void *arg)
{
    sim       *s = sim_of(e);
    buf        names = { 0 }; /* copied, since fn may change the directory */
    chr_status st = CHR_OK;
    pthread_mutex_lock(&s->mu);
    if (!is_dir(s, dir)) st = chr_errno(ENOENT, "list", dir);
    for (size_t i = 0; i < s->now.n && chr_ok(st); i++) {
        const char *path = s->now.at[i].path;
        if (lies_in(path, dir))
            must_buf(buf_append(&names, path + dir_len(path) + 1, strlen(path + dir_len(path) + 1) + 1));
    }
    pthread_mutex_unlock(&s->mu);
    for (size_t at = 0; at < names.len && chr_ok(st); at += strlen(names.data + at) + 1) st = fn(arg, names.data + at);
    chr_buf_free(&names);
    return st;
}

static chr_status sim_lock(env *e, const char *path, env_lock **out)
{
    sim       *s = sim_of(e);
    chr_status st = CHR_OK;
    pthread_mutex_lock(&s->mu);
    if (!parent_exists(s, path)) st = chr_errno(ENOENT, "open", path);
    for (size_t i = 0; i < s->n_locks && chr_ok(st); i++)
        if (strcmp(s->locks[i], path) == 0) st = chr_fail(CHR_LOCKED, "%s is held by process 1", path);
    if (chr_ok(st)) {
        env_lock *lock = must(malloc(sizeof *lock));
        *lock = (env_lock){ s, must(strdup(path)) };
        grow(&s->locks, s->n_locks, &s->cap_locks, sizeof *s->locks);
        s->locks[s->n_locks++] = lock->path;
        *out = lock;
    }
    pthread_mutex_unlock(&s->mu);
    return st;
}

static void sim_unlock(env_lock *lock)
{
    sim *s = lock->s;
    pthread_mutex_lock(&s->mu);
    for (size_t i = 0; i < s->n_locks; i++)
        if (s->locks[i] == lock->path) s->locks[i] = s->locks[--s->n_locks];
    pthread_mutex_unlock(&s->mu);
    free(lock->path);
    free(lock);
}

static chr_status sim_space(env *e, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    sim *s = sim_of(e);
    (void)path;
    pthread_mutex_lock(&s->mu);
    uint64_t used = used_space(s);
    *total_bytes = s->space ? s->space : UINT64_C(1) << 40;
    *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
    pthread_mutex_unlock(&s->mu);
    return CHR_OK;
}

static uint64_t tick(env *e, bool wall)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    uint64_t now = wall ? (s->wall_ns += CALL_NS) : (s->monotonic_ns += CALL_NS);
    pthread_mutex_unlock(&s->mu);
    return now;
}
static uint64_t sim_wall_ns(env *e) { return tick(e, true); }
static uint64_t sim_monotonic_ns(env *e) { return tick(e, false); }
static uint64_t sim_random(env *e)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    uint64_t r = next_random(&s->random);
    pthread_mutex_unlock(&s->mu);
    return r;
}

/* ---- the disk as a whole ---- */

env *env_sim_new(uint64_t seed)
{
    static const struct env_ops ops = {
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwrite = sim_pwrite,
        .put = sim_pwrite,
        .sync = sim_sync,
        .allocate = sim_allocate,
        .reserve = sim_allocate,
        .truncate = sim_truncate,
        .size = sim_size,
        .advise_read_ahead = sim_advise_read_ahead,
        .rename = sim_rename,
        .link = sim_link,
        .unlink = sim_unlink,
        .mkdir = sim_mkdir,
        .rmdir = sim_rmdir,
        .list = sim_list,
        .sync_dir = sim_sync_dir,
        .lock = sim_lock,
        .unlock = sim_unlock,
        .space = sim_space,
        .wall_ns = sim_wall_ns,
        .monotonic_ns = sim_monotonic_ns,
        .random = sim_random,
    };
    sim *s = must(calloc(1, sizeof *s));
    s->base.ops = &ops;
    s->now.current = true;
    s->random = seed;
    s->wall_ns = UINT64_C(1700000000) * 1000000000;
    pthread_mutex_init(&s->mu, NULL);
    return &s->base;
}

static void free_names(name_set *set)
{
    for (size_t i = 0; i < set->n; i++) free(set->at[i].path);
    free(set->at);
}

void env_sim_free(env *e)
{
    sim *s = sim_of(e);
    assert(s->n_locks == 0);
    for (size_t i = 0; i < s->n_inodes; i++) {
        inode *node = s->inodes[i];
        assert(node->handles == 0);
        forget_changes(node);
        free(node->changes);
        chr_buf_free(&node->now.bytes);
        chr_buf_free(&node->durable.bytes);
        free(node);
    }
    for (size_t i = 0; i < s->n_changes; i++) {
        free(s->changes[i].remove);
        free(s->changes[i].add);
    }
    free_names(&s->now);
    free_names(&s->durable);
    free(s->changes);
    free(s->inodes);
    free(s->locks);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

void env_sim_fail_at(env *e, uint64_t call, sim_fault fault, bool persistent)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    s->fail_at = call;
    s->fault = fault;
    s->persistent = persistent;
    pthread_mutex_unlock(&s->mu);
}

uint64_t env_sim_calls(env *e)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    uint64_t calls = s->calls;
    pthread_mutex_unlock(&s->mu);
    return calls;
}

void env_sim_halt_at(env *e, uint64_t call)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    s->halt_at = call;
    pthread_mutex_unlock(&s->mu);
}

void env_sim_set_space(env *e, uint64_t total_bytes)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    s->space = total_bytes;
    pthread_mutex_unlock(&s->mu);
}

void env_sim_set_wall(env *e, uint64_t wall_ns)
{
    sim *s = sim_of(e);
    pthread_mutex_lock(&s->mu);
    s->wall_ns = wall_ns;
    pthread_mutex_unlock(&s->mu);
}

chr_status env_sim_flip(env *e, const char *path, uint64_t offset, uint8_t mask)
{
    sim       *s = sim_of(e);
    chr_status st = CHR_OK;
    pthread_mutex_lock(&s->mu);
    const name *x = find(&s->now, path);
    if (!x || offset >= x->node->now.size) {
        st = chr_errno(ENOENT, "flip a bit of", path);
    } else {
        image *images[] = { &x->node->now, &x->node->durable };
        for (int i = 0; i < 2; i++) {
            if (offset >= images[i]->size) continue;
            uint8_t byte = offset < images[i]->bytes.len ? (uint8_t)images[i]->bytes.data[offset] : 0;
            byte ^= mask;
            image_write(images[i], offset, &byte, 1);
        }
    }
    pthread_mutex_unlock(&s->mu);
    return st;
}

/* ---- a power cut ---- */

/* Some of the sectors of one write reach the disk. */
static void tear(image *m, const data_change *c, uint64_t *random)
{
    for (uint64_t at = c->offset, end = c->offset + c->bytes.len; at < end;) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        if (next > end) next = end;
        if (next_random(random) & 1) image_write(m, at, c->bytes.data + (at - c->offset), (size_t)(next - at));
        at = next;
    }
}

static void survive(image *m, const inode *i, sim_loss loss, uint64_t *random)
{
    if (loss == SIM_KEEP_ALL) {
        image_copy(m, &i->now);
        return;
    }
    image_copy(m, &i->durable);
    for (size_t k = 0; k < i->n_changes && loss != SIM_LOSE_ALL; k++) {
        const data_change *c = &i->changes[k];
        if (loss == SIM_TEAR && c->kind == CHANGE_WRITE)
            tear(m, c, random);
        else if (next_random(random) & 1)
            apply_change(m, c);
    }
}

/* What lies in a directory whose own name is lost is lost with it. */
static void drop_unreachable(name_set *names)
{
    for (size_t i = 0; i < names->n;) {
        char  *parent = must(strdup(names->at[i].path));
        size_t n = dir_len(parent);
        parent[n] = 0;
        bool reachable = n == 0 || find(names, parent);
        free(parent);
        if (reachable) {
            i++;
            continue;
        }
        set_remove(names, names->at[i].path);
        i = 0; /* it may have been a directory */
    }
}

env *env_sim_crash(env *e, uint64_t seed, sim_loss loss)
{
    sim     *s = sim_of(e), *left = sim_of(env_sim_new(seed ^ 0x5eed));
    uint64_t random = seed;
    pthread_mutex_lock(&s->mu);
    left->wall_ns = s->wall_ns;

    /* Names first: only files that still have one are of interest. */
    name_set names = { 0 };
    for (size_t i = 0; i < s->durable.n; i++) set_add(&names, s->durable.at[i].path, s->durable.at[i].node);
    for (size_t i = 0; i < s->n_changes; i++)
        if (loss == SIM_KEEP_ALL || (loss != SIM_LOSE_ALL && (next_random(&random) & 1)))
            apply_name_change(&names, &s->changes[i]);
    drop_unreachable(&names);

    inode **copies = must(calloc(s->n_inodes + 1, sizeof *copies));
    for (size_t i = 0; i < names.n; i++) {
        inode *node = names.at[i].node;
        if (!copies[node->index]) {
            inode *copy = copies[node->index] = inode_new(left, node->dir);
            survive(&copy->durable, node, loss, &random);
            image_copy(&copy->now, &copy->durable);
        }
        set_add(&left->now, names.at[i].path, copies[node->index]);
        set_add(&left->durable, names.at[i].path, copies[node->index]);
    }
    while (names.n) set_remove(&names, names.at[names.n - 1].path);
    free_names(&names);
    free(copies);
    pthread_mutex_unlock(&s->mu);
    return &left->base;
}
