#include "net/calls.h"

#include "net/server_internal.h"

void calls_init(calls *c) { pthread_mutex_init(&c->mu, NULL); }
void calls_free(calls *c) { pthread_mutex_destroy(&c->mu); }

uint64_t calls_middle_ns(size_t place)
{
    size_t   bits = place / SPREAD_STEPS + SPREAD_BITS - 1, step = place % SPREAD_STEPS;
    uint64_t power = UINT64_C(1) << bits;
    if (bits < SPREAD_BITS) return power; /* all that is shorter */
    return power + (2 * step + 1) * power / (2 * SPREAD_STEPS);
}

static inline void add_shared(_Atomic(uint64_t) *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void calls_tell(const request *r, uint64_t ns)
{
    server *s = r->server;
    if (ns >= atomic_load(&s->settings.slow_ns)) slowlog_add(&s->slowlog, r, ns);
    latency_note(s, r->command->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, ns / 1000000);
    if (atomic_load(&s->monitors.count)) monitors_tell(&s->monitors, r);
}

void calls_note(const request *r, uint64_t ns)
{
    calls *c = &r->server->calls;
    if (r->counts) {
        calls_count(r->counts, r, ns);
    } else {
        call_stats *of = &c->by_workers.of[r->command - command_table];
        add_shared(&of->ns, ns);
        add_shared(&of->spread[calls_place(ns)], 1);
        if (r->failed) add_shared(&of->failed, 1);
    }
    if (ns >= atomic_load_explicit(&c->notable_ns, memory_order_relaxed)) calls_tell(r, ns);
}

void calls_add_shared(const request *r, total which) { add_shared(&r->server->calls.by_workers.totals[which], 1); }

void calls_note_rejected(const request *r) { calls_add_own(&r->counts->of[r->command - command_table].rejected, 1); }

void calls_update_notable(server *s)
{
    pthread_mutex_lock(&s->calls.mu);
    uint64_t ns = atomic_load(&s->settings.slow_ns), ms = atomic_load(&s->settings.latency_ms);
    if (ms && ms < ns / 1000000) ns = ms * 1000000;
    atomic_store(&s->calls.notable_ns, atomic_load(&s->monitors.count) ? 0 : ns);
    pthread_mutex_unlock(&s->calls.mu);
}

/* ---- errors ---- */

void calls_note_error(server *s, const char *text)
{
    calls *c = &s->calls;
    size_t len = strcspn(text, " "), i = 0;
    if (len >= sizeof c->errors->code) len = sizeof c->errors->code - 1;
    pthread_mutex_lock(&c->mu);
    c->all_errors++;
    while (i < c->n_errors && (strncmp(c->errors[i].code, text, len) != 0 || c->errors[i].code[len])) i++;
    if (i == c->n_errors && i < ERROR_CODES_MAX) {
        c->n_errors++;
        memcpy(c->errors[i].code, text, len);
        c->errors[i].code[len] = 0;
        c->errors[i].count = 0;
    }
    if (i < c->n_errors) c->errors[i].count++;
    pthread_mutex_unlock(&c->mu);
}

void calls_each_error(server *s, calls_error_fn *fn, void *arg)
{
    pthread_mutex_lock(&s->calls.mu);
    for (size_t i = 0; i < s->calls.n_errors; i++) fn(arg, &s->calls.errors[i]);
    pthread_mutex_unlock(&s->calls.mu);
}

uint64_t calls_errors(server *s)
{
    pthread_mutex_lock(&s->calls.mu);
    uint64_t n = s->calls.all_errors;
    pthread_mutex_unlock(&s->calls.mu);
    return n;
}

/* ---- reading; with mu held: what it was at the last reset is taken off ---- */

static void add_up(call_stats *sum, const call_stats *of)
{
    if (!of->ns && !of->rejected) return; /* most commands are never used */
    sum->ns += of->ns;
    sum->failed += of->failed;
    sum->rejected += of->rejected;
    for (size_t i = 0; i < SPREAD; i++) sum->spread[i] += of->spread[i];
}

static call_stats since_start(server *s, size_t command_at)
{
    call_stats sum = { 0 };
    add_up(&sum, &s->calls.by_workers.of[command_at]);
    for (unsigned i = 0; i < s->n_reactors; i++) add_up(&sum, &s->reactors[i].calls.of[command_at]);
    return sum;
}

static call_stats since_reset(server *s, size_t command_at)
{
    const call_stats *before = &s->calls.before.of[command_at];
    call_stats        sum = since_start(s, command_at);
    sum.ns -= before->ns;
    sum.failed -= before->failed;
    sum.rejected -= before->rejected;
    for (size_t i = 0; i < SPREAD; i++) sum.spread[i] -= before->spread[i];
    return sum;
}

static uint64_t total_since_start(server *s, total which)
{
    uint64_t sum = s->calls.by_workers.totals[which];
    for (unsigned i = 0; i < s->n_reactors; i++) sum += s->reactors[i].calls.totals[which];
    return sum;
}

static uint64_t sum_all(server *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < command_count; i++) {
        call_stats of = since_reset(s, i);
        sum += calls_total(&of);
    }
    return sum;
}

/* ---- the same for others ---- */

uint64_t calls_total(const call_stats *of)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SPREAD; i++) n += of->spread[i];
    return n;
}

uint64_t calls_share_ns(const call_stats *of, double share)
{
    uint64_t n = 0, wanted = (uint64_t)(share * (double)calls_total(of));
    size_t   i = 0;
    while (i < SPREAD - 1 && (n += of->spread[i]) <= wanted) i++;
    return calls_middle_ns(i);
}

call_stats calls_of(server *s, const command *c)
{
    pthread_mutex_lock(&s->calls.mu);
    call_stats sum = since_reset(s, (size_t)(c - command_table));
    pthread_mutex_unlock(&s->calls.mu);
    return sum;
}

uint64_t calls_sum(server *s)
{
    pthread_mutex_lock(&s->calls.mu);
    uint64_t sum = sum_all(s);
    pthread_mutex_unlock(&s->calls.mu);
    return sum;
}

uint64_t calls_total_of(server *s, total which)
{
    pthread_mutex_lock(&s->calls.mu);
    uint64_t sum = total_since_start(s, which) - s->calls.before.totals[which];
    pthread_mutex_unlock(&s->calls.mu);
    return sum;
}

enum { LOOK_EACH_MS = 1000 };

void calls_look(server *s, int64_t now_ms)
{
    calls *c = &s->calls;
    if (pthread_mutex_trylock(&c->mu) != 0) return;
    int64_t ms = now_ms - c->looked_ms;
    if (ms >= LOOK_EACH_MS) {
        uint64_t sum = sum_all(s);
        if (sum >= c->looked_sum) c->per_second = (sum - c->looked_sum) * 1000 / (uint64_t)ms;
        c->looked_ms = now_ms;
        c->looked_sum = sum;
    }
    pthread_mutex_unlock(&c->mu);
}

uint64_t calls_per_second(server *s)
{
    calls_look(s, server_clock_ms());
    pthread_mutex_lock(&s->calls.mu);
    uint64_t n = s->calls.per_second;
    pthread_mutex_unlock(&s->calls.mu);
    return n;
}

void calls_reset(server *s)
{
    calls *c = &s->calls;
    pthread_mutex_lock(&c->mu);
    for (size_t i = 0; i < command_count; i++) c->before.of[i] = since_start(s, i);
    for (total i = 0; i < TOTALS; i++) c->before.totals[i] = total_since_start(s, i);
    c->n_errors = 0;
    c->all_errors = c->looked_sum = 0;
    pthread_mutex_unlock(&c->mu);
}
