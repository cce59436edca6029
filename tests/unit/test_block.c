/* Data blocks: against a sorted array in both directions, and malformed in every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/block.h"
#include "engine/prefix.h"
#include "tests/unit/entries.h"

static buf build(const entries *e)
{
    block_builder b = { 0 };
    buf           out = { 0 };
    for (size_t i = 0; i < e->n; i++) {
        size_t shared = common_prefix(buf_slice(&b.last_key), e->at[i].key);
        assert_true(block_builder_add(&b, e->at[i].key, shared, e->at[i].trailer, e->at[i].value));
    }
    size_t said = block_builder_bytes(&b);
    assert_true(block_builder_finish(&b, &out));
    assert_in_range(out.len, said, said + BLOCK_PREFIX_MAX);
    assert_int_equal(b.entries, 0);
    block_builder_free(&b);
    return out;
}

static void assert_stands(const block_cursor *c, const entries *e, size_t i)
{
    if (i >= e->n) { /* n, and -1 */
        assert_false(c->valid);
        assert_null(c->problem);
        return;
    }
    assert_true(c->valid);
    assert_true(entry_is(&(entry){ buf_slice(&c->key), c->trailer, c->value }, &e->at[i]));
}

static void compare_walks(const block *b, const entries *e)
{
    block_cursor c = { 0 };
    block_cursor_set(&c, b);
    size_t i = 0;
    for (block_cursor_first(&c); c.valid; block_cursor_next(&c)) assert_stands(&c, e, i++);
    assert_null(c.problem);
    assert_int_equal(i, e->n);
    for (block_cursor_last(&c); c.valid; block_cursor_prev(&c)) assert_stands(&c, e, --i);
    assert_null(c.problem);
    assert_int_equal(i, 0);
    block_cursor_free(&c);
}

static void compare_searches(rng *r, const block *b, const entries *e, key_style style)
{
    block_cursor c = { 0 };
    buf          key = { 0 };
    block_cursor_set(&c, b);
    for (int round = 0; round < 100; round++) {
        uint64_t trailer = seek_trailer(rng_below(r, 100000));
        random_key(r, style, &key);
        if (rng_below(r, 2)) {
            const entry *like = &e->at[rng_below(r, e->n)];
            buf_set(&key, like->key);
            if (rng_below(r, 2)) trailer = like->trailer;
        }
        slice  k = buf_slice(&key);
        size_t i = entries_before(e, k, trailer);
        bool   exact = i < e->n && entry_compare(e->at[i].key, e->at[i].trailer, k, trailer) == 0;
        entry  found;
        bool   present;
        assert_null(block_get(b, k, trailer, &found, &present));
        assert_int_equal(present, i < e->n && slice_equal(e->at[i].key, k));
        if (present) assert_true(entry_is(&found, &e->at[i]));
        block_cursor_seek_back(&c, k, trailer);
        assert_stands(&c, e, exact ? i : i - 1);
        block_cursor_seek(&c, k, trailer);
        assert_stands(&c, e, i);
        /* A walk to and fro from there. */
        for (int step = 0; step < 20 && c.valid; step++) {
            if (rng_below(r, 2)) {
                block_cursor_next(&c);
                i++;
            } else {
                block_cursor_prev(&c);
                i--;
            }
            assert_stands(&c, e, i);
        }
        if (c.valid) { /* a cursor may seek the key it stands on */
            block_cursor_seek(&c, buf_slice(&c.key), c.trailer);
            assert_stands(&c, e, i);
        }
    }
    block_cursor_free(&c);
    chr_buf_free(&key);
}

static void a_block_gives_back_what_was_put_in_in_both_directions(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (int round = 0; round < 400; round++) {
        key_style style = (key_style)(round % KEY_STYLES);
        size_t    n = 1 + rng_below(&r, round % 3 ? 100 : 20);
        entries   e = random_entries(&r, style, style == KEYS_HUGE ? 1 + n / 10 : n, 1 + (size_t)round % 12, 3000);
        buf       bytes = build(&e);
        block     b;
        assert_null(block_open(buf_slice(&bytes), &b));
        assert_int_equal(b.n_entries, e.n);
        compare_walks(&b, &e);
        compare_searches(&r, &b, &e, style);
        chr_buf_free(&bytes);
        entries_free(&e);
    }
}

