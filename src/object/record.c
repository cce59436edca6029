#include "object/record.h"

enum { NS_PER_S = 1000000000 };

/* Rounds up, so that what was decoded encodes to the same again. */
static int64_t plain_time(uint32_t seconds, uint16_t fraction)
{
    return (int64_t)seconds * NS_PER_S + (int64_t)(((uint64_t)fraction * NS_PER_S + 0xffff) >> 16);
}

static void put_plain_time(char *to, int64_t ns)
{
    const int64_t last = (int64_t)UINT32_MAX * NS_PER_S + (NS_PER_S - 1);
    uint64_t      t = ns < 0 ? 0 : (uint64_t)(ns < last ? ns : last);
    put_u32(to, (uint32_t)(t / NS_PER_S));
    put_u16(to + 4, (uint16_t)((t % NS_PER_S << 16) / NS_PER_S));
}

static chr_status malformed(slice bytes, const char *why)
{
    return chr_fail(CHR_CORRUPT, "an object's record of %zu bytes is malformed: %s", bytes.len, why);
}

/* Flags, times, attributes and expiry: what record_head writes. False: malformed. */
static bool read_head(reader *r, const record_defaults *defaults, uint8_t *flags, object_meta *m)
{
    *flags = read_u8(r);
    if (*flags & ~RECORD_FLAGS) return false;
    if (*flags & RECORD_ATTRS) {
        m->mode = read_varint32(r);
        m->uid = read_varint32(r);
        m->gid = read_varint32(r);
        m->atime_ns = (int64_t)read_u64(r);
        m->mtime_ns = (int64_t)read_u64(r);
        m->ctime_ns = (int64_t)read_u64(r);
    } else {
        uint32_t seconds = read_u32(r);
        m->mtime_ns = m->atime_ns = m->ctime_ns = plain_time(seconds, read_u16(r));
        m->mode = defaults->mode;
        m->uid = defaults->uid;
        m->gid = defaults->gid;
    }
    m->expire_ms = *flags & RECORD_EXPIRES ? read_varint(r) : 0;
    m->has_attrs = *flags & RECORD_ATTRS;
    m->has_xattrs = *flags & RECORD_XATTRS;
    return !r->failed;
}

chr_status record_decode(slice bytes, const record_defaults *defaults, record *out)
{
    reader  r = reader_of(bytes);
    uint8_t flags = 0;
    record  rec;
    if (!read_head(&r, defaults, &flags, &rec.meta))
        return malformed(bytes, "its head is cut off or has unknown flags");
    rec.xattrs = flags & RECORD_XATTRS ? read_sized(&r) : chr_bytes(NULL, 0);
    rec.chunked = flags & RECORD_CHUNKED;
    if (rec.chunked) {
        rec.big_id = read_u64(&r);
        rec.meta.size = read_u64(&r);
        rec.value = chr_bytes(NULL, 0);
        if (r.failed || reader_left(&r)) return malformed(bytes, "a value in chunks has the wrong length");
        if (rec.meta.size > OBJECT_SIZE_MAX) return malformed(bytes, "its size is over the limit");
    } else {
        if (r.failed) return malformed(bytes, "its extended attributes are cut off");
        rec.big_id = 0;
        rec.value = chr_bytes(r.at, reader_left(&r));
        rec.meta.size = rec.value.len;
    }
    *out = rec;
    return CHR_OK;
}

bool record_peek(slice head, size_t len, const record_defaults *defaults, object_meta *meta)
{
    reader      r = reader_of(head);
    uint8_t     flags = 0;
    object_meta m;
    if (!read_head(&r, defaults, &flags, &m) || flags & RECORD_CHUNKED) return false;
    uint64_t xattrs = flags & RECORD_XATTRS ? read_varint(&r) : 0;
    size_t   before = head.len - reader_left(&r);
    if (r.failed || xattrs > len - before) return false;
    m.size = len - before - xattrs;
    *meta = m;
    return true;
}

bool record_expiry(slice bytes, uint64_t *expire_ms, bool *chunked)
{
    static const record_defaults none;
    reader                       r = reader_of(bytes);
    uint8_t                      flags = 0;
    object_meta                  m;
    if (!read_head(&r, &none, &flags, &m)) return false;
    *expire_ms = m.expire_ms;
    *chunked = flags & RECORD_CHUNKED;
    return true;
}

size_t record_head(char to[static RECORD_HEAD_MAX], const object_meta *meta, uint8_t flags)
{
    char *p = to + 1;
    flags &= (uint8_t) ~(RECORD_ATTRS | RECORD_EXPIRES);
    if (meta->has_attrs) {
        flags |= RECORD_ATTRS;
        p += put_varint(p, meta->mode);
        p += put_varint(p, meta->uid);
        p += put_varint(p, meta->gid);
        put_u64(p, (uint64_t)meta->atime_ns);
        put_u64(p + 8, (uint64_t)meta->mtime_ns);
        put_u64(p + 16, (uint64_t)meta->ctime_ns);
        p += 24;
    } else {
        put_plain_time(p, meta->mtime_ns);
        p += 6;
    }
    if (meta->expire_ms) {
        flags |= RECORD_EXPIRES;
        p += put_varint(p, meta->expire_ms);
    }
    to[0] = (char)flags;
    return (size_t)(p - to);
}

void record_put_big(char to[static RECORD_BIG_BYTES], uint64_t id, uint64_t size)
{
    put_u64(to, id);
    put_u64(to + 8, size);
}
