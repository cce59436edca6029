/* What is known of the commands that were run: how many, how long they took, how many failed; of errors, how many of each code.
 *
 * Each reactor counts in a table of its own, without locked instructions; workers share another one. Reading adds them up. */
#ifndef CHR_NET_CALLS_H
#define CHR_NET_CALLS_H

#include "net/command.h"
#include "net/ticks.h"

#include <pthread.h>

enum {
    COMMANDS_MAX = 256,
    SPREAD_BITS = 7,  /* times below 2^this nanoseconds are not told apart */
    SPREAD_STEPS = 4, /* that a power of two is divided into */
    SPREAD = 253,     /* more than enough; it makes of call_stats a power of two */
    ERROR_CODES_MAX = 32,
};

typedef struct call_stats {
    _Atomic(uint64_t) ns, failed, rejected;
    _Atomic(uint64_t) spread[SPREAD]; /* calls by how long they took, see calls_place */
} call_stats;

typedef enum total { TOTAL_HITS, TOTAL_MISSES, TOTAL_IN, TOTAL_OUT, TOTALS } total;

typedef struct call_table {
    _Atomic(uint64_t) totals[TOTALS];   /* keys that were found by commands that read, and not; bytes */
    call_stats        of[COMMANDS_MAX]; /* by place in the table of commands */
} call_table;

typedef struct error_count {
    char     code[32];
    uint64_t count;
} error_count;

typedef struct calls {
    _Atomic(uint64_t) notable_ns; /* what takes shorter interests nobody */
    call_table        by_workers;
    pthread_mutex_t   mu;
    call_table        before; /* what had been counted at the last reset; mu */
    error_count       errors[ERROR_CODES_MAX];
    size_t            n_errors; /* mu, as what follows */
    uint64_t          all_errors;
    int64_t           looked_ms;
    uint64_t          looked_sum, per_second;
} calls;

void calls_init(calls *c);
void calls_free(calls *c);

/* In which part of a spread a time belongs, and the middle of a part. */
static inline size_t calls_place(uint64_t ns)
{
    uint64_t n = ns | ((UINT64_C(1) << SPREAD_BITS) - 1);
    unsigned bits = 63u ^ (unsigned)__builtin_clzll(n);
    return (size_t)(bits - (SPREAD_BITS - 1)) * SPREAD_STEPS + (n >> (bits - 2) & (SPREAD_STEPS - 1));
}
uint64_t calls_middle_ns(size_t place);

/* Only this thread changes it. */
static inline void calls_add_own(_Atomic(uint64_t) *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}
/* By the thread that has the table, which is not that of the workers. */
static inline void calls_count(call_table *own, const request *r, uint64_t ns)
{
    call_stats *of = &own->of[r->command - command_table];
    calls_add_own(&of->ns, ns);
    calls_add_own(&of->spread[calls_place(ns)], 1);
    if (__builtin_expect(r->failed, 0)) calls_add_own(&of->failed, 1);
}
/* For commands that took notable_ns or longer: tells those who want to know, which are MONITOR and SLOWLOG. */
void calls_tell(const request *r, uint64_t ns);
/* Both, on any thread that runs commands. */
void calls_note(const request *r, uint64_t ns);
/* It was refused before it ran. On a reactor. */
void calls_note_rejected(const request *r);
void calls_add_shared(const request *r, total which);
/* A command has looked for a key to read it. */
static inline void calls_note_lookup(const request *r, bool found)
{
    total which = found ? TOTAL_HITS : TOTAL_MISSES;
    if (r->counts)
        calls_add_own(&r->counts->totals[which], 1);
    else
        calls_add_shared(r, which);
}
/* After a change of what calls_tell depends on. */
void calls_update_notable(server *s);
/* An error was answered; the text begins with its code. */
void calls_note_error(server *s, const char *text);

uint64_t   calls_total(const call_stats *of);
call_stats calls_of(server *s, const command *c); /* summed up */
uint64_t   calls_sum(server *s);                  /* of all commands */
uint64_t   calls_total_of(server *s, total which);
uint64_t   calls_share_ns(const call_stats *of, double share); /* in what time so much of them was done */
uint64_t   calls_errors(server *s);
/* Now and then, by any thread: measures how many commands are run in a second. */
void     calls_look(server *s, int64_t now_ms);
uint64_t calls_per_second(server *s);
/* Calls for each code of errors; `fn` may call nothing here. */
typedef void calls_error_fn(void *arg, const error_count *e);
void         calls_each_error(server *s, calls_error_fn *fn, void *arg);
void         calls_reset(server *s);

#endif
