/* Batches as they are in the log: packed and unpacked, and what is refused of any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/batch_pack.h"

#include <stdlib.h>

enum { BIG = 5000, THRESHOLD = 1000 };

/* Half of it is noise. */
static slice packable(char to[static BIG], uint32_t seed)
{
    for (uint32_t i = 0; i < BIG; i++) {
        seed = seed * 1664525 + 1013904223;
        to[i] = i % 100 < 50 ? 'x' : (char)(seed >> 24);
    }
    return chr_bytes(to, BIG);
}

static slice noise(char to[static BIG])
{
    uint32_t seed = 1;
    for (uint32_t i = 0; i < BIG; i++) {
        seed = seed * 1664525 + 1013904223;
        to[i] = (char)(seed >> 24);
    }
    return chr_bytes(to, BIG);
}

static void a_batch_of_all_kinds_comes_back(void **state)
{
    (void)state;
    char  one[BIG], two[BIG], three[BIG];
    batch b = { 0 };
    assert_int_equal(batch_put(&b, chr_str("a"), packable(one, 1)), CHR_OK);
    assert_int_equal(batch_delete(&b, chr_str("b")), CHR_OK);
    assert_int_equal(batch_put(&b, chr_str(""), packable(two, 2)), CHR_OK);
    assert_int_equal(batch_delete_range(&b, chr_str("c"), packable(two, 2)), CHR_OK);
    assert_int_equal(batch_put(&b, chr_str("small"), chr_bytes(one, THRESHOLD - 1)), CHR_OK);
    assert_int_equal(batch_put(&b, chr_str("noise"), noise(three)), CHR_OK);
    assert_int_equal(batch_put(&b, chr_str("d"), chr_str("")), CHR_OK);
    for (int codec = CHR_COMPRESS_LZ4; codec <= CHR_COMPRESS_ZSTD; codec++) {
        buf      room = { 0 }, back = { 0 };
        slice    plain;
        uint32_t count;
        slice    packed = batch_pack(buf_slice(&b.payload), THRESHOLD, (chr_compression)codec, &room);
        assert_ptr_equal(packed.data, room.data);
        assert_in_range(packed.len, 2 * BIG, b.payload.len - BIG / 2);
        assert_int_equal(batch_unpack(packed, &back, &plain, &count), CHR_OK);
        assert_int_equal(count, b.count);
        assert_true(slice_equal(plain, buf_slice(&b.payload)));

        /* Which of them are packed, and that they say where they lie. */
        reader       r = reader_of(packed);
        entry        write;
        packed_value v;
        chr_status   st;
        for (uint32_t i = 0; batch_next(&r, &write, &st); i++) {
            bool should = i == 0 || i == 2;
            assert_int_equal(trailer_kind(write.trailer) == KIND_PACKED, should);
            assert_true(batch_packed_value(&write, &v));
            assert_int_equal(v.codec, should ? codec : CHR_COMPRESS_NONE);
            assert_int_equal(v.bytes.len, write.value.len - should);
        }
        assert_int_equal(st, CHR_OK);
        chr_buf_free(&room);
        chr_buf_free(&back);
    }
    batch_free(&b);
}

static void what_does_not_shrink_is_left_as_it_is(void **state)
{
    (void)state;
    char     value[BIG];
    batch    b = { 0 };
    buf      room = { 0 };
    slice    plain;
    uint32_t count;
    assert_int_equal(batch_put(&b, chr_str("noise"), noise(value)), CHR_OK);
    slice payload = buf_slice(&b.payload);
    assert_ptr_equal(batch_pack(payload, THRESHOLD, CHR_COMPRESS_LZ4, &room).data, payload.data);
    assert_int_equal(batch_unpack(payload, &room, &plain, &count), CHR_OK);
    assert_ptr_equal(plain.data, payload.data);
    assert_int_equal(count, 1);
    assert_int_equal(batch_put(&b, chr_str("a"), packable(value, 1)), CHR_OK);
    payload = buf_slice(&b.payload);
    assert_ptr_equal(batch_pack(payload, THRESHOLD, CHR_COMPRESS_NONE, &room).data, payload.data);
    assert_ptr_equal(batch_pack(payload, BIG + 1, CHR_COMPRESS_LZ4, &room).data, payload.data);
    chr_buf_free(&room);
    batch_free(&b);
}

/* With every byte changed: refused, or something else of the same form; never a crash, never more than a value may be. */
static void a_damaged_batch_is_refused_or_another_one(void **state)
{
    (void)state;
    char     value[BIG];
    batch    b = { 0 };
    buf      room = { 0 }, back = { 0 };
    slice    plain;
    uint32_t count;
    int      refused = 0;
    assert_int_equal(batch_put(&b, chr_str("key"), packable(value, 3)), CHR_OK);
    slice packed = batch_pack(buf_slice(&b.payload), THRESHOLD, CHR_COMPRESS_LZ4, &room);
    for (size_t i = 0; i < packed.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            room.data[i] = (char)(room.data[i] ^ (1 << bit));
            chr_status st = batch_unpack(packed, &back, &plain, &count);
            assert_true(st == CHR_OK || st == CHR_CORRUPT);
            refused += st == CHR_CORRUPT;
            assert_true(st != CHR_OK || plain.len <= 2 * BIG);
            room.data[i] = (char)(room.data[i] ^ (1 << bit));
        }
    assert_in_range(refused, 16, packed.len * 8);
    for (size_t len = 1; len < packed.len; len++)
        assert_int_equal(batch_unpack(chr_bytes(packed.data, len), &back, &plain, &count), CHR_CORRUPT);
    /* Without even a codec; with one that there is not. */
    const char none[] = { KIND_PACKED, 1, 'k', 0 }, other[] = { KIND_PACKED, 1, 'k', 3, 9, 1, 1 };
    assert_int_equal(batch_unpack(chr_bytes(none, sizeof none), &back, &plain, &count), CHR_CORRUPT);
    assert_int_equal(batch_unpack(chr_bytes(other, sizeof other), &back, &plain, &count), CHR_CORRUPT);
    chr_buf_free(&room);
    chr_buf_free(&back);
    batch_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_of_all_kinds_comes_back),
        cmocka_unit_test(what_does_not_shrink_is_left_as_it_is),
        cmocka_unit_test(a_damaged_batch_is_refused_or_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
