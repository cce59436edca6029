/* Object records from bytes that anyone may have written. What decodes must encode to something that decodes the same. */
#include "object/record.h"

#include <stdlib.h>

static void encode(buf *to, const record *r)
{
    char    head[RECORD_HEAD_MAX], big[RECORD_BIG_BYTES];
    uint8_t flags = (uint8_t)((r->meta.has_xattrs ? RECORD_XATTRS : 0) | (r->chunked ? RECORD_CHUNKED : 0));
    size_t  len = record_head(head, &r->meta, flags);
    bool    fits = len <= sizeof head && buf_append(to, head, len);
    if (r->meta.has_xattrs) fits = fits && buf_append_sized(to, r->xattrs);
    if (r->chunked) record_put_big(big, r->big_id, r->meta.size);
    fits = fits && (r->chunked ? buf_append(to, big, sizeof big) : buf_append_slice(to, r->value));
    if (!fits) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const record_defaults defaults = { S_IFREG | 0644, 1000, 1000 };
    record                       r, again;
    uint64_t                     expire_ms = 0;
    bool                         chunked = false, has_head = record_expiry(chr_bytes(data, size), &expire_ms, &chunked);
    if (record_decode(chr_bytes(data, size), &defaults, &r) != CHR_OK) return 0;
    if (!has_head || expire_ms != r.meta.expire_ms || chunked != r.chunked) abort();

    buf b = { 0 };
    encode(&b, &r);
    if (record_decode(buf_slice(&b), &defaults, &again) != CHR_OK) abort();
    const object_meta *m = &r.meta, *n = &again.meta;
    if (m->size != n->size || m->expire_ms != n->expire_ms || m->mode != n->mode || m->uid != n->uid ||
        m->gid != n->gid || m->atime_ns != n->atime_ns || m->mtime_ns != n->mtime_ns || m->ctime_ns != n->ctime_ns ||
        m->has_attrs != n->has_attrs || m->has_xattrs != n->has_xattrs)
        abort();
    if (r.chunked != again.chunked || r.big_id != again.big_id || !slice_equal(r.xattrs, again.xattrs) ||
        !slice_equal(r.value, again.value))
        abort();
    chr_buf_free(&b);
    return 0;
}
