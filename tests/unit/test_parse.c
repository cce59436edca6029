/* From bytes to commands: both parsers, wherever the bytes are cut, and whatever a client sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/glob.h"
#include "net/parse.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_arg(const arguments *a, size_t i, const char *expected)
{
    assert_true(i < a->n);
    assert_int_equal(a->at[i].len, strlen(expected));
    assert_memory_equal(a->at[i].data, expected, a->at[i].len);
}

static void a_command_is_found_wherever_its_bytes_are_cut(void **state)
{
    (void)state;
    const char  frame[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$7\r\na\r\nb\r\nc\r\n";
    size_t      len = sizeof frame - 1, used;
    arguments   a = { 0 };
    const char *error;
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(parse_resp(chr_bytes(frame, cut), &a, &used, &error), PARSE_MORE);
        assert_in_range(used, cut + (cut > 0), len + 1);
    }
    assert_int_equal(parse_resp(chr_bytes(frame, len), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(used, len);
    assert_int_equal(a.n, 3);
    assert_arg(&a, 0, "SET");
    assert_arg(&a, 2, "a\r\nb\r\nc");
    arguments_free(&a);
}

static void malformed_frames_are_refused_with_what_redis_says(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *error;
    } bad[] = {
        { "*x\r\n", "Protocol error: invalid multibulk length" },
        { "*1048577\r\n", "Protocol error: invalid multibulk length" },
        { "*1\r\n:5\r\n", "Protocol error: expected '$', got ':'" },
        { "*1\r\n$-1\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$536870913\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$9223372036854775807\r\n", "Protocol error: invalid bulk length" },
        { "get \"a\r\n", "Protocol error: unbalanced quotes in request" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        arguments   a = { 0 };
        size_t      used;
        const char *error = NULL;
        assert_int_equal(parse_resp(chr_str(bad[i].frame), &a, &used, &error), PARSE_BAD);
        assert_string_equal(error, bad[i].error);
        arguments_free(&a);
    }
}

static void an_endless_header_or_line_is_refused(void **state)
{
    (void)state;
    char       *many = malloc(INLINE_BYTES_MAX + 1);
    arguments   a = { 0 };
    size_t      used;
    const char *error;
    assert_non_null(many);
    memset(many, '1', INLINE_BYTES_MAX + 1);
    assert_int_equal(parse_resp(chr_bytes(many, INLINE_BYTES_MAX + 1), &a, &used, &error), PARSE_BAD);
    many[0] = '*';
    assert_int_equal(parse_resp(chr_bytes(many, 100), &a, &used, &error), PARSE_BAD);
    arguments_free(&a);
    free(many);
}

static void inline_commands_know_quotes(void **state)
{
    (void)state;
    arguments   a = { 0 };
    size_t      used;
    const char *error;
    assert_int_equal(parse_resp(chr_str("set  \"a \\x41\\n\" 'it\\'s'\r\n"), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(a.n, 3);
    assert_arg(&a, 1, "a A\n");
    assert_arg(&a, 2, "it's");
    arguments_free(&a);
}

static void the_value_of_a_line_is_its_rest_as_it_is(void **state)
{
    (void)state;
    arguments   a = { 0 };
    size_t      used;
    const char *error;
    assert_int_equal(parse_line(chr_str("SET user:101 {\"name\": \"Venom\"}  x\nGET"), &a, &used, &error),
                     PARSE_COMMAND);
    assert_int_equal(a.n, 3);
    assert_arg(&a, 2, "{\"name\": \"Venom\"}  x");
    assert_int_equal(parse_line(chr_str("set k   v\n"), &a, &used, &error), PARSE_COMMAND);
    assert_arg(&a, 2, "  v");
    assert_int_equal(parse_line(chr_str("SET k \n"), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(a.n, 3);
    assert_arg(&a, 2, "");
    assert_int_equal(parse_line(chr_str("SET k\n"), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(a.n, 2);
    assert_int_equal(parse_line(chr_str("  DEL  a  b \n"), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(a.n, 3);
    assert_int_equal(parse_line(chr_str("\n"), &a, &used, &error), PARSE_COMMAND);
    assert_int_equal(a.n, 0);
    assert_int_equal(parse_line(chr_str("PING"), &a, &used, &error), PARSE_MORE);
    arguments_free(&a);
}

static void numbers_are_canonical(void **state)
{
    (void)state;
    int64_t v;
    assert_true(parse_int64(chr_str("-9223372036854775808"), &v) && v == INT64_MIN);
    assert_true(parse_int64(chr_str("9223372036854775807"), &v) && v == INT64_MAX);
    assert_true(parse_int64(chr_str("0"), &v) && v == 0);
    static const char *const wrong[] = {
        "", "-", "+1", " 1", "1 ", "01", "-0", "9223372036854775808", "-9223372036854775809", "1e3"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(parse_int64(chr_str(wrong[i]), &v));
}

static void patterns_match_as_in_redis(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool        matches;
    } cases[] = {
        { "*", "", true },
        { "h?llo", "hello", true },
        { "h?llo", "hllo", false },
        { "h*llo", "heeeello", true },
        { "h[ae]llo", "hallo", true },
        { "h[ae]llo", "hillo", false },
        { "h[^e]llo", "hallo", true },
        { "h[a-b]llo", "hbllo", true },
        { "h[b-a]llo", "hbllo", true },
        { "a\\*b", "a*b", true },
        { "a\\*b", "axb", false },
        { "*a*b*c", "xxaxxbxxc", true },
        { "*a*b*c", "xxaxxbxx", false },
        { "[", "[", false },
        { "abc", "abcd", false },
        { "user:*", "user:1", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (glob_match(chr_str(cases[i].pattern), chr_str(cases[i].text)) != cases[i].matches)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
    assert_int_equal(glob_prefix(chr_str("user:*x")).len, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_found_wherever_its_bytes_are_cut),
        cmocka_unit_test(malformed_frames_are_refused_with_what_redis_says),
        cmocka_unit_test(an_endless_header_or_line_is_refused),
        cmocka_unit_test(inline_commands_know_quotes),
        cmocka_unit_test(the_value_of_a_line_is_its_rest_as_it_is),
        cmocka_unit_test(numbers_are_canonical),
        cmocka_unit_test(patterns_match_as_in_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
