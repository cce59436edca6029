#include "net/command.h"

#include "net/calls.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>

/* Every request looks its command up: a hash of length and letters, upper and lower case alike, with linear probing. */
enum { SLOTS = 1024 };
static const command    *by_name[SLOTS];
static const subcommand *subcommands[COMMANDS_MAX]; /* by place in the table */
static size_t            places[COMMANDS_MAX + 1];  /* of each; those of its subcommands come behind it */
static char              lower[256];                /* tolower, without its calls */
static pthread_once_t    by_name_once = PTHREAD_ONCE_INIT;

static const struct {
    const char       *name;
    const subcommand *all;
} containers[] = {
    { "acl", acl_subcommands },         { "client", client_subcommands },     { "command", command_subcommands },
    { "config", config_subcommands },   { "latency", latency_subcommands },   { "memory", memory_subcommands },
    { "fs", fs_subcommands },           { "object", object_subcommands },     { "pubsub", pubsub_subcommands },
    { "slowlog", slowlog_subcommands }, { "snapshot", snapshot_subcommands },
};

static size_t slot_of(slice name)
{
    size_t h = name.len;
    for (size_t i = 0; i < name.len; i++) h = h * 31 + ((uint8_t)name.data[i] | 0x20u);
    return h % SLOTS;
}

static void fill_by_name(void)
{
    assert(command_count < SLOTS / 2 && command_count <= COMMANDS_MAX);
    for (int i = 0; i < 256; i++) lower[i] = (char)tolower(i);
    for (size_t i = 0; i < command_count; i++) {
        size_t at = slot_of(chr_str(command_table[i].name));
        assert(strlen(command_table[i].name) <= COMMAND_NAME_MAX);
        while (by_name[at]) at = (at + 1) % SLOTS;
        by_name[at] = &command_table[i];
        for (size_t k = 0; k < sizeof containers / sizeof *containers; k++)
            if (strcmp(containers[k].name, command_table[i].name) == 0) subcommands[i] = containers[k].all;
        places[i + 1] = places[i] + 1;
        for (const subcommand *sub = subcommands[i]; sub && sub->name; sub++) places[i + 1]++;
    }
}

static bool is_named(const command *c, slice name)
{
    size_t i = 0;
    while (i < name.len && lower[(uint8_t)name.data[i]] == c->name[i] && c->name[i]) i++;
    return i == name.len && !c->name[i];
}

const command *command_find(slice name)
{
    if (name.len > COMMAND_NAME_MAX) return NULL;
    (void)pthread_once(&by_name_once, fill_by_name);
    for (size_t at = slot_of(name); by_name[at]; at = (at + 1) % SLOTS)
        if (is_named(by_name[at], name)) return by_name[at];
    return NULL;
}

const command *command_find_again(const command *before, slice name)
{
    return before && is_named(before, name) ? before : command_find(name);
}

/* ---- subcommands, categories ---- */

const subcommand *subcommands_of(const command *c)
{
    (void)pthread_once(&by_name_once, fill_by_name);
    return subcommands[c - command_table];
}

const subcommand *subcommand_find(const command *c, slice name)
{
    const subcommand *sub = subcommands_of(c);
    while (sub && sub->name && !argument_is(name, sub->name)) sub++;
    return sub && sub->name ? sub : NULL;
}

const command *command_find_full(slice name, const subcommand **sub)
{
    const char    *bar = name.len ? memchr(name.data, '|', name.len) : NULL;
    const command *c = command_find(bar ? chr_bytes(name.data, (size_t)(bar - name.data)) : name);
    *sub = NULL;
    if (!bar || !c) return c;
    *sub = subcommand_find(c, slice_from(name, (size_t)(bar - name.data) + 1));
    return *sub ? c : NULL;
}

const char *command_full_name(const command *c, const subcommand *sub, char text[COMMAND_NAME_MAX])
{
    snprintf(text, COMMAND_NAME_MAX, "%s%s%s", c->name, sub ? "|" : "", sub ? sub->name : "");
    return text;
}

static size_t each_in(unsigned categories, request *r)
{
    char   name[COMMAND_NAME_MAX];
    size_t n = 0;
    for (const command *c = command_table; c < command_table + command_count; c++) {
        const subcommand *sub = subcommands_of(c);
        if (command_categories(c, NULL) & categories && ++n && r) reply_value(r, chr_str(c->name));
        for (; sub && sub->name; sub++)
            if (command_categories(c, sub) & categories && ++n && r)
                reply_value(r, chr_str(command_full_name(c, sub, name)));
    }
    return n;
}

