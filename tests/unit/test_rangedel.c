/* Fragmented range tombstones against a list that is looked through one by one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/rangedel.h"
#include "entries.h"

typedef struct tombstones {
    range_tombstone *at;
    size_t           n;
} tombstones;

static tombstones random_tombstones(rng *r, key_style style, size_t n, uint64_t seqs)
{
    tombstones t = { calloc(n + 1, sizeof *t.at), 0 };
    buf        a = { 0 }, b = { 0 };
    if (!t.at) abort();
    while (t.n < n) {
        random_key(r, style, &a);
        random_key(r, style, &b);
        int c = slice_compare(buf_slice(&a), buf_slice(&b));
        if (c == 0) continue;
        slice start = copy_of(buf_slice(c < 0 ? &a : &b)), end = copy_of(buf_slice(c < 0 ? &b : &a));
        t.at[t.n++] = (range_tombstone){ start, end, 1 + rng_below(r, seqs) };
    }
    chr_buf_free(&a);
    chr_buf_free(&b);
    return t;
}

static void tombstones_free(tombstones *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free((void *)(uintptr_t)t->at[i].start.data);
        free((void *)(uintptr_t)t->at[i].end.data);
    }
    free(t->at);
}

static uint64_t covers(const tombstones *t, slice key, uint64_t at_seq)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < t->n; i++) {
        const range_tombstone *d = &t->at[i];
        if (d->seq <= at_seq && d->seq > newest && slice_compare(d->start, key) <= 0 && slice_compare(key, d->end) < 0)
            newest = d->seq;
    }
    return newest;
}

static void check_key(const tombstones *t, const rangedel *set, slice key, rng *r, uint64_t seqs)
{
    uint64_t seq = rng_below(r, 4) ? rng_below(r, seqs + 2) : SEQ_MAX;
    assert_int_equal(rangedel_covers(set, key, seq), covers(t, key, seq));
}

static void a_lookup_finds_the_newest_tombstone_that_covers_the_key(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (size_t round = 0; round < 120; round++) {
        key_style  style = (key_style)(round % KEYS_HUGE);
        uint64_t   seqs = round % 3 ? 1000 : 8; /* few seqs: tombstones share them */
        tombstones t = random_tombstones(&r, style, 1 + rng_below(&r, 60), seqs);
        rangedel  *set = rangedel_new(t.at, t.n);
        buf        key = { 0 };
        assert_non_null(set);
        for (size_t i = 0; i < t.n; i++) {
            check_key(&t, set, t.at[i].start, &r, seqs);
            check_key(&t, set, t.at[i].end, &r, seqs);
            (void)buf_set(&key, t.at[i].start);
            (void)buf_append_byte(&key, 0);
            check_key(&t, set, buf_slice(&key), &r, seqs);
            random_key(&r, style, &key);
            check_key(&t, set, buf_slice(&key), &r, seqs);
        }
        check_key(&t, set, chr_str(""), &r, seqs);
        chr_buf_free(&key);
        rangedel_free(set);
        tombstones_free(&t);
    }
}

static void fragments_are_sorted_disjoint_and_no_more_than_needed(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (size_t round = 0; round < 120; round++) {
        tombstones t =
            random_tombstones(&r, (key_style)(round % KEYS_HUGE), 1 + rng_below(&r, 60), round % 3 ? 1000 : 3);
        rangedel *set = rangedel_new(t.at, t.n);
        size_t    n = rangedel_count(set);
        assert_true(n > 0 && n < 2 * t.n);
        for (size_t i = 0; i < n; i++) {
            range_fragment f = rangedel_at(set, i);
            assert_true(slice_compare(f.start, f.end) < 0);
            assert_true(f.n_seqs > 0);
            for (size_t k = 0; k < f.n_seqs; k++) {
                if (k > 0) assert_true(f.seqs[k - 1] > f.seqs[k]);
                assert_int_equal(covers(&t, f.start, f.seqs[k]), f.seqs[k]);
            }
            if (i == 0) continue;
            range_fragment before = rangedel_at(set, i - 1);
            int            c = slice_compare(before.end, f.start);
            assert_true(c <= 0);
            if (c == 0)
                assert_false(before.n_seqs == f.n_seqs && memcmp(before.seqs, f.seqs, f.n_seqs * sizeof *f.seqs) == 0);
        }
        rangedel_free(set);
        tombstones_free(&t);
    }
}

