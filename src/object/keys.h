/* Where things lie in the engine's one keyspace.
 *
 * A user's key K is the engine key K, or FF K if it begins with FF: the order stays the users'. What begins with FF
 * and a byte below SPACE_END is the object layer's own. Numbers in keys are big-endian, so that they sort. */
#ifndef CHR_OBJECT_KEYS_H
#define CHR_OBJECT_KEYS_H

#include "object/store.h"

typedef enum key_space {                 /* the byte after FF; on disk: do not renumber */
                         SPACE_META = 0, /* FF 00: u32 format, u64 first big id never given out */
                         SPACE_CHUNKS =
                             1, /* FF 01 id64 index32: bytes of a chunk, without trailing part if that is a hole */
                         SPACE_DIRS = 2,    /* FF 02 path: a record */
                         SPACE_BIG = 3,     /* FF 03 K: for each K with a value in chunks, u64 id, u64 expire_ms */
                         SPACE_PENDING = 4, /* FF 04 id64: chunks are being written that no record refers to yet */
                         SPACE_END = 16,
} key_space;

enum { CHUNK_KEY_BYTES = 2 + 8 + 4, PENDING_KEY_BYTES = 2 + 8, KEY_INLINE_BYTES = 512 };

/* An engine key. `bytes` may be the user's own memory, or in `space`, or in `heap`. */
typedef struct engine_key {
    slice bytes;
    char *heap;
    char  space[KEY_INLINE_BYTES];
} engine_key;

/* CHR_TOO_BIG if the key is over CHR_KEY_MAX. On success free it with engine_key_free. */
chr_status engine_key_of(engine_key *k, object_space space, slice key);
/* The same without the limit, for positions and bounds. */
chr_status engine_position_of(engine_key *k, object_space space, slice key);
chr_status engine_key_in(engine_key *k, key_space space, slice key);
/* CHR_TOO_BIG above CHR_KEY_MAX, CHR_VALUE_MAX. */
chr_status key_check(slice key);
chr_status value_check(slice value);

slice    chunk_key(char to[static CHUNK_KEY_BYTES], uint64_t id, uint32_t index);
uint32_t chunk_index(slice key); /* of a chunk_key */
slice    pending_key(char to[static PENDING_KEY_BYTES], uint64_t id);

/* FF and the byte of a space: its first key, and the end of the space before. */
slice              space_start(key_space space);
static inline bool key_is_in(slice engine, key_space space)
{
    return engine.len >= 2 && (uint8_t)engine.data[0] == 0xff && (uint8_t)engine.data[1] == (uint8_t)space;
}
static inline bool key_is_internal(slice engine)
{
    return engine.len >= 2 && (uint8_t)engine.data[0] == 0xff && (uint8_t)engine.data[1] < SPACE_END;
}
/* The user's key or path in an engine key that is not internal, or of SPACE_DIRS or SPACE_BIG. */
static inline slice key_of_engine(slice engine)
{
    if (key_is_internal(engine)) return slice_from(engine, 2);
    return engine.len && (uint8_t)engine.data[0] == 0xff ? slice_from(engine, 1) : engine;
}

void               engine_key_free_heap(engine_key *k);
static inline void engine_key_free(engine_key *k)
{
    if (k->heap) engine_key_free_heap(k);
}

#endif
