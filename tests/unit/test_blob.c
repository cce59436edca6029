/* Blob files: written, read, and with every byte changed; and a store that keeps its big values in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/db_impl.h"
#include "engine/names.h"
#include "env/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define DIR "/store"
enum { FILE_NO = 9, VALUES = 40 };

/* ---- the file ---- */

/* Every third does not shrink by packing; one is empty. */
static size_t value_of(uint32_t i, char to[static 4096])
{
    size_t   len = i == 7 ? 0 : 30 + i * 97 % 900;
    uint32_t noise = i;
    for (size_t k = 0; k < len; k++) {
        noise = noise * 1664525 + 1013904223;
        to[k] = i % 3 ? (char)('a' + (k / 9 + i) % 26) : (char)(noise >> 24);
    }
    return len;
}

static env *write_file(chr_compression compression, blob_at at[VALUES])
{
    env         *e = env_sim_new(1);
    env_file    *file;
    blob_writer *w;
    char         value[4096];
    assert_non_null(e);
    assert_int_equal(env_mkdir(e, DIR), CHR_OK);
    file_path path = path_of(DIR, FILE_BLOB, FILE_NO);
    assert_int_equal(env_open(e, path.text, ENV_CREATE, &file), CHR_OK);
    assert_int_equal(blob_writer_new(file, FILE_NO, compression, &w), CHR_OK);
    for (uint32_t i = 0; i < VALUES; i++)
        assert_int_equal(blob_writer_add(w, chr_bytes(value, value_of(i, value)), &at[i]), CHR_OK);
    assert_int_equal(blob_writer_finish(w), CHR_OK);
    assert_int_equal(env_sync(file), CHR_OK);
    blob_writer_free(w);
    env_close(file);
    return e;
}

static bool reads_right(const blob_file *f, blob_at at, uint32_t i)
{
    char          value[4096];
    cache_handle *pin;
    chr_status    st = blob_read(f, at, &pin);
    if (st != CHR_OK) {
        assert_int_equal(st, CHR_CORRUPT);
        assert_non_null(strstr(chr_message(), "000009.blob at offset "));
        return false;
    }
    assert_true(slice_equal(blob_value(pin), chr_bytes(value, value_of(i, value))));
    cache_release(f->cache, pin);
    return true;
}

static void values_come_back_with_every_codec(void **state)
{
    (void)state;
    for (chr_compression codec = CHR_COMPRESS_NONE; codec <= CHR_COMPRESS_ZSTD; codec++) {
        blob_at    at[VALUES];
        env       *e = write_file(codec, at);
        cache     *c = cache_new(codec ? 1 << 20 : 0);
        blob_file *f;
        assert_int_equal(blob_file_open(e, DIR, FILE_NO, c, &f), CHR_OK);
        assert_int_equal(f->values, VALUES);
        for (int twice = 0; twice < 2; twice++)
            for (uint32_t i = 0; i < VALUES; i++) assert_true(reads_right(f, at[i], i));
        if (codec) assert_int_equal(cache_get_stats(c).hits, VALUES);
        assert_int_equal(blob_verify(f, at, VALUES, NULL, NULL), CHR_OK);
        blob_file_drop(f);
        cache_free(c);
        env_sim_free(e);
    }
}

static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    blob_at   at[VALUES];
    env      *e = write_file(CHR_COMPRESS_LZ4, at);
    cache    *c = cache_new(0);
    file_path path = path_of(DIR, FILE_BLOB, FILE_NO);
    buf       all = { 0 };
    assert_int_equal(env_read_file(e, path.text, &all), CHR_OK);
    for (uint64_t offset = 0; offset < all.len; offset++) {
        blob_file *f;
        assert_int_equal(env_sim_flip(e, path.text, offset, (uint8_t)(1u << offset % 8)), CHR_OK);
        chr_status st = blob_file_open(e, DIR, FILE_NO, c, &f);
        bool       outside = offset < BLOB_HEADER_BYTES || offset >= all.len - BLOB_FOOTER_BYTES;
        assert_int_equal(st, outside ? CHR_CORRUPT : CHR_OK);
        if (st == CHR_OK) {
            assert_int_equal(blob_verify(f, NULL, 0, NULL, NULL), CHR_CORRUPT);
            uint32_t wrong = 0;
            for (uint32_t i = 0; i < VALUES; i++) wrong += !reads_right(f, at[i], i);
            assert_int_equal(wrong, 1);
            blob_file_drop(f);
        }
        assert_int_equal(env_sim_flip(e, path.text, offset, (uint8_t)(1u << offset % 8)), CHR_OK);
    }
    chr_buf_free(&all);
    cache_free(c);
    env_sim_free(e);
}

