/* References to values in blob files: their bytes, and the lists in which a table says what it refers to. */
#include "engine/blob.h"

#include <stdlib.h>

enum { REF_LOGGED = 1 }; /* flags */

slice blob_ref_encode(char to[static BLOB_REF_MAX], blob_at at, blob_head head)
{
    size_t n = 0;
    to[n++] = 0; /* what a number of a file is not: there were references without flags */
    to[n++] = (char)(at.logged ? REF_LOGGED : 0);
    n += put_varint(to + n, at.file_no);
    n += put_varint(to + n, at.offset);
    n += put_varint(to + n, at.len);
    if (at.logged) {
        put_u32(to + n, at.checksum);
        to[n + 4] = (char)at.codec;
        n += 5;
    }
    assert(head.bytes.len <= BLOB_HEAD_MAX);
    n += put_varint(to + n, head.len);
    if (head.bytes.len) memcpy(to + n, head.bytes.data, head.bytes.len);
    return chr_bytes(to, n + head.bytes.len);
}

bool blob_ref_decode(slice s, blob_at *at, blob_head *head)
{
    reader    r = reader_of(s);
    blob_head h = { 0 };
    uint64_t  first = read_varint(&r);
    uint8_t   flags = first ? 0 : read_u8(&r);
    at->file_no = first ? first : read_varint(&r);
    at->offset = read_varint(&r);
    at->len = read_varint(&r);
    at->logged = first ? reader_left(&r) > 0 : flags & REF_LOGGED;
    at->checksum = at->logged ? read_u32(&r) : 0;
    at->codec = at->logged && !first ? read_u8(&r) : CHR_COMPRESS_NONE;
    if (!first) {
        h.len = read_varint(&r);
        h.bytes = read_bytes(&r, reader_left(&r));
    }
    if (head) *head = h;
    return !r.failed && !reader_left(&r) && flags <= REF_LOGGED && at->file_no > 0 && at->offset >= BLOB_HEADER_BYTES &&
           at->offset <= INT64_MAX && at->len <= ENGINE_VALUE_MAX && h.len <= ENGINE_VALUE_MAX &&
           h.bytes.len <= h.len && h.bytes.len <= BLOB_HEAD_MAX;
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
