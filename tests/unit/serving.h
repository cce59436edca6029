/* What the tests of the server share: a server in this process, with hiredis and bare sockets as its clients. */
#ifndef CHR_TEST_SERVING_H
#define CHR_TEST_SERVING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct fixture {
    char    dir[256];
    store  *s;
    server *srv;
    int     port;
} fixture;

static inline int setup(void **state)
{
    fixture       *f = calloc(1, sizeof *f);
    const char    *tmp = getenv("TMPDIR");
    store_options  o = { .chr = chr_options_default(), .keeps_hot = true };
    server_options net = { .listen = { "127.0.0.1:0" }, .threads = 2 };
    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "%s/chronos-server-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(store_open(f->dir, &o, &f->s), CHR_OK);
    if (server_start(f->s, &net, &f->srv) != CHR_OK) fail_msg("%s", chr_message());
    f->port = atoi(strrchr(server_address(f->srv, 0, &(bool){ false }), ':') + 1);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture *f = *state;
    server_stop(f->srv);
    assert_int_equal(chr_close(f->s), CHR_OK);
    DIR *d = opendir(f->dir);
    for (struct dirent *x; (x = readdir(d));)
        if (x->d_name[0] != '.') (void)unlinkat(dirfd(d), x->d_name, 0);
    closedir(d);
    rmdir(f->dir);
    free(f);
    return 0;
}

static inline redisContext *client(const fixture *f)
{
    redisContext *c = redisConnect("127.0.0.1", f->port);
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    return c;
}

/* A reply as text: "int:1", "str:x", "ok:OK", "err:...", "nil", "[int:1 nil]". */
static inline void write_reply(FILE *out, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER: fprintf(out, "int:%lld", r->integer); break;
    case REDIS_REPLY_STRING: fprintf(out, "str:%s", r->str); break;
    case REDIS_REPLY_STATUS: fprintf(out, "ok:%s", r->str); break;
    case REDIS_REPLY_ERROR: fprintf(out, "err:%s", r->str); break;
    case REDIS_REPLY_NIL: fprintf(out, "nil"); break;
    case REDIS_REPLY_ARRAY:
        fputc('[', out);
        for (size_t i = 0; i < r->elements; i++) {
            if (i) fputc(' ', out);
            write_reply(out, r->element[i]);
        }
        fputc(']', out);
        break;
    default: fprintf(out, "type %d", r->type); break;
    }
}

static inline void assert_is_reply(redisReply *r, const char *what, const char *expected)
{
    char  *text = NULL;
    size_t len = 0;
    FILE  *out = open_memstream(&text, &len);
    if (!r || !out) {
        fail_msg("%s: the connection was closed", what);
        return; /* which fail_msg does not, told to those who analyse */
    }
    write_reply(out, r);
    fclose(out);
    freeReplyObject(r);
    if (!text || strcmp(text, expected) != 0) fail_msg("%s: expected %s, got %s", what, expected, text);
    free(text);
}

static inline void assert_reply(redisContext *c, const char *command, const char *expected)
{
    assert_is_reply(redisCommand(c, command), command, expected);
}

typedef struct exchange {
    const char *command, *reply;
} exchange;

static inline void talk(redisContext *c, const exchange *e, size_t n)
{
    for (size_t i = 0; i < n; i++) assert_reply(c, e[i].command, e[i].reply);
}
#define TALK(c, ...) talk(c, (const exchange[]){ __VA_ARGS__ }, sizeof((exchange[]){ __VA_ARGS__ }) / sizeof(exchange))

/* Replies or pushes that come without being asked for now. */
static inline void assert_next(redisContext *c, const char *expected)
{
    void *r = NULL;
    redisGetReply(c, &r);
    assert_is_reply(r, "the next reply", expected);
}

static inline int dial(const fixture *f)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)f->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval     limit = { .tv_sec = 20 };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything up to the end of the connection. */
static inline void assert_hears(int fd, const char *expected)
{
    char   text[4096] = "";
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0;) n += (size_t)got;
    text[n] = 0;
    assert_string_equal(text, expected);
    close(fd);
}

#endif