static void a_reference_to_what_is_no_value_is_noticed(void **state)
{
    (void)state;
    blob_at    at[VALUES], wrong;
    env       *e = write_file(CHR_COMPRESS_NONE, at);
    cache     *c = cache_new(0);
    blob_file *f;
    assert_int_equal(blob_file_open(e, DIR, FILE_NO, c, &f), CHR_OK);
    for (int kind = 0; kind < 6; kind++) {
        wrong = at[3];
        switch (kind) {
        case 0: wrong.offset++; break;
        case 1: wrong.len--; break;
        case 2: wrong.len = ENGINE_VALUE_MAX; break;
        case 3: wrong.offset = f->file_bytes; break;
        case 4: wrong.offset = BLOB_HEADER_BYTES - 1; break;
        default: wrong.offset = UINT64_MAX - 3; break;
        }
        assert_false(reads_right(f, wrong, 3));
        assert_int_equal(blob_verify(f, &wrong, 1, NULL, NULL), CHR_CORRUPT);
    }
    blob_at twice[2] = { at[3], at[3] };
    assert_int_equal(blob_verify(f, twice, 2, NULL, NULL), CHR_CORRUPT);
    blob_file_drop(f);
    cache_free(c);
    env_sim_free(e);
}

/* ---- the store ---- */

enum { KEYS = 64, BIG = 3000, THRESHOLD = 1000 };

/* The store's tests are run with log segments that become blob files, and with values that are copied to new ones. */
static unsigned        keep_share;
static chr_compression packing;
enum { ALWAYS = 1, NEVER = 1001 };
static int keeping(void **state)
{
    (void)state;
    keep_share = ALWAYS;
    packing = CHR_COMPRESS_NONE;
    return 0;
}
static int keeping_packed(void **state)
{
    (void)state;
    keep_share = ALWAYS;
    packing = CHR_COMPRESS_LZ4;
    return 0;
}
static int copying(void **state)
{
    (void)state;
    keep_share = NEVER;
    packing = CHR_COMPRESS_NONE;
    return 0;
}

static db_options options_of(env *e)
{
    db_options o = { .env = e, .dir = DIR, .chr = chr_options_default(), .inline_work = true };
    o.chr.memtable_bytes = 32 << 10;
    o.chr.compression = o.chr.bottom_compression = packing;
    o.chr.blob_bytes = THRESHOLD;
    o.chr.sync = CHR_SYNC_NONE;
    o.l1_bytes = 64 << 10;
    o.keep_share = keep_share;
    return o;
}

static db *open_db(env *e)
{
    db_options o = options_of(e);
    db        *d;
    if (db_open(&o, &d) != CHR_OK) fail_msg("cannot open: %s", chr_message());
    return d;
}

static void fill(char value[BIG], uint32_t key, uint32_t turn)
{
    for (uint32_t i = 0; i < BIG; i++) value[i] = (char)(key * 31 + turn * 7 + i);
}

static void put(db *d, uint32_t key, uint32_t turn)
{
    char  name[16], value[BIG];
    batch b = { 0 };
    fill(value, key, turn);
    snprintf(name, sizeof name, "key%04u", key);
    assert_int_equal(batch_put(&b, chr_str(name), chr_bytes(value, BIG)), CHR_OK);
    if (db_apply(d, &b, NULL) != CHR_OK) fail_msg("cannot put: %s", chr_message());
    batch_free(&b);
}

static void copy_value(void *arg, slice value) { assert_true(buf_set(arg, value)); }

static chr_status get(db *d, const db_snapshot *s, uint32_t key, buf *value)
{
    char name[16];
    snprintf(name, sizeof name, "key%04u", key);
    return db_get(d, s, chr_str(name), copy_value, value, NULL);
}

static void assert_version(db *d, const db_snapshot *s, uint32_t key, uint32_t turn)
{
    char expected[BIG];
    buf  value = { 0 };
    fill(expected, key, turn);
    if (get(d, s, key, &value) != CHR_OK) fail_msg("key %u: %s", key, chr_message());
    assert_true(slice_equal(buf_slice(&value), chr_bytes(expected, BIG)));
    chr_buf_free(&value);
}

