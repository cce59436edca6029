/* Tables: against a sorted array with every codec; damaged in every byte, cut short, swapped, and on failing disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/blob.h"
#include "engine/filter.h"
#include "engine/table_format.h"
#include "env/sim.h"
#include "tests/unit/entries.h"
#include "tests/unit/memfile.h"

#include <pthread.h>
#include <unistd.h>

#define PATH "/store/000007.table"
enum { FILE_NO = 7 };

static table_info write_table(env_file *file, const entries *e, const range_tombstone *ranges, size_t n_ranges,
                              table_options options)
{
    table_builder *b;
    table_info     info;
    assert_int_equal(table_builder_new(file, FILE_NO, &options, &b), CHR_OK);
    for (size_t i = 0; i < n_ranges; i++) assert_int_equal(table_builder_add_range(b, ranges[i]), CHR_OK);
    for (size_t i = 0; i < e->n; i++)
        assert_int_equal(table_builder_add(b, e->at[i].key, e->at[i].trailer, e->at[i].value), CHR_OK);
    assert_int_equal(table_builder_entries(b), e->n);
    assert_int_equal(table_builder_finish(b, &info), CHR_OK);
    table_builder_free(b);
    return info;
}

/* ---- against the model ---- */

static void assert_at(const iter *it, const entries *e, size_t i)
{
    if (i >= e->n) { /* n, and -1 */
        assert_false(it->valid);
        assert_int_equal(it->status, CHR_OK);
        return;
    }
    assert_true(it->valid);
    assert_true(entry_is(&it->at, &e->at[i]));
}

static void compare_walks(table *t, const entries *e, table_access access)
{
    iter  *it = table_iter_new(t, access);
    size_t i = 0;
    assert_non_null(it);
    assert_false(it->valid);
    for (iter_first(it); it->valid; iter_next(it)) assert_at(it, e, i++);
    assert_int_equal(it->status, CHR_OK);
    assert_int_equal(i, e->n);
    for (iter_last(it); it->valid; iter_prev(it)) assert_at(it, e, --i);
    assert_int_equal(it->status, CHR_OK);
    assert_int_equal(i, 0);
    iter_free(it);
}

/* What a get should find: the first entry at or after (key, seq), if it is one of `key`. */
static void compare_get(table *t, cache *c, const entries *e, slice key, uint64_t seq)
{
    entry         found;
    cache_handle *pin = NULL;
    size_t        i = entries_before(e, key, seek_trailer(seq));
    chr_status    st = table_get(t, key, hash64(key), seq, &found, &pin);
    if (i < e->n && slice_equal(e->at[i].key, key)) {
        assert_int_equal(st, CHR_OK);
        assert_true(entry_is(&found, &e->at[i]));
        cache_release(c, pin);
    } else {
        assert_int_equal(st, CHR_NOT_FOUND);
        assert_null(pin);
    }
}

static void compare_searches(rng *r, table *t, cache *c, const entries *e, key_style style, table_access access,
                             int rounds)
{
    iter *it = table_iter_new(t, access);
    buf   key = { 0 };
    assert_non_null(it);
    for (; rounds > 0; rounds--) {
        uint64_t seq = rng_below(r, 100000);
        random_key(r, style, &key);
        if (e->n && rng_below(r, 2)) {
            const entry *like = &e->at[rng_below(r, e->n)];
            buf_set(&key, like->key);
            if (rng_below(r, 2)) seq = trailer_seq(like->trailer);
        }
        slice    k = buf_slice(&key);
        uint64_t trailer = seek_trailer(seq);
        compare_get(t, c, e, k, seq);
        size_t i = entries_before(e, k, trailer);
        iter_seek_back(it, k, trailer);
        assert_at(it, e, i - 1);
        iter_seek(it, k, trailer);
        assert_at(it, e, i);
        for (int step = 0; step < 30 && it->valid; step++) {
            if (rng_below(r, 2)) {
                iter_next(it);
                i++;
            } else {
                iter_prev(it);
                i--;
            }
            assert_at(it, e, i);
        }
        if (it->valid) {
            iter_seek_back(it, it->at.key, it->at.trailer);
            assert_at(it, e, i);
        }
    }
    iter_free(it);
    chr_buf_free(&key);
}

