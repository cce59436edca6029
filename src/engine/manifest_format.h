/* The bytes of a manifest, shared by writer, reader and fuzzer. FORMAT.md, "Manifest", says the same in words. */
#ifndef CHR_ENGINE_MANIFEST_FORMAT_H
#define CHR_ENGINE_MANIFEST_FORMAT_H

#include "base/hash.h"

#define MANIFEST_MAGIC UINT64_C(0x46494e414d524843) /* "CHRMANIF" */
enum {
    MANIFEST_VERSION = 1,
    MANIFEST_HEADER_BYTES = 32,
    MANIFEST_RECORD_BYTES = 8,
    MANIFEST_ALIGN = 8,
};

/* On disk: do not renumber. */
typedef enum edit_tag { TAG_LOG = 1, TAG_ADD = 2, TAG_REMOVE = 3, TAG_KEEP = 4, TAG_DROP = 5 } edit_tag;

static inline void manifest_header_encode(uint8_t *to, uint64_t no)
{
    memset(to, 0, MANIFEST_HEADER_BYTES);
    put_u64(to, MANIFEST_MAGIC);
    put_u32(to + 8, MANIFEST_VERSION);
    put_u64(to + 16, no);
    put_u64(to + 24, hash64(chr_bytes(to, 24)));
}

static inline size_t manifest_record_size(size_t payload)
{
    return (MANIFEST_RECORD_BYTES + payload + MANIFEST_ALIGN - 1) & ~(size_t)(MANIFEST_ALIGN - 1);
}

/* `record` has MANIFEST_RECORD_BYTES of room, the payload, and zeroes up to its size. */
static inline void manifest_record_seal(char *record, size_t payload, uint64_t no, uint64_t offset)
{
    size_t size = manifest_record_size(payload);
    put_u32(record + 4, (uint32_t)payload);
    put_u32(record, checksum32(chr_bytes(record + 4, size - 4), no * UINT64_C(0x9e3779b97f4a7c15) + offset));
}

/* False: there is no intact record at `offset`. */
static inline bool manifest_record_decode(slice file, uint64_t no, uint64_t offset, slice *payload)
{
    if (offset > file.len || file.len - offset < MANIFEST_RECORD_BYTES) return false;
    const char *record = file.data + offset;
    uint32_t    len = get_u32(record + 4);
    size_t      size = manifest_record_size(len);
    if (len == 0 || size > file.len - offset) return false;
    if (get_u32(record) != checksum32(chr_bytes(record + 4, size - 4), no * UINT64_C(0x9e3779b97f4a7c15) + offset))
        return false;
    *payload = chr_bytes(record + MANIFEST_RECORD_BYTES, len);
    return true;
}

#endif
