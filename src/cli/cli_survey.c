/* chronos cli --bigkeys and --stat: what is in a server, and what it does. */
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BIGGEST = 10, HEAD_EVERY = 20 };

/* ---- --bigkeys ---- */

typedef struct found {
    char  *key; /* escaped, with a NUL */
    double bytes;
} found;

typedef struct survey {
    found  biggest[BIGGEST]; /* first the biggest */
    double keys, key_bytes, value_bytes;
} survey;

/* False: no memory. */
static bool note_key(survey *s, slice key, double bytes)
{
    size_t at = BIGGEST;
    buf    shown = { 0 };
    s->keys++;
    s->key_bytes += (double)key.len;
    s->value_bytes += bytes;
    while (at > 0 && (!s->biggest[at - 1].key || s->biggest[at - 1].bytes < bytes)) at--;
    if (at == BIGGEST) return true;
    if (!append_escaped(&shown, key) || !buf_append_byte(&shown, 0)) {
        chr_buf_free(&shown);
        return false;
    }
    free(s->biggest[BIGGEST - 1].key);
    memmove(&s->biggest[at + 1], &s->biggest[at], (BIGGEST - 1 - at) * sizeof *s->biggest);
    s->biggest[at] = (found){ shown.data, bytes };
    return true;
}

static redisReply *next_reply(client *c)
{
    redisReply *reply = NULL;
    if (redisGetReply(c->connection, (void **)&reply) == REDIS_OK) return reply;
    complain("lost the connection to the server: %s", c->connection->errstr);
    return NULL;
}

/* The sizes of keys, asked for together. False: complained. A key that has gone has no size, and one of another type an error. */
static bool measure(client *c, survey *s, const redisReply *keys)
{
    for (size_t i = 0; i < keys->elements; i++)
        if (redisAppendCommand(c->connection, "STRLEN %b", keys->element[i]->str, (size_t)keys->element[i]->len) !=
            REDIS_OK) {
            complain("not enough memory");
            return false;
        }
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *length = next_reply(c);
        if (!length) return false;
        bool ok = length->type != REDIS_REPLY_INTEGER ||
                  note_key(s, chr_bytes(keys->element[i]->str, keys->element[i]->len), (double)length->integer);
        freeReplyObject(length);
        if (!ok) {
            complain("not enough memory");
            return false;
        }
    }
    return true;
}

static bool walk(client *c, survey *s)
{
    char cursor[32] = "0";
    do {
        redisReply *reply = redisCommand(c->connection, "SCAN %s COUNT 1000", cursor);
        bool        ok =
            reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->len < sizeof cursor;
        if (!ok)
            complain("the server does not list its keys: %s", reply && reply->str ? reply->str : c->connection->errstr);
        else
            strcpy(cursor, reply->element[0]->str);
        ok = ok && measure(c, s, reply->element[1]);
        freeReplyObject(reply);
        if (!ok) return false;
    } while (strcmp(cursor, "0") != 0);
    return true;
}

static bool describe(buf *text, const survey *s)
{
    bool ok = buf_printf(text, "%.0f key%s: ", s->keys, s->keys == 1 ? "" : "s") && append_size(text, s->key_bytes) &&
              buf_printf(text, " of keys, ") && append_size(text, s->value_bytes) && buf_printf(text, " of values");
    if (s->keys > 0)
        ok = ok && buf_printf(text, ", ") && append_size(text, s->value_bytes / s->keys) &&
             buf_printf(text, " on average");
    ok = ok && buf_append_byte(text, '\n');
    for (size_t i = 0; i < BIGGEST && s->biggest[i].key && ok; i++) {
        size_t from = text->len;
        ok = append_size(text, s->biggest[i].bytes) &&
             buf_printf(text, "%*s%s\n", (int)(from + 12 > text->len ? from + 12 - text->len : 1), "",
                        s->biggest[i].key);
    }
    return ok;
}

int run_bigkeys(client *c)
{
    survey s = { 0 };
    buf    text = { 0 };
    int    status = EXIT_FAILED;
    if (client_connect(c) && walk(c, &s))
        status = describe(&text, &s) ? print_bytes(buf_slice(&text)) : complain("not enough memory");
    for (size_t i = 0; i < BIGGEST; i++) free(s.biggest[i].key);
    chr_buf_free(&text);
    return status;
}

/* ---- --stat ---- */

static bool append_cell(buf *to, size_t width, bool (*append)(buf *, double), double value)
{
    size_t from = to->len;
    if (!append(to, value)) return false;
    size_t wide = to->len - from;
    return wide >= width || buf_printf(to, "%*s", (int)(width - wide), "");
}

static bool append_stat(buf *to, const char *info, double before)
{
    const char *db = strstr(info, "db0:keys=");
    double      done = info_number(info, "total_commands_processed");
    return append_cell(to, 10, append_count, db ? strtod(db + strlen("db0:keys="), NULL) : 0) &&
           append_cell(to, 12, append_size, info_number(info, "used_memory")) &&
           append_cell(to, 10, append_count, info_number(info, "connected_clients")) &&
           append_cell(to, 12, append_count, before < 0 ? 0 : done - before) &&
           append_cell(to, 0, append_count, done) && buf_append_byte(to, '\n');
}

int run_stat(client *c)
{
    int    status = EXIT_DONE;
    double before = -1;
    if (!client_connect(c)) return EXIT_FAILED;
    for (size_t i = 0; status == EXIT_DONE; i++) {
        buf         text = { 0 };
        redisReply *info;
        if (!chr_ok(remote_text(c->connection, "INFO", NULL, &info))) return complain("%s", chr_message());
        bool ok = (i % HEAD_EVERY || buf_printf(&text, "%-10s%-12s%-10s%-12s%s\n", "keys", "memory", "clients",
                                                "commands/s", "commands")) &&
                  append_stat(&text, info->str, before);
        before = info_number(info->str, "total_commands_processed");
        freeReplyObject(info);
        status = ok ? print_bytes(buf_slice(&text)) : complain("not enough memory");
        chr_buf_free(&text);
        (void)nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
    }
    return status;
}
