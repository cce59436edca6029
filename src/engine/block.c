/* Building and reading of data blocks.
 *
 *   keys    | per entry: varint shared, varint tail length, varint body length, key tail
 *   values  | per entry, in the same order: its body, which is varint tag, value
 *   prefix  | what all keys begin with
 *   column  | u64 per restart    restarts | u32 offset in keys, u32 offset in values per restart
 *   tail    | u64 base seq, u32 length of keys, u32 number of entries, u8 length of prefix
 *
 * Every eighth entry is a restart: its key is stored whole. The others leave out the bytes they share with the entry
 * before; `shared` is always as long as it can be, on which find() and the order check of next() rely. */
#include "engine/block.h"

#include "engine/prefix.h"

enum {
    TAIL_BYTES = 17,
    RESTART_BYTES = 16,  /* in column and restarts together */
    ENTRY_BYTES_MIN = 4, /* in keys and values together */
};

const char        block_no_memory[] = "out of memory";
static const char bad_entry[] = "an entry of the block does not fit into it";
static const char bad_end[] = "the entries of the block do not end where it says";
static const char bad_order[] = "the entries of the block are out of order";
static const char bad_restart[] = "a restart point of the block is not where an entry begins";

/* ---- building ---- */

static uint64_t tag_of(uint64_t base_seq, uint64_t trailer)
{
    uint64_t diff = trailer_seq(trailer) - base_seq; /* two's complement */
    uint64_t zigzag = diff << 1 ^ (0 - (diff >> 63));
    return zigzag << 1 | (trailer_kind(trailer) == KIND_PUT);
}

bool block_builder_add(block_builder *b, slice key, size_t shared, uint64_t trailer, slice value)
{
    /* One bit tells puts apart; of the others, a reference has a value and a delete has none. */
    entry_kind kind = trailer_kind(trailer);
    assert(kind == KIND_PUT || (kind == KIND_DELETE && value.len == 0) || (kind == KIND_BLOB && value.len > 0));
    (void)kind;
    if (b->entries == 0) b->base_seq = trailer_seq(trailer);
    if (b->entries % BLOCK_RESTART_EVERY == 0) {
        shared = 0;
        if (!buf_append_u32(&b->restarts, (uint32_t)b->keys.len) ||
            !buf_append_u32(&b->restarts, (uint32_t)b->values.len))
            return false;
    }
    size_t   tail = key.len - shared;
    uint64_t tag = tag_of(b->base_seq, trailer);
    if (!buf_reserve(&b->keys, 3 * (size_t)VARINT64_MAX + tail) || !buf_set(&b->last_key, key) ||
        !buf_append_varint(&b->values, tag) || !buf_append_slice(&b->values, value))
        return false;
    char *p = b->keys.data + b->keys.len;
    p += put_varint(p, shared);
    p += put_varint(p, tail);
    p += put_varint(p, varint_size(tag) + value.len);
    if (tail) memcpy(p, key.data + shared, tail);
    b->keys.len = (size_t)(p - b->keys.data) + tail;
    b->last_trailer = trailer;
    b->entries++;
    return true;
}

size_t block_builder_bytes(const block_builder *b)
{
    return b->keys.len + b->values.len + 2 * b->restarts.len + TAIL_BYTES;
}

/* The key of a restart of the block being built. */
static slice restart_key(const block_builder *b, size_t restart)
{
    reader r = reader_of(slice_from(buf_slice(&b->keys), get_u32(b->restarts.data + 8 * restart)));
    (void)read_varint(&r);
    size_t len = (size_t)read_varint(&r);
    (void)read_varint(&r);
    return read_bytes(&r, len);
}

bool block_builder_finish(block_builder *b, buf *out)
{
    assert(b->entries > 0);
    size_t restarts = b->restarts.len / 8, start = out->len;
    slice  prefix = restart_key(b, 0);
    prefix.len = restarts > 1 ? common_prefix(prefix, buf_slice(&b->last_key)) : 0;
    if (prefix.len > BLOCK_PREFIX_MAX) prefix.len = BLOCK_PREFIX_MAX;

    if (!buf_reserve(out, block_builder_bytes(b) + BLOCK_PREFIX_MAX)) return false;
    bool fits = buf_append_slice(out, buf_slice(&b->keys)) && buf_append_slice(out, buf_slice(&b->values)) &&
                buf_append_slice(out, prefix);
    for (size_t i = 0; i < restarts; i++) fits = fits && buf_append_u64(out, key_prefix(restart_key(b, i), prefix.len));
    fits = fits && buf_append_slice(out, buf_slice(&b->restarts)) && buf_append_u64(out, b->base_seq) &&
           buf_append_u32(out, (uint32_t)b->keys.len) && buf_append_u32(out, b->entries) &&
           buf_append_byte(out, (uint8_t)prefix.len);
    assert(fits && out->len - start <= BLOCK_RAW_MAX);
    b->keys.len = b->values.len = b->restarts.len = 0;
    b->entries = 0;
    return true;
}