static void compare_info(const table_info *said, const table_info *info, const entries *e)
{
    uint64_t deletes = 0, raw = 0, min_seq = UINT64_MAX, max_seq = 0;
    for (size_t i = 0; i < e->n; i++) {
        uint64_t seq = trailer_seq(e->at[i].trailer);
        deletes += trailer_kind(e->at[i].trailer) == KIND_DELETE;
        raw += e->at[i].key.len + e->at[i].value.len;
        if (seq < min_seq) min_seq = seq;
        if (seq > max_seq) max_seq = seq;
    }
    assert_int_equal(said->file_no, FILE_NO);
    assert_int_equal(said->entries, e->n);
    assert_int_equal(said->deletes, deletes);
    assert_int_equal(said->raw_bytes, raw);
    assert_int_equal(said->min_seq, e->n ? min_seq : 0);
    assert_int_equal(said->max_seq, max_seq);
    assert_false(said->largest_exclusive);
    if (e->n) {
        assert_true(slice_equal(buf_slice(&said->smallest), e->at[0].key));
        assert_true(slice_equal(buf_slice(&said->largest), e->at[e->n - 1].key));
    }
    assert_int_equal(info->file_bytes, said->file_bytes);
    assert_int_equal(info->entries, said->entries);
    assert_int_equal(info->deletes, said->deletes);
    assert_int_equal(info->raw_bytes, said->raw_bytes);
    assert_int_equal(info->min_seq, said->min_seq);
    assert_int_equal(info->max_seq, said->max_seq);
    assert_true(slice_equal(buf_slice(&info->smallest), buf_slice(&said->smallest)));
    assert_true(slice_equal(buf_slice(&info->largest), buf_slice(&said->largest)));
    assert_int_equal(info->largest_exclusive, said->largest_exclusive);
}

static void a_table_gives_back_what_was_put_in_with_every_codec(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (int round = 0; round < 120; round++) {
        static const size_t sizes[] = { 0, 1, 7, 60, 400, 1500 };
        key_style           style = (key_style)(round % KEY_STYLES);
        size_t              n = sizes[rng_below(&r, 6)];
        table_options       options = { 64 + rng_below(&r, 3000), (uint32_t)rng_below(&r, 3) * 7,
                                        (chr_compression)(round / 4 % 3) };
        entries             e = random_entries(&r, style, style == KEYS_HUGE ? n / 20 : n, 1 + rng_below(&r, 30),
                                   rng_below(&r, 4) ? 300 : 40000);
        memfile             file;
        cache              *c = cache_new(rng_below(&r, 2) ? 20000 : 4 << 20);
        table              *t;
        memfile_init(&file, PATH);
        table_info said = write_table(&file.base, &e, NULL, 0, options);
        assert_int_equal(said.file_bytes, file.bytes.len);
        assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
        assert_string_equal(table_path(t), PATH);
        assert_true(table_memory(t) > 0);
        compare_info(&said, table_get_info(t), &e);
        compare_walks(t, &e, TABLE_CACHED);
        compare_walks(t, &e, TABLE_SEQUENTIAL);
        compare_searches(&r, t, c, &e, style, TABLE_CACHED, 60);
        compare_searches(&r, t, c, &e, style, TABLE_SEQUENTIAL, 20);
        assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
        table_free(t);
        assert_int_equal(file.closed, 1);
        table_info_free(&said);
        memfile_free(&file);
        cache_free(c);
        entries_free(&e);
    }
}

static void one_key_with_more_versions_than_a_block_holds_is_read_at_every_seq(void **state)
{
    (void)state;
    enum { VERSIONS = 500 };
    entries e = { calloc(VERSIONS + 2, sizeof(entry)), 0 };
    e.at[e.n++] = (entry){ copy_of(chr_str("key")), trailer_of(9, KIND_PUT), copy_of(chr_str("before")) };
    for (uint64_t seq = 2 * (uint64_t)VERSIONS; seq > 0; seq -= 2)
        e.at[e.n++] = (entry){ copy_of(chr_str("keys")), trailer_of(seq, seq % 3 ? KIND_PUT : KIND_DELETE),
                               copy_of(chr_str(seq % 3 ? "a value of some length" : "")) };
    e.at[e.n++] = (entry){ copy_of(chr_str("keysa")), trailer_of(9, KIND_PUT), copy_of(chr_str("after")) };
    memfile file;
    cache  *c = cache_new(1 << 20);
    table  *t;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 200, 10, CHR_COMPRESS_NONE });
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    for (uint64_t seq = 0; seq <= 2 * (uint64_t)VERSIONS + 2; seq++) {
        compare_get(t, c, &e, chr_str("keys"), seq);
        compare_get(t, c, &e, chr_str("key"), seq);
        compare_get(t, c, &e, chr_str("keysa"), seq);
        compare_get(t, c, &e, chr_str("keys0"), seq);
    }
    compare_walks(t, &e, TABLE_CACHED);
    assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
    entries_free(&e);
}

