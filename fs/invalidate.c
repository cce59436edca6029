/* Telling the kernel of changes made through other doors. See "Coherence" in fs.h.
 *
 * The watcher runs in whichever thread commits, with the store's locks held: it only looks whether the kernel can know anything
 * of the key, and queues. The invalidator's thread does the rest. The kernel may take its time over an invalidation, waiting for
 * requests that our threads serve, so it is done without any lock. */
#include "fs/fs.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUE_KEY_MAX = CHR_KEY_MAX };

struct pending {
    struct pending *next;
    change_kind     kind;
    uint64_t        seq; /* of the change, or the registration with the server that told of it */
    size_t          len;
    char            key[];
};

/* The kernel may know the key itself, or one of the directories above it, which may have come or gone with it. */
static bool may_be_known(const mount *m, slice key)
{
    if (seen_has(m, key)) return true;
    for (size_t i = key.len; i-- > 0;)
        if (key.data[i] == '/' && seen_has(m, chr_bytes(key.data, i))) return true;
    return false;
}

/* `seq` 0: nobody waits for it. */
static bool queue(mount *m, change_kind kind, slice key, uint64_t seq)
{
    struct pending *p = malloc(sizeof *p + key.len + 1);
    if (!p) return false; /* the caches' day of life is then the bound */
    *p = (struct pending){ .kind = kind, .seq = seq, .len = key.len };
    if (key.len) memcpy(p->key, key.data, key.len);
    pthread_mutex_lock(&m->queue_mu);
    *m->queue_last = p;
    m->queue_last = &p->next;
    pthread_cond_signal(&m->queue_work);
    pthread_mutex_unlock(&m->queue_mu);
    return true;
}

static bool on_change(void *arg, const change *c)
{
    mount *m = arg;
    if (c->origin == m || m->options.snapshot.len) return false;
    if (c->kind == CHANGE_RANGE) return queue(m, c->kind, chr_bytes(NULL, 0), c->seq);
    return may_be_known(m, c->key) && queue(m, c->kind, c->key, c->seq);
}

bool invalidate_key(mount *m, change_kind kind, slice key, uint64_t registration)
{
    return queue(m, kind, key, registration);
}

void invalidate_file(mount *m, const node *n) { (void)queue(m, CHANGE_PUT, buf_slice(&n->key), 0); }

/* What to tell the kernel, gathered under mu and told without it. */
typedef struct notice {
    uint64_t parent, ino; /* 0: none */
    char     name[NAME_BYTES_MAX + 1];
} notice;
typedef struct notices {
    notice *at;
    size_t  n, cap;
} notices;

static void note(notices *l, uint64_t parent, uint64_t ino, const char *name)
{
    if (l->n == l->cap) {
        size_t  cap = l->cap ? 2 * l->cap : 16;
        notice *more = realloc(l->at, cap * sizeof *more);
        if (!more) return;
        l->at = more;
        l->cap = cap;
    }
    notice *x = &l->at[l->n++];
    *x = (notice){ .parent = parent, .ino = ino };
    snprintf(x->name, sizeof x->name, "%s", name);
}

/* Walks the names of a key from the root as far as there are nodes, and drops each entry whose kind or existence may have changed. */
static void trace(mount *m, slice key, change_kind kind, notices *l)
{
    node  *dir = m->root;
    size_t at = dir->key.len;
    if (!slice_has_prefix(key, buf_slice(&dir->key))) return; /* outside of what is mounted */
    while (dir && at <= key.len) {
        char   name[NAME_BYTES_MAX + 1];
        size_t used;
        bool   piece;
        slice  rest = slice_from(key, at);
        if (!path_encode(place_of(dir), rest, name, &used, &piece)) return;
        node *n = node_find(m, dir, name);
        bool  last = !piece && at + used == key.len;
        if (n && n->kind == NODE_FILE && !n->dirty) {
            n->loaded = false;
            n->generation++;
        }
        if (n && n->kind == NODE_FILE) note(l, 0, n->ino, "");
        if (n && n->kind == NODE_DIR && last) { /* its value is the file in it */
            node *self = node_find(m, n, NAME_SELF);
            note(l, n->ino, self ? self->ino : 0, NAME_SELF);
        }
        if (n && n->kind == NODE_DIR && !last) {
            /* It goes on being a directory unless this was its last key. */
            bool exists = true;
            if (kind != CHANGE_PUT) (void)dir_exists(m, NULL, buf_slice(&n->key), &exists);
            if (!exists && !dir_has_children_in_memory(n)) note(l, dir->ino, n->ino, name);
        } else if (!n || n->kind == NODE_FILE) {
            note(l, dir->ino, 0, name);
        }
        if (last) return;
        dir = n && n->kind == NODE_DIR ? n : NULL;
        at += used + (piece ? 0 : 1);
    }
}

