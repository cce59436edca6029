/* Mounting, serving and unmounting. */
#include "fs/fs.h"

#include "base/log.h"
#include "fs/detach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { THREADS_MIN = 2, THREADS_MAX = 4, MAX_WRITE = 1 << 20, WINDOW = 64, REST_MS = 5 };

/* ---- requests ---- */

int fs_errno_of(chr_status st)
{
    switch (st) {
    case CHR_OK: break;
    case CHR_NOT_FOUND: return ENOENT;
    case CHR_EXISTS: return EEXIST;
    case CHR_INVALID: return EINVAL;
    case CHR_TOO_BIG: return strncmp(chr_message(), "the key", 7) == 0 ? ENAMETOOLONG : EFBIG;
    case CHR_NO_MEMORY: return ENOMEM;
    case CHR_NO_SPACE: return ENOSPC;
    case CHR_READ_ONLY: return EROFS;
    case CHR_IO:
    case CHR_CORRUPT:
    case CHR_LOCKED:
    case CHR_CLOSING: break;
    }
    log_line(LOG_ERROR, "fs", "a request failed", "reason=\"%s\"", chr_message());
    return EIO;
}

static void op_init(void *userdata, struct fuse_conn_info *c)
{
    const mount *m = userdata;
    c->want |= c->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                             FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    if (!m->options.strict) c->want |= c->capable & FUSE_CAP_CACHE_SYMLINKS;
    /* What it keeps for a second only is not thrown away after it, but looked at again. */
    if (m->remote) c->want |= c->capable & FUSE_CAP_AUTO_INVAL_DATA;
    /* The kernel knows better than we who may keep a set-user-id bit over a write. */
    c->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_HANDLE_KILLPRIV);
    if (!m->remote) c->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
    c->max_write = MAX_WRITE;
}

/* ---- the mount point ---- */

static chr_status check_mount_point(const char *path)
{
    struct stat s;
    DIR        *d = opendir(path); /* stat would be answered from the kernel's cache */
    if (!d && errno == ENOTCONN) {
        log_line(LOG_INFO, "fs", "taking over the mount point of a dead server", "path=%s", path);
        (void)detach_mount(path); /* whether it worked shows below */
    }
    if (d) closedir(d);
    if (stat(path, &s) != 0) {
        if (errno == ENOENT)
            return chr_fail(CHR_INVALID, "the mount point %s does not exist; make it with mkdir", path);
        return chr_fail(CHR_INVALID, "cannot use the mount point %s: %s", path, strerror(errno));
    }
    if (!S_ISDIR(s.st_mode)) return chr_fail(CHR_INVALID, "the mount point %s is not a directory", path);
    d = opendir(path);
    if (!d) return chr_fail(CHR_INVALID, "cannot look into the mount point %s: %s", path, strerror(errno));
    bool empty = true;
    for (struct dirent *x; (x = readdir(d));)
        empty = empty && (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0);
    closedir(d);
    return empty ? CHR_OK : chr_fail(CHR_INVALID, "the mount point %s is not empty; mount on an empty directory", path);
}

/* Which file system is at the path, without asking its server. */
static bool device_at(const char *path, dev_t *device)
{
    struct statx x;
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &x) != 0) return false;
    *device = makedev(x.stx_dev_major, x.stx_dev_minor);
    return true;
}

/* ---- serving ---- */

/* Each thread has a CPU of its own. All that wait wake when a request comes, and the one on the client's CPU gets there first, as soon
 * as the client sleeps: waking the other CPU is what costs. They wait in poll and read without blocking: a thread that is on its way to
 * sleep in read is slow to wake, and one that sleeps there cannot be told to stop while somebody keeps the mount busy. */
static void stay_on_one_cpu(unsigned which)
{
    cpu_set_t may, mine;
    if (sched_getaffinity(0, sizeof may, &may) != 0) return;
    unsigned n = (unsigned)CPU_COUNT(&may), skip = n ? which % n : 0;
    CPU_ZERO(&mine);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may) && skip-- == 0) {
            CPU_SET(cpu, &mine);
            break;
        }
    (void)pthread_setaffinity_np(pthread_self(), sizeof mine, &mine);
}

static unsigned threads_wanted(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < THREADS_MIN ? THREADS_MIN : cpus > THREADS_MAX ? THREADS_MAX : (unsigned)cpus;
}

static bool somebody_waits(const struct fuse_buf *in)
{
    struct fuse_in_header head;
    memcpy(&head, in->mem, sizeof head);
    return head.opcode != FUSE_FORGET && head.opcode != FUSE_BATCH_FORGET && head.opcode != FUSE_RELEASE &&
           head.opcode != FUSE_RELEASEDIR;
}

/* Of a thread that serves less than half its share, since the clients are on other CPUs: waking it for each of their requests costs them
 * more than it helps. */
