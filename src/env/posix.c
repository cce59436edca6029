/* The real operating system. */
#include "env/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    ZEROES = 64 * 1024,
    PID_TEXT = 32,
    WINDOW_BYTES =
        256 * 1024, /* of a file that is written by way of memory; locked, and of that a process may have little */
    WINDOW_STEP = 64 * 1024,
    PUT_MAX = 16 * 1024, /* what is longer costs no more with pwrite */
    /* At once: for more, the kernel takes its pages in blocks so big that they are seldom ones used a moment ago. */
    WRITE_MAX = 64 * 1024,
};

typedef struct posix_file {
    env_file base;
    int      fd;
    char    *window; /* of posix_put; NULL: none */
    uint64_t window_from, window_len;
    bool     no_window; /* it was tried in vain */
} posix_file;

struct env_lock {
    int fd;
};

static int fd_of(const env_file *f) { return ((const posix_file *)f)->fd; }

static chr_status posix_open(env *e, const char *path, env_open_mode mode, env_file **out)
{
    static const int
        flags[] = { [ENV_READ] = O_RDONLY, [ENV_READ_WRITE] = O_RDWR, [ENV_CREATE] = O_RDWR | O_CREAT | O_TRUNC };
    int fd = open(path, flags[mode] | O_CLOEXEC, 0600);
    if (fd < 0) return chr_errno(errno, mode == ENV_CREATE ? "create" : "open", path);
    posix_file *f = calloc(1, sizeof *f);
    if (!f || !(f->base.path = strdup(path))) {
        free(f);
        close(fd);
        return chr_nomem();
    }
    f->base.env = e;
    f->fd = fd;
    *out = &f->base;
    return CHR_OK;
}

static chr_status posix_pread(env_file *f, void *to, size_t len, uint64_t offset, size_t *got)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd_of(f), (char *)to + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return chr_errno(errno, "read", f->path);
        if (n == 0) break;
        done += (size_t)n;
    }
    *got = done;
    return CHR_OK;
}

static chr_status posix_pwrite(env_file *f, const void *from, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        size_t  left = len - done;
        ssize_t n =
            pwrite(fd_of(f), (const char *)from + done, left < WRITE_MAX ? left : WRITE_MAX, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return chr_errno(errno, "write", f->path);
        if (n == 0) return chr_errno(EIO, "write", f->path);
        done += (size_t)n;
    }
    return CHR_OK;
}

/* ---- writing by way of memory ----
 *
 * A window of the file is mapped, and moves along with what is put. To store into a mapping may end the process with SIGBUS where
 * pwrite would fail with an error; that is ruled out as follows. The window never reaches beyond the end of the file. It is locked
 * into memory, so that nothing needs to be read in when it is stored into; locking itself fails with an error. And it is done
 * only on ext4, which overwrites blocks in place, so that storing needs no new space (XFS may have shared them with a copy). Anywhere else put is pwrite. */

static void drop_window(posix_file *f)
{
    if (f->window) (void)munmap(f->window, f->window_len);
    f->window = NULL;
}

static bool overwrites_in_place(int fd)
{
    struct statfs s;
    return fstatfs(fd, &s) == 0 && s.f_type == EXT4_SUPER_MAGIC;
}

/* Makes the window begin near `offset`. False: there is none there, use pwrite. */
static bool move_window(posix_file *f, uint64_t offset)
{
    struct stat s;
    uint64_t    from = offset - offset % WINDOW_STEP;
    bool        first = !f->window;
    drop_window(f);
    if (first && !overwrites_in_place(f->fd)) f->no_window = true;
    if (f->no_window || fstat(f->fd, &s) != 0 || (uint64_t)s.st_size < from + WINDOW_STEP) return false;
    uint64_t len = (uint64_t)s.st_size - from < WINDOW_BYTES ? ((uint64_t)s.st_size - from) / WINDOW_STEP * WINDOW_STEP
                                                             : WINDOW_BYTES;
    void    *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, (off_t)from);
    if (p != MAP_FAILED && mlock(p, len) == 0) {
        f->window = p;
        f->window_from = from;
        f->window_len = len;
        return true;
    }
    if (p != MAP_FAILED) (void)munmap(p, len);
    f->no_window = true; /* nor will there be next time */
    return false;
}