static void the_longest_keys_and_values_go_through_every_codec(void **state)
{
    (void)state;
    char *bytes = malloc(ENGINE_VALUE_MAX);
    assert_non_null(bytes);
    rng r = { 1 };
    for (size_t i = 0; i < ENGINE_VALUE_MAX; i++) bytes[i] = (char)(i < ENGINE_VALUE_MAX / 2 ? 'z' : rng_next(&r));
    slice   longest = chr_bytes(bytes, ENGINE_KEY_MAX), value = chr_bytes(bytes, ENGINE_VALUE_MAX);
    entry   at[] = { { chr_bytes("", 0), trailer_of(SEQ_MAX, KIND_PUT), value },
                     { chr_bytes("", 0), trailer_of(1, KIND_DELETE), chr_bytes("", 0) },
                     { chr_str("k"), trailer_of(2, KIND_PUT), chr_bytes("", 0) },
                     { chr_bytes(bytes, ENGINE_KEY_MAX - 1), trailer_of(3, KIND_PUT), value },
                     { longest, trailer_of(5, KIND_PUT), value },
                     { longest, trailer_of(4, KIND_PUT), value },
                     { longest, trailer_of(0, KIND_PUT), value } };
    entries e = { at, 7 };
    for (int codec = CHR_COMPRESS_NONE; codec <= CHR_COMPRESS_ZSTD; codec++) {
        memfile file;
        cache  *c = cache_new(1 << 20);
        table  *t;
        memfile_init(&file, PATH);
        table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 8192, 10, (chr_compression)codec });
        assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
        compare_walks(t, &e, TABLE_CACHED);
        compare_walks(t, &e, TABLE_SEQUENTIAL);
        for (size_t i = 0; i < e.n; i++) compare_get(t, c, &e, at[i].key, trailer_seq(at[i].trailer));
        compare_get(t, c, &e, longest, SEQ_MAX);
        assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
        table_free(t);
        table_info_free(&said);
        memfile_free(&file);
        cache_free(c);
    }
    free(bytes);
}

