/* CONFIG GET and SET, and the settings behind them. */
#include "net/settings.h"

#include "net/glob.h"
#include "net/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PUBSUB_HARD = 32 << 20,
    PUBSUB_SOFT = 8 << 20,
    PUBSUB_SOFT_SECONDS = 60,
    REQUEST_TIMEOUT = 60,
    SECONDS_MAX = 1 << 30,
    SLOW_US = 10000,
    SLOW_MAX = 128,
    TRACKING_KEYS = 1000000,
    REPLY_TIMEOUT = 60,
};

static void set_slower_than(settings *s, int64_t us)
{
    bool never = us < 0 || us > INT64_MAX / 1000;
    s->slow_us = us;
    s->slow_ns = never ? UINT64_MAX : (uint64_t)us * 1000;
}

void settings_init(settings *s, unsigned max_clients)
{
    s->max_clients = max_clients;
    s->request_timeout = REQUEST_TIMEOUT;
    set_slower_than(s, SLOW_US);
    s->slow_max = SLOW_MAX;
    s->tracking_keys = TRACKING_KEYS;
    s->reply_timeout = REPLY_TIMEOUT;
    s->pubsub_hard = PUBSUB_HARD;
    s->pubsub_soft = PUBSUB_SOFT;
    s->pubsub_soft_seconds = PUBSUB_SOFT_SECONDS;
}

/* A setting. `set` checks, and with `apply` changes; false with a message: the value will not do. NULL: it cannot be changed. */
typedef struct setting {
    const char *name;
    void (*get)(server *s, buf *text);
    bool (*set)(server *s, slice value, bool apply);
} setting;

static void get_appendonly(server *s, buf *text)
{
    (void)s;
    buf_printf(text, "yes");
}
static void get_save(server *s, buf *text)
{
    (void)s;
    (void)text;
}
static void get_databases(server *s, buf *text)
{
    (void)s;
    buf_printf(text, "1");
}
static void get_port(server *s, buf *text) { buf_printf(text, "%s", server_port(s)); }
static void get_dir(server *s, buf *text) { buf_printf(text, "%s", db_dir(store_db(s->store))); }

/* ---- numbers ---- */

static bool parse_range(slice value, uint64_t min, uint64_t max, uint64_t *number)
{
    int64_t v;
    if (!parse_int64(value, &v)) {
        chr_fail(CHR_INVALID, "argument couldn't be parsed into an integer");
        return false;
    }
    if (v < 0 || (uint64_t)v < min || (uint64_t)v > max) {
        chr_fail(CHR_INVALID, "argument must be between %" PRIu64 " and %" PRIu64 " inclusive", min, max);
        return false;
    }
    *number = (uint64_t)v;
    return true;
}

static bool set_number(_Atomic(uint64_t) *to, slice value, uint64_t min, uint64_t max, bool apply)
{
    uint64_t number;
    if (!parse_range(value, min, max, &number)) return false;
    if (apply) atomic_store(to, number);
    return true;
}

static void get_max_clients(server *s, buf *text) { buf_printf(text, "%" PRIu64, (uint64_t)s->settings.max_clients); }
static bool set_max_clients(server *s, slice value, bool apply)
{
    return set_number(&s->settings.max_clients, value, 1, UINT32_MAX, apply);
}

static void get_timeout(server *s, buf *text) { buf_printf(text, "%" PRIu64, (uint64_t)s->settings.timeout); }
static bool set_timeout(server *s, slice value, bool apply)
{
    return set_number(&s->settings.timeout, value, 0, SECONDS_MAX, apply);
}

static void get_reply_timeout(server *s, buf *text)
{
    buf_printf(text, "%" PRIu64, (uint64_t)s->settings.reply_timeout);
}
static bool set_reply_timeout(server *s, slice value, bool apply)
{
    return set_number(&s->settings.reply_timeout, value, 0, SECONDS_MAX, apply);
}
static void get_request_timeout(server *s, buf *text)
{
    buf_printf(text, "%" PRIu64, (uint64_t)s->settings.request_timeout);
}
static bool set_request_timeout(server *s, slice value, bool apply)
{
    return set_number(&s->settings.request_timeout, value, 0, SECONDS_MAX, apply);
}

/* ---- slowlog ---- */

