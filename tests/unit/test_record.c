/* The bytes of an object's record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/keys.h"
#include "object/record.h"

#include <stdlib.h>

static const record_defaults defaults = { S_IFREG | 0644, 7, 8 };

static slice plain(char *to, const object_meta *m, slice value)
{
    size_t head = record_head(to, m, 0);
    memcpy(to + head, value.data, value.len);
    return chr_bytes(to, head + value.len);
}

static void a_plain_value_costs_seven_bytes_and_keeps_its_time(void **state)
{
    (void)state;
    char        bytes[64];
    record      r;
    object_meta m = { .mtime_ns = 1700000000123456789, .mode = 0100600, .uid = 1 };
    slice       s = plain(bytes, &m, chr_str("hello"));
    assert_int_equal(s.len, RECORD_PLAIN_HEAD + 5);
    assert_int_equal(record_decode(s, &defaults, &r), CHR_OK);
    assert_memory_equal(r.value.data, "hello", 5);
    assert_int_equal(r.meta.size, 5);
    assert_false(r.chunked || r.meta.has_attrs || r.meta.has_xattrs);
    assert_int_equal(r.meta.mode, S_IFREG | 0644);
    assert_int_equal(r.meta.uid, 7);
    assert_int_equal(r.meta.gid, 8);
    assert_int_equal(r.meta.expire_ms, 0);
    assert_true(r.meta.mtime_ns <= m.mtime_ns && m.mtime_ns - r.meta.mtime_ns < 15260);
    assert_int_equal(r.meta.atime_ns, r.meta.mtime_ns);
}

static void a_plain_time_is_the_same_however_often_it_is_written_again(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252;
    for (int i = 0; i < 100000; i++) {
        char   first[RECORD_HEAD_MAX], again[RECORD_HEAD_MAX];
        record r;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        object_meta m = { .mtime_ns = (int64_t)(x % UINT64_C(4000000000000000000)) };
        slice       s = plain(first, &m, chr_str(""));
        assert_int_equal(record_decode(s, &defaults, &r), CHR_OK);
        assert_true(r.meta.mtime_ns <= m.mtime_ns);
        plain(again, &r.meta, chr_str(""));
        assert_memory_equal(first, again, s.len);
    }
}

static void times_outside_of_what_a_plain_record_holds_are_clamped(void **state)
{
    (void)state;
    char        bytes[RECORD_HEAD_MAX];
    record      r;
    object_meta m = { .mtime_ns = -5 };
    assert_int_equal(record_decode(plain(bytes, &m, chr_str("")), &defaults, &r), CHR_OK);
    assert_int_equal(r.meta.mtime_ns, 0);
    m.mtime_ns = INT64_MAX;
    assert_int_equal(record_decode(plain(bytes, &m, chr_str("")), &defaults, &r), CHR_OK);
    assert_int_equal(r.meta.mtime_ns / 1000000000, UINT32_MAX);
}

static void everything_at_once_comes_back(void **state)
{
    (void)state;
    char        head[RECORD_HEAD_MAX], big[RECORD_BIG_BYTES];
    buf         b = { 0 };
    record      r;
    object_meta m = { .expire_ms = UINT64_MAX,
                      .atime_ns = INT64_MIN,
                      .mtime_ns = -1,
                      .ctime_ns = INT64_MAX,
                      .mode = UINT32_MAX,
                      .uid = UINT32_MAX,
                      .gid = UINT32_MAX - 1,
                      .has_attrs = true };
    size_t      len = record_head(head, &m, RECORD_XATTRS | RECORD_CHUNKED);
    assert_true(len <= sizeof head);
    assert_true(buf_append(&b, head, len) && buf_append_sized(&b, chr_str("attributes")));
    record_put_big(big, 77, OBJECT_SIZE_MAX);
    assert_true(buf_append(&b, big, sizeof big));
    assert_int_equal(record_decode(buf_slice(&b), &defaults, &r), CHR_OK);
    assert_true(r.chunked && r.meta.has_attrs && r.meta.has_xattrs);
    assert_int_equal(r.big_id, 77);
    assert_int_equal(r.meta.size, OBJECT_SIZE_MAX);
    assert_null(r.value.data);
    assert_true(slice_equal(r.xattrs, chr_str("attributes")));
    assert_int_equal(r.meta.expire_ms, m.expire_ms);
    assert_int_equal(r.meta.mode, m.mode);
    assert_int_equal(r.meta.uid, m.uid);
    assert_int_equal(r.meta.gid, m.gid);
    assert_int_equal(r.meta.atime_ns, m.atime_ns);
    assert_int_equal(r.meta.mtime_ns, m.mtime_ns);
    assert_int_equal(r.meta.ctime_ns, m.ctime_ns);
    chr_buf_free(&b);
}

static void a_record_that_is_cut_off_anywhere_is_corrupt(void **state)
{
    (void)state;
    char        head[RECORD_HEAD_MAX], big[RECORD_BIG_BYTES];
    buf         b = { 0 };
    record      r;
    object_meta m = { .expire_ms = 300, .mode = 0100644, .has_attrs = true };
    assert_true(buf_append(&b, head, record_head(head, &m, RECORD_XATTRS | RECORD_CHUNKED)));
    assert_true(buf_append_sized(&b, chr_str("attributes")));
    record_put_big(big, 1, 100000);
    assert_true(buf_append(&b, big, sizeof big));
    for (size_t n = 0; n < b.len; n++) {
        char *exact = malloc(n + !n); /* so that the sanitizers see every byte too far */
        assert_non_null(exact);
        memcpy(exact, b.data, n);
        assert_int_equal(record_decode(chr_bytes(exact, n), &defaults, &r), CHR_CORRUPT);
        free(exact);
    }
    assert_true(buf_append_byte(&b, 0));
    assert_int_equal(record_decode(buf_slice(&b), &defaults, &r), CHR_CORRUPT);
    chr_buf_free(&b);
}

