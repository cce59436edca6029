#include "engine/batch.h"

void batch_free(batch *b)
{
    chr_buf_free(&b->payload);
    b->count = 0;
}

void batch_clear(batch *b)
{
    b->payload.len = 0;
    b->count = 0;
}

static chr_status add(batch *b, entry_kind kind, slice key, slice head, slice body)
{
    size_t value_len = head.len + body.len;
    if (key.len > ENGINE_KEY_MAX)
        return chr_fail(CHR_TOO_BIG, "the key has %zu bytes; at most %u are allowed", key.len, ENGINE_KEY_MAX);
    if (value_len > ENGINE_VALUE_MAX)
        return chr_fail(CHR_TOO_BIG, "the value has %zu bytes; at most %u are allowed", value_len, ENGINE_VALUE_MAX);
    size_t need = 1 + 2 * VARINT32_MAX + key.len + value_len;
    if (b->payload.len + need > BATCH_BYTES_MAX)
        return chr_fail(CHR_TOO_BIG, "a batch holds at most %u bytes", BATCH_BYTES_MAX);
    if (!buf_reserve(&b->payload, need)) return chr_nomem();

    buf_append_byte(&b->payload, (uint8_t)kind);
    buf_append_sized(&b->payload, key);
    if (kind != KIND_DELETE) {
        buf_append_varint(&b->payload, value_len);
        buf_append_slice(&b->payload, head);
        buf_append_slice(&b->payload, body);
    }
    b->count++;
    return CHR_OK;
}

chr_status batch_put(batch *b, slice key, slice value) { return add(b, KIND_PUT, key, value, chr_bytes(NULL, 0)); }
chr_status batch_put2(batch *b, slice key, slice head, slice body) { return add(b, KIND_PUT, key, head, body); }
chr_status batch_delete(batch *b, slice key)
{
    return add(b, KIND_DELETE, key, chr_bytes(NULL, 0), chr_bytes(NULL, 0));
}
chr_status batch_delete_range(batch *b, slice start, slice end)
{
    if (slice_compare(start, end) >= 0) return CHR_OK;
    return add(b, KIND_DELETE_RANGE, start, end, chr_bytes(NULL, 0));
}

bool batch_next(reader *r, entry *write, chr_status *st)
{
    *st = CHR_OK;
    if (reader_left(r) == 0) return false;
    uint8_t kind = read_u8(r);
    slice   key = read_sized(r);
    slice   value = kind == KIND_DELETE ? chr_bytes(NULL, 0) : read_sized(r);
    bool    known = kind <= KIND_DELETE_RANGE || kind == KIND_PACKED;
    bool    good = !r->failed && known && key.len <= ENGINE_KEY_MAX && value.len <= ENGINE_VALUE_MAX &&
                (kind != KIND_DELETE_RANGE || slice_compare(key, value) < 0);
    if (!good) {
        *st = chr_fail(CHR_CORRUPT, "a batch holds a malformed write");
        return false;
    }
    *write = (entry){ key, trailer_of(0, (entry_kind)kind), value };
    return true;
}