typedef struct files {
    uint32_t count;
    uint64_t bytes;
} files;
typedef struct seen {
    env  *e;
    files blobs;
} seen;
static chr_status see(void *arg, const char *name)
{
    seen    *s = arg;
    uint64_t no;
    buf      contents = { 0 };
    if (name_parse(name, &no) != FILE_BLOB) return CHR_OK;
    file_path path = path_in(DIR, name);
    assert_int_equal(env_read_file(s->e, path.text, &contents), CHR_OK);
    s->blobs.count++;
    s->blobs.bytes += contents.len;
    chr_buf_free(&contents);
    return CHR_OK;
}
static files blobs_on_disk(env *e)
{
    seen s = { .e = e };
    assert_int_equal(env_list(e, DIR, see, &s), CHR_OK);
    return s.blobs;
}

static void print_problem(void *arg, const char *sentence)
{
    (void)arg;
    print_message("%s\n", sentence);
}

static void overwriting_leaves_little_garbage_and_snapshots_what_they_show(void **state)
{
    (void)state;
    env         *e = env_sim_new(1);
    db          *d = open_db(e);
    db_snapshot *s = NULL;
    uint32_t     turn[KEYS] = { 0 }, old[KEYS] = { 0 }, r = 1;
    for (uint32_t i = 0; i < KEYS; i++) put(d, i, 0);
    for (uint32_t i = 0; i < 40 * KEYS; i++) {
        r = r * 1664525 + 1013904223;
        uint32_t key = (r >> 16) % KEYS;
        put(d, key, ++turn[key]);
        if (i == 10 * KEYS) {
            assert_int_equal(db_snapshot_new(d, &s), CHR_OK);
            memcpy(old, turn, sizeof old);
        }
        if (i == 20 * KEYS) {
            for (uint32_t k = 0; k < KEYS; k++) assert_version(d, s, k, old[k]);
            db_snapshot_free(d, s);
        }
    }
    chr_stats stats;
    assert_int_equal(db_flush(d), CHR_OK);
    db_get_stats(d, &stats);
    assert_true(stats.blob_files > 0 && stats.compactions > 0);
    /* What no longer counts but was in a memtable a moment ago is not known yet. */
    uint64_t live = (uint64_t)KEYS * BIG;
    assert_in_range(stats.blob_bytes, live, live + live * 3 / 10 + (64 << 10));
    epoch_collect(d->epoch);
    files on_disk = blobs_on_disk(e);
    assert_int_equal(on_disk.count, stats.blob_files);
    for (uint32_t i = 0; i < KEYS; i++) assert_version(d, NULL, i, turn[i]);
    assert_int_equal(db_scrub(d), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);
    assert_int_equal(db_check(e, DIR, print_problem, NULL), CHR_OK);
    d = open_db(e);
    for (uint32_t i = 0; i < KEYS; i++) assert_version(d, NULL, i, turn[i]);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

static void an_iterator_keeps_the_files_it_shows(void **state)
{
    (void)state;
    env     *e = env_sim_new(1);
    db      *d = open_db(e);
    db_iter *it;
    slice    value;
    char     expected[BIG];
    for (uint32_t i = 0; i < KEYS; i++) put(d, i, 0);
    assert_int_equal(db_flush(d), CHR_OK);
    assert_int_equal(db_iter_new(d, NULL, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it), CHR_OK);
    for (uint32_t round = 1; round < 5; round++)
        for (uint32_t i = 0; i < KEYS; i++) put(d, i, round);
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    uint32_t i = 0;
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it), i++) {
        fill(expected, i, 0);
        assert_int_equal(db_iter_value(it, &value), CHR_OK);
        assert_true(slice_equal(value, chr_bytes(expected, BIG)));
    }
    assert_int_equal(i, KEYS);
    for (db_iter_last(it); db_iter_valid(it); db_iter_prev(it)) {
        fill(expected, --i, 0);
        assert_int_equal(db_iter_value(it, &value), CHR_OK);
        assert_true(slice_equal(value, chr_bytes(expected, BIG)));
    }
    assert_int_equal(i, 0);
    uint32_t before = blobs_on_disk(e).count;
    db_iter_free(it);
    epoch_collect(d->epoch);
    assert_true(blobs_on_disk(e).count < before);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