static void the_longest_key_and_value_fit(void **state)
{
    (void)state;
    char *bytes = malloc(ENGINE_VALUE_MAX);
    assert_non_null(bytes);
    memset(bytes, 'v', ENGINE_VALUE_MAX);
    entry   at[] = { { chr_bytes("", 0), trailer_of(SEQ_MAX, KIND_PUT), chr_bytes(bytes, ENGINE_VALUE_MAX) },
                     { chr_bytes(NULL, 0), trailer_of(0, KIND_DELETE), chr_bytes(NULL, 0) },
                     { chr_bytes(bytes, ENGINE_KEY_MAX), trailer_of(1, KIND_PUT), chr_bytes(bytes, ENGINE_VALUE_MAX) } };
    entries e = { at, 3 };
    buf     raw = build(&e);
    block   b;
    assert_null(block_open(buf_slice(&raw), &b));
    compare_walks(&b, &e);
    chr_buf_free(&raw);
    free(bytes);
}

/* Everything a block can be asked; ends, and stays within the bytes (the sanitizers see to that). */
static void exercise(slice raw, const entries *e)
{
    block b;
    if (block_open(raw, &b)) return;
    block_cursor c = { 0 };
    size_t       steps = 0, most = (size_t)b.n_entries + 1;
    block_cursor_set(&c, &b);
    for (block_cursor_first(&c); c.valid; block_cursor_next(&c)) assert_true(++steps <= most);
    block_cursor_set(&c, &b);
    steps = 0;
    for (block_cursor_last(&c); c.valid; block_cursor_prev(&c)) assert_true(++steps <= most);
    for (size_t i = 0; i < e->n; i++) {
        entry found;
        bool  present;
        if (!block_get(&b, e->at[i].key, e->at[i].trailer, &found, &present) && present && found.value.len) {
            const char *value = found.value.data;
            assert_true(value >= raw.data && value + found.value.len <= raw.data + raw.len);
        }
        block_cursor_set(&c, &b);
        block_cursor_seek(&c, e->at[i].key, e->at[i].trailer);
        block_cursor_set(&c, &b);
        block_cursor_seek_back(&c, e->at[i].key, e->at[i].trailer);
        if (c.valid) block_cursor_next(&c);
        if (c.valid) block_cursor_prev(&c);
    }
    block_cursor_free(&c);
}

/* A copy that ends where its memory does. */
static char *tight(slice s)
{
    char *p = malloc(s.len ? s.len : 1);
    assert_non_null(p);
    memcpy(p, s.data, s.len);
    return p;
}

static void no_malformed_block_is_read_beyond_its_end_or_forever(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    entries e = random_entries(&r, KEYS_PATHS, 30, 4, 20);
    buf     bytes = build(&e);
    slice   all = buf_slice(&bytes);
    for (size_t i = 0; i < all.len; i++) {
        for (int k = 0; k < 4; k++) {
            static const uint8_t masks[] = { 0x01, 0x80, 0xff };
            char                *p = tight(all);
            p[i] = (char)(p[i] ^ (k < 3 ? masks[k] : (uint8_t)(1 + rng_below(&r, 255))));
            exercise(chr_bytes(p, all.len), &e);
            free(p);
        }
        char *p = tight(chr_bytes(all.data, i));
        exercise(chr_bytes(p, i), &e);
        free(p);
    }
    /* Many wrong bytes at once, with the tail as it is so that it is opened. */
    for (int round = 0; round < 3000; round++) {
        char *p = tight(all);
        for (size_t n = 1 + rng_below(&r, 8); n > 0; n--) p[rng_below(&r, all.len - 17)] = (char)rng_next(&r);
        exercise(chr_bytes(p, all.len), &e);
        free(p);
    }
    chr_buf_free(&bytes);
    entries_free(&e);
}

static void entries_out_of_order_are_noticed_while_walking(void **state)
{
    (void)state;
    static const char *const keys[] = { "b", "c", "a" };
    block_builder            b = { 0 };
    buf                      out = { 0 };
    block                    opened;
    block_cursor             c = { 0 };
    for (int i = 0; i < 3; i++)
        assert_true(block_builder_add(&b, chr_str(keys[i]), 0, trailer_of(1, KIND_PUT), chr_str("v")));
    assert_true(block_builder_finish(&b, &out));
    assert_null(block_open(buf_slice(&out), &opened));
    block_cursor_set(&c, &opened);
    block_cursor_first(&c);
    block_cursor_next(&c);
    assert_true(c.valid);
    block_cursor_next(&c);
    assert_false(c.valid);
    assert_non_null(c.problem);
    block_cursor_free(&c);
    chr_buf_free(&out);
    block_builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_gives_back_what_was_put_in_in_both_directions),
        cmocka_unit_test(the_longest_key_and_value_fit),
        cmocka_unit_test(no_malformed_block_is_read_beyond_its_end_or_forever),
        cmocka_unit_test(entries_out_of_order_are_noticed_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
