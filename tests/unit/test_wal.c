/* The log: what was appended comes back, and what a crash or a flipped bit does to it is told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/batch.h"
#include "engine/names.h"
#include "engine/wal.h"
#include "engine/wal_format.h"
#include "env/sim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DIR "/d"

typedef struct replayed {
    uint64_t seqs;
    uint64_t last_first;
    buf      keys; /* of all writes, joined */
} replayed;

static chr_status collect(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    replayed  *got = arg;
    reader     r = reader_of(payload);
    entry      write;
    chr_status st;
    while (batch_next(&r, &write, &st)) assert_true(buf_append_slice(&got->keys, write.key));
    got->seqs += count;
    got->last_first = first_seq;
    return st;
}

static void nothing(void *arg) { (void)arg; }

static int setup(void **state)
{
    env *e = env_sim_new(1);
    assert_non_null(e);
    assert_int_equal(env_mkdir(e, DIR), CHR_OK);
    assert_int_equal(env_sync_dir(e, "/"), CHR_OK);
    *state = e;
    return 0;
}
static int teardown(void **state)
{
    env_sim_free(*state);
    return 0;
}

static void append(wal *w, uint64_t seq, const char *key)
{
    batch    b = { 0 };
    uint64_t at;
    assert_int_equal(batch_put(&b, chr_str(key), chr_str("value")), CHR_OK);
    assert_int_equal(wal_append(w, seq, 1, buf_slice(&b.payload), &at), CHR_OK);
    batch_free(&b);
}

static wal *new_log(env *e, uint64_t no, uint64_t last_seq)
{
    wal *w;
    assert_int_equal(wal_new(e, DIR, no, 0, last_seq, false, nothing, NULL, &w), CHR_OK);
    return w;
}

static chr_status prepare(wal *w, uint64_t no)
{
    _Atomic(uint64_t) next = no;
    return wal_prepare(w, &next);
}

static chr_status replay(env *e, const uint64_t *nos, size_t n, uint64_t first_seq, replayed *got,
                         wal_replay_result *result)
{
    *got = (replayed){ 0 };
    return wal_replay(e, DIR, nos, n, first_seq, collect, got, result);
}

static void what_was_appended_comes_back_in_order(void **state)
{
    wal *w = new_log(*state, 1, 0);
    for (uint64_t i = 1; i <= 100; i++) append(w, i, "k");
    assert_int_equal(wal_sync(w, 100), CHR_OK);
    assert_int_equal(wal_synced(w), 100);
    assert_int_equal(wal_close(w), CHR_OK);

    replayed          got;
    wal_replay_result result;
    uint64_t          nos[] = { 1 };
    assert_int_equal(replay(*state, nos, 1, 1, &got, &result), CHR_OK);
    assert_int_equal(got.seqs, 100);
    assert_int_equal(result.last_seq, 100);
    assert_int_equal(result.dropped_bytes, 0);
    assert_true(result.sealed);
    chr_buf_free(&got.keys);
}

static void segments_form_a_chain_and_a_missing_one_is_noticed(void **state)
{
    wal *w = new_log(*state, 1, 0);
    append(w, 1, "a");
    assert_int_equal(prepare(w, 2), CHR_OK);
    wal_rotate(w);
    append(w, 2, "b");
    assert_int_equal(prepare(w, 3), CHR_OK);
    wal_rotate(w);
    append(w, 3, "c");
    assert_int_equal(wal_close(w), CHR_OK);

    replayed          got;
    wal_replay_result result;
    uint64_t          all[] = { 1, 2, 3 }, gap[] = { 1, 3 }, end[] = { 1, 2 };
    assert_int_equal(replay(*state, all, 3, 1, &got, &result), CHR_OK);
    assert_memory_equal(got.keys.data, "abc", 3);
    chr_buf_free(&got.keys);
    assert_int_equal(replay(*state, gap, 2, 1, &got, &result), CHR_CORRUPT);
    chr_buf_free(&got.keys);
    assert_int_equal(replay(*state, end, 2, 1, &got, &result), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), "missing"));
    chr_buf_free(&got.keys);
}

static void an_unsynced_tail_may_be_lost_but_never_what_was_synced(void **state)
{
    wal *w = new_log(*state, 1, 0);
    for (uint64_t i = 1; i <= 50; i++) append(w, i, "s");
    assert_int_equal(wal_sync(w, 50), CHR_OK);
    for (uint64_t i = 51; i <= 500; i++) append(w, i, "u");
    assert_int_equal(wal_write(w, 500), CHR_OK);
    for (uint64_t seed = 0; seed < 200; seed++) {
        env              *after = env_sim_crash(*state, seed, (sim_loss)(seed % 4));
        replayed          got;
        wal_replay_result result;
        uint64_t          nos[] = { 1 };
        chr_status        st = replay(after, nos, 1, 1, &got, &result);
        if (st != CHR_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, chr_message());
        assert_in_range(result.last_seq, 50, 500);
        assert_int_equal(got.seqs, result.last_seq);
        chr_buf_free(&got.keys);
        env_sim_free(after);
    }
    assert_int_equal(wal_close(w), CHR_OK);
}

static void a_flipped_bit_in_a_synced_record_is_reported_with_file_and_offset(void **state)
{
    wal *w = new_log(*state, 1, 0);
    append(w, 1, "first");
    assert_int_equal(wal_sync(w, 1), CHR_OK);
    append(w, 2, "second");
    assert_int_equal(wal_close(w), CHR_OK);
    assert_int_equal(env_sim_flip(*state, DIR "/000001.log", WAL_HEADER_BYTES + 40, 1), CHR_OK);

    replayed          got;
    wal_replay_result result;
    uint64_t          nos[] = { 1 };
    assert_int_equal(replay(*state, nos, 1, 1, &got, &result), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), "000001.log at offset 4096"));
    chr_buf_free(&got.keys);
}