static void unknown_flags_and_impossible_sizes_are_corrupt(void **state)
{
    (void)state;
    record r;
    char   bytes[RECORD_PLAIN_HEAD + RECORD_BIG_BYTES] = { 16 };
    assert_int_equal(record_decode(chr_bytes(bytes, RECORD_PLAIN_HEAD), &defaults, &r), CHR_CORRUPT);
    bytes[0] = RECORD_CHUNKED;
    record_put_big(bytes + RECORD_PLAIN_HEAD, 1, OBJECT_SIZE_MAX + 1);
    assert_int_equal(record_decode(chr_bytes(bytes, sizeof bytes), &defaults, &r), CHR_CORRUPT);
}

static void the_order_of_keys_is_the_users_and_the_internal_ones_lie_in_a_gap(void **state)
{
    (void)state;
    const slice ordered[] = {
        chr_str(""),
        chr_bytes("\0", 1),
        chr_str("a"),
        chr_str("a/b"),
        chr_str("b"),
        chr_str("\xfe\xff"),
        chr_str("\xff"),
        chr_bytes("\xff\0", 2),
        chr_bytes("\xff\x03", 2),
        chr_str("\xff\x10"),
        chr_str("\xff\xff\xff"),
    };
    engine_key before, k;
    for (size_t i = 0; i < sizeof ordered / sizeof *ordered; i++) {
        assert_int_equal(engine_key_of(&k, OBJECT_KEY, ordered[i]), CHR_OK);
        assert_false(key_is_internal(k.bytes));
        assert_true(slice_equal(key_of_engine(k.bytes), ordered[i]));
        for (int space = 0; space < SPACE_END; space++) {
            int c = slice_compare(k.bytes, space_start((key_space)space));
            assert_true(ordered[i].len && (uint8_t)ordered[i].data[0] == 0xff ? c > 0 : c < 0);
        }
        if (i) {
            assert_int_equal(engine_key_of(&before, OBJECT_KEY, ordered[i - 1]), CHR_OK);
            assert_true(slice_compare(before.bytes, k.bytes) < 0);
            engine_key_free(&before);
        }
        engine_key_free(&k);
    }
}

static void chunks_sort_by_id_and_index(void **state)
{
    (void)state;
    char  a[CHUNK_KEY_BYTES], b[CHUNK_KEY_BYTES];
    slice last = chunk_key(a, 1, UINT32_MAX), next = chunk_key(b, 2, 0);
    assert_true(slice_compare(last, next) < 0);
    assert_true(slice_compare(chunk_key(a, 2, 255), chunk_key(b, 2, 256)) < 0);
    assert_true(key_is_in(next, SPACE_CHUNKS) && key_is_internal(next));
}

static void a_key_over_the_limit_is_named_in_a_sentence(void **state)
{
    (void)state;
    engine_key k;
    char      *key = calloc(1, 70000);
    assert_non_null(key);
    assert_int_equal(engine_key_of(&k, OBJECT_KEY, chr_bytes(key, 70000)), CHR_TOO_BIG);
    assert_string_equal(chr_message(), "the key has 70000 bytes; at most 65535 are allowed");
    memset(key, 0xff, CHR_KEY_MAX);
    assert_int_equal(engine_key_of(&k, OBJECT_KEY, chr_bytes(key, CHR_KEY_MAX)), CHR_OK);
    assert_int_equal(k.bytes.len, CHR_KEY_MAX + 1);
    engine_key_free(&k);
    free(key);
}

static void compaction_learns_of_expiry_without_trusting_the_bytes(void **state)
{
    (void)state;
    char        bytes[RECORD_HEAD_MAX];
    uint64_t    expire_ms = 0;
    bool        chunked = true;
    object_meta m = { .expire_ms = 1234567 };
    size_t      len = record_head(bytes, &m, 0);
    assert_true(record_expiry(chr_bytes(bytes, len), &expire_ms, &chunked));
    assert_int_equal(expire_ms, 1234567);
    assert_false(chunked);
    assert_false(record_expiry(chr_bytes(bytes, len - 1), &expire_ms, &chunked));
    assert_false(record_expiry(chr_bytes("", 0), &expire_ms, &chunked));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_value_costs_seven_bytes_and_keeps_its_time),
        cmocka_unit_test(a_plain_time_is_the_same_however_often_it_is_written_again),
        cmocka_unit_test(times_outside_of_what_a_plain_record_holds_are_clamped),
        cmocka_unit_test(everything_at_once_comes_back),
        cmocka_unit_test(a_record_that_is_cut_off_anywhere_is_corrupt),
        cmocka_unit_test(unknown_flags_and_impossible_sizes_are_corrupt),
        cmocka_unit_test(the_order_of_keys_is_the_users_and_the_internal_ones_lie_in_a_gap),
        cmocka_unit_test(chunks_sort_by_id_and_index),
        cmocka_unit_test(a_key_over_the_limit_is_named_in_a_sentence),
        cmocka_unit_test(compaction_learns_of_expiry_without_trusting_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
