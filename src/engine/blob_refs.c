/* References to values in blob files: their bytes, and the lists in which a table says what it refers to. */
#include "engine/blob.h"

#include <stdlib.h>

slice blob_at_encode(char to[static BLOB_AT_MAX], blob_at at)
{
    size_t n = put_varint(to, at.file_no);
    n += put_varint(to + n, at.offset);
    n += put_varint(to + n, at.len);
    if (at.logged) {
        put_u32(to + n, at.checksum);
        n += 4;
        if (at.codec != CHR_COMPRESS_NONE) to[n++] = (char)at.codec;
    }
    return chr_bytes(to, n);
}

bool blob_at_decode(slice s, blob_at *at)
{
    reader r = reader_of(s);
    at->file_no = read_varint(&r);
    at->offset = read_varint(&r);
    at->len = read_varint(&r);
    at->logged = reader_left(&r) > 0;
    at->checksum = at->logged ? read_u32(&r) : 0;
    at->codec = reader_left(&r) > 0 ? read_u8(&r) : CHR_COMPRESS_NONE;
    return !r.failed && !reader_left(&r) && at->file_no > 0 && at->offset >= BLOB_HEADER_BYTES &&
           at->offset <= INT64_MAX && at->len <= ENGINE_VALUE_MAX;
}

bool table_blobs_add(table_blob **list, size_t *n, blob_at at)
{
    size_t lo = 0, hi = *n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if ((*list)[mid].file_no < at.file_no)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == *n || (*list)[lo].file_no != at.file_no) {
        /* It grows when its length is a power of two, so it needs no field for its capacity. */
        if ((*n & (*n - 1)) == 0) {
            table_blob *more = realloc(*list, (*n ? 2 * *n : 1) * sizeof *more);
            if (!more) return false;
            *list = more;
        }
        memmove(*list + lo + 1, *list + lo, (*n - lo) * sizeof **list);
        (*list)[lo] = (table_blob){ .file_no = at.file_no };
        ++*n;
    }
    (*list)[lo].values++;
    (*list)[lo].bytes += blob_at_bytes(at);
    return true;
}

uint64_t table_blob_bytes(const table_info *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->n_blobs; i++) bytes += t->blobs[i].bytes;
    return bytes;
}
