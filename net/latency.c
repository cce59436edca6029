#include "net/latency.h"

#include "net/server_internal.h"

#include <inttypes.h>

enum { LOOK_EACH_MS = 1000 };

static const char *const names[LATENCY_EVENTS] = { "command", "fast-command", "write-stall", "log-sync" };

void latency_init(latency *l) { pthread_mutex_init(&l->mu, NULL); }
void latency_free(latency *l) { pthread_mutex_destroy(&l->mu); }

/* ---- what is noted ---- */

/* With mu held. Of one second only the longest is kept. */
static void note(latency_series *s, int64_t at_s, uint64_t ms)
{
    size_t last = (s->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
    if (ms > s->max) s->max = ms;
    if (s->n && s->samples[last].at_s == at_s) {
        if (ms > s->samples[last].ms) s->samples[last].ms = ms;
        return;
    }
    s->samples[s->next].at_s = at_s;
    s->samples[s->next].ms = ms;
    s->next = (s->next + 1) % LATENCY_SAMPLES;
    if (s->n < LATENCY_SAMPLES) s->n++;
}

void latency_note(server *s, latency_event e, uint64_t ms)
{
    uint64_t threshold = atomic_load(&s->settings.latency_ms);
    if (!threshold || ms < threshold) return;
    pthread_mutex_lock(&s->latency.mu);
    note(&s->latency.of[e], store_now_ms(s->store) / 1000, ms);
    pthread_mutex_unlock(&s->latency.mu);
}

void latency_look(server *s, int64_t now_ms)
{
    latency  *l = &s->latency;
    chr_stats now;
    uint64_t  stalled = 0, synced = 0;
    if (!atomic_load(&s->settings.latency_ms) || pthread_mutex_trylock(&l->mu) != 0) return;
    bool due = now_ms - l->looked_ms >= LOOK_EACH_MS, first = l->looked_ms == 0;
    if (due) {
        chr_get_stats(s->store, &now);
        if (!first) {
            stalled = now.stall_us - l->stall_us;
            if (now.wal_syncs > l->syncs) synced = (now.wal_sync_us - l->sync_us) / (now.wal_syncs - l->syncs);
        }
        l->looked_ms = now_ms;
        l->stall_us = now.stall_us;
        l->syncs = now.wal_syncs;
        l->sync_us = now.wal_sync_us;
    }
    pthread_mutex_unlock(&l->mu);
    if (!due) return;
    latency_note(s, LATENCY_STALL, stalled / 1000);
    latency_note(s, LATENCY_SYNC, synced / 1000);
}

/* ---- LATENCY ---- */

static void latency_latest(request *r, latency *l)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mu);
    for (size_t e = 0; e < LATENCY_EVENTS; e++) n += l->of[e].n > 0;
    reply_array(r, n);
    for (size_t e = 0; e < LATENCY_EVENTS; e++) {
        const latency_series *s = &l->of[e];
        size_t                last = (s->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
        if (!s->n) continue;
        reply_array(r, 4);
        reply_value(r, chr_str(names[e]));
        reply_integer(r, s->samples[last].at_s);
        reply_integer(r, (int64_t)s->samples[last].ms);
        reply_integer(r, (int64_t)s->max);
    }
    pthread_mutex_unlock(&l->mu);
}

static void latency_history(request *r, latency *l)
{
    size_t e = 0;
    while (e < LATENCY_EVENTS && !argument_is(r->args[2], names[e])) e++;
    if (e == LATENCY_EVENTS) {
        reply_array(r, 0);
        return;
    }
    pthread_mutex_lock(&l->mu);
    const latency_series *s = &l->of[e];
    reply_array(r, s->n);
    for (size_t i = 0; i < s->n; i++) {
        size_t at = (s->next + LATENCY_SAMPLES - s->n + i) % LATENCY_SAMPLES;
        reply_array(r, 2);
        reply_integer(r, s->samples[at].at_s);
        reply_integer(r, (int64_t)s->samples[at].ms);
    }
    pthread_mutex_unlock(&l->mu);
}

static void latency_reset(request *r, latency *l)
{
    int64_t n = 0;
    pthread_mutex_lock(&l->mu);
    for (size_t e = 0; e < LATENCY_EVENTS; e++) {
        bool named = r->n == 2;
        for (size_t i = 2; i < r->n; i++) named = named || argument_is(r->args[i], names[e]);
        if (!named || !l->of[e].n) continue;
        l->of[e] = (latency_series){ 0 };
        n++;
    }
    pthread_mutex_unlock(&l->mu);
    reply_integer(r, n);
}

