/* The syntax of commands, as hints and completion read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/docs.h"
#include "cli/reply.h"

#include <stdlib.h>

static void what_is_left_to_say(void **state)
{
    (void)state;
    assert_string_equal(syntax_rest("key value [NX | XX] [GET]", 0), "key value [NX | XX] [GET]");
    assert_string_equal(syntax_rest("key value [NX | XX] [GET]", 1), "value [NX | XX] [GET]");
    assert_string_equal(syntax_rest("key value [NX | XX] [GET]", 2), "[NX | XX] [GET]");
    assert_string_equal(syntax_rest("key [key ...]", 1), "[key ...]");
    assert_string_equal(syntax_rest("AND | OR destkey key [key ...]", 1), "destkey key [key ...]");
    assert_string_equal(syntax_rest("key", 5), "");
    assert_string_equal(syntax_rest("", 0), "");
    assert_string_equal(syntax_rest("[a [b | c] d", 1), ""); /* not closed */
}

static void which_arguments_are_keys(void **state)
{
    (void)state;
    static const struct {
        const char *syntax, *keys; /* k: a key; anything else is none */
    } cases[] = {
        { "key value [NX | XX] [GET]", "k---" },
        { "key [key ...]", "kkkk" },
        { "key value [key value ...]", "k-k-k-" },
        { "AND | OR destkey key [key ...]", "-kkkk" },
        { "key start end", "k---" },
        { "start end [LIMIT count]", "kk--" },
        { "prefix [LIMIT count]", "k---" },
        { "source destination [DB destination-db] [REPLACE]", "kk--" },
        { "[message]", "--" },
        { "channel [channel ...]", "---" },
        { "", "-" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; cases[i].keys[k]; k++)
            if (syntax_wants_key(cases[i].syntax, k) != (cases[i].keys[k] == 'k'))
                fail_msg("argument %zu of %s", k, cases[i].syntax);
}

static void a_subcommand_is_found_before_its_command(void **state)
{
    (void)state;
    doc all[] = { { "object", "ENCODING key" }, { "object|freq", "key" }, { "get", "key" }, { "getset", "key value" } };
    docs        d = { all, sizeof all / sizeof *all };
    size_t      used;
    const slice freq[] = { chr_str("OBJECT"), chr_str("Freq") }, other[] = { chr_str("object"), chr_str("nosuch") };
    const slice get[] = { chr_str("GET"), chr_str("k") }, none[] = { chr_str("ge") };
    assert_ptr_equal(docs_find(&d, freq, 2, &used), &all[1]);
    assert_int_equal(used, 2);
    assert_ptr_equal(docs_find(&d, other, 2, &used), &all[0]);
    assert_int_equal(used, 1);
    assert_ptr_equal(docs_find(&d, get, 2, &used), &all[2]);
    assert_null(docs_find(&d, none, 1, &used));
    assert_null(docs_find(&d, none, 0, &used));
}

static void assert_json(const char *text, size_t len, const char *json)
{
    buf        out = { 0 };
    redisReply r = { .type = REDIS_REPLY_STRING, .str = malloc(len + 1), .len = len };
    assert_non_null(r.str);
    memcpy(r.str, text, len);
    assert_true(reply_append_json(&out, &r) && buf_append_byte(&out, 0));
    assert_string_equal(out.data, json);
    chr_buf_free(&out);
    free(r.str);
}

static void json_of_any_bytes(void **state)
{
    (void)state;
    assert_json("", 0, "\"\"\n");
    assert_json("a\"b\\c\n\t\0\x7f", 9, "\"a\\\"b\\\\c\\n\\u0009\\u0000\\u007f\"\n");
    assert_json("h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10, "\"h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"\n");
    assert_json("\xff", 1, "{\"base64\":\"/w==\"}\n");
    assert_json("ab\xc3", 3, "{\"base64\":\"YWLD\"}\n");
    assert_json("\xc0\x80", 2, "{\"base64\":\"wIA=\"}\n");             /* longer than need be */
    assert_json("\xed\xa0\x80", 3, "{\"base64\":\"7aCA\"}\n");         /* a surrogate */
    assert_json("\xf4\x90\x80\x80", 4, "{\"base64\":\"9JCAgA==\"}\n"); /* above the last one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_to_say),
        cmocka_unit_test(which_arguments_are_keys),
        cmocka_unit_test(a_subcommand_is_found_before_its_command),
        cmocka_unit_test(json_of_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
