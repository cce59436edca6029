/* A manifest of any bytes: understood or refused, never a crash. The first byte chooses: the rest is a whole file, or the
 * payload of edits that get proper checksums, so that the parser behind the checksums is reached. */
#include "engine/manifest.h"
#include "engine/manifest_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static chr_status look(void *arg, uint32_t at_level, const table_info *info)
{
    assert(at_level < LEVELS);
    *(uint64_t *)arg += info->smallest.len + info->largest.len;
    return CHR_OK;
}

/* Each 0xff 0xff in the input ends an edit. */
static void wrap(buf *file, slice in)
{
    uint8_t header[MANIFEST_HEADER_BYTES];
    manifest_header_encode(header, 1);
    buf_append(file, header, sizeof header);
    while (in.len > 0) {
        const char       *end = memmem(in.data, in.len, "\xff\xff", 2);
        size_t            payload = end ? (size_t)(end - in.data) : in.len;
        static const char zeroes[MANIFEST_RECORD_BYTES];
        uint64_t          at = file->len;
        buf_append(file, zeroes, MANIFEST_RECORD_BYTES);
        buf_append(file, in.data, payload);
        buf_append(file, zeroes, at + manifest_record_size(payload) - file->len);
        manifest_record_seal(file->data + at, payload, 1, at);
        in = slice_from(in, end ? payload + 2 : payload);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    manifest_state state = { 0 };
    uint64_t       bytes = 0;
    buf            file = { 0 };
    if (size == 0) return 0;
    slice rest = chr_bytes(data + 1, size - 1);
    if (data[0] & 1)
        wrap(&file, rest);
    else
        buf_append_slice(&file, rest);
    (void)manifest_parse("MANIFEST", 1, buf_slice(&file), &state, look, &bytes);
    named_free(&state.named);
    chr_buf_free(&file);
    return 0;
}
