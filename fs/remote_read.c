/* Looking at a server's objects. What was found of a key is kept for one request of the kernel. */
#include "fs/remote_internal.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALL = WIRE_FILE | WIRE_DIR | WIRE_KEYS_BELOW | WIRE_DIRS_BELOW };

void findings_free(remote *r)
{
    remote_begin(r);
    free(r->findings);
}

void remote_begin(remote *r)
{
    for (size_t i = 0; i < r->n_findings; i++) free((char *)(uintptr_t)r->findings[i].key.data);
    r->n_findings = 0;
}

static finding *known(remote *r, slice key)
{
    uint64_t hash = hash64(key);
    for (size_t i = r->n_findings; i-- > 0;)
        if (r->findings[i].hash == hash && slice_equal(r->findings[i].key, key)) return &r->findings[i];
    return NULL;
}

static finding *known_or_new(remote *r, slice key)
{
    finding *f = known(r, key);
    if (f) return f;
    if (r->n_findings == r->cap_findings) {
        size_t   cap = r->cap_findings ? 2 * r->cap_findings : 16;
        finding *more = realloc(r->findings, cap * sizeof *more);
        if (!more) return NULL;
        r->findings = more;
        r->cap_findings = cap;
    }
    char *copy = malloc(key.len + 1);
    if (!copy) return NULL;
    if (key.len) memcpy(copy, key.data, key.len);
    f = &r->findings[r->n_findings++];
    *f = (finding){ .hash = hash64(key), .key = chr_bytes(copy, key.len) };
    return f;
}

static bool read_finding(reader *in, uint8_t asked, finding *f)
{
    uint8_t found = read_u8(in);
    for (int space = OBJECT_KEY; space <= OBJECT_DIR; space++) {
        uint8_t bit = space == OBJECT_KEY ? WIRE_FILE : WIRE_DIR;
        if (!(found & bit)) {
            if (asked & bit) f->version[space] = 0;
            continue;
        }
        f->version[space] = read_varint(in);
        f->meta[space] = wire_read_meta(in);
    }
    f->found = (uint8_t)((f->found & ~asked) | (found & asked));
    f->asked |= asked;
    return !in->failed && !(found & ~asked);
}

/* Asks about keys, WIRE_LOOKUPS_MAX at most. */
static chr_status ask_about(remote *r, const slice *keys, size_t n, uint8_t what)
{
    char   number[8];
    slice *args = malloc((n + 4) * sizeof *args);
    if (!args) return chr_nomem();
    snprintf(number, sizeof number, "%u", what);
    args[0] = chr_str("FS");
    args[1] = chr_str("LOOKUP");
    args[2] = chr_str(r->token);
    args[3] = chr_str(number);
    memcpy(args + 4, keys, n * sizeof *keys);
    answer     a;
    uint8_t    code;
    chr_status st = remote_ask(r, args, n + 4, &a, &code);
    free(args);
    if (st != CHR_OK) return st;
    reader in = reader_of(a.payload);
    for (size_t i = 0; i < n && st == CHR_OK; i++) {
        finding *f = known_or_new(r, keys[i]);
        st = !f ? chr_nomem() : read_finding(&in, what, f) ? CHR_OK : remote_malformed();
    }
    answer_free(&a);
    return st;
}

static chr_status find(remote *r, slice key, uint8_t what, const finding **out)
{
    finding   *f = known(r, key);
    chr_status st = f && (f->asked & what) == what ? CHR_OK : ask_about(r, &key, 1, what);
    *out = st == CHR_OK ? known(r, key) : NULL;
    return st;
}

void remote_foresee(remote *r, const slice *keys, size_t n)
{
    for (size_t i = 0; i < n; i += WIRE_LOOKUPS_MAX)
        if (ask_about(r, keys + i, n - i < WIRE_LOOKUPS_MAX ? n - i : WIRE_LOOKUPS_MAX, ALL) != CHR_OK) return;
}

/* Who asks for a directory also wants to know what is below it, and if nothing is, whether there is a file. */
static chr_status find_object(remote *r, object_space space, slice key, const finding **f)
{
    chr_status st = find(r, key, space == OBJECT_KEY ? WIRE_FILE : ALL, f);
    return st == CHR_OK && !(*f)->version[space] ? CHR_NOT_FOUND : st;
}

chr_status remote_stat(remote *r, object_space space, slice key, object_meta *meta)
{
    const finding *f;
    chr_status     st = find_object(r, space, key, &f);
    if (st == CHR_OK && meta) *meta = f->meta[space];
    return st;
}

chr_status remote_txn_look(remote *r, object_space space, slice key, object_meta *meta, uint64_t *version)
{
    const finding *f;
    chr_status     st = find_object(r, space, key, &f);
    *version = st == CHR_OK ? f->version[space] : 0;
    if (st == CHR_OK && meta) *meta = f->meta[space];
    return st;
}

static bool note_any(void *arg, slice rest)
{
    (void)rest;
    *(bool *)arg = true;
    return false;
}

chr_status remote_any_below(remote *r, object_space space, slice prefix, bool *any)
{
    const finding *f;
    *any = false;
    if (!prefix.len || prefix.data[prefix.len - 1] != '/') return remote_names(r, space, prefix, note_any, any);
    chr_status st = find(r, chr_bytes(prefix.data, prefix.len - 1), ALL, &f);
    if (st == CHR_OK) *any = f->found & (space == OBJECT_KEY ? WIRE_KEYS_BELOW : WIRE_DIRS_BELOW);
    return st;
}