static void rest(mount *m, struct pollfd *stop)
{
    if (atomic_fetch_sub(&m->awake, 1) > 1) (void)poll(stop, 1, REST_MS);
    atomic_fetch_add(&m->awake, 1);
}

static void *loop(void *arg)
{
    mount          *m = arg;
    struct fuse_buf in = { .mem = NULL };
    struct pollfd   wait[2] = { { .fd = fuse_session_fd(m->session), .events = POLLIN },
                                { .fd = m->stop_fd, .events = POLLIN } };
    bool            ended = false;
    uint64_t        mine = 0, since = 0;
    stay_on_one_cpu(atomic_fetch_add(&m->started, 1));
    ended = !replies_begin_thread();
    while (!ended && !fuse_session_exited(m->session)) {
        int n = fuse_session_receive_buf(m->session, &in);
        if (n > 0) {
            bool waits = somebody_waits(&in);
            mine += waits;
            if (waits) atomic_fetch_add_explicit(&m->waited_for, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&m->requests, 1, memory_order_relaxed);
            fuse_session_process_buf(m->session, &in);
        } else if (n == -EAGAIN || n == -EINTR) {
            uint64_t all = atomic_load_explicit(&m->waited_for, memory_order_relaxed);
            if (all - since >= WINDOW) {
                if (mine * 2 * m->wanted < all - since) rest(m, &wait[1]);
                mine = 0;
                since = atomic_load_explicit(&m->waited_for, memory_order_relaxed);
            }
            ended = poll(wait, 2, -1) > 0 && wait[1].revents != 0;
        } else {
            ended = true; /* unmounted */
        }
    }
    free(in.mem);
    replies_end_thread();
    if (!m->stopping) { /* ended from outside: the others are to know */
        uint64_t one = 1;
        ssize_t  ignored = write(m->stop_fd, &one, sizeof one);
        (void)ignored;
    }
    if (atomic_fetch_sub(&m->running, 1) == 1 && !m->stopping && m->options.on_unmounted &&
        !atomic_exchange(&m->told, true))
        m->options.on_unmounted(m->options.unmounted_arg);
    return NULL;
}

/* What was unlinked while open when the mount ended, or an earlier server died. */
static void remove_leftovers(mount *m)
{
    fs_txn *t = fs_txn_begin(m, NULL, 0);
    if (!t) return;
    char end[sizeof m->unlinked_prefix];
    strcpy(end, m->unlinked_prefix);
    end[strlen(end) - 1] = '0'; /* which comes right after '/' */
    if (fs_txn_delete_range(t, OBJECT_KEY, chr_str(m->unlinked_prefix), chr_str(end)) == CHR_OK)
        (void)fs_txn_commit(t);
    else
        fs_txn_abort(t);
}

static void mount_free(mount *m)
{
    nodes_free(m);
    if (m->session) fuse_session_destroy(m->session);
    if (m->stop_fd >= 0) close(m->stop_fd);
    pthread_rwlock_destroy(&m->barrier);
    pthread_mutex_destroy(&m->mu);
    pthread_mutex_destroy(&m->queue_mu);
    pthread_mutex_destroy(&m->log_mu);
    pthread_cond_destroy(&m->queue_work);
    pthread_cond_destroy(&m->compacted);
    free(m->mount_point);
    free(m);
}

