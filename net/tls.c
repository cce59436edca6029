#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

enum { SEND_MAX = 1 << 20 };

static chr_status refused(const char *what, const char *path)
{
    char why[256];
    ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
    ERR_clear_error();
    return chr_fail(CHR_INVALID, "cannot use %s as %s of the server: %s", path, what, why);
}

chr_status tls_open(const char *certificate, const char *key, tls **out)
{
    chr_status st = CHR_OK;
    SSL_CTX   *t = SSL_CTX_new(TLS_server_method());
    if (!t) return chr_nomem();
    SSL_CTX_set_min_proto_version(t, TLS1_2_VERSION);
    SSL_CTX_set_options(t, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* What is to be sent may move, and goes a record at a time. */
    SSL_CTX_set_mode(t, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(t, certificate) != 1)
        st = refused("the certificate", certificate);
    else if (SSL_CTX_use_PrivateKey_file(t, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(t) != 1)
        st = refused("the key", key);
    if (chr_ok(st))
        *out = t;
    else
        SSL_CTX_free(t);
    return st;
}

void tls_free(tls *t) { SSL_CTX_free(t); }

tls_stream *tls_accept(tls *t, int fd)
{
    SSL *s = SSL_new(t);
    if (s && SSL_set_fd(s, fd) != 1) {
        SSL_free(s);
        s = NULL;
    }
    if (s) SSL_set_accept_state(s);
    ERR_clear_error();
    return s;
}

void tls_stream_free(tls_stream *s) { SSL_free(s); }

static ssize_t result(tls_stream *s, int n)
{
    if (n > 0) return n;
    int why = SSL_get_error(s, n);
    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN) return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}

ssize_t tls_recv(tls_stream *s, void *to, size_t len)
{
    ERR_clear_error();
    return result(s, SSL_read(s, to, len < SEND_MAX ? (int)len : SEND_MAX));
}

ssize_t tls_send(tls_stream *s, const void *data, size_t len)
{
    ERR_clear_error();
    return result(s, SSL_write(s, data, len < SEND_MAX ? (int)len : SEND_MAX));
}

bool tls_pending(const tls_stream *s) { return SSL_pending(s) > 0; }
bool tls_wants_write(const tls_stream *s) { return SSL_want_write(s); }
bool tls_is_ready(const tls_stream *s) { return SSL_is_init_finished(s); }

void tls_say_goodbye(tls_stream *s)
{
    if (SSL_is_init_finished(s)) (void)SSL_shutdown(s);
    ERR_clear_error();
}