chr_status remote_read(remote *r, slice key, uint64_t offset, void *to, size_t len, size_t *got)
{
    char    at[24], n[24];
    answer  a;
    uint8_t code;
    *got = 0;
    if (len > WIRE_READ_MAX) len = WIRE_READ_MAX;
    snprintf(at, sizeof at, "%" PRIu64, offset);
    snprintf(n, sizeof n, "%zu", len);
    const slice args[] = { chr_str("FS"), chr_str("READ"), chr_str(r->token), key, chr_str(at), chr_str(n) };
    chr_status  st = remote_ask(r, args, 6, &a, &code);
    if (st != CHR_OK) return st;
    if (a.payload.len > len)
        st = remote_malformed();
    else if ((*got = a.payload.len))
        memcpy(to, a.payload.data, a.payload.len);
    answer_free(&a);
    return st;
}

chr_status remote_data(remote *r, slice key, uint64_t offset, uint64_t *start, uint64_t *end)
{
    char    at[24];
    answer  a;
    uint8_t code;
    snprintf(at, sizeof at, "%" PRIu64, offset);
    const slice args[] = { chr_str("FS"), chr_str("DATA"), chr_str(r->token), key, chr_str(at) };
    chr_status  st = remote_ask(r, args, 5, &a, &code);
    if (st != CHR_OK) return st;
    reader in = reader_of(a.payload);
    *start = read_varint(&in);
    *end = read_varint(&in);
    if (in.failed || *start > *end) st = remote_malformed();
    answer_free(&a);
    return st;
}

chr_status remote_get_xattrs(remote *r, object_space space, slice key, buf *xattrs)
{
    answer      a;
    uint8_t     code;
    const slice args[] = { chr_str("FS"), chr_str("XATTRS"), chr_str(r->token),
                           chr_str(space == OBJECT_KEY ? "0" : "1"), key };
    chr_status  st = remote_ask(r, args, 5, &a, &code);
    if (st != CHR_OK) return st;
    if (!buf_set(xattrs, a.payload)) st = chr_nomem();
    answer_free(&a);
    return st;
}

/* ---- names, in pages ---- */

/* A page: u8 whether it is the last one, then what follows the prefix, each sized. *more: `from` is where the next one begins. */
static chr_status take_page(slice page, slice prefix, store_name_fn *fn, void *arg, buf *from, bool *more)
{
    reader in = reader_of(page);
    slice  rest = chr_bytes(NULL, 0);
    size_t n = 0;
    *more = read_u8(&in) == 0;
    for (; !in.failed && reader_left(&in); n++) {
        rest = read_sized(&in);
        if (!in.failed && !fn(arg, rest)) {
            *more = false;
            return CHR_OK;
        }
    }
    if (in.failed || (*more && !n)) return remote_malformed();
    if (!*more) return CHR_OK;
    from->len = 0;
    if (rest.len && memchr(rest.data, '/', rest.len))
        return behind_component(prefix, rest, from) ? CHR_OK : chr_nomem();
    bool fits = buf_append_slice(from, prefix) && buf_append_slice(from, rest) && buf_append_byte(from, 0);
    return fits ? CHR_OK : chr_nomem();
}

chr_status remote_names(remote *r, object_space space, slice prefix, store_name_fn *fn, void *arg)
{
    buf        from = { 0 };
    bool       more = true;
    chr_status st = buf_set(&from, prefix) ? CHR_OK : chr_nomem();
    while (st == CHR_OK && more) {
        answer      a;
        uint8_t     code;
        const slice args[] = {
            chr_str("FS"), chr_str("NAMES"), chr_str(r->token), chr_str(space == OBJECT_KEY ? "0" : "1"),
            prefix,        buf_slice(&from)
        };
        st = remote_ask(r, args, 6, &a, &code);
        if (st != CHR_OK) break;
        st = take_page(a.payload, prefix, fn, arg, &from, &more);
        answer_free(&a);
    }
    chr_buf_free(&from);
    return st;
}

/* ---- figures ---- */

chr_status remote_figures(remote *r, uint64_t *free_bytes, uint64_t *total, uint64_t *keys)
{
    answer      a;
    uint8_t     code;
    const slice args[] = { chr_str("FS"), chr_str("FIGURES"), chr_str(r->token) };
    chr_status  st = remote_ask(r, args, 3, &a, &code);
    if (st != CHR_OK) return st;
    reader in = reader_of(a.payload);
    *free_bytes = read_varint(&in);
    *total = read_varint(&in);
    *keys = read_varint(&in);
    if (in.failed) st = remote_malformed();
    answer_free(&a);
    return st;
}

chr_status remote_stats_text(remote *r, buf *text)
{
    answer      a;
    uint8_t     code;
    const slice args[] = { chr_str("FS"), chr_str("STATS"), chr_str(r->token) };
    chr_status  st = remote_ask(r, args, 3, &a, &code);
    if (st != CHR_OK) return st;
    if (!buf_append_slice(text, a.payload)) st = chr_nomem();
    answer_free(&a);
    return st;
}

static chr_status just_ask(remote *r, const slice *args, size_t n)
{
    answer     a;
    uint8_t    code;
    chr_status st = remote_ask(r, args, n, &a, &code);
    if (st == CHR_OK) answer_free(&a);
    return st;
}

chr_status remote_sync(remote *r)
{
    const slice args[] = { chr_str("FS"), chr_str("SYNC"), chr_str(r->token) };
    return just_ask(r, args, 3);
}

chr_status remote_compact(remote *r) { return just_ask(r, &(slice){ "COMPACT", 7 }, 1); }
