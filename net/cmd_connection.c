/* Commands about the connection itself. */
#include "net/command.h"

#include "net/clients.h"
#include "net/cmd_auth.h"
#include "net/pubsub.h"
#include "net/server_internal.h"
#include "net/transaction.h"

void cmd_ping(request *r)
{
    if (r->n > 2) {
        reply_wrong_arity(r);
    } else if (pubsub_is_bound(r->session)) {
        reply_array(r, 2);
        reply_value(r, chr_str("pong"));
        reply_value(r, r->n == 2 ? r->args[1] : chr_str(""));
    } else if (r->n == 2)
        reply_value(r, r->args[1]);
    else
        reply_text(r, "PONG");
}

void cmd_echo(request *r) { reply_value(r, r->args[1]); }

void cmd_quit(request *r)
{
    reply_ok(r);
    r->session->closing = true;
}

void cmd_reset(request *r)
{
    transaction_end(r->session);
    pubsub_leave(&r->server->pubsub, r->session);
    monitors_leave(&r->server->monitors, r->session);
    tracking_off(&r->server->tracking, r->session);
    user_forget(r->session);
    r->session->resp = 2;
    r->session->mute = r->session->mute_this = r->session->mute_next = false;
    (void)client_set_name(r, chr_str(""));
    reply_text(r, "RESET");
}

void cmd_select(request *r)
{
    if (argument_database(r, r->args[1])) reply_ok(r);
}

void cmd_hello(request *r)
{
    int64_t version = r->session->resp;
    if (r->n > 1 && (!parse_int64(r->args[1], &version) || version < 2 || version > 3)) {
        if (parse_int64(r->args[1], &version))
            reply_error(r, "NOPROTO unsupported protocol version");
        else
            reply_error(r, "ERR Protocol version is not an integer or out of range");
        return;
    }
    for (size_t i = 2; i < r->n; i++) {
        if (argument_is(r->args[i], "setname") && i + 1 < r->n) {
            if (!client_set_name(r, r->args[++i])) return;
        } else if (argument_is(r->args[i], "auth") && i + 2 < r->n) {
            if (request_defer(r) || !authenticate(r, r->args[i + 1], r->args[i + 2])) return;
            i += 2;
        } else {
            reply_error(r, "ERR Syntax error in HELLO option '%.*s'", (int)(r->args[i].len < 64 ? r->args[i].len : 64),
                        r->args[i].data);
            return;
        }
    }
    if (r->server->users && !r->session->user.rights) {
        reply_error(
            r, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
               "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
               "the same time");
        return;
    }
    r->session->resp = (int)version;
    reply_map(r, 7);
    reply_value(r, chr_str("server"));
    reply_value(r, chr_str("chronos"));
    reply_value(r, chr_str("version"));
    reply_value(r, chr_str(CHR_VERSION));
    reply_value(r, chr_str("proto"));
    reply_integer(r, r->session->resp);
    reply_value(r, chr_str("id"));
    reply_integer(r, (int64_t)r->session->id);
    reply_value(r, chr_str("mode"));
    reply_value(r, chr_str("standalone"));
    reply_value(r, chr_str("role"));
    reply_value(r, chr_str("master"));
    reply_value(r, chr_str("modules"));
    reply_array(r, 0);
}

/* There are no replicas to wait for. */
void cmd_wait(request *r)
{
    int64_t replicas, timeout;
    if (!argument_integer(r, r->args[1], &replicas)) return;
    if (!parse_int64(r->args[2], &timeout))
        reply_error(r, "ERR timeout is not an integer or out of range");
    else if (timeout < 0)
        reply_error(r, "ERR timeout is negative");
    else
        reply_integer(r, 0);
}
