#include "fs/path.h"

static const char hex[] = "0123456789ABCDEF";

static bool begins_escape(slice s) { return s.len >= 2 && s.data[0] == '%' && s.data[1] == '='; }

static bool is_dots(slice s) { return (s.len == 1 || s.len == 2) && s.data[0] == '.' && s.data[s.len - 1] == '.'; }

static bool needs_escape(slice rest, bool whole_in_root)
{
    return rest.len == 0 || begins_escape(rest) || is_dots(rest) || memchr(rest.data, 0, rest.len) ||
           (whole_in_root && slice_equal(rest, chr_str(CONTROL_NAME)));
}

/* Whether byte `i` of `rest` is written as %XX in an escaped name; `dots`: all before it are dots. */
static bool is_coded(char c, bool dots) { return c == 0 || c == '%' || (dots && c == '.'); }

/* The length of `rest` as escaped text, or some number above `enough`. */
static size_t text_len(slice rest, size_t enough)
{
    size_t len = 0;
    bool   dots = true;
    for (size_t i = 0; i < rest.len && len <= enough; i++) {
        len += is_coded(rest.data[i], dots) ? 3 : 1;
        dots = dots && rest.data[i] == '.';
    }
    return len;
}

/* Escapes `rest`, until all of it or, for a piece, until PIECE_TEXT bytes are there. Returns the bytes of `rest` used. */
static size_t put_text(slice rest, bool piece, char *to, size_t *len)
{
    size_t n = 0, i = 0;
    bool   dots = true;
    for (; i < rest.len && !(piece && n >= PIECE_TEXT); i++) {
        uint8_t c = (uint8_t)rest.data[i];
        if (is_coded((char)c, dots)) {
            to[n++] = '%';
            to[n++] = hex[c >> 4];
            to[n++] = hex[c & 15];
        } else {
            to[n++] = (char)c;
        }
        dots = dots && c == '.';
    }
    *len = n;
    return i;
}

size_t component_name(slice component, size_t at, bool in_root, char name[static NAME_BYTES_MAX], size_t *name_len)
{
    assert(at <= component.len);
    slice  rest = slice_from(component, at);
    bool   escaped = needs_escape(rest, in_root && at == 0);
    size_t used, len;
    if (!escaped && rest.len <= NAME_BYTES_MAX) {
        memcpy(name, rest.data, rest.len);
        *name_len = rest.len;
        return rest.len;
    }
    bool piece = !escaped || text_len(rest, NAME_BYTES_MAX) > NAME_BYTES_MAX - 2;
    memcpy(name, "%=", 2);
    used = put_text(rest, piece, name + 2, &len);
    len += 2;
    if (piece) {
        memcpy(name + len, "%+", 2);
        len += 2;
        assert(used < rest.len);
    }
    assert(len <= NAME_BYTES_MAX);
    *name_len = len;
    return used;
}

/* ---- names to bytes ---- */

static int hex_digit(char c)
{
    const char *at = c ? strchr(hex, c) : NULL;
    return at ? (int)(at - hex) : -1;
}

