#include "cli/precheck.h"

#include "cli/options.h"
#include "engine/names.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the data directory ---- */

/* The directory that `path` lies in. */
static void parent_of(const char *path, char *parent, size_t size)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    while (len && path[len - 1] != '/') len--;
    while (len > 1 && path[len - 1] == '/') len--;
    if (len == 0)
        snprintf(parent, size, ".");
    else
        snprintf(parent, size, "%.*s", (int)len, path);
}

static chr_status precheck_new_store(const char *dir)
{
    char        parent[PATH_MAX];
    struct stat st;
    parent_of(dir, parent, sizeof parent);
    if (stat(parent, &st) < 0)
        return chr_fail(CHR_INVALID, "cannot create the data directory %s: %s: %s; create that first", dir, parent,
                        strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return chr_fail(CHR_INVALID, "cannot create the data directory %s: %s is not a directory", dir, parent);
    if (access(parent, W_OK | X_OK) < 0)
        return chr_fail(CHR_INVALID, "cannot create the data directory %s: %s: %s; choose another with --dir", dir,
                        parent, strerror(errno));
    return CHR_OK;
}

/* Whether files of a store are in `dir`, and whether others are. */
static chr_status look_into(const char *dir, bool *store, bool *others)
{
    DIR *d = opendir(dir);
    if (!d) return chr_fail(CHR_INVALID, "cannot read the data directory %s: %s", dir, strerror(errno));
    *store = *others = false;
    for (struct dirent *e; (e = readdir(d));) {
        uint64_t no;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lost+found") == 0)
            continue;
        bool ours = strcmp(e->d_name, NAME_CURRENT) == 0 || strcmp(e->d_name, NAME_LOCK) == 0 ||
                    name_parse(e->d_name, &no) != FILE_OTHER;
        if (ours)
            *store = true;
        else
            *others = true;
    }
    closedir(d);
    return CHR_OK;
}

chr_status precheck_store(const char *dir, bool may_create)
{
    struct stat sb;
    bool        store = false, others = false;
    if (strlen(dir) >= PATH_MAX - NAME_MAX)
        return chr_fail(CHR_INVALID, "the path of the data directory is too long (%zu bytes)", strlen(dir));
    if (stat(dir, &sb) < 0) {
        if (errno == ENOENT && may_create) return precheck_new_store(dir);
        if (errno == ENOENT)
            return chr_fail(CHR_INVALID, "there is no data directory %s; say where it is with --dir", dir);
        return chr_fail(CHR_INVALID, "cannot use the data directory %s: %s", dir, strerror(errno));
    }
    if (!S_ISDIR(sb.st_mode)) return chr_fail(CHR_INVALID, "cannot use %s as data directory: it is a file", dir);
    if (access(dir, R_OK | X_OK | (may_create ? W_OK : 0)) < 0)
        return chr_fail(CHR_INVALID,
                        "cannot use the data directory %s: %s; change its owner or permissions, or choose "
                        "another",
                        dir, strerror(errno));

    chr_status st = look_into(dir, &store, &others);
    if (!chr_ok(st)) return st;
    if (!store && !may_create) return chr_fail(CHR_INVALID, "there is no store in %s; say where it is with --dir", dir);
    if (!store && others)
        return chr_fail(CHR_INVALID, "%s holds other files and no store; choose an empty directory or a new one", dir);
    return CHR_OK;
}

/* ---- the mount point ---- */

bool absolute_path(const char *path, char absolute[PATH_MAX])
{
    char here[PATH_MAX];
    if (*path == '/') return snprintf(absolute, PATH_MAX, "%s", path) < PATH_MAX;
    return getcwd(here, sizeof here) && snprintf(absolute, PATH_MAX, "%s/%s", here, path) < PATH_MAX;
}

/* Resolves links in `path`; its last parts need not exist yet. */
static bool resolve(const char *path, char resolved[PATH_MAX])
{
    char absolute[PATH_MAX];
    if (!absolute_path(path, absolute)) return false;
    for (size_t end = strlen(absolute); end > 0;) {
        char cut = absolute[end];
        absolute[end] = 0;
        bool found = realpath(absolute, resolved);
        absolute[end] = cut;
        if (found) {
            size_t len = strlen(resolved);
            return (size_t)snprintf(resolved + len, PATH_MAX - len, "%s", absolute + end) < PATH_MAX - len;
        }
        while (absolute[--end] != '/') continue;
    }
    return snprintf(resolved, PATH_MAX, "%s", absolute) < PATH_MAX;
}

static bool lies_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == 0 || path[len] == '/' || dir[len - 1] == '/');
}

