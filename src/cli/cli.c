/* chronos cli: sends commands to a running server, as redis-cli does: one from the command line, or line by line from a
 * terminal (history, completion) or a pipe. One thread; one connection, made anew when it was lost. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/reply.h"
#include "cli/show.h"

#include <editline/readline.h>
#include <hiredis/sds.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES_MAX = 1000, PROMPT_MAX = 320, LINE_COLUMNS = 78 };

typedef struct client {
    const cli_options *options;
    redisContext      *connection; /* NULL: there is none */
    bool               pretty;     /* for a person at a terminal */
} client;

/* What became of a command. */
typedef enum outcome { ANSWERED, ANSWERED_ERROR, NO_ANSWER } outcome;

/* ---- the connection ---- */

static void disconnect(client *c)
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

/* Connects if there is no connection, or none any more. */
static bool connect_to_server(client *c)
{
    if (c->connection && is_closed(c)) disconnect(c);
    if (c->connection) return true;
    c->connection = remote_connect(&c->options->server);
    return c->connection != NULL;
}

/* NULL: the connection is lost, and closed. */
static redisReply *ask(client *c, int count, const char **word, const size_t *len)
{
    redisReply *reply = redisCommandArgv(c->connection, count, word, len);
    if (reply) return reply;
    /* These end the connection by themselves. */
    if (strcasecmp(word[0], "shutdown") != 0 && strcasecmp(word[0], "quit") != 0)
        complain("lost the connection to the server before its answer: %s", c->connection->errstr);
    disconnect(c);
    return NULL;
}

/* ---- one command ---- */

/* Texts for people, which would be hard to read in quotes. */
static bool is_text_command(int count, const char **word)
{
    if (strcasecmp(word[0], "info") == 0) return true;
    return count > 1 && strcasecmp(word[0], "client") == 0 &&
           (strcasecmp(word[1], "list") == 0 || strcasecmp(word[1], "info") == 0);
}

static bool print_reply(const client *c, const redisReply *reply, bool text)
{
    buf  out = { 0 };
    bool plain = !c->pretty || (text && reply->type == REDIS_REPLY_STRING);
    bool ok = plain ? reply_append_plain(&out, reply) : reply_append_pretty(&out, reply);
    if (!ok)
        complain("not enough memory to show the answer");
    else
        ok = print_bytes(buf_slice(&out)) == EXIT_DONE;
    chr_buf_free(&out);
    return ok;
}

static outcome run_words(client *c, int count, const char **word, const size_t *len)
{
    if (!connect_to_server(c)) return NO_ANSWER;
    redisReply *reply = ask(c, count, word, len);
    if (!reply) return strcasecmp(word[0], "shutdown") == 0 ? ANSWERED : NO_ANSWER;
    outcome result = reply->type == REDIS_REPLY_ERROR ? ANSWERED_ERROR : ANSWERED;
    if (!print_reply(c, reply, is_text_command(count, word))) result = NO_ANSWER;
    freeReplyObject(reply);
    return result;
}

static int exit_status_of(outcome result)
{
    return result == ANSWERED ? EXIT_DONE : result == ANSWERED_ERROR ? EXIT_NEGATIVE : EXIT_FAILED;
}

static int run_operands(client *c, size_t count, char **operand)
{
    size_t *len = calloc(count, sizeof *len);
    if (!len) return complain("not enough memory");
    for (size_t i = 0; i < count; i++) len[i] = strlen(operand[i]);
    outcome result = run_words(c, (int)count, (const char **)operand, len);
    free(len);
    return exit_status_of(result);
}

/* Splits a line into words as redis-cli does and runs them. An empty line is ANSWERED. */
static outcome run_line(client *c, const char *line)
{
    int     count = 0;
    outcome result = ANSWERED;
    sds    *words = sdssplitargs(line, &count);
    if (!words) {
        complain("a quote is not closed, or something follows it without a space; nothing was sent");
        return ANSWERED_ERROR;
    }
    size_t *len = calloc((size_t)count + 1, sizeof *len);
    for (int i = 0; i < count && len; i++) len[i] = sdslen(words[i]);
    if (!len) {
        complain("not enough memory");
        result = NO_ANSWER;
    } else if (count > 0) {
        result = run_words(c, count, (const char **)words, len);
    }
    free(len);
    sdsfreesplitres(words, count);
    return result;
}

/* ---- commands from a pipe ---- */

static int run_stdin(client *c)
{
    char   *line = NULL;
    size_t  room = 0;
    outcome result = ANSWERED;
    ssize_t n;
    while (result != NO_ANSWER && (n = getline(&line, &room, stdin)) >= 0) {
        outcome one = ANSWERED_ERROR;
        if (memchr(line, 0, (size_t)n))
            complain("a line holds a NUL byte; write it as \"\\x00\"; nothing was sent");
        else
            one = run_line(c, line);
        if (one != ANSWERED) result = one;
    }
    free(line);
    return exit_status_of(result);
}

/* ---- commands from a terminal ---- */