static void nothing_is_left_of_what_is_deleted(void **state)
{
    (void)state;
    env  *e = env_sim_new(1);
    db   *d = open_db(e);
    batch b = { 0 };
    for (uint32_t i = 0; i < KEYS; i++) put(d, i, 0);
    assert_int_equal(db_flush(d), CHR_OK);
    assert_true(blobs_on_disk(e).count > 0);
    assert_int_equal(batch_delete_range(&b, chr_str("key"), chr_str("kez")), CHR_OK);
    assert_int_equal(db_apply(d, &b, NULL), CHR_OK);
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    epoch_collect(d->epoch);
    assert_int_equal(blobs_on_disk(e).count, 0);
    assert_int_equal(db_close(d), CHR_OK);
    batch_free(&b);
    env_sim_free(e);
}

static void a_store_is_read_with_any_threshold(void **state)
{
    (void)state;
    static const size_t thresholds[] = { 0, 1, BIG, BIG + 1, THRESHOLD };
    env                *e = env_sim_new(1);
    uint32_t            turn = 0;
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        db_options o = options_of(e);
        db        *d;
        o.chr.blob_bytes = thresholds[i];
        assert_int_equal(db_open(&o, &d), CHR_OK);
        for (uint32_t k = 0; turn && k < KEYS; k++) assert_version(d, NULL, k, turn - k % 2);
        turn++;
        for (uint32_t k = 0; k < KEYS; k++) put(d, k, turn);
        turn++;
        for (uint32_t k = 0; k < KEYS; k += 2) put(d, k, turn);
        for (uint32_t k = 0; k < KEYS; k++) assert_version(d, NULL, k, turn - k % 2);
        assert_int_equal(db_close(d), CHR_OK);
        assert_int_equal(db_check(e, DIR, print_problem, NULL), CHR_OK);
    }
    env_sim_free(e);
}

static void count_problem(void *arg, const char *sentence)
{
    (void)sentence;
    ++*(int *)arg;
}

/* Where in the file the value lies; packed, it begins with what it repeats from then on. */
static uint64_t place_of(env *e, const char *path, uint32_t key, uint32_t turn)
{
    char value[BIG];
    buf  all = { 0 };
    fill(value, key, turn);
    assert_int_equal(env_read_file(e, path, &all), CHR_OK);
    const char *at = memmem(all.data, all.len, value, packing == CHR_COMPRESS_NONE ? BIG : 250);
    assert_non_null(at);
    uint64_t offset = (uint64_t)(at - all.data);
    chr_buf_free(&all);
    return offset;
}

static void repair_keeps_what_can_be_read_and_tells_the_rest(void **state)
{
    (void)state;
    env      *e = env_sim_new(1);
    db       *d = open_db(e);
    int       problems = 0;
    buf       value = { 0 };
    chr_stats stats;
    for (uint32_t i = 0; i < 5; i++) put(d, i, 1);
    assert_int_equal(db_flush(d), CHR_OK);
    db_get_stats(d, &stats);
    assert_int_equal(stats.blob_files, 1);
    assert_int_equal(db_view_now(d)->version->blobs[0].file->logged, keep_share == ALWAYS);
    file_path path = path_of(DIR, FILE_BLOB, db_view_now(d)->version->blobs[0].file->file_no);
    assert_int_equal(db_close(d), CHR_OK);
    assert_int_equal(env_sim_flip(e, path.text, place_of(e, path.text, 2, 1) + 100, 0x10), CHR_OK);
    d = open_db(e);
    assert_int_equal(get(d, NULL, 2, &value), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), ".blob at offset "));
    assert_int_equal(db_scrub(d), CHR_CORRUPT);
    assert_int_equal(db_close(d), CHR_OK);
    assert_int_equal(db_check(e, DIR, count_problem, &problems), CHR_CORRUPT);
    assert_int_equal(problems, 1);
    problems = 0;
    assert_int_equal(db_repair(e, DIR, count_problem, &problems), CHR_OK);
    assert_int_equal(problems, 1);
    assert_int_equal(db_check(e, DIR, print_problem, NULL), CHR_OK);
    d = open_db(e);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2) assert_version(d, NULL, i, 1);
    assert_int_equal(get(d, NULL, 2, &value), CHR_NOT_FOUND);
    assert_int_equal(db_close(d), CHR_OK);
    chr_buf_free(&value);
    env_sim_free(e);
}