chr_status precheck_mount_point(const char *path, const char *dir)
{
    struct stat sb;
    char        point[PATH_MAX], store[PATH_MAX];
    if (stat(path, &sb) < 0 && errno == ENOTCONN) return CHR_OK; /* its server died; the mount will be taken over */
    if (dir && resolve(path, point) && resolve(dir, store)) {
        if (lies_in(store, point))
            return chr_fail(CHR_INVALID, "cannot mount at %s: the data directory %s lies in it", path, dir);
        if (lies_in(point, store))
            return chr_fail(CHR_INVALID, "cannot mount at %s: it lies in the data directory %s", path, dir);
    }
    if (stat(path, &sb) < 0) {
        if (errno == ENOENT)
            return chr_fail(CHR_INVALID, "the mount point %s does not exist; create it with 'mkdir %s'", path, path);
        return chr_fail(CHR_INVALID, "cannot mount at %s: %s", path, strerror(errno));
    }
    if (!S_ISDIR(sb.st_mode)) return chr_fail(CHR_INVALID, "cannot mount at %s: it is not a directory", path);

    DIR *d = opendir(path);
    if (!d && errno == ENOTCONN) return CHR_OK; /* the kernel still had its attributes */
    if (!d) return chr_fail(CHR_INVALID, "cannot mount at %s: %s", path, strerror(errno));
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    if (!empty) return chr_fail(CHR_INVALID, "cannot mount at %s: it is not empty; choose an empty directory", path);
    return CHR_OK;
}

/* ---- the address ---- */

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static chr_status try_to_bind(const struct addrinfo *a, const char *address)
{
    int s = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return chr_fail(CHR_INVALID, "cannot listen on %s: %s", address, strerror(errno));
    int one = 1;
    int error = 0;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, a->ai_addr, a->ai_addrlen) < 0 || listen(s, 1) < 0) error = errno;
    close(s);
    switch (error) {
    case 0: return CHR_OK;
    case EADDRINUSE:
        return chr_fail(CHR_INVALID,
                        "cannot listen on %s: another program uses that port; choose another with --listen", address);
    case EADDRNOTAVAIL: return chr_fail(CHR_INVALID, "cannot listen on %s: this machine has no such address", address);
    case EACCES:
        return chr_fail(CHR_INVALID, "cannot listen on %s: that port is reserved; choose one from 1024 up", address);
    default: return chr_fail(CHR_INVALID, "cannot listen on %s: %s", address, strerror(error));
    }
}

static chr_status precheck_socket(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct stat        about;
    if (strlen(path) >= sizeof a.sun_path)
        return chr_fail(CHR_INVALID, "cannot listen on %s: the path of a socket has up to %zu bytes", path,
                        sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    if (lstat(path, &about) != 0) return CHR_OK;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return chr_errno(errno, "make", "a socket");
    bool used = !S_ISSOCK(about.st_mode) || connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    if (!used) return CHR_OK;
    return chr_fail(CHR_INVALID, "%s is there already; stop the server that uses it, or remove it", path);
}

chr_status precheck_listen(const char *address, bool allow_remote)
{
    char     host[256], service[8];
    uint16_t port;
    if (strncmp(address, "unix:", 5) == 0) return precheck_socket(address + 5);
    if (!parse_address(address, host, sizeof host, &port))
        return chr_fail(CHR_INVALID, "cannot listen on %s: that is not ADDR:PORT", address);
    snprintf(service, sizeof service, "%u", port);

    struct addrinfo  want = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int              error = getaddrinfo(*host ? host : NULL, service, &want, &found);
    if (error) return chr_fail(CHR_INVALID, "cannot listen on %s: %s", address, gai_strerror(error));
    assert(found);

    chr_status st = CHR_OK;
    for (const struct addrinfo *a = found; a && !allow_remote && chr_ok(st); a = a->ai_next)
        if (!is_loopback(a->ai_addr))
            st = chr_fail(CHR_INVALID,
                          "%s can be reached from other machines and nothing is encrypted; add "
                          "--allow-remote if that is what you want",
                          address);
    if (chr_ok(st)) st = try_to_bind(found, address);
    freeaddrinfo(found);
    return st;
}

chr_status precheck_socket_passed(int fd, bool allow_remote)
{
    struct sockaddr_storage a = { 0 };
    socklen_t               size = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &size) != 0) return chr_errno(errno, "ask about", "a socket");
    bool remote = (a.ss_family == AF_INET || a.ss_family == AF_INET6) && !is_loopback((struct sockaddr *)&a);
    if (!remote || allow_remote) return CHR_OK;
    return chr_fail(
        CHR_INVALID,
        "the socket passed as descriptor %d can be reached from other machines and nothing is encrypted; add "
        "--allow-remote if that is what you want",
        fd);
}
