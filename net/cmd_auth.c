/* AUTH and ACL. There are two sets of rights: everything, and reading. */
#include "net/clients.h"
#include "net/server_internal.h"
#include "net/users.h"

#include <errno.h>
#include <sys/random.h>

void forget_user(session *s)
{
    pthread_mutex_t *mu = &conn_of(s)->reactor->mu;
    pthread_mutex_lock(mu);
    s->authenticated = s->read_only = false;
    pthread_mutex_unlock(mu);
}

/* On a worker: hashing takes long. False: an error was written. */
bool authenticate(request *r, slice name, slice password)
{
    bool   read_only = false;
    users *u = r->server->users;
    if (!u) {
        reply_error(r, "ERR AUTH <password> called without any password configured for the default user. Are you sure "
                       "your configuration is correct?");
        return false;
    }
    if (!users_check(u, name, password, &read_only)) {
        reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    session         *s = r->session;
    pthread_mutex_t *mu = &conn_of(s)->reactor->mu;
    pthread_mutex_lock(mu);
    memcpy(s->user, name.data, name.len); /* a user that is known has a name that fits */
    s->user[name.len] = 0;
    s->read_only = read_only;
    s->authenticated = true;
    pthread_mutex_unlock(mu);
    /* Whoever deletes a user closes its connections afterwards; this one may have come too late for that. */
    if (users_has(u, name)) return true;
    forget_user(s);
    reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

void cmd_auth(request *r)
{
    if (r->n > 3)
        reply_error(r, "ERR syntax error");
    else if (authenticate(r, r->n == 3 ? r->args[1] : chr_str("default"), r->args[r->n - 1]))
        reply_ok(r);
}

typedef struct acl_listing {
    request *r;
    buf      found; /* replies */
    size_t   n;
    bool     rules; /* with what they may do */
    slice    only;  /* or: this one, as GETUSER has it */
} acl_listing;

static const char *rights(bool read_only) { return read_only ? "+@all -@write -@admin" : "+@all"; }

static void list_user(void *arg, const char *name, bool on, bool read_only)
{
    acl_listing *l = arg;
    buf          line = { 0 };
    if (l->only.data) {
        if (!slice_equal(l->only, chr_str(name))) return;
        reply_map(l->r, 3);
        reply_value(l->r, chr_str("flags"));
        reply_array(l->r, 1);
        reply_value(l->r, chr_str(on ? "on" : "off"));
        reply_value(l->r, chr_str("commands"));
        reply_value(l->r, chr_str(rights(read_only)));
        reply_value(l->r, chr_str("keys"));
        reply_value(l->r, chr_str("~*"));
    } else if (l->rules && buf_printf(&line, "user %s %s ~* &* %s", name, on ? "on" : "off", rights(read_only))) {
        reply_value(l->r, buf_slice(&line));
    } else {
        reply_value(l->r, chr_str(name));
    }
    chr_buf_free(&line);
    l->n++;
}

static void acl_list(request *r, bool rules, slice only)
{
    acl_listing l = { .r = r, .rules = rules, .only = only };
    buf        *out = r->out;
    if (!r->server->users) {
        if (!only.data || slice_equal(only, chr_str("default"))) {
            if (!only.data) reply_array(r, 1);
            list_user(&l, "default", true, false);
        } else {
            reply_null(r);
        }
        return;
    }
    r->out = &l.found; /* how many there are is known last */
    users_each(r->server->users, list_user, &l);
    r->out = out;
    if (!only.data)
        reply_array(r, l.n);
    else if (!l.n)
        reply_null(r);
    if (!buf_append_slice(out, buf_slice(&l.found))) r->no_memory = true;
    chr_buf_free(&l.found);
}

static void acl_setuser(request *r)
{
    user_change c = { .read_only = -1 };
    if (!r->server->users) {
        reply_error(r, "ERR there is no file of users; start the server with --users FILE");
        return;
    }
    for (size_t i = 3; i < r->n; i++) {
        slice a = r->args[i];
        if (argument_is(a, "on") || argument_is(a, "off")) {
            c.state = argument_is(a, "on") ? "on" : "off";
        } else if (a.len > 1 && a.data[0] == '>') {
            c.password = slice_from(a, 1);
        } else if (argument_is(a, "+@all") || argument_is(a, "allcommands")) {
            c.read_only = 0;
        } else if (argument_is(a, "-@write")) {
            c.read_only = 1;
        } else if (!argument_is(a, "~*") && !argument_is(a, "allkeys") && !argument_is(a, "&*") &&
                   !argument_is(a, "allchannels")) {
            /* What it was is not repeated: it may be a password. */
            reply_error(r, "ERR Error in ACL SETUSER modifier: known are on, off, >PASSWORD, +@all and -@write");
            return;
        }
    }
    chr_status st = users_set(r->server->users, r->args[2], &c);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

/* With their connections; the own one only after it has got its answer. */
static void acl_deluser(request *r)
{
    session *s = r->session;
    int64_t  deleted = 0;
    for (size_t i = 2; i < r->n; i++) {
        slice      name = r->args[i];
        chr_status st = r->server->users ? users_delete(r->server->users, name)
                        : slice_equal(name, chr_str("default"))
                            ? chr_fail(CHR_INVALID, "The 'default' user cannot be removed")
                            : CHR_NOT_FOUND;
        if (st == CHR_NOT_FOUND) continue;
        if (st != CHR_OK) {
            reply_status(r, st);
            return;
        }
        deleted++;
        (void)clients_kill(r->server, &(client_filter){ .user = name, .but_id = (int64_t)s->id });
        if (s->authenticated && slice_equal(name, chr_str(s->user))) s->closing = true;
    }
    reply_integer(r, deleted);
}

enum { PASSWORD_BITS = 256, PASSWORD_BITS_MAX = 4096, BITS_A_DIGIT = 4 };

static void acl_genpass(request *r)
{
    int64_t bits = PASSWORD_BITS;
    uint8_t random[PASSWORD_BITS_MAX / 8] = { 0 };
    char    digits[PASSWORD_BITS_MAX / BITS_A_DIGIT];
    if (r->n > 3) {
        reply_error(r, "ERR wrong number of arguments for 'acl|genpass' command");
        return;
    }
    if (r->n == 3 && !argument_integer(r, r->args[2], &bits)) return;
    if (bits < 1 || bits > PASSWORD_BITS_MAX) {
        reply_error(r,
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number "
                    "up to %d",
                    PASSWORD_BITS_MAX);
        return;
    }
    size_t n = ((size_t)bits + BITS_A_DIGIT - 1) / BITS_A_DIGIT;
    for (size_t got = 0, want = (n + 1) / 2; got < want;) { /* many bytes may come in parts */
        ssize_t more = getrandom(random + got, want - got, 0);
        if (more < 0 && errno != EINTR) {
            reply_error(r, "ERR there are no random numbers to be had: %s", strerror(errno));
            return;
        }
        if (more > 0) got += (size_t)more;
    }
    for (size_t i = 0; i < n; i++) digits[i] = "0123456789abcdef"[random[i / 2] >> (i % 2 ? 4 : 0) & 15];
    reply_value(r, chr_bytes(digits, n));
    explicit_bzero(random, sizeof random);
    explicit_bzero(digits, sizeof digits);
}

void cmd_acl(request *r)
{
    static const subcommand known[] = { { "genpass", -2 }, { "whoami", 2 },   { "list", 2 },    { "users", 2 },
                                        { "getuser", 3 },  { "setuser", -3 }, { "deluser", -3 } };
    enum { GENPASS, WHOAMI, LIST, USERS, GETUSER, SETUSER, DELUSER, COUNT };
    int which = find_subcommand(r, known, COUNT);
    if (which > WHOAMI && r->session->read_only) {
        reply_error(r, "NOPERM this user has no permissions to run the 'acl|%s' command", known[which].name);
        return;
    }
    switch (which) {
    case GENPASS: acl_genpass(r); break;
    case WHOAMI: reply_value(r, chr_str(r->session->authenticated ? r->session->user : "default")); break;
    case LIST: acl_list(r, true, chr_bytes(NULL, 0)); break;
    case USERS: acl_list(r, false, chr_bytes(NULL, 0)); break;
    case GETUSER: acl_list(r, false, r->args[2]); break;
    case SETUSER: acl_setuser(r); break;
    case DELUSER: acl_deluser(r); break;
    default: break; /* answered */
    }
}