static void range_tombstones_come_back_and_widen_the_bounds(void **state)
{
    (void)state;
    entry           at[] = { { chr_str("d"), trailer_of(5, KIND_PUT), chr_str("x") },
                             { chr_str("m"), trailer_of(6, KIND_PUT), chr_str("y") } };
    entries         e = { at, 2 };
    range_tombstone ranges[] = { { chr_str("e"), chr_str("z"), 9 },
                                 { chr_str("a"), chr_str("f"), 3 },
                                 { chr_str(""), chr_str("b"), 20 } };
    struct {
        size_t      entries, first, n;
        const char *smallest, *largest;
        bool        exclusive;
        uint64_t    min_seq, max_seq;
    } cases[] = {
        { 2, 0, 3, "", "z", true, 3, 20 },
        { 2, 1, 1, "a", "m", false, 3, 6 },
        { 0, 1, 2, "", "f", true, 3, 20 },
        { 2, 0, 0, "d", "m", false, 5, 6 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memfile file;
        cache  *c = cache_new(1 << 20);
        table  *t;
        memfile_init(&file, PATH);
        e.n = cases[i].entries;
        table_info said = write_table(&file.base, &e, ranges + cases[i].first, cases[i].n,
                                      (table_options){ 4096, 10, CHR_COMPRESS_LZ4 });
        assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
        const table_info *info = table_get_info(t);
        assert_true(slice_equal(buf_slice(&info->smallest), chr_str(cases[i].smallest)));
        assert_true(slice_equal(buf_slice(&info->largest), chr_str(cases[i].largest)));
        assert_int_equal(info->largest_exclusive, cases[i].exclusive);
        assert_int_equal(info->range_deletes, cases[i].n);
        assert_int_equal(info->min_seq, cases[i].min_seq);
        assert_int_equal(info->max_seq, cases[i].max_seq);
        const rangedel *set = table_rangedels(t);
        for (size_t k = 0; k < 27; k++) {
            char     letter[2] = { (char)('`' + k), 0 };
            slice    key = k ? chr_str(letter) : chr_str("");
            uint64_t covered = 0;
            for (size_t n = cases[i].first; n < cases[i].first + cases[i].n; n++)
                if (slice_compare(ranges[n].start, key) <= 0 && slice_compare(key, ranges[n].end) < 0 &&
                    ranges[n].seq > covered)
                    covered = ranges[n].seq;
            assert_int_equal(rangedel_covers(set, key, SEQ_MAX), covered);
        }
        compare_walks(t, &e, TABLE_CACHED);
        compare_get(t, c, &e, chr_str("d"), SEQ_MAX);
        assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
        table_free(t);
        table_info_free(&said);
        memfile_free(&file);
        cache_free(c);
    }
}

static void the_size_told_while_building_is_close_to_what_the_file_gets(void **state)
{
    (void)state;
    for (int codec = CHR_COMPRESS_NONE; codec <= CHR_COMPRESS_ZSTD; codec++) {
        table_options  options = { 8192, 10, (chr_compression)codec };
        memfile        file;
        table_builder *b;
        table_info     info;
        memfile_init(&file, PATH);
        assert_int_equal(table_builder_new(&file.base, FILE_NO, &options, &b), CHR_OK);
        for (int i = 0; i < 20000; i++) {
            char key[32], value[64];
            snprintf(key, sizeof key, "user:%012d", i * 37);
            snprintf(value, sizeof value, "%d and then some text that shrinks", i * i % 1000);
            assert_int_equal(table_builder_add(b, chr_str(key), trailer_of((uint64_t)i, KIND_PUT), chr_str(value)),
                             CHR_OK);
        }
        uint64_t said = table_builder_bytes(b);
        assert_int_equal(table_builder_finish(b, &info), CHR_OK);
        assert_in_range(said, info.file_bytes - info.file_bytes / 20, info.file_bytes + info.file_bytes / 20);
        table_builder_free(b);
        table_info_free(&info);
        memfile_free(&file);
    }
}

static void a_scan_reads_ahead_more_and_more_and_a_sequential_one_in_big_pieces(void **state)
{
    (void)state;
    enum { ENTRIES = 3000 };
    const uint64_t KIB = 1024;
    char           value[1000] = { 0 };
    memfile        file;
    table         *t;
    cache         *c = cache_new(64 << 20);
    memfile_init(&file, PATH);
    table_options  options = { 8192, 10, CHR_COMPRESS_NONE };
    table_builder *b;
    table_info     info;
    assert_int_equal(table_builder_new(&file.base, FILE_NO, &options, &b), CHR_OK);
    for (int i = 0; i < ENTRIES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%08d", i);
        assert_int_equal(table_builder_add(b, chr_str(key), trailer_of(1, KIND_PUT), chr_bytes(value, sizeof value)),
                         CHR_OK);
    }
    assert_int_equal(table_builder_finish(b, &info), CHR_OK);
    table_builder_free(b);
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    uint64_t data_end = t->index.block_at[t->index.n];

    /* Point reads ask for nothing more than they need. */
    iter *it = table_iter_new(t, TABLE_CACHED);
    iter_seek(it, chr_str("00001000"), 0);
    iter_seek(it, chr_str("00002000"), 0);
    assert_int_equal(file.n_ahead, 0);
    cache_drop_file(c, FILE_NO);

    for (int back = 0; back < 2; back++) {
        file.n_ahead = 0;
        for (back ? iter_last(it) : iter_first(it); it->valid; back ? iter_prev(it) : iter_next(it)) {
        }
        assert_int_equal(it->status, CHR_OK);
        assert_true(file.n_ahead > 6);
        uint64_t size = 8 * KIB;
        for (size_t i = 0; i < file.n_ahead; i++, size = size < 256 * KIB ? 2 * size : size) {
            assert_true(file.ahead[i].offset + file.ahead[i].len <= data_end);
            if (i + 1 < file.n_ahead) assert_int_equal(file.ahead[i].len, size);
        }
        /* Blocks that are in the cache are not asked for. */
        file.n_ahead = 0;
        for (iter_first(it); it->valid; iter_next(it)) {
        }
        assert_int_equal(file.n_ahead, 0);
        cache_drop_file(c, FILE_NO);
    }
    iter_free(it);

    uint64_t bytes = cache_get_stats(c).bytes;
    it = table_iter_new(t, TABLE_SEQUENTIAL);
    file.reads = 0;
    for (iter_first(it); it->valid; iter_next(it)) {
    }
    assert_in_range(file.reads, 3, 4);
    file.reads = 0;
    for (iter_last(it); it->valid; iter_prev(it)) {
    }
    assert_in_range(file.reads, 2, 4); /* the end is there still */
    assert_int_equal(cache_get_stats(c).bytes, bytes);
    iter_free(it);
    table_free(t);
    table_info_free(&info);
    memfile_free(&file);
    cache_free(c);
}

/* ---- damage ---- */

static void assert_corrupt(chr_status st, const char *message)
{
    assert_int_equal(st, CHR_CORRUPT);
    assert_non_null(strstr(message, PATH " at offset "));
}

/* Asks a table, which may be damaged, for everything: each answer is right or CHR_CORRUPT. Returns how often the
 * latter. */
static int ask_everything(memfile *file, const entries *e, const rangedel *ranges)
{
    cache     *c = cache_new(1 << 20);
    table     *t;
    int        corrupt = 0;
    chr_status st = table_open(&file->base, FILE_NO, c, &t);
    if (st != CHR_OK) {
        assert_corrupt(st, chr_message());
        assert_int_equal(file->closed, 0);
        cache_free(c);
        return 1;
    }
    for (size_t i = 0; i < e->n; i++) {
        entry         found;
        cache_handle *pin;
        st = table_get(t, e->at[i].key, hash64(e->at[i].key), trailer_seq(e->at[i].trailer), &found, &pin);
        if (st == CHR_OK) {
            assert_true(entry_is(&found, &e->at[i]));
            cache_release(c, pin);
        } else {
            assert_corrupt(st, chr_message());
            corrupt++;
        }
        assert_int_equal(rangedel_covers(table_rangedels(t), e->at[i].key, SEQ_MAX),
                         rangedel_covers(ranges, e->at[i].key, SEQ_MAX));
    }
    for (int access = TABLE_CACHED; access <= TABLE_SEQUENTIAL; access++) {
        iter  *it = table_iter_new(t, (table_access)access);
        size_t i = 0;
        for (iter_first(it); it->valid; iter_next(it)) assert_at(it, e, i++);
        if (it->status == CHR_OK) assert_int_equal(i, e->n);
        if (it->status != CHR_OK) {
            buf_append_byte(&it->error, 0);
            assert_corrupt(it->status, it->error.data);
            corrupt++;
        }
        i = e->n;
        for (iter_last(it); it->valid; iter_prev(it)) assert_at(it, e, --i);
        if (it->status == CHR_OK) assert_int_equal(i, 0);
        iter_free(it);
    }
    st = table_verify(t, NULL, NULL);
    if (st != CHR_OK) {
        assert_corrupt(st, chr_message());
        corrupt++;
    } else {
        assert_int_equal(corrupt, 0); /* verifying finds whatever reading does */
    }
    table_free(t);
    file->closed = 0;
    cache_free(c);
    return corrupt;
}

static void every_flipped_byte_is_noticed_and_none_gives_a_wrong_answer(void **state)
{
    (void)state;
    rng             r = { test_seed() };
    entries         e = random_entries(&r, KEYS_COUNTED, 60, 4, 40);
    range_tombstone ranges[] = { { chr_str("user:000000010000"), chr_str("user:000000050000"), 77 },
                                 { chr_str("x"), chr_str("z"), 99 } };
    rangedel       *set = rangedel_new(ranges, 2);
    for (int codec = CHR_COMPRESS_NONE; codec <= CHR_COMPRESS_ZSTD; codec++) {
        memfile file;
        memfile_init(&file, PATH);
        table_info said = write_table(&file.base, &e, ranges, 2, (table_options){ 600, 10, (chr_compression)codec });
        assert_int_equal(ask_everything(&file, &e, set), 0);
        for (size_t i = 0; i < file.bytes.len; i++) {
            static const uint8_t masks[] = { 0x01, 0x80, 0xff };
            for (size_t k = 0; k < sizeof masks; k++) {
                file.bytes.data[i] = (char)(file.bytes.data[i] ^ masks[k]);
                assert_true(ask_everything(&file, &e, set) > 0);
                file.bytes.data[i] = (char)(file.bytes.data[i] ^ masks[k]);
            }
        }
        assert_int_equal(ask_everything(&file, &e, set), 0);
        table_info_free(&said);
        memfile_free(&file);
    }
    rangedel_free(set);
    entries_free(&e);
}

static void a_table_cut_short_or_with_bytes_behind_it_is_refused(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    entries e = random_entries(&r, KEYS_COUNTED, 60, 4, 40);
    memfile file;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 600, 10, CHR_COMPRESS_LZ4 });
    cache     *c = cache_new(1 << 20);
    table     *t;
    size_t     whole = file.bytes.len;
    for (file.bytes.len = 0; file.bytes.len < whole; file.bytes.len++)
        assert_corrupt(table_open(&file.base, FILE_NO, c, &t), chr_message());
    buf_append_byte(&file.bytes, 0);
    assert_corrupt(table_open(&file.base, FILE_NO, c, &t), chr_message());
    /* The footer once more, behind the first: its checksum belongs elsewhere. */
    file.bytes.len = whole;
    assert_true(buf_reserve(&file.bytes, TABLE_FOOTER_BYTES));
    assert_true(buf_append(&file.bytes, file.bytes.data + whole - TABLE_FOOTER_BYTES, TABLE_FOOTER_BYTES));
    assert_corrupt(table_open(&file.base, FILE_NO, c, &t), chr_message());
    file.bytes.len = whole;
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    /* Cut while it is open. */
    file.bytes.len = 100;
    iter *it = table_iter_new(t, TABLE_CACHED);
    iter_first(it);
    assert_false(it->valid);
    assert_int_equal(it->status, CHR_CORRUPT);
    iter_free(it);
    assert_corrupt(table_verify(t, NULL, NULL), chr_message());
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
    entries_free(&e);
}

