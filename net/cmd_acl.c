/* ACL. On a worker. */
#include "net/acl_log.h"
#include "net/clients.h"
#include "net/server_internal.h"
#include "net/users.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

/* False: an error was written. */
static bool has_file(request *r)
{
    if (r->server->users) return true;
    reply_error(r, "ERR there is no file of users; start the server with --users FILE");
    return false;
}

/* ---- who there is ---- */

typedef struct acl_listing {
    request *r;
    buf      found; /* replies */
    size_t   n;
    bool     rules; /* with what they may do */
    slice    only;  /* or: this one, as GETUSER has it */
} acl_listing;

typedef bool put_fn(const rights *x, buf *text);

static void reply_rules(request *r, const char *name, const rights *x, put_fn *put)
{
    buf text = { 0 };
    reply_value(r, chr_str(name));
    if (!put(x, &text)) r->no_memory = true;
    reply_value(r, chr_bytes(text.data ? text.data : "", text.len));
    chr_buf_free(&text);
}

/* The hash is shown to nobody. */
static const char hidden[] = "(hidden)";

static void reply_user(request *r, const user_about *u)
{
    reply_map(r, 6);
    reply_value(r, chr_str("flags"));
    reply_set(r, u->nopass ? 2 : 1);
    reply_value(r, chr_str(u->on ? "on" : "off"));
    if (u->nopass) reply_value(r, chr_str("nopass"));
    reply_value(r, chr_str("passwords"));
    reply_array(r, u->has_password);
    if (u->has_password) reply_value(r, chr_str(hidden));
    reply_rules(r, "commands", u->rights, rights_put_commands);
    reply_rules(r, "keys", u->rights, rights_put_keys);
    reply_rules(r, "channels", u->rights, rights_put_channels);
    reply_value(r, chr_str("selectors"));
    reply_array(r, 0);
}

static void list_user(void *arg, const user_about *u)
{
    acl_listing *l = arg;
    buf          line = { 0 };
    if (l->only.data) {
        if (!slice_equal(l->only, chr_str(u->name))) return;
        reply_user(l->r, u);
    } else if (l->rules) {
        if (!buf_printf(&line, "user %s %s%s%s%s ", u->name, u->on ? "on" : "off", u->nopass ? " nopass" : "",
                        u->has_password ? " #" : "", u->has_password ? hidden : "") ||
            !rights_put(u->rights, &line))
            l->r->no_memory = true;
        reply_value(l->r, buf_slice(&line));
    } else {
        reply_value(l->r, chr_str(u->name));
    }
    chr_buf_free(&line);
    l->n++;
}

/* Without a file there is one user, who may do everything. */
static void only_default(acl_listing *l)
{
    static const char *const rules[] = { "~*", "&*", "+@all" };
    rights                  *x = rights_new();
    bool                     good = x;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && good; i++) good = chr_ok(rights_apply(x, chr_str(rules[i])));
    if (good)
        list_user(l, &(user_about){ .name = "default", .on = true, .nopass = true, .rights = x });
    else
        l->r->no_memory = true;
    rights_drop(x);
}

static void acl_list(request *r, bool rules, slice only)
{
    acl_listing l = { .r = r, .rules = rules, .only = only };
    buf        *out = r->out;
    r->out = &l.found; /* how many there are is known last */
    if (r->server->users)
        users_each(r->server->users, list_user, &l);
    else
        only_default(&l);
    r->out = out;
    if (!only.data)
        reply_array(r, l.n);
    else if (!l.n)
        reply_null(r);
    if (!buf_append_slice(out, buf_slice(&l.found))) r->no_memory = true;
    chr_buf_free(&l.found);
}

/* ---- changing ---- */

/* What is not clearly something else may be a password, and is not repeated. */
static slice shown_rule(slice rule)
{
    if (!rule.len || !memchr("+-~&%(", rule.data[0], 6)) return chr_str("(redacted)");
    return rule.len > 128 ? chr_bytes(rule.data, 128) : rule;
}

static void acl_setuser(request *r)
{
    size_t n = r->n - 3, wrong;
    if (!has_file(r)) return;
    chr_status st = users_set(r->server->users, r->args[2], r->args + 3, n, &wrong);
    if (st == CHR_INVALID && wrong < n) {
        slice rule = shown_rule(r->args[3 + wrong]);
        reply_error(r, "ERR Error in ACL SETUSER modifier '%.*s': %s", (int)rule.len, rule.data, chr_message());
    } else if (st != CHR_OK) {
        reply_status(r, st);
    } else {
        clients_recheck(r->server);
        reply_ok(r);
    }
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
        if (s->user.rights && slice_equal(name, chr_str(s->user.name))) s->closing = true;
    }
    reply_integer(r, deleted);
}

static void acl_save(request *r)
{
    if (!has_file(r)) return;
    chr_status st = users_save(r->server->users);
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}

static void acl_load(request *r)
{
    if (!has_file(r)) return;
    chr_status st = users_load(r->server->users);
    if (st != CHR_OK) {
        reply_status(r, st);
        return;
    }
    clients_recheck(r->server);
    reply_ok(r);
}

/* ---- telling ---- */

