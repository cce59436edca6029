/* The bijection between keys and paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/path.h"

#include <stdio.h>
#include <stdlib.h>

/* The path of a key, components joined by slashes. */
static void path_of_key(slice key, buf *path)
{
    buf    prefix = { 0 };
    bool   partial = false;
    size_t at = 0;
    path->len = 0;
    for (;;) {
        char   name[NAME_BYTES_MAX + 1];
        size_t used;
        bool   piece;
        place  here = { .prefix = buf_slice(&prefix), .partial = partial };
        assert_true(path_encode(here, slice_from(key, at), name, &used, &piece));
        assert_in_range(strlen(name), 1, NAME_BYTES_MAX);
        if (path->len) assert_true(buf_append_byte(path, '/'));
        assert_true(buf_append(path, name, strlen(name)));
        bool again;
        assert_true(path_decode(here, name, &prefix, &again));
        assert_int_equal(again, piece);
        at += used;
        partial = piece;
        if (piece) continue;
        if (at == key.len) break;
        assert_int_equal(key.data[at], '/');
        at++;
        assert_true(buf_append_byte(&prefix, '/'));
    }
    assert_true(slice_equal(buf_slice(&prefix), key));
    assert_true(buf_append_byte(path, 0));
    chr_buf_free(&prefix);
}

static void assert_path(slice key, const char *expected)
{
    buf path = { 0 };
    path_of_key(key, &path);
    assert_string_equal(path.data, expected);
    chr_buf_free(&path);
}

static void ordinary_names_stand_for_themselves(void **state)
{
    (void)state;
    assert_path(chr_str("greeting"), "greeting");
    assert_path(chr_str("etc/app/debug"), "etc/app/debug");
    assert_path(chr_str("100%.txt"), "100%.txt");
    assert_path(chr_str("a b\n\xff"), "a b\n\xff");
    assert_path(chr_str("a/.chronos"), "a/.chronos");
    assert_path(chr_str("..."), "...");
}

static void what_cannot_be_a_name_is_escaped(void **state)
{
    (void)state;
    assert_path(chr_str(""), "%=");
    assert_path(chr_str("/"), "%=/%=");
    assert_path(chr_str("a//b"), "a/%=/b");
    assert_path(chr_str("a/"), "a/%=");
    assert_path(chr_str("."), "%=%2E");
    assert_path(chr_str("a/../b"), "a/%=%2E%2E/b");
    assert_path(chr_str(".chronos"), "%=%2Echronos");
    assert_path(chr_str("%=self"), "%=%25=self");
    assert_path(chr_bytes("a\0b%", 4), "%=a%00b%25");
    assert_path(chr_bytes("+\0", 2), "%=%2B%00");
    assert_path(chr_str("+plain"), "+plain");
}

static void long_components_are_cut_in_pieces(void **state)
{
    (void)state;
    static const size_t lengths[] = { 254, 255, 256, 257, 504, 505, 1000, 60000 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        buf key = { 0 }, path = { 0 };
        assert_true(buf_reserve(&key, lengths[i] + 4));
        memset(key.data, 'k', lengths[i]);
        key.len = lengths[i];
        path_of_key(buf_slice(&key), &path);
        assert_int_equal(strchr(path.data, '/') != NULL, lengths[i] > 255);
        assert_true(buf_append(&key, "/x", 2));
        path_of_key(buf_slice(&key), &path);
        chr_buf_free(&key);
        chr_buf_free(&path);
    }
}

static void names_that_are_not_spelt_right_do_not_exist(void **state)
{
    (void)state;
    static const char *const wrong[] = { "%=abc", "%=%2e",  "%=%41",  "%=%",           "%=%2",    ".",
                                         "..",    "%=+abc", "%=-abc", "%=%2Echronosx", ".chronos" };
    place                    root = { .prefix = chr_bytes("", 0) };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buf  raw = { 0 };
        bool piece;
        if (path_decode(root, wrong[i], &raw, &piece)) fail_msg("%s was understood", wrong[i]);
        assert_int_equal(raw.len, 0);
        chr_buf_free(&raw);
    }
}

static void random_binary_keys_come_back(void **state)
{
    (void)state;
    const char *text = getenv("SEED");
    unsigned    seed = text ? (unsigned)strtoul(text, NULL, 10) : 7;
    print_message("seed %u\n", seed);
    srandom(seed);
    for (int i = 0; i < 20000; i++) {
        static const char likely[] = "//..%=%=\0\0a";
        char              key[700];
        size_t            len = (size_t)random() % (i % 50 == 0 ? sizeof key : 24);
        for (size_t k = 0; k < len; k++) {
            long r = random();
            key[k] = (char)(r % 3 ? likely[(size_t)(r / 3) % (sizeof likely - 1)] : r / 3);
            if (i % 50 == 0 && key[k] == '/') key[k] = '%';
        }
        buf path = { 0 };
        path_of_key(chr_bytes(key, len), &path);
        chr_buf_free(&path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_names_stand_for_themselves),
        cmocka_unit_test(what_cannot_be_a_name_is_escaped),
        cmocka_unit_test(long_components_are_cut_in_pieces),
        cmocka_unit_test(names_that_are_not_spelt_right_do_not_exist),
        cmocka_unit_test(random_binary_keys_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
