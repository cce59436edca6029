/* The public C API, through chronos.h alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chronos.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    char       dir[128]; /* of the test; the store is in DIR/store */
    char       path[160];
    chr_store *s;
} fixture;

static int setup(void **state)
{
    fixture    *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    assert_non_null(f);
    assert_in_range(snprintf(f->dir, sizeof f->dir, "%s/chronos-api-XXXXXX", tmp ? tmp : "/tmp"), 1, sizeof f->dir - 1);
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/store", f->dir);
    if (chr_open(f->path, NULL, &f->s) != CHR_OK) fail_msg("%s", chr_message());
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(chr_close(f->s), CHR_OK);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void assert_value(chr_store *s, chr_slice key, chr_slice expected)
{
    chr_buf value = { 0 };
    assert_int_equal(chr_get(s, key, &value), CHR_OK);
    assert_int_equal(value.len, expected.len);
    if (expected.len) assert_memory_equal(value.data, expected.data, expected.len);
    chr_buf_free(&value);
}

static void assert_absent(chr_store *s, chr_slice key)
{
    chr_buf value = { 0 };
    assert_int_equal(chr_get(s, key, &value), CHR_NOT_FOUND);
    assert_int_equal(value.len, 0);
    chr_buf_free(&value);
}

static void put(chr_store *s, const char *key, const char *value)
{
    assert_int_equal(chr_put(s, chr_str(key), chr_str(value)), CHR_OK);
}

static void what_is_put_is_got_and_what_is_deleted_is_not(void **state)
{
    fixture *f = *state;
    chr_buf  value = { 0 };
    put(f->s, "key", "value");
    assert_value(f->s, chr_str("key"), chr_str("value"));
    put(f->s, "key", "other");
    assert_value(f->s, chr_str("key"), chr_str("other"));
    assert_int_equal(chr_delete(f->s, chr_str("key")), CHR_OK);
    assert_absent(f->s, chr_str("key"));
    assert_int_equal(chr_delete(f->s, chr_str("key")), CHR_OK);
    assert_int_equal(chr_get(f->s, chr_str("key"), &value), CHR_NOT_FOUND);
    assert_string_equal(chr_message(), "there is no such key");
    chr_buf_free(&value);
}

static void keys_and_values_are_any_bytes(void **state)
{
    fixture  *f = *state;
    char      bytes[256], longest[CHR_KEY_MAX + 1];
    chr_slice all = chr_bytes(bytes, sizeof bytes);
    for (int i = 0; i < 256; i++) bytes[i] = (char)i;
    memset(longest, 0xff, sizeof longest);
    assert_int_equal(chr_put(f->s, all, all), CHR_OK);
    assert_value(f->s, all, all);
    assert_int_equal(chr_put(f->s, chr_str(""), chr_str("")), CHR_OK);
    assert_value(f->s, chr_str(""), chr_str(""));
    assert_int_equal(chr_put(f->s, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    assert_int_equal(chr_put(f->s, chr_bytes(longest, CHR_KEY_MAX), all), CHR_OK);
    assert_value(f->s, chr_bytes(longest, CHR_KEY_MAX), all);
    assert_int_equal(chr_put(f->s, chr_bytes(longest, sizeof longest), all), CHR_TOO_BIG);
    assert_string_equal(chr_message(), "the key has 65536 bytes; at most 65535 are allowed");
}

static void everything_is_there_after_reopening(void **state)
{
    fixture *f = *state;
    size_t   big_len = 6u << 20;
    char    *big = malloc(big_len);
    assert_non_null(big);
    for (size_t i = 0; i < big_len; i++) big[i] = (char)(i * 2654435761u >> 13);
    put(f->s, "small", "value");
    assert_int_equal(chr_put(f->s, chr_str("big"), chr_bytes(big, big_len)), CHR_OK);
    put(f->s, "gone", "x");
    assert_int_equal(chr_delete(f->s, chr_str("gone")), CHR_OK);
    assert_int_equal(chr_close(f->s), CHR_OK);
    assert_int_equal(chr_open(f->path, NULL, &f->s), CHR_OK);
    assert_value(f->s, chr_str("small"), chr_str("value"));
    assert_value(f->s, chr_str("big"), chr_bytes(big, big_len));
    assert_absent(f->s, chr_str("gone"));

    chr_options o = chr_options_default();
    o.read_only = true;
    assert_int_equal(chr_close(f->s), CHR_OK);
    assert_int_equal(chr_open(f->path, &o, &f->s), CHR_OK);
    assert_value(f->s, chr_str("big"), chr_bytes(big, big_len));
    assert_int_equal(chr_put(f->s, chr_str("small"), chr_str("other")), CHR_READ_ONLY);
    assert_value(f->s, chr_str("small"), chr_str("value"));
    free(big);
}

static void a_batch_is_applied_in_its_order_and_can_be_used_again(void **state)
{
    fixture   *f = *state;
    char      *big = calloc(1, 300000);
    chr_batch *b = chr_batch_new();
    assert_true(b && big);
    put(f->s, "old", "x");
    assert_int_equal(chr_write(f->s, b), CHR_OK);
    assert_int_equal(chr_batch_put(b, chr_str("a"), chr_str("1")), CHR_OK);
    assert_int_equal(chr_batch_put(b, chr_str("a"), chr_str("2")), CHR_OK);
    assert_int_equal(chr_batch_put(b, chr_str("b"), chr_bytes(big, 300000)), CHR_OK);
    assert_int_equal(chr_batch_put(b, chr_str("c"), chr_str("3")), CHR_OK);
    assert_int_equal(chr_batch_delete(b, chr_str("c")), CHR_OK);
    assert_int_equal(chr_batch_delete(b, chr_str("old")), CHR_OK);
    assert_int_equal(chr_write(f->s, b), CHR_OK);
    assert_value(f->s, chr_str("a"), chr_str("2"));
    assert_value(f->s, chr_str("b"), chr_bytes(big, 300000));
    assert_absent(f->s, chr_str("c"));
    assert_absent(f->s, chr_str("old"));
    chr_batch_clear(b);
    assert_int_equal(chr_batch_put(b, chr_bytes(big, CHR_KEY_MAX + 1u), chr_str("")), CHR_TOO_BIG);
    assert_int_equal(chr_batch_put(b, chr_str("b"), chr_str("small")), CHR_OK);
    assert_int_equal(chr_write(f->s, b), CHR_OK);
    assert_value(f->s, chr_str("b"), chr_str("small"));
    chr_batch_free(b);
    chr_batch_free(NULL);
    free(big);
}

static void a_range_delete_takes_what_lies_between_and_nothing_else(void **state)
{
    fixture    *f = *state;
    const char *keys[] = { "a", "b", "c", "d", "\xff", "\xff\xff" };
    for (int i = 0; i < 6; i++) put(f->s, keys[i], "v");
    assert_int_equal(chr_delete_range(f->s, chr_str("b"), chr_str("d")), CHR_OK);
    for (int i = 0; i < 6; i++) {
        if (i == 1 || i == 2)
            assert_absent(f->s, chr_str(keys[i]));
        else
            assert_value(f->s, chr_str(keys[i]), chr_str("v"));
    }
    assert_int_equal(chr_delete_range(f->s, chr_str("d"), chr_str("b")), CHR_OK);
    assert_int_equal(chr_delete_range(f->s, chr_str("d"), chr_str("")), CHR_OK);
    assert_value(f->s, chr_str("d"), chr_str("v"));
    assert_int_equal(chr_delete_range(f->s, chr_str("\xff"), chr_bytes(NULL, 0)), CHR_OK);
    assert_absent(f->s, chr_str("\xff\xff"));
    assert_value(f->s, chr_str("a"), chr_str("v"));
    assert_int_equal(chr_delete_range(f->s, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    assert_absent(f->s, chr_str("a"));
}

static void a_snapshot_stays_as_it_was(void **state)
{
    fixture      *f = *state;
    chr_snapshot *snapshot;
    chr_buf       value = { 0 };
    chr_iter     *it;
    put(f->s, "a", "1");
    assert_int_equal(chr_snapshot_new(f->s, &snapshot), CHR_OK);
    put(f->s, "a", "2");
    put(f->s, "b", "2");
    assert_int_equal(chr_get_at(f->s, snapshot, chr_str("a"), &value), CHR_OK);
    assert_memory_equal(value.data, "1", 1);
    assert_int_equal(chr_get_at(f->s, snapshot, chr_str("b"), &value), CHR_NOT_FOUND);
    assert_int_equal(chr_iter_new(f->s, snapshot, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it), CHR_OK);
    chr_iter_last(it);
    assert_int_equal(chr_iter_key(it).data[0], 'a');
    chr_iter_free(it);
    chr_snapshot_free(snapshot);
    chr_snapshot_free(NULL);
    chr_buf_free(&value);
}

static void an_iterator_walks_both_ways_within_its_bounds(void **state)
{
    fixture  *f = *state;
    char      key[16];
    chr_iter *it;
    chr_slice value;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%02d", i);
        put(f->s, key, key);
    }
    assert_int_equal(chr_iter_new(f->s, NULL, chr_str("10"), chr_str("20"), &it), CHR_OK);
    assert_false(chr_iter_valid(it));
    int n = 10;
    for (chr_iter_first(it); chr_iter_valid(it); chr_iter_next(it), n++) {
        snprintf(key, sizeof key, "%02d", n);
        assert_int_equal(chr_iter_value(it, &value), CHR_OK);
        assert_memory_equal(chr_iter_key(it).data, key, 2);
        assert_memory_equal(value.data, key, 2);
    }
    assert_int_equal(n, 20);
    assert_int_equal(chr_iter_status(it), CHR_OK);
    for (chr_iter_last(it); chr_iter_valid(it); chr_iter_prev(it)) n--;
    assert_int_equal(n, 10);
    chr_iter_seek(it, chr_str("15x"));
    assert_memory_equal(chr_iter_key(it).data, "16", 2);
    chr_iter_seek_back(it, chr_str("15x"));
    assert_memory_equal(chr_iter_key(it).data, "15", 2);
    chr_iter_seek(it, chr_str("0"));
    assert_memory_equal(chr_iter_key(it).data, "10", 2);
    chr_iter_seek_back(it, chr_str("99"));
    assert_memory_equal(chr_iter_key(it).data, "19", 2);
    chr_iter_seek(it, chr_str("20"));
    assert_false(chr_iter_valid(it));
    chr_iter_free(it);
    chr_iter_free(NULL);
}

static void a_checkpoint_is_a_store_of_its_own(void **state)
{
    fixture   *f = *state;
    char       copy[200];
    chr_store *other;
    snprintf(copy, sizeof copy, "%s/copy", f->dir);
    put(f->s, "key", "then");
    assert_int_equal(chr_checkpoint(f->s, copy), CHR_OK);
    put(f->s, "key", "now");
    assert_int_equal(chr_open(copy, NULL, &other), CHR_OK);
    assert_value(other, chr_str("key"), chr_str("then"));
    assert_int_equal(chr_put(other, chr_str("key"), chr_str("else")), CHR_OK);
    assert_int_equal(chr_close(other), CHR_OK);
    assert_value(f->s, chr_str("key"), chr_str("now"));
    assert_int_not_equal(chr_checkpoint(f->s, copy), CHR_OK);
    assert_int_equal(chr_checkpoint(f->s, ""), CHR_INVALID);
}

static void flush_compact_and_sync_keep_everything(void **state)
{
    fixture  *f = *state;
    chr_stats stats;
    chr_buf   text = { 0 };
    put(f->s, "key", "value");
    assert_int_equal(chr_sync(f->s), CHR_OK);
    assert_int_equal(chr_flush(f->s), CHR_OK);
    assert_int_equal(chr_delete(f->s, chr_str("nothing")), CHR_OK);
    assert_int_equal(chr_compact(f->s), CHR_OK);
    assert_value(f->s, chr_str("key"), chr_str("value"));
    chr_get_stats(f->s, &stats);
    assert_true(stats.flushes >= 1 && stats.disk_bytes > 0 && !stats.read_only);
    assert_int_equal(chr_property(f->s, "stats", &text), CHR_OK);
    assert_true(text.len > 0);
    assert_int_equal(chr_property(f->s, "no such property", &text), CHR_NOT_FOUND);
    chr_buf_free(&text);
}

static void opening_what_cannot_be_opened_says_why(void **state)
{
    fixture    *f = *state;
    chr_store  *other;
    chr_options o = chr_options_default();
    char        missing[200];
    assert_int_equal(chr_open(NULL, NULL, &other), CHR_INVALID);
    assert_int_equal(chr_open("", NULL, &other), CHR_INVALID);
    assert_int_equal(chr_open(f->path, NULL, &other), CHR_LOCKED);
    assert_true(strlen(chr_message()) > 0);
    o.create_if_missing = false;
    snprintf(missing, sizeof missing, "%s/missing", f->dir);
    assert_int_not_equal(chr_open(missing, &o, &other), CHR_OK);
    assert_int_not_equal(access(missing, F_OK), 0);
    assert_int_equal(chr_close(NULL), CHR_OK);
}

enum { THREADS = 4, KEYS = 250 };

static void *put_many(void *arg)
{
    static _Atomic(int) next;
    chr_store          *s = arg;
    int                 me = next++ % THREADS;
    char                key[32];
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "%d-%d", me, i);
        put(s, key, key);
    }
    return NULL;
}

static void many_threads_write_at_once(void **state)
{
    fixture  *f = *state;
    pthread_t threads[THREADS];
    char      key[32];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, put_many, f->s), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS * KEYS; i++) {
        snprintf(key, sizeof key, "%d-%d", i % THREADS, i / THREADS);
        assert_value(f->s, chr_str(key), chr_str(key));
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_put_is_got_and_what_is_deleted_is_not),
        T(keys_and_values_are_any_bytes),
        T(everything_is_there_after_reopening),
        T(a_batch_is_applied_in_its_order_and_can_be_used_again),
        T(a_range_delete_takes_what_lies_between_and_nothing_else),
        T(a_snapshot_stays_as_it_was),
        T(an_iterator_walks_both_ways_within_its_bounds),
        T(a_checkpoint_is_a_store_of_its_own),
        T(flush_compact_and_sync_keep_everything),
        T(opening_what_cannot_be_opened_says_why),
        T(many_threads_write_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
