/* What the server says to people who do not know its commands: HELP, and the answer to those that there are not. */
#include "net/command.h"

#include "base/words.h"

#include <ctype.h>
#include <stdio.h>

enum { COLUMNS = 100, INDENT = 2, SHOWN_BYTES = 128 };

/* Lines that are told one by one, since an answer begins with their number. */
typedef struct help_text {
    buf    text; /* each with its end */
    size_t column;
    bool   no_memory;
} help_text;

static void put(help_text *h, const char *data, size_t len)
{
    if (!buf_append(&h->text, data, len)) h->no_memory = true;
    h->column += len;
}

static void end_line(help_text *h)
{
    put(h, "\n", 1);
    h->column = 0;
}

/* The words of a text, on as many lines as it takes. */
static void put_words(help_text *h, slice text)
{
    while (text.len) {
        const char *space = memchr(text.data, ' ', text.len);
        size_t      len = space ? (size_t)(space - text.data) : text.len;
        bool        first = h->column == 0;
        if (!first && h->column + 1 + len > COLUMNS) {
            end_line(h);
            first = true;
        }
        put(h, "   ", first ? INDENT : 1);
        put(h, text.data, len);
        text = slice_from(text, space ? len + 1 : len);
    }
}

static void put_name(help_text *h, const char *name)
{
    for (; *name; name++) put(h, &(char){ (char)toupper((unsigned char)*name) }, 1);
}

static void put_call(help_text *h, const command *c, slice with)
{
    put_name(h, c->name);
    put_words(h, with);
    end_line(h);
}

static void put_calls(help_text *h, const command *c)
{
    for (const char *at = c->arguments; at;) {
        const char *from = at;
        put_call(h, c, chr_bytes(from, command_call(c, &at)));
    }
}

static void put_line(help_text *h, const char *text)
{
    put_words(h, chr_str(text));
    end_line(h);
}

static void explain(help_text *h, const command *c)
{
    put_calls(h, c);
    put_words(h, chr_str(c->summary));
    put_words(h, chr_str(c->notes));
    end_line(h);
    put_words(h, chr_str("Example:"));
    put(h, " ", 1);
    put_call(h, c, chr_str(c->example));
}

static void explain_group(help_text *h, const char *group)
{
    for (const command *c = command_table; c < command_table + command_count; c++) {
        if (command_group(c) != group) continue;
        put_calls(h, c);
        put_line(h, c->summary);
    }
}

static void list_all(help_text *h)
{
    for (size_t i = 0; i < COMMAND_GROUPS; i++) {
        put(h, command_groups[i], strlen(command_groups[i]));
        put(h, ":", 1);
        end_line(h);
        for (const command *c = command_table; c < command_table + command_count; c++) {
            char name[COMMAND_NAME_MAX];
            if (command_group(c) != command_groups[i]) continue;
            snprintf(name, sizeof name, "%s", c->name);
            for (char *p = name; *p; p++) *p = (char)toupper((unsigned char)*p);
            put_words(h, chr_str(name));
        }
        end_line(h);
    }
    put_line(h, "HELP COMMAND explains one, HELP GROUP those of a group; QUIT closes the connection.");
}

static const char *group_find(slice name)
{
    for (size_t i = 0; i < COMMAND_GROUPS; i++)
        if (argument_is(name, command_groups[i])) return command_groups[i];
    return NULL;
}

static void reply_lines(request *r, const help_text *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->text.len; i++) n += h->text.data[i] == '\n';
    reply_array(r, n);
    for (char *line = h->text.data, *end; n-- > 0; line = end + 1) {
        end = memchr(line, '\n', (size_t)(h->text.data + h->text.len - line));
        *end = 0;
        reply_text(r, line);
    }
}

/* One sentence: that there is no such command, and which one was meant. */
static void reply_no_such(request *r, slice name)
{
    char   wrong[COMMAND_NAME_MAX], near[COMMAND_NAME_MAX];
    size_t n = 0;
    for (; n < name.len && n < sizeof wrong - 1; n++) wrong[n] = (char)tolower((unsigned char)name.data[n]);
    wrong[n] = 0;
    const char *found = nearest_word(wrong, &command_table[0].name, command_count, sizeof *command_table);
    int         shown = (int)(name.len < SHOWN_BYTES ? name.len : SHOWN_BYTES);
    if (!found || name.len != n) {
        reply_error(r, "ERR unknown command '%.*s'; HELP lists those that there are", shown, name.data);
        return;
    }
    for (n = 0; found[n]; n++) near[n] = (char)toupper((unsigned char)found[n]);
    reply_error(r, "ERR unknown command '%.*s'; did you mean %.*s?", shown, name.data, (int)n, near);
}

void cmd_help(request *r)
{
    help_text      h = { 0 };
    const command *c = r->n > 1 ? command_find(r->args[1]) : NULL;
    const char    *group = r->n > 1 && !c ? group_find(r->args[1]) : NULL;
    if (r->n > 1 && !c && !group) {
        reply_no_such(r, r->args[1]);
        return;
    }
    if (c)
        explain(&h, c);
    else if (group)
        explain_group(&h, group);
    else
        list_all(&h);
    if (h.no_memory)
        reply_status(r, CHR_NO_MEMORY);
    else
        reply_lines(r, &h);
    chr_buf_free(&h.text);
}

/* As Redis says it, to programs; to people in the line protocol, with what they may have meant. */
void reply_unknown_command(request *r)
{
    buf    text = { 0 };
    slice  name = r->args[0];
    size_t shown = 0;
    if (request_is_line(r)) {
        reply_no_such(r, name);
        return;
    }
    buf_printf(&text, "ERR unknown command '%.*s', with args beginning with: ",
               (int)(name.len < SHOWN_BYTES ? name.len : SHOWN_BYTES), name.data);
    for (size_t i = 1; i < r->n && shown < SHOWN_BYTES; i++) {
        size_t len = r->args[i].len < SHOWN_BYTES - shown ? r->args[i].len : SHOWN_BYTES - shown;
        buf_printf(&text, "'%.*s' ", (int)len, r->args[i].data);
        shown += len;
    }
    reply_error(r, "%.*s", (int)text.len, text.data ? text.data : "ERR unknown command");
    chr_buf_free(&text);
}
