/* A whole blob file of any bytes: opened, checked, its values read. The first byte says whether the checksums are made right first, so
 * that what lies behind them is reached too.
 *
 * The same for a log segment that has become a blob file (first byte 2: with checksums made right).
 *
 * Beside crashes it looks for this: in a file that blob_verify finds nothing wrong with, each record can be read, and a reference to
 * anything else is refused. */
#include "base/hash.h"
#include "engine/blob.h"
#include "engine/names.h"
#include "engine/table_format.h"
#include "engine/wal_format.h"
#include "env/sim.h"

#include <stdlib.h>

#define DIR "/fuzz"
enum { FILE_NO = 9, VALUES_MAX = 2000 };

#define REQUIRE(x)                                                                                                     \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void seal(char *file, size_t size)
{
    if (size < BLOB_HEADER_BYTES + BLOB_FOOTER_BYTES) return;
    size_t end = size - BLOB_FOOTER_BYTES, at = BLOB_HEADER_BYTES;
    char  *footer = file + end;
    put_u64(file, BLOB_MAGIC);
    put_u32(file + 8, BLOB_FORMAT);
    put_u32(file + 12, 0);
    put_u64(file + 16, FILE_NO);
    put_u64(file + 24, hash64(chr_bytes(file, 24)));
    uint64_t values = 0;
    while (end - at >= blob_stored_bytes(0) && blob_stored_bytes(get_u32(file + at)) <= end - at) {
        size_t sealed = BLOB_LENGTH_BYTES + get_u32(file + at) + 1;
        put_u32(file + at + sealed, checksum32(chr_bytes(file + at, sealed), table_seed(FILE_NO, at)));
        at += sealed + 4;
        values++;
    }
    put_u64(footer, values);
    put_u64(footer + 8, end);
    put_u64(footer + 16, FILE_NO);
    put_u32(footer + 24, BLOB_FORMAT);
    put_u32(footer + 28, checksum32(chr_bytes(footer, 28), table_seed(FILE_NO, end)));
    put_u64(footer + 32, BLOB_MAGIC);
}

static void seal_log(char *file, size_t size)
{
    if (size < WAL_HEADER_BYTES) return;
    wal_header_encode((uint8_t *)file, &(wal_header){ FILE_NO, 0, 1 });
    for (size_t at = WAL_HEADER_BYTES; size - at >= WAL_RECORD_BYTES;) {
        size_t bytes = wal_record_size(get_u32(file + at + 4));
        if (bytes > size - at) return;
        put_u32(file + at, checksum32(chr_bytes(file + at + 4, bytes - 4), 1 + at));
        at += bytes;
    }
}

static bool can_read(blob_file *f, blob_at at)
{
    cache_handle   *pin;
    buf             room = { 0 };
    slice           stored;
    chr_compression codec;
    chr_status      st = blob_read(f, at, &pin);
    REQUIRE(st == CHR_OK || st == CHR_CORRUPT || st == CHR_NO_MEMORY);
    if (st == CHR_OK) {
        REQUIRE(blob_value(pin).len <= ENGINE_VALUE_MAX);
        cache_release(f->cache, pin);
        REQUIRE(blob_read_stored(f, at, &room, &stored, &codec) == CHR_OK && stored.len == at.len);
    }
    chr_buf_free(&room);
    return st == CHR_OK;
}

static void read_values(blob_file *f, const char *file, size_t size, bool sound)
{
    size_t end = size - BLOB_FOOTER_BYTES, at = BLOB_HEADER_BYTES;
    for (int n = 0; n < VALUES_MAX && end - at >= blob_stored_bytes(0); n++) {
        blob_at ref = { .file_no = FILE_NO, .offset = at, .len = get_u32(file + at) };
        bool    good = can_read(f, ref);
        if (sound) REQUIRE(good);
        if (blob_stored_bytes(ref.len) > end - at) return;
        at += blob_stored_bytes(ref.len);
        ref.offset++;
        (void)can_read(f, ref);
        ref.offset--;
        ref.len++;
        if (sound) REQUIRE(!can_read(f, ref));
    }
}

/* A reference to anything in it, with the right checksum and with a wrong one. */
static void read_logged(blob_file *f, const char *file, size_t size, bool sound)
{
    uint64_t from = WAL_HEADER_BYTES + WAL_RECORD_BYTES;
    uint64_t len = size > from ? (size - from) / 2 : 0;
    if (len > ENGINE_VALUE_MAX) len = ENGINE_VALUE_MAX;
    blob_at ref = { .file_no = FILE_NO, .offset = from, .len = len, .logged = true };
    if (size >= from) ref.checksum = checksum32(chr_bytes(file + from, len), table_seed(FILE_NO, from));
    REQUIRE(can_read(f, ref) == (size >= from));
    (void)blob_verify(f, &ref, 1, NULL, NULL);
    ref.checksum++;
    REQUIRE(!can_read(f, ref));
    if (sound) REQUIRE(blob_verify(f, &ref, 1, NULL, NULL) == CHR_CORRUPT);
    ref.logged = false;
    REQUIRE(!can_read(f, ref));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1) return 0;
    env       *e = env_sim_new(1);
    cache     *c = cache_new(0);
    file_path  path = path_of(DIR, FILE_BLOB, FILE_NO);
    buf        all = { 0 };
    env_file  *file;
    blob_file *f;
    REQUIRE(e && c && buf_append(&all, bytes + 1, size - 1) && env_mkdir(e, DIR) == CHR_OK);
    if (bytes[0] == 2)
        seal_log(all.data, all.len);
    else if (bytes[0])
        seal(all.data, all.len);
    REQUIRE(env_open(e, path.text, ENV_CREATE, &file) == CHR_OK);
    REQUIRE(env_pwrite(file, all.data, all.len, 0) == CHR_OK);
    env_close(file);
    chr_status st = blob_file_open(e, DIR, FILE_NO, c, &f);
    if (st == CHR_OK) {
        bool sound = blob_verify(f, NULL, 0, NULL, NULL) == CHR_OK;
        if (f->logged)
            read_logged(f, all.data, all.len, sound);
        else
            read_values(f, all.data, all.len, sound);
        blob_file_drop(f);
    } else {
        REQUIRE(st == CHR_CORRUPT || st == CHR_NO_MEMORY);
    }
    chr_buf_free(&all);
    cache_free(c);
    env_sim_free(e);
    return 0;
}
