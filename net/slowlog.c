#include "net/slowlog.h"

#include "net/secrets.h"
#include "net/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* As Redis cuts them. */
enum { SLOW_ARGS = 32, SLOW_BYTES = 128, SHOWN_AT_ONCE = 10 };

struct slow_entry {
    slow_entry *older;
    uint64_t    id;
    int64_t     at_s, us;
    size_t      n;
    buf         args; /* each sized */
    char        address[64];
    buf         name;
};

static void entry_free(slow_entry *e)
{
    chr_buf_free(&e->args);
    chr_buf_free(&e->name);
    free(e);
}

static void free_all(slow_entry *e)
{
    for (slow_entry *older; e; e = older) {
        older = e->older;
        entry_free(e);
    }
}

void slowlog_init(slowlog *l) { pthread_mutex_init(&l->mu, NULL); }
void slowlog_free(slowlog *l)
{
    slowlog_trim(l, 0);
    pthread_mutex_destroy(&l->mu);
}

static bool keep_argument(buf *args, slice arg)
{
    char tail[64];
    if (arg.len <= SLOW_BYTES) return buf_append_sized(args, arg);
    size_t more = (size_t)snprintf(tail, sizeof tail, "... (%zu more bytes)", arg.len - SLOW_BYTES);
    return buf_append_varint(args, SLOW_BYTES + more) && buf_append(args, arg.data, SLOW_BYTES) &&
           buf_append(args, tail, more);
}

static bool keep_arguments(slow_entry *e, const request *r)
{
    char tail[64];
    e->n = r->n < SLOW_ARGS ? r->n : SLOW_ARGS;
    for (size_t i = 0; i < e->n; i++) {
        slice arg = secrets_shown(r, i);
        if (r->n > SLOW_ARGS && i == SLOW_ARGS - 1) {
            snprintf(tail, sizeof tail, "... (%zu more arguments)", r->n - SLOW_ARGS + 1);
            arg = chr_str(tail);
        }
        if (!keep_argument(&e->args, arg)) return false;
    }
    return true;
}

void slowlog_add(slowlog *l, const request *r, uint64_t ns)
{
    size_t max = (size_t)atomic_load(&r->server->settings.slow_max);
    if (max == 0 || r->command->flags & CMD_NOT_SLOW) return;
    slow_entry *e = calloc(1, sizeof *e);
    if (!e) return;
    e->at_s = store_now_ms(r->store) / 1000;
    e->us = (int64_t)(ns / 1000);
    snprintf(e->address, sizeof e->address, "%s", r->session->address);
    if (!keep_arguments(e, r) || !buf_set(&e->name, buf_slice(&r->session->name))) {
        entry_free(e);
        return;
    }
    pthread_mutex_lock(&l->mu);
    e->id = l->next_id++;
    e->older = l->newest;
    l->newest = e;
    l->n++;
    bool full = l->n > max;
    pthread_mutex_unlock(&l->mu);
    if (full) slowlog_trim(l, max);
}

void slowlog_trim(slowlog *l, size_t max)
{
    slow_entry *gone = NULL;
    pthread_mutex_lock(&l->mu);
    if (l->n > max) {
        slow_entry **end = &l->newest;
        for (size_t i = 0; i < max; i++) end = &(*end)->older;
        gone = *end;
        *end = NULL;
        l->n = max;
    }
    pthread_mutex_unlock(&l->mu);
    free_all(gone);
}

static void reply_entry(request *r, const slow_entry *e)
{
    reply_array(r, 6);
    reply_integer(r, (int64_t)e->id);
    reply_integer(r, e->at_s);
    reply_integer(r, e->us);
    reply_array(r, e->n);
    for (reader left = reader_of(buf_slice(&e->args)); reader_left(&left);) reply_value(r, read_sized(&left));
    reply_value(r, chr_str(e->address));
    reply_value(r, chr_bytes(e->name.data ? e->name.data : "", e->name.len));
}

static void slowlog_get(request *r, slowlog *l)
{
    int64_t count = SHOWN_AT_ONCE;
    if (r->n > 3) {
        reply_error(r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                    (int)r->args[1].len, r->args[1].data);
        return;
    }
    if (r->n == 3 && (!parse_int64(r->args[2], &count) || count < -1)) {
        reply_error(r, "ERR count should be greater than or equal to -1");
        return;
    }
    pthread_mutex_lock(&l->mu);
    if (count < 0 || (size_t)count > l->n) count = (int64_t)l->n;
    reply_array(r, (size_t)count);
    for (const slow_entry *e = l->newest; e && count > 0; e = e->older, count--) reply_entry(r, e);
    pthread_mutex_unlock(&l->mu);
}

const subcommand slowlog_subcommands[] = {
    { "get", -2, CMD_ADMIN, 0, 0 },  { "help", 2, 0, 0, 0 }, { "len", 2, CMD_ADMIN, 0, 0 },
    { "reset", 2, CMD_ADMIN, 0, 0 }, { NULL, 0, 0, 0, 0 },
};

void cmd_slowlog(request *r)
{
    static const char *const help[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    enum { GET, HELP, LEN, RESET };
    slowlog *l = &r->server->slowlog;
    switch (find_subcommand(r)) {
    case GET: slowlog_get(r, l); break;
    case HELP: reply_help(r, help); break;
    case LEN:
        pthread_mutex_lock(&l->mu);
        size_t n = l->n;
        pthread_mutex_unlock(&l->mu);
        reply_integer(r, (int64_t)n);
        break;
    case RESET:
        slowlog_trim(l, 0);
        reply_ok(r);
        break;
    default: break; /* answered */
    }
}
