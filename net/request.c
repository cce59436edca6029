#include "net/request.h"

#include "net/calls.h"
#include "net/server_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static void put(request *r, const void *data, size_t len)
{
    if (!buf_append(r->out, data, len)) r->no_memory = true;
}
static void put_text(request *r, const char *text) { put(r, text, strlen(text)); }

static void put_number(request *r, char type, int64_t value)
{
    char     text[32], *end = text + sizeof text, *at = end;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    *--at = '\n';
    *--at = '\r';
    do *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0) *--at = '-';
    *--at = type;
    put(r, at, (size_t)(end - at));
}

void reply_text(request *r, const char *text)
{
    if (!request_is_line(r)) put(r, "+", 1);
    put_text(r, text);
    put_text(r, request_is_line(r) ? "\n" : "\r\n");
}
void reply_ok(request *r) { reply_text(r, "OK"); }

void reply_integer(request *r, int64_t value)
{
    char text[32];
    if (!request_is_line(r)) {
        put_number(r, ':', value);
        return;
    }
    put(r, text, (size_t)snprintf(text, sizeof text, "%" PRId64 "\n", value));
}

void reply_value(request *r, slice value)
{
    bool line = request_is_line(r);
    if (!line) put_number(r, '$', (int64_t)value.len);
    put(r, value.data, value.len);
    put_text(r, line ? "\n" : "\r\n");
}

void reply_verbatim(request *r, slice text)
{
    if (request_is_line(r) || r->session->resp < 3) {
        reply_value(r, text);
        return;
    }
    put_number(r, '=', (int64_t)text.len + 4);
    put_text(r, "txt:");
    put(r, text.data, text.len);
    put_text(r, "\r\n");
}

void reply_null(request *r)
{
    put_text(r, request_is_line(r) ? "NULL\n" : r->session->resp >= 3 ? "_\r\n" : "$-1\r\n");
}

void reply_null_array(request *r)
{
    if (request_is_line(r) || r->session->resp >= 3)
        reply_null(r);
    else
        put_text(r, "*-1\r\n");
}

void reply_array(request *r, size_t n)
{
    if (!request_is_line(r)) put_number(r, '*', (int64_t)n);
}
void reply_set(request *r, size_t n)
{
    if (!request_is_line(r)) put_number(r, r->session->resp >= 3 ? '~' : '*', (int64_t)n);
}
void reply_push(request *r, size_t n)
{
    if (!request_is_line(r)) put_number(r, r->session->resp >= 3 ? '>' : '*', (int64_t)n);
}
void reply_map(request *r, size_t n)
{
    if (request_is_line(r)) return;
    if (r->session->resp >= 3)
        put_number(r, '%', (int64_t)n);
    else
        put_number(r, '*', 2 * (int64_t)n);
}

void reply_error(request *r, const char *format, ...)
{
    char    text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t n = strlen(text); n > 0 && (text[n - 1] == '\r' || text[n - 1] == '\n');) text[--n] = 0;
    for (char *p = text; *p; p++)
        if (*p == '\r' || *p == '\n') *p = ' '; /* an error is one line */
    r->failed = true;
    if (r->server) calls_note_error(r->server, text);
    if (!request_is_line(r)) put(r, "-", 1);
    put_text(r, text);
    put_text(r, request_is_line(r) ? "\n" : "\r\n");
}

void reply_wrong_arity(request *r)
{
    reply_error(r, "ERR wrong number of arguments for '%s' command", r->command->name);
}

void reply_status(request *r, chr_status st)
{
    switch (st) {
    case CHR_NO_SPACE: reply_error(r, "ERR the disk is full, nothing was changed: %s", chr_message()); return;
    case CHR_NO_MEMORY: reply_error(r, "OOM out of memory"); return;
    case CHR_READ_ONLY: reply_error(r, "READONLY %s", chr_message()); return;
    default: reply_error(r, "ERR %s", chr_message()); return;
    }
}

bool argument_is(slice arg, const char *word)
{
    return arg.len == strlen(word) && strncasecmp(arg.data, word, arg.len) == 0;
}

static void upper_case(const char *name, char upper[32])
{
    size_t i = 0;
    for (; name[i] && i < 31; i++) upper[i] = (char)toupper((unsigned char)name[i]);
    upper[i] = 0;
}

void reply_help(request *r, const char *const *lines)
{
    char   name[32], first[128];
    size_t n = 0;
    while (lines[n]) n++;
    upper_case(r->command->name, name);
    snprintf(first, sizeof first, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_array(r, n + 3);
    reply_text(r, first);
    for (size_t i = 0; i < n; i++) reply_text(r, lines[i]);
    reply_text(r, "HELP");
    reply_text(r, "    Prints this help.");
}

int find_subcommand(request *r)
{
    char              name[32];
    slice             what = r->args[1];
    const subcommand *found = subcommand_find(r->command, what);
    if (found && arity_fits(found->arity, r->n)) return (int)(found - subcommands_of(r->command));
    if (found) {
        reply_error(r, "ERR wrong number of arguments for '%s|%s' command", r->command->name, found->name);
        return -1;
    }
    upper_case(r->command->name, name);
    reply_error(r, "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)(what.len < 128 ? what.len : 128), what.data,
                name);
    return -1;
}

bool argument_integer(request *r, slice arg, int64_t *value)
{
    if (parse_int64(arg, value)) return true;
    reply_error(r, "ERR value is not an integer or out of range");
    return false;
}

bool argument_database(request *r, slice arg)
{
    int64_t index;
    if (!argument_integer(r, arg, &index)) return false;
    if (index < INT32_MIN || index > INT32_MAX)
        reply_error(r, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
    else if (index != 0)
        reply_error(r, "ERR DB index is out of range");
    return index == 0;
}

bool range_within(int64_t start, int64_t end, uint64_t size, uint64_t *from, uint64_t *count)
{
    int64_t n = (int64_t)size;
    if (start < 0) start = start < -n ? 0 : start + n;
    if (end < 0) end = end < -n ? 0 : end + n;
    if (end >= n) end = n - 1;
    if (start > end) return false;
    *from = (uint64_t)start;
    *count = (uint64_t)(end - start) + 1;
    return true;
}

txn *request_begin(request *r, const slice *keys, size_t n)
{
    txn *t = txn_begin(r->store, keys, n);
    if (!t) reply_status(r, CHR_NO_MEMORY);
    return t;
}

bool request_end(request *r, txn *t, chr_status st)
{
    uint64_t seq = 0;
    if (atomic_load_explicit(&r->server->pubsub.notify, memory_order_relaxed))
        txn_set_cause(t, notify_events_of(r->command));
    if (st == CHR_OK && !r->deferred)
        st = txn_commit(t, &seq);
    else
        txn_abort(t);
    if (r->deferred) return false;
    request_saw(r, seq);
    if (st != CHR_OK) reply_status(r, st);
    return st == CHR_OK;
}