void block_builder_free(block_builder *b)
{
    chr_buf_free(&b->keys);
    chr_buf_free(&b->values);
    chr_buf_free(&b->restarts);
    chr_buf_free(&b->last_key);
}

/* ---- reading ---- */

const char *block_open(slice raw, block *b)
{
    if (raw.len < TAIL_BYTES || raw.len > BLOCK_RAW_MAX) return "the block has an impossible length";
    const uint8_t *start = (const uint8_t *)raw.data, *tail = start + raw.len - TAIL_BYTES;
    uint64_t       base_seq = get_u64(tail);
    uint32_t       keys_len = get_u32(tail + 8), n_entries = get_u32(tail + 12), prefix_len = tail[16];
    size_t         left = raw.len - TAIL_BYTES;
    if (n_entries == 0 || n_entries > left / ENTRY_BYTES_MIN || base_seq > SEQ_MAX || prefix_len > left)
        return "the tail of the block holds impossible numbers";
    left -= prefix_len;
    uint32_t n_restarts = (n_entries - 1) / BLOCK_RESTART_EVERY + 1;
    if (n_restarts > left / RESTART_BYTES) return "the tail of the block holds impossible numbers";
    left -= (size_t)n_restarts * RESTART_BYTES;
    if (keys_len > left) return "the keys of the block do not fit into it";
    *b = (block){ .keys = start, .values = start + keys_len, .base_seq = base_seq, .keys_len = keys_len };
    b->values_len = (uint32_t)(left - keys_len);
    b->prefix = chr_bytes(start + left, prefix_len);
    b->column = start + left + prefix_len;
    b->restarts = b->column + (size_t)n_restarts * 8;
    b->n_entries = n_entries;
    b->n_restarts = n_restarts;
    return NULL;
}

typedef struct item {
    uint32_t       shared, tail_len, body_len;
    uint32_t       body_at; /* in values */
    const uint8_t *tail, *next;
} item;

static inline bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    if (*p < end && **p < 0x80) {
        *v = *(*p)++;
        return true;
    }
    reader r = { *p, end, false };
    *v = read_varint(&r);
    *p = r.at;
    return !r.failed;
}

/* The entry at `p`, whose predecessor's key has `before` bytes. */
static inline __attribute__((always_inline)) bool decode(const block *b, const uint8_t *p, size_t before,
                                                         uint32_t body_at, item *e)
{
    const uint8_t *end = b->keys + b->keys_len;
    uint64_t       shared, tail_len, body_len;
    if (__builtin_expect(end - p >= 3 && ((p[0] | p[1] | p[2]) & 0x80) == 0, 1)) {
        shared = p[0];
        tail_len = p[1];
        body_len = p[2];
        p += 3;
    } else if (!take_varint(&p, end, &shared) || !take_varint(&p, end, &tail_len) || !take_varint(&p, end, &body_len)) {
        return false;
    }
    if (shared > before || tail_len > (uint64_t)(end - p) || shared + tail_len > ENGINE_KEY_MAX ||
        body_len > b->values_len - body_at)
        return false;
    e->shared = (uint32_t)shared;
    e->tail_len = (uint32_t)tail_len;
    e->body_len = (uint32_t)body_len;
    e->body_at = body_at;
    e->tail = p;
    e->next = p + tail_len;
    return true;
}

static inline bool decode_restart(const block *b, size_t restart, item *e)
{
    uint32_t key_at = get_u32(b->restarts + 8 * restart), body_at = get_u32(b->restarts + 8 * restart + 4);
    return key_at < b->keys_len && body_at <= b->values_len && decode(b, b->keys + key_at, 0, body_at, e);
}

static inline bool decode_body(const block *b, const item *e, uint64_t *trailer, slice *value)
{
    const uint8_t *p = b->values + e->body_at, *end = p + e->body_len;
    uint64_t       tag;
    if (!take_varint(&p, end, &tag)) return false;
    uint64_t zigzag = tag >> 1, seq = b->base_seq + (zigzag >> 1 ^ (0 - (zigzag & 1)));
    if (seq > SEQ_MAX || end - p > ENGINE_VALUE_MAX) return false;
    *trailer = trailer_of(seq, tag & 1 ? KIND_PUT : p < end ? KIND_BLOB : KIND_DELETE);
    *value = chr_bytes(p, (size_t)(end - p));
    return true;
}

static inline slice tail_of(const item *e) { return chr_bytes(e->tail, e->tail_len); }