static void a_missing_file_is_damage(void **state)
{
    (void)state;
    env *e = env_sim_new(1);
    db  *d = open_db(e);
    int  problems = 0;
    put(d, 1, 1);
    assert_int_equal(db_flush(d), CHR_OK);
    file_path path = path_of(DIR, FILE_BLOB, db_view_now(d)->version->blobs[0].file->file_no);
    assert_int_equal(db_close(d), CHR_OK);
    assert_int_equal(env_unlink(e, path.text), CHR_OK);
    db_options o = options_of(e);
    assert_int_equal(db_open(&o, &d), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), path.text));
    assert_int_equal(db_check(e, DIR, count_problem, &problems), CHR_CORRUPT);
    assert_int_equal(problems, 1);
    env_sim_free(e);
}

/* ---- log segments that become blob files ---- */

static bool is_there(env *e, file_type type, uint64_t no)
{
    file_path path = path_of(DIR, type, no);
    env_file *file;
    if (env_open(e, path.text, ENV_READ, &file) != CHR_OK) return false;
    env_close(file);
    return true;
}

static const blob_file *only_file(db *d)
{
    const version *v = db_view_now(d)->version;
    assert_int_equal(v->n_blobs, 1);
    return v->blobs[0].file;
}

static void a_segment_of_big_values_stays_where_it_is(void **state)
{
    (void)state;
    env *e = env_sim_new(1);
    db  *d = open_db(e);
    for (uint32_t i = 0; i < 8; i++) put(d, i, 0);
    uint64_t no = wal_segment_no(d->wal);
    assert_int_equal(db_flush(d), CHR_OK);
    assert_int_equal(only_file(d)->file_no, no);
    assert_true(only_file(d)->logged);
    assert_false(is_there(e, FILE_LOG, no));
    /* Cut off behind the last value and the seal, and nothing of it was written again. */
    uint64_t least = packing == CHR_COMPRESS_NONE ? 8 * BIG : BIG / 4,
             most = packing == CHR_COMPRESS_NONE ? 8 * BIG : 6 * BIG;
    assert_in_range(only_file(d)->file_bytes, least, most + 4096 + 9 * 64);
    assert_in_range(d->counters.flush_bytes, 1, 8 * 200);
    for (int twice = 0; twice < 2; twice++) {
        for (uint32_t i = 0; i < 8; i++) assert_version(d, NULL, i, 0);
        assert_int_equal(db_scrub(d), CHR_OK);
        assert_int_equal(db_close(d), CHR_OK);
        assert_int_equal(db_check(e, DIR, print_problem, NULL), CHR_OK);
        d = open_db(e);
    }
    /* It goes like any other when it is not needed any more. */
    for (uint32_t i = 0; i < 8; i++) put(d, i, 1);
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    epoch_collect(d->epoch);
    assert_false(is_there(e, FILE_BLOB, no));
    for (uint32_t i = 0; i < 8; i++) assert_version(d, NULL, i, 1);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

static void a_segment_of_other_things_does_not(void **state)
{
    (void)state;
    enum { SMALL = 0, OVERWRITTEN, CASES };
    for (int what = 0; what < CASES; what++) {
        env       *e = env_sim_new(1);
        db_options o = options_of(e);
        db        *d;
        batch      b = { 0 };
        o.keep_share = 0; /* as in earnest */
        assert_int_equal(db_open(&o, &d), CHR_OK);
        for (uint32_t i = 0; i < 6; i++) put(d, i, 0);
        for (uint32_t i = 0; what == SMALL && i < 300; i++) {
            char name[16];
            snprintf(name, sizeof name, "small%04u", i);
            batch_clear(&b);
            assert_int_equal(batch_put(&b, chr_str(name), chr_str("something")), CHR_OK);
            assert_int_equal(db_apply(d, &b, NULL), CHR_OK);
        }
        if (what == OVERWRITTEN) put(d, 3, 0);
        assert_int_equal(db_flush(d), CHR_OK);
        assert_false(only_file(d)->logged);
        for (uint32_t i = 0; i < 6; i++) assert_version(d, NULL, i, 0);
        assert_int_equal(db_close(d), CHR_OK);
        batch_free(&b);
        env_sim_free(e);
    }
}

static void every_changed_byte_of_a_segment_is_noticed_or_harmless(void **state)
{
    (void)state;
    enum { UNCHECKED_FROM = 48 }; /* of the header page; to its end */
    env *e = env_sim_new(1);
    db  *d = open_db(e);
    buf  value = { 0 }, all = { 0 };
    char expected[BIG];
    for (uint32_t i = 0; i < 3; i++) put(d, i, 1);
    assert_int_equal(db_flush(d), CHR_OK);
    assert_true(only_file(d)->logged);
    file_path path = path_of(DIR, FILE_BLOB, only_file(d)->file_no);
    assert_int_equal(db_close(d), CHR_OK);
    assert_int_equal(env_read_file(e, path.text, &all), CHR_OK);
    for (uint64_t offset = 0; offset < all.len; offset++) {
        int problems = 0;
        if (offset > UNCHECKED_FROM && offset < 4096 && offset % 64) continue;
        assert_int_equal(env_sim_flip(e, path.text, offset, (uint8_t)(1u << offset % 8)), CHR_OK);
        bool       harmless = offset >= UNCHECKED_FROM && offset < 4096;
        chr_status st = db_check(e, DIR, count_problem, &problems);
        assert_int_equal(st, harmless ? CHR_OK : CHR_CORRUPT);
        db_options o = options_of(e);
        o.chr.cache_bytes = 0;
        o.chr.create_if_missing = false;
        if (offset % 16 == 0 && db_open(&o, &d) == CHR_OK) {
            for (uint32_t i = 0; i < 3; i++) {
                fill(expected, i, 1);
                if ((st = get(d, NULL, i, &value)) == CHR_OK)
                    assert_true(slice_equal(buf_slice(&value), chr_bytes(expected, BIG)));
                else
                    assert_int_equal(st, CHR_CORRUPT);
            }
            assert_int_equal(db_scrub(d), harmless ? CHR_OK : CHR_CORRUPT);
            assert_int_equal(db_close(d), CHR_OK);
        }
        assert_int_equal(env_sim_flip(e, path.text, offset, (uint8_t)(1u << offset % 8)), CHR_OK);
    }
    chr_buf_free(&value);
    chr_buf_free(&all);
    env_sim_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_with_every_codec),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(a_reference_to_what_is_no_value_is_noticed),
        cmocka_unit_test_setup(overwriting_leaves_little_garbage_and_snapshots_what_they_show, copying),
        cmocka_unit_test_setup(overwriting_leaves_little_garbage_and_snapshots_what_they_show, keeping),
        cmocka_unit_test_setup(an_iterator_keeps_the_files_it_shows, copying),
        cmocka_unit_test_setup(an_iterator_keeps_the_files_it_shows, keeping),
        cmocka_unit_test_setup(an_iterator_keeps_the_files_it_shows, keeping_packed),
        cmocka_unit_test_setup(nothing_is_left_of_what_is_deleted, copying),
        cmocka_unit_test_setup(nothing_is_left_of_what_is_deleted, keeping),
        cmocka_unit_test_setup(nothing_is_left_of_what_is_deleted, keeping_packed),
        cmocka_unit_test_setup(a_store_is_read_with_any_threshold, copying),
        cmocka_unit_test_setup(a_store_is_read_with_any_threshold, keeping),
        cmocka_unit_test_setup(a_store_is_read_with_any_threshold, keeping_packed),
        cmocka_unit_test_setup(repair_keeps_what_can_be_read_and_tells_the_rest, copying),
        cmocka_unit_test_setup(repair_keeps_what_can_be_read_and_tells_the_rest, keeping),
        cmocka_unit_test_setup(repair_keeps_what_can_be_read_and_tells_the_rest, keeping_packed),
        cmocka_unit_test_setup(a_missing_file_is_damage, copying),
        cmocka_unit_test_setup(a_missing_file_is_damage, keeping),
        cmocka_unit_test_setup(a_segment_of_big_values_stays_where_it_is, keeping),
        cmocka_unit_test_setup(a_segment_of_big_values_stays_where_it_is, keeping_packed),
        cmocka_unit_test_setup(a_segment_of_other_things_does_not, keeping),
        cmocka_unit_test_setup(every_changed_byte_of_a_segment_is_noticed_or_harmless, keeping),
        cmocka_unit_test_setup(every_changed_byte_of_a_segment_is_noticed_or_harmless, keeping_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
