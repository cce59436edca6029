/* Commands on single bits. They read values in pieces, and of a value in chunks they change only the chunk concerned. */
#include "net/bits.h"
#include "net/command.h"

#include <stdlib.h>

enum { BIG_VALUE = 1 << 20 }; /* more bytes take long enough to keep others waiting */

bool bits_offset(request *r, slice arg, unsigned width, uint64_t *offset)
{
    int64_t v;
    bool    counted = width && arg.len && arg.data[0] == '#';
    bool    good = parse_int64(counted ? slice_from(arg, 1) : arg, &v);
    if (good && counted) good = !__builtin_mul_overflow(v, (int64_t)width, &v);
    if (!good || v < 0 || v >> 3 >= (int64_t)CHR_VALUE_MAX) {
        reply_error(r, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset = (uint64_t)v;
    return true;
}

/* ---- SETBIT, GETBIT ---- */

void cmd_setbit(request *r)
{
    slice    key = r->args[1];
    uint64_t offset;
    int64_t  on;
    uint8_t  byte = 0;
    size_t   got = 0;
    if (!bits_offset(r, r->args[2], 0, &offset)) return;
    if (!parse_int64(r->args[3], &on) || on < 0 || on > 1) {
        reply_error(r, "ERR bit is not an integer or out of range");
        return;
    }
    txn *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = txn_read(t, key, offset / 8, &byte, 1, &got, NULL);
    uint8_t    mask = (uint8_t)(0x80 >> offset % 8);
    bool       was = byte & mask;
    if (st == CHR_NOT_FOUND) st = txn_put(t, key, NULL, chr_str(""));
    if (st == CHR_OK && (got == 0 || was != (on == 1))) {
        byte = (uint8_t)(on ? byte | mask : byte & ~mask);
        st = txn_write(t, key, offset / 8, chr_bytes(&byte, 1));
    }
    if (request_end(r, t, st)) reply_integer(r, was);
}

void cmd_getbit(request *r)
{
    uint64_t offset, seq = 0;
    uint8_t  byte = 0;
    size_t   got;
    if (!bits_offset(r, r->args[2], 0, &offset)) return;
    chr_status st = store_read(r->store, NULL, r->args[1], offset / 8, &byte, 1, &got, NULL, &seq);
    request_saw(r, seq);
    if (st == CHR_OK || st == CHR_NOT_FOUND)
        reply_integer(r, (byte & 0x80 >> offset % 8) != 0);
    else
        reply_status(r, st);
}

/* ---- a value at one moment, in pieces ---- */

typedef struct pieces {
    store          *s;
    store_snapshot *at;
    slice           key;
    uint64_t        size;
    uint8_t         bytes[CHUNK_BYTES];
} pieces;

/* NULL: there is no such key, or an error; *st tells. */
static pieces *pieces_open(request *r, chr_status *st)
{
    object_meta meta;
    uint64_t    seq = 0;
    pieces     *p = malloc(sizeof *p);
    *st = CHR_NO_MEMORY;
    if (!p) return NULL;
    p->s = r->store;
    p->key = r->args[1];
    *st = chr_snapshot_new(r->store, &p->at);
    if (*st != CHR_OK) goto free_p;
    *st = store_stat(r->store, p->at, OBJECT_KEY, p->key, &meta, &seq);
    request_saw(r, seq);
    if (*st != CHR_OK) goto free_snapshot;
    p->size = meta.size;
    return p;
free_snapshot:
    chr_snapshot_free(p->at);
free_p:
    free(p);
    return NULL;
}

static void pieces_close(pieces *p)
{
    chr_snapshot_free(p->at);
    free(p);
}

/* What there is from `offset` to the end of its chunk, but at most up to byte `last`. */
static chr_status piece_at(pieces *p, uint64_t offset, uint64_t last, size_t *len)
{
    uint64_t end = (offset / CHUNK_BYTES + 1) * CHUNK_BYTES;
    if (end > last + 1) end = last + 1;
    return store_read(p->s, p->at, p->key, offset, p->bytes, end - offset, len, NULL, NULL);
}

/* Bits of a byte that lie outside of first ... last; of the byte that holds first, and of the one that holds last. */
static uint8_t before(uint64_t first) { return (uint8_t) ~(0xff >> first % 8); }
static uint8_t after(uint64_t last) { return (uint8_t)(0x7f >> last % 8); }

/* ---- BITCOUNT ---- */

typedef struct bit_range {
    int64_t  start, end;
    bool     in_bits, end_given;
    uint64_t first, last; /* bits */
} bit_range;

static bool parse_unit(request *r, slice arg, bit_range *range)
{
    range->in_bits = argument_is(arg, "bit");
    if (range->in_bits || argument_is(arg, "byte")) return true;
    reply_error(r, "ERR syntax error");
    return false;
}

/* False: there are no bits in the range. */
static bool resolve(bit_range *range, uint64_t size)
{
    uint64_t count;
    if (!range_within(range->start, range->end, range->in_bits ? size * 8 : size, &range->first, &count)) return false;
    range->last = range->first + count - 1;
    if (!range->in_bits) {
        range->first *= 8;
        range->last = range->last * 8 + 7;
    }
    return true;
}

static chr_status count_bits(pieces *p, const bit_range *range, int64_t *count)
{
    for (uint64_t at = range->first / 8, last = range->last / 8; at <= last;) {
        size_t     len;
        chr_status st = piece_at(p, at, last, &len);
        if (st != CHR_OK) return st;
        if (at == range->first / 8) p->bytes[0] &= (uint8_t)~before(range->first);
        if (at + len == last + 1) p->bytes[len - 1] &= (uint8_t)~after(range->last);
        at += len;
        size_t i = 0;
        for (; i + 8 <= len; i += 8) *count += __builtin_popcountll(get_u64(p->bytes + i));
        for (; i < len; i++) *count += __builtin_popcount(p->bytes[i]);
    }
    return CHR_OK;
}

void cmd_bitcount(request *r)
{
    bit_range  range = { .end = -1 };
    int64_t    count = 0;
    chr_status st;
    pieces    *p = pieces_open(r, &st);
    if (!p) {
        if (st == CHR_NOT_FOUND) /* as in Redis whatever comes after the key */
            reply_integer(r, 0);
        else
            reply_status(r, st);
        return;
    }
    if (p->size > BIG_VALUE && request_defer(r)) goto out;
    if (r->n == 3 || r->n > 5) {
        reply_error(r, "ERR syntax error");
        goto out;
    }
    if (r->n > 3 && (!argument_integer(r, r->args[2], &range.start) || !argument_integer(r, r->args[3], &range.end)))
        goto out;
    bool none = range_is_backwards(range.start, range.end);
    if (!none && r->n == 5 && !parse_unit(r, r->args[4], &range)) goto out;
    if (!none && resolve(&range, p->size)) st = count_bits(p, &range, &count);
    if (st == CHR_OK)
        reply_integer(r, count);
    else
        reply_status(r, st);
out:
    pieces_close(p);
}

/* ---- BITPOS ---- */

/* The first bit that is `bit`; -1: there is none. */
static chr_status find_bit(pieces *p, const bit_range *range, bool bit, int64_t *pos)
{
    const uint8_t flip = bit ? 0 : 0xff; /* so that it is a one that is looked for */
    *pos = -1;
    for (uint64_t at = range->first / 8, last = range->last / 8; at <= last;) {
        size_t     len, i = 0;
        chr_status st = piece_at(p, at, last, &len);
        if (st != CHR_OK) return st;
        for (size_t k = 0; k < len; k++) p->bytes[k] ^= flip;
        if (at == range->first / 8) p->bytes[0] &= (uint8_t)~before(range->first);
        if (at + len == last + 1) p->bytes[len - 1] &= (uint8_t)~after(range->last);
        while (i + 8 <= len && get_u64(p->bytes + i) == 0) i += 8;
        while (i < len && p->bytes[i] == 0) i++;
        if (i < len) {
            *pos = (int64_t)((at + i) * 8) + __builtin_clz(p->bytes[i]) - 24;
            return CHR_OK;
        }
        at += len;
    }
    return CHR_OK;
}

static bool parse_bitpos(request *r, bit_range *range)
{
    if (r->n > 6) {
        reply_error(r, "ERR syntax error");
        return false;
    }
    if (r->n > 3 && !argument_integer(r, r->args[3], &range->start)) return false;
    if (r->n > 5 && !parse_unit(r, r->args[5], range)) return false;
    range->end_given = r->n > 4;
    return !range->end_given || argument_integer(r, r->args[4], &range->end);
}

void cmd_bitpos(request *r)
{
    bit_range  range = { .end = INT64_MAX };
    int64_t    bit, pos = -1;
    chr_status st;
    if (!argument_integer(r, r->args[2], &bit)) return;
    if (bit != 0 && bit != 1) {
        reply_error(r, "ERR The bit argument must be 1 or 0.");
        return;
    }
    pieces *p = pieces_open(r, &st);
    if (!p) {
        if (st == CHR_NOT_FOUND) /* zeroes without end */
            reply_integer(r, bit ? -1 : 0);
        else
            reply_status(r, st);
        return;
    }
    if (p->size > BIG_VALUE && request_defer(r)) goto out;
    if (!parse_bitpos(r, &range)) goto out;
    if (resolve(&range, p->size)) {
        st = find_bit(p, &range, bit, &pos);
        /* Who gives no end looks at a value that is followed by zeroes. */
        if (pos < 0 && !bit && !range.end_given) pos = (int64_t)p->size * 8;
    }
    if (st == CHR_OK)
        reply_integer(r, pos);
    else
        reply_status(r, st);
out:
    pieces_close(p);
}

/* ---- BITOP ---- */

typedef enum bit_operation { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT, BIT_UNKNOWN } bit_operation;

static void combine(bit_operation op, uint8_t *to, const uint8_t *with, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        switch (op) {
        case BIT_AND: to[i] &= with[i]; break;
        case BIT_OR: to[i] |= with[i]; break;
        default: to[i] ^= with[i]; break;
        }
    }
}

/* `result` gets `size` bytes; every source goes on with zeroes. */
static chr_status operate(txn *t, bit_operation op, const slice *sources, size_t n, size_t size, buf *result)
{
    uint8_t piece[4096];
    if (!buf_reserve(result, size + 1)) return CHR_NO_MEMORY;
    for (result->len = 0; result->len < size;) {
        uint8_t *to = (uint8_t *)result->data + result->len;
        size_t   len = size - result->len < sizeof piece ? size - result->len : sizeof piece;
        for (size_t i = 0; i < n; i++) {
            uint8_t   *into = i ? piece : to;
            size_t     got = 0;
            chr_status st = txn_read(t, sources[i], result->len, into, len, &got, NULL);
            if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
            memset(into + got, 0, len - got);
            if (i) combine(op, to, piece, len);
        }
        for (size_t i = 0; op == BIT_NOT && i < len; i++) to[i] = (uint8_t)~to[i];
        result->len += len;
    }
    return CHR_OK;
}

static chr_status longest(txn *t, const slice *keys, size_t n, uint64_t *size)
{
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        object_meta meta = { .size = 0 };
        chr_status  st = txn_stat(t, OBJECT_KEY, keys[i], &meta);
        if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
        if (st == CHR_OK && meta.size > *size) *size = meta.size;
    }
    if (*size <= CHR_VALUE_MAX) return CHR_OK;
    return chr_fail(CHR_TOO_BIG, "the result would have %llu bytes; at most %u are possible", (unsigned long long)*size,
                    CHR_VALUE_MAX);
}

void cmd_bitop(request *r)
{
    static const char *const names[] = { "and", "or", "xor", "not" };
    bit_operation            op = BIT_AND;
    slice                    to = r->args[2];
    const slice             *sources = r->args + 3;
    size_t                   n = r->n - 3;
    uint64_t                 size;
    buf                      result = { 0 };
    while (op != BIT_UNKNOWN && !argument_is(r->args[1], names[op])) op++;
    if (op == BIT_UNKNOWN) {
        reply_error(r, "ERR syntax error");
        return;
    }
    if (op == BIT_NOT && n != 1) {
        reply_error(r, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    txn *t = request_begin(r, r->args + 2, n + 1);
    if (!t) return;
    chr_status st = longest(t, sources, n, &size);
    if (st == CHR_OK && !(size > BIG_VALUE && request_defer(r))) {
        st = operate(t, op, sources, n, size, &result);
        if (st == CHR_OK) st = size ? txn_put(t, to, NULL, buf_slice(&result)) : txn_delete(t, OBJECT_KEY, to, NULL);
    }
    if (request_end(r, t, st)) reply_integer(r, (int64_t)size);
    chr_buf_free(&result);
}
