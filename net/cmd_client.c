/* CLIENT. */
#include "net/clients.h"
#include "net/server_internal.h"
#include "net/users.h"

static void client_list(request *r, const client_filter *only)
{
    buf text = { 0 };
    clients_list(r->server, only, &text);
    reply_verbatim(r, chr_bytes(text.data ? text.data : "", text.len));
    chr_buf_free(&text);
}

static bool parse_type(request *r, slice word, const char **type)
{
    static const char *const types[] = { "normal", "pubsub", "master", "replica", "slave" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (argument_is(word, types[i])) {
            *type = types[i];
            return true;
        }
    reply_error(r, "ERR Unknown client type '%.*s'", (int)(word.len < 64 ? word.len : 64), word.data);
    return false;
}

/* There are no others. */
static bool is_a_type_here(const char *type)
{
    return !type || argument_is(chr_str(type), "normal") || argument_is(chr_str(type), "pubsub");
}

static void client_list_some(request *r)
{
    client_filter f = { 0 };
    if (r->n == 2) {
        client_list(r, NULL);
    } else if (r->n == 4 && argument_is(r->args[2], "type")) {
        if (!parse_type(r, r->args[3], &f.type)) return;
        if (is_a_type_here(f.type))
            client_list(r, &f);
        else
            reply_verbatim(r, chr_str(""));
    } else if (r->n >= 4 && argument_is(r->args[2], "id")) {
        buf text = { 0 };
        for (size_t i = 3; i < r->n; i++) {
            if (!parse_int64(r->args[i], &f.id) || f.id < 1) {
                reply_error(r, "ERR Invalid client ID");
                chr_buf_free(&text);
                return;
            }
            clients_list(r->server, &f, &text);
        }
        reply_verbatim(r, chr_bytes(text.data ? text.data : "", text.len));
        chr_buf_free(&text);
    } else {
        reply_error(r, "ERR syntax error");
    }
}

/* Closes those that fit; this connection only after it has got its answer. */
static size_t kill_clients(request *r, client_filter *f, bool skip_me)
{
    size_t n = is_a_type_here(f->type) ? clients_kill(r->server, &(client_filter){ .id = f->id,
                                                                                   .address = f->address,
                                                                                   .type = f->type,
                                                                                   .user = f->user,
                                                                                   .but_id = (int64_t)r->session->id })
                                       : 0;
    bool   me = !skip_me && (!f->id || f->id == (int64_t)r->session->id) &&
              (!f->address.data || slice_equal(f->address, chr_str(r->session->address))) &&
              (!f->user.data || slice_equal(f->user, chr_str(clients_user(r->session)))) &&
              (!f->type ||
               (argument_is(chr_str(f->type), "pubsub") == (pubsub_count(r->session) > 0) && is_a_type_here(f->type)));
    if (me) r->session->closing = true;
    return n + me;
}

/* False: an error was written. */
static bool has_user(request *r, slice name)
{
    users *u = r->server->users;
    if (u ? users_has(u, name) : slice_equal(name, chr_str("default"))) return true;
    reply_error(r, "ERR No such user '%.*s'", (int)(name.len < 64 ? name.len : 64), name.data);
    return false;
}

static void client_kill(request *r)
{
    client_filter f = { 0 };
    bool          skip_me = true;
    if (r->n == 3) { /* the old form */
        f.address = r->args[2];
        if (kill_clients(r, &f, false))
            reply_ok(r);
        else
            reply_error(r, "ERR No such client");
        return;
    }
    for (size_t i = 2; i < r->n; i += 2) {
        bool has = i + 1 < r->n;
        if (has && argument_is(r->args[i], "id")) {
            if (!parse_int64(r->args[i + 1], &f.id) || f.id < 1) {
                reply_error(r, "ERR client-id should be greater than 0");
                return;
            }
        } else if (has && argument_is(r->args[i], "addr")) {
            f.address = r->args[i + 1];
        } else if (has && argument_is(r->args[i], "type")) {
            if (!parse_type(r, r->args[i + 1], &f.type)) return;
        } else if (has && argument_is(r->args[i], "user")) {
            f.user = r->args[i + 1];
            if (!has_user(r, f.user)) return;
        } else if (has && argument_is(r->args[i], "skipme") &&
                   (argument_is(r->args[i + 1], "yes") || argument_is(r->args[i + 1], "no"))) {
            skip_me = argument_is(r->args[i + 1], "yes");
        } else {
            reply_error(r, "ERR syntax error");
            return;
        }
    }
    reply_integer(r, (int64_t)kill_clients(r, &f, skip_me));
}

static void client_pause(request *r)
{
    int64_t ms, until;
    bool    writes = r->n == 4 && argument_is(r->args[3], "write");
    if (r->n == 4 && !writes && !argument_is(r->args[3], "all"))
        reply_error(r, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    else if (!parse_int64(r->args[2], &ms))
        reply_error(r, "ERR timeout is not an integer or out of range");
    else if (ms < 0)
        reply_error(r, "ERR timeout is negative");
    else if (__builtin_add_overflow(server_clock_ms(), ms, &until))
        reply_error(r, "ERR timeout is out of range");
    else {
        clients_pause(r->server, until, writes);
        reply_ok(r);
    }
}

static void client_reply(request *r)
{
    session *s = r->session;
    if (argument_is(r->args[2], "on")) {
        s->mute = s->mute_this = false;
        reply_ok(r);
    } else if (argument_is(r->args[2], "off")) {
        s->mute = true;
    } else if (argument_is(r->args[2], "skip")) {
        s->mute_this = s->mute_next = true;
    } else {
        reply_error(r, "ERR syntax error");
    }
}

static void client_setinfo(request *r)
{
    if (argument_is(r->args[2], "lib-name") || argument_is(r->args[2], "lib-ver"))
        reply_ok(r);
    else
        reply_error(r, "ERR Unrecognized option '%.*s'", (int)(r->args[2].len < 64 ? r->args[2].len : 64),
                    r->args[2].data);
}

const subcommand client_subcommands[] = {
    { "caching", 3, 0, CAT_CONNECTION, 0 },
    { "getname", 2, 0, CAT_CONNECTION, 0 },
    { "getredir", 2, 0, CAT_CONNECTION, 0 },
    { "id", 2, 0, CAT_CONNECTION, 0 },
    { "info", 2, 0, CAT_CONNECTION, 0 },
    { "kill", -3, CMD_ADMIN, CAT_CONNECTION, 0 },
    { "list", -2, CMD_ADMIN, CAT_CONNECTION, 0 },
    { "no-evict", 3, CMD_ADMIN, CAT_CONNECTION, 0 },
    { "pause", -3, CMD_ADMIN, CAT_CONNECTION, 0 },
    { "reply", 3, 0, CAT_CONNECTION, 0 },
    { "setinfo", 4, 0, CAT_CONNECTION, 0 },
    { "setname", 3, 0, CAT_CONNECTION, 0 },
    { "tracking", -3, 0, CAT_CONNECTION, 0 },
    { "trackinginfo", 2, 0, CAT_CONNECTION, 0 },
    { "unpause", 2, CMD_ADMIN, CAT_CONNECTION, 0 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_client(request *r)
{
    enum {
        CACHING,
        GETNAME,
        GETREDIR,
        ID,
        INFO,
        KILL,
        LIST,
        NO_EVICT,
        PAUSE,
        REPLY,
        SETINFO,
        SETNAME,
        TRACKING,
        TRACKINGINFO,
        UNPAUSE
    };
    switch (find_subcommand(r)) {
    case CACHING: client_caching(r); break;
    case GETREDIR: client_getredir(r); break;
    case TRACKING: client_tracking(r); break;
    case TRACKINGINFO: client_trackinginfo(r); break;
    case ID: reply_integer(r, (int64_t)r->session->id); break;
    case GETNAME:
        if (r->session->name.len)
            reply_value(r, buf_slice(&r->session->name));
        else
            reply_null(r);
        break;
    case INFO: client_list(r, &(client_filter){ .id = (int64_t)r->session->id }); break;
    case KILL: client_kill(r); break;
    case LIST: client_list_some(r); break;
    case NO_EVICT: /* nobody is evicted here */
        if (argument_is(r->args[2], "on") || argument_is(r->args[2], "off"))
            reply_ok(r);
        else
            reply_error(r, "ERR syntax error");
        break;
    case PAUSE:
        if (r->n <= 4)
            client_pause(r);
        else
            reply_error(r, "ERR syntax error");
        break;
    case REPLY: client_reply(r); break;
    case SETINFO: client_setinfo(r); break;
    case SETNAME:
        if (client_set_name(r, r->args[2])) reply_ok(r);
        break;
    case UNPAUSE:
        clients_pause(r->server, 0, false);
        reply_ok(r);
        break;
    default: break; /* answered */
    }
}
