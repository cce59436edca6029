#include "cli/systemd.h"

#include "base/log.h"
#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

/* A number in the environment; 0: there is none. */
static uint64_t env_number(const char *name)
{
    const char *text = getenv(name);
    char       *end;
    if (!text || *text < '0' || *text > '9') return 0;
    uint64_t number = strtoull(text, &end, 10);
    return *end ? 0 : number;
}

/* ---- sockets ---- */

static chr_status take_socket(server_options *o, int fd, slice name)
{
    int       listens = 0, type = 0;
    socklen_t size = sizeof listens, type_size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_STREAM ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return chr_fail(CHR_INVALID,
                        "descriptor %d, passed by systemd, is no stream socket that listens; the socket unit wants "
                        "ListenStream= and Accept=no",
                        fd);
    o->inherited[o->n_inherited].fd = fd;
    o->inherited[o->n_inherited++].tls = slice_equal(name, chr_str("tls"));
    return CHR_OK;
}

chr_status systemd_sockets(server_options *o)
{
    uint64_t    n = env_number("LISTEN_FDS"), pid = env_number("LISTEN_PID");
    const char *names = getenv("LISTEN_FDNAMES");
    chr_status  st = CHR_OK;
    if (n == 0 || pid != (uint64_t)getpid()) return CHR_OK; /* for somebody else */
    if (n > SERVER_DOORS_MAX)
        return chr_fail(CHR_INVALID, "systemd passes %llu sockets; there can be %d", (unsigned long long)n,
                        SERVER_DOORS_MAX);
    for (int i = 0; i < (int)n && chr_ok(st); i++) {
        slice name = names ? chr_bytes(names, strcspn(names, ":")) : chr_bytes("", 0);
        st = take_socket(o, FIRST_FD + i, name);
        if (names) names += name.len + (names[name.len] == ':');
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    return st;
}

/* ---- how it is ---- */

void systemd_notify(const char *state)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    const char        *path = getenv("NOTIFY_SOCKET");
    size_t             len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof a.sun_path || (*path != '/' && *path != '@')) return;
    memcpy(a.sun_path, path, len);
    if (*path == '@') a.sun_path[0] = 0; /* an abstract one, whose name ends with the address */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        log_line(LOG_WARN, "serve", "systemd could not be told", "state=%s error=%s", state, strerror(errno));
    if (fd >= 0) close(fd);
}

struct watchdog {
    pthread_mutex_t mu;
    pthread_cond_t  stopped;
    bool            stop; /* mu */
    server         *srv;
    uint64_t        period_us;
    pthread_t       thread;
};

static void *watch(void *arg)
{
    watchdog       *w = arg;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&w->mu);
    while (!w->stop) {
        uint64_t ns = (uint64_t)next.tv_nsec + w->period_us % 1000000 * 1000;
        next.tv_sec += (time_t)(w->period_us / 1000000 + ns / 1000000000);
        next.tv_nsec = (long)(ns % 1000000000);
        while (!w->stop && pthread_cond_timedwait(&w->stopped, &w->mu, &next) == 0) continue;
        if (!w->stop && server_breathes(w->srv)) systemd_notify("WATCHDOG=1");
    }
    pthread_mutex_unlock(&w->mu);
    return NULL;
}

chr_status watchdog_start(server *srv, watchdog **out)
{
    uint64_t           limit = env_number("WATCHDOG_USEC"), pid = env_number("WATCHDOG_PID");
    pthread_condattr_t clock;
    *out = NULL;
    if (limit < 2 || (pid && pid != (uint64_t)getpid())) return CHR_OK;
    watchdog *w = calloc(1, sizeof *w);
    if (!w) return chr_nomem();
    w->srv = srv;
    w->period_us = limit / 3 + 1; /* one that was missed is made up for by the next */
    pthread_mutex_init(&w->mu, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->stopped, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&w->thread, NULL, watch, w) != 0) {
        pthread_cond_destroy(&w->stopped);
        pthread_mutex_destroy(&w->mu);
        free(w);
        return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
    }
    *out = w;
    return CHR_OK;
}

void watchdog_stop(watchdog *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->mu);
    w->stop = true;
    pthread_cond_signal(&w->stopped);
    pthread_mutex_unlock(&w->mu);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->stopped);
    pthread_mutex_destroy(&w->mu);
    free(w);
}
