/* chronos cli at a terminal, by libedit: history, completion of commands and keys, and at the right margin the arguments that come next. */
#include "cli/cli.h"
#include "cli/docs.h"
#include "cli/remote.h"
#include "cli/show.h"

#include <hiredis/sds.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HISTORY_LINES_MAX = 1000,
    PROMPT_MAX = 320,
    COLUMNS = 80,
    WORDS_MAX = 64,
    CANDIDATES_MAX = 100,
    KEY_TIMEOUT_S = 2,
};

typedef struct terminal {
    client       *c;
    EditLine     *el;
    History      *history;
    docs          docs;
    redisContext *helper; /* asks for keys, so that nothing gets into a transaction; NULL: not yet, or not any more */
    char          prompt[PROMPT_MAX], hint[PROMPT_MAX];
    bool          hides_hint; /* the line is done */
} terminal;

static terminal *of(EditLine *el)
{
    void *t = NULL;
    (void)el_get(el, EL_CLIENTDATA, &t);
    return t;
}

static size_t columns(void)
{
    struct winsize size = { 0 };
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : COLUMNS;
}

/* ---- the line ---- */

/* The words before the cursor; the last one, which may be empty, is the one being written. */
static size_t split_line(EditLine *el, slice word[WORDS_MAX])
{
    const LineInfo *line = el_line(el);
    const char     *p = line->buffer;
    size_t          n = 0;
    while (n < WORDS_MAX) {
        while (p < line->cursor && *p == ' ') p++;
        const char *from = p;
        while (p < line->cursor && *p != ' ') p++;
        word[n++] = chr_bytes(from, (size_t)(p - from));
        if (p == line->cursor) break;
    }
    return n;
}

/* Such lines are not kept in the history. One that cannot be split was not sent, but may hold a password, too. */
static bool has_password(const char *line)
{
    int  n = 0;
    sds *word = sdssplitargs(line, &n);
    bool secret = false;
    if (!word) return strcasestr(line, "auth") || strcasestr(line, "acl");
    if (n > 0 && strcasecmp(word[0], "auth") == 0) secret = true;
    if (n > 1 && strcasecmp(word[0], "acl") == 0 && strcasecmp(word[1], "setuser") == 0) secret = true;
    for (int i = 1; i < n && strcasecmp(word[0], "hello") == 0; i++)
        secret = secret || strcasecmp(word[i], "auth") == 0;
    sdsfreesplitres(word, n);
    return secret;
}

/* ---- prompts ---- */

static char *left_prompt(EditLine *el)
{
    terminal           *t = of(el);
    const peer_options *server = &t->c->options->server;
    if (!t->c->connection)
        snprintf(t->prompt, sizeof t->prompt, "not connected> ");
    else if (strncmp(server->host, "unix:", 5) == 0)
        snprintf(t->prompt, sizeof t->prompt, "%s> ", server->host);
    else
        snprintf(t->prompt, sizeof t->prompt, "%s:%llu> ", server->host, (unsigned long long)server->port);
    return t->prompt;
}

/* As much of the syntax as there is room for behind the line. */
static char *right_prompt(EditLine *el)
{
    slice     word[WORDS_MAX];
    terminal *t = of(el);
    size_t    n = split_line(el, word), used;
    t->hint[0] = 0;
    const doc *about = t->hides_hint || n < 2 ? NULL : docs_find(&t->docs, word, n - 1, &used);
    if (!about) return t->hint;
    const LineInfo *line = el_line(el);
    size_t          taken = strlen(left_prompt(el)) + (size_t)(line->lastchar - line->buffer) + 3, all = columns();
    buf             shown = { 0 };
    bool            ok = append_escaped(&shown, chr_str(syntax_rest(about->syntax, n - 1 - used)));
    size_t          room = all > taken ? all - taken : 0;
    if (room >= sizeof t->hint) room = sizeof t->hint - 1;
    if (ok && shown.len && shown.len <= room)
        snprintf(t->hint, sizeof t->hint, "%.*s", (int)shown.len, shown.data);
    else if (ok && shown.len && room > 8)
        snprintf(t->hint, sizeof t->hint, "%.*s...", (int)room - 3, shown.data);
    chr_buf_free(&shown);
    return t->hint;
}

/* A word is complete: the next hint. */
static unsigned char on_space(EditLine *el, int key)
{
    (void)key;
    return el_insertstr(el, " ") == 0 ? CC_REFRESH : CC_ERROR;
}

/* The hint goes, and the line ends by the other key that ends it. */
static unsigned char on_newline(EditLine *el, int key)
{
    (void)key;
    of(el)->hides_hint = true;
    el_push(el, "\r");
    return CC_REFRESH;
}

/* ---- completion ---- */