static void a_flipped_bit_in_a_header_is_reported(void **state)
{
    assert_int_equal(wal_close(new_log(*state, 7, 0)), CHR_OK);
    assert_int_equal(env_sim_flip(*state, DIR "/000007.log", 17, 4), CHR_OK);
    replayed          got;
    wal_replay_result result;
    uint64_t          nos[] = { 7 };
    assert_int_equal(replay(*state, nos, 1, 1, &got, &result), CHR_CORRUPT);
}

static void a_recycled_segment_does_not_show_what_it_held_before(void **state)
{
    wal *w = new_log(*state, 1, 0);
    for (uint64_t i = 1; i <= 200; i++) append(w, i, "old");
    assert_int_equal(prepare(w, 2), CHR_OK);
    wal_rotate(w);
    append(w, 201, "x");
    assert_int_equal(wal_sync(w, 201), CHR_OK);
    wal_release(w, 2);                       /* segment 1 becomes the spare */
    assert_int_equal(prepare(w, 3), CHR_OK); /* and then segment 3 */
    wal_rotate(w);
    append(w, 202, "new");
    assert_int_equal(wal_close(w), CHR_OK);

    replayed          got;
    wal_replay_result result;
    uint64_t          nos[] = { 2, 3 };
    assert_int_equal(replay(*state, nos, 2, 201, &got, &result), CHR_OK);
    assert_int_equal(got.seqs, 2);
    assert_memory_equal(got.keys.data, "xnew", 4);
    chr_buf_free(&got.keys);
}

static void a_failed_sync_is_final(void **state)
{
    wal *w = new_log(*state, 1, 0);
    append(w, 1, "a");
    assert_int_equal(wal_sync(w, 1), CHR_OK);
    append(w, 2, "b");
    env_sim_fail_at(*state, env_sim_calls(*state) + 2, SIM_SYNC_LIES, false); /* the write, then the sync */
    assert_int_not_equal(wal_sync(w, 2), CHR_OK);
    assert_int_equal(wal_synced(w), 1);
    assert_int_not_equal(wal_sync(w, 2), CHR_OK); /* the disk would say yes now */
    assert_int_equal(wal_synced(w), 1);
    batch    b = { 0 };
    uint64_t at;
    assert_int_equal(batch_put(&b, chr_str("c"), chr_str("")), CHR_OK);
    assert_int_not_equal(wal_append(w, 3, 1, buf_slice(&b.payload), &at), CHR_OK);
    batch_free(&b);
    assert_int_not_equal(wal_close(w), CHR_OK);
}

static void a_full_disk_refuses_the_append_and_accepts_it_later(void **state)
{
    env *e = *state;
    wal *w = new_log(e, 1, 0);
    env_sim_set_space(e, 600 * 1024);
    buf   big = { 0 };
    batch b = { 0 };
    assert_true(buf_reserve(&big, 200 * 1024));
    memset(big.data, 'x', 200 * 1024);
    big.len = 200 * 1024;
    assert_int_equal(batch_put(&b, chr_str("k"), buf_slice(&big)), CHR_OK);
    uint64_t   seq = 1, at;
    chr_status st;
    while ((st = wal_append(w, seq, 1, buf_slice(&b.payload), &at)) == CHR_OK) seq++;
    assert_int_equal(st, CHR_NO_SPACE);
    assert_in_range(seq, 2, 4);
    assert_int_equal(wal_sync(w, seq - 1), CHR_OK); /* what was accepted needs no more space */
    env_sim_set_space(e, 64u << 20);
    assert_int_equal(wal_append(w, seq, 1, buf_slice(&b.payload), &at), CHR_OK);
    assert_int_equal(wal_close(w), CHR_OK);
    batch_free(&b);
    chr_buf_free(&big);
}

typedef struct committers {
    wal            *w;
    pthread_mutex_t mu;
    uint64_t        seq;
} committers;

static void *commit_many(void *arg)
{
    committers *c = arg;
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&c->mu);
        uint64_t seq = ++c->seq;
        append(c->w, seq, "t");
        pthread_mutex_unlock(&c->mu);
        assert_int_equal(wal_sync(c->w, seq), CHR_OK);
        assert_true(wal_synced(c->w) >= seq);
    }
    return NULL;
}

static void one_sync_serves_all_that_wait(void **state)
{
    enum { THREADS = 8 };
    committers c = { .w = new_log(*state, 1, 0) };
    pthread_t  threads[THREADS];
    pthread_mutex_init(&c.mu, NULL);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, commit_many, &c), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(wal_synced(c.w), THREADS * 300);
    assert_true(wal_get_stats(c.w).syncs <= THREADS * 300);
    assert_int_equal(wal_close(c.w), CHR_OK);
    pthread_mutex_destroy(&c.mu);

    replayed          got;
    wal_replay_result result;
    uint64_t          nos[] = { 1 };
    assert_int_equal(replay(*state, nos, 1, 1, &got, &result), CHR_OK);
    assert_int_equal(got.seqs, THREADS * 300);
    chr_buf_free(&got.keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_appended_comes_back_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_form_a_chain_and_a_missing_one_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unsynced_tail_may_be_lost_but_never_what_was_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_in_a_synced_record_is_reported_with_file_and_offset, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_in_a_header_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_recycled_segment_does_not_show_what_it_held_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_refuses_the_append_and_accepts_it_later, setup, teardown),
        cmocka_unit_test_setup_teardown(one_sync_serves_all_that_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
