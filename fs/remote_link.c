#include "fs/remote_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONNECT_MS = 3000, /* also for each step of saying who one is */
    RECEIVE_BYTES = 64 * 1024,
};

struct remote_link {
    int          fd;
    SSL_CTX     *context; /* with TLS */
    SSL         *ssl;
    redisReader *reader;
    buf          out;
    char         in[RECEIVE_BYTES];
};

/* ---- connecting ---- */

static chr_status unreachable(const remote_options *o, const char *why)
{
    if (*o->path)
        return chr_fail(CHR_IO, "cannot connect to unix:%s: %s; is 'chronos serve' running there?", o->path, why);
    return chr_fail(CHR_IO, "cannot connect to %s port %s: %s; is 'chronos serve' running there?", o->host, o->port,
                    why);
}

static void set_time(int fd, int which, unsigned ms)
{
    const struct timeval t = { .tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000 };
    (void)setsockopt(fd, SOL_SOCKET, which, &t, sizeof t);
}

/* 0, or an errno. */
static int connect_fd(int fd, const struct sockaddr *a, socklen_t len)
{
    int       error = 0;
    socklen_t size = sizeof error;
    if (connect(fd, a, len) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    if (poll(&wait, 1, CONNECT_MS) != 1) return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/* A server whose machine is gone says nothing: these find it out. */
static void keep_alive(int fd, unsigned timeout_ms)
{
    const int on = 1, idle_s = 3, between_s = 2, probes = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

static chr_status connect_tcp(const remote_options *o, int *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found = NULL;
    int             error = getaddrinfo(o->host, o->port, &hints, &found), why = 0;
    if (error) return unreachable(o, gai_strerror(error));
    *out = -1;
    for (const struct addrinfo *a = found; a && *out < 0; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        why = fd < 0 ? errno : connect_fd(fd, a->ai_addr, a->ai_addrlen);
        if (fd >= 0 && why)
            close(fd);
        else if (fd >= 0)
            *out = fd;
    }
    freeaddrinfo(found);
    if (*out < 0) return unreachable(o, strerror(why));
    keep_alive(*out, o->timeout_ms);
    return CHR_OK;
}

static chr_status connect_unix(const remote_options *o, int *out)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s", o->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int why = fd < 0 ? errno : connect_fd(fd, (struct sockaddr *)&a, sizeof a);
    if (why && fd >= 0) close(fd);
    if (why) return unreachable(o, strerror(why));
    *out = fd;
    return CHR_OK;
}

static chr_status start_tls(const remote_options *o, remote_link *l)
{
    struct in6_addr ignored;
    bool            number = inet_pton(AF_INET, o->host, &ignored) == 1 || inet_pton(AF_INET6, o->host, &ignored) == 1;
    l->context = SSL_CTX_new(TLS_client_method());
    if (!l->context) return chr_nomem();
    SSL_CTX_set_min_proto_version(l->context, TLS1_2_VERSION);
    SSL_CTX_set_verify(l->context, SSL_VERIFY_PEER, NULL);
    if (*o->tls_ca ? SSL_CTX_load_verify_file(l->context, o->tls_ca) != 1
                   : SSL_CTX_set_default_verify_paths(l->context) != 1)
        return chr_fail(CHR_INVALID, "cannot read certificates to trust from %s",
                        *o->tls_ca ? o->tls_ca : "the system's files");
    l->ssl = SSL_new(l->context);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1) return chr_nomem();
    if (number)
        (void)X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), o->host);
    else if (SSL_set1_host(l->ssl, o->host) != 1 || SSL_set_tlsext_host_name(l->ssl, o->host) != 1)
        return chr_nomem();
    if (SSL_connect(l->ssl) == 1) return CHR_OK;
    long wrong = SSL_get_verify_result(l->ssl);
    ERR_clear_error();
    if (wrong != X509_V_OK)
        return chr_fail(CHR_INVALID, "the certificate of %s is not to be trusted: %s; give tls-ca=FILE", o->host,
                        X509_verify_cert_error_string(wrong));
    return unreachable(o, "it does not speak TLS there, or has not the time");
}