static void get_slower_than(server *s, buf *text) { buf_printf(text, "%" PRId64, (int64_t)s->settings.slow_us); }
static bool set_slower_than_text(server *s, slice value, bool apply)
{
    int64_t us;
    if (!parse_int64(value, &us)) {
        chr_fail(CHR_INVALID, "argument couldn't be parsed into an integer");
        return false;
    }
    if (us < -1) {
        chr_fail(CHR_INVALID, "argument must be between -1 and %" PRId64 " inclusive", INT64_MAX);
        return false;
    }
    if (apply) {
        set_slower_than(&s->settings, us);
        calls_update_notable(s);
    }
    return true;
}

static void get_slow_max(server *s, buf *text) { buf_printf(text, "%" PRIu64, (uint64_t)s->settings.slow_max); }
static bool set_slow_max(server *s, slice value, bool apply)
{
    if (!set_number(&s->settings.slow_max, value, 0, INT64_MAX, apply)) return false;
    if (apply) slowlog_trim(&s->slowlog, (size_t)s->settings.slow_max);
    return true;
}

static void get_latency(server *s, buf *text) { buf_printf(text, "%" PRIu64, (uint64_t)s->settings.latency_ms); }
static bool set_latency(server *s, slice value, bool apply)
{
    if (!set_number(&s->settings.latency_ms, value, 0, INT64_MAX, apply)) return false;
    if (apply) calls_update_notable(s);
    return true;
}

static void get_tracking_keys(server *s, buf *text)
{
    buf_printf(text, "%" PRIu64, (uint64_t)s->settings.tracking_keys);
}
static bool set_tracking_keys(server *s, slice value, bool apply)
{
    if (!set_number(&s->settings.tracking_keys, value, 0, INT64_MAX, apply)) return false;
    if (apply) tracking_trim(&s->tracking);
    return true;
}

/* ---- client-output-buffer-limit: "pubsub HARD SOFT SECONDS"; sizes as Redis writes them ---- */