static void trace_all(mount *m, notices *l)
{
    for (size_t i = 0; i < m->buckets; i++)
        for (node *n = m->by_ino[i]; n; n = n->next_ino) {
            if (n->at) continue;
            if (!n->dirty) n->loaded = false;
            if (n->parent) note(l, n->parent->ino, n->ino, n->name);
        }
}

static void tell(mount *m, const notices *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const notice *x = &l->at[i];
        /* "Not there" is the kernel's ordinary answer for what it has forgotten by itself. */
        if (x->ino) (void)fuse_lowlevel_notify_inval_inode(m->session, x->ino, 0, 0);
        if (x->parent) (void)fuse_lowlevel_notify_inval_entry(m->session, x->parent, x->name, strlen(x->name));
    }
}

static void invalidate(mount *m, struct pending *first)
{
    notices l = { 0 };
    /* Requests that may have seen what was there before have replied once this lock was had. */
    pthread_rwlock_wrlock(&m->barrier);
    pthread_rwlock_unlock(&m->barrier);
    pthread_mutex_lock(&m->mu);
    if (m->remote) remote_begin(m->remote);
    for (struct pending *p = first; p; p = p->next) {
        if (p->kind == CHANGE_RANGE)
            trace_all(m, &l);
        else
            trace(m, chr_bytes(p->key, p->len), p->kind, &l);
    }
    pthread_mutex_unlock(&m->mu);
    tell(m, &l);
    free(l.at);
    while (first) {
        struct pending *next = first->next;
        if (first->seq && m->remote)
            remote_settled(m->remote, first->seq);
        else if (first->seq)
            store_watch_settled(m->watch, first->seq);
        free(first);
        first = next;
    }
}

static void *invalidator_main(void *arg)
{
    mount *m = arg;
    pthread_mutex_lock(&m->queue_mu);
    for (;;) {
        while (!m->queue_first && m->invalidating) pthread_cond_wait(&m->queue_work, &m->queue_mu);
        struct pending *first = m->queue_first;
        if (!first) break;
        m->queue_first = NULL;
        m->queue_last = &m->queue_first;
        pthread_mutex_unlock(&m->queue_mu);
        invalidate(m, first);
        pthread_mutex_lock(&m->queue_mu);
    }
    pthread_mutex_unlock(&m->queue_mu);
    return NULL;
}

chr_status invalidate_start(mount *m)
{
    m->queue_last = &m->queue_first;
    m->invalidating = true;
    chr_status st = m->remote ? CHR_OK : store_watch_add(m->store, on_change, m, &m->watch);
    if (st != CHR_OK) return st;
    if (pthread_create(&m->invalidator, NULL, invalidator_main, m) == 0) return CHR_OK;
    m->invalidating = false;
    if (m->watch) store_watch_remove(m->watch);
    m->watch = NULL;
    return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
}

void invalidate_stop(mount *m)
{
    if (!m->invalidating) return;
    pthread_mutex_lock(&m->queue_mu);
    m->invalidating = false;
    pthread_cond_broadcast(&m->queue_work);
    pthread_mutex_unlock(&m->queue_mu);
    pthread_join(m->invalidator, NULL);
    if (m->watch) store_watch_remove(m->watch);
    while (m->queue_first) {
        struct pending *p = m->queue_first;
        m->queue_first = p->next;
        free(p);
    }
}
