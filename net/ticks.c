#include "net/ticks.h"

#include <pthread.h>

uint64_t              ticks_scale = UINT64_C(1) << TICKS_SHIFT;
static pthread_once_t once = PTHREAD_ONCE_INIT;

enum { MEASURED_NS = 1000000 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void measure(void)
{
    int64_t  from = now_ns(), to;
    uint64_t first = ticks_now(), last;
    do {
        to = now_ns();
        last = ticks_now();
    } while (to - from < MEASURED_NS);
    if (last > first) ticks_scale = ((uint64_t)(to - from) << TICKS_SHIFT) / (last - first);
}

void ticks_start(void) { (void)pthread_once(&once, measure); }
