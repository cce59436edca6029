/* The bytes of a log segment, shared by writer and reader. FORMAT.md, "Log", says the same in words. */
#ifndef CHR_ENGINE_WAL_FORMAT_H
#define CHR_ENGINE_WAL_FORMAT_H

#include "base/hash.h"

#define WAL_MAGIC UINT64_C(0x474f4c534f4e4f52) /* "RONOSLOG" */
enum {
    WAL_VERSION = 2,         /* 1 had no packed writes */
    WAL_HEADER_BYTES = 4096, /* a page of its own, so that no later write can tear it */
    WAL_RECORD_BYTES = 32,
    WAL_ALIGN = 8,
};

typedef enum wal_record_type { WAL_BATCH = 1, WAL_SEAL = 2 } wal_record_type;

typedef struct wal_header {
    uint64_t no, prev_no;
    uint64_t incarnation; /* random; seeds the checksums, so that what an earlier use of the file left fails them */
} wal_header;

typedef struct wal_record {
    uint64_t first_seq;
    uint64_t synced_seq; /* everything up to here was durable when the record was made */
    uint32_t count;      /* of writes; 0 in a seal */
    uint8_t  type;
    slice    payload; /* of a seal: u64 number of the next segment, 0 at a proper end */
} wal_record;

static inline size_t wal_record_size(size_t payload)
{
    return (WAL_RECORD_BYTES + payload + WAL_ALIGN - 1) & ~(size_t)(WAL_ALIGN - 1);
}

/* Writes wal_record_size(payload.len) bytes for the given offset of the segment. */
static inline void wal_record_encode(uint8_t *to, const wal_record *r, uint64_t incarnation, uint64_t offset)
{
    size_t size = wal_record_size(r->payload.len);
    put_u32(to + 4, (uint32_t)r->payload.len);
    put_u64(to + 8, r->first_seq);
    put_u64(to + 16, r->synced_seq);
    put_u32(to + 24, r->count);
    put_u32(to + 28, r->type);
    if (r->payload.len) memcpy(to + WAL_RECORD_BYTES, r->payload.data, r->payload.len);
    memset(to + WAL_RECORD_BYTES + r->payload.len, 0, size - WAL_RECORD_BYTES - r->payload.len);
    put_u32(to, checksum32(chr_bytes(to + 4, size - 4), incarnation + offset));
}

/* `bytes` are those of a segment from `offset` on. False: there is no intact record. `min_seq` spares computing checksums
 * of what is too old to count. */
static inline bool wal_record_decode_at(slice bytes, uint64_t offset, uint64_t incarnation, uint64_t min_seq,
                                        wal_record *r)
{
    if (bytes.len < WAL_RECORD_BYTES) return false;
    const char *at = bytes.data;
    uint32_t    len = get_u32(at + 4);
    uint32_t    type = get_u32(at + 28);
    size_t      size = wal_record_size(len);
    if (type != WAL_BATCH && type != WAL_SEAL) return false;
    if (size > bytes.len || get_u64(at + 8) < min_seq) return false;
    if (get_u32(at) != checksum32(chr_bytes(at + 4, size - 4), incarnation + offset)) return false;
    *r = (wal_record){ .first_seq = get_u64(at + 8),
                       .synced_seq = get_u64(at + 16),
                       .count = get_u32(at + 24),
                       .type = (uint8_t)type,
                       .payload = chr_bytes(at + WAL_RECORD_BYTES, len) };
    return true;
}

/* The same in a whole segment. */
static inline bool wal_record_decode(slice segment, uint64_t offset, uint64_t incarnation, uint64_t min_seq,
                                     wal_record *r)
{
    return offset <= segment.len && wal_record_decode_at(slice_from(segment, offset), offset, incarnation, min_seq, r);
}

static inline void wal_header_encode(uint8_t *page, const wal_header *h)
{
    memset(page, 0, WAL_HEADER_BYTES);
    put_u64(page, WAL_MAGIC);
    put_u32(page + 8, WAL_VERSION);
    put_u64(page + 16, h->no);
    put_u64(page + 24, h->prev_no);
    put_u64(page + 32, h->incarnation);
    put_u64(page + 40, hash64(chr_bytes(page, 40)));
}

static inline bool wal_header_decode(slice segment, wal_header *h)
{
    const char *p = segment.data;
    if (segment.len < WAL_HEADER_BYTES || get_u64(p) != WAL_MAGIC) return false;
    if (get_u32(p + 8) < 1 || get_u32(p + 8) > WAL_VERSION) return false;
    if (get_u64(p + 40) != hash64(chr_bytes(p, 40))) return false;
    *h = (wal_header){ get_u64(p + 16), get_u64(p + 24), get_u64(p + 32) };
    return true;
}

#endif