static void a_table_says_what_it_refers_to_in_blob_files(void **state)
{
    (void)state;
    enum { N = 90 };
    entries e = { calloc(N, sizeof(entry)), 0 };
    char    key[16], ref[BLOB_REF_MAX];
    for (uint32_t i = 0; i < N; i++) { /* a third of each kind; the references are into files 30, 28, 26, ... 12 */
        slice value =
            i % 3 == 0 ? blob_ref_encode(ref, (blob_at){ .file_no = 30 - i / 9 * 2, .offset = 32 + i * 100, .len = i },
                                         (blob_head){ 0 })
                       : chr_str("inline");
        if (i % 3 == 1) value = chr_str("");
        snprintf(key, sizeof key, "key%05u", i);
        e.at[e.n++] = (entry){ copy_of(chr_str(key)),
                               trailer_of(i + 1, i % 3 == 0   ? KIND_BLOB
                                                 : i % 3 == 1 ? KIND_DELETE
                                                              : KIND_PUT),
                               copy_of(value) };
    }
    memfile file;
    cache  *c = cache_new(1 << 20);
    table  *t;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 200, 10, CHR_COMPRESS_LZ4 });
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    const table_info *info = table_get_info(t);
    assert_int_equal(info->n_blobs, 10);
    uint64_t bytes = 0;
    for (size_t i = 0; i < info->n_blobs; i++) {
        assert_int_equal(info->blobs[i].file_no, 12 + 2 * i);
        assert_int_equal(info->blobs[i].values, 3);
        assert_memory_equal(&info->blobs[i], &said.blobs[i], sizeof said.blobs[i]);
        bytes += info->blobs[i].bytes;
    }
    uint64_t expected = 0;
    for (uint32_t i = 0; i < N; i += 3) expected += blob_stored_bytes(i);
    assert_int_equal(bytes, expected);
    assert_int_equal(table_blob_bytes(&said), expected);
    compare_walks(t, &e, TABLE_CACHED);
    assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
    entries_free(&e);
}

