#include "cli/remote.h"

#include "cli/show.h"

#include <stdlib.h>

enum { CONNECT_TIMEOUT_S = 5 };

static bool authenticate(redisContext *c)
{
    const char *who = getenv("CHRONOS_AUTH"), *colon = who ? strchr(who, ':') : NULL;
    if (!who) return true;
    if (!colon) {
        complain("CHRONOS_AUTH is not NAME:PASSWORD");
        return false;
    }
    redisReply *reply = redisCommand(c, "AUTH %b %b", who, (size_t)(colon - who), colon + 1, (size_t)strlen(colon + 1));
    bool        ok = reply && reply->type != REDIS_REPLY_ERROR;
    if (!ok) complain("the server refused CHRONOS_AUTH: %s", reply ? reply->str : c->errstr);
    freeReplyObject(reply);
    return ok;
}

redisContext *remote_connect(const cli_options *server)
{
    const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
    redisContext        *c = strncmp(server->host, "unix:", 5) == 0
                                 ? redisConnectUnixWithTimeout(server->host + 5, timeout)
                                 : redisConnectWithTimeout(server->host, (int)server->port, timeout);
    if (c && !c->err) {
        if (authenticate(c)) return c;
    } else {
        complain("cannot connect to %s port %llu: %s; is 'chronos serve' running there?", server->host,
                 (unsigned long long)server->port, c ? c->errstr : "not enough memory");
    }
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
