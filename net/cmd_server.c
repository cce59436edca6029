/* Commands about the server. */
#include "net/command.h"

#include "net/glob.h"
#include "net/server_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- COMMAND ---- */

static void reply_categories(request *r, unsigned in)
{
    char name[32];
    reply_array(r, (size_t)__builtin_popcount(in));
    for (size_t i = 0; i < CATEGORIES; i++) {
        if (!(in >> i & 1)) continue;
        snprintf(name, sizeof name, "@%s", category_names[i]);
        reply_text(r, name);
    }
}

static void reply_command_info(request *r, const command *c, const subcommand *sub)
{
    static const struct {
        unsigned    flag;
        const char *name;
    } names[] = {
        { CMD_WRITE, "write" },   { CMD_READ, "readonly" }, { CMD_ADMIN, "admin" },
        { CMD_GROWS, "denyoom" }, { CMD_FAST, "fast" },
    };
    char     name[COMMAND_NAME_MAX];
    size_t   n = 0;
    unsigned flags = sub ? sub->flags : c->flags;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) n += (flags & names[i].flag) != 0;
    reply_array(r, 7);
    reply_value(r, chr_str(command_full_name(c, sub, name)));
    reply_integer(r, sub ? sub->arity : c->arity);
    reply_array(r, n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].flag) reply_text(r, names[i].name);
    reply_integer(r, sub ? sub->key : c->first_key);
    reply_integer(r, sub ? sub->key : c->last_key);
    reply_integer(r, sub ? sub->key != 0 : c->key_step);
    reply_categories(r, command_categories(c, sub));
}

/* The syntax of each subcommand, behind its name. */
static void reply_subcommand_docs(request *r, const command *c)
{
    char   name[COMMAND_NAME_MAX];
    size_t n = 0;
    for (const char *at = c->arguments; at; n++) (void)command_call(c, &at);
    reply_value(r, chr_str("subcommands"));
    reply_map(r, n);
    for (const char *at = c->arguments; at;) {
        slice  call = chr_str(at);
        size_t word = strcspn(at, " ");
        call.len = command_call(c, &at);
        if (word > call.len) word = call.len;
        reply_value(r, chr_str(command_full_name(c, subcommand_find(c, chr_bytes(call.data, word)), name)));
        reply_map(r, 1);
        reply_value(r, chr_str("syntax"));
        reply_value(r, slice_from(call, word < call.len ? word + 1 : word));
    }
}

static void reply_command_docs(request *r, const command *c)
{
    bool subs = subcommands_of(c) != NULL;
    reply_value(r, chr_str(c->name));
    reply_map(r, subs ? 7 : 6);
    reply_value(r, chr_str("summary"));
    reply_value(r, chr_str(c->summary));
    reply_value(r, chr_str("group"));
    reply_value(r, chr_str(command_group(c)));
    reply_value(r, chr_str("categories"));
    reply_categories(r, command_categories(c, NULL));
    reply_value(r, chr_str("syntax"));
    reply_value(r, chr_str(c->arguments));
    reply_value(r, chr_str("example"));
    reply_value(r, chr_str(c->example));
    reply_value(r, chr_str("notes"));
    reply_value(r, chr_str(c->notes));
    if (subs) reply_subcommand_docs(r, c);
}

/* All commands, or those that are named; `docs`: only known ones, each with its name before it. */
static void reply_commands(request *r, bool docs)
{
    size_t            n = r->n > 2 ? r->n - 2 : command_count, found = 0;
    const subcommand *sub = NULL;
    for (size_t i = 0; i < n; i++) found += r->n <= 2 || command_find(r->args[i + 2]);
    if (docs)
        reply_map(r, found);
    else
        reply_array(r, n);
    for (size_t i = 0; i < n; i++) {
        const command *c = r->n <= 2 ? &command_table[i]
                           : docs    ? command_find(r->args[i + 2])
                                     : command_find_full(r->args[i + 2], &sub);
        if (docs && c)
            reply_command_docs(r, c);
        else if (c)
            reply_command_info(r, c, sub);
        else if (!docs)
            reply_null(r);
    }
}