static void a_table_or_a_block_in_the_place_of_another_is_refused(void **state)
{
    (void)state;
    /* Two blocks of the same length. */
    entry   at[] = { { chr_str("a"), trailer_of(1, KIND_PUT), chr_str("one") },
                     { chr_str("b"), trailer_of(1, KIND_PUT), chr_str("two") } };
    entries e = { at, 2 };
    memfile file;
    cache  *c = cache_new(1 << 20);
    table  *t;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 1, 10, CHR_COMPRESS_NONE });
    assert_corrupt(table_open(&file.base, FILE_NO + 1, c, &t), chr_message());
    assert_non_null(strstr(chr_message(), "this is table 7, not 8"));
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    assert_int_equal(t->index.n, 2);
    size_t len = (size_t)t->index.block_at[1];
    assert_int_equal(t->index.block_at[2], 2 * len);
    assert_true(buf_reserve(&file.bytes, len));
    memmove(file.bytes.data + len, file.bytes.data, len); /* the first block again instead of the second */
    entry         found;
    cache_handle *pin;
    assert_corrupt(table_get(t, chr_str("b"), hash64(chr_str("b")), 5, &found, &pin), chr_message());
    assert_int_equal(table_get(t, chr_str("a"), hash64(chr_str("a")), 5, &found, &pin), CHR_OK);
    cache_release(c, pin);
    assert_corrupt(table_verify(t, NULL, NULL), chr_message());
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
}

