#include "net/command.h"

#include "net/calls.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>

const command command_table[] = {
    { "acl", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NOT_MONITORED, 0, 0, 0, 0, 0, cmd_acl,
      "DELUSER name [name ...] | GENPASS [bits] | GETUSER name | LIST | SETUSER name [rule ...] | USERS | WHOAMI",
      "Shows and changes who may do what." },
    { "append", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_WRITE, cmd_append, "key value",
      "Appends to a value, and creates it if need be." },
    { "auth", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NO_AUTH, CAT_FAST | CAT_CONNECTION, 0, 0, 0, 0, cmd_auth,
      "[username] password", "Says who it is." },
    { "bgsave", -1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_save, "",
      "Makes a checkpoint in the directory checkpoints." },
    { "bitcount", -2, CMD_READ, CAT_BITMAP, 1, 1, 1, KEYS_READ, cmd_bitcount, "key [start end [BYTE | BIT]]",
      "Counts the bits that are set." },
    { "bitfield", -2, CMD_WRITE | CMD_GROWS, CAT_BITMAP, 1, 1, 1, KEYS_BY_ARGUMENTS | KEYS_READ | KEYS_WRITE,
      cmd_bitfield,
      "key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset "
      "increment ...]",
      "Reads and changes integers within a value." },
    { "bitfield_ro", -2, CMD_READ | CMD_FAST, CAT_BITMAP, 1, 1, 1, KEYS_READ, cmd_bitfield_ro,
      "key [GET encoding offset ...]", "Reads integers within a value." },
    { "bitop", -4, CMD_WRITE | CMD_GROWS, CAT_BITMAP, 2, -1, 1, KEYS_WRITE | KEYS_OTHERS_READ, cmd_bitop,
      "AND | OR | XOR | NOT destkey key [key ...]", "Combines values bit by bit." },
    { "bitpos", -3, CMD_READ, CAT_BITMAP, 1, 1, 1, KEYS_READ, cmd_bitpos, "key bit [start [end [BYTE | BIT]]]",
      "Finds the first bit that is set or clear." },
    { "client", -2, CMD_NEVER_PAUSED, 0, 0, 0, 0, 0, cmd_client,
      "CACHING YES | NO | GETNAME | GETREDIR | ID | INFO | KILL filter value [filter value ...] | LIST [TYPE type | ID "
      "id [id ...]] | NO-EVICT ON | "
      "OFF | PAUSE milliseconds [WRITE | ALL] | REPLY ON | OFF | SKIP | SETINFO attribute value | SETNAME name | "
      "TRACKING ON | OFF "
      "[REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP] | TRACKINGINFO | "
      "UNPAUSE",
      "Asks about or changes connections." },
    { "command", -1, 0, CAT_CONNECTION, 0, 0, 0, 0, cmd_command,
      "[COUNT | DOCS [name ...] | GETKEYS command [argument ...] | HELP | INFO [name ...] | LIST [FILTERBY PATTERN "
      "pattern]]",
      "Describes the commands." },
    { "compact", 1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_compact, "",
      "Compacts the whole store, and waits for it." },
    { "config", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NOT_MONITORED, 0, 0, 0, 0, 0, cmd_config,
      "GET pattern [pattern ...] | RESETSTAT | SET setting value [setting value ...]", "Shows and changes settings." },
    { "copy", -3, CMD_WRITE | CMD_GROWS, CAT_KEYSPACE, 1, 2, 1, KEYS_READ | KEYS_OTHERS_WRITE, cmd_copy,
      "source destination [DB destination-db] [REPLACE]", "Copies a key." },
    { "countrange", 3, CMD_READ | CMD_SLOW, CAT_KEYSPACE, 0, 0, 0, KEYS_RANGE | KEYS_READ, cmd_countrange, "start end",
      "Counts the keys with start <= key < end." },
    { "dbsize", 1, CMD_READ | CMD_SLOW | CMD_FAST, CAT_KEYSPACE, 0, 0, 0, 0, cmd_dbsize, "", "Counts the keys." },
    { "debug", -2, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_debug, "SLEEP seconds", "For tests." },
    { "decr", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_decr, "key",
      "Subtracts one from a number." },
    { "decrby", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_decrby,
      "key decrement", "Subtracts from a number." },
    { "del", -2, CMD_WRITE, CAT_KEYSPACE, 1, -1, 1, KEYS_WRITE, cmd_del, "key [key ...]",
      "Deletes keys, all or none." },
    { "delrange", 3, CMD_WRITE | CMD_SLOW, CAT_KEYSPACE | CAT_DANGEROUS, 0, 0, 0, KEYS_RANGE | KEYS_WRITE, cmd_delrange,
      "start end", "Deletes the keys with start <= key < end, all at once." },
    { "discard", 1, CMD_FAST | CMD_UNQUEUED, CAT_TRANSACTION, 0, 0, 0, 0, cmd_discard, "",
      "Drops the commands queued since MULTI." },
    { "dump", 2, CMD_READ, CAT_KEYSPACE, 1, 1, 1, KEYS_READ, cmd_dump, "key",
      "Gives a value in a form that RESTORE takes." },
    { "echo", 2, CMD_FAST, CAT_CONNECTION, 0, 0, 0, 0, cmd_echo, "message", "Says it back." },
    { "exec", 1, CMD_WRITE | CMD_UNQUEUED | CMD_NOT_SLOW, CAT_TRANSACTION, 0, 0, 0, 0, cmd_exec, "",
      "Runs the commands queued since MULTI, all at once." },
    { "exists", -2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, -1, 1, 0, cmd_exists, "key [key ...]",
      "Counts which of the keys exist." },
    { "expire", -3, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_WRITE, cmd_expire,
      "key seconds [NX | XX | GT | LT]", "Lets a key expire." },
    { "expireat", -3, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_WRITE, cmd_expireat,
      "key unix-time-seconds [NX | XX | GT | LT]", "Lets a key expire at a moment." },
    { "expiretime", 2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_READ, cmd_expiretime, "key",
      "Tells the second at which a key expires." },
    { "flushall", -1, CMD_WRITE | CMD_SLOW, CAT_KEYSPACE | CAT_DANGEROUS, 0, 0, 0, KEYS_ALL | KEYS_WRITE, cmd_flushall,
      "[ASYNC | SYNC]", "Deletes every key." },
    { "flushdb", -1, CMD_WRITE | CMD_SLOW, CAT_KEYSPACE | CAT_DANGEROUS, 0, 0, 0, KEYS_ALL | KEYS_WRITE, cmd_flushall,
      "[ASYNC | SYNC]", "Deletes every key." },
    { "fs", -3, CMD_READ | CMD_NO_MULTI | CMD_NOT_MONITORED | CMD_NOT_SLOW, CAT_KEYSPACE, 0, 0, 0, KEYS_ALL | KEYS_READ,
      cmd_fs,
      "BYE token | DATA token key offset | FIGURES token | LOOKUP token what key [key ...] | NAMES token space prefix "
      "from | READ token key offset length | STATS token | SYNC token | XATTRS token space key",
      "What a mount on another machine reads." },
    { "fscommit", 3, CMD_WRITE | CMD_GROWS | CMD_SLOW | CMD_NO_MULTI | CMD_NOT_MONITORED, CAT_KEYSPACE | CAT_DANGEROUS,
      0, 0, 0, KEYS_ALL | KEYS_READ | KEYS_WRITE, cmd_fscommit, "token transaction",
      "What a mount on another machine changes." },
    { "fssettled", 4, CMD_FAST | CMD_NO_MULTI | CMD_NEVER_PAUSED | CMD_NOT_MONITORED, CAT_KEYSPACE, 0, 0, 0, 0,
      cmd_fssettled, "token registration count", "A mount on another machine has passed changes on." },
    { "fswatch", 2, CMD_SLOW | CMD_NO_MULTI | CMD_NEVER_PAUSED | CMD_NOT_MONITORED, CAT_KEYSPACE, 0, 0, 0,
      KEYS_ALL | KEYS_READ, cmd_fswatch, "token", "A mount on another machine wants to be told of changes." },
    { "get", 2, CMD_READ | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ, cmd_get, "key", "Gets a value." },
    { "getbit", 3, CMD_READ | CMD_FAST, CAT_BITMAP, 1, 1, 1, KEYS_READ, cmd_getbit, "key offset", "Tells a bit." },
    { "getdel", 2, CMD_WRITE | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_getdel, "key",
      "Gets a value, and deletes it." },
    { "getex", -2, CMD_WRITE | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_getex,
      "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
      "Gets a value, and changes when it expires." },
    { "getrange", 4, CMD_READ, CAT_STRING, 1, 1, 1, KEYS_READ, cmd_getrange, "key start end",
      "Gets a part of a value." },
    { "getset", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_getset,
      "key value", "Sets a value, and tells the old one." },
    { "hello", -1, CMD_FAST | CMD_NO_MULTI | CMD_NO_AUTH, CAT_CONNECTION, 0, 0, 0, 0, cmd_hello,
      "[protover [SETNAME clientname]]", "Chooses RESP2 or RESP3." },
    { "incr", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_incr, "key",
      "Adds one to a number." },
    { "incrby", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_incrby,
      "key increment", "Adds to a number." },
    { "incrbyfloat", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_incrbyfloat,
      "key increment", "Adds to a number with a fraction." },
    { "info", -1, 0, CAT_DANGEROUS, 0, 0, 0, 0, cmd_info, "[section [section ...]]", "Describes the server." },
    { "keys", 2, CMD_READ | CMD_SLOW | CMD_NO_MULTI, CAT_KEYSPACE | CAT_DANGEROUS, 0, 0, 0, 0, cmd_keys, "pattern",
      "Lists the keys that match." },
    { "lastsave", 1, CMD_FAST, CAT_ADMIN | CAT_DANGEROUS, 0, 0, 0, 0, cmd_lastsave, "",
      "Tells when the last checkpoint was made." },
    { "latency", -2, 0, 0, 0, 0, 0, 0, cmd_latency,
      "DOCTOR | HELP | HISTOGRAM [command ...] | HISTORY event | LATEST | RESET [event ...]",
      "Shows what took long, and when." },
    { "lcs", -3, CMD_READ | CMD_SLOW, CAT_STRING, 1, 2, 1, KEYS_READ, cmd_lcs,
      "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
      "Finds the longest common subsequence of two values." },
    { "memory", -2, 0, 0, 0, 0, 0, KEYS_BY_ARGUMENTS, cmd_memory,
      "DOCTOR | HELP | MALLOC-STATS | PURGE | STATS | USAGE key [SAMPLES count]", "Tells what memory is used for." },
    { "mget", -2, CMD_READ | CMD_FAST, CAT_STRING, 1, -1, 1, KEYS_READ, cmd_mget, "key [key ...]",
      "Gets several values." },
    { "monitor", 1, CMD_ADMIN | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_monitor, "", "Shows every command that is run." },
    { "mset", -3, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, -1, 2, KEYS_WRITE, cmd_mset, "key value [key value ...]",
      "Sets several values, all or none." },
    { "msetnx", -3, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, -1, 2, KEYS_WRITE, cmd_msetnx, "key value [key value ...]",
      "Sets several values, if none of the keys exists." },
    { "multi", 1, CMD_FAST | CMD_UNQUEUED, CAT_TRANSACTION, 0, 0, 0, 0, cmd_multi, "",
      "Queues the commands that follow, up to EXEC." },
    { "object", -2, 0, 0, 0, 0, 0, KEYS_BY_ARGUMENTS, cmd_object,
      "ENCODING key | FREQ key | HELP | IDLETIME key | REFCOUNT key", "Tells about a value." },
    { "persist", 2, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_WRITE, cmd_persist, "key",
      "Takes a key's expiry away." },
    { "pexpire", -3, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_WRITE, cmd_pexpire,
      "key milliseconds [NX | XX | GT | LT]", "Lets a key expire." },
    { "pexpireat", -3, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_WRITE, cmd_pexpireat,
      "key unix-time-milliseconds [NX | XX | GT | LT]", "Lets a key expire at a moment." },
    { "pexpiretime", 2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_READ, cmd_pexpiretime, "key",
      "Tells the millisecond at which a key expires." },
    { "ping", -1, CMD_FAST | CMD_SUBSCRIBED, CAT_CONNECTION, 0, 0, 0, 0, cmd_ping, "[message]", "Answers." },
    { "prefix", -2, CMD_READ | CMD_SLOW | CMD_NO_MULTI, CAT_KEYSPACE, 0, 0, 0, KEYS_PREFIX | KEYS_READ, cmd_prefix,
      "prefix [LIMIT count] [REV] [KEYS | VALUES]", "Lists keys that begin so, in order, and their values." },
    { "psetex", 4, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, 1, 1, KEYS_WRITE, cmd_psetex, "key milliseconds value",
      "Sets a value that expires." },
    { "psubscribe", -2, CMD_SUBSCRIBED | CMD_NO_MULTI, CAT_PUBSUB, 0, 0, 0, 0, cmd_psubscribe, "pattern [pattern ...]",
      "Receives what is published on channels that match." },
    { "pttl", 2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_READ, cmd_pttl, "key",
      "Tells the milliseconds a key has left." },
    { "publish", 3, CMD_FAST, CAT_PUBSUB, 0, 0, 0, 0, cmd_publish, "channel message",
      "Sends a message to the subscribers of a channel." },
    { "pubsub", -2, 0, CAT_SLOW, 0, 0, 0, 0, cmd_pubsub, "CHANNELS [pattern] | NUMPAT | NUMSUB [channel ...]",
      "Tells who is subscribed to what." },
    { "punsubscribe", -1, CMD_SUBSCRIBED | CMD_NO_MULTI, CAT_PUBSUB, 0, 0, 0, 0, cmd_punsubscribe,
      "[pattern [pattern ...]]", "Ends PSUBSCRIBE." },
    { "quit", -1, CMD_FAST | CMD_UNQUEUED | CMD_SUBSCRIBED | CMD_NO_AUTH, CAT_CONNECTION, 0, 0, 0, 0, cmd_quit, "",
      "Closes the connection." },
    { "randomkey", 1, CMD_READ | CMD_SLOW, CAT_KEYSPACE, 0, 0, 0, KEYS_ALL, cmd_randomkey, "",
      "Tells one of the keys." },
    { "range", -3, CMD_READ | CMD_SLOW | CMD_NO_MULTI, CAT_KEYSPACE, 0, 0, 0, KEYS_RANGE | KEYS_READ, cmd_range,
      "start end [LIMIT count] [REV] [KEYS | VALUES]",
      "Lists keys with start <= key < end, in order, and their values." },
    { "rename", 3, CMD_WRITE, CAT_KEYSPACE, 1, 2, 1, KEYS_READ | KEYS_WRITE | KEYS_OTHERS_WRITE, cmd_rename,
      "key newkey", "Renames a key." },
    { "renamenx", 3, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, 2, 1, KEYS_READ | KEYS_WRITE | KEYS_OTHERS_WRITE,
      cmd_renamenx, "key newkey", "Renames a key, if nothing has the new name." },
    { "reset", 1, CMD_FAST | CMD_UNQUEUED | CMD_SUBSCRIBED | CMD_NO_AUTH, CAT_CONNECTION, 0, 0, 0, 0, cmd_reset, "",
      "Puts the connection back to how it began." },
    { "restore", -4, CMD_WRITE | CMD_GROWS, CAT_KEYSPACE | CAT_DANGEROUS, 1, 1, 1, KEYS_WRITE, cmd_restore,
      "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
      "Sets a key to what DUMP gave." },
    { "save", -1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_save, "[name]",
      "Makes a checkpoint in the directory checkpoints." },
    { "scan", -2, CMD_READ | CMD_SLOW, CAT_KEYSPACE, 0, 0, 0, 0, cmd_scan,
      "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Walks the keys in steps." },
    { "select", 2, CMD_FAST, CAT_CONNECTION, 0, 0, 0, 0, cmd_select, "index", "There is database 0." },
    { "set", -3, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, 1, 1, KEYS_BY_ARGUMENTS | KEYS_READ | KEYS_WRITE, cmd_set,
      "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds "
      "| KEEPTTL]",
      "Sets a value." },
    { "setbit", 4, CMD_WRITE | CMD_GROWS, CAT_BITMAP, 1, 1, 1, KEYS_READ | KEYS_WRITE, cmd_setbit, "key offset value",
      "Sets or clears a bit." },
    { "setex", 4, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, 1, 1, KEYS_WRITE, cmd_setex, "key seconds value",
      "Sets a value that expires." },
    { "setnx", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, CAT_STRING, 1, 1, 1, KEYS_WRITE, cmd_setnx, "key value",
      "Sets a value, if the key does not exist." },
    { "setrange", 4, CMD_WRITE | CMD_GROWS, CAT_STRING, 1, 1, 1, KEYS_WRITE, cmd_setrange, "key offset value",
      "Writes over a part of a value." },
    { "shutdown", -1, CMD_ADMIN | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_shutdown, "", "Stops the server in order." },
    { "slowlog", -2, 0, 0, 0, 0, 0, 0, cmd_slowlog, "GET [count] | HELP | LEN | RESET",
      "Shows the last commands that took long." },
    { "snapshot", -2, CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, 0, 0, cmd_snapshot, "CREATE name | DROP name | HELP | LIST",
      "Keeps what there is under a name, until it is dropped." },
    { "strlen", 2, CMD_READ | CMD_FAST, CAT_STRING, 1, 1, 1, 0, cmd_strlen, "key", "Tells the length of a value." },
    { "subscribe", -2, CMD_SUBSCRIBED | CMD_NO_MULTI, CAT_PUBSUB, 0, 0, 0, 0, cmd_subscribe, "channel [channel ...]",
      "Receives what is published on channels." },
    { "substr", 4, CMD_READ, CAT_STRING, 1, 1, 1, KEYS_READ, cmd_getrange, "key start end", "Gets a part of a value." },
    { "time", 1, CMD_FAST, 0, 0, 0, 0, 0, cmd_time, "", "Tells the server's time." },
    { "touch", -2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, -1, 1, 0, cmd_exists, "key [key ...]",
      "Counts which of the keys exist." },
    { "ttl", 2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, KEYS_READ, cmd_ttl, "key",
      "Tells the seconds a key has left." },
    { "type", 2, CMD_READ | CMD_FAST, CAT_KEYSPACE, 1, 1, 1, 0, cmd_type, "key",
      "Tells what kind of value a key has." },
    { "unlink", -2, CMD_WRITE | CMD_FAST, CAT_KEYSPACE, 1, -1, 1, KEYS_WRITE, cmd_del, "key [key ...]",
      "Deletes keys, all or none." },
    { "unsubscribe", -1, CMD_SUBSCRIBED | CMD_NO_MULTI, CAT_PUBSUB, 0, 0, 0, 0, cmd_unsubscribe,
      "[channel [channel ...]]", "Ends SUBSCRIBE." },
    { "unwatch", 1, CMD_FAST, CAT_TRANSACTION, 0, 0, 0, 0, cmd_unwatch, "", "Forgets what WATCH was given." },
    { "wait", 3, 0, CAT_CONNECTION, 0, 0, 0, 0, cmd_wait, "numreplicas timeout",
      "Tells that no replica has anything." },
    { "watch", -2, CMD_READ | CMD_FAST | CMD_UNQUEUED, CAT_TRANSACTION, 1, -1, 1, 0, cmd_watch, "key [key ...]",
      "Makes the next EXEC do nothing if one of the keys changes before." },
};
const size_t command_count = sizeof command_table / sizeof *command_table;

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

enum { SHOWN_BYTES = 128 };

/* As Redis says it. */
void reply_unknown_command(request *r)
{
    buf    text = { 0 };
    slice  name = r->args[0];
    size_t shown = 0;
    buf_printf(&text, "ERR unknown command '%.*s', with args beginning with: ",
               (int)(name.len < SHOWN_BYTES ? name.len : SHOWN_BYTES), name.data);
    for (size_t i = 1; i < r->n && shown < SHOWN_BYTES; i++) {
        size_t len = r->args[i].len < SHOWN_BYTES - shown ? r->args[i].len : SHOWN_BYTES - shown;
        buf_printf(&text, "'%.*s' ", (int)len, r->args[i].data);
        shown += len;
    }
    reply_error(r, "%.*s", (int)text.len, text.data ? text.data : "ERR unknown command");
    chr_buf_free(&text);
}