/* libedit asks for completions without a handle, so the names are the file's. */
static char **command_names;
static size_t command_count;

static void free_command_names(void)
{
    for (size_t i = 0; i < command_count; i++) free(command_names[i]);
    free(command_names);
    command_names = NULL;
    command_count = 0;
}

static redisReply *ask_for_list(client *c, const char *words)
{
    redisReply *reply = redisCommand(c->connection, words);
    if (reply && reply->type == REDIS_REPLY_ARRAY) return reply;
    if (reply) freeReplyObject(reply);
    return NULL;
}

/* The names that the server knows; without them there is no completion, and no harm. */
static void fetch_command_names(client *c)
{
    redisReply *reply = ask_for_list(c, "COMMAND LIST");
    if (!reply && c->connection->err == 0) reply = ask_for_list(c, "COMMAND");
    if (!reply) return;
    command_names = calloc(reply->elements + 1, sizeof *command_names);
    for (size_t i = 0; i < reply->elements && command_names; i++) {
        const redisReply *name = reply->element[i];
        if (name->type == REDIS_REPLY_ARRAY && name->elements) name = name->element[0];
        if (name->type != REDIS_REPLY_STRING && name->type != REDIS_REPLY_STATUS) continue;
        char *copy = strdup(name->str);
        if (copy) command_names[command_count++] = copy;
    }
    freeReplyObject(reply);
}

/* The next name that begins with `text`, in the case in which `text` is written; `state` 0 begins anew. */
static char *next_completion(const char *text, int state)
{
    static size_t next;
    if (state == 0) next = 0;
    while (next < command_count) {
        const char *name = command_names[next++];
        if (strncasecmp(name, text, strlen(text)) != 0) continue;
        char *copy = strdup(name);
        bool  upper = *text && strpbrk(text, "abcdefghijklmnopqrstuvwxyz") == NULL;
        for (char *p = copy; p && *p; p++) {
            if (upper && *p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
            if (!upper && *p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
        }
        return copy;
    }
    return NULL;
}

static char **complete(const char *text, int start, int end)
{
    (void)end;
    rl_attempted_completion_over = 1; /* never file names */
    return start == 0 ? rl_completion_matches(text, next_completion) : NULL;
}

static void print_command_names(void)
{
    size_t column = 0;
    printf("Commands of the server:\n");
    for (size_t i = 0; i < command_count; i++) {
        size_t len = strlen(command_names[i]) + 1;
        if (column + len > LINE_COLUMNS) {
            printf("\n");
            column = 0;
        }
        printf(" %s", command_names[i]);
        column += len;
    }
    printf("\nTab completes them; 'quit' leaves. Values with spaces go in \"quotes\".\n");
    fflush(stdout);
}

/* Where lines are kept from one session to the next; empty: nowhere. */
/* Such lines are not kept in the history. */
static bool has_password(const char *line)
{
    line += strspn(line, " \t");
    return strncasecmp(line, "auth", 4) == 0 || strncasecmp(line, "hello", 5) == 0 || strncasecmp(line, "acl", 3) == 0;
}

static void find_history(char *path, size_t size)
{
    const char *home = getenv("HOME");
    path[0] = 0;
    if (home && *home && (size_t)snprintf(path, size, "%s/.chronos_history", home) >= size) path[0] = 0;
}

static int run_terminal(client *c)
{
    char history[4096], prompt[PROMPT_MAX];
    if (!connect_to_server(c)) return EXIT_FAILED;
    fetch_command_names(c);
    find_history(history, sizeof history);

    rl_readline_name = "chronos";
    rl_catch_signals = 1; /* SIGINT ends the program, with the terminal as it was before */
    rl_attempted_completion_function = complete;
    using_history();
    stifle_history(HISTORY_LINES_MAX);
    if (*history) read_history(history);
    umask(077); /* lines hold values */

    for (;;) {
        if (c->connection)
            snprintf(prompt, sizeof prompt, "%s:%llu> ", c->options->server.host,
                     (unsigned long long)c->options->server.port);
        else
            snprintf(prompt, sizeof prompt, "not connected> ");
        char *line = readline(prompt);
        if (!line) {
            printf("\n"); /* end of input: the shell's prompt wants a line of its own */
            break;
        }
        if (line[strspn(line, " \t")] && !has_password(line)) add_history(line);
        if (*history) write_history(history);
        bool leave = strcasecmp(line, "quit") == 0 || strcasecmp(line, "exit") == 0;
        if (strcasecmp(line, "help") == 0)
            print_command_names();
        else if (!leave)
            (void)run_line(c, line);
        free(line);
        if (leave) break;
    }
    free_command_names();
    return EXIT_DONE;
}

int cli_run(const command_values *values, size_t count, char **operand)
{
    client c = { .options = &values->cli, .pretty = isatty(STDOUT_FILENO) };
    int    status;
    if (count)
        status = run_operands(&c, count, operand);
    else if (isatty(STDIN_FILENO))
        status = run_terminal(&c);
    else
        status = run_stdin(&c);
    disconnect(&c);
    return status;
}
