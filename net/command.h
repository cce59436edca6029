/* The one table of commands: it dispatches, checks arity, says what belongs to which category and which arguments are keys, and feeds
 * COMMAND, HELP, ACL, INFO, completion and PROTOCOL.md. Any thread. */
#ifndef CHR_NET_COMMAND_H
#define CHR_NET_COMMAND_H

#include "net/request.h"

typedef enum command_flag {
    CMD_WRITE = 1, /* may change the store: goes to a worker while writers are slowed down */
    CMD_READ = 2,
    CMD_SLOW = 4, /* always runs on a worker */
    CMD_ADMIN = 8,
    CMD_FAST = 16,
    CMD_GROWS = 32,       /* may make the store bigger; Redis calls it denyoom */
    CMD_NO_MULTI = 64,    /* refused inside MULTI: it concerns the connection, or waits for others */
    CMD_UNQUEUED = 128,   /* is run inside MULTI, not queued */
    CMD_SUBSCRIBED = 256, /* also for subscribers that speak RESP2 */
    CMD_NEVER_PAUSED = 512,
    CMD_NO_AUTH = 1024,       /* also for those who have not given a password */
    CMD_NOT_SLOW = 2048,      /* not in SLOWLOG: those that it runs are */
    CMD_NOT_MONITORED = 4096, /* MONITOR does not show it; those with CMD_ADMIN neither */
} command_flag;

/* The categories of Redis, in its order; some have nothing in them here. */
typedef enum category {
    CAT_KEYSPACE = 1 << 0,
    CAT_READ = 1 << 1,
    CAT_WRITE = 1 << 2,
    CAT_STRING = 1 << 7,
    CAT_BITMAP = 1 << 8,
    CAT_PUBSUB = 1 << 12,
    CAT_ADMIN = 1 << 13,
    CAT_FAST = 1 << 14,
    CAT_SLOW = 1 << 15,
    CAT_DANGEROUS = 1 << 17,
    CAT_CONNECTION = 1 << 18,
    CAT_TRANSACTION = 1 << 19,
} category;
enum { CATEGORIES = 21 };
extern const char *const category_names[CATEGORIES]; /* the place of each is its bit */
unsigned                 category_find(slice name);  /* 0: unknown */

/* What is done with keys: nothing to their values (EXISTS), or this. */
typedef enum key_use {
    KEYS_READ = 1,
    KEYS_WRITE = 2,
    KEYS_OTHERS_READ = 4, /* to those behind the first, if it is something else */
    KEYS_OTHERS_WRITE = 8,
    KEYS_BY_ARGUMENTS = 16, /* command_keys finds out */
    KEYS_RANGE = 32,        /* of keys that are not named: those from the first argument to the second, */
    KEYS_PREFIX = 64,       /* those that begin with the first, */
    KEYS_ALL = 128,         /* all of them */
} key_use;

typedef void command_fn(request *r);
struct command {
    const char *name;  /* lower case */
    int         arity; /* arguments with the name; negative: at least so many */
    unsigned    flags;
    unsigned    categories; /* but for those that follow from the flags, see command_categories */
    int         first_key, last_key, key_step;
    unsigned    keys; /* KEYS_* */
    command_fn *run;
    /* For people: HELP, COMMAND DOCS, completion, and the tables in PROTOCOL.md. Empty: there is nothing to say. */
    const char *arguments, *summary;
    const char *example; /* its arguments */
    const char *notes;
};

enum { COMMAND_NAME_MAX = 32 }; /* bytes */
extern const command command_table[];
extern const size_t  command_count;
const command       *command_find(slice name); /* NULL: unknown */
/* The same, cheaper if it is the command that came before, as in most pipelines; that may be NULL. */
const command *command_find_again(const command *before, slice name);
/* What Redis groups it with: one of the names. */
const char *command_group(const command *c);
enum { COMMAND_GROUPS = 7 };
extern const char *const command_groups[COMMAND_GROUPS];
/* The ways to call it, one for each subcommand: of `*at`, which begins as its arguments, the length of the first one; `*at` is then the
 * rest, or NULL. */
