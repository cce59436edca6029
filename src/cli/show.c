#include "cli/show.h"

#include "cli/commands.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int complain(const char *format, ...)
{
    buf     text = { 0 }, line = { 0 };
    va_list args;
    char    room[2048];
    va_start(args, format);
    vsnprintf(room, sizeof room, format, args);
    va_end(args);
    /* File names and keys may hold anything; a sentence stays one line. */
    if (append_escaped(&text, chr_str(room)) && buf_printf(&line, "chronos: %.*s\n", (int)text.len, text.data))
        fputs(line.data, stderr);
    else
        fprintf(stderr, "chronos: %s\n", room);
    chr_buf_free(&text);
    chr_buf_free(&line);
    return EXIT_FAILED;
}

size_t utf8_length(slice s, uint32_t *code)
{
    const uint8_t *p = (const uint8_t *)s.data;
    *code = p[0];
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.len < len) return 0;
    *code = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    return *code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff) ? 0 : len;
}

/* The length of the well-formed, visible UTF-8 character that `s` begins with, or 0. */
static size_t utf8_visible(slice s)
{
    uint32_t code;
    size_t   len = utf8_length(s, &code);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 0;
    /* Line separators, and the marks that turn the order of what follows. */
    if (code == 0x2028 || code == 0x2029 || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
        return 0;
    return len;
}

bool append_escaped(buf *to, slice bytes)
{
    bool ok = true;
    while (bytes.len && ok) {
        size_t n = utf8_visible(bytes);
        char   c = bytes.data[0];
        if (c == '\\')
            ok = buf_append(to, "\\\\", 2);
        else if (n)
            ok = buf_append(to, bytes.data, n);
        else if (c == '\n' || c == '\t' || c == '\r')
            ok = buf_printf(to, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else
            ok = buf_printf(to, "\\x%02x", (unsigned)(uint8_t)c);
        bytes = slice_from(bytes, n ? n : 1);
    }
    return ok;
}

bool append_size(buf *to, double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    size_t                   i = 0;
    for (; bytes >= 1023.95 && i + 1 < sizeof units / sizeof *units; i++) bytes /= 1024;
    return buf_printf(to, i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

bool append_count(buf *to, double count)
{
    static const char *const units[] = { "", "k", "M", "G", "T" };
    size_t                   i = 0;
    for (; count >= 999.95 && i + 1 < sizeof units / sizeof *units; i++) count /= 1000;
    bool whole = i == 0 && (count >= 9.95 || count < 0.05 || count == (double)(int)count);
    return buf_printf(to, whole ? "%.0f%s" : "%.1f%s", count, units[i]);
}

int print_bytes(slice bytes)
{
    while (bytes.len) {
        ssize_t n = write(STDOUT_FILENO, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return complain("cannot write to stdout: %s", strerror(errno));
        bytes = slice_from(bytes, (size_t)n);
    }
    return EXIT_DONE;
}
