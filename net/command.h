/* The one table of commands: it dispatches, checks arity, and feeds COMMAND, INFO and completion. */
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

typedef void command_fn(request *r);
struct command {
    const char *name;  /* lower case */
    int         arity; /* arguments with the name; negative: at least so many */
    unsigned    flags;
    int         first_key, last_key, key_step;
    command_fn *run;
    const char *arguments; /* as HELP shows them */
    const char *summary;
};

enum { COMMAND_NAME_MAX = 32 }; /* bytes */
extern const command command_table[];
extern const size_t  command_count;
const command       *command_find(slice name); /* NULL: unknown */
/* The same, cheaper if it is the command that came before, as in most pipelines; that may be NULL. */
const command *command_find_again(const command *before, slice name);
void           reply_unknown_command(request *r);

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
command_fn cmd_auth, cmd_acl;
bool       client_is_administration(slice subcommand); /* of CLIENT */
void       forget_user(session *s);
bool       authenticate(request *r, slice name, slice password); /* of HELLO, too */

#endif