chr_status mount_start(store *s, const mount_options *options, mount **out)
{
    chr_status st = check_mount_point(options->mount_point);
    if (st != CHR_OK) return st;
    mount *m = calloc(1, sizeof *m);
    if (!m) return chr_nomem();
    m->store = s;
    m->remote = options->remote;
    if (m->remote)
        snprintf(m->unlinked_prefix, sizeof m->unlinked_prefix, "%s%s/", UNLINKED_FAR, remote_token(m->remote));
    else
        strcpy(m->unlinked_prefix, UNLINKED_PREFIX);
    m->options = *options;
    m->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&m->barrier, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutexattr_t spins; /* what is done with it held takes less time than sleeping */
    pthread_mutexattr_init(&spins);
    pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&m->mu, &spins);
    pthread_mutexattr_destroy(&spins);
    pthread_mutex_init(&m->queue_mu, NULL);
    pthread_mutex_init(&m->log_mu, NULL);
    pthread_cond_init(&m->queue_work, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->compacted, &monotonic);
    pthread_condattr_destroy(&monotonic);

    struct fuse_lowlevel_ops ops = { .init = op_init };
    ops_attr_init(&ops);
    ops_file_init(&ops);
    ops_space_init(&ops);
    ops_name_init(&ops);
    ops_rename_init(&ops);
    ops_dir_init(&ops);
    ops_xattr_init(&ops);
    char             settings[256];
    char            *argv[] = { (char *)(uintptr_t) "chronos", (char *)(uintptr_t) "-o", settings, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    snprintf(settings, sizeof settings, "fsname=chronos,subtype=chronos,default_permissions%s%s%s%s%s",
             options->allow_other ? ",allow_other" : "", options->read_only ? ",ro" : "",
             options->no_exec ? ",noexec" : "", options->suid ? ",suid" : "", options->dev ? ",dev" : "");
    st = m->stop_fd >= 0 ? nodes_init(m) : chr_errno(errno, "prepare", "a mount");
    if (st == CHR_OK && !(m->mount_point = realpath(options->mount_point, NULL)))
        st = chr_errno(errno, "find", options->mount_point);
    if (st == CHR_OK && !(m->session = fuse_session_new(&args, &ops, sizeof ops, m)))
        st = chr_fail(CHR_IO, "cannot prepare a FUSE session");
    fuse_opt_free_args(&args);
    if (st == CHR_OK && !options->read_only && !m->remote) remove_leftovers(m);
    if (st == CHR_OK) st = invalidate_start(m);
    if (st == CHR_OK && m->remote) st = far_start(m);
    if (st != CHR_OK) goto stop;
    if (fuse_session_mount(m->session, m->mount_point) != 0) {
        st = chr_fail(CHR_INVALID, "cannot mount at %s: is /dev/fuse there, and may you mount?", options->mount_point);
        goto stop;
    }
    if (!device_at(m->mount_point, &m->device)) st = chr_errno(errno, "look at", m->mount_point);
    if (st == CHR_OK && !replies_prepare(m->session)) st = chr_nomem();
    if (st != CHR_OK) {
        fuse_session_unmount(m->session);
        goto stop;
    }
    int flags = fcntl(fuse_session_fd(m->session), F_GETFL);
    (void)fcntl(fuse_session_fd(m->session), F_SETFL, flags | O_NONBLOCK);
    m->wanted = threads_wanted();
    atomic_store(&m->running, m->wanted);
    atomic_store(&m->awake, m->wanted);
    for (; m->n_threads < m->wanted; m->n_threads++) {
        if (pthread_create(&m->threads[m->n_threads], NULL, loop, m) != 0) break;
        pthread_setname_np(m->threads[m->n_threads], "chr-fuse");
    }
    if (m->n_threads < m->wanted) {
        mount_stop(m);
        return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
    }
    log_line(LOG_INFO, "fs", "mounted", "path=%s", m->mount_point);
    *out = m;
    return CHR_OK;
stop:
    far_stop(m);
    invalidate_stop(m);
    mount_free(m);
    return st;
}

/* Who unmounts may have mounted something else at the path since, which is not ours to unmount. */
static bool is_in_place(const mount *m)
{
    dev_t         device;
    struct pollfd wait = { .fd = fuse_session_fd(m->session) };
    if (!device_at(m->mount_point, &device) || device != m->device) return false;
    if (poll(&wait, 1, 0) <= 0 || !(wait.revents & POLLERR)) return true;
    /* The connection has ended: another mount may have the number by now, or somebody had the kernel end it, and it stands there dead. */
    DIR *d = opendir(m->mount_point);
    bool dead = !d && errno == ENOTCONN;
    if (d) closedir(d);
    return dead;
}

/* Nothing is left to unmount, though libfuse cannot know: while somebody has a file open there, the kernel's end of the device lives.
 * It would unmount whatever is at the path by now, and complain. A pipe that nobody reads looks like a device that is gone. */
static void close_device(mount *m)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    close(ends[0]);
    (void)dup2(ends[1], fuse_session_fd(m->session));
    close(ends[1]);
}

void mount_stop(mount *m)
{
    atomic_store(&m->stopping, true);
    pthread_rwlock_rdlock(&m->barrier);
    pthread_mutex_lock(&m->mu);
    if (files_flush_all(m) != CHR_OK)
        log_line(LOG_ERROR, "fs", "not all that was written to open files reached the store", "reason=\"%s\"",
                 chr_message());
    pthread_mutex_unlock(&m->mu);
    pthread_rwlock_unlock(&m->barrier);
    /* Lazily, so that it also works while somebody is in there. */
    if (is_in_place(m)) (void)detach_mount(m->mount_point);
    uint64_t one = 1;
    ssize_t  ignored = write(m->stop_fd, &one, sizeof one); /* it cannot be full */
    (void)ignored;
    for (unsigned i = 0; i < m->n_threads; i++) pthread_join(m->threads[i], NULL);
    control_end(m);
    if (!m->remote) invalidate_stop(m);
    pthread_mutex_lock(&m->mu);
    (void)files_flush_all(m);
    pthread_mutex_unlock(&m->mu);
    if (!m->options.read_only && (!m->remote || m->next_unlinked)) remove_leftovers(m);
    if (m->remote) {
        far_stop(m);
        invalidate_stop(m);
    }
    close_device(m);
    fuse_session_unmount(m->session);
    mount_free(m);
}
