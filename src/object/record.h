/* The bytes of an object's record, the engine value of its key (FORMAT.md, "Object records"):
 *
 *   u8 flags
 *   without RECORD_ATTRS:  u32 seconds, u16 fraction (2^-16 s) of mtime; everything else is the default
 *   RECORD_ATTRS:          varint mode, varint uid, varint gid, i64 atime, i64 mtime, i64 ctime (ns since 1970)
 *   RECORD_EXPIRES:        varint milliseconds since 1970
 *   RECORD_XATTRS:         sized list of extended attributes
 *   RECORD_CHUNKED:        u64 big id, u64 size, and the value is in the chunks of that id; otherwise the value, to the end
 *
 * A plain value costs 7 bytes more than itself. Decoding is safe on any bytes. */
#ifndef CHR_OBJECT_RECORD_H
#define CHR_OBJECT_RECORD_H

#include "object/store.h"

enum {
    RECORD_ATTRS = 1,
    RECORD_EXPIRES = 2,
    RECORD_XATTRS = 4,
    RECORD_CHUNKED = 8,
    RECORD_FLAGS = 15, /* all that are known */
};

enum { RECORD_PLAIN_HEAD = 7, RECORD_HEAD_MAX = 1 + 3 * VARINT32_MAX + 3 * 8 + VARINT64_MAX, RECORD_BIG_BYTES = 16 };

/* What a record without attributes of its own stands for. */
typedef struct record_defaults {
    uint32_t mode, uid, gid;
} record_defaults;

typedef struct record {
    object_meta meta;
    slice       xattrs;
    slice       value;  /* of a chunked one: NULL */
    uint64_t    big_id; /* of a chunked one */
    bool        chunked;
} record;

/* xattrs and value point into `bytes`. CHR_CORRUPT, with a message. */
chr_status record_decode(slice bytes, const record_defaults *defaults, record *out);
/* Of a record of `len` bytes whose first ones are `head`, as db_peek tells them. False: it takes the whole record to tell. */
bool record_peek(slice head, size_t len, const record_defaults *defaults, object_meta *meta);
/* Whether the record expires, when, and whether it has chunks; false if it is malformed. For compaction. */
bool record_expiry(slice bytes, uint64_t *expire_ms, bool *chunked);

/* Everything up to the extended attributes' list; returns the length. With RECORD_XATTRS in `flags` the caller appends the
 * sized list, and then the value, or with RECORD_CHUNKED record_put_big's bytes. */
size_t record_head(char to[static RECORD_HEAD_MAX], const object_meta *meta, uint8_t flags);
void   record_put_big(char to[static RECORD_BIG_BYTES], uint64_t id, uint64_t size);

#endif
