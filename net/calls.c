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
    if (atomic_load(&s->monitors.count)) monitors_tell(&s->monitors, r);
}

void calls_note(const request *r, uint64_t ns)
{
    calls *c = &r->server->calls;
    if (!r->on_worker) {
        calls_count(&conn_of(r->session)->reactor->calls, r, ns);
    } else {
        call_stats *of = &c->by_workers.of[r->command - command_table];
        add_shared(&of->ns, ns);
        add_shared(&of->spread[calls_place(ns)], 1);
        if (r->failed) add_shared(&of->failed, 1);
    }
    if (ns >= atomic_load_explicit(&c->notable_ns, memory_order_relaxed)) calls_tell(r, ns);
}

void calls_note_rejected(const request *r)
{
    calls_add_own(&conn_of(r->session)->reactor->calls.of[r->command - command_table].rejected, 1);
}

void calls_update_notable(server *s)
{
    pthread_mutex_lock(&s->calls.mu);
    uint64_t ns = atomic_load(&s->settings.slow_ns);
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

/* ---- reading ---- */

static void add_up(call_stats *sum, const call_stats *of)
{
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

call_stats calls_of(server *s, const command *c)
{
    size_t     at = (size_t)(c - command_table);
    call_stats sum = since_start(s, at);
    pthread_mutex_lock(&s->calls.mu);
    const call_stats *before = &s->calls.before.of[at];
    sum.ns -= before->ns;
    sum.failed -= before->failed;
    sum.rejected -= before->rejected;
    for (size_t i = 0; i < SPREAD; i++) sum.spread[i] -= before->spread[i];
    pthread_mutex_unlock(&s->calls.mu);
    return sum;
}

uint64_t calls_total(const call_stats *of)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SPREAD; i++) n += of->spread[i];
    return n;
}

uint64_t calls_sum(server *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < command_count; i++) {
        call_stats of = calls_of(s, &command_table[i]);
        sum += calls_total(&of);
    }
    return sum;
}

void calls_reset(server *s)
{
    for (size_t i = 0; i < command_count; i++) {
        call_stats now = since_start(s, i);
        pthread_mutex_lock(&s->calls.mu);
        s->calls.before.of[i] = now;
        pthread_mutex_unlock(&s->calls.mu);
    }
    pthread_mutex_lock(&s->calls.mu);
    s->calls.n_errors = 0;
    s->calls.all_errors = 0;
    pthread_mutex_unlock(&s->calls.mu);
}
