/* How long requests take when they come at a rate that does not wait for the answers: half SET, half GET of 100-byte values of random
 * keys, in pipelines of PIPELINE, over CONNECTIONS connections in turn. A request's time runs from the moment it was due, not from
 * when it could be sent, so that a server that stands still is not forgiven what was held up meanwhile. Prints requests per second;
 * microseconds: median, 99 %, 99.9 %, longest; and the share of a processor that this program took, since beyond 70 % or so it is
 * itself what requests wait for.
 *
 * RATE 0: as fast as it goes with one pipeline under way on each connection, which tells the peak.
 *
 * usage: bench_latency PORT CONNECTIONS PIPELINE KEYS SECONDS RATE */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    VALUE_BYTES = 100,
    UNDER_WAY_MAX = 4096, /* on one connection; a power of two */
    CONNECTIONS_MAX = 1000,
    PIPELINE_MAX = 256,
    REQUEST_BYTES = 256,
    ROOM = 64 << 10,
    /* Of times: 64 steps for each doubling. */
    STEPS = 64,
    BUCKETS = 40 * STEPS,
};

typedef struct conn {
    int      fd;
    uint64_t due[UNDER_WAY_MAX]; /* a ring, oldest at `first` */
    size_t   first, n;
    char     out[ROOM], in[ROOM];
    size_t   n_out, n_in;
} conn;

static conn    *conns;
static size_t   n_conns, pipeline, keys, next_conn;
static uint64_t histogram[BUCKETS], answered, longest, seed = 88172645463325252u;
static int      poller;

static void die(const char *what)
{
    fprintf(stderr, "bench_latency: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* ---- times ---- */

static size_t bucket_of(uint64_t ns)
{
    if (ns < STEPS) return (size_t)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns) - 6;
    size_t   b = (size_t)(power + 1) * STEPS + (size_t)(ns >> power) - STEPS;
    return b < BUCKETS ? b : BUCKETS - 1;
}

static double us_of(size_t bucket)
{
    if (bucket < STEPS) return (double)bucket / 1000;
    return (double)((uint64_t)(STEPS + bucket % STEPS) << (bucket / STEPS - 1)) / 1000;
}

static double share(double of)
{
    uint64_t seen = 0, want = (uint64_t)((double)answered * of);
    for (size_t b = 0; b < BUCKETS; b++)
        if ((seen += histogram[b]) > want) return us_of(b);
    return (double)longest / 1000;
}

/* ---- connections ---- */

static void connect_all(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int                one = 1;
    conns = calloc(n_conns, sizeof *conns);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || poller < 0) die("prepare");
    for (size_t i = 0; i < n_conns; i++) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = i };
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conns[i].fd = fd;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) != 0) die("epoll");
    }
}

static void send_all(conn *c)
{
    size_t sent = 0;
    while (sent < c->n_out) {
        ssize_t n = send(c->fd, c->out + sent, c->n_out - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) die("send");
        if (n > 0) sent += (size_t)n;
    }
    c->n_out = 0;
}

static void ask(conn *c, uint64_t due)
{
    uint64_t r = rnd();
    char    *to = c->out + c->n_out;
    if (c->n == UNDER_WAY_MAX) die("the server does not keep up with the rate");
    if (r >> 63)
        c->n_out += (size_t)sprintf(to, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012zu\r\n", (size_t)(r % keys));
    else
        c->n_out += (size_t)sprintf(to, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012zu\r\n$%d\r\n%0*d\r\n", (size_t)(r % keys),
                                    VALUE_BYTES, VALUE_BYTES, (int)(r >> 40));
    c->due[(c->first + c->n++) % UNDER_WAY_MAX] = due;
    if (c->n_out > ROOM - REQUEST_BYTES) send_all(c);
}

/* Length of the whole reply at `at`, 0: not there yet. */
static size_t reply_len(const char *at, size_t have)
{
    const char *line = memchr(at, '\n', have);
    if (!line) return 0;
    size_t len = (size_t)(line - at) + 1;
    if (at[0] == '+' || at[0] == '_' || (at[0] == '$' && at[1] == '-')) return len;
    if (at[0] != '$') {
        errno = 0;
        die(at);
    }
    len += strtoul(at + 1, NULL, 10) + 2;
    return len <= have ? len : 0;
}

static void ask_all(conn *c, uint64_t due)
{
    for (size_t i = 0; i < pipeline; i++) ask(c, due);
    send_all(c);
}

/* Takes the answers there are; in a closed loop, asks again once all have come. */
static void take(conn *c, int closed)
{
    ssize_t n = recv(c->fd, c->in + c->n_in, ROOM - c->n_in, 0);
    if (n <= 0) die("receive");
    c->n_in += (size_t)n;
    uint64_t now = now_ns();
    size_t   at = 0, len;
    while (at < c->n_in && (len = reply_len(c->in + at, c->n_in - at))) {
        uint64_t took = now - c->due[c->first];
        c->first = (c->first + 1) % UNDER_WAY_MAX;
        c->n--;
        histogram[bucket_of(took)]++;
        answered++;
        if (took > longest) longest = took;
        at += len;
    }
    memmove(c->in, c->in + at, c->n_in - at);
    c->n_in -= at;
    if (closed && c->n == 0) ask_all(c, now);
}

static void run(double seconds, double rate)
{
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), sent = 0, under_way = 0;
    for (size_t i = 0; rate == 0 && i < n_conns; i++) ask_all(&conns[i], begin);
    for (uint64_t now = begin; now < end || under_way; now = now_ns()) {
        struct epoll_event ready[64];
        struct timespec    wait = { 0, 1000000 };
        if (rate > 0 && now < end) {
            uint64_t due;
            for (; (due = begin + (uint64_t)((double)sent * 1e9 / rate)) <= now; sent += pipeline) {
                ask_all(&conns[next_conn], due);
                if (++next_conn == n_conns) next_conn = 0;
            }
            wait.tv_nsec = (long)(due - now < 1000000 ? due - now : 1000000);
        }
        int n = epoll_pwait2(poller, ready, 64, &wait, NULL);
        if (n < 0 && errno != EINTR) die("epoll");
        for (int i = 0; i < n; i++) take(&conns[ready[i].data.u64], rate == 0 && now < end);
        under_way = 0;
        if (now >= end)
            for (size_t i = 0; i < n_conns; i++) under_way += conns[i].n;
    }
}

int main(int argc, char **argv)
{
    if (argc != 7 || (n_conns = strtoul(argv[2], NULL, 10)) == 0 || n_conns > CONNECTIONS_MAX ||
        (pipeline = strtoul(argv[3], NULL, 10)) == 0 || pipeline > PIPELINE_MAX ||
        (keys = strtoul(argv[4], NULL, 10)) == 0) {
        fprintf(stderr, "usage: bench_latency PORT CONNECTIONS PIPELINE KEYS SECONDS RATE\n");
        return 2;
    }
    double seconds = strtod(argv[5], NULL), rate = strtod(argv[6], NULL);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    connect_all((uint16_t)strtoul(argv[1], NULL, 10));
    run(seconds, rate);
    printf("%.0f %.0f %.0f %.0f %.0f %.0f\n", (double)answered / seconds, share(0.5), share(0.99), share(0.999),
           (double)longest / 1000, 100 * (double)clock() / CLOCKS_PER_SEC / seconds);
    return 0;
}
