#include "net/calls.h"

#include "net/server_internal.h"

void calls_init(calls *c) { pthread_mutex_init(&c->mu, NULL); }
void calls_free(calls *c) { pthread_mutex_destroy(&c->mu); }

uint64_t calls_middle_ns(size_t place)
{
    if (place == 0) return UINT64_C(1) << (SPREAD_LOWEST - 1);
    size_t   step = (place - 1) % SPREAD_STEPS;
    uint64_t power = UINT64_C(1) << (SPREAD_LOWEST + (place - 1) / SPREAD_STEPS);
    return power + (2 * step + 1) * power / (2 * SPREAD_STEPS);
}

/* Only this thread changes it. */
static inline void add_own(_Atomic(uint64_t) *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void add_shared(_Atomic(uint64_t) *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void calls_note(request *r, uint64_t ns)
{
    server *s = r->server;
    size_t  place = calls_place(ns), command_at = (size_t)(r->command - command_table);
    if (__builtin_expect(!r->on_worker, 1)) {
        call_stats *of = &conn_of(r->session)->reactor->calls.of[command_at];
        add_own(&of->calls, 1);
        add_own(&of->ns, ns);
        add_own(&of->spread[place], 1);
        if (__builtin_expect(r->failed, 0)) add_own(&of->failed, 1);
    } else {
        call_stats *of = &s->calls.by_workers.of[command_at];
        add_shared(&of->calls, 1);
        add_shared(&of->ns, ns);
        add_shared(&of->spread[place], 1);
        if (r->failed) add_shared(&of->failed, 1);
    }
    if (__builtin_expect(ns >= atomic_load_explicit(&s->settings.slow_ns, memory_order_relaxed), 0))
        slowlog_add(&s->slowlog, r, ns);
    if (__builtin_expect(atomic_load_explicit(&s->monitors.count, memory_order_relaxed) > 0, 0))
        monitors_tell(&s->monitors, r);
}

void calls_note_rejected(const request *r)
{
    add_own(&conn_of(r->session)->reactor->calls.of[r->command - command_table].rejected, 1);
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
    sum->calls += of->calls;
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
    sum.calls -= before->calls;
    sum.ns -= before->ns;
    sum.failed -= before->failed;
    sum.rejected -= before->rejected;
    for (size_t i = 0; i < SPREAD; i++) sum.spread[i] -= before->spread[i];
    pthread_mutex_unlock(&s->calls.mu);
    return sum;
}

uint64_t calls_sum(server *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < command_count; i++) sum += calls_of(s, &command_table[i]).calls;
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
