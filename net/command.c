#include "net/command.h"

#include <ctype.h>
#include <pthread.h>

const command command_table[] = {
    { "acl", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NOT_MONITORED, 0, 0, 0, cmd_acl,
      "DELUSER name [name ...] | GENPASS [bits] | GETUSER name | LIST | SETUSER name [rule ...] | USERS | WHOAMI",
      "Shows and changes who may do what." },
    { "append", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_append, "key value",
      "Appends to a value, and creates it if need be." },
    { "auth", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NO_AUTH, 0, 0, 0, cmd_auth, "[username] password", "Says who it is." },
    { "bgsave", -1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_save, "",
      "Makes a checkpoint in the directory checkpoints." },
    { "bitcount", -2, CMD_READ, 1, 1, 1, cmd_bitcount, "key [start end [BYTE | BIT]]",
      "Counts the bits that are set." },
    { "bitfield", -2, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_bitfield,
      "key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset "
      "increment ...]",
      "Reads and changes integers within a value." },
    { "bitfield_ro", -2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_bitfield_ro, "key [GET encoding offset ...]",
      "Reads integers within a value." },
    { "bitop", -4, CMD_WRITE | CMD_GROWS, 2, -1, 1, cmd_bitop, "AND | OR | XOR | NOT destkey key [key ...]",
      "Combines values bit by bit." },
    { "bitpos", -3, CMD_READ, 1, 1, 1, cmd_bitpos, "key bit [start [end [BYTE | BIT]]]",
      "Finds the first bit that is set or clear." },
    { "client", -2, CMD_NEVER_PAUSED, 0, 0, 0, cmd_client,
      "CACHING YES | NO | GETNAME | GETREDIR | ID | INFO | KILL filter value [filter value ...] | LIST [TYPE type | ID "
      "id [id ...]] | NO-EVICT ON | "
      "OFF | PAUSE milliseconds [WRITE | ALL] | REPLY ON | OFF | SKIP | SETINFO attribute value | SETNAME name | "
      "TRACKING ON | OFF "
      "[REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP] | TRACKINGINFO | "
      "UNPAUSE",
      "Asks about or changes connections." },
    { "command", -1, 0, 0, 0, 0, cmd_command,
      "[COUNT | DOCS [name ...] | GETKEYS command [argument ...] | HELP | INFO [name ...] | LIST [FILTERBY PATTERN "
      "pattern]]",
      "Describes the commands." },
    { "compact", 1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_compact, "",
      "Compacts the whole store, and waits for it." },
    { "config", -2, CMD_SLOW | CMD_NO_MULTI | CMD_NOT_MONITORED, 0, 0, 0, cmd_config,
      "GET pattern [pattern ...] | RESETSTAT | SET setting value [setting value ...]", "Shows and changes settings." },
    { "copy", -3, CMD_WRITE | CMD_GROWS, 1, 2, 1, cmd_copy, "source destination [DB destination-db] [REPLACE]",
      "Copies a key." },
    { "countrange", 3, CMD_READ | CMD_SLOW, 0, 0, 0, cmd_countrange, "start end",
      "Counts the keys with start <= key < end." },
    { "dbsize", 1, CMD_READ | CMD_SLOW | CMD_FAST, 0, 0, 0, cmd_dbsize, "", "Counts the keys." },
    { "debug", -2, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_debug, "SLEEP seconds", "For tests." },
    { "decr", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_decr, "key", "Subtracts one from a number." },
    { "decrby", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_decrby, "key decrement", "Subtracts from a number." },
    { "del", -2, CMD_WRITE, 1, -1, 1, cmd_del, "key [key ...]", "Deletes keys, all or none." },
    { "delrange", 3, CMD_WRITE | CMD_SLOW, 0, 0, 0, cmd_delrange, "start end",
      "Deletes the keys with start <= key < end, all at once." },
    { "discard", 1, CMD_FAST | CMD_UNQUEUED, 0, 0, 0, cmd_discard, "", "Drops the commands queued since MULTI." },
    { "dump", 2, CMD_READ, 1, 1, 1, cmd_dump, "key", "Gives a value in a form that RESTORE takes." },
    { "echo", 2, CMD_FAST, 0, 0, 0, cmd_echo, "message", "Says it back." },
    { "exec", 1, CMD_WRITE | CMD_UNQUEUED | CMD_NOT_SLOW, 0, 0, 0, cmd_exec, "",
      "Runs the commands queued since MULTI, all at once." },
    { "exists", -2, CMD_READ | CMD_FAST, 1, -1, 1, cmd_exists, "key [key ...]", "Counts which of the keys exist." },
    { "expire", -3, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_expire, "key seconds [NX | XX | GT | LT]",
      "Lets a key expire." },
    { "expireat", -3, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_expireat, "key unix-time-seconds [NX | XX | GT | LT]",
      "Lets a key expire at a moment." },
    { "expiretime", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_expiretime, "key",
      "Tells the second at which a key expires." },
    { "flushall", -1, CMD_WRITE | CMD_SLOW, 0, 0, 0, cmd_flushall, "[ASYNC | SYNC]", "Deletes every key." },
    { "flushdb", -1, CMD_WRITE | CMD_SLOW, 0, 0, 0, cmd_flushall, "[ASYNC | SYNC]", "Deletes every key." },
    { "get", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_get, "key", "Gets a value." },
    { "getbit", 3, CMD_READ | CMD_FAST, 1, 1, 1, cmd_getbit, "key offset", "Tells a bit." },
    { "getdel", 2, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_getdel, "key", "Gets a value, and deletes it." },
    { "getex", -2, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_getex,
      "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
      "Gets a value, and changes when it expires." },
    { "getrange", 4, CMD_READ, 1, 1, 1, cmd_getrange, "key start end", "Gets a part of a value." },
    { "getset", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_getset, "key value",
      "Sets a value, and tells the old one." },
    { "hello", -1, CMD_FAST | CMD_NO_MULTI | CMD_NO_AUTH, 0, 0, 0, cmd_hello, "[protover [SETNAME clientname]]",
      "Chooses RESP2 or RESP3." },
    { "incr", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_incr, "key", "Adds one to a number." },
    { "incrby", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_incrby, "key increment", "Adds to a number." },
    { "incrbyfloat", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_incrbyfloat, "key increment",
      "Adds to a number with a fraction." },
    { "info", -1, 0, 0, 0, 0, cmd_info, "[section [section ...]]", "Describes the server." },
    { "keys", 2, CMD_READ | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_keys, "pattern", "Lists the keys that match." },
    { "lastsave", 1, CMD_FAST, 0, 0, 0, cmd_lastsave, "", "Tells when the last checkpoint was made." },
    { "latency", -2, CMD_ADMIN, 0, 0, 0, cmd_latency,
      "DOCTOR | HELP | HISTOGRAM [command ...] | HISTORY event | LATEST | RESET [event ...]",
      "Shows what took long, and when." },
    { "lcs", -3, CMD_READ | CMD_SLOW, 1, 2, 1, cmd_lcs,
      "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
      "Finds the longest common subsequence of two values." },
    { "memory", -2, 0, 0, 0, 0, cmd_memory, "DOCTOR | HELP | MALLOC-STATS | PURGE | STATS | USAGE key [SAMPLES count]",
      "Tells what memory is used for." },
    { "mget", -2, CMD_READ | CMD_FAST, 1, -1, 1, cmd_mget, "key [key ...]", "Gets several values." },
    { "monitor", 1, CMD_ADMIN | CMD_NO_MULTI, 0, 0, 0, cmd_monitor, "", "Shows every command that is run." },
    { "mset", -3, CMD_WRITE | CMD_GROWS, 1, -1, 2, cmd_mset, "key value [key value ...]",
      "Sets several values, all or none." },
    { "msetnx", -3, CMD_WRITE | CMD_GROWS, 1, -1, 2, cmd_msetnx, "key value [key value ...]",
      "Sets several values, if none of the keys exists." },
    { "multi", 1, CMD_FAST | CMD_UNQUEUED, 0, 0, 0, cmd_multi, "", "Queues the commands that follow, up to EXEC." },
    { "object", -2, 0, 0, 0, 0, cmd_object, "ENCODING key | FREQ key | HELP | IDLETIME key | REFCOUNT key",
      "Tells about a value." },
    { "persist", 2, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_persist, "key", "Takes a key's expiry away." },
    { "pexpire", -3, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_pexpire, "key milliseconds [NX | XX | GT | LT]",
      "Lets a key expire." },
    { "pexpireat", -3, CMD_WRITE | CMD_FAST, 1, 1, 1, cmd_pexpireat, "key unix-time-milliseconds [NX | XX | GT | LT]",
      "Lets a key expire at a moment." },
    { "pexpiretime", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_pexpiretime, "key",
      "Tells the millisecond at which a key expires." },
    { "ping", -1, CMD_FAST | CMD_SUBSCRIBED, 0, 0, 0, cmd_ping, "[message]", "Answers." },
    { "prefix", -2, CMD_READ | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_prefix,
      "prefix [LIMIT count] [REV] [KEYS | VALUES]", "Lists keys that begin so, in order, and their values." },
    { "psetex", 4, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_psetex, "key milliseconds value", "Sets a value that expires." },
    { "psubscribe", -2, CMD_SUBSCRIBED | CMD_NO_MULTI, 0, 0, 0, cmd_psubscribe, "pattern [pattern ...]",
      "Receives what is published on channels that match." },
    { "pttl", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_pttl, "key", "Tells the milliseconds a key has left." },
    { "publish", 3, CMD_FAST, 0, 0, 0, cmd_publish, "channel message",
      "Sends a message to the subscribers of a channel." },
    { "pubsub", -2, CMD_FAST, 0, 0, 0, cmd_pubsub, "CHANNELS [pattern] | NUMPAT | NUMSUB [channel ...]",
      "Tells who is subscribed to what." },
    { "punsubscribe", -1, CMD_SUBSCRIBED | CMD_NO_MULTI, 0, 0, 0, cmd_punsubscribe, "[pattern [pattern ...]]",
      "Ends PSUBSCRIBE." },
    { "quit", -1, CMD_FAST | CMD_UNQUEUED | CMD_SUBSCRIBED | CMD_NO_AUTH, 0, 0, 0, cmd_quit, "",
      "Closes the connection." },
    { "randomkey", 1, CMD_READ | CMD_SLOW, 0, 0, 0, cmd_randomkey, "", "Tells one of the keys." },
    { "range", -3, CMD_READ | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_range,
      "start end [LIMIT count] [REV] [KEYS | VALUES]",
      "Lists keys with start <= key < end, in order, and their values." },
    { "rename", 3, CMD_WRITE, 1, 2, 1, cmd_rename, "key newkey", "Renames a key." },
    { "renamenx", 3, CMD_WRITE | CMD_FAST, 1, 2, 1, cmd_renamenx, "key newkey",
      "Renames a key, if nothing has the new name." },
    { "reset", 1, CMD_FAST | CMD_UNQUEUED | CMD_SUBSCRIBED | CMD_NO_AUTH, 0, 0, 0, cmd_reset, "",
      "Puts the connection back to how it began." },
    { "restore", -4, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_restore,
      "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
      "Sets a key to what DUMP gave." },
    { "save", -1, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_save, "[name]",
      "Makes a checkpoint in the directory checkpoints." },
    { "scan", -2, CMD_READ | CMD_SLOW, 0, 0, 0, cmd_scan, "cursor [MATCH pattern] [COUNT count] [TYPE type]",
      "Walks the keys in steps." },
    { "select", 2, CMD_FAST, 0, 0, 0, cmd_select, "index", "There is database 0." },
    { "set", -3, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_set,
      "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds "
      "| KEEPTTL]",
      "Sets a value." },
    { "setbit", 4, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_setbit, "key offset value", "Sets or clears a bit." },
    { "setex", 4, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_setex, "key seconds value", "Sets a value that expires." },
    { "setnx", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, 1, 1, 1, cmd_setnx, "key value",
      "Sets a value, if the key does not exist." },
    { "setrange", 4, CMD_WRITE | CMD_GROWS, 1, 1, 1, cmd_setrange, "key offset value",
      "Writes over a part of a value." },
    { "shutdown", -1, CMD_ADMIN | CMD_NO_MULTI, 0, 0, 0, cmd_shutdown, "", "Stops the server in order." },
    { "slowlog", -2, CMD_ADMIN, 0, 0, 0, cmd_slowlog, "GET [count] | HELP | LEN | RESET",
      "Shows the last commands that took long." },
    { "snapshot", -2, CMD_ADMIN | CMD_SLOW | CMD_NO_MULTI, 0, 0, 0, cmd_snapshot,
      "CREATE name | DROP name | HELP | LIST", "Keeps what there is under a name, until it is dropped." },
    { "strlen", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_strlen, "key", "Tells the length of a value." },
    { "subscribe", -2, CMD_SUBSCRIBED | CMD_NO_MULTI, 0, 0, 0, cmd_subscribe, "channel [channel ...]",
      "Receives what is published on channels." },
    { "substr", 4, CMD_READ, 1, 1, 1, cmd_getrange, "key start end", "Gets a part of a value." },
    { "time", 1, CMD_FAST, 0, 0, 0, cmd_time, "", "Tells the server's time." },
    { "touch", -2, CMD_READ | CMD_FAST, 1, -1, 1, cmd_exists, "key [key ...]", "Counts which of the keys exist." },
    { "ttl", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_ttl, "key", "Tells the seconds a key has left." },
    { "type", 2, CMD_READ | CMD_FAST, 1, 1, 1, cmd_type, "key", "Tells what kind of value a key has." },
    { "unlink", -2, CMD_WRITE | CMD_FAST, 1, -1, 1, cmd_del, "key [key ...]", "Deletes keys, all or none." },
    { "unsubscribe", -1, CMD_SUBSCRIBED | CMD_NO_MULTI, 0, 0, 0, cmd_unsubscribe, "[channel [channel ...]]",
      "Ends SUBSCRIBE." },
    { "unwatch", 1, CMD_FAST, 0, 0, 0, cmd_unwatch, "", "Forgets what WATCH was given." },
    { "wait", 3, 0, 0, 0, 0, cmd_wait, "numreplicas timeout", "Tells that no replica has anything." },
    { "watch", -2, CMD_READ | CMD_FAST | CMD_UNQUEUED, 1, -1, 1, cmd_watch, "key [key ...]",
      "Makes the next EXEC do nothing if one of the keys changes before." },
};
const size_t command_count = sizeof command_table / sizeof *command_table;

/* Every request looks its command up: a hash of length and letters, upper and lower case alike, with linear probing. */
enum { SLOTS = 1024 };
static const command *by_name[SLOTS];
static char           lower[256]; /* tolower, without its calls */
static pthread_once_t by_name_once = PTHREAD_ONCE_INIT;

static size_t slot_of(slice name)
{
    size_t h = name.len;
    for (size_t i = 0; i < name.len; i++) h = h * 31 + ((uint8_t)name.data[i] | 0x20u);
    return h % SLOTS;
}

static void fill_by_name(void)
{
    assert(command_count < SLOTS / 2);
    for (int i = 0; i < 256; i++) lower[i] = (char)tolower(i);
    for (size_t i = 0; i < command_count; i++) {
        size_t at = slot_of(chr_str(command_table[i].name));
        assert(strlen(command_table[i].name) <= COMMAND_NAME_MAX);
        while (by_name[at]) at = (at + 1) % SLOTS;
        by_name[at] = &command_table[i];
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
