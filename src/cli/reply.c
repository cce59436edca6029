#include "cli/reply.h"

#include "cli/show.h"

#include <hiredis/sds.h>
#include <openssl/evp.h>
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

/* ---- JSON ---- */

static bool is_text(slice s)
{
    uint32_t code;
    while (s.len) {
        size_t n = utf8_length(s, &code);
        if (!n) return false;
        s = slice_from(s, n);
    }
    return true;
}

static bool append_base64(buf *to, slice bytes)
{
    if (!buf_reserve(to, (bytes.len + 2) / 3 * 4 + 1)) return false; /* it adds a NUL */
    to->len +=
        (size_t)EVP_EncodeBlock((unsigned char *)to->data + to->len, (const unsigned char *)bytes.data, (int)bytes.len);
    return true;
}

static bool append_json_string(buf *to, slice text)
{
    if (!is_text(text)) return buf_printf(to, "{\"base64\":\"") && append_base64(to, text) && buf_append(to, "\"}", 2);
    bool ok = buf_append_byte(to, '"');
    for (size_t i = 0; i < text.len && ok; i++) {
        char c = text.data[i];
        if (c == '"' || c == '\\')
            ok = buf_printf(to, "\\%c", c);
        else if ((uint8_t)c < 0x20 || c == 0x7f)
            ok = c == '\n' ? buf_append(to, "\\n", 2) : buf_printf(to, "\\u%04x", (unsigned)c);
        else
            ok = buf_append_byte(to, (uint8_t)c);
    }
    return ok && buf_append_byte(to, '"');
}

static bool append_json(buf *to, const redisReply *reply)
{
    bool ok = true;
    switch (reply->type) {
    case REDIS_REPLY_INTEGER: return buf_printf(to, "%lld", reply->integer);
    case REDIS_REPLY_NIL: return buf_append(to, "null", 4);
    case REDIS_REPLY_ERROR:
        return buf_printf(to, "{\"error\":") && append_json_string(to, chr_bytes(reply->str, reply->len)) &&
               buf_append_byte(to, '}');
    case REDIS_REPLY_ARRAY:
        ok = buf_append_byte(to, '[');
        for (size_t i = 0; i < reply->elements && ok; i++)
            ok = (i == 0 || buf_append_byte(to, ',')) && append_json(to, reply->element[i]);
        return ok && buf_append_byte(to, ']');
    default: return append_json_string(to, chr_bytes(reply->str, reply->len));
    }
}

bool reply_append_json(buf *to, const redisReply *reply) { return append_json(to, reply) && buf_append_byte(to, '\n'); }