typedef struct candidates {
    char  *text[CANDIDATES_MAX];
    size_t n;
} candidates;

static void add_candidate(candidates *all, const char *text, size_t len)
{
    if (all->n < CANDIDATES_MAX && (all->text[all->n] = strndup(text, len))) all->n++;
}

/* In the case in which the word is written so far. */
static void add_name(candidates *all, const char *name, slice begun)
{
    bool upper = begun.len > 0;
    for (size_t i = 0; i < begun.len; i++) upper = upper && !(begun.data[i] >= 'a' && begun.data[i] <= 'z');
    size_t before = all->n;
    add_candidate(all, name, strlen(name));
    if (all->n == before || !upper) return;
    for (char *p = all->text[before]; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
}

static void find_names(const terminal *t, slice command_name, slice begun, candidates *all)
{
    for (size_t i = 0; i < t->docs.n; i++) {
        const char *name = t->docs.all[i].name, *bar = strchr(name, '|');
        if (!command_name.data) {
            if (!bar && strncasecmp(name, begun.data, begun.len) == 0) add_name(all, name, begun);
        } else if (bar && (size_t)(bar - name) == command_name.len &&
                   strncasecmp(name, command_name.data, command_name.len) == 0 &&
                   strncasecmp(bar + 1, begun.data, begun.len) == 0) {
            add_name(all, bar + 1, begun);
        }
    }
}

/* What can be written without quotes, and shown. */
static bool is_plain(slice key)
{
    buf  shown = { 0 };
    bool plain = append_escaped(&shown, key) && slice_equal(buf_slice(&shown), key);
    for (size_t i = 0; i < key.len && plain; i++) plain = !strchr(" \"'\\", key.data[i]);
    chr_buf_free(&shown);
    return plain && key.len;
}

static redisReply *ask_for_keys(redisContext *c, slice begun)
{
    redisReply *reply = redisCommand(c, "PREFIX %b LIMIT %d KEYS", begun.data, begun.len, (int)CANDIDATES_MAX);
    if (!reply || reply->type == REDIS_REPLY_ARRAY) return reply;
    freeReplyObject(reply); /* another server, or not a prefix that this user may list */
    sds pattern = sdsempty();
    for (size_t i = 0; i < begun.len; i++)
        pattern = sdscatfmt(pattern, strchr("*?[]\\", begun.data[i]) ? "\\%s" : "%s", (char[]){ begun.data[i], 0 });
    pattern = sdscat(pattern, "*");
    reply = redisCommand(c, "SCAN 0 MATCH %s COUNT 1000", pattern);
    sdsfree(pattern);
    return reply;
}

static void find_keys(terminal *t, slice begun, candidates *all)
{
    static const struct timeval limit = { .tv_sec = KEY_TIMEOUT_S };
    if (!t->helper) t->helper = remote_connect(&t->c->options->server);
    if (!t->helper) return;
    redisSetTimeout(t->helper, limit);
    redisReply *reply = ask_for_keys(t->helper, begun);
    if (!reply) {
        redisFree(t->helper);
        t->helper = NULL;
        return;
    }
    const redisReply *keys = reply;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_ARRAY)
        keys = reply->element[1];
    for (size_t i = 0; keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
        slice key = chr_bytes(keys->element[i]->str, keys->element[i]->len);
        if (keys->element[i]->type == REDIS_REPLY_STRING && is_plain(key)) add_candidate(all, key.data, key.len);
    }
    freeReplyObject(reply);
}

static void find_candidates(terminal *t, EditLine *el, slice *begun, candidates *all)
{
    slice  word[WORDS_MAX];
    size_t n = split_line(el, word), used;
    *begun = word[n - 1];
    if (n == 1) {
        find_names(t, chr_bytes(NULL, 0), *begun, all);
        return;
    }
    if (n == 2) find_names(t, word[0], *begun, all);
    const doc *about = docs_find(&t->docs, word, n - 1, &used);
    if (all->n == 0 && about && syntax_wants_key(about->syntax, n - 1 - used)) find_keys(t, *begun, all);
}

/* How many bytes they have in common. */
static size_t common(const candidates *all)
{
    size_t len = all->n ? strlen(all->text[0]) : 0;
    for (size_t i = 1; i < all->n; i++)
        for (size_t k = 0; k < len; k++)
            if (all->text[i][k] != all->text[0][k]) len = k;
    return len;
}

static void show_candidates(const candidates *all)
{
    size_t column = 0, wide = 0, across = columns();
    for (size_t i = 0; i < all->n; i++)
        if (strlen(all->text[i]) + 2 > wide) wide = strlen(all->text[i]) + 2;
    printf("\n");
    for (size_t i = 0; i < all->n; i++) {
        if (column && column + wide > across) {
            printf("\n");
            column = 0;
        }
        printf("%-*s", (int)wide, all->text[i]);
        column += wide;
    }
    printf("%s\n", all->n == CANDIDATES_MAX ? "\n..." : "");
    fflush(stdout);
}

