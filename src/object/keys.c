#include "object/keys.h"

#include <stdlib.h>

chr_status key_check(slice key)
{
    if (key.len <= CHR_KEY_MAX) return CHR_OK;
    return chr_fail(CHR_TOO_BIG, "the key has %zu bytes; at most %u are allowed", key.len, CHR_KEY_MAX);
}

chr_status value_check(slice value)
{
    if (value.len <= (size_t)CHR_VALUE_MAX) return CHR_OK;
    return chr_fail(CHR_TOO_BIG, "the value has %zu bytes; at most %u are allowed", value.len, CHR_VALUE_MAX);
}

static chr_status join(engine_key *k, slice prefix, slice key)
{
    size_t len = prefix.len + key.len;
    char  *to = k->space;
    k->heap = NULL;
    if (len > sizeof k->space) {
        to = k->heap = malloc(len);
        if (!to) return chr_nomem();
    }
    memcpy(to, prefix.data, prefix.len);
    if (key.len) memcpy(to + prefix.len, key.data, key.len);
    k->bytes = chr_bytes(to, len);
    return CHR_OK;
}

chr_status engine_key_in(engine_key *k, key_space space, slice key) { return join(k, space_start(space), key); }

chr_status engine_position_of(engine_key *k, object_space space, slice key)
{
    if (space == OBJECT_DIR) return engine_key_in(k, SPACE_DIRS, key);
    if (key.len && (uint8_t)key.data[0] == 0xff) return join(k, chr_str("\xff"), key);
    k->heap = NULL;
    k->bytes = key;
    return CHR_OK;
}

chr_status engine_key_of(engine_key *k, object_space space, slice key)
{
    chr_status st = key_check(key);
    return chr_ok(st) ? engine_position_of(k, space, key) : st;
}

void engine_key_free_heap(engine_key *k)
{
    free(k->heap);
    k->heap = NULL;
}

slice chunk_key(char to[static CHUNK_KEY_BYTES], uint64_t id, uint32_t index)
{
    uint32_t big_endian = __builtin_bswap32(index);
    memcpy(to, space_start(SPACE_CHUNKS).data, 2);
    put_be64(to + 2, id);
    put_u32(to + 10, big_endian);
    return chr_bytes(to, CHUNK_KEY_BYTES);
}

uint32_t chunk_index(slice key)
{
    uint32_t big_endian;
    assert(key.len == CHUNK_KEY_BYTES);
    memcpy(&big_endian, key.data + 10, sizeof big_endian);
    return __builtin_bswap32(big_endian);
}

slice pending_key(char to[static PENDING_KEY_BYTES], uint64_t id)
{
    memcpy(to, space_start(SPACE_PENDING).data, 2);
    put_be64(to + 2, id);
    return chr_bytes(to, PENDING_KEY_BYTES);
}

slice space_start(key_space space)
{
    static const char starts[SPACE_END + 1][2] = {
        "\xff\x00", "\xff\x01", "\xff\x02", "\xff\x03", "\xff\x04", "\xff\x05", "\xff\x06", "\xff\x07", "\xff\x08",
        "\xff\x09", "\xff\x0a", "\xff\x0b", "\xff\x0c", "\xff\x0d", "\xff\x0e", "\xff\x0f", "\xff\x10",
    };
    return chr_bytes(starts[space], 2);
}
