/* The floor under every FUSE file system: one that keeps small files in a table in memory and does next to nothing, served by
 * libfuse's own loop of several threads as it comes. It only does what bench_files asks of it.
 *
 * usage: bench_nullfs DIR    in the foreground, until it is unmounted */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1 << 18, CACHE_SECONDS = 86400, MAX_WRITE = 1 << 20 };

/* An inode number is the address of its node. */
typedef struct node node;
struct node {
    mode_t mode;
    char  *name, *data;
    size_t len;
    node  *parent, *next_in_bucket;
    node  *next, *prev, *children;
};

static node            root = { .mode = S_IFDIR | 0755 };
static node           *buckets[BUCKETS];
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;

static node      *node_of(fuse_ino_t ino) { return ino == FUSE_ROOT_ID ? &root : (node *)ino; }
static fuse_ino_t ino_of(const node *n) { return n == &root ? FUSE_ROOT_ID : (fuse_ino_t)n; }

static node **bucket_of(const node *parent, const char *name)
{
    uint64_t h = (uint64_t)(uintptr_t)parent;
    for (; *name; name++) h = h * UINT64_C(1099511628211) + (unsigned char)*name;
    return &buckets[(h ^ h >> 29) % BUCKETS];
}

static node *find(const node *parent, const char *name)
{
    node *n = *bucket_of(parent, name);
    while (n && (n->parent != parent || strcmp(n->name, name) != 0)) n = n->next_in_bucket;
    return n;
}

static struct stat stat_of(const node *n)
{
    return (struct stat){ .st_ino = ino_of(n), .st_mode = n->mode, .st_nlink = 1, .st_size = (off_t)n->len };
}

static struct fuse_entry_param entry_of(const node *n)
{
    struct fuse_entry_param e = { .attr_timeout = CACHE_SECONDS, .entry_timeout = CACHE_SECONDS };
    if (n) e.ino = ino_of(n), e.attr = stat_of(n);
    return e;
}

static void attach(node *n, node *parent, const char *name)
{
    node **bucket = bucket_of(parent, name);
    n->name = strdup(name);
    n->parent = parent;
    n->next_in_bucket = *bucket;
    *bucket = n;
    n->prev = NULL;
    n->next = parent->children;
    if (n->next) n->next->prev = n;
    parent->children = n;
}

static void detach(node *n)
{
    node **at = bucket_of(n->parent, n->name);
    while (*at != n) at = &(*at)->next_in_bucket;
    *at = n->next_in_bucket;
    if (n->prev)
        n->prev->next = n->next;
    else
        n->parent->children = n->next;
    if (n->next) n->next->prev = n->prev;
    free(n->name);
}

static struct fuse_entry_param make(fuse_ino_t parent, const char *name, mode_t mode)
{
    node *n = calloc(1, sizeof *n);
    if (!n) abort();
    n->mode = mode;
    pthread_mutex_lock(&mu);
    attach(n, node_of(parent), name);
    pthread_mutex_unlock(&mu);
    return entry_of(n);
}

static void op_init(void *userdata, struct fuse_conn_info *c)
{
    (void)userdata;
    c->want |= c->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV);
    c->max_write = MAX_WRITE;
}
static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    pthread_mutex_lock(&mu);
    struct fuse_entry_param e = entry_of(find(node_of(parent), name));
    pthread_mutex_unlock(&mu);
    fuse_reply_entry(req, &e);
}
static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat s = stat_of(node_of(ino));
    (void)fi;
    fuse_reply_attr(req, &s, CACHE_SECONDS);
}
static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param e = make(parent, name, S_IFDIR | mode);
    fuse_reply_entry(req, &e);
}
static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fuse_entry_param e = make(parent, name, mode);
    fi->keep_cache = 1;
    fuse_reply_create(req, &e, fi);
}
/* Nodes of what is removed stay: the kernel still has their numbers. */
static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    pthread_mutex_lock(&mu);
    node *n = find(node_of(parent), name);
    if (n) detach(n);
    pthread_mutex_unlock(&mu);
    fuse_reply_err(req, n ? 0 : ENOENT);
}
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name,
                      unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&mu);
    node *n = find(node_of(parent), name);
    if (n) {
        detach(n);
        attach(n, node_of(to), to_name);
    }
    pthread_mutex_unlock(&mu);
    fuse_reply_err(req, n ? 0 : ENOENT);
}
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    const node *n = node_of(ino);
    size_t      left = (size_t)offset < n->len ? n->len - (size_t)offset : 0;
    (void)fi;
    fuse_reply_buf(req, left ? n->data + offset : NULL, left < size ? left : size);
}
static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    node  *n = node_of(ino);
    size_t end = (size_t)offset + size;
    (void)fi;
    if (end > n->len) {
        n->data = realloc(n->data, end);
        if (!n->data) abort();
        n->len = end;
    }
    memcpy(n->data + offset, data, size);
    fuse_reply_write(req, size);
}
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    char  *text = malloc(size);
    size_t used = 0, next = 0;
    (void)fi;
    if (!text) abort();
    pthread_mutex_lock(&mu);
    for (node *n = offset ? ((node *)offset)->next : node_of(ino)->children; n; n = n->next) {
        struct fuse_entry_param e = entry_of(n);
        next = fuse_add_direntry_plus(req, text + used, size - used, n->name, &e, (off_t)n);
        if (next > size - used) break;
        used += next;
    }
    pthread_mutex_unlock(&mu);
    fuse_reply_buf(req, text, used);
    free(text);
}
static void op_nothing(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}
static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    (void)ino;
    (void)name;
    (void)size;
    fuse_reply_err(req, ENOSYS);
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops ops = { .init = op_init,
                                                  .lookup = op_lookup,
                                                  .getattr = op_getattr,
                                                  .mkdir = op_mkdir,
                                                  .create = op_create,
                                                  .unlink = op_remove,
                                                  .rmdir = op_remove,
                                                  .rename = op_rename,
                                                  .open = op_open,
                                                  .read = op_read,
                                                  .write = op_write,
                                                  .flush = op_nothing,
                                                  .release = op_nothing,
                                                  .opendir = op_open,
                                                  .readdirplus = op_readdirplus,
                                                  .releasedir = op_nothing,
                                                  .getxattr = op_getxattr };
    struct fuse_args                      args = FUSE_ARGS_INIT(1, argv);
    struct fuse_loop_config              *config = fuse_loop_cfg_create();
    struct fuse_session                  *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    if (argc != 2 || !session || !config || fuse_set_signal_handlers(session) != 0 ||
        fuse_session_mount(session, argv[1]) != 0) {
        fprintf(stderr, "usage: bench_nullfs DIR\n");
        return 2;
    }
    int status = fuse_session_loop_mt(session, config);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    fuse_loop_cfg_destroy(config);
    return status != 0;
}
