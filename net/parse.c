#include "net/parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

void arguments_free(arguments *a)
{
    free(a->at);
    chr_buf_free(&a->text);
    *a = (arguments){ 0 };
}

bool parse_int64(slice text, int64_t *value)
{
    bool     negative = text.len > 0 && text.data[0] == '-';
    uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    size_t   i = negative;
    if (text.len == i || text.len - i > 19) return false;
    if (text.data[i] == '0' && (text.len - i > 1 || negative)) return false; /* 007 and -0 are no canonical numbers */
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || v > (limit - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *value = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static bool add(arguments *a, slice arg)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 16;
        slice *more = realloc(a->at, cap * sizeof *more);
        if (!more) return false;
        a->at = more;
        a->cap = cap;
    }
    a->at[a->n++] = arg;
    return true;
}

/* "<number>\r\n" at `*at`. MORE without an end of line in sight. */
static parse_result header(slice in, size_t *at, int64_t *value, bool *good)
{
    size_t      left = in.len - *at, look = left < HEADER_BYTES_MAX ? left : HEADER_BYTES_MAX;
    const char *line = in.data + *at, *end = memchr(line, '\r', look);
    if (!end || (size_t)(end - line) + 1 == left) {
        if (left < HEADER_BYTES_MAX) return PARSE_MORE;
        *good = false;
        return PARSE_COMMAND;
    }
    *good = end[1] == '\n' && parse_int64(chr_bytes(line, (size_t)(end - line)), value);
    *at += (size_t)(end - line) + 2;
    return PARSE_COMMAND;
}

static parse_result parse_array(slice in, arguments *args, size_t *used, const char **error)
{
    size_t  at = 1;
    int64_t n, len;
    bool    good;
    *used = in.len + 1;
    if (header(in, &at, &n, &good) == PARSE_MORE) return PARSE_MORE;
    if (!good || n > ARGS_MAX) {
        *error = "Protocol error: invalid multibulk length";
        return PARSE_BAD;
    }
    for (int64_t i = 0; i < n; i++) {
        if (at >= in.len) return PARSE_MORE;
        if (in.data[at] != '$') {
            static _Thread_local char text[48];
            char                      c = in.data[at];
            memcpy(text, "Protocol error: expected '$', got ' '", sizeof "Protocol error: expected '$', got ' '");
            text[sizeof "Protocol error: expected '$', got ' '" - 3] = isprint((unsigned char)c) ? c : '?';
            *error = text;
            return PARSE_BAD;
        }
        at++;
        if (header(in, &at, &len, &good) == PARSE_MORE) return PARSE_MORE;
        if (!good || len < 0 || len > (int64_t)CHR_VALUE_MAX) {
            *error = "Protocol error: invalid bulk length";
            return PARSE_BAD;
        }
        if (in.len - at < (size_t)len + 2) {
            *used = at + (size_t)len + 2;
            return PARSE_MORE;
        }
        if (in.data[at + (size_t)len] != '\r' || in.data[at + (size_t)len + 1] != '\n') {
            *error = "Protocol error: a bulk string does not end where its length says";
            return PARSE_BAD;
        }
        if (!add(args, chr_bytes(in.data + at, (size_t)len))) return PARSE_NO_MEMORY;
        at += (size_t)len + 2;
    }
    *used = at;
    return PARSE_COMMAND;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One argument of an inline command, in Redis's quoting, from text[*at]. It is appended to args->text. */
static bool unquote(slice line, size_t *at, buf *text, bool *no_memory)
{
    size_t i = *at;
    char   quote = 0;
    for (; i < line.len; i++) {
        char c = line.data[i];
        if (!quote && isspace((unsigned char)c)) break;
        if (!quote && (c == '"' || c == '\'')) {
            quote = c;
            continue;
        }
        if (quote && c == quote) {
            i++;
            if (i < line.len && !isspace((unsigned char)line.data[i])) return false;
            *at = i;
            return true;
        }
        if (quote == '"' && c == '\\' && i + 1 < line.len) {
            c = line.data[++i];
            if (c == 'x' && i + 2 < line.len && hex(line.data[i + 1]) >= 0 && hex(line.data[i + 2]) >= 0) {
                c = (char)(hex(line.data[i + 1]) * 16 + hex(line.data[i + 2]));
                i += 2;
            } else {
                static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
                const char       *known = memchr(from, c, sizeof from - 1);
                if (known) c = to[known - from];
            }
        } else if (quote == '\'' && c == '\\' && i + 1 < line.len && line.data[i + 1] == '\'') {
            c = line.data[++i];
        }
        if (!buf_append_byte(text, (uint8_t)c)) {
            *no_memory = true;
            return true;
        }
    }
    *at = i;
    return !quote;
}

static parse_result parse_inline(slice in, arguments *args, size_t *used, const char **error)
{
    size_t      look = in.len < INLINE_BYTES_MAX ? in.len : INLINE_BYTES_MAX;
    const char *end = memchr(in.data, '\n', look);
    *used = in.len + 1;
    if (!end) {
        if (in.len < INLINE_BYTES_MAX) return PARSE_MORE;
        *error = "Protocol error: too big inline request";
        return PARSE_BAD;
    }
    slice line = chr_bytes(in.data, (size_t)(end - in.data));
    *used = line.len + 1;
    if (line.len && line.data[line.len - 1] == '\r') line.len--;
    args->text.len = 0;
    if (!buf_reserve(&args->text, line.len + 1)) return PARSE_NO_MEMORY; /* so that it does not move below */
    for (size_t i = 0; i < line.len;) {
        if (isspace((unsigned char)line.data[i])) {
            i++;
            continue;
        }
        size_t from = args->text.len;
        bool   no_memory = false;
        if (!unquote(line, &i, &args->text, &no_memory)) {
            *error = "Protocol error: unbalanced quotes in request";
            return PARSE_BAD;
        }
        if (no_memory || !add(args, chr_bytes(args->text.data + from, args->text.len - from))) return PARSE_NO_MEMORY;
    }
    return PARSE_COMMAND;
}

parse_result parse_resp(slice in, arguments *args, size_t *used, const char **error)
{
    args->n = 0;
    *used = 1;
    if (in.len == 0) return PARSE_MORE;
    return in.data[0] == '*' ? parse_array(in, args, used, error) : parse_inline(in, args, used, error);
}

parse_result parse_line(slice in, arguments *args, size_t *used, const char **error)
{
    size_t      look = in.len < LINE_BYTES_MAX ? in.len : LINE_BYTES_MAX;
    const char *end = memchr(in.data, '\n', look);
    args->n = 0;
    *used = in.len + 1;
    if (!end) {
        if (in.len < LINE_BYTES_MAX) return PARSE_MORE;
        *error = "the line is too long";
        return PARSE_BAD;
    }
    slice line = chr_bytes(in.data, (size_t)(end - in.data));
    *used = line.len + 1;
    for (size_t i = 0; i < line.len;) {
        /* The value of SET begins behind the one space after the key, and goes to the end of the line. */
        bool rest = args->n == 2 && args->at[0].len == 3 && strncasecmp(args->at[0].data, "set", 3) == 0;
        if (rest)
            i++;
        else if (line.data[i] == ' ') {
            i++;
            continue;
        }
        size_t from = i;
        while (i < line.len && (rest || line.data[i] != ' ')) i++;
        if (args->n == ARGS_MAX) {
            *error = "the line has too many words";
            return PARSE_BAD;
        }
        if (!add(args, chr_bytes(line.data + from, i - from))) return PARSE_NO_MEMORY;
    }
    return PARSE_COMMAND;
}