static bool in_window(const posix_file *f, uint64_t offset, size_t len)
{
    return f->window && offset >= f->window_from && offset - f->window_from + len <= f->window_len;
}

static chr_status posix_put(env_file *base, const void *from, size_t len, uint64_t offset)
{
    posix_file *f = (posix_file *)base;
    bool        inside = in_window(f, offset, len);
    if (!inside && !f->no_window && len <= PUT_MAX) inside = move_window(f, offset) && in_window(f, offset, len);
    if (!inside) return posix_pwrite(base, from, len, offset);
    memcpy(f->window + (offset - f->window_from), from, len);
    return CHR_OK;
}

static void posix_close(env_file *f)
{
    drop_window((posix_file *)f);
    close(fd_of(f));
    free(f->path);
    free(f);
}

static chr_status posix_sync(env_file *f)
{
    return fdatasync(fd_of(f)) == 0 ? CHR_OK : chr_errno(errno, "sync", f->path);
}

static chr_status posix_size(env_file *f, uint64_t *bytes)
{
    struct stat s;
    if (fstat(fd_of(f), &s) != 0) return chr_errno(errno, "look at", f->path);
    *bytes = (uint64_t)s.st_size;
    return CHR_OK;
}

/* fallocate would leave extents marked as unwritten, whose first write changes metadata: zeroes must really be written. */
static chr_status posix_allocate(env_file *f, uint64_t bytes)
{
    static const char zeroes[ZEROES];
    uint64_t          have = 0;
    chr_status        st = posix_size(f, &have);
    const uint64_t    before = have;
    while (chr_ok(st) && have < bytes) {
        size_t n = bytes - have < ZEROES ? (size_t)(bytes - have) : ZEROES;
        st = posix_pwrite(f, zeroes, n, have);
        have += n;
    }
    /* On a full disk, give back what could be had. */
    if (!chr_ok(st) && ftruncate(fd_of(f), (off_t)before) != 0) return st;
    return st;
}

static chr_status posix_reserve(env_file *f, uint64_t bytes)
{
    uint64_t   have = 0;
    chr_status st = posix_size(f, &have);
    if (!chr_ok(st) || have >= bytes) return st;
    while (fallocate(fd_of(f), 0, (off_t)have, (off_t)(bytes - have)) != 0) {
        if (errno == EINTR) continue;
        if (errno == EOPNOTSUPP) return posix_allocate(f, bytes);
        st = chr_errno(errno, "write", f->path);
        /* On a full disk, give back what could be had. */
        if (ftruncate(fd_of(f), (off_t)have) != 0) return st;
        return st;
    }
    return CHR_OK;
}

static chr_status posix_truncate(env_file *f, uint64_t bytes)
{
    return ftruncate(fd_of(f), (off_t)bytes) == 0 ? CHR_OK : chr_errno(errno, "truncate", f->path);
}

