/* The block cache: what it keeps, what it lets go, and many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/cache.h"
#include "tests/unit/entries.h"

#include <pthread.h>
#include <stdatomic.h>

static const size_t BLOCK = 1000;

/* A block whose bytes say which it is. */
static void *block_bytes(uint64_t file_no, uint64_t offset, size_t len)
{
    char *p = malloc(len);
    if (!p) abort();
    memset(p, (int)(file_no * 31 + offset), len);
    return p;
}
static bool is_block(const cache_handle *h, uint64_t file_no, uint64_t offset, size_t len)
{
    slice s = cache_data(h);
    char  byte = (char)(file_no * 31 + offset);
    return s.len == len && s.data[0] == byte && s.data[len / 2] == byte && s.data[len - 1] == byte;
}
static cache_handle *put(cache *c, uint64_t file_no, uint64_t offset)
{
    cache_handle *h = cache_insert(c, file_no, offset, block_bytes(file_no, offset, BLOCK), BLOCK);
    assert_non_null(h);
    return h;
}
static bool has(cache *c, uint64_t file_no, uint64_t offset)
{
    cache_handle *h = cache_lookup(c, file_no, offset);
    if (!h) return false;
    assert_true(is_block(h, file_no, offset, BLOCK));
    cache_release(c, h);
    return true;
}

static void a_block_is_found_under_its_file_and_offset_only(void **state)
{
    (void)state;
    cache *c = cache_new(1 << 20);
    assert_false(has(c, 1, 2));
    cache_release(c, put(c, 1, 2));
    assert_true(has(c, 1, 2));
    assert_false(has(c, 2, 1));
    assert_false(has(c, 1, 3));
    cache_stats stats = cache_get_stats(c);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 3);
    assert_int_equal(stats.capacity, 1 << 20);
    assert_in_range(stats.bytes, BLOCK, BLOCK + 200);
    cache_free(c);
}

static void the_first_of_two_insertions_wins(void **state)
{
    (void)state;
    cache        *c = cache_new(1 << 20);
    cache_handle *a = put(c, 1, 2), *b = put(c, 1, 2);
    assert_ptr_equal(a, b);
    cache_release(c, a);
    assert_true(is_block(b, 1, 2, BLOCK));
    cache_release(c, b);
    cache_free(c);
}

static void the_limit_holds_and_blocks_that_are_used_stay_through_a_scan(void **state)
{
    (void)state;
    enum { HOT = 100, SCAN = 1200 };
    cache *c = cache_new(500 * BLOCK);
    for (uint64_t i = 0; i < HOT; i++) cache_release(c, put(c, 1, i));
    for (uint64_t i = 0; i < SCAN; i++) {
        if (i % 300 == 0)
            for (uint64_t k = 0; k < HOT; k++) assert_true(has(c, 1, k));
        cache_release(c, put(c, 2, i));
        assert_true(cache_get_stats(c).bytes <= 500 * BLOCK);
    }
    for (uint64_t k = 0; k < HOT; k++) assert_true(has(c, 1, k));
    assert_false(has(c, 2, 0));
    assert_true(has(c, 2, SCAN - 1));
    cache_free(c);
}

static void a_held_block_stays_whatever_happens(void **state)
{
    (void)state;
    cache        *c = cache_new(20 * BLOCK);
    cache_handle *held[40];
    for (uint64_t i = 0; i < 40; i++) held[i] = put(c, 1, i); /* more than fit: the last ones are not kept */
    assert_true(cache_get_stats(c).bytes <= 20 * BLOCK);
    cache_drop_file(c, 1);
    assert_int_equal(cache_get_stats(c).bytes, 0);
    for (uint64_t i = 0; i < 40; i++) {
        assert_true(is_block(held[i], 1, i, BLOCK));
        assert_false(has(c, 1, i));
        cache_release(c, held[i]);
    }
    cache_free(c);
}

static void dropping_a_file_leaves_the_others(void **state)
{
    (void)state;
    cache *c = cache_new(1 << 22);
    for (uint64_t i = 0; i < 1000; i++) cache_release(c, put(c, i % 3, i));
    cache_drop_file(c, 1);
    for (uint64_t i = 0; i < 1000; i++) assert_int_equal(has(c, i % 3, i), i % 3 != 1);
    cache_free(c);
}

static void a_cache_of_no_size_keeps_nothing_and_still_serves(void **state)
{
    (void)state;
    cache        *c = cache_new(0);
    cache_handle *h = put(c, 1, 2);
    assert_true(is_block(h, 1, 2, BLOCK));
    assert_false(has(c, 1, 2));
    cache_release(c, h);
    cache_free(c);
}

typedef struct stress {
    cache             *c;
    uint64_t           seed;
    _Atomic(uint64_t) *wrong;
} stress;

static void *use_at_random(void *arg)
{
    stress       *x = arg;
    rng           r = { x->seed };
    cache_handle *held[8] = { 0 };
    uint64_t      file[8] = { 0 }, offset[8] = { 0 };
    for (int round = 0; round < 40000; round++) {
        size_t i = rng_below(&r, 8);
        size_t len = 1 + (size_t)(offset[i] * 37 % 900);
        if (held[i]) {
            if (!is_block(held[i], file[i], offset[i], len)) atomic_fetch_add(x->wrong, 1);
            cache_release(x->c, held[i]);
        }
        file[i] = rng_below(&r, 4);
        offset[i] = rng_below(&r, 500);
        len = 1 + (size_t)(offset[i] * 37 % 900);
        held[i] = cache_lookup(x->c, file[i], offset[i]);
        if (!held[i]) held[i] = cache_insert(x->c, file[i], offset[i], block_bytes(file[i], offset[i], len), len);
        if (!held[i] || !is_block(held[i], file[i], offset[i], len)) atomic_fetch_add(x->wrong, 1);
        if (rng_below(&r, 2000) == 0) cache_drop_file(x->c, rng_below(&r, 4));
        if (rng_below(&r, 1000) == 0 && cache_get_stats(x->c).bytes > cache_get_stats(x->c).capacity)
            atomic_fetch_add(x->wrong, 1);
    }
    for (int i = 0; i < 8; i++)
        if (held[i]) cache_release(x->c, held[i]);
    return NULL;
}

static void many_threads_always_get_the_block_they_asked_for(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    rng               r = { test_seed() };
    size_t            sizes[] = { 100000, 2 << 20 }; /* one shard that is always full; several with room */
    _Atomic(uint64_t) wrong = 0;
    for (int round = 0; round < 2; round++) {
        cache    *c = cache_new(sizes[round]);
        pthread_t threads[THREADS];
        stress    work[THREADS];
        for (int i = 0; i < THREADS; i++) {
            work[i] = (stress){ c, rng_next(&r), &wrong };
            assert_int_equal(pthread_create(&threads[i], NULL, use_at_random, &work[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        assert_int_equal(wrong, 0);
        for (uint64_t file = 0; file < 4; file++) cache_drop_file(c, file);
        assert_int_equal(cache_get_stats(c).bytes, 0);
        cache_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_found_under_its_file_and_offset_only),
        cmocka_unit_test(the_first_of_two_insertions_wins),
        cmocka_unit_test(the_limit_holds_and_blocks_that_are_used_stay_through_a_scan),
        cmocka_unit_test(a_held_block_stays_whatever_happens),
        cmocka_unit_test(dropping_a_file_leaves_the_others),
        cmocka_unit_test(a_cache_of_no_size_keeps_nothing_and_still_serves),
        cmocka_unit_test(many_threads_always_get_the_block_they_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