static void fragments_of_fragments_are_the_same_again(void **state)
{
    (void)state;
    rng             r = { test_seed() };
    tombstones      t = random_tombstones(&r, KEYS_SHORT, 50, 20);
    rangedel       *set = rangedel_new(t.at, t.n);
    range_tombstone again[5000];
    size_t          n = 0;
    for (size_t i = 0; i < rangedel_count(set); i++) {
        range_fragment f = rangedel_at(set, i);
        for (size_t k = 0; k < f.n_seqs; k++) again[n++] = (range_tombstone){ f.start, f.end, f.seqs[k] };
    }
    rangedel *second = rangedel_new(again, n);
    assert_int_equal(rangedel_count(second), rangedel_count(set));
    for (size_t i = 0; i < rangedel_count(set); i++) {
        range_fragment a = rangedel_at(set, i), b = rangedel_at(second, i);
        assert_true(slice_equal(a.start, b.start) && slice_equal(a.end, b.end));
        assert_int_equal(a.n_seqs, b.n_seqs);
        assert_memory_equal(a.seqs, b.seqs, a.n_seqs * sizeof *a.seqs);
    }
    rangedel_free(second);
    rangedel_free(set);
    tombstones_free(&t);
}

static void a_tombstone_cut_in_two_becomes_one_again(void **state)
{
    (void)state;
    range_tombstone two[] = { { chr_str("m"), chr_str("z"), 5 }, { chr_str("a"), chr_str("m"), 5 } };
    rangedel       *set = rangedel_new(two, 2);
    assert_int_equal(rangedel_count(set), 1);
    range_fragment f = rangedel_at(set, 0);
    assert_true(slice_equal(f.start, chr_str("a")) && slice_equal(f.end, chr_str("z")) && f.n_seqs == 1);
    rangedel_free(set);
}

static void no_tombstones_and_empty_ranges_cover_nothing(void **state)
{
    (void)state;
    range_tombstone none[] = { { chr_str("b"), chr_str("b"), 5 }, { chr_str("c"), chr_str("a"), 6 } };
    rangedel       *set = rangedel_new(none, 2), *empty = rangedel_new(NULL, 0);
    assert_int_equal(rangedel_count(set), 0);
    assert_int_equal(rangedel_covers(set, chr_str("b"), SEQ_MAX), 0);
    assert_int_equal(rangedel_covers(empty, chr_str("b"), SEQ_MAX), 0);
    assert_int_equal(rangedel_covers(NULL, chr_str("b"), SEQ_MAX), 0);
    rangedel_free(set);
    rangedel_free(empty);
}

static void keys_are_copied(void **state)
{
    (void)state;
    char            start[] = "abc", end[] = "abd";
    range_tombstone t = { chr_str(start), chr_str(end), 9 };
    rangedel       *set = rangedel_new(&t, 1);
    memset(start, 'x', 3);
    memset(end, 'x', 3);
    assert_int_equal(rangedel_covers(set, chr_str("abcc"), 9), 9);
    assert_int_equal(rangedel_covers(set, chr_str("abcc"), 8), 0);
    assert_int_equal(rangedel_covers(set, chr_str("abd"), 9), 0);
    rangedel_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_finds_the_newest_tombstone_that_covers_the_key),
        cmocka_unit_test(fragments_are_sorted_disjoint_and_no_more_than_needed),
        cmocka_unit_test(fragments_of_fragments_are_the_same_again),
        cmocka_unit_test(a_tombstone_cut_in_two_becomes_one_again),
        cmocka_unit_test(no_tombstones_and_empty_ranges_cover_nothing),
        cmocka_unit_test(keys_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
