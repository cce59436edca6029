#include "fs/path.h"

enum { ESCAPE_BYTES = 2, PIECE_BYTES = 3 }; /* "%=", and "%=+" or "%=-" */

static const char hex_digits[] = "0123456789ABCDEF";

/* How one byte is written after "%="; `special`: it would mean something else there. */
static size_t put_escaped(char *to, unsigned char c, bool special)
{
    if (c != 0 && c != '%' && !special) {
        *to = (char)c;
        return 1;
    }
    to[0] = '%';
    to[1] = hex_digits[c >> 4];
    to[2] = hex_digits[c & 15];
    return 3;
}

/* The names with dots that would lead elsewhere: which of their dots are escaped. */
static bool escapes_dot(place dir, slice component, size_t i)
{
    if (dir.partial || component.data[i] != '.') return false;
    if (slice_equal(component, chr_str(".")) || slice_equal(component, chr_str(".."))) return true;
    return i == 0 && dir.prefix.len == dir.top && slice_equal(component, chr_str(".chronos"));
}

/* A + or - at the beginning would look like a piece. */
static bool is_special(place dir, slice component, size_t i)
{
    return escapes_dot(dir, component, i) ||
           (i == 0 && !dir.partial && (component.data[0] == '+' || component.data[0] == '-'));
}

static size_t escaped_size(place dir, slice component, bool whole)
{
    char   ignored[3];
    size_t n = 0;
    for (size_t i = 0; i < component.len && n <= NAME_BYTES_MAX; i++)
        n += put_escaped(ignored, (unsigned char)component.data[i], whole && is_special(dir, component, i));
    return n;
}

bool path_encode(place dir, slice rest, char name[NAME_BYTES_MAX + 1], size_t *used, bool *piece)
{
    const char *slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
    slice       c = chr_bytes(rest.data, slash ? (size_t)(slash - rest.data) : rest.len);
    bool        plain = !dir.partial && c.len > 0 && c.len <= NAME_BYTES_MAX && !memchr(c.data, 0, c.len) &&
                 !slice_has_prefix(c, chr_str("%=")) && !escapes_dot(dir, c, 0);
    *piece = false;
    *used = c.len;
    if (dir.partial && c.len == 0) return false;
    if (plain) {
        memcpy(name, c.data, c.len);
        name[c.len] = 0;
        return true;
    }
    memcpy(name, "%=", ESCAPE_BYTES);
    size_t n = ESCAPE_BYTES, room = NAME_BYTES_MAX;
    /* A name that is too long as it is gets pieces, also where escaping makes it so. */
    bool pieces = dir.partial || escaped_size(dir, c, true) > NAME_BYTES_MAX - ESCAPE_BYTES;
    if (pieces) {
        *piece = escaped_size(dir, c, false) > NAME_BYTES_MAX - PIECE_BYTES;
        name[n++] = *piece ? '+' : '-';
    }
    for (size_t i = 0; i < c.len; i++) {
        char   text[3];
        size_t len = put_escaped(text, (unsigned char)c.data[i], !pieces && is_special(dir, c, i));
        if (n + len > room) {
            *used = i;
            break;
        }
        memcpy(name + n, text, len);
        n += len;
    }
    name[n] = 0;
    return true;
}

static int hex_value(char c)
{
    const char *at = c ? memchr(hex_digits, c, 16) : NULL;
    return at ? (int)(at - hex_digits) : -1;
}

static bool unescape(slice text, buf *raw)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.len - i < 3) return false;
            int high = hex_value(text.data[i + 1]), low = hex_value(text.data[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!buf_append_byte(raw, (uint8_t)c)) return false;
    }
    return true;
}

bool path_decode(place dir, const char *name, buf *raw, bool *piece)
{
    slice  text = chr_str(name);
    size_t before = raw->len;
    *piece = false;
    if (!slice_has_prefix(text, chr_str("%="))) {
        if (dir.partial || text.len == 0 || text.len > NAME_BYTES_MAX || escapes_dot(dir, text, 0)) return false;
        return buf_append_slice(raw, text);
    }
    text = slice_from(text, ESCAPE_BYTES);
    bool last = text.len > 0 && text.data[0] == '-';
    *piece = text.len > 0 && text.data[0] == '+';
    /* Only one spelling is right: the one that encoding gives. Where a piece is cut depends on the byte that follows: one that is
     * escaped takes three. */
    buf    decoded = { 0 };
    bool   good = unescape((*piece || last) ? slice_from(text, 1) : text, &decoded), right = false;
    size_t own = decoded.len;
    for (const char *next = *piece ? "x%" : "x"; good && *next && !right; next++) {
        char   again[NAME_BYTES_MAX + 1];
        size_t used;
        bool   is_piece;
        decoded.len = own;
        for (int i = 0; good && *piece && i <= NAME_BYTES_MAX; i++) good = buf_append_byte(&decoded, (uint8_t)*next);
        right = good && path_encode(dir, buf_slice(&decoded), again, &used, &is_piece) && is_piece == *piece &&
                used == own && strcmp(again, name) == 0;
    }
    good = good && right;
    if (good) good = buf_append(raw, decoded.data, own);
    if (!good) raw->len = before;
    chr_buf_free(&decoded);
    return good;
}
