#include "engine/batch_pack.h"

#include "engine/compress.h"

#include <stdlib.h>

/* ---- packing ---- */

/* `before`: the writes that come before it, as they are. */
static bool put_packed(buf *room, slice before, slice key, chr_compression codec, slice packed)
{
    if (!buf_reserve(room, before.len + 1 + 2 * VARINT32_MAX + key.len + 1 + packed.len)) return false;
    buf_append_slice(room, before);
    buf_append_byte(room, KIND_PACKED);
    buf_append_sized(room, key);
    buf_append_varint(room, 1 + packed.len);
    buf_append_byte(room, (uint8_t)codec);
    buf_append_slice(room, packed);
    return true;
}

slice batch_pack(slice payload, size_t big, chr_compression codec, buf *room)
{
    compressor packer = { 0 };
    buf        packed = { 0 };
    reader     r = reader_of(payload);
    entry      write;
    chr_status st;
    size_t     done = 0; /* bytes of the payload that are in `room` */
    room->len = 0;
    if (codec == CHR_COMPRESS_NONE) return payload;
    for (size_t at = 0; batch_next(&r, &write, &st); at = payload.len - reader_left(&r)) {
        if (trailer_kind(write.trailer) != KIND_PUT || write.value.len < big) continue;
        packed.len = 0;
        if (!compress(&packer, codec, write.value, &packed)) continue;
        if (!put_packed(room, chr_bytes(payload.data + done, at - done), write.key, codec, buf_slice(&packed))) break;
        done = payload.len - reader_left(&r);
    }
    compressor_free(&packer);
    chr_buf_free(&packed);
    return done && buf_append_slice(room, slice_from(payload, done)) ? buf_slice(room) : payload;
}

/* ---- unpacking ---- */

bool batch_packed_value(const entry *write, packed_value *v)
{
    v->codec = CHR_COMPRESS_NONE;
    v->bytes = write->value;
    if (trailer_kind(write->trailer) != KIND_PACKED) return true;
    if (!write->value.len) return false;
    v->codec = (chr_compression)(uint8_t)write->value.data[0];
    v->bytes = slice_from(write->value, 1);
    return v->codec == CHR_COMPRESS_LZ4 || v->codec == CHR_COMPRESS_ZSTD;
}

static chr_status add_plain(buf *room, const entry *write)
{
    packed_value v;
    char        *raw;
    size_t       len;
    const char  *problem = "the codec is unknown";
    if (batch_packed_value(write, &v)) problem = decompress(v.codec, v.bytes, ENGINE_VALUE_MAX, 0, &raw, &len);
    if (problem == compress_no_memory) return chr_nomem();
    if (problem) return chr_fail(CHR_CORRUPT, "a packed value in a batch is malformed: %s", problem);
    size_t     need = 1 + 2 * VARINT32_MAX + write->key.len + len;
    chr_status st = CHR_OK;
    if (room->len + need > BATCH_BYTES_MAX)
        st = chr_fail(CHR_CORRUPT, "a packed batch is too long");
    else if (!buf_reserve(room, need))
        st = chr_nomem();
    if (chr_ok(st)) {
        buf_append_byte(room, KIND_PUT);
        buf_append_sized(room, write->key);
        buf_append_sized(room, chr_bytes(raw, len));
    }
    free(raw);
    return st;
}

chr_status batch_unpack(slice payload, buf *room, slice *plain, uint32_t *count)
{
    reader     r = reader_of(payload);
    entry      write;
    chr_status st;
    size_t     done = 0; /* bytes of the payload that are in `room` */
    room->len = 0;
    *plain = payload;
    *count = 0;
    for (size_t at = 0; batch_next(&r, &write, &st); at = payload.len - reader_left(&r)) {
        ++*count;
        if (trailer_kind(write.trailer) != KIND_PACKED) continue;
        if (!buf_append(room, payload.data + done, at - done)) return chr_nomem();
        if (!chr_ok(st = add_plain(room, &write))) return st;
        done = payload.len - reader_left(&r);
    }
    if (!chr_ok(st) || !done) return st;
    if (!buf_append_slice(room, slice_from(payload, done))) return chr_nomem();
    *plain = buf_slice(room);
    return CHR_OK;
}