size_t command_call(const command *c, const char **at);
void   reply_unknown_command(request *r);

/* For commands whose first argument says which. */
typedef struct subcommand {
    const char *name;  /* lower case */
    int         arity; /* with the names of command and subcommand */
    unsigned    flags; /* CMD_READ and CMD_ADMIN */
    unsigned    categories;
    int         key; /* the argument that is one; 0: none */
} subcommand;
extern const subcommand acl_subcommands[], client_subcommands[], command_subcommands[], config_subcommands[],
    fs_subcommands[], latency_subcommands[], memory_subcommands[], object_subcommands[], pubsub_subcommands[],
    slowlog_subcommands[], snapshot_subcommands[];
/* All of them, up to one without a name; NULL: it has none. */
const subcommand *subcommands_of(const command *c);
const subcommand *subcommand_find(const command *c, slice name); /* NULL: unknown */
/* "name" or "name|subcommand", which is then in *sub. NULL: unknown. */
const command *command_find_full(slice name, const subcommand **sub);
const char    *command_full_name(const command *c, const subcommand *sub, char text[COMMAND_NAME_MAX]);
void           reply_commands_in(request *r, unsigned categories); /* an array of their full names */
/* Of the subcommand, if there is one. */
unsigned command_categories(const command *c, const subcommand *sub);
/* The place among all commands and subcommands; and how many of them there are. */
size_t command_place(const command *c, const subcommand *sub);
size_t command_places(void);

/* Which arguments are keys: those at first, first + step ... up to last. Their number fits the arity. */
typedef struct key_places {
    size_t   first, last, step; /* first 0: none */
    unsigned use, others;       /* KEYS_READ, KEYS_WRITE: of the first and of the others */
} key_places;
key_places command_keys(const command *c, const slice *args, size_t n);

command_fn cmd_ping, cmd_echo, cmd_hello, cmd_quit, cmd_select, cmd_client, cmd_reset, cmd_wait;
command_fn cmd_set, cmd_setnx, cmd_setex, cmd_psetex, cmd_get, cmd_getset, cmd_getdel, cmd_getex, cmd_mget, cmd_mset,
    cmd_msetnx, cmd_strlen;
command_fn cmd_append, cmd_getrange, cmd_setrange, cmd_lcs;
command_fn cmd_incr, cmd_decr, cmd_incrby, cmd_decrby, cmd_incrbyfloat;
command_fn cmd_expire, cmd_pexpire, cmd_expireat, cmd_pexpireat, cmd_ttl, cmd_pttl, cmd_expiretime, cmd_pexpiretime,
    cmd_persist;
command_fn cmd_del, cmd_exists, cmd_type, cmd_rename, cmd_renamenx, cmd_scan, cmd_dbsize, cmd_flushall;
command_fn cmd_setbit, cmd_getbit, cmd_bitcount, cmd_bitpos, cmd_bitop, cmd_bitfield, cmd_bitfield_ro;
command_fn cmd_keys, cmd_range, cmd_prefix, cmd_countrange, cmd_delrange;
command_fn cmd_object, cmd_randomkey, cmd_copy, cmd_dump, cmd_restore;
command_fn cmd_info, cmd_command, cmd_config, cmd_compact, cmd_save, cmd_lastsave, cmd_debug, cmd_time, cmd_shutdown;
command_fn cmd_monitor, cmd_slowlog, cmd_latency, cmd_memory, cmd_snapshot;
command_fn cmd_multi, cmd_exec, cmd_discard, cmd_watch, cmd_unwatch;
command_fn cmd_subscribe, cmd_unsubscribe, cmd_psubscribe, cmd_punsubscribe, cmd_publish, cmd_pubsub;
command_fn cmd_auth, cmd_acl, cmd_help;
command_fn cmd_fs, cmd_fscommit, cmd_fssettled, cmd_fswatch;

#endif
