/* SUBSCRIBE and the like. Each channel gets an answer of its own, which is a push in RESP3. */
#include "net/glob.h"
#include "net/server_internal.h"

static void reply_change(request *r, const char *what, slice name)
{
    reply_push(r, 3);
    reply_value(r, chr_str(what));
    if (name.data)
        reply_value(r, name);
    else
        reply_null(r);
    reply_integer(r, (int64_t)pubsub_count(r->session));
}

static void subscribe(request *r, topic_kind kind, const char *what)
{
    for (size_t i = 1; i < r->n; i++) {
        chr_status st = pubsub_subscribe(&r->server->pubsub, r->session, kind, r->args[i]);
        if (st == CHR_OK)
            reply_change(r, what, r->args[i]);
        else
            reply_status(r, st);
    }
}
void cmd_subscribe(request *r) { subscribe(r, TOPIC_CHANNEL, "subscribe"); }
void cmd_psubscribe(request *r) { subscribe(r, TOPIC_PATTERN, "psubscribe"); }

static void keep_name(void *arg, slice name)
{
    buf *names = arg;
    buf_append_sized(names, name);
}

static void unsubscribe(request *r, topic_kind kind, const char *what)
{
    buf names = { 0 };
    for (size_t i = 1; i < r->n; i++) {
        pubsub_unsubscribe(&r->server->pubsub, r->session, kind, r->args[i]);
        reply_change(r, what, r->args[i]);
    }
    if (r->n > 1) return;
    pubsub_each_own(r->session, kind, keep_name, &names);
    if (names.len == 0) reply_change(r, what, chr_bytes(NULL, 0));
    for (reader left = reader_of(buf_slice(&names)); reader_left(&left);) {
        slice name = read_sized(&left);
        pubsub_unsubscribe(&r->server->pubsub, r->session, kind, name);
        reply_change(r, what, name);
    }
    chr_buf_free(&names);
}
void cmd_unsubscribe(request *r) { unsubscribe(r, TOPIC_CHANNEL, "unsubscribe"); }
void cmd_punsubscribe(request *r) { unsubscribe(r, TOPIC_PATTERN, "punsubscribe"); }

void cmd_publish(request *r) { reply_integer(r, pubsub_publish(&r->server->pubsub, r->args[1], r->args[2], 0)); }

typedef struct listing {
    request *r;
    slice    pattern;
    size_t   n;
} listing;

static void list_channel(void *arg, slice name)
{
    listing *l = arg;
    if (!glob_match(l->pattern, name)) return;
    reply_value(l->r, name);
    l->n++;
}

static void list_channels(request *r, slice pattern)
{
    buf     found = { 0 }, *out = r->out;
    listing l = { r, pattern, 0 };
    r->out = &found; /* how many there are comes first, and is known last */
    pubsub_each_channel(&r->server->pubsub, list_channel, &l);
    r->out = out;
    reply_array(r, l.n);
    if (!buf_append_slice(out, buf_slice(&found))) r->no_memory = true;
    chr_buf_free(&found);
}

const subcommand pubsub_subcommands[] = {
    { "channels", -2, 0, CAT_PUBSUB, 0 },
    { "numpat", 2, 0, CAT_PUBSUB, 0 },
    { "numsub", -2, 0, CAT_PUBSUB, 0 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_pubsub(request *r)
{
    enum { CHANNELS, NUMPAT, NUMSUB };
    switch (find_subcommand(r)) {
    case CHANNELS: list_channels(r, r->n > 2 ? r->args[2] : chr_str("*")); break;
    case NUMPAT: reply_integer(r, (int64_t)atomic_load(&r->server->pubsub.counts[TOPIC_PATTERN])); break;
    case NUMSUB:
        reply_array(r, 2 * (r->n - 2));
        for (size_t i = 2; i < r->n; i++) {
            reply_value(r, r->args[i]);
            reply_integer(r, (int64_t)pubsub_subscribers(&r->server->pubsub, r->args[i]));
        }
        break;
    default: break; /* answered */
    }
}
