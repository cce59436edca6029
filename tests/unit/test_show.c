/* Bytes made fit to be seen, and replies of a server as text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/reply.h"
#include "cli/show.h"

static void becomes(const char *bytes, size_t len, const char *expected)
{
    buf text = { 0 };
    assert_true(append_escaped(&text, chr_bytes(bytes, len)) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, expected);
    chr_buf_free(&text);
}
#define ESCAPED(literal, expected) becomes(literal, sizeof(literal) - 1, expected)

static void what_can_be_seen_stays_and_the_rest_is_escaped(void **state)
{
    (void)state;
    ESCAPED("", "");
    ESCAPED("user:101 {\"a\"}", "user:101 {\"a\"}");
    ESCAPED("a\\n", "a\\\\n");
    ESCAPED("a\nb\tc\rd", "a\\nb\\tc\\rd");
    ESCAPED("\x00\x1b[31m\x7f", "\\x00\\x1b[31m\\x7f");
    ESCAPED("Größe € 😀", "Größe € 😀");
}

static void only_well_formed_utf8_without_control_characters_passes(void **state)
{
    (void)state;
    ESCAPED("\xff\x80", "\\xff\\x80");
    ESCAPED("\xc3", "\\xc3"); /* cut off */
    ESCAPED("\xe2\x82", "\\xe2\\x82");
    ESCAPED("\xc0\xaf", "\\xc0\\xaf"); /* longer than need be */
    ESCAPED("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
    ESCAPED("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* half a surrogate pair */
    ESCAPED("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    ESCAPED("\xc2\x9b", "\\xc2\\x9b");          /* the other ESC [ */
    ESCAPED("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* turns the order of letters */
}

static void size_is(double bytes, const char *expected)
{
    buf text = { 0 };
    assert_true(append_size(&text, bytes) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, expected);
    chr_buf_free(&text);
}

static void sizes_are_short(void **state)
{
    (void)state;
    size_is(0, "0 B");
    size_is(1023, "1023 B");
    size_is(1024, "1.0 KiB");
    size_is(1536, "1.5 KiB");
    size_is(1024 * 1023.9, "1023.9 KiB");
    size_is(1024 * 1023.96, "1.0 MiB");
    size_is(3.25 * 1024 * 1024 * 1024, "3.2 GiB");
    size_is(1e30, "888178419700125.2 PiB"); /* there is no end to the last one */
}

static void count_is(double count, const char *expected)
{
    buf text = { 0 };
    assert_true(append_count(&text, count) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, expected);
    chr_buf_free(&text);
}

static void counts_are_short(void **state)
{
    (void)state;
    count_is(0, "0");
    count_is(0.01, "0");
    count_is(0.4, "0.4");
    count_is(3, "3");
    count_is(12.6, "13");
    count_is(999, "999");
    count_is(999.96, "1.0k");
    count_is(12345, "12.3k");
    count_is(4e6, "4.0M");
    count_is(5e15, "5000.0T");
}

/* Feeds `wire` to hiredis and shows the reply both ways. */
static void shown(const char *wire, const char *pretty, const char *plain)
{
    redisReader *reader_ = redisReaderCreate();
    void        *reply = NULL;
    buf          text = { 0 };
    assert_non_null(reader_);
    assert_int_equal(redisReaderFeed(reader_, wire, strlen(wire)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader_, &reply), REDIS_OK);
    assert_non_null(reply);
    assert_true(reply_append_pretty(&text, reply) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, pretty);
    text.len = 0;
    assert_true(reply_append_plain(&text, reply) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, plain);
    chr_buf_free(&text);
    freeReplyObject(reply);
    redisReaderFree(reader_);
}

static void replies_look_as_in_redis_cli(void **state)
{
    (void)state;
    shown("+OK\r\n", "OK\n", "OK\n");
    shown("-ERR no\r\n", "(error) ERR no\n", "ERR no\n");
    shown(":42\r\n", "(integer) 42\n", "42\n");
    shown("$-1\r\n", "(nil)\n", "\n");
    shown("$7\r\na \"b\"\n!\r\n", "\"a \\\"b\\\"\\n!\"\n", "a \"b\"\n!\n");
    shown("*0\r\n", "(empty array)\n", "");
    shown("*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", "1) \"a\"\n2) 1) (integer) 1\n   2) (nil)\n", "a\n1\n\n");
}

static void numbers_of_a_long_list_stand_below_each_other(void **state)
{
    (void)state;
    shown("*10\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
          " 1) (integer) 0\n 2) (integer) 0\n 3) (integer) 0\n 4) (integer) 0\n 5) (integer) 0\n 6) (integer) 0\n"
          " 7) (integer) 0\n 8) (integer) 0\n 9) (integer) 0\n10) (integer) 0\n",
          "0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_seen_stays_and_the_rest_is_escaped),
        cmocka_unit_test(only_well_formed_utf8_without_control_characters_passes),
        cmocka_unit_test(sizes_are_short),
        cmocka_unit_test(counts_are_short),
        cmocka_unit_test(replies_look_as_in_redis_cli),
        cmocka_unit_test(numbers_of_a_long_list_stand_below_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