static void verifying_notices_a_table_that_is_sealed_but_says_what_is_not_so(void **state)
{
    (void)state;
    /* A filter that denies a key: its bits are cleared and its checksum made anew, as a bug in building would. */
    entry   at[] = { { chr_str("a"), trailer_of(1, KIND_PUT), chr_str("one") },
                     { chr_str("b"), trailer_of(1, KIND_PUT), chr_str("two") } };
    entries e = { at, 2 };
    memfile file;
    cache  *c = cache_new(1 << 20);
    table  *t;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 4096, 10, CHR_COMPRESS_NONE });
    char      *footer = file.bytes.data + file.bytes.len - TABLE_FOOTER_BYTES;
    uint64_t   at_filter = get_u64(footer + FOOTER_SECTIONS_AT), len = get_u64(footer + FOOTER_LENGTHS);
    char      *filter = file.bytes.data + at_filter;
    memset(filter, 0, FILTER_BLOCK_BYTES);
    put_u32(filter + len + 1, checksum32(chr_bytes(filter, len + 1), table_seed(FILE_NO, at_filter)));
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    assert_corrupt(table_verify(t, NULL, NULL), chr_message());
    assert_non_null(strstr(chr_message(), "filter"));
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
}

/* ---- failing disks ---- */

static void every_failed_read_is_reported_and_the_next_try_succeeds(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    entries e = random_entries(&r, KEYS_COUNTED, 200, 2, 40);
    memfile file;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 600, 10, CHR_COMPRESS_ZSTD });
    for (int access = TABLE_CACHED; access <= TABLE_SEQUENTIAL; access++) {
        bool reached = true;
        for (uint64_t nth = 1; reached; nth++) {
            cache *c = cache_new(0);
            table *t;
            file.reads = 0;
            file.fail_read = nth;
            chr_status st = table_open(&file.base, FILE_NO, c, &t);
            if (st == CHR_IO) st = table_open(&file.base, FILE_NO, c, &t);
            assert_int_equal(st, CHR_OK);
            iter  *it = table_iter_new(t, (table_access)access);
            size_t i = 0;
            for (iter_first(it); it->valid; iter_next(it)) assert_at(it, &e, i++);
            if (it->status == CHR_OK) {
                assert_int_equal(i, e.n);
            } else {
                assert_int_equal(it->status, CHR_IO);
                assert_true(it->error.len > 0);
                if (i < e.n) iter_seek(it, e.at[i].key, e.at[i].trailer);
                for (; it->valid; iter_next(it)) assert_at(it, &e, i++);
                assert_int_equal(it->status, CHR_OK);
                assert_int_equal(i, e.n);
            }
            iter_free(it);
            entry         found;
            cache_handle *pin;
            st = table_get(t, e.at[0].key, hash64(e.at[0].key), trailer_seq(e.at[0].trailer), &found, &pin);
            if (st == CHR_OK) cache_release(c, pin);
            if (st != CHR_OK) assert_int_equal(st, CHR_IO);
            st = table_verify(t, NULL, NULL);
            if (st != CHR_OK) assert_int_equal(st, CHR_IO);
            reached = file.reads >= nth;
            table_free(t);
            cache_free(c);
        }
    }
    table_info_free(&said);
    memfile_free(&file);
    entries_free(&e);
}

static void a_failed_write_ends_the_building(void **state)
{
    (void)state;
    rng  r = { test_seed() };
    char value[4000];
    for (size_t i = 0; i < sizeof value; i++) value[i] = (char)rng_next(&r);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        memfile        file;
        table_builder *b;
        table_info     info;
        chr_status     st = CHR_OK;
        memfile_init(&file, PATH);
        file.fail_write = nth;
        table_options options = { 8192, 10, CHR_COMPRESS_NONE };
        assert_int_equal(table_builder_new(&file.base, FILE_NO, &options, &b), CHR_OK);
        for (int i = 0; i < 150 && st == CHR_OK; i++) {
            char key[16];
            snprintf(key, sizeof key, "%06d", i);
            st = table_builder_add(b, chr_str(key), trailer_of(1, KIND_PUT), chr_bytes(value, sizeof value));
        }
        assert_int_equal(st, nth < 3 ? CHR_IO : CHR_OK);
        assert_int_equal(table_builder_finish(b, &info), CHR_IO);
        assert_int_equal(table_builder_add(b, chr_str("z"), trailer_of(1, KIND_PUT), chr_str("")), CHR_IO);
        table_builder_free(b);
        memfile_free(&file);
    }
}

/* ---- real disks, and threads ---- */

static void check_on(env *e, const char *dir)
{
    rng       r = { test_seed() };
    entries   model = random_entries(&r, KEYS_PATHS, 3000, 3, 20000);
    cache    *c = cache_new(1 << 20);
    char      path[512];
    env_file *file;
    table    *t;
    snprintf(path, sizeof path, "%s/000007.table", dir);
    assert_int_equal(env_open(e, path, ENV_CREATE, &file), CHR_OK);
    table_info said = write_table(file, &model, NULL, 0, (table_options){ 8192, 10, CHR_COMPRESS_LZ4 });
    assert_int_equal(env_sync(file), CHR_OK);
    env_close(file);
    assert_int_equal(env_open(e, path, ENV_READ, &file), CHR_OK);
    assert_int_equal(table_open(file, FILE_NO, c, &t), CHR_OK);
    compare_walks(t, &model, TABLE_CACHED);
    compare_walks(t, &model, TABLE_SEQUENTIAL);
    compare_searches(&r, t, c, &model, KEYS_PATHS, TABLE_CACHED, 200);
    assert_int_equal(table_verify(t, NULL, NULL), CHR_OK);
    table_free(t);
    assert_int_equal(env_unlink(e, path), CHR_OK);
    table_info_free(&said);
    cache_free(c);
    entries_free(&model);
}