/* Whether an entry whose key equals the one sought is before it by its trailer. False: broken. */
static bool is_newer(const block *b, const item *e, uint64_t trailer, bool *newer)
{
    uint64_t own;
    slice    value;
    if (!decode_body(b, e, &own, &value)) return false;
    *newer = own > trailer;
    return true;
}

/* How many restarts are before (key, trailer). False: broken. */
static inline bool restarts_below(const block *b, slice key, uint64_t trailer, size_t *below)
{
    size_t same = common_prefix(key, b->prefix);
    if (same < b->prefix.len) {
        bool before_all = same == key.len || (uint8_t)key.data[same] < (uint8_t)b->prefix.data[same];
        *below = before_all ? 0 : b->n_restarts;
        return true;
    }
    uint64_t p = key_prefix(key, b->prefix.len);
    size_t   lo = prefixes_below(b->column, b->n_restarts, p);
    size_t   hi = prefixes_up_to(b->column, b->n_restarts, lo, p);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        item   e;
        bool   newer = false;
        if (!decode_restart(b, mid, &e)) return false;
        int c = slice_compare(tail_of(&e), key);
        if (c == 0 && !is_newer(b, &e, trailer, &newer)) return false;
        if (c < 0 || newer)
            lo = mid + 1;
        else
            hi = mid;
    }
    *below = lo;
    return true;
}

/* Finds the first entry at or after (key, trailer): its number, or n_entries if there is none. What the entry shares
 * with its predecessor it shares with `key` too, so its key is key[0..shared) and the tail. False: broken. */
static bool find(const block *b, slice key, uint64_t trailer, uint32_t *nth, item *e)
{
    size_t below;
    if (!key.data) key = chr_bytes("", 0);
    if (!restarts_below(b, key, trailer, &below)) return false;
    if (below == 0) {
        *nth = 0;
        return decode_restart(b, 0, e);
    }
    size_t restart = below - 1;
    if (!decode_restart(b, restart, e)) return false;
    uint32_t at = (uint32_t)restart * BLOCK_RESTART_EVERY + 1;
    uint32_t end = restart + 1 == b->n_restarts ? b->n_entries : at + BLOCK_RESTART_EVERY - 1;
    size_t   same = common_prefix(tail_of(e), key); /* of the entry before and `key`; that entry is smaller */
    size_t   len = e->tail_len;
    for (; at < end; at++) {
        if (!decode(b, e->next, len, e->body_at + e->body_len, e)) return false;
        len = (size_t)e->shared + e->tail_len;
        if (e->shared > same) continue; /* still differs from `key` where its predecessor did */
        if (e->shared == same) {
            slice  tail = tail_of(e), rest = slice_from(key, same);
            size_t more = common_prefix(tail, rest);
            bool   before;
            if (more < tail.len && more < rest.len)
                before = (uint8_t)tail.data[more] < (uint8_t)rest.data[more];
            else if (tail.len != rest.len)
                before = tail.len < rest.len;
            else if (!is_newer(b, e, trailer, &before))
                return false;
            if (before) {
                same += more;
                continue;
            }
        }
        *nth = at;
        return true;
    }
    *nth = at;
    return at == b->n_entries || decode_restart(b, restart + 1, e);
}

static bool key_is(const item *e, slice key)
{
    return (size_t)e->shared + e->tail_len == key.len &&
           (e->tail_len == 0 || memcmp(key.data + e->shared, e->tail, e->tail_len) == 0);
}

const char *block_get(const block *b, slice key, uint64_t trailer, entry *found, bool *present)
{
    uint32_t nth;
    item     e;
    if (!find(b, key, trailer, &nth, &e)) return bad_entry;
    *present = nth < b->n_entries && key_is(&e, key);
    if (!*present) return NULL;
    found->key = key;
    return decode_body(b, &e, &found->trailer, &found->value) ? NULL : bad_entry;
}

/* ---- the cursor ---- */

void block_cursor_set(block_cursor *c, const block *b)
{
    c->b = *b;
    c->valid = false;
    c->problem = NULL;
}

void block_cursor_free(block_cursor *c) { chr_buf_free(&c->key); }

static bool broken(block_cursor *c, const char *problem)
{
    c->valid = false;
    c->problem = problem;
    return false;
}

/* Makes the key that of `e`, whose first `shared` bytes are in `from`. */
static inline bool take_key(block_cursor *c, const item *e, const char *from)
{
    size_t len = (size_t)e->shared + e->tail_len;
    if (len > c->key.cap || !c->key.data) { /* even the empty key is not at NULL */
        bool   own = c->key.data && from >= c->key.data && from <= c->key.data + c->key.cap;
        size_t at = own ? (size_t)(from - c->key.data) : 0;
        c->key.len = own ? c->key.cap : 0;
        if (!buf_reserve(&c->key, len + 1)) return broken(c, block_no_memory);
        if (own) from = c->key.data + at;
    }
    if (e->shared && from != c->key.data) memmove(c->key.data, from, e->shared);
    if (e->tail_len) memcpy(c->key.data + e->shared, e->tail, e->tail_len);
    c->key.len = len;
    return true;
}

