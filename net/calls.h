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
    SPREAD_LOWEST = 8, /* times below 2^this nanoseconds are not told apart */
    SPREAD_STEPS = 4,  /* that a power of two is divided into */
    SPREAD = 128,
    ERROR_CODES_MAX = 32,
};

typedef struct call_stats {
    _Atomic(uint64_t) calls, ns, failed, rejected;
    _Atomic(uint64_t) spread[SPREAD]; /* calls by how long they took, see calls_place */
} call_stats;

typedef struct call_table {
    call_stats of[COMMANDS_MAX]; /* by place in the table of commands */
} call_table;

typedef struct error_count {
    char     code[32];
    uint64_t count;
} error_count;

typedef struct calls {
    call_table      by_workers;
    pthread_mutex_t mu;
    call_table      before; /* what had been counted at the last reset; mu */
    error_count     errors[ERROR_CODES_MAX];
    size_t          n_errors; /* mu, as errors and all_errors */
    uint64_t        all_errors;
} calls;

void calls_init(calls *c);
void calls_free(calls *c);

/* In which part of a spread a time belongs, and the middle of a part. */
static inline size_t calls_place(uint64_t ns)
{
    if (ns >> SPREAD_LOWEST == 0) return 0;
    unsigned bits = 63 - (unsigned)__builtin_clzll(ns);
    size_t   place = (size_t)(bits - SPREAD_LOWEST) * SPREAD_STEPS + (ns >> (bits - 2) & (SPREAD_STEPS - 1)) + 1;
    return place < SPREAD ? place : SPREAD - 1;
}
uint64_t calls_middle_ns(size_t place);

/* The command has been run, and took `ns`: counts it, and tells those who want to know of it. On a reactor by its own thread. */
void calls_note(request *r, uint64_t ns);
/* It was refused before it ran. */
void calls_note_rejected(const request *r);
/* An error was answered; the text begins with its code. */
void calls_note_error(server *s, const char *text);

call_stats calls_of(server *s, const command *c); /* summed up */
uint64_t   calls_sum(server *s);                  /* of all commands, since the start */
void       calls_reset(server *s);

#endif
