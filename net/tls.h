/* TLS of a connection, by OpenSSL. tls_recv and tls_send answer as recv and send do on a non-blocking socket. The process must ignore
 * SIGPIPE. A `tls` is for all threads, a stream for that of its connection. */
#ifndef CHR_NET_TLS_H
#define CHR_NET_TLS_H

#include "base/bytes.h"

#include <sys/types.h>

typedef struct ssl_ctx_st tls;
typedef struct ssl_st     tls_stream;

/* Files in PEM: the certificate with those that vouch for it, and its key. CHR_INVALID: they will not do, and why. */
chr_status tls_open(const char *certificate, const char *key, tls **out);
void       tls_free(tls *t); /* NULL is fine */

tls_stream *tls_accept(tls *t, int fd); /* NULL: no memory. The socket stays the caller's. */
void        tls_stream_free(tls_stream *s);
ssize_t     tls_recv(tls_stream *s, void *to, size_t len);
ssize_t     tls_send(tls_stream *s, const void *data, size_t len);
bool        tls_pending(const tls_stream *s); /* more has been received than was asked for: no event tells of it */
bool        tls_wants_write(const tls_stream *s);
bool        tls_is_ready(const tls_stream *s); /* the handshake is over */
void        tls_say_goodbye(tls_stream *s);

#endif
