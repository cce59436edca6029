#include "cli/tunnel.h"

#include "cli/show.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANDSHAKE_TIMEOUT_S = 5, FLOW_BYTES = 1 << 16 };

typedef struct flow { /* in one direction */
    char   data[FLOW_BYTES];
    size_t at, end;
} flow;

typedef struct tunnel {
    int         near, far;
    tls_stream *tls;
    flow        out, in;
} tunnel;

static void tunnel_free(tunnel *t)
{
    if (t->tls) tls_stream_free(t->tls);
    if (t->near >= 0) close(t->near);
    if (t->far >= 0) close(t->far);
    free(t);
}

/* What one step did. */
typedef enum step { STEP_MOVED, STEP_WAITS, STEP_ENDED } step;

static step step_of(ssize_t n)
{
    if (n > 0) return STEP_MOVED;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? STEP_WAITS : STEP_ENDED;
}

static step take(flow *f, ssize_t n)
{
    if (n > 0) {
        f->at = 0;
        f->end = (size_t)n;
    }
    return step_of(n);
}

static step give(flow *f, ssize_t n)
{
    if (n > 0) f->at += (size_t)n;
    return step_of(n);
}

static step move_out(tunnel *t)
{
    flow *f = &t->out;
    if (f->at < f->end) return give(f, tls_send(t->tls, f->data + f->at, f->end - f->at));
    return take(f, recv(t->near, f->data, sizeof f->data, 0));
}

static step move_in(tunnel *t)
{
    flow *f = &t->in;
    if (f->at < f->end) return give(f, send(t->near, f->data + f->at, f->end - f->at, MSG_NOSIGNAL));
    return take(f, tls_recv(t->tls, f->data, sizeof f->data));
}

static void *pump(void *arg)
{
    tunnel *t = arg;
    for (;;) {
        step out = move_out(t);
        bool full = tls_wants_write(t->tls); /* before the other direction is asked the same */
        step in = move_in(t);
        if (out == STEP_ENDED || in == STEP_ENDED) break;
        if (out == STEP_MOVED || in == STEP_MOVED) continue;
        bool          gives = t->in.at < t->in.end, sends = t->out.at < t->out.end;
        struct pollfd of[] = {
            { .fd = t->near, .events = (short)((gives ? POLLOUT : 0) | (sends ? 0 : POLLIN)) },
            { .fd = t->far, .events = (short)((full && sends ? POLLOUT : 0) | (gives ? 0 : POLLIN)) },
        };
        (void)poll(of, 2, -1);
    }
    tls_say_goodbye(t->tls);
    tunnel_free(t);
    return NULL;
}

/* Whose certificate it must be. */
static bool expect(SSL *s, const char *host)
{
    struct in6_addr address;
    bool            number = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    SSL_set_verify(s, SSL_VERIFY_PEER, NULL);
    if (number) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s), host) == 1;
    return SSL_set1_host(s, host) == 1 && SSL_set_tlsext_host_name(s, host) == 1;
}

/* NULL: complained. */
static tls_stream *shake_hands(int fd, const char *host, const char *ca)
{
    char     why[256];
    SSL     *s = NULL;
    SSL_CTX *with = SSL_CTX_new(TLS_client_method());
    if (with) {
        SSL_CTX_set_min_proto_version(with, TLS1_2_VERSION);
        SSL_CTX_set_options(with, SSL_OP_IGNORE_UNEXPECTED_EOF);
        SSL_CTX_set_mode(with, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    if (!with) {
        complain("not enough memory");
    } else if ((ca ? SSL_CTX_load_verify_locations(with, ca, NULL) : SSL_CTX_set_default_verify_paths(with)) != 1) {
        ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
        complain("cannot use %s as certificates that vouch for the server: %s", ca ? ca : "the system's", why);
    } else if (!(s = SSL_new(with)) || SSL_set_fd(s, fd) != 1 || !expect(s, host)) {
        complain("not enough memory");
    } else if (SSL_connect(s) == 1) {
        SSL_CTX_free(with);
        return s;
    } else if (SSL_get_verify_result(s) != X509_V_OK) {
        complain("the certificate of the server is not to be trusted: %s; --tls-ca takes those that may vouch for it",
                 X509_verify_cert_error_string(SSL_get_verify_result(s)));
    } else {
        complain("the server at %s does not speak TLS on this port", host);
    }
    ERR_clear_error();
    SSL_free(s);
    SSL_CTX_free(with);
    return NULL;
}

/* A write to a server that has gone must not end the program. */
static bool start(tunnel *t)
{
    pthread_t thread;
    sigset_t  all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool started = pthread_create(&thread, NULL, pump, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) pthread_detach(thread);
    return started;
}

redisContext *tunnel_through(redisContext *plain, const char *host, const char *ca)
{
    const struct timeval limit = { .tv_sec = HANDSHAKE_TIMEOUT_S }, none = { 0 };
    int                  ends[2] = { -1, -1 };
    redisContext        *c = NULL;
    tunnel              *t = calloc(1, sizeof *t);
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); /* the thread may still need it when the program ends */
    if (t) {
        t->near = -1;
        t->far = fcntl(plain->fd, F_DUPFD_CLOEXEC, 0);
    }
    redisFree(plain);
    if (!t || t->far < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        complain("not enough memory or descriptors for a connection");
        if (t) tunnel_free(t);
        return NULL;
    }
    t->near = ends[1];
    setsockopt(t->far, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    t->tls = shake_hands(t->far, host, ca);
    setsockopt(t->far, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    bool ready = t->tls && fcntl(t->near, F_SETFL, O_NONBLOCK) == 0 && fcntl(t->far, F_SETFL, O_NONBLOCK) == 0;
    if (ready && !(c = redisConnectFd(ends[0]))) complain("not enough memory");
    if (c && !start(t)) {
        complain("cannot start a thread");
        redisFree(c);
        c = NULL;
        ends[0] = -1;
    } else if (c) {
        return c;
    }
    if (ends[0] >= 0) close(ends[0]);
    tunnel_free(t);
    return NULL;
}
