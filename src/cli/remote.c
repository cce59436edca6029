#include "cli/remote.h"

#include "cli/show.h"
#include "cli/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_S = 5 };

/* ---- who one is ---- */

/* Its first line, without the end. */
static char *read_password(const char *path)
{
    char  *line = NULL;
    size_t room = 0;
    errno = 0;
    FILE   *f = fopen(path, "re");
    ssize_t n = f ? getline(&line, &room, f) : -1;
    if (n < 0) {
        complain("cannot read a password from %s: %s", path, errno ? strerror(errno) : "it is empty");
        free(line);
        line = NULL;
    } else {
        line[strcspn(line, "\r\n")] = 0;
    }
    if (f) fclose(f);
    return line;
}

/* From the terminal, which shows nothing of it. */
static char *ask_for_password(const char *user)
{
    struct termios before, silent;
    char          *line = NULL;
    size_t         room = 0;
    FILE          *terminal = fopen("/dev/tty", "r+e");
    if (!terminal || tcgetattr(fileno(terminal), &before) != 0) {
        complain(
            "there is no terminal to ask for the password of %s; give --password-file, or CHRONOS_AUTH=NAME:PASSWORD "
            "in the environment",
            user);
        if (terminal) fclose(terminal);
        return NULL;
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ECHONL;
    fprintf(terminal, "Password of %s: ", user);
    fflush(terminal);
    tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
    ssize_t n = getline(&line, &room, terminal);
    tcsetattr(fileno(terminal), TCSAFLUSH, &before);
    fclose(terminal);
    if (n < 0) {
        complain("no password was given");
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

/* What was asked for is kept, for when the connection must be made anew. False: complained. */
static bool find_password(const peer_options *server, const char **user, const char **password, const char **source)
{
    static char *kept;
    *user = server->user ? server->user : "default";
    *source = server->password_file;
    if (kept || server->user || server->password_file) {
        if (!kept) kept = server->password_file ? read_password(server->password_file) : ask_for_password(*user);
        if (!*source) *source = "the password";
        *password = kept;
        return kept != NULL;
    }
    static char *name;
    const char  *who = getenv("CHRONOS_AUTH"), *colon = who ? strchr(who, ':') : NULL;
    *password = NULL;
    if (!who) return true;
    if (!colon) {
        complain("CHRONOS_AUTH is not NAME:PASSWORD");
        return false;
    }
    if (!name) name = strndup(who, (size_t)(colon - who));
    *user = name;
    *password = colon + 1;
    *source = "CHRONOS_AUTH";
    return true;
}

static bool authenticate(redisContext *c, const peer_options *server)
{
    const char *user, *password, *source;
    if (!find_password(server, &user, &password, &source)) return false;
    if (!password) return true;
    redisReply *reply = redisCommand(c, "AUTH %s %s", user, password);
    bool        ok = reply && reply->type != REDIS_REPLY_ERROR;
    if (!ok) complain("the server refused %s: %s", source, reply ? reply->str : c->errstr);
    freeReplyObject(reply);
    return ok;
}

/* ---- where it is ---- */

redisContext *remote_connect(const peer_options *server)
{
    const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
    bool                 is_file = strncmp(server->host, "unix:", 5) == 0;
    redisContext        *c = is_file ? redisConnectUnixWithTimeout(server->host + 5, timeout)
                                     : redisConnectWithTimeout(server->host, (int)server->port, timeout);
    if (!c || c->err) {
        complain("cannot connect to %s port %llu: %s; is 'chronos serve' running there?", server->host,
                 (unsigned long long)server->port, c ? c->errstr : "not enough memory");
        if (c) redisFree(c);
        return NULL;
    }
    if (server->tls || server->tls_ca) c = tunnel_through(c, server->host, server->tls_ca);
    if (c && authenticate(c, server)) return c;
    if (c) redisFree(c);
    return NULL;
}

chr_status remote_text(redisContext *c, const char *word, const char *argument, redisReply **out)
{
    redisReply *reply = argument ? redisCommand(c, "%s %s", word, argument) : redisCommand(c, "%s", word);
    chr_status  st = CHR_OK;
    if (!reply)
        st = chr_fail(CHR_IO, "lost the connection to the server before its answer: %s", c->errstr);
    else if (reply->type == REDIS_REPLY_ERROR)
        st = chr_fail(CHR_INVALID, "the server refused %s: %s", word, reply->str);
    else if (!reply->str)
        st = chr_fail(CHR_INVALID, "the server did not answer %s with text", word);
    if (!chr_ok(st)) {
        freeReplyObject(reply);
        reply = NULL;
    }
    *out = reply;
    return st;
}

double info_number(const char *info, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = info; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ':') return strtod(line + len + 1, NULL);
    }
    return 0;
}
