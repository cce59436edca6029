/* What CONFIG SET can change while the server runs. Read by any thread, without locks. */
#ifndef CHR_NET_SETTINGS_H
#define CHR_NET_SETTINGS_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct settings {
    _Atomic(uint64_t) max_clients;
    _Atomic(uint64_t) timeout; /* seconds a client may be idle; 0: no limit */
    _Atomic(uint64_t)
        request_timeout; /* seconds a request may take to come, and one more for each 64 KiB of it; 0: no limit */
    _Atomic(uint64_t) reply_timeout; /* seconds a client may take nothing of a reply in pieces; 0: no limit */
    _Atomic(uint64_t) pubsub_hard, pubsub_soft, pubsub_soft_seconds; /* unsent bytes of a subscriber; 0: no limit */
    _Atomic(int64_t)  slow_us;       /* commands that take so long are in SLOWLOG; -1: none */
    _Atomic(uint64_t) slow_ns;       /* the same; UINT64_MAX: none */
    _Atomic(uint64_t) slow_max;      /* so many of them */
    _Atomic(uint64_t) tracking_keys; /* that are remembered for CLIENT TRACKING; 0: no limit */
    _Atomic(uint64_t) latency_ms;    /* what takes so long is in LATENCY; 0: nothing is */
} settings;

void settings_init(settings *s, unsigned max_clients);

#endif
