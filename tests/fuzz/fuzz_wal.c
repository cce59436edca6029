/* A log segment of any bytes: replayed, cut off or refused, never believed without its checksum, never a crash. The first byte
 * chooses: the rest is a whole segment, or the payloads of batches that get proper checksums. */
#include "engine/batch.h"
#include "engine/wal.h"
#include "engine/wal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static chr_status walk(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)first_seq;
    reader     r = reader_of(payload);
    entry      write;
    chr_status st;
    uint32_t   n = 0;
    while (batch_next(&r, &write, &st)) {
        *(size_t *)arg += write.key.len + write.value.len;
        n++;
    }
    assert(n == count);
    return st;
}

static void wrap(buf *segment, slice in)
{
    uint8_t  header[WAL_HEADER_BYTES];
    uint64_t seq = 1;
    wal_header_encode(header, &(wal_header){ 1, 0, 42 });
    buf_append(segment, header, sizeof header);
    while (in.len > 2) {
        uint32_t count = (uint8_t)in.data[0] % 8u;
        size_t   len = (uint8_t)in.data[1];
        in = slice_from(in, 2);
        if (len > in.len) len = in.len;
        wal_record r = { .first_seq = seq,
                         .synced_seq = seq - 1,
                         .count = count,
                         .type = count ? WAL_BATCH : WAL_SEAL,
                         .payload = chr_bytes(in.data, len) };
        size_t     at = segment->len;
        if (!buf_reserve(segment, wal_record_size(len))) return;
        segment->len += wal_record_size(len);
        wal_record_encode((uint8_t *)segment->data + at, &r, 42, at);
        in = slice_from(in, len);
        seq += count;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = 0;
    buf    segment = { 0 };
    if (size == 0) return 0;
    slice rest = chr_bytes(data + 1, size - 1);
    if (data[0] & 1)
        wrap(&segment, rest);
    else
        buf_append_slice(&segment, rest);
    (void)wal_parse_segment("segment", buf_slice(&segment), 1, 1, walk, &bytes);
    chr_buf_free(&segment);
    return 0;
}
