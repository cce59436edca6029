/* Slices, buffers, and the coding of integers: little-endian fixed widths and LEB128 varints.
 * Bytes that come from a file or a socket go through `reader`, which cannot run over the end. */
#ifndef CHR_BASE_BYTES_H
#define CHR_BASE_BYTES_H

#include "base/status.h"

#include <assert.h>
#include <string.h>

typedef chr_slice slice;
typedef chr_buf   buf;

/* memcmp order; a prefix sorts before what it begins. */
static inline int slice_compare(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}
static inline bool slice_equal(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool slice_has_prefix(slice s, slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}
static inline slice slice_from(slice s, size_t from)
{
    return chr_bytes(from ? s.data + from : s.data, s.len - from); /* of nothing, too, whose data may be NULL */
}
static inline slice buf_slice(const buf *b) { return chr_bytes(b->data, b->len); }

/* Room for `more` bytes beyond len. False: no memory, and the buffer is as before. */
bool               buf_reserve(buf *b, size_t more);
bool               buf_append(buf *b, const void *data, size_t len);
bool               buf_printf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool buf_append_slice(buf *b, slice s) { return buf_append(b, s.data, s.len); }
static inline bool buf_append_byte(buf *b, uint8_t byte) { return buf_append(b, &byte, 1); }
static inline bool buf_set(buf *b, slice s)
{
    b->len = 0;
    return buf_append_slice(b, s);
}
/* Makes of `end`, which is { 0 }, the least string above all that begin with `prefix`; if there is none, it stays { 0 }. */
bool buf_set_prefix_end(buf *end, slice prefix);

static inline void     put_u16(void *p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void     put_u32(void *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void     put_u64(void *p, uint64_t v) { memcpy(p, &v, sizeof v); }
static inline uint16_t get_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t get_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t get_u64(const void *p)
{
    if (!p) __builtin_unreachable(); /* told to those who analyse callers */
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Chronos files are little-endian, and so far so are the machines it runs on"
#endif
static inline void     put_be64(void *p, uint64_t v) { put_u64(p, __builtin_bswap64(v)); }
static inline uint64_t get_be64(const void *p) { return __builtin_bswap64(get_u64(p)); }

enum { VARINT32_MAX = 5, VARINT64_MAX = 10 };
static inline size_t put_varint(void *at, uint64_t v) /* returns the bytes written, at most VARINT64_MAX */
{
    uint8_t *p = at;
    size_t   n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}
static inline size_t varint_size(uint64_t v) { return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1; }
bool                 buf_append_varint(buf *b, uint64_t v);
bool                 buf_append_u32(buf *b, uint32_t v);
bool                 buf_append_u64(buf *b, uint64_t v);
bool                 buf_append_sized(buf *b, slice s); /* varint length, then the bytes */

/* A cursor over untrusted bytes. After the first overrun `failed` stays set and every read gives zeroes. */
typedef struct reader {
    const uint8_t *at, *end;
    bool           failed;
} reader;
static inline reader reader_of(slice s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    return (reader){ p, p ? p + s.len : p, false };
}
static inline size_t reader_left(const reader *r) { return (size_t)(r->end - r->at); }
slice                read_bytes(reader *r, size_t len);
uint8_t              read_u8(reader *r);
uint16_t             read_u16(reader *r);
uint32_t             read_u32(reader *r);
uint64_t             read_u64(reader *r);
uint64_t             read_varint(reader *r);
uint32_t             read_varint32(reader *r); /* fails above UINT32_MAX */
slice                read_sized(reader *r);

#endif
