/* The TCP door: serves a store to Redis clients and to people with `nc`, on one port. Protocols: PROTOCOL.md. */
#ifndef CHR_NET_SERVER_H
#define CHR_NET_SERVER_H

#include "object/store.h"

typedef struct server server;

enum { SERVER_DOORS_MAX = 16 };

typedef struct server_options {
    const char *listen
        [SERVER_DOORS_MAX]; /* "ADDR:PORT"; "[::1]:8080" for IPv6; port 0 picks a free one; "unix:PATH"; up to NULL */
    struct {
        int  fd;
        bool tls;
    } inherited[SERVER_DOORS_MAX]; /* sockets that listen already; become the server's */
    size_t   n_inherited;
    unsigned threads;     /* reactors; 0: one per processor */
    unsigned max_clients; /* 0: 10,000 */
    /* SHUTDOWN was asked for over the wire; must not block. */
    void (*on_shutdown)(void *arg);
    void *shutdown_arg;
    /* For INFO and CONFIG GET: what else runs here. */
    const char *mount_point; /* NULL: none */
    const char *tls_listen, *tls_certificate,
        *tls_key;      /* "ADDR:PORT" or NULL, and files, see net/tls.h; NULL: no TLS */
    const char *users; /* a file, see net/users.h; NULL: everybody may do everything */
} server_options;

/* Listens and serves from threads of its own. CHR_INVALID: the address is malformed, or in use, with a sentence. */
chr_status server_start(store *s, const server_options *options, server **out);
/* Of the i-th socket that it listens on, "127.0.0.1:8080", with the port that was picked; NULL: there are no more. */
const char *server_address(const server *srv, size_t i, bool *with_tls);
/* Whether all reactors have had a turn since this was asked last. From one thread. */
bool server_breathes(server *srv);
/* As CONFIG GET * and CONFIG SET: a `name value` a line, appended; false: no memory. CHR_INVALID: it cannot be set so. Any thread. */
bool       server_config_text(server *srv, buf *text);
chr_status server_config_set(server *srv, slice name, slice value);
/* Stops accepting, finishes what is in flight (bounded time), closes connections, frees. */
void server_stop(server *srv);

#endif
