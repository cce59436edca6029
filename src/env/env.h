/* The one seam between Chronos and the operating system: files, names, locks and clocks.
 *
 * Two implementations: posix.c, and sim.c, a deterministic in-memory disk that loses and tears what was not
 * synced (sim.h). The engine calls nothing of the operating system's but through here and pthreads.
 *
 * Threads: all functions may be called from any thread. An env_file may be read by many threads at once;
 * pwrite, put and sync of one file are ordered by their caller.
 * Errors: a message that names operation, path and reason. A failed sync is final for the file: Linux drops
 * the dirty pages and reports success next time, so no caller may retry it. */
#ifndef CHR_ENV_ENV_H
#define CHR_ENV_ENV_H

#include "base/bytes.h"

typedef struct env      env;
typedef struct env_file env_file;
typedef struct env_lock env_lock;

typedef enum env_open_mode {
    ENV_READ,       /* must exist; CHR_NOT_FOUND otherwise */
    ENV_READ_WRITE, /* must exist; kept as it is */
    ENV_CREATE,     /* made empty, read-write; replaces what was there */
} env_open_mode;

typedef chr_status env_list_fn(void *arg, const char *name); /* a status other than CHR_OK ends the listing */

struct env_ops {
    chr_status (*open)(env *, const char *path, env_open_mode, env_file **);
    void (*close)(env_file *);
    /* Reads up to `len` bytes; *got is less only at the end of the file. */
    chr_status (*pread)(env_file *, void *to, size_t len, uint64_t offset, size_t *got);
    chr_status (*pwrite)(env_file *, const void *from, size_t len, uint64_t offset); /* all of it or an error */
    /* As pwrite, within what has been allocated, for many small pieces: next to free where the file can be written by way of
     * memory. Then too they outlive the process at once, but a sync after each costs more than with pwrite. */
    chr_status (*put)(env_file *, const void *from, size_t len, uint64_t offset);
    chr_status (*sync)(env_file *);                     /* fdatasync: contents and size */
    chr_status (*allocate)(env_file *, uint64_t bytes); /* writes zeroes up to `bytes`, so that later overwriting
                                                              changes no metadata; the size becomes `bytes` */
    /* The same for a file that is written with put: as quick as the file system can be about it. */
    chr_status (*reserve)(env_file *, uint64_t bytes);
    chr_status (*truncate)(env_file *, uint64_t bytes);
    chr_status (*size)(env_file *, uint64_t *bytes);
    void (*advise_read_ahead)(env_file *, uint64_t offset, uint64_t len); /* a hint; never fails */

    chr_status (*rename)(env *, const char *from, const char *to); /* replaces `to` */
    chr_status (*link)(env *, const char *from, const char *to);
    chr_status (*unlink)(env *, const char *path);
    chr_status (*mkdir)(env *, const char *path); /* CHR_EXISTS if it is there */
    chr_status (*rmdir)(env *, const char *path);
    chr_status (*list)(env *, const char *dir, env_list_fn *, void *arg); /* without . and .., any order */
    chr_status (*sync_dir)(env *, const char *dir); /* makes created, renamed and removed names durable */
    /* CHR_LOCKED: someone else holds it; the message names the holder's pid. */
    chr_status (*lock)(env *, const char *path, env_lock **);
    void (*unlock)(env_lock *);
    chr_status (*space)(env *, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);

    uint64_t (*wall_ns)(env *); /* since 1970 */
    uint64_t (*monotonic_ns)(env *);
    uint64_t (*random)(env *);
};

struct env {
    const struct env_ops *ops;
};
struct env_file {
    env  *env;
    char *path; /* as given to env_open; for messages */
};

/* The real operating system; one for the process, never freed. */
env *env_posix(void);

static inline chr_status env_open(env *e, const char *path, env_open_mode mode, env_file **f)
{
    return e->ops->open(e, path, mode, f);
}
static inline void env_close(env_file *f)
{
    if (f) f->env->ops->close(f);
}
static inline chr_status env_pread(env_file *f, void *to, size_t len, uint64_t off, size_t *got)
{
    return f->env->ops->pread(f, to, len, off, got);
}
static inline chr_status env_pwrite(env_file *f, const void *from, size_t len, uint64_t off)
{
    return f->env->ops->pwrite(f, from, len, off);
}
static inline chr_status env_put(env_file *f, const void *from, size_t len, uint64_t off)
{
    return f->env->ops->put(f, from, len, off);
}
static inline chr_status env_sync(env_file *f) { return f->env->ops->sync(f); }
static inline chr_status env_allocate(env_file *f, uint64_t bytes) { return f->env->ops->allocate(f, bytes); }
static inline chr_status env_reserve(env_file *f, uint64_t bytes) { return f->env->ops->reserve(f, bytes); }
static inline chr_status env_truncate(env_file *f, uint64_t bytes) { return f->env->ops->truncate(f, bytes); }
static inline chr_status env_size(env_file *f, uint64_t *bytes) { return f->env->ops->size(f, bytes); }
static inline void       env_read_ahead(env_file *f, uint64_t off, uint64_t len)
{
    f->env->ops->advise_read_ahead(f, off, len);
}
static inline chr_status env_rename(env *e, const char *from, const char *to) { return e->ops->rename(e, from, to); }
static inline chr_status env_link(env *e, const char *from, const char *to) { return e->ops->link(e, from, to); }
static inline chr_status env_unlink(env *e, const char *path) { return e->ops->unlink(e, path); }
static inline chr_status env_mkdir(env *e, const char *path) { return e->ops->mkdir(e, path); }
static inline chr_status env_rmdir(env *e, const char *path) { return e->ops->rmdir(e, path); }
static inline chr_status env_list(env *e, const char *dir, env_list_fn *fn, void *arg)
{
    return e->ops->list(e, dir, fn, arg);
}
static inline chr_status env_sync_dir(env *e, const char *dir) { return e->ops->sync_dir(e, dir); }
static inline chr_status env_lock_file(env *e, const char *path, env_lock **lock)
{
    return e->ops->lock(e, path, lock);
}
static inline void env_unlock_file(env *e, env_lock *lock)
{
    if (lock) e->ops->unlock(lock);
}
static inline chr_status env_space(env *e, const char *path, uint64_t *free_bytes, uint64_t *total)
{
    return e->ops->space(e, path, free_bytes, total);
}
static inline uint64_t env_wall_ns(env *e) { return e->ops->wall_ns(e); }
static inline uint64_t env_monotonic_ns(env *e) { return e->ops->monotonic_ns(e); }
static inline uint64_t env_random(env *e) { return e->ops->random(e); }

/* Whole-file helpers over the above (env.c). */
chr_status env_read_file(env *e, const char *path, buf *contents);
/* Temporary file, sync, rename, sync of the directory: `path` has the old contents or the new, never others. The old ones
 * after any failure but CHR_IO; after that one, either. */
chr_status env_replace_file(env *e, const char *dir, const char *name, slice contents);
chr_status env_copy_file(env *e, const char *from,
                         const char *to); /* the contents of `to` are durable, its name is not */
/* Makes the name of `path` itself durable, by syncing the directory that it is in. */
chr_status env_sync_parent(env *e, const char *path);

#endif
