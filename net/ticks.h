/* A clock that costs next to nothing to read, for measuring each command. Any thread. */
#ifndef CHR_NET_TICKS_H
#define CHR_NET_TICKS_H

#include <stdint.h>
#include <time.h>

static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
#endif
}

/* How long a tick is, found out once by ticks_start, which takes a millisecond: nanoseconds times 2^TICKS_SHIFT. */
enum { TICKS_SHIFT = 24, TICKS_EXACT_BITS = 38 };
extern uint64_t ticks_scale;
void            ticks_start(void);

/* Nanoseconds between two readings; 0 if the clock has gone back, as that of a machine that has moved may. */
static inline uint64_t ticks_between(uint64_t from, uint64_t to)
{
    uint64_t ticks = to - from;
    if (__builtin_expect(ticks >> TICKS_EXACT_BITS == 0, 1)) return ticks * ticks_scale >> TICKS_SHIFT;
    return (int64_t)ticks < 0 ? 0 : (ticks >> TICKS_SHIFT) * ticks_scale;
}

#endif
