/* Keys and names of any bytes. A key has a path, and that path leads back to the key; a name that is understood is the one that its
 * bytes would be given. */
#include "fs/path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void key_to_path_and_back(slice key)
{
    buf    back = { 0 };
    bool   partial = false;
    size_t at = 0;
    for (;;) {
        char   name[NAME_BYTES_MAX + 1];
        size_t used;
        bool   piece, piece_again;
        place  here = { .prefix = buf_slice(&back), .partial = partial };
        if (!path_encode(here, slice_from(key, at), name, &used, &piece)) abort();
        if (strlen(name) == 0 || strlen(name) > NAME_BYTES_MAX || strchr(name, '/')) abort();
        if (!path_decode(here, name, &back, &piece_again) || piece != piece_again) abort();
        if (piece && used == 0) abort();
        at += used;
        partial = piece;
        if (piece) continue;
        if (at == key.len) break;
        if (key.data[at] != '/' || !buf_append_byte(&back, '/')) abort();
        at++;
    }
    if (!slice_equal(buf_slice(&back), key)) abort();
    chr_buf_free(&back);
}

static void name_and_back(place dir, const char *name)
{
    buf  raw = { 0 };
    bool piece;
    if (path_decode(dir, name, &raw, &piece) && !piece) {
        char   again[NAME_BYTES_MAX + 1];
        size_t used;
        bool   is_piece;
        if (memchr(raw.data ? raw.data : "", '/', raw.len)) abort();
        if (!path_encode(dir, buf_slice(&raw), again, &used, &is_piece) || strcmp(again, name) != 0) abort();
    }
    chr_buf_free(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    key_to_path_and_back(chr_bytes(size ? (const char *)data : "", size));
    char *name = calloc(1, size + 1);
    if (!name) return 0;
    if (size) memcpy(name, data, size);
    if (!strchr(name, '/')) {
        name_and_back((place){ .prefix = chr_bytes("", 0) }, name);
        name_and_back((place){ .prefix = chr_str("dir/") }, name);
        name_and_back((place){ .prefix = chr_str("dir/piece"), .partial = true }, name);
    }
    free(name);
    return 0;
}
