/* Opens what a server listens on, for each reactor: sockets of its own on a shared port (SO_REUSEPORT), and otherwise one that all
 * accept from. */
#include "net/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static chr_status split_address(const char *listen_at, char host[128], char port[16])
{
    const char *colon = strrchr(listen_at, ':'), *from = listen_at, *end = colon;
    if (colon && from[0] == '[' && end > from && end[-1] == ']') {
        from++;
        end--;
    }
    int64_t number;
    if (!colon || end - from >= 128 || strlen(colon + 1) >= 16 || !parse_int64(chr_str(colon + 1), &number) ||
        number < 0 || number > 65535)
        return chr_fail(CHR_INVALID, "%s is not an address to listen on; write ADDRESS:PORT, such as 127.0.0.1:8080",
                        listen_at);
    memcpy(host, from, (size_t)(end - from));
    host[end - from] = 0;
    strcpy(port, colon + 1);
    return CHR_OK;
}

static chr_status open_listener(const struct addrinfo *a, const char *listen_at, bool shared, int *out)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return chr_errno(errno, "listen on", listen_at);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *out = fd;
        return CHR_OK;
    }
    int error = errno;
    close(fd);
    if (error == EADDRINUSE)
        return chr_fail(CHR_INVALID, "%s is in use by another program; choose another port with --listen", listen_at);
    return chr_fail(CHR_INVALID, "cannot listen on %s: %s", listen_at, strerror(error));
}

/* What the socket is bound to: "HOST:PORT", with the host as it was given, or else as a number; "unix:PATH". */
static void note_address(door *d, int fd, const char *given)
{
    struct sockaddr_storage a = { 0 };
    socklen_t               len = sizeof a;
    char                    host[128] = "", port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family == AF_UNIX) {
        const struct sockaddr_un *path = (const struct sockaddr_un *)&a;
        snprintf(d->address, sizeof d->address, "unix:%s%s", path->sun_path[0] ? "" : "@",
                 path->sun_path + !path->sun_path[0]);
        return;
    }
    (void)getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    if (given) snprintf(host, sizeof host, "%s", given);
    snprintf(d->address, sizeof d->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* A socket file that nobody answers at was left by a server that is gone. */
static bool is_abandoned(const struct sockaddr_un *a)
{
    struct stat about;
    if (lstat(a->sun_path, &about) != 0 || !S_ISSOCK(about.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool refused = connect(fd, (const struct sockaddr *)a, sizeof *a) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* All reactors accept from `fd`, which was opened for the first. */
static chr_status share(server *s, size_t place, int fd)
{
    for (unsigned i = 0; i < s->n_reactors; i++) {
        int each = i == 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (each < 0) return chr_errno(errno, "listen on", s->doors[place].address);
        s->reactors[i].door_fds[place] = each;
    }
    return CHR_OK;
}

static chr_status listen_unix(server *s, size_t place, const char *path)
{
    door              *d = &s->doors[place];
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return chr_fail(CHR_INVALID, "unix:%s is not a path to listen on; it may have up to %zu bytes", path,
                        sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    if (is_abandoned(&a)) (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return chr_errno(errno, "listen on", path);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        if (error == EADDRINUSE)
            return chr_fail(CHR_INVALID, "%s is there already; stop the server that uses it, or remove it", path);
        return chr_fail(CHR_INVALID, "cannot listen on %s: %s", path, strerror(error));
    }
    snprintf(d->address, sizeof d->address, "unix:%s", path);
    d->socket_path = d->address + strlen("unix:");
    return share(s, place, fd);
}

static chr_status find(const char *host, const char *port, const char *at, struct addrinfo **found)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int             error = getaddrinfo(host[0] ? host : NULL, port, &hints, found);
    return error ? chr_fail(CHR_INVALID, "cannot listen on %s: %s", at, gai_strerror(error)) : CHR_OK;
}

/* The port must be free: one socket that is not shared proves it, before others share it. */
static chr_status listen_tcp(server *s, size_t place, const char *at)
{
    door            *d = &s->doors[place];
    char             host[128] = "", port[16] = "";
    struct addrinfo *found = NULL;
    int              probe = -1;
    chr_status       st = split_address(at, host, port);
    if (st == CHR_OK) st = find(host, port, at, &found);
    if (st == CHR_OK) st = open_listener(found, at, false, &probe);
    if (st == CHR_OK) note_address(d, probe, host);
    if (st == CHR_OK && d->tls) { /* few connections, and long ones */
        freeaddrinfo(found);
        return share(s, place, probe);
    }
    if (probe >= 0) close(probe);
    if (found) freeaddrinfo(found);
    found = NULL;
    if (st == CHR_OK) st = find(host, strrchr(d->address, ':') + 1, at, &found);
    for (unsigned i = 0; i < s->n_reactors && st == CHR_OK; i++)
        st = open_listener(found, at, true, &s->reactors[i].door_fds[place]);
    if (found) freeaddrinfo(found);
    return st;
}

/* A place for one more. NULL: there are too many. */
static chr_status add_door(server *s, bool with_tls, size_t *place)
{
    if (s->n_doors == SERVER_DOORS_MAX)
        return chr_fail(CHR_INVALID, "a server listens on at most %d addresses", SERVER_DOORS_MAX);
    *place = s->n_doors++;
    s->doors[*place].tls = with_tls ? s->tls : NULL;
    return CHR_OK;
}

static chr_status listen_at(server *s, const char *at, bool with_tls)
{
    size_t     place = 0;
    chr_status st = add_door(s, with_tls, &place);
    if (st != CHR_OK) return st;
    return strncmp(at, "unix:", 5) == 0 ? listen_unix(s, place, at + 5) : listen_tcp(s, place, at);
}

/* It was opened by somebody else, and is closed with the server. */
static chr_status listen_inherited(server *s, int fd, bool with_tls)
{
    size_t     place = 0;
    int        flags = fcntl(fd, F_GETFL);
    chr_status st = add_door(s, with_tls, &place);
    if (st != CHR_OK) return st;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return chr_errno(errno, "listen on", "a socket");
    note_address(&s->doors[place], fd, NULL);
    return share(s, place, fd);
}

chr_status server_listen(server *s)
{
    const server_options *o = &s->options;
    chr_status            st = CHR_OK;
    if (o->tls_certificate && o->tls_key) st = tls_open(o->tls_certificate, o->tls_key, &s->tls);
    for (size_t i = 0; i < o->n_inherited && st == CHR_OK; i++)
        st = listen_inherited(s, o->inherited[i].fd, o->inherited[i].tls);
    for (size_t i = 0; i < SERVER_DOORS_MAX && o->listen[i] && st == CHR_OK; i++)
        st = listen_at(s, o->listen[i], false);
    if (st == CHR_OK && o->tls_listen) st = listen_at(s, o->tls_listen, true);
    return st;
}