static void reply_too_many(request *r)
{
    slice name = r->args[1];
    reply_error(r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.", (int)name.len,
                name.data);
}

static void acl_cat(request *r)
{
    unsigned in = r->n == 3 ? category_find(r->args[2]) : 0;
    if (r->n > 3) {
        reply_too_many(r);
    } else if (r->n == 2) {
        reply_array(r, CATEGORIES);
        for (size_t i = 0; i < CATEGORIES; i++) reply_value(r, chr_str(category_names[i]));
    } else if (in) {
        reply_commands_in(r, in);
    } else {
        slice name = r->args[2];
        reply_error(r, "ERR Unknown category '%.*s'", (int)(name.len < 128 ? name.len : 128), name.data);
    }
}

static void reply_dry(request *r, verdict found, const char *name, slice what)
{
    buf text = { 0 };
    switch (found) {
    case MAY: reply_ok(r); return;
    case MAY_NOT_RUN: buf_printf(&text, "This user has no permissions to run the '%s' command", name); break;
    case MAY_NOT_USE_KEY:
    case MAY_NOT_USE_CHANNEL:
        buf_printf(&text, "This user has no permissions to access the '");
        buf_append_slice(&text, what);
        buf_printf(&text, "' %s", found == MAY_NOT_USE_KEY ? "key" : "channel");
        break;
    }
    reply_value(r, buf_slice(&text));
    chr_buf_free(&text);
}

static void acl_dryrun(request *r)
{
    char              name[COMMAND_NAME_MAX];
    slice             user = r->args[2], what = chr_bytes(NULL, 0);
    const slice      *args = r->args + 3;
    size_t            n = r->n - 3;
    const command    *c = command_find(args[0]);
    const subcommand *sub = c && n > 1 ? subcommand_find(c, args[1]) : NULL;
    rights           *its = r->server->users ? users_rights(r->server->users, user) : NULL;
    if (!its && (r->server->users || !slice_equal(user, chr_str("default")))) {
        reply_error(r, "ERR User '%.*s' not found", (int)(user.len < 128 ? user.len : 128), user.data);
    } else if (!c || (n > 1 && !sub && subcommands_of(c))) {
        reply_error(r, "ERR Command '%.*s' not found", (int)(args[0].len < 128 ? args[0].len : 128), args[0].data);
    } else if (!arity_fits(sub ? sub->arity : c->arity, n)) {
        reply_error(r, "ERR wrong number of arguments for '%s' command", command_full_name(c, sub, name));
    } else {
        verdict found = its ? rights_check(its, c, args, n, &what) : MAY;
        reply_dry(r, found, command_full_name(c, sub, name), what);
    }
    rights_drop(its);
}

enum { PASSWORD_BITS = 256, PASSWORD_BITS_MAX = 4096, BITS_A_DIGIT = 4 };

static void acl_genpass(request *r)
{
    int64_t bits = PASSWORD_BITS;
    uint8_t random[PASSWORD_BITS_MAX / 8] = { 0 };
    char    digits[PASSWORD_BITS_MAX / BITS_A_DIGIT];
    if (r->n > 3) {
        reply_too_many(r);
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

const subcommand acl_subcommands[] = {
    { "cat", -2, 0, 0, 0 },
    { "deluser", -3, CMD_ADMIN, 0, 0 },
    { "dryrun", -4, CMD_ADMIN, 0, 0 },
    { "genpass", -2, 0, 0, 0 },
    { "getuser", 3, CMD_ADMIN, 0, 0 },
    { "help", 2, 0, 0, 0 },
    { "list", 2, CMD_ADMIN, 0, 0 },
    { "load", 2, CMD_ADMIN, 0, 0 },
    { "log", -2, CMD_ADMIN, 0, 0 },
    { "save", 2, CMD_ADMIN, 0, 0 },
    { "setuser", -3, CMD_ADMIN, 0, 0 },
    { "users", 2, CMD_ADMIN, 0, 0 },
    { "whoami", 2, 0, 0, 0 },
    { NULL, 0, 0, 0, 0 },
};

static const char *const help[] = {
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
    NULL,
};

void cmd_acl(request *r)
{
    enum { CAT, DELUSER, DRYRUN, GENPASS, GETUSER, HELP, LIST, LOAD, LOG, SAVE, SETUSER, USERS, WHOAMI };
    switch (find_subcommand(r)) {
    case CAT: acl_cat(r); break;
    case DELUSER: acl_deluser(r); break;
    case DRYRUN: acl_dryrun(r); break;
    case GENPASS: acl_genpass(r); break;
    case GETUSER: acl_list(r, false, r->args[2]); break;
    case HELP: reply_help(r, help); break;
    case LIST: acl_list(r, true, chr_bytes(NULL, 0)); break;
    case LOAD: acl_load(r); break;
    case LOG:
        if (r->n > 3)
            reply_too_many(r);
        else
            acl_log_command(r);
        break;
    case SAVE: acl_save(r); break;
    case SETUSER: acl_setuser(r); break;
    case USERS: acl_list(r, false, chr_bytes(NULL, 0)); break;
    case WHOAMI: reply_value(r, chr_str(r->session->user.rights ? r->session->user.name : "default")); break;
    default: break; /* answered */
    }
}