static void latency_doctor(request *r, latency *l)
{
    static const char *const advice[LATENCY_EVENTS] = {
        "SLOWLOG GET shows which commands they were.",
        "These usually take microseconds: the machine may be overloaded, or the disk slow to read from.",
        "Compaction lags behind what is written: write less at once, or use a faster disk.",
        "The disk is slow to sync: group writes in pipelines or MSET, or use --sync with a time.",
    };
    buf      text = { 0 };
    uint64_t threshold = atomic_load(&r->server->settings.latency_ms);
    if (!threshold)
        buf_printf(&text, "Latency is not monitored: CONFIG SET latency-monitor-threshold MILLISECONDS begins it.\n");
    pthread_mutex_lock(&l->mu);
    for (size_t e = 0; e < LATENCY_EVENTS; e++)
        if (l->of[e].n)
            buf_printf(&text, "%s: in %zu seconds, %" PRIu64 " ms at most. %s\n", names[e], l->of[e].n, l->of[e].max,
                       advice[e]);
    pthread_mutex_unlock(&l->mu);
    if (!text.len) buf_printf(&text, "Nothing has taken %" PRIu64 " ms or longer.\n", threshold);
    reply_verbatim(r, chr_bytes(text.data ? text.data : "", text.len));
    chr_buf_free(&text);
}

enum { POWERS = 40, POWER_MIN = 10, POWER_STEPS = 7 };
/* The bounds are powers of two, in nanoseconds, as Redis has them: each with all that two digits cannot tell from it. */
static uint64_t bound_ns(size_t i)
{
    uint64_t power = UINT64_C(1) << (POWER_MIN + i);
    return power + (power >> POWER_STEPS) - 1;
}

/* Up to 1, 2, 4 ... microseconds: how many took so long or less, where there are more than for the one before. */
static void reply_histogram(request *r, const command *c, const call_stats *of)
{
    uint64_t at_most[POWERS] = { 0 }, sum = 0;
    size_t   n = 0;
    for (size_t i = 0; i < SPREAD; i++) {
        size_t   power = 0;
        uint64_t ns = of->spread[i] ? calls_middle_ns(i) : 0;
        while (power < POWERS - 1 && bound_ns(power) < ns) power++;
        at_most[power] += of->spread[i];
    }
    for (size_t i = 0; i < POWERS; i++) n += at_most[i] > 0;
    reply_value(r, chr_str(c->name));
    reply_map(r, 2);
    reply_value(r, chr_str("calls"));
    reply_integer(r, (int64_t)calls_total(of));
    reply_value(r, chr_str("histogram_usec"));
    reply_map(r, n);
    for (size_t i = 0; i < POWERS; i++) {
        if (!at_most[i]) continue;
        sum += at_most[i];
        reply_integer(r, (int64_t)(bound_ns(i) / 1000));
        reply_integer(r, (int64_t)sum);
    }
}

static void latency_histogram(request *r)
{
    buf    found = { 0 }, *out = r->out;
    size_t n = 0, named = r->n > 2 ? r->n - 2 : command_count;
    r->out = &found; /* how many there are comes first, and is known last */
    for (size_t i = 0; i < named; i++) {
        const command *c = r->n > 2 ? command_find(r->args[i + 2]) : &command_table[i];
        call_stats     of = c ? calls_of(r->server, c) : (call_stats){ 0 };
        if (!c || !calls_total(&of)) continue;
        reply_histogram(r, c, &of);
        n++;
    }
    r->out = out;
    reply_map(r, n);
    if (!buf_append_slice(out, buf_slice(&found))) r->no_memory = true;
    chr_buf_free(&found);
}

const subcommand latency_subcommands[] = {
    { "doctor", 2, CMD_ADMIN, 0, 0 },
    { "help", 2, 0, 0, 0 },
    { "histogram", -2, CMD_ADMIN, 0, 0 },
    { "history", 3, CMD_ADMIN, 0, 0 },
    { "latest", 2, CMD_ADMIN, 0, 0 },
    { "reset", -2, CMD_ADMIN, 0, 0 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_latency(request *r)
{
    static const char *const help[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        ("    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
         "names."),
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    enum { DOCTOR, HELP, HISTOGRAM, HISTORY, LATEST, RESET };
    latency *l = &r->server->latency;
    switch (find_subcommand(r)) {
    case DOCTOR: latency_doctor(r, l); break;
    case HELP: reply_help(r, help); break;
    case HISTOGRAM: latency_histogram(r); break;
    case HISTORY: latency_history(r, l); break;
    case LATEST: latency_latest(r, l); break;
    case RESET: latency_reset(r, l); break;
    default: break; /* answered */
    }
}
