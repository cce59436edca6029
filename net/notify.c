/* Notifications of changed keys: a watcher of the store publishes every change, from whichever door it comes. It knows
 * that a key was written or deleted; commands of the table below say what their changes are called, others set and del. */
#include "net/command.h"
#include "net/expiries.h"
#include "net/pubsub.h"

enum {
    NOTIFY_KEYSPACE = 1,
    NOTIFY_KEYEVENT = 2,
    NOTIFY_GENERIC = 4,
    NOTIFY_STRING = 8,
    NOTIFY_EXPIRED = 256,
};

static const char letters[] = "KEg$lshzxetdmn"; /* each is the next bit */
static const char all_classes[] = "g$lshzxetd"; /* A */

bool notify_parse(slice text, unsigned *flags)
{
    *flags = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *letter = strchr(letters, text.data[i]);
        if (text.data[i] == 'A')
            for (const char *each = all_classes; *each; each++) *flags |= 1u << (strchr(letters, *each) - letters);
        else if (text.data[i] && letter)
            *flags |= 1u << (letter - letters);
        else
            return false;
    }
    return true;
}

void notify_format(unsigned flags, buf *text)
{
    unsigned all = 0;
    for (const char *each = all_classes; *each; each++) all |= 1u << (strchr(letters, *each) - letters);
    bool whole = (flags & all) == all;
    if (whole) buf_append_byte(text, 'A');
    for (unsigned i = 0; letters[i]; i++)
        if (flags & 1u << i && !(whole && all & 1u << i)) buf_append_byte(text, (uint8_t)letters[i]);
}

typedef struct events {
    command_fn *run;
    unsigned    class_of_put;
    const char *put, *deleted;
} events;

static const events plain = { NULL, NOTIFY_STRING, "set", "del" };
static const events named[] = {
    { cmd_append, NOTIFY_STRING, "append", "del" },
    { cmd_bitfield, NOTIFY_STRING, "setbit", "del" },
    { cmd_copy, NOTIFY_GENERIC, "copy_to", "del" },
    { cmd_decr, NOTIFY_STRING, "incrby", "del" }, /* as Redis has it */
    { cmd_decrby, NOTIFY_STRING, "incrby", "del" },
    { cmd_expire, NOTIFY_GENERIC, "expire", "del" },
    { cmd_expireat, NOTIFY_GENERIC, "expire", "del" },
    { cmd_incr, NOTIFY_STRING, "incrby", "del" },
    { cmd_incrby, NOTIFY_STRING, "incrby", "del" },
    { cmd_incrbyfloat, NOTIFY_STRING, "incrbyfloat", "del" },
    { cmd_persist, NOTIFY_GENERIC, "persist", "del" },
    { cmd_pexpire, NOTIFY_GENERIC, "expire", "del" },
    { cmd_pexpireat, NOTIFY_GENERIC, "expire", "del" },
    { cmd_rename, NOTIFY_GENERIC, "rename_to", "rename_from" },
    { cmd_renamenx, NOTIFY_GENERIC, "rename_to", "rename_from" },
    { cmd_restore, NOTIFY_GENERIC, "restore", "del" },
    { cmd_setbit, NOTIFY_STRING, "setbit", "del" },
    { cmd_setrange, NOTIFY_STRING, "setrange", "del" },
};

const void *notify_events_of(const command *c)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i].run == c->run) return &named[i];
    return NULL;
}

static void publish(pubsub *p, const char *prefix, slice subject, slice payload, uint64_t seq)
{
    buf channel = { 0 };
    if (buf_append_slice(&channel, chr_str(prefix)) && buf_append_slice(&channel, subject))
        (void)pubsub_publish(p, buf_slice(&channel), payload, seq);
    chr_buf_free(&channel);
}

static bool on_change(void *arg, const change *c)
{
    pubsub       *p = arg;
    const events *of = c->cause ? c->cause : &plain;
    unsigned      flags = atomic_load(&p->notify);
    bool          put = c->kind == CHANGE_PUT, expired = c->kind == CHANGE_EXPIRED;
    slice         event = chr_str(put ? of->put : expired ? "expired" : of->deleted);
    unsigned class = put ? of->class_of_put : expired ? NOTIFY_EXPIRED : NOTIFY_GENERIC;
    if (c->space != OBJECT_KEY || c->kind == CHANGE_RANGE || !(flags & class)) return false;
    if (!atomic_load(&p->counts[TOPIC_CHANNEL]) && !atomic_load(&p->counts[TOPIC_PATTERN])) return false;
    if (flags & NOTIFY_KEYSPACE) publish(p, "__keyspace@0__:", c->key, event, c->seq);
    if (flags & NOTIFY_KEYEVENT) publish(p, "__keyevent@0__:", event, c->key, c->seq);
    return false;
}

chr_status notify_set(pubsub *p, unsigned flags)
{
    bool       some = flags & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT);
    bool       wanted = some && flags & (NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_EXPIRED);
    chr_status st = CHR_OK;
    pthread_mutex_lock(&p->notify_mu);
    if (wanted && !p->watch) st = store_watch_add(p->store, on_change, p, &p->watch);
    if (!wanted && p->watch) {
        store_watch_remove(p->watch);
        p->watch = NULL;
    }
    if (chr_ok(st)) atomic_store(&p->notify, flags);
    if (chr_ok(st)) st = expiries_want(p->expiries, EXPIRIES_NOTIFY, some && flags & NOTIFY_EXPIRED);
    pthread_mutex_unlock(&p->notify_mu);
    return st;
}