static unsigned char on_tab(EditLine *el, int key)
{
    (void)key;
    slice         begun;
    candidates    all = { 0 };
    unsigned char result = CC_ERROR;
    find_candidates(of(el), el, &begun, &all);
    size_t len = common(&all);
    bool   complete = all.n == 1;
    if (all.n && (len > begun.len || complete)) {
        char *text = strndup(all.text[0], len);
        if (begun.len) el_deletestr(el, (int)begun.len);
        result =
            text && el_insertstr(el, text) == 0 && (!complete || el_insertstr(el, " ") == 0) ? CC_REFRESH : CC_ERROR;
        free(text);
    } else if (all.n) {
        show_candidates(&all);
        result = CC_REDISPLAY;
    }
    for (size_t i = 0; i < all.n; i++) free(all.text[i]);
    return result;
}

/* ---- the session ---- */

/* Where lines are kept from one session to the next; empty: nowhere. They hold values, and are for nobody else. */
static void find_history(char *path, size_t size)
{
    const char *home = getenv("HOME");
    path[0] = 0;
    if (home && *home && (size_t)snprintf(path, size, "%s/.chronos_history", home) >= size) path[0] = 0;
    if (*path) (void)chmod(path, S_IRUSR | S_IWUSR);
    umask(S_IRWXG | S_IRWXO);
}

static bool begin(terminal *t, const char *path)
{
    HistEvent event;
    t->history = history_init();
    t->el = t->history ? el_init("chronos", stdin, stdout, stderr) : NULL;
    if (!t->el) {
        if (t->history) history_end(t->history);
        complain("cannot use this terminal");
        return false;
    }
    history(t->history, &event, H_SETSIZE, (int)HISTORY_LINES_MAX);
    if (*path) history(t->history, &event, H_LOAD, path);
    el_set(t->el, EL_CLIENTDATA, t);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_SIGNAL, 1); /* SIGINT ends the program, with the terminal as it was before */
    el_set(t->el, EL_HIST, history, t->history);
    el_set(t->el, EL_PROMPT, left_prompt);
    el_set(t->el, EL_RPROMPT, right_prompt);
    el_set(t->el, EL_ADDFN, "chronos-complete", "Complete a command or a key", on_tab);
    el_set(t->el, EL_ADDFN, "chronos-space", "Hint at the next argument", on_space);
    el_set(t->el, EL_ADDFN, "chronos-newline", "Run the line", on_newline);
    el_set(t->el, EL_BIND, "^I", "chronos-complete", NULL);
    el_set(t->el, EL_BIND, "\\040", "chronos-space", NULL);
    el_set(t->el, EL_BIND, "^J", "chronos-newline", NULL);
    el_set(t->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(t->el, NULL);
    return true;
}

/* Splits a line into words as redis-cli does and runs them. */
static void run_line(client *c, const char *line)
{
    int  count = 0;
    sds *words = sdssplitargs(line, &count);
    if (!words) {
        complain("a quote is not closed, or something follows it without a space; nothing was sent");
        return;
    }
    size_t *len = calloc((size_t)count + 1, sizeof *len);
    for (int i = 0; i < count && len; i++) len[i] = sdslen(words[i]);
    if (!len)
        complain("not enough memory");
    else if (count > 0)
        (void)client_run(c, count, (const char **)words, len);
    free(len);
    sdsfreesplitres(words, count);
}

int run_terminal(client *c)
{
    char        path[4096];
    HistEvent   event;
    terminal    t = { .c = c };
    const char *typed;
    int         n;
    if (!client_connect(c)) return EXIT_FAILED;
    docs_fetch(c->connection, &t.docs);
    find_history(path, sizeof path);
    if (!begin(&t, path)) {
        docs_free(&t.docs);
        return EXIT_FAILED;
    }
    for (bool leave = false; !leave && (typed = el_gets(t.el, &n)) && n > 0;) {
        char *line = strndup(typed, strcspn(typed, "\r\n"));
        t.hides_hint = false;
        if (!line) break;
        if (line[strspn(line, " \t")] && !has_password(line)) history(t.history, &event, H_ENTER, line);
        if (*path) history(t.history, &event, H_SAVE, path);
        leave = strcasecmp(line, "quit") == 0 || strcasecmp(line, "exit") == 0;
        if (!leave) run_line(c, line);
        free(line);
    }
    if (!typed) printf("\n"); /* end of input: the shell's prompt wants a line of its own */
    el_end(t.el);
    history_end(t.history);
    if (t.helper) redisFree(t.helper);
    docs_free(&t.docs);
    return EXIT_DONE;
}
