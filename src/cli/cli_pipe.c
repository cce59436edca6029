/* chronos cli with commands on stdin: all that has come is sent at once, then the replies are read, in order. */
#include "cli/cli.h"
#include "cli/show.h"

#include <errno.h>
#include <hiredis/sds.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

typedef struct sent {
    sds   *word; /* freed with sdsfreesplitres */
    int    count;
    size_t line;
} sent;

typedef struct pipe_run {
    client *c;
    buf     in, out;
    sent   *waits; /* without a reply as yet */
    size_t  n, room;
    size_t  lines, commands, errors, first_error; /* a line */
    bool    failed;                               /* no more is sent */
} pipe_run;

static void note_error(pipe_run *p, size_t line)
{
    if (p->errors++ == 0) p->first_error = line;
}

static bool fail(pipe_run *p)
{
    p->failed = true;
    return false;
}

static void print_out(pipe_run *p)
{
    if (p->out.len && print_bytes(buf_slice(&p->out)) != EXIT_DONE) p->failed = true;
    p->out.len = 0;
}

/* False: there is none, and complained. */
static bool take_reply(pipe_run *p, const sent *s)
{
    redisReply *reply = NULL;
    if (redisGetReply(p->c->connection, (void **)&reply) != REDIS_OK) {
        if (!is_last_command(s->word[0]))
            complain("lost the connection to the server before its answer to line %zu: %s", s->line,
                     p->c->connection->errstr);
        client_disconnect(p->c);
        return strcasecmp(s->word[0], "shutdown") == 0;
    }
    if (reply->type == REDIS_REPLY_ERROR) note_error(p, s->line);
    bool ok = client_append(p->c, &p->out, reply, (const char *const *)s->word, s->count);
    freeReplyObject(reply);
    if (!ok) complain("not enough memory to show the answer");
    if (p->out.len >= READ_BYTES) print_out(p);
    return ok;
}

/* Reads the replies to all that was sent. */
static void drain(pipe_run *p)
{
    bool listen = p->n && is_listening_command(p->waits[p->n - 1].word[0]);
    bool last = p->n && is_last_command(p->waits[p->n - 1].word[0]);
    for (size_t i = 0; i < p->n; i++) {
        if (!p->failed && !take_reply(p, &p->waits[i])) fail(p);
        sdsfreesplitres(p->waits[i].word, p->waits[i].count);
    }
    p->n = 0;
    print_out(p);
    if (last) client_disconnect(p->c); /* the server does the same, but perhaps not yet */
    if (listen && !p->failed && client_listen(p->c) != ANSWERED) fail(p);
}

/* False: no memory. */
static bool send_words(pipe_run *p, sds *word, int count)
{
    size_t *len = calloc((size_t)count, sizeof *len);
    if (!len) return false;
    for (int i = 0; i < count; i++) len[i] = sdslen(word[i]);
    bool ok = redisAppendCommandArgv(p->c->connection, count, (const char **)word, len) == REDIS_OK;
    free(len);
    if (!ok) return false;
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 64;
        sent  *more = realloc(p->waits, room * sizeof *more);
        if (!more) return false;
        p->waits = more;
        p->room = room;
    }
    p->waits[p->n++] = (sent){ word, count, p->lines };
    p->commands++;
    return true;
}

/* `line` ends in a NUL. */
static void run_line(pipe_run *p, const char *line, size_t len)
{
    int  count = 0;
    bool nul = strlen(line) != len;
    sds *word = nul ? NULL : sdssplitargs(line, &count);
    p->lines++;
    if (!word) {
        complain(nul ? "line %zu holds a NUL byte; write it as \"\\x00\"; it was not sent"
                     : "in line %zu a quote is not closed, or something follows it without a space; it was not sent",
                 p->lines);
        note_error(p, p->lines);
        return;
    }
    bool refused = is_refused_command((const char *const *)word, count);
    if (refused) note_error(p, p->lines);
    if (refused || count == 0) {
        sdsfreesplitres(word, count);
        return;
    }
    bool alone = is_last_command(word[0]) || is_listening_command(word[0]);
    if (p->n == 0 && !client_connect(p->c)) {
        sdsfreesplitres(word, count);
        fail(p);
    } else if (!send_words(p, word, count)) {
        complain("not enough memory for line %zu", p->lines);
        sdsfreesplitres(word, count);
        fail(p);
    } else if (alone) {
        drain(p);
    }
}

/* The lines that are complete, and the last one too if there is no more to come. */
static void run_lines(pipe_run *p, size_t *looked, bool end)
{
    size_t from = 0;
    while (!p->failed && from < p->in.len) {
        size_t at = *looked > from ? *looked : from;
        char  *found = memchr(p->in.data + at, '\n', p->in.len - at);
        if (!found && !end) break;
        if (!found) found = p->in.data + p->in.len; /* there is room for a NUL */
        *found = 0;
        size_t len = (size_t)(found - (p->in.data + from));
        run_line(p, p->in.data + from, len);
        from += len + 1;
    }
    if (from > p->in.len) from = p->in.len;
    memmove(p->in.data, p->in.data + from, p->in.len - from);
    p->in.len -= from;
    *looked = p->in.len;
    if (!p->failed) drain(p);
}

static void say_count(const pipe_run *p)
{
    bool watched = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
    if (p->errors)
        fprintf(stderr, "chronos: %zu command%s, %zu error%s, the first in line %zu\n", p->commands,
                p->commands == 1 ? "" : "s", p->errors, p->errors == 1 ? "" : "s", p->first_error);
    else if (watched)
        fprintf(stderr, "chronos: %zu command%s, no error\n", p->commands, p->commands == 1 ? "" : "s");
}

int run_pipe(client *c)
{
    pipe_run p = { .c = c };
    size_t   looked = 0;
    ssize_t  n = 1;
    while (!p.failed && n > 0) {
        if (!buf_reserve(&p.in, READ_BYTES + 1)) {
            complain("not enough memory for line %zu", p.lines + 1);
            fail(&p);
            break;
        }
        n = read(STDIN_FILENO, p.in.data + p.in.len, READ_BYTES);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0) {
            complain("cannot read the commands: %s", strerror(errno));
            fail(&p);
        } else {
            p.in.len += (size_t)n;
            run_lines(&p, &looked, n == 0);
        }
    }
    for (size_t i = 0; i < p.n; i++) sdsfreesplitres(p.waits[i].word, p.waits[i].count);
    say_count(&p);
    chr_buf_free(&p.in);
    chr_buf_free(&p.out);
    free(p.waits);
    return p.failed ? EXIT_FAILED : p.errors ? EXIT_NEGATIVE : EXIT_DONE;
}