/* Those of a module: none. */
static void command_list(request *r)
{
    bool by = r->n == 5 && argument_is(r->args[2], "filterby"), module = by && argument_is(r->args[3], "module");
    if (by && argument_is(r->args[3], "aclcat")) {
        reply_commands_in(r, category_find(r->args[4]));
        return;
    }
    if (r->n != 2 && !module && !(by && argument_is(r->args[3], "pattern"))) {
        reply_error(r, "ERR syntax error");
        return;
    }
    char   pattern[COMMAND_NAME_MAX + 1] = "*"; /* names are in lower case, and any case fits */
    size_t n = 0;
    slice  given = by ? r->args[4] : chr_str("*");
    bool   fits = given.len < sizeof pattern && !module;
    for (size_t i = 0; fits && i < given.len; i++) pattern[i] = (char)tolower((unsigned char)given.data[i]);
    slice wanted = chr_bytes(pattern, fits ? given.len : 0);
    for (size_t i = 0; i < command_count; i++) n += glob_match(wanted, chr_str(command_table[i].name));
    reply_array(r, n);
    for (size_t i = 0; i < command_count; i++)
        if (glob_match(wanted, chr_str(command_table[i].name))) reply_value(r, chr_str(command_table[i].name));
}

static void command_getkeys(request *r)
{
    const command    *c = command_find(r->args[2]);
    const slice      *args = r->args + 2;
    size_t            n = r->n - 2;
    const subcommand *sub = c ? subcommand_find(c, args[1]) : NULL;
    if (!c || (!sub && subcommands_of(c) && c->arity < -1)) {
        reply_error(r, "ERR Invalid command specified");
    } else if (!(sub ? sub->key : c->first_key)) {
        reply_error(r, "ERR The command has no key arguments");
    } else if (!arity_fits(sub ? sub->arity : c->arity, n)) {
        reply_error(r, "ERR Invalid number of arguments specified for command");
    } else {
        key_places at = command_keys(c, args, n);
        reply_array(r, (at.last - at.first) / at.step + 1);
        for (size_t k = at.first; k <= at.last; k += at.step) reply_value(r, args[k]);
    }
}

static void reply_command_help(request *r)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands in this server.",
        "LIST [FILTERBY PATTERN <pattern> | ACLCAT <category>]",
        "    Return a list of all commands in this server, or of those that match.",
        "INFO [<command-name> ...]",
        "    Return details about the commands.",
        "DOCS [<command-name> ...]",
        "    Return documentation of the commands.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "HELP",
        "    Prints this help.",
    };
    reply_array(r, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) reply_text(r, lines[i]);
}

