/* Writing blob files: header, values one behind the other, footer. */
#include "engine/blob.h"

#include "base/hash.h"
#include "engine/compress.h"
#include "engine/table_format.h"

#include <stdlib.h>

enum { WRITE_BYTES = 256 << 10 }; /* at a time */

struct blob_writer {
    env_file       *file;
    uint64_t        file_no;
    chr_compression compression;
    compressor      compressor;
    chr_status      st;      /* the first failure; nothing is written after it */
    uint64_t        written; /* bytes in the file */
    uint64_t        values;
    buf             out; /* not yet in the file */
    buf             packed;
};

static bool put_header(blob_writer *w)
{
    char header[BLOB_HEADER_BYTES];
    put_u64(header, BLOB_MAGIC);
    put_u32(header + 8, BLOB_FORMAT);
    put_u32(header + 12, 0);
    put_u64(header + 16, w->file_no);
    put_u64(header + 24, hash64(chr_bytes(header, 24)));
    return buf_append(&w->out, header, sizeof header);
}

chr_status blob_writer_new(env_file *file, uint64_t file_no, chr_compression compression, blob_writer **out)
{
    blob_writer *w = calloc(1, sizeof *w);
    if (!w) return chr_nomem();
    w->file = file;
    w->file_no = file_no;
    w->compression = compression;
    if (!put_header(w)) {
        free(w);
        return chr_nomem();
    }
    *out = w;
    return CHR_OK;
}

void blob_writer_free(blob_writer *w)
{
    if (!w) return;
    compressor_free(&w->compressor);
    chr_buf_free(&w->out);
    chr_buf_free(&w->packed);
    free(w);
}

uint64_t blob_writer_bytes(const blob_writer *w) { return w->written + w->out.len; }

static chr_status again(const blob_writer *w)
{
    return chr_fail(w->st, "the blob file %s is not being written any more after a failure", w->file->path);
}

static chr_status write_out(blob_writer *w)
{
    w->st = env_pwrite(w->file, w->out.data, w->out.len, w->written);
    if (!chr_ok(w->st)) return w->st;
    w->written += w->out.len;
    w->out.len = 0;
    return CHR_OK;
}

chr_status blob_writer_copy(blob_writer *w, slice stored, chr_compression codec, blob_at *at)
{
    if (!chr_ok(w->st)) return again(w);
    assert(stored.len <= ENGINE_VALUE_MAX);
    size_t   from = w->out.len;
    uint64_t offset = w->written + from;
    if (!buf_reserve(&w->out, blob_stored_bytes(stored.len))) return w->st = chr_nomem();
    (void)buf_append_u32(&w->out, (uint32_t)stored.len);
    (void)buf_append_slice(&w->out, stored);
    (void)buf_append_byte(&w->out, (uint8_t)codec);
    uint32_t sum = checksum32(slice_from(buf_slice(&w->out), from), table_seed(w->file_no, offset));
    (void)buf_append_u32(&w->out, sum);
    w->values++;
    *at = (blob_at){ .file_no = w->file_no, .offset = offset, .len = stored.len };
    return w->out.len < WRITE_BYTES ? CHR_OK : write_out(w);
}

chr_status blob_writer_add(blob_writer *w, slice value, blob_at *at)
{
    w->packed.len = 0;
    if (!compress(&w->compressor, w->compression, value, &w->packed))
        return blob_writer_copy(w, value, CHR_COMPRESS_NONE, at);
    return blob_writer_copy(w, buf_slice(&w->packed), w->compression, at);
}

chr_status blob_writer_finish(blob_writer *w)
{
    if (!chr_ok(w->st)) return again(w);
    char     footer[BLOB_FOOTER_BYTES];
    uint64_t offset = blob_writer_bytes(w);
    put_u64(footer, w->values);
    put_u64(footer + 8, offset);
    put_u64(footer + 16, w->file_no);
    put_u32(footer + 24, BLOB_FORMAT);
    put_u32(footer + 28, checksum32(chr_bytes(footer, 28), table_seed(w->file_no, offset)));
    put_u64(footer + 32, BLOB_MAGIC);
    if (!buf_append(&w->out, footer, sizeof footer)) return w->st = chr_nomem();
    if (!chr_ok(write_out(w))) return w->st;
    w->st = CHR_INVALID; /* finished: nothing can be added */
    return CHR_OK;
}
