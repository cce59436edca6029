/* The filter never denies a key it was given, seldom lets others pass, and is safe on any bytes once checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/filter.h"
#include "tests/unit/entries.h"

static uint64_t hash_of_number(uint64_t n) { return hash64(chr_bytes(&n, sizeof n)); }

static buf filter_of(size_t n_keys, uint32_t bits)
{
    filter_builder f = { 0 };
    buf            out = { 0 };
    for (uint64_t i = 0; i < n_keys; i++) assert_true(filter_add(&f, hash_of_number(i)));
    assert_true(filter_finish(&f, bits, &out));
    filter_builder_free(&f);
    return out;
}

static double passing_share(slice filter, uint64_t from, uint64_t n)
{
    uint64_t passed = 0;
    for (uint64_t i = from; i < from + n; i++) passed += filter_may_hold(filter, hash_of_number(i));
    return (double)passed / (double)n;
}

static void keys_that_are_there_always_pass(void **state)
{
    (void)state;
    static const size_t counts[] = { 1, 2, 50, 1000, 40000 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (uint32_t bits = 1; bits <= 40; bits += 3) {
            buf filter = filter_of(counts[i], bits);
            assert_null(filter_check(buf_slice(&filter)));
            for (uint64_t k = 0; k < counts[i]; k++)
                assert_true(filter_may_hold(buf_slice(&filter), hash_of_number(k)));
            chr_buf_free(&filter);
        }
    }
}

static void about_one_absent_key_in_a_hundred_passes_at_ten_bits(void **state)
{
    (void)state;
    struct {
        uint32_t bits;
        double   most;
    } cases[] = { { 5, 0.11 }, { 10, 0.0125 }, { 15, 0.0025 }, { 20, 0.0008 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf    filter = filter_of(50000, cases[i].bits);
        double share = passing_share(buf_slice(&filter), 1000000, 200000);
        print_message("%u bits: %.3f %% pass\n", cases[i].bits, 100 * share);
        assert_true(share < cases[i].most);
        assert_true(filter.len <= 50000 * cases[i].bits / 8 + 65);
        chr_buf_free(&filter);
    }
}

static void no_keys_or_no_bits_make_no_filter_and_that_lets_all_pass(void **state)
{
    (void)state;
    buf none = filter_of(0, 10), off = filter_of(10, 0);
    assert_int_equal(none.len, 0);
    assert_int_equal(off.len, 0);
    assert_null(filter_check(buf_slice(&none)));
    assert_true(filter_may_hold(buf_slice(&none), 1));
}

static void a_filter_of_a_wrong_length_or_number_of_probes_is_refused(void **state)
{
    (void)state;
    buf   filter = filter_of(100, 10);
    slice all = buf_slice(&filter);
    for (size_t len = 1; len < all.len; len++)
        if (!filter_check(chr_bytes(all.data, len))) assert_int_equal(len % FILTER_BLOCK_BYTES, 1);
    assert_non_null(filter_check(chr_bytes(all.data, 1)));
    filter.data[filter.len - 1] = 0;
    assert_non_null(filter_check(all));
    filter.data[filter.len - 1] = 17;
    assert_non_null(filter_check(all));
    chr_buf_free(&filter);
}

static void a_filter_of_random_bytes_is_read_within_its_bounds(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (int round = 0; round < 200; round++) {
        size_t len = (1 + rng_below(&r, 9)) * FILTER_BLOCK_BYTES + 1;
        char  *bytes = malloc(len);
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++) bytes[i] = (char)rng_next(&r);
        bytes[len - 1] = (char)(1 + rng_below(&r, 16));
        assert_null(filter_check(chr_bytes(bytes, len)));
        for (int i = 0; i < 500; i++)
            (void)filter_may_hold(chr_bytes(bytes, len), rng_next(&r) | (i % 3 ? 0 : UINT64_C(0xffffffff) << 32));
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_there_always_pass),
        cmocka_unit_test(about_one_absent_key_in_a_hundred_passes_at_ten_bits),
        cmocka_unit_test(no_keys_or_no_bits_make_no_filter_and_that_lets_all_pass),
        cmocka_unit_test(a_filter_of_a_wrong_length_or_number_of_probes_is_refused),
        cmocka_unit_test(a_filter_of_random_bytes_is_read_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
