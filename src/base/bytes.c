#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void chr_buf_free(chr_buf *b)
{
    free(b->data);
    *b = (chr_buf){ 0 };
}

bool buf_reserve(buf *b, size_t more)
{
    if (more <= b->cap - b->len) return true;
    if (more > SIZE_MAX / 2 - b->len) return false;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->len + more) cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data) return false;
    b->data = data;
    b->cap = cap;
    return true;
}

bool buf_append(buf *b, const void *data, size_t len)
{
    if (!buf_reserve(b, len)) return false;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    return true;
}

bool buf_printf(buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int  n = vsnprintf(NULL, 0, format, args);
    bool done = n >= 0 && buf_reserve(b, (size_t)n + 1);
    if (done) {
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
    return done;
}

bool buf_set_prefix_end(buf *end, slice prefix)
{
    while (prefix.len && (uint8_t)prefix.data[prefix.len - 1] == 0xff) prefix.len--;
    if (!prefix.len) return true;
    if (!buf_set(end, prefix)) return false;
    end->data[prefix.len - 1]++;
    return true;
}

bool buf_append_varint(buf *b, uint64_t v)
{
    if (!buf_reserve(b, VARINT64_MAX)) return false;
    b->len += put_varint(b->data + b->len, v);
    return true;
}
bool buf_append_u32(buf *b, uint32_t v) { return buf_append(b, &v, sizeof v); }
bool buf_append_u64(buf *b, uint64_t v) { return buf_append(b, &v, sizeof v); }
bool buf_append_sized(buf *b, slice s) { return buf_append_varint(b, s.len) && buf_append_slice(b, s); }

slice read_bytes(reader *r, size_t len)
{
    if (r->failed || len > reader_left(r)) {
        r->failed = true;
        r->at = r->end;
        return chr_bytes(NULL, 0);
    }
    slice s = chr_bytes(r->at, len);
    r->at += len;
    return s;
}
uint8_t read_u8(reader *r)
{
    slice s = read_bytes(r, 1);
    return s.len ? (uint8_t)s.data[0] : 0;
}
uint16_t read_u16(reader *r)
{
    slice s = read_bytes(r, 2);
    return s.len ? get_u16(s.data) : 0;
}
uint32_t read_u32(reader *r)
{
    slice s = read_bytes(r, 4);
    return s.len ? get_u32(s.data) : 0;
}
uint64_t read_u64(reader *r)
{
    slice s = read_bytes(r, 8);
    return s.len ? get_u64(s.data) : 0;
}
uint64_t read_varint(reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_u8(r);
        if (shift == 63 && byte > 1) break; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return r->failed ? 0 : v;
    }
    r->failed = true;
    return 0;
}
uint32_t read_varint32(reader *r)
{
    uint64_t v = read_varint(r);
    if (v > UINT32_MAX) {
        r->failed = true;
        return 0;
    }
    return (uint32_t)v;
}
slice read_sized(reader *r)
{
    uint64_t len = read_varint(r);
    if (len > SIZE_MAX) r->failed = true;
    return read_bytes(r, (size_t)len);
}
