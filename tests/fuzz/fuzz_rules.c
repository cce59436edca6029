/* Rules of ACL SETUSER, one a line: what they make is told in rules that make the same again, and who may see a range may see each key
 * in it. The first two lines are the ends of the range, too. */
#include "net/rights.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice next_word(slice *left, char separator)
{
    const char *end = left->len ? memchr(left->data, separator, left->len) : NULL;
    slice       word = end ? chr_bytes(left->data, (size_t)(end - left->data)) : *left;
    *left = end ? slice_from(*left, word.len + 1) : chr_bytes("", 0);
    return word;
}

static void assert_same(const rights *a, const rights *b)
{
    static const char *const words[] = { "", "a", "app:1", "x" };
    for (const command *c = command_table; c < command_table + command_count; c++) {
        const subcommand *sub = subcommands_of(c);
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            slice  args[4], what;
            size_t n = c->arity < 0 ? (size_t)-c->arity : (size_t)c->arity;
            for (size_t i = 0; i < 4; i++) args[i] = chr_str(words[w]);
            if (n > 4) continue;
            assert(rights_check(a, c, args, n, &what) == rights_check(b, c, args, n, NULL));
        }
        for (; sub && sub->name; sub++) {
            slice args[] = { chr_str(c->name), chr_str(sub->name), chr_str("a"), chr_str("a") };
            assert(rights_check(a, c, args, 2, NULL) == rights_check(b, c, args, 2, NULL));
        }
    }
}

static void assert_range_is_sound(const rights *x, slice start, slice end)
{
    const slice args[] = { chr_str("range"), start, end };
    buf         key = { 0 };
    if (rights_check(x, command_find(args[0]), args, 3, NULL) != MAY) return;
    for (int more = -1; more < 256;
         more++) /* the start, and what comes soon behind it; and behind each beginning of the end */
        for (size_t len = 0; len <= end.len + 1; len++) {
            bool good = buf_set(&key, len == end.len + 1 ? start : chr_bytes(end.data, len)) &&
                        (more < 0 || buf_append_byte(&key, (uint8_t)more));
            slice k = buf_slice(&key);
            if (good && slice_compare(k, start) >= 0 && (!end.len || slice_compare(k, end) < 0))
                assert(rights_to_key(x, k, KEYS_READ));
        }
    chr_buf_free(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice   left = chr_bytes(data, size), start = chr_bytes("", 0), end = start;
    buf     text = { 0 }, again = { 0 };
    rights *x = rights_new(), *same = rights_new(), *copy;
    if (size > 4096 || !x || !same) abort();
    for (size_t i = 0; left.len; i++) {
        slice rule = next_word(&left, '\n');
        if (i == 0) start = rule;
        if (i == 1) end = rule;
        if (rights_apply(x, rule) == CHR_INVALID) assert(*chr_message());
    }
    assert(rights_put(x, &text));
    for (left = buf_slice(&text); left.len;) {
        slice rule = next_word(&left, ' ');
        if (rights_apply(same, rule) != CHR_OK) abort();
    }
    assert(rights_put(same, &again) && slice_equal(buf_slice(&text), buf_slice(&again)));
    assert(rights_are_all(x) == rights_are_all(same));
    assert_same(x, same);
    copy = rights_copy(x);
    assert(copy);
    assert_same(copy, x);
    assert_range_is_sound(x, start, end);
    rights_drop(copy);
    rights_drop(same);
    rights_drop(x);
    chr_buf_free(&text);
    chr_buf_free(&again);
    return 0;
}