static chr_status say_who(const remote_options *o, remote_link *l)
{
    redisReply *reply = NULL;
    chr_status  st = CHR_OK;
    if (!*o->password) return CHR_OK;
    const slice words[] = { chr_str("AUTH"), chr_str(o->user), chr_str(o->password) };
    if (!remote_link_send(l, words, 3) || !remote_link_receive(l, -1, CONNECT_MS, &reply) || !reply)
        st = unreachable(o, "it does not answer");
    else if (reply->type == REDIS_REPLY_ERROR)
        st = chr_fail(CHR_INVALID, "the server refused user '%s': %s", o->user, reply->str);
    freeReplyObject(reply);
    return st;
}

chr_status remote_link_open(const remote_options *o, remote_link **out)
{
    remote_link *l = calloc(1, sizeof *l);
    if (!l) return chr_nomem();
    l->fd = -1;
    l->reader = redisReaderCreate();
    chr_status st = !l->reader ? chr_nomem() : *o->path ? connect_unix(o, &l->fd) : connect_tcp(o, &l->fd);
    if (st == CHR_OK) {
        (void)fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) & ~O_NONBLOCK);
        set_time(l->fd, SO_SNDTIMEO, o->timeout_ms);
        set_time(l->fd, SO_RCVTIMEO, CONNECT_MS);
        if (o->tls) st = start_tls(o, l);
    }
    if (st == CHR_OK) st = say_who(o, l);
    if (st == CHR_OK)
        *out = l;
    else
        remote_link_close(l);
    return st;
}

void remote_link_break(remote_link *l) { (void)shutdown(l->fd, SHUT_RDWR); }

void remote_link_close(remote_link *l)
{
    SSL_free(l->ssl);
    SSL_CTX_free(l->context);
    if (l->fd >= 0) close(l->fd);
    if (l->reader) redisReaderFree(l->reader);
    chr_buf_free(&l->out);
    free(l);
}

/* ---- sending and receiving ---- */

static bool send_all(remote_link *l, const char *at, size_t left)
{
    while (left) {
        ssize_t n;
        if (l->ssl) {
            n = SSL_write(l->ssl, at, left < INT_MAX ? (int)left : INT_MAX);
            if (n <= 0) ERR_clear_error();
        } else {
            n = send(l->fd, at, left, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
        }
        if (n <= 0) return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

bool remote_link_send(remote_link *l, const slice *args, size_t n)
{
    l->out.len = 0;
    bool good = buf_printf(&l->out, "*%zu\r\n", n);
    for (size_t i = 0; i < n && good; i++)
        good = buf_printf(&l->out, "$%zu\r\n", args[i].len) && buf_append_slice(&l->out, args[i]) &&
               buf_append(&l->out, "\r\n", 2);
    good = good && send_all(l, l->out.data, l->out.len);
    if (l->out.len > RECEIVE_BYTES) chr_buf_free(&l->out);
    return good;
}

/* Positive: bytes; 0: the time is over; negative: lost. */
static ssize_t receive_some(remote_link *l)
{
    if (!l->ssl) {
        ssize_t n = recv(l->fd, l->in, sizeof l->in, 0);
        if (n > 0) return n;
        return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
    }
    int n = SSL_read(l->ssl, l->in, sizeof l->in);
    if (n > 0) return n;
    int why = SSL_get_error(l->ssl, n);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool remote_link_receive(remote_link *l, int wake_fd, int wait_ms, redisReply **reply)
{
    void *got = NULL;
    *reply = NULL;
    for (;;) {
        if (redisReaderGetReply(l->reader, &got) != REDIS_OK) return false;
        if (got) break;
        struct pollfd wait[2] = { { .fd = l->fd, .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };
        if (!(l->ssl && SSL_pending(l->ssl)) && (poll(wait, 2, wait_ms) <= 0 || !wait[0].revents)) return true;
        ssize_t n = receive_some(l);
        if (n < 0 || (n > 0 && redisReaderFeed(l->reader, l->in, (size_t)n) != REDIS_OK)) return false;
    }
    *reply = got;
    return true;
}

redisReply *remote_link_ask(remote_link *l, const slice *args, size_t n)
{
    redisReply *reply = NULL;
    bool        good = remote_link_send(l, args, n);
    while (good && !reply) good = remote_link_receive(l, -1, -1, &reply);
    return reply;
}
