/* The table of records that are read often: what gets in, what is found, what is not any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "object/hot.h"

enum { BYTES = 4 << 20 };
#define HASH UINT64_C(0x123456789abcdef)

static void remember(void *arg, slice record) { assert_true(buf_set(arg, record)); }

static bool offer(hot *h, uint64_t hash, const char *key, uint64_t version, uint64_t seq, const char *record)
{
    hot_slot *s = hot_offer(h, hash, chr_str(key), version, chr_str(record));
    if (s) hot_settle(s, seq);
    return s;
}

/* NULL: not found. */
static const char *found(hot *h, uint64_t hash, const char *key, uint64_t version, uint64_t newest)
{
    static char text[300];
    buf         got = { 0 };
    uint64_t    seq = 0;
    bool        there = hot_visit(h, hash, chr_str(key), version, newest, remember, &got, &seq);
    if (there) {
        assert_true(seq > 0 && seq <= newest);
        snprintf(text, sizeof text, "%.*s", (int)got.len, got.data ? got.data : "");
    }
    chr_buf_free(&got);
    return there ? text : NULL;
}

static void a_record_gets_in_when_it_is_asked_for_again(void **state)
{
    (void)state;
    hot *h = hot_new(BYTES);
    assert_non_null(h);
    assert_null(found(h, HASH, "key", 0, 9));
    assert_false(offer(h, HASH, "key", 0, 5, "first"));
    assert_null(found(h, HASH, "key", 0, 9));
    assert_true(offer(h, HASH, "key", 0, 5, "first"));
    assert_string_equal(found(h, HASH, "key", 0, 9), "first");
    assert_null(found(h, HASH, "kex", 0, 9)); /* another key with the same hash */
    assert_null(found(h, HASH, "keys", 0, 9));
    assert_null(found(h, HASH + (UINT64_C(2) << 48), "key", 0, 9));
    hot_free(h);
}

static void what_was_replaced_is_not_found(void **state)
{
    (void)state;
    hot *h = hot_new(BYTES);
    offer(h, HASH, "key", 3, 5, "old");
    assert_true(offer(h, HASH, "key", 3, 5, "old"));
    assert_null(found(h, HASH, "key", 4, 9)); /* its stripe has been written to */
    assert_null(found(h, HASH, "key", 3, 4)); /* nobody has acknowledged it yet */
    assert_true(offer(h, HASH, "key", 4, 8, ""));
    assert_string_equal(found(h, HASH, "key", 4, 9), "");
    assert_null(found(h, HASH, "key", 3, 9));
    assert_true(offer(h, HASH, "key", 4, 0, "an error came after it")); /* not to be kept */
    assert_null(found(h, HASH, "key", 4, 9));
    hot_free(h);
}

static void what_is_used_stays_and_what_is_not_makes_room(void **state)
{
    (void)state;
    hot           *h = hot_new(BYTES);
    const uint64_t high = UINT64_C(2) << 48; /* of one set, all of them */
    for (int twice = 0; twice < 2; twice++) offer(h, HASH + high, "a", 0, 1, "A");
    for (int twice = 0; twice < 2; twice++) offer(h, HASH + 2 * high, "b", 0, 1, "B");
    assert_string_equal(found(h, HASH + high, "a", 0, 1), "A");
    assert_string_equal(found(h, HASH + 2 * high, "b", 0, 1), "B");
    assert_false(offer(h, HASH + 3 * high, "c", 0, 1, "C"));
    assert_false(offer(h, HASH + 3 * high, "c", 0, 1, "C")); /* both were used, and are spared this time */
    assert_string_equal(found(h, HASH + high, "a", 0, 1), "A");
    assert_true(offer(h, HASH + 3 * high, "c", 0, 1, "C"));
    assert_string_equal(found(h, HASH + 3 * high, "c", 0, 1), "C");
    assert_string_equal(found(h, HASH + high, "a", 0, 1), "A");
    assert_null(found(h, HASH + 2 * high, "b", 0, 1));
    hot_free(h);
}

static void what_does_not_fit_stays_outside(void **state)
{
    (void)state;
    hot *h = hot_new(BYTES);
    char record[200] = { 0 };
    memset(record, 'x', sizeof record - 1);
    offer(h, HASH, "key", 0, 1, record);
    assert_false(offer(h, HASH, "key", 0, 1, record));
    record[120] = 0;
    offer(h, HASH, "key", 0, 1, record);
    assert_true(offer(h, HASH, "key", 0, 1, record));
    assert_string_equal(found(h, HASH, "key", 0, 1), record);
    hot_free(h);
}

static void without_memory_for_it_it_is_not_there(void **state)
{
    (void)state;
    assert_null(hot_new(1000));
    assert_null(found(NULL, HASH, "key", 0, 1));
    assert_false(offer(NULL, HASH, "key", 0, 1, "x"));
    hot_prefetch(NULL, HASH);
    hot_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_gets_in_when_it_is_asked_for_again),
        cmocka_unit_test(what_was_replaced_is_not_found),
        cmocka_unit_test(what_is_used_stays_and_what_is_not_makes_room),
        cmocka_unit_test(what_does_not_fit_stays_outside),
        cmocka_unit_test(without_memory_for_it_it_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