static void posix_advise_read_ahead(env_file *f, uint64_t offset, uint64_t len)
{
    (void)posix_fadvise(fd_of(f), (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

static chr_status posix_rename(env *e, const char *from, const char *to)
{
    (void)e;
    return rename(from, to) == 0 ? CHR_OK : chr_errno(errno, "rename", from);
}
static chr_status posix_link(env *e, const char *from, const char *to)
{
    (void)e;
    return link(from, to) == 0 ? CHR_OK : chr_errno(errno, "link", to);
}
static chr_status posix_unlink(env *e, const char *path)
{
    (void)e;
    return unlink(path) == 0 ? CHR_OK : chr_errno(errno, "remove", path);
}
static chr_status posix_mkdir(env *e, const char *path)
{
    (void)e;
    return mkdir(path, 0700) == 0 ? CHR_OK : chr_errno(errno, "create the directory", path);
}
static chr_status posix_rmdir(env *e, const char *path)
{
    (void)e;
    return rmdir(path) == 0 ? CHR_OK : chr_errno(errno, "remove the directory", path);
}

static chr_status posix_list(env *e, const char *dir, env_list_fn *fn, void *arg)
{
    (void)e;
    DIR       *d = opendir(dir);
    chr_status st = CHR_OK;
    if (!d) return chr_errno(errno, "list", dir);
    while (chr_ok(st)) {
        errno = 0;
        struct dirent *x = readdir(d);
        if (!x) {
            if (errno) st = chr_errno(errno, "list", dir);
            break;
        }
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0) st = fn(arg, x->d_name);
    }
    closedir(d);
    return st;
}

static chr_status posix_sync_dir(env *e, const char *dir)
{
    (void)e;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return chr_errno(errno, "open", dir);
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error ? chr_errno(error, "sync the directory", dir) : CHR_OK;
}

/* flock belongs to the open file, so a second opening is refused in the same process too, and the kernel lets go of it when the
 * process dies. */
static chr_status posix_lock(env *e, const char *path, env_lock **out)
{
    (void)e;
    char pid[PID_TEXT] = { 0 };
    int  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return chr_errno(errno, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int     error = errno;
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        close(fd);
        if (error != EWOULDBLOCK) return chr_errno(error, "lock", path);
        if (n > 0) pid[strcspn(pid, "\n")] = 0;
        const char *slash = strrchr(path, '/');
        int         dir = slash ? (int)(slash - path) : 1;
        return chr_fail(CHR_LOCKED, "the store in %.*s is in use by process %s", dir, slash ? path : ".",
                        n > 0 ? pid : "(unknown)");
    }
    env_lock *lock = malloc(sizeof *lock);
    int       n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (!lock || ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        chr_status st = lock ? chr_errno(errno, "write", path) : chr_nomem();
        free(lock);
        close(fd);
        return st;
    }
    lock->fd = fd;
    *out = lock;
    return CHR_OK;
}

static void posix_unlock(env_lock *lock)
{
    close(lock->fd);
    free(lock);
}

static chr_status posix_space(env *e, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    (void)e;
    struct statvfs s;
    if (statvfs(path, &s) != 0) return chr_errno(errno, "look at", path);
    *free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    *total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
    return CHR_OK;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static uint64_t posix_wall_ns(env *e)
{
    (void)e;
    return clock_ns(CLOCK_REALTIME);
}
static uint64_t posix_monotonic_ns(env *e)
{
    (void)e;
    return clock_ns(CLOCK_MONOTONIC);
}
static uint64_t posix_random(env *e)
{
    uint64_t r;
    /* Without entropy (which takes less than a kernel that boots) the clock must do: it need only differ. */
    return getrandom(&r, sizeof r, 0) == (ssize_t)sizeof r ? r : posix_monotonic_ns(e) * UINT64_C(0x9e3779b97f4a7c15);
}

env *env_posix(void)
{
    static const struct env_ops ops = {
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwrite = posix_pwrite,
        .put = posix_put,
        .sync = posix_sync,
        .allocate = posix_allocate,
        .reserve = posix_reserve,
        .truncate = posix_truncate,
        .size = posix_size,
        .advise_read_ahead = posix_advise_read_ahead,
        .rename = posix_rename,
        .link = posix_link,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .rmdir = posix_rmdir,
        .list = posix_list,
        .sync_dir = posix_sync_dir,
        .lock = posix_lock,
        .unlock = posix_unlock,
        .space = posix_space,
        .wall_ns = posix_wall_ns,
        .monotonic_ns = posix_monotonic_ns,
        .random = posix_random,
    };
    static env the_env = { &ops };
    return &the_env;
}