void reply_commands_in(request *r, unsigned categories)
{
    reply_array(r, each_in(categories, NULL));
    (void)each_in(categories, r);
}

size_t command_place(const command *c, const subcommand *sub)
{
    const subcommand *all = subcommands_of(c);
    return places[c - command_table] + (sub ? (size_t)(sub - all) + 1 : 0);
}

size_t command_places(void)
{
    (void)pthread_once(&by_name_once, fill_by_name);
    return places[command_count];
}

const char *const category_names[CATEGORIES] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting",
};

unsigned category_find(slice name)
{
    for (unsigned i = 0; i < CATEGORIES; i++)
        if (argument_is(name, category_names[i])) return 1u << i;
    return 0;
}

unsigned command_categories(const command *c, const subcommand *sub)
{
    unsigned flags = sub ? sub->flags : c->flags, in = sub ? sub->categories : c->categories;
    if (!(flags & CMD_UNQUEUED)) /* EXEC is what its commands are */
        in |= (flags & CMD_READ ? CAT_READ : 0u) | (flags & CMD_WRITE ? CAT_WRITE : 0u);
    if (flags & CMD_ADMIN) in |= CAT_ADMIN | CAT_DANGEROUS;
    return in | (in & CAT_FAST || flags & CMD_FAST ? CAT_FAST : CAT_SLOW);
}

const char *const command_groups[COMMAND_GROUPS] = {
    "string", "bitmap", "generic", "transactions", "pubsub", "connection", "server",
};

const char *command_group(const command *c)
{
    static const unsigned categories[COMMAND_GROUPS - 1] = {
        CAT_STRING, CAT_BITMAP, CAT_KEYSPACE, CAT_TRANSACTION, CAT_PUBSUB, CAT_CONNECTION,
    };
    const subcommand *sub = subcommands_of(c);
    unsigned          in = sub ? sub->categories : c->categories;
    size_t            i = 0;
    while (i < COMMAND_GROUPS - 1 && !(in & categories[i])) i++;
    return command_groups[i];
}

size_t command_call(const command *c, const char **at)
{
    const char *from = *at;
    int         depth = 0; /* of brackets */
    for (const char *p = from; *p; p++) {
        depth += (*p == '[') - (*p == ']');
        if (depth || strncmp(p, " | ", 3) != 0) continue;
        if (!subcommand_find(c, chr_bytes(p + 3, strcspn(p + 3, " ")))) continue;
        *at = p + 3;
        return (size_t)(p - from);
    }
    *at = NULL;
    return strlen(from);
}

/* ---- keys ---- */

static bool has_word(const slice *args, size_t n, size_t from, const char *word)
{
    for (size_t i = from; i < n; i++)
        if (argument_is(args[i], word)) return true;
    return false;
}

/* BITFIELD that only gets; with a mistake it counts as one that sets. */
static bool only_gets(const slice *args, size_t n)
{
    for (size_t i = 2; i < n; i++) {
        size_t left = n - i - 1;
        if (argument_is(args[i], "get") && left >= 2)
            i += 2;
        else if (argument_is(args[i], "overflow") && left >= 1)
            i++;
        else
            return false;
    }
    return true;
}

key_places command_keys(const command *c, const slice *args, size_t n)
{
    key_places at = { .first = (size_t)c->first_key, .step = (size_t)c->key_step, .use = c->keys & 3u };
    if (c->keys & KEYS_BY_ARGUMENTS) {
        const subcommand *sub = n > 1 ? subcommand_find(c, args[1]) : NULL;
        if (sub && (size_t)sub->key < n) return (key_places){ (size_t)sub->key, (size_t)sub->key, 1, 0, 0 };
        if (c->run == cmd_set && !has_word(args, n, 3, "get")) at.use = KEYS_WRITE;
        if (c->run == cmd_bitfield && only_gets(args, n)) at.use = KEYS_READ;
    }
    if (!at.first) return at;
    at.last = c->last_key < 0 ? n - (size_t)-c->last_key : (size_t)c->last_key;
    at.others = c->keys & (KEYS_OTHERS_READ | KEYS_OTHERS_WRITE) ? c->keys >> 2 & 3u : at.use;
    return at;
}
