#include "net/monitor.h"

#include "net/secrets.h"
#include "net/server_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

void monitors_init(monitors *m) { pthread_mutex_init(&m->mu, NULL); }
void monitors_free(monitors *m)
{
    assert(m->list.n == 0);
    free(m->list.at);
    pthread_mutex_destroy(&m->mu);
}

/* As Redis quotes. Stops when `text` is longer than `limit`, which is 0 for none. */
static bool quote(buf *text, slice arg, size_t limit)
{
    static const char special[] = "\n\r\t\a\b\\\"", letters[] = "nrtab\\\"";
    bool              memory = buf_append(text, " \"", 2);
    for (size_t i = 0; i < arg.len && memory && (!limit || text->len <= limit); i++) {
        const char *found = arg.data[i] ? strchr(special, arg.data[i]) : NULL;
        if (found)
            memory = buf_append_byte(text, '\\') && buf_append_byte(text, (uint8_t)letters[found - special]);
        else if (isprint((unsigned char)arg.data[i]))
            memory = buf_append_byte(text, (uint8_t)arg.data[i]);
        else
            memory = buf_printf(text, "\\x%02x", (unsigned char)arg.data[i]);
    }
    return memory && buf_append_byte(text, '"');
}

static void say(request *r, const message *m)
{
    if (!buf_append_slice(r->out, request_is_line(r) ? slice_from(m->parts[0], 1) : m->parts[0])) r->no_memory = true;
    if (!buf_append_slice(r->out, chr_str(request_is_line(r) ? "\n" : "\r\n"))) r->no_memory = true;
}

/* Redis shows neither those of administration, since they may have secrets, nor MONITOR's own. */
static bool is_shown(const request *r)
{
    const subcommand *sub = r->n > 1 ? subcommand_find(r->command, r->args[1]) : NULL;
    return !((sub ? sub->flags : r->command->flags) & CMD_ADMIN) && !(r->command->flags & CMD_NOT_MONITORED);
}

/* A line that is longer than what may wait for a client is too long for all of them. */
static message *describe(const request *r)
{
    buf      text = { 0 };
    size_t   limit = r->server->settings.pubsub_hard;
    int64_t  us = store_now_ns(r->store) / 1000;
    message *m = NULL;
    bool fits = buf_printf(&text, "+%" PRId64 ".%06" PRId64 " [0 %s]", us / 1000000, us % 1000000, r->session->address);
    for (size_t i = 0; i < r->n && fits; i++)
        fits = quote(&text, secrets_shown(r, i), limit) && (!limit || text.len <= limit);
    const slice parts[] = { buf_slice(&text) };
    if (fits) m = message_new(say, parts, 1, 0);
    chr_buf_free(&text);
    return m;
}

void monitors_tell(monitors *m, const request *r)
{
    if (!is_shown(r)) return;
    message *line = describe(r);
    pthread_mutex_lock(&m->mu);
    for (size_t i = 0; i < m->list.n; i++) (void)message_send(m->list.at[i], line);
    pthread_mutex_unlock(&m->mu);
    message_release(line);
}

void monitors_leave(monitors *m, session *s)
{
    if (!atomic_load(&s->monitors)) return;
    pthread_mutex_lock(&m->mu);
    conn_list_remove(&m->list, conn_of(s));
    atomic_store(&m->count, m->list.n);
    pthread_mutex_unlock(&m->mu);
    atomic_store(&s->monitors, false);
    calls_update_notable(conn_of(s)->reactor->server);
}

void cmd_monitor(request *r)
{
    monitors *m = &r->server->monitors;
    bool      added = true;
    if (!atomic_load(&r->session->monitors)) {
        pthread_mutex_lock(&m->mu);
        added = conn_list_add(&m->list, conn_of(r->session));
        atomic_store(&m->count, m->list.n);
        pthread_mutex_unlock(&m->mu);
        atomic_store(&r->session->monitors, added);
        calls_update_notable(r->server);
    }
    if (added)
        reply_ok(r);
    else
        reply_status(r, CHR_NO_MEMORY);
}
