#include "cli/mount_address.h"

#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMEOUT_S = 10, AUTH_LINE_MAX = 512 };

bool is_server_address(const char *text)
{
    char     host[256];
    uint16_t port;
    if (access(text, F_OK) == 0) return false;
    if (strncmp(text, "unix:", 5) == 0) return true;
    return !strchr(text, '/') && parse_address(text, host, sizeof host, &port);
}

static chr_status set_path(slice path, char *to, size_t size, const char *what)
{
    if (path.len >= size) return chr_fail(CHR_INVALID, "the path of %s is too long", what);
    memcpy(to, path.data, path.len);
    to[path.len] = 0;
    return CHR_OK;
}

/* NAME:PASSWORD */
static chr_status set_who(const char *line, const char *from, remote_options *to)
{
    const char *colon = strchr(line, ':');
    if (!colon || colon == line || !colon[1] || (size_t)(colon - line) >= sizeof to->user ||
        strlen(colon + 1) >= sizeof to->password)
        return chr_fail(CHR_INVALID, "%s does not hold NAME:PASSWORD", from);
    memcpy(to->user, line, (size_t)(colon - line));
    to->user[colon - line] = 0;
    strcpy(to->password, colon + 1);
    return CHR_OK;
}

static chr_status read_who(const char *path, remote_options *to)
{
    char        line[AUTH_LINE_MAX] = "";
    struct stat about;
    FILE       *f = fopen(path, "re");
    if (!f) return chr_fail(CHR_INVALID, "cannot read %s: %s", path, strerror(errno));
    bool open_to_all = fstat(fileno(f), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077);
    bool got = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    line[strcspn(line, "\r\n")] = 0;
    chr_status st = open_to_all
                        ? chr_fail(CHR_INVALID, "others may read the password in %s; do 'chmod 600 %s'", path, path)
                    : got ? set_who(line, path, to)
                          : chr_fail(CHR_INVALID, "%s is empty; it is to hold NAME:PASSWORD", path);
    explicit_bzero(line, sizeof line);
    return st;
}

chr_status mount_address(const char *text, const mount_options *options, remote_options *to)
{
    uint16_t    port = 0;
    char        auth[sizeof to->tls_ca] = "";
    const char *who = getenv("CHRONOS_AUTH");
    chr_status  st = CHR_OK;
    *to = (remote_options){ .tls = options->far.tls };
    to->timeout_ms = 1000 * (options->far.timeout_s ? options->far.timeout_s : TIMEOUT_S);
    if (strncmp(text, "unix:", 5) == 0)
        st = set_path(chr_str(text + 5), to->path, sizeof to->path, "the socket");
    else if (!parse_address(text, to->host, sizeof to->host, &port))
        st = chr_fail(CHR_INVALID, "%s is not HOST:PORT", text);
    if (!*to->host) strcpy(to->host, "localhost");
    snprintf(to->port, sizeof to->port, "%u", port);
    if (chr_ok(st) && to->tls && *to->path)
        st = chr_fail(CHR_INVALID, "there is no TLS on a socket file; leave out the mount options tls and tls-ca");
    if (chr_ok(st)) st = set_path(options->far.tls_ca, to->tls_ca, sizeof to->tls_ca, "tls-ca");
    if (chr_ok(st)) st = set_path(options->far.auth, auth, sizeof auth, "auth");
    if (chr_ok(st) && *auth)
        st = read_who(auth, to);
    else if (chr_ok(st) && who)
        st = set_who(who, "CHRONOS_AUTH", to);
    return st;
}