static inline bool stand(block_cursor *c, uint32_t nth, const item *e, const char *from)
{
    if (!decode_body(&c->b, e, &c->trailer, &c->value)) return broken(c, bad_entry);
    c->nth = nth;
    c->next = e->next;
    c->body_end = e->body_at + e->body_len;
    return c->valid = take_key(c, e, from);
}

/* Stands on an entry by way of the restart before it. */
static void walk_to(block_cursor *c, uint32_t nth)
{
    item     e;
    uint32_t at = nth - nth % BLOCK_RESTART_EVERY;
    bool     good = decode_restart(&c->b, at / BLOCK_RESTART_EVERY, &e);
    for (; good && at < nth; at++) {
        if (!take_key(c, &e, c->key.data)) return;
        good = decode(&c->b, e.next, c->key.len, e.body_at + e.body_len, &e);
    }
    if (good)
        stand(c, nth, &e, c->key.data);
    else
        broken(c, bad_entry);
}

/* Whether a restart is where the entry before it ends and the column has the right number for it. */
static bool restart_fits(const block *b, uint32_t restart, slice key, size_t key_at, size_t body_at)
{
    return get_u32(b->restarts + 8 * (size_t)restart) == key_at &&
           get_u32(b->restarts + 8 * (size_t)restart + 4) == body_at && slice_has_prefix(key, b->prefix) &&
           get_u64(b->column + 8 * (size_t)restart) == key_prefix(key, b->prefix.len);
}

void block_cursor_first(block_cursor *c)
{
    walk_to(c, 0);
    if (c->valid && !restart_fits(&c->b, 0, buf_slice(&c->key), 0, 0)) broken(c, bad_restart);
}

static void check_end(block_cursor *c)
{
    if (c->next != c->b.keys + c->b.keys_len || c->body_end != c->b.values_len) broken(c, bad_end);
}

void block_cursor_last(block_cursor *c)
{
    walk_to(c, c->b.n_entries - 1);
    if (c->valid) check_end(c);
}

void block_cursor_seek(block_cursor *c, slice key, uint64_t trailer)
{
    uint32_t nth;
    item     e;
    if (!find(&c->b, key, trailer, &nth, &e))
        broken(c, bad_entry);
    else if (nth == c->b.n_entries)
        c->valid = false;
    else
        stand(c, nth, &e, key.data);
}

void block_cursor_seek_back(block_cursor *c, slice key, uint64_t trailer)
{
    uint32_t nth;
    uint64_t own;
    slice    value;
    item     e;
    if (!find(&c->b, key, trailer, &nth, &e))
        broken(c, bad_entry);
    else if (nth < c->b.n_entries && key_is(&e, key) && decode_body(&c->b, &e, &own, &value) && own == trailer)
        stand(c, nth, &e, key.data);
    else if (nth == 0)
        c->valid = false;
    else
        walk_to(c, nth - 1);
}

void block_cursor_next(block_cursor *c)
{
    assert(c->valid);
    uint32_t nth = c->nth + 1;
    uint64_t before = c->trailer;
    item     e;
    int      order; /* of this key and the one before */
    if (nth == c->b.n_entries) {
        check_end(c);
        c->valid = false;
        return;
    }
    if (nth % BLOCK_RESTART_EVERY == 0) {
        uint32_t restart = nth / BLOCK_RESTART_EVERY;
        if (!decode_restart(&c->b, restart, &e) ||
            !restart_fits(&c->b, restart, tail_of(&e), (size_t)(c->next - c->b.keys), c->body_end)) {
            broken(c, bad_restart);
            return;
        }
        order = slice_compare(tail_of(&e), buf_slice(&c->key));
    } else {
        if (!decode(&c->b, c->next, c->key.len, c->body_end, &e)) {
            broken(c, bad_entry);
            return;
        }
        if (e.shared < c->key.len)
            order = e.tail_len > 0 && *e.tail > (uint8_t)c->key.data[e.shared] ? 1 : -1;
        else
            order = e.tail_len > 0;
    }
    if (order >= 0 && !stand(c, nth, &e, c->key.data)) return;
    if (order < 0 || (order == 0 && c->trailer >= before)) broken(c, bad_order);
}

void block_cursor_prev(block_cursor *c)
{
    assert(c->valid);
    if (c->nth == 0)
        c->valid = false;
    else
        walk_to(c, c->nth - 1);
}
