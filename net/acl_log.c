#include "net/acl_log.h"

#include "net/clients.h"
#include "net/server_internal.h"
#include "net/transaction.h"

#include <inttypes.h>
#include <stdio.h>

enum { TOGETHER_MS = 60000, SHOWN = 10, OBJECT_BYTES = 256 };

void acl_log_init(acl_log *l) { pthread_mutex_init(&l->mu, NULL); }

static void clear(acl_entry *e)
{
    chr_buf_free(&e->object);
    chr_buf_free(&e->client);
}

static void clear_all(acl_log *l)
{
    for (size_t i = 0; i < l->n; i++) clear(&l->at[i]);
    l->n = 0;
}

void acl_log_free(acl_log *l)
{
    clear_all(l);
    pthread_mutex_destroy(&l->mu);
}

static bool is_the_same(const acl_entry *a, const acl_entry *b)
{
    return a->reason == b->reason && a->in_multi == b->in_multi && b->at_ms - a->at_ms <= TOGETHER_MS &&
           strcmp(a->user, b->user) == 0 && slice_equal(buf_slice(&a->object), buf_slice(&b->object));
}

/* Takes `e` over. */
static void add(acl_log *l, acl_entry *e)
{
    size_t i = 0;
    pthread_mutex_lock(&l->mu);
    while (i < l->n && !is_the_same(&l->at[i], e)) i++;
    e->count = i < l->n ? l->at[i].count + 1 : 1;
    if (i < l->n)
        clear(&l->at[i]);
    else if (l->n < ACL_LOG_MAX)
        l->n++;
    else
        clear(&l->at[--i]);
    memmove(&l->at[1], &l->at[0], i * sizeof *e);
    l->at[0] = *e;
    pthread_mutex_unlock(&l->mu);
}

static void note(const request *r, const char *reason, slice object, const char *user)
{
    acl_entry e = { .reason = reason, .in_multi = transaction_is_open(r->session), .at_ms = server_clock_ms() };
    if (object.len > OBJECT_BYTES) object.len = OBJECT_BYTES;
    snprintf(e.user, sizeof e.user, "%s", user);
    clients_describe(conn_of(r->session), &e.client);
    if (buf_append_slice(&e.object, object))
        add(&r->server->acl_log, &e);
    else
        clear(&e);
}

void acl_log_denied(const request *r, verdict why, slice what)
{
    static const char
        *const reasons[] = { [MAY_NOT_RUN] = "command", [MAY_NOT_USE_KEY] = "key", [MAY_NOT_USE_CHANNEL] = "channel" };
    char       name[COMMAND_NAME_MAX];
    const subcommand *sub = r->n > 1 ? subcommand_find(r->command, r->args[1]) : NULL;
    slice             object = why == MAY_NOT_RUN ? chr_str(command_full_name(r->command, sub, name)) : what;
    note(r, reasons[why], object, r->session->user.name);
}

void acl_log_auth(const request *r, const char *user) { note(r, "auth", r->args[0], *user ? user : "(unknown)"); }

/* ---- ACL LOG ---- */

static void reply_entry(request *r, const acl_entry *e)
{
    char    seconds[32];
    int64_t age = server_clock_ms() - e->at_ms;
    snprintf(seconds, sizeof seconds, "%" PRId64 ".%03d", age / 1000, (int)(age % 1000));
    reply_map(r, 7);
    reply_value(r, chr_str("count"));
    reply_integer(r, (int64_t)e->count);
    reply_value(r, chr_str("reason"));
    reply_value(r, chr_str(e->reason));
    reply_value(r, chr_str("context"));
    reply_value(r, chr_str(e->in_multi ? "multi" : "toplevel"));
    reply_value(r, chr_str("object"));
    reply_value(r, buf_slice(&e->object));
    reply_value(r, chr_str("username"));
    reply_value(r, chr_str(e->user));
    reply_value(r, chr_str("age-seconds"));
    reply_value(r, chr_str(seconds));
    reply_value(r, chr_str("client-info"));
    reply_value(r, buf_slice(&e->client));
}

void acl_log_command(request *r)
{
    acl_log *l = &r->server->acl_log;
    int64_t  n = SHOWN;
    bool     reset = r->n == 3 && argument_is(r->args[2], "reset");
    if (r->n == 3 && !reset && !argument_integer(r, r->args[2], &n)) return;
    if (n < 0) n = 0;
    pthread_mutex_lock(&l->mu);
    if (reset) clear_all(l);
    size_t told = (size_t)n < l->n ? (size_t)n : l->n;
    if (!reset) reply_array(r, told);
    for (size_t i = 0; i < told; i++) reply_entry(r, &l->at[i]);
    pthread_mutex_unlock(&l->mu);
    if (reset) reply_ok(r);
}
