/* A whole table file of any bytes: opened, checked, walked both ways, asked for keys. The first byte says whether
 * the checksums are made right first, so that what lies behind them is reached too.
 *
 * Beside crashes it looks for this: a table that table_verify finds nothing wrong with gives the same answers forwards,
 * backwards and to gets. */
#include "base/hash.h"
#include "engine/table_format.h"
#include "tests/unit/memfile.h"

#include <stdlib.h>

enum { FILE_NO = 7, STEPS_MAX = 5000 };

#define REQUIRE(x)                                                                                                     \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

static void seal(char *file, uint64_t offset, uint64_t len)
{
    put_u32(file + offset + len + 1,
            checksum32(chr_bytes(file + offset, (size_t)len + 1), table_seed(FILE_NO, offset)));
}

/* Makes the checksums of footer and sections right, as far as the footer makes sense. */
static void seal_sections(char *file, size_t size)
{
    if (size < TABLE_FOOTER_BYTES) return;
    size_t end = size - TABLE_FOOTER_BYTES;
    char  *footer = file + end;
    put_u64(footer + FOOTER_FILE_NO, FILE_NO);
    uint32_t format = get_u32(footer + FOOTER_FORMAT);
    if (format < TABLE_FORMAT || format > TABLE_FORMAT_KEPT) put_u32(footer + FOOTER_FORMAT, TABLE_FORMAT);
    put_u64(footer + FOOTER_MAGIC, TABLE_MAGIC);
    put_u32(footer + FOOTER_CHECKSUM, checksum32(chr_bytes(footer, FOOTER_CHECKSUM), table_seed(FILE_NO, end)));
    uint64_t at = get_u64(footer + FOOTER_SECTIONS_AT);
    for (size_t i = 0; i < SECTIONS; i++) {
        uint64_t len = get_u64(footer + FOOTER_LENGTHS + 8 * i);
        if (at > end || len > end - at || end - at - len < TABLE_TRAILER_BYTES) return;
        seal(file, at, len);
        at += len + TABLE_TRAILER_BYTES;
    }
}

static void seal_blocks(char *file, const table *t)
{
    for (size_t i = 0; i < t->index.n; i++)
        seal(file, t->index.block_at[i], t->index.block_at[i + 1] - t->index.block_at[i] - TABLE_TRAILER_BYTES);
}

static void get(table *t, cache *c, slice key, uint64_t seq, const entry *expected)
{
    entry         found;
    cache_handle *pin;
    chr_status    st = table_get(t, key, hash64(key), seq, &found, &pin);
    if (expected)
        REQUIRE(st == CHR_OK && found.trailer == expected->trailer && slice_equal(found.value, expected->value));
    if (st == CHR_OK) cache_release(c, pin);
}

static void walk(table *t, cache *c, bool sound)
{
    iter *there = table_iter_new(t, TABLE_CACHED), *back = table_iter_new(t, TABLE_SEQUENTIAL);
    REQUIRE(there && back);
    int steps = 0;
    for (iter_first(there); there->valid && steps < STEPS_MAX; iter_next(there), steps++) {
        get(t, c, there->at.key, trailer_seq(there->at.trailer), sound ? &there->at : NULL);
        if (steps % 16) continue;
        iter_seek_back(back, there->at.key, there->at.trailer);
        if (sound)
            REQUIRE(back->valid &&
                    entry_compare(back->at.key, back->at.trailer, there->at.key, there->at.trailer) == 0);
        if (back->valid) iter_prev(back);
        if (back->valid) iter_next(back);
        if (sound && steps > 0)
            REQUIRE(back->valid &&
                    entry_compare(back->at.key, back->at.trailer, there->at.key, there->at.trailer) == 0);
        iter_seek(back, there->at.key, seek_trailer(0));
    }
    bool whole = !there->valid;
    if (sound) REQUIRE(there->status == CHR_OK);
    for (iter_last(back); back->valid && (whole ? steps > 0 : steps-- > 0); iter_prev(back)) steps -= whole;
    if (sound && whole) REQUIRE(steps == 0 && !back->valid && back->status == CHR_OK);
    get(t, c, chr_bytes("", 0), SEQ_MAX, NULL);
    get(t, c, chr_str("user:000000000042"), 0, NULL);
    iter_free(there);
    iter_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1) return 0;
    memfile file;
    cache  *c = cache_new(64 << 10);
    table  *t;
    memfile_init(&file, "fuzz.table");
    REQUIRE(c && buf_append(&file.bytes, bytes + 1, size - 1));
    if (bytes[0]) seal_sections(file.bytes.data, file.bytes.len);
    chr_status st = table_open(&file.base, FILE_NO, c, &t);
    if (st == CHR_OK) {
        if (bytes[0]) seal_blocks(file.bytes.data, t);
        walk(t, c, table_verify(t, NULL, NULL) == CHR_OK);
        (void)table_memory(t);
        table_free(t);
    } else {
        REQUIRE(st == CHR_CORRUPT || st == CHR_NO_MEMORY);
    }
    cache_free(c);
    memfile_free(&file);
    return 0;
}
