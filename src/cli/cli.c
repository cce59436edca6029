/* chronos cli: sends commands to a running server, as redis-cli does: one from the command line, or those of a pipe or a terminal.
 * One connection, made anew when it was lost. */
#include "cli/cli.h"

#include "cli/pager.h"
#include "cli/remote.h"
#include "cli/reply.h"
#include "cli/show.h"

#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the connection ---- */

void client_disconnect(client *c)
{
    if (c->connection) redisFree(c->connection);
    c->connection = NULL;
}

/* Whether the server has closed the connection since the last answer, as it does when it stops. */
static bool is_closed(const client *c)
{
    char byte;
    return recv(c->connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool client_connect(client *c)
{
    if (c->connection && is_closed(c)) client_disconnect(c);
    if (!c->connection) c->connection = remote_connect(&c->options->server);
    return c->connection != NULL;
}

bool is_last_command(const char *name) { return strcasecmp(name, "shutdown") == 0 || strcasecmp(name, "quit") == 0; }

bool is_refused_command(const char *const *word, int count)
{
    if (count < 3 || strcasecmp(word[0], "client") != 0 || strcasecmp(word[1], "reply") != 0) return false;
    if (strcasecmp(word[2], "off") != 0 && strcasecmp(word[2], "skip") != 0) return false;
    complain("CLIENT REPLY %s would leave nothing to show; it was not sent", word[2]);
    return true;
}

bool is_listening_command(const char *name)
{
    return strcasecmp(name, "subscribe") == 0 || strcasecmp(name, "psubscribe") == 0 ||
           strcasecmp(name, "monitor") == 0;
}

/* ---- replies ---- */

/* Texts for people, which would be hard to read in quotes. */
static bool is_text_command(const char *const *word, int count)
{
    if (strcasecmp(word[0], "info") == 0 || strcasecmp(word[0], "help") == 0) return true;
    return count > 1 && strcasecmp(word[0], "client") == 0 &&
           (strcasecmp(word[1], "list") == 0 || strcasecmp(word[1], "info") == 0);
}

bool client_append(const client *c, buf *to, const redisReply *reply, const char *const *word, int count)
{
    if (c->format == FORMAT_JSON) return reply_append_json(to, reply);
    bool text = (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_ARRAY) && is_text_command(word, count);
    return c->format == FORMAT_PLAIN || text ? reply_append_plain(to, reply) : reply_append_pretty(to, reply);
}

static bool print_reply(const client *c, const redisReply *reply, const char *const *word, int count)
{
    buf  out = { 0 };
    bool ok = client_append(c, &out, reply, word, count);
    if (!ok)
        complain("not enough memory to show the answer");
    else if (!c->pages || !pager_show(buf_slice(&out)))
        ok = print_bytes(buf_slice(&out)) == EXIT_DONE;
    chr_buf_free(&out);
    return ok;
}

outcome client_listen(client *c)
{
    redisReply *reply;
    outcome     result = ANSWERED;
    while (result == ANSWERED && redisGetReply(c->connection, (void **)&reply) == REDIS_OK) {
        if (!print_reply(c, reply, (const char *const[]){ "" }, 1)) result = NO_ANSWER;
        freeReplyObject(reply);
    }
    if (result == ANSWERED) complain("lost the connection to the server: %s", c->connection->errstr);
    client_disconnect(c);
    return NO_ANSWER;
}

/* ---- one command ---- */

/* NULL: the connection is lost, and closed. */
static redisReply *ask(client *c, int count, const char **word, const size_t *len)
{
    redisReply *reply = redisCommandArgv(c->connection, count, word, len);
    if (reply) return reply;
    if (!is_last_command(word[0]))
        complain("lost the connection to the server before its answer: %s", c->connection->errstr);
    client_disconnect(c);
    return NULL;
}

outcome client_run(client *c, int count, const char **word, const size_t *len)
{
    if (is_refused_command(word, count)) return ANSWERED_ERROR;
    if (!client_connect(c)) return NO_ANSWER;
    redisReply *reply = ask(c, count, word, len);
    if (!reply) return strcasecmp(word[0], "shutdown") == 0 ? ANSWERED : NO_ANSWER;
    outcome result = reply->type == REDIS_REPLY_ERROR ? ANSWERED_ERROR : ANSWERED;
    if (!print_reply(c, reply, word, count)) result = NO_ANSWER;
    freeReplyObject(reply);
    return result == ANSWERED && is_listening_command(word[0]) ? client_listen(c) : result;
}

int exit_status_of(outcome result)
{
    return result == ANSWERED ? EXIT_DONE : result == ANSWERED_ERROR ? EXIT_NEGATIVE : EXIT_FAILED;
}

static int run_operands(client *c, size_t count, char **operand)
{
    size_t *len = calloc(count, sizeof *len);
    if (!len) return complain("not enough memory");
    for (size_t i = 0; i < count; i++) len[i] = strlen(operand[i]);
    outcome result = client_run(c, (int)count, (const char **)operand, len);
    free(len);
    return exit_status_of(result);
}

int cli_run(const command_values *values, size_t count, char **operand)
{
    const cli_options *o = &values->cli;
    bool               screen = isatty(STDOUT_FILENO);
    client             c = { .options = o,
                             .pages = screen && isatty(STDIN_FILENO),
                             .format = o->json             ? FORMAT_JSON
                                       : screen && !o->raw ? FORMAT_PRETTY
                                                           : FORMAT_PLAIN };
    int                status;
    signal(SIGPIPE, SIG_IGN); /* a server that closes while it is written to is no reason to end without a word */
    if (o->json + o->raw > 1) return complain("--json and --raw exclude each other");
    if (o->bigkeys + o->stat + (count > 0) > 1) return complain("--bigkeys, --stat and a COMMAND exclude each other");
    if (o->bigkeys)
        status = run_bigkeys(&c);
    else if (o->stat)
        status = run_stat(&c);
    else if (count)
        status = run_operands(&c, count, operand);
    else if (isatty(STDIN_FILENO))
        status = run_terminal(&c);
    else
        status = run_pipe(&c);
    client_disconnect(&c);
    return status;
}