static void a_table_works_on_the_real_disk(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    char        dir[256];
    snprintf(dir, sizeof dir, "%s/chronos-table-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    check_on(env_posix(), dir);
    assert_int_equal(rmdir(dir), 0);
}

static void a_table_works_on_the_simulated_disk(void **state)
{
    (void)state;
    env *e = env_sim_new(1);
    assert_non_null(e);
    assert_int_equal(env_mkdir(e, "/store"), CHR_OK);
    check_on(e, "/store");
    env_sim_free(e);
}

typedef struct reading {
    table         *t;
    cache         *c;
    const entries *e;
    uint64_t       seed;
    bool           right;
} reading;

static void *read_at_random(void *arg)
{
    reading *x = arg;
    rng      r = { x->seed };
    iter    *it = table_iter_new(x->t, TABLE_CACHED);
    x->right = it != NULL;
    for (int round = 0; round < 3000 && x->right; round++) {
        size_t        i = rng_below(&r, x->e->n);
        const entry  *want = &x->e->at[i];
        entry         found;
        cache_handle *pin;
        if (table_get(x->t, want->key, hash64(want->key), trailer_seq(want->trailer), &found, &pin) == CHR_OK) {
            x->right = entry_is(&found, want);
            cache_release(x->c, pin);
        } else {
            x->right = false;
        }
        if (round % 8) continue;
        iter_seek(it, want->key, want->trailer);
        for (int step = 0; step < 20 && it->valid && x->right; step++, iter_next(it))
            x->right = entry_is(&it->at, &x->e->at[i + (size_t)step]);
        x->right = x->right && it->status == CHR_OK;
        if (round % 500 == 0) cache_drop_file(x->c, FILE_NO);
    }
    iter_free(it);
    return NULL;
}

static void many_threads_read_one_table_through_a_cache_too_small(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    rng     r = { test_seed() };
    entries e = random_entries(&r, KEYS_COUNTED, 3000, 2, 300);
    memfile file;
    cache  *c = cache_new(40000);
    reading work[THREADS];
    table  *t;
    memfile_init(&file, PATH);
    table_info said = write_table(&file.base, &e, NULL, 0, (table_options){ 2048, 10, CHR_COMPRESS_ZSTD });
    assert_int_equal(table_open(&file.base, FILE_NO, c, &t), CHR_OK);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        work[i] = (reading){ t, c, &e, rng_next(&r), false };
        assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, &work[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) assert_true(work[i].right);
    table_free(t);
    table_info_free(&said);
    memfile_free(&file);
    cache_free(c);
    entries_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_gives_back_what_was_put_in_with_every_codec),
        cmocka_unit_test(one_key_with_more_versions_than_a_block_holds_is_read_at_every_seq),
        cmocka_unit_test(the_longest_keys_and_values_go_through_every_codec),
        cmocka_unit_test(range_tombstones_come_back_and_widen_the_bounds),
        cmocka_unit_test(the_size_told_while_building_is_close_to_what_the_file_gets),
        cmocka_unit_test(a_scan_reads_ahead_more_and_more_and_a_sequential_one_in_big_pieces),
        cmocka_unit_test(every_flipped_byte_is_noticed_and_none_gives_a_wrong_answer),
        cmocka_unit_test(a_table_cut_short_or_with_bytes_behind_it_is_refused),
        cmocka_unit_test(a_table_says_what_it_refers_to_in_blob_files),
        cmocka_unit_test(a_table_or_a_block_in_the_place_of_another_is_refused),
        cmocka_unit_test(verifying_notices_a_table_that_is_sealed_but_says_what_is_not_so),
        cmocka_unit_test(every_failed_read_is_reported_and_the_next_try_succeeds),
        cmocka_unit_test(a_failed_write_ends_the_building),
        cmocka_unit_test(a_table_works_on_the_real_disk),
        cmocka_unit_test(a_table_works_on_the_simulated_disk),
        cmocka_unit_test(many_threads_read_one_table_through_a_cache_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
