/* What rules allow, and how they are told. What Redis has is compared with it in tests/shell/77; here is what only we have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/rights.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 16 };

static size_t split(const char *text, slice words[WORDS_MAX])
{
    size_t n = 0;
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, " ");
        assert_true(n < WORDS_MAX);
        words[n++] = len == 2 && at[0] == '"' ? chr_str("") : chr_bytes(at, len); /* "" is nothing */
        at += len + (at[len] == ' ');
    }
    return n;
}

static rights *made_of(const char *rules)
{
    slice   words[WORDS_MAX];
    size_t  n = split(rules, words);
    rights *x = rights_new();
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        if (rights_apply(x, words[i]) != CHR_OK) fail_msg("%s: %s", rules, chr_message());
    return x;
}

static void assert_told(const char *rules, const char *expected)
{
    rights *x = made_of(rules);
    buf     text = { 0 };
    assert_true(rights_put(x, &text) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, expected);
    chr_buf_free(&text);
    rights_drop(x);
}

static verdict may(const char *rules, const char *what)
{
    slice          words[WORDS_MAX];
    size_t         n = split(what, words);
    rights        *x = made_of(rules);
    const command *c = command_find(words[0]);
    assert_non_null(c);
    verdict found = rights_check(x, c, words, n, NULL);
    rights_drop(x);
    return found;
}
#define ASSERT_MAY(rules, what) assert_int_equal(may(rules, what), MAY)
#define ASSERT_NO_KEY(rules, what) assert_int_equal(may(rules, what), MAY_NOT_USE_KEY)

static void rules_are_told_so_that_they_make_the_same(void **state)
{
    (void)state;
    assert_told("", "resetchannels -@all");
    assert_told("allkeys allchannels allcommands", "~* &* +@all");
    assert_told("~a %W~b %R~b ~c %R~c &x", "~a ~b ~c resetchannels &x -@all");
    assert_told("%R~* %W~*", "~* resetchannels -@all");
    assert_told("+@all -get +@read -@READ", "resetchannels +@all -get -@read");
    assert_told("+client|id +client|list -client", "resetchannels -@all -client");
    assert_told("+get -@all +set", "resetchannels -@all +set");
    assert_told("+get +getex -get", "resetchannels -@all +getex -get");
}

static void a_rule_that_is_wrong_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = { "",      "x",    "+x",    "-@x", "+client|x", "+get|x", "%~x",  "%R", "%RX~a",
                                       "~a\nb", "&a b", "@read", "+@",  "on",        ">pw",    "(~a)", "%" };
    rights                  *x = made_of("~a %R~b &c +get");
    buf                      before = { 0 }, after = { 0 };
    assert_true(rights_put(x, &before));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rights_apply(x, chr_str(bad[i])), CHR_INVALID);
    assert_int_equal(rights_apply(x, chr_bytes("~a\0b", 4)), CHR_INVALID);
    assert_true(rights_put(x, &after));
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    chr_buf_free(&before);
    chr_buf_free(&after);
    rights_drop(x);
}

/* RANGE and its kin name no keys, so one pattern must cover the whole range. */
static void a_range_must_be_covered(void **state)
{
    (void)state;
    ASSERT_MAY("+@all ~*", "range a b");
    ASSERT_MAY("+@all %R~*", "range a \"\"");
    ASSERT_NO_KEY("+@all %W~*", "range a b");
    ASSERT_MAY("+@all ~app:*", "range app: app;");
    ASSERT_MAY("+@all ~app:*", "range app:1 app:2");
    ASSERT_MAY("+@all ~app:*", "countrange app:1 app:");
    ASSERT_NO_KEY("+@all ~app:*", "range app: app;a");
    ASSERT_NO_KEY("+@all ~app:*", "range app: \"\"");
    ASSERT_NO_KEY("+@all ~app:*", "range app apq");
    ASSERT_NO_KEY("+@all ~app:*", "range app: b");
    ASSERT_NO_KEY("+@all ~app:? ~app:*x ~[a]pp:*", "range app:1 app:2");
    ASSERT_MAY("+@all ~a\xff\xff*", "range a\xff\xff b");
    ASSERT_NO_KEY("+@all ~a\xff\xff*", "range a\xff\xff ba");
    ASSERT_MAY("+@all ~\xff*", "range \xff \"\"");
    ASSERT_MAY("+@all ~app:*", "prefix app:x");
    ASSERT_NO_KEY("+@all ~app:*", "prefix app");
    ASSERT_NO_KEY("+@all %R~app:*", "delrange app:1 app:2");
    ASSERT_MAY("+@all %W~app:*", "delrange app:1 app:2");
    ASSERT_NO_KEY("+@all ~app:*", "flushall");
    ASSERT_NO_KEY("+@all %R~*", "flushdb");
    ASSERT_MAY("+@all %W~*", "flushall");
    ASSERT_NO_KEY("+@all ~app:*", "randomkey");
    ASSERT_MAY("+@all %R~*", "randomkey");
    ASSERT_MAY("+@all", "keys *");
    ASSERT_MAY("+@all", "scan 0");
    ASSERT_MAY("+@all", "dbsize");
}

static void a_copy_does_not_change_with_what_it_was_made_of(void **state)
{
    (void)state;
    rights *x = made_of("~a +get"), *copy = rights_copy(x);
    assert_non_null(copy);
    assert_int_equal(rights_apply(x, chr_str("~b")), CHR_OK);
    assert_int_equal(rights_apply(x, chr_str("-get")), CHR_OK);
    assert_true(rights_to_key(x, chr_str("b"), KEYS_READ));
    assert_false(rights_to_key(copy, chr_str("b"), KEYS_READ));
    const slice get[] = { chr_str("get"), chr_str("a") };
    assert_int_equal(rights_check(copy, command_find(get[0]), get, 2, NULL), MAY);
    assert_int_equal(rights_check(x, command_find(get[0]), get, 2, NULL), MAY_NOT_RUN);
    rights_drop(x);
    assert_true(rights_to_key(copy, chr_str("a"), KEYS_READ | KEYS_WRITE));
    rights_drop(copy);
}

static void there_is_an_end_to_rules(void **state)
{
    (void)state;
    rights *x = rights_new();
    char    rule[32];
    size_t  n = 0;
    do snprintf(rule, sizeof rule, "~key%zu:*", n++);
    while (rights_apply(x, chr_str(rule)) == CHR_OK && n < 100000);
    assert_in_range(n, 1000, 10000);
    assert_int_equal(rights_apply(x, chr_str("~*")), CHR_OK);
    rights_drop(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_told_so_that_they_make_the_same),
        cmocka_unit_test(a_rule_that_is_wrong_changes_nothing),
        cmocka_unit_test(a_range_must_be_covered),
        cmocka_unit_test(a_copy_does_not_change_with_what_it_was_made_of),
        cmocka_unit_test(there_is_an_end_to_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