const subcommand command_subcommands[] = {
    { "count", 2, 0, CAT_CONNECTION, 0 },
    { "docs", -2, 0, CAT_CONNECTION, 0 },
    { "info", -2, 0, CAT_CONNECTION, 0 },
    { "getkeys", -4, 0, CAT_CONNECTION, 0 },
    { "help", 2, 0, CAT_CONNECTION, 0 },
    { "list", -2, 0, CAT_CONNECTION, 0 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_command(request *r)
{
    enum { COUNT_COMMANDS, DOCS, INFO, GETKEYS, HELP, LIST };
    switch (r->n == 1 ? INFO : find_subcommand(r)) {
    case COUNT_COMMANDS: reply_integer(r, (int64_t)command_count); break;
    case DOCS: reply_commands(r, true); break;
    case INFO: reply_commands(r, false); break;
    case GETKEYS: command_getkeys(r); break;
    case HELP: reply_command_help(r); break;
    case LIST: command_list(r); break;
    default: break; /* answered */
    }
}

/* ---- work on the whole store; on a worker ---- */

void cmd_compact(request *r)
{
    chr_status st = chr_compact(r->store);
    if (st != CHR_OK)
        reply_status(r, st);
    else
        reply_text(r, request_is_line(r) ? "OK_COMPACTED" : "OK");
}

enum { CHECKPOINT_NAME = 64 };

/* A client names a checkpoint, never a path. */
static bool checkpoint_name(slice given, char name[CHECKPOINT_NAME])
{
    if (!given.len || given.len >= CHECKPOINT_NAME || given.data[0] == '.') return false;
    for (size_t i = 0; i < given.len; i++)
        if (!isalnum((unsigned char)given.data[i]) && !strchr("._-", given.data[i])) return false;
    snprintf(name, CHECKPOINT_NAME, "%.*s", (int)given.len, given.data);
    return true;
}

static void checkpoint_stamp(int64_t ms, char name[CHECKPOINT_NAME])
{
    time_t    seconds = (time_t)(ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t n = strftime(name, CHECKPOINT_NAME, "%Y%m%dT%H%M%S", &utc);
    snprintf(name + n, CHECKPOINT_NAME - n, ".%03d", (int)(ms % 1000));
}

void cmd_save(request *r)
{
    char    dir[4096], all[4096], name[CHECKPOINT_NAME];
    int64_t ms = store_now_ms(r->store);
    checkpoint_stamp(ms, name);
    if (argument_is(r->args[0], "save") && r->n > 1 && (r->n > 2 || !checkpoint_name(r->args[1], name))) {
        reply_error(r,
                    "ERR the name of a checkpoint is one word of letters, digits, '-', '_' and '.', up to %d of them",
                    CHECKPOINT_NAME - 1);
        return;
    }
    snprintf(all, sizeof all, "%s/checkpoints", db_dir(store_db(r->store)));
    int n = snprintf(dir, sizeof dir, "%s/%s", all, name);
    if (n < 0 || (size_t)n >= sizeof dir) {
        reply_error(r, "ERR the path of the checkpoint is too long");
        return;
    }
    chr_status st = env_mkdir(db_env(store_db(r->store)), all);
    if (st == CHR_OK || st == CHR_EXISTS) st = chr_checkpoint(r->store, dir);
    if (st == CHR_OK) r->server->saved_ms = ms;
    if (st != CHR_OK)
        reply_status(r, st);
    else if (argument_is(r->args[0], "bgsave"))
        reply_text(r, "Background saving started");
    else
        reply_ok(r);
}

void cmd_lastsave(request *r) { reply_integer(r, r->server->saved_ms / 1000); }

enum { SLEEP_MAX = 3600 };

void cmd_debug(request *r)
{
    char text[32] = { 0 }, *end;
    if (!argument_is(r->args[1], "sleep") || r->n != 3 || r->args[2].len >= sizeof text) {
        reply_error(r, "ERR DEBUG knows SLEEP seconds");
        return;
    }
    memcpy(text, r->args[2].data, r->args[2].len);
    double seconds = strtod(text, &end);
    if (*end || end == text || !(seconds >= 0 && seconds <= SLEEP_MAX)) {
        reply_error(r, "ERR value is not a number of seconds up to %d", SLEEP_MAX);
        return;
    }
    struct timespec t = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9) };
    while (nanosleep(&t, &t) != 0 && !r->server->stopping) continue;
    reply_ok(r);
}

void cmd_time(request *r)
{
    char    text[32];
    int64_t us = store_now_ns(r->store) / 1000;
    reply_array(r, 2);
    snprintf(text, sizeof text, "%" PRId64, us / 1000000);
    reply_value(r, chr_str(text));
    snprintf(text, sizeof text, "%" PRId64, us % 1000000);
    reply_value(r, chr_str(text));
}

void cmd_shutdown(request *r)
{
    for (size_t i = 1; i < r->n; i++)
        if (!argument_is(r->args[i], "nosave") && !argument_is(r->args[i], "save") && !argument_is(r->args[i], "now") &&
            !argument_is(r->args[i], "force")) {
            reply_error(r, "ERR syntax error");
            return;
        }
    if (!r->server->options.on_shutdown) {
        reply_error(r, "ERR this server cannot be shut down from here");
        return;
    }
    r->session->closing = true; /* as Redis does, it answers by closing the connection */
    r->server->options.on_shutdown(r->server->options.shutdown_arg);
}
