/* AUTH, and what a connection may do as whom. */
#include "net/cmd_auth.h"

#include "net/acl_log.h"
#include "net/server_internal.h"
#include "net/transaction.h"
#include "net/users.h"

/* Takes `who` over. */
static void become(session *s, const identity *who)
{
    pthread_mutex_t *mu = &conn_of(s)->reactor->mu;
    pthread_mutex_lock(mu);
    identity before = s->user;
    s->user = *who;
    pthread_mutex_unlock(mu);
    identity_drop(&before);
}

void user_forget(session *s)
{
    const server *srv = conn_of(s)->reactor->server;
    identity      who = { 0 };
    if (!srv->users) return;
    (void)users_default(srv->users, &who);
    become(s, &who);
}

/* ---- who is here, and has other rights now ---- */

typedef struct loss {
    const rights *rights;
    bool          of_patterns, lost;
} loss;

static void look_at_channel(void *arg, slice name)
{
    loss *l = arg;
    l->lost = l->lost || !rights_to_channel(l->rights, name, l->of_patterns);
}

static void look_at_prefix(void *arg, slice prefix)
{
    loss *l = arg;
    l->lost = l->lost || !rights_to_prefix(l->rights, prefix, 0);
}

/* Whether it is told of what it may not hear of. */
static bool hears_too_much(session *s)
{
    server *srv = conn_of(s)->reactor->server;
    loss    l = { .rights = s->user.rights };
    pubsub_each_own(s, TOPIC_CHANNEL, look_at_channel, &l);
    l.of_patterns = true;
    pubsub_each_own(s, TOPIC_PATTERN, look_at_channel, &l);
    if (atomic_load(&s->tracking)) (void)tracking_each_prefix(&srv->tracking, s, look_at_prefix, &l);
    if (atomic_load(&s->monitors)) {
        slice name = chr_str("monitor");
        l.lost = l.lost || rights_check(l.rights, command_find(name), &name, 1, NULL) != MAY;
    }
    return l.lost;
}

bool user_refresh(session *s)
{
    users   *u = conn_of(s)->reactor->server->users;
    identity who = s->user;
    if (who.rights) rights_hold(who.rights);
    (void)users_refresh(u, &who);
    become(s, &who);
    return who.rights && !hears_too_much(s);
}

bool user_is_current(const session *s)
{
    const users *u = conn_of((session *)s)->reactor->server->users;
    return !s->user.rights || s->user.edition == users_edition(u);
}

/* ---- what it may do ---- */

verdict user_verdict(const request *r, slice *what)
{
    const rights *x = r->session->user.rights;
    return x ? rights_check(x, r->command, r->args, r->n, what) : MAY;
}

bool user_may(request *r)
{
    char  name[COMMAND_NAME_MAX];
    slice what = chr_bytes(NULL, 0);
    if (r->command->flags & CMD_NO_AUTH) return true;
    if (!r->session->user.rights) {
        reply_error(r, "NOAUTH Authentication required.");
        return false;
    }
    verdict           found = user_verdict(r, &what);
    const subcommand *sub = found == MAY_NOT_RUN && r->n > 1 ? subcommand_find(r->command, r->args[1]) : NULL;
    switch (found) {
    case MAY: return true;
    case MAY_NOT_RUN:
        reply_error(r, "NOPERM this user has no permissions to run the '%s' command",
                    command_full_name(r->command, sub, name));
        break;
    case MAY_NOT_USE_KEY:
        reply_error(r, "NOPERM this user has no permissions to access one of the keys used as arguments");
        break;
    case MAY_NOT_USE_CHANNEL:
        reply_error(r, "NOPERM this user has no permissions to access one of the channels used as arguments");
        break;
    }
    acl_log_denied(r, found, what);
    return false;
}

bool user_may_know(const session *s, slice key)
{
    return !s->user.rights || rights_are_all(s->user.rights) || rights_to_key(s->user.rights, key, 0);
}

/* ---- AUTH ---- */

/* On a worker: hashing takes long. False: an error was written. */
bool authenticate(request *r, slice name, slice password)
{
    users   *u = r->server->users;
    identity who;
    if (!u) {
        reply_error(r, "ERR AUTH <password> called without any password configured for the default user. Are you sure "
                       "your configuration is correct?");
        return false;
    }
    if (!users_check(u, name, password, &who)) {
        char known[USER_NAME_MAX + 1] = "";
        if (users_has(u, name)) memcpy(known, name.data, name.len); /* what nobody is called may be a password */
        acl_log_auth(r, known);
        reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    become(r->session, &who);
    return true;
}

void cmd_auth(request *r)
{
    if (r->n > 3)
        reply_error(r, "ERR syntax error");
    else if (authenticate(r, r->n == 3 ? r->args[1] : chr_str("default"), r->args[r->n - 1]))
        reply_ok(r);
}
