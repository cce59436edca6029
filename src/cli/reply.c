#include "cli/reply.h"

#include <hiredis/sds.h>
#include <stdio.h>

static bool append_quoted(buf *to, slice text)
{
    sds  quoted = sdscatrepr(sdsempty(), text.data, text.len);
    bool ok = quoted && buf_append(to, quoted, sdslen(quoted));
    sdsfree(quoted);
    return ok;
}

static bool append_pretty(buf *to, const redisReply *reply, size_t indent);

/* Each item has its number before it; an item that is a list begins on the line of its number. */
static bool append_list(buf *to, const redisReply *reply, size_t indent)
{
    if (reply->elements == 0) return buf_printf(to, "(empty array)\n");
    int  width = snprintf(NULL, 0, "%zu", reply->elements);
    bool ok = true;
    for (size_t i = 0; i < reply->elements && ok; i++) {
        if (i) ok = buf_printf(to, "%*s", (int)indent, "");
        ok = ok && buf_printf(to, "%*zu) ", width, i + 1) &&
             append_pretty(to, reply->element[i], indent + (size_t)width + 2);
    }
    return ok;
}

/* hiredis bounds how deep lists may lie in lists. */
static bool append_pretty(buf *to, const redisReply *reply, size_t indent)
{
    switch (reply->type) {
    case REDIS_REPLY_ERROR: return buf_printf(to, "(error) %s\n", reply->str);
    case REDIS_REPLY_INTEGER: return buf_printf(to, "(integer) %lld\n", reply->integer);
    case REDIS_REPLY_NIL: return buf_printf(to, "(nil)\n");
    case REDIS_REPLY_ARRAY: return append_list(to, reply, indent);
    case REDIS_REPLY_STATUS: return buf_append(to, reply->str, reply->len) && buf_append_byte(to, '\n');
    default: return append_quoted(to, chr_bytes(reply->str, reply->len)) && buf_append_byte(to, '\n');
    }
}

bool reply_append_pretty(buf *to, const redisReply *reply) { return append_pretty(to, reply, 0); }

bool reply_append_plain(buf *to, const redisReply *reply)
{
    bool ok = true;
    switch (reply->type) {
    case REDIS_REPLY_INTEGER: return buf_printf(to, "%lld\n", reply->integer);
    case REDIS_REPLY_NIL: return buf_append_byte(to, '\n');
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements && ok; i++) ok = reply_append_plain(to, reply->element[i]);
        return ok;
    default: return buf_append(to, reply->str, reply->len) && buf_append_byte(to, '\n');
    }
}