static bool parse_memory(slice text, uint64_t *bytes)
{
    static const struct {
        const char *unit;
        uint64_t    size;
    } units[] = { { "kb", UINT64_C(1) << 10 },
                  { "mb", UINT64_C(1) << 20 },
                  { "gb", UINT64_C(1) << 30 },
                  { "k", 1000 },
                  { "m", 1000000 },
                  { "g", 1000000000 },
                  { "b", 1 },
                  { "", 1 } };
    size_t  digits = 0;
    int64_t number;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') digits++;
    if (!parse_int64(chr_bytes(text.data, digits), &number)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (argument_is(slice_from(text, digits), units[i].unit))
            return !__builtin_mul_overflow((uint64_t)number, units[i].size, bytes);
    return false;
}

static slice next_word(slice *rest)
{
    size_t from = 0, to;
    while (from < rest->len && rest->data[from] == ' ') from++;
    for (to = from; to < rest->len && rest->data[to] != ' ';) to++;
    slice word = chr_bytes(rest->data + from, to - from);
    *rest = slice_from(*rest, to);
    return word;
}

static void get_output_limit(server *s, buf *text)
{
    buf_printf(text, "pubsub %" PRIu64 " %" PRIu64 " %" PRIu64, (uint64_t)s->settings.pubsub_hard,
               (uint64_t)s->settings.pubsub_soft, (uint64_t)s->settings.pubsub_soft_seconds);
}
static bool set_output_limit(server *s, slice value, bool apply)
{
    uint64_t hard, soft, seconds;
    slice class = next_word(&value), first = next_word(&value), second = next_word(&value), third = next_word(&value);
    if (!argument_is(class, "pubsub") || !parse_memory(first, &hard) || !parse_memory(second, &soft) ||
        !parse_memory(third, &seconds) || seconds > UINT32_MAX || next_word(&value).len) {
        chr_fail(CHR_INVALID,
                 "write pubsub, the hard limit, the soft limit and its seconds, such as 'pubsub 32mb 8mb 60'");
        return false;
    }
    if (apply) {
        s->settings.pubsub_hard = hard;
        s->settings.pubsub_soft = soft;
        s->settings.pubsub_soft_seconds = seconds;
    }
    return true;
}

/* ---- notify-keyspace-events ---- */

static void get_notify(server *s, buf *text) { notify_format(atomic_load(&s->pubsub.notify), text); }
static bool set_notify(server *s, slice value, bool apply)
{
    unsigned flags;
    if (!notify_parse(value, &flags)) {
        chr_fail(CHR_INVALID, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        return false;
    }
    return !apply || notify_set(&s->pubsub, flags) == CHR_OK;
}

static const setting all_settings[] = {
    { "appendonly", get_appendonly, NULL },
    { "client-output-buffer-limit", get_output_limit, set_output_limit },
    { "databases", get_databases, NULL },
    { "dir", get_dir, NULL },
    { "latency-monitor-threshold", get_latency, set_latency },
    { "maxclients", get_max_clients, set_max_clients },
    { "notify-keyspace-events", get_notify, set_notify },
    { "port", get_port, NULL },
    { "reply-timeout", get_reply_timeout, set_reply_timeout },
    { "request-timeout", get_request_timeout, set_request_timeout },
    { "save", get_save, NULL },
    { "slowlog-log-slower-than", get_slower_than, set_slower_than_text },
    { "slowlog-max-len", get_slow_max, set_slow_max },
    { "timeout", get_timeout, set_timeout },
    { "tracking-table-max-keys", get_tracking_keys, set_tracking_keys },
};
enum { SETTINGS = sizeof all_settings / sizeof *all_settings };

static void config_get(request *r)
{
    bool   matches[SETTINGS] = { 0 };
    size_t found = 0;
    for (size_t i = 0; i < SETTINGS; i++) {
        for (size_t k = 2; k < r->n; k++)
            matches[i] = matches[i] || glob_match(r->args[k], chr_str(all_settings[i].name));
        found += matches[i];
    }
    reply_map(r, found);
    for (size_t i = 0; i < SETTINGS; i++) {
        buf text = { 0 };
        if (!matches[i]) continue;
        all_settings[i].get(r->server, &text);
        reply_value(r, chr_str(all_settings[i].name));
        reply_value(r, chr_bytes(text.data ? text.data : "", text.len));
        chr_buf_free(&text);
    }
}

static const setting *find_setting(slice name)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (argument_is(name, all_settings[i].name)) return &all_settings[i];
    return NULL;
}

/* All or nothing: every value is looked at before the first is changed. */
static void config_set(request *r)
{
    for (int apply = 0; apply <= 1; apply++)
        for (size_t i = 2; i < r->n; i += 2) {
            const setting *s = find_setting(r->args[i]);
            if (!s) {
                reply_error(r, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                            (int)(r->args[i].len < 64 ? r->args[i].len : 64), r->args[i].data);
                return;
            }
            if (!s->set) {
                reply_error(r, "ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable config",
                            s->name);
                return;
            }
            if (!s->set(r->server, r->args[i + 1], apply)) {
                reply_error(r, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", s->name,
                            chr_message());
                return;
            }
        }
    reply_ok(r);
}

static void config_resetstat(request *r)
{
    calls_reset(r->server);
    atomic_store(&r->server->connections, 0);
    atomic_store(&r->server->rejected, 0);
    reply_ok(r);
}

bool server_config_text(server *srv, buf *text)
{
    bool good = true;
    for (size_t i = 0; i < SETTINGS && good; i++) {
        good = buf_printf(text, "%s ", all_settings[i].name);
        if (good) all_settings[i].get(srv, text);
        good = good && buf_append_byte(text, '\n');
    }
    return good;
}

chr_status server_config_set(server *srv, slice name, slice value)
{
    const setting *s = find_setting(name);
    return s && s->set && s->set(srv, value, false) && s->set(srv, value, true)
               ? CHR_OK
               : chr_fail(CHR_INVALID, "this cannot be set, or not to this");
}

const subcommand config_subcommands[] = {
    { "get", -3, CMD_ADMIN, 0, 0 },
    { "resetstat", 2, CMD_ADMIN, 0, 0 },
    { "set", -4, CMD_ADMIN, 0, 0 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_config(request *r)
{
    enum { GET, RESETSTAT, SET };
    switch (find_subcommand(r)) {
    case GET: config_get(r); break;
    case RESETSTAT: config_resetstat(r); break;
    case SET:
        if (r->n % 2 == 0)
            config_set(r);
        else
            reply_error(r, "ERR wrong number of arguments for 'config|set' command");
        break;
    default: break; /* answered */
    }
}