/* The bytes that a name stands for. False: it is malformed. */
static bool name_decode(slice name, char to[static NAME_BYTES_MAX], size_t *len, name_form *form)
{
    size_t n = 0, end = name.len;
    *form = NAME_COMPONENT;
    *len = 0;
    if (end == 0 || end > NAME_BYTES_MAX || memchr(name.data, '/', end)) return false;
    if (!begins_escape(name)) {
        memcpy(to, name.data, end);
        *len = end;
        return true;
    }
    if (slice_equal(name, chr_str(SELF_NAME))) {
        *form = NAME_SELF;
        return true;
    }
    if (end >= 4 && memcmp(name.data + end - 2, "%+", 2) == 0) {
        *form = NAME_PIECE;
        end -= 2;
    }
    for (size_t i = 2; i < end; i++) {
        if (name.data[i] != '%') {
            to[n++] = name.data[i];
            continue;
        }
        int high = i + 2 < end ? hex_digit(name.data[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(name.data[i + 2]);
        if (low < 0) return false;
        to[n++] = (char)(high * 16 + low);
        i += 2;
    }
    *len = n;
    return true;
}

/* Whether `text`, the bytes of a piece, is one: as long as pieces are, and named like that. */
static bool is_piece(slice bytes, slice name)
{
    char   text[NAME_BYTES_MAX];
    size_t len;
    return put_text(bytes, true, text, &len) == bytes.len && len >= PIECE_TEXT && len + 4 == name.len &&
           memcmp(name.data + 2, text, len) == 0;
}

bool component_is_cut_at(slice component, size_t at, bool in_root)
{
    char   name[NAME_BYTES_MAX];
    size_t pos = 0, name_len;
    while (pos < at) {
        size_t used = component_name(component, pos, in_root, name, &name_len);
        if (pos + used == component.len) return false;
        pos += used;
    }
    return pos == at;
}

/* Whether what was decoded, with `name` as the last name of `component`, is what the component is shown as. */
static bool is_canonical(slice component, size_t at, bool in_root, slice name)
{
    char   own[NAME_BYTES_MAX];
    size_t own_len;
    if (!component_is_cut_at(component, at, in_root)) return false;
    return component_name(component, at, in_root, own, &own_len) == component.len - at &&
           slice_equal(chr_bytes(own, own_len), name);
}

static chr_status too_long(size_t len)
{
    return chr_fail(CHR_TOO_BIG, "the key of this path has %zu bytes; at most %u are possible", len, CHR_KEY_MAX);
}

static chr_status enter(place *p, slice name, bool check)
{
    char      bytes[NAME_BYTES_MAX + 1];   /* a '/' before them */
    size_t    len;
    name_form form;
    bytes[0] = '/';
    if (p->below_root && p->form == NAME_SELF) return CHR_INVALID;
    if (!name_decode(name, bytes + 1, &len, &form)) return CHR_INVALID;
    bool in_piece = p->below_root && p->form == NAME_PIECE;
    bool in_root = !p->below_root || (in_piece && p->component == 0);   /* the component begins in the root */
    if (form == NAME_SELF) {
        if (!p->below_root || in_piece) return CHR_INVALID;
        p->form = NAME_SELF;
        return CHR_OK;
    }
    bool   slash = p->below_root && !in_piece;
    size_t before = p->key.len;
    if (before + slash + len > CHR_KEY_MAX) return too_long(before + slash + len);
    if (check && form == NAME_PIECE && !is_piece(chr_bytes(bytes + 1, len), name)) return CHR_INVALID;
    if (!buf_append(&p->key, bytes + !slash, len + slash)) return chr_nomem();
    size_t component = in_piece ? p->component : before + slash;
    if (check && form == NAME_COMPONENT &&
        !is_canonical(slice_from(place_key(p), component), before + slash - component, in_root, name)) {
        p->key.len = before;
        return CHR_INVALID;
    }
    p->component = component;
    p->below_root = true;
    p->form = form;
    return CHR_OK;
}

chr_status place_enter(place *p, slice name) { return enter(p, name, true); }
chr_status place_enter_known(place *p, slice name) { return enter(p, name, false); }

chr_status place_prefix(const place *p, buf *prefix)
{
    bool slash = p->below_root && p->form != NAME_PIECE;
    if (!buf_set(prefix, place_key(p)) || (slash && !buf_append_byte(prefix, '/'))) return chr_nomem();
    return CHR_OK;
}

/* ---- keys to names ---- */

slice key_component(slice key, size_t from)
{
    const char *slash = from < key.len ? memchr(key.data + from, '/', key.len - from) : NULL;
    size_t      end = slash ? (size_t)(slash - key.data) : key.len;
    return chr_bytes(key.data + from, end - from);
}

path_walk path_walk_of(slice key)
{
    if (!key.data) key.data = "";
    return (path_walk){ .key = key, .component_end = key_component(key, 0).len };
}

bool path_next(path_walk *w)
{
    if (w->done) return false;
    slice component = chr_bytes(w->key.data + w->component, w->component_end - w->component);
    w->at += component_name(component, w->at, w->component == 0, w->name, &w->name_len);
    w->piece = w->at < component.len;
    w->end = w->component + w->at;
    w->last = !w->piece && w->component_end == w->key.len;
    if (w->last) {
        w->done = true;
    } else if (!w->piece) {
        w->component = w->component_end + 1;
        w->component_end = w->component + key_component(w->key, w->component).len;
        w->at = 0;
    }
    return true;
}
