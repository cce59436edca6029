/* Power cuts and full disks below the object layer. */
#include "objects.h"

/* ---- power cuts ---- */

enum { POWER_CUTS = 16, CUT_TXNS = 40 };

/* What key `which` holds after transaction `i`: in a record, in chunks, and above what one batch takes. */
static size_t cut_value(char *to, uint64_t i, char which)
{
    static const size_t sizes[] = { 10, 3 * CHUNK_BYTES, CHUNK_BYTES, (4 << 20) + 3 * CHUNK_BYTES + 1, CHUNK_BYTES + 1,
                                    0,  200 * KIB };
    size_t              len = sizes[(i + (uint64_t)which) % 7];
    memset(to, (int)(i * 31 + (uint64_t)which), len);
    if (len >= 9) {
        put_u64(to, i);
        to[8] = which;
    }
    return len;
}

/* From whatever is there, in various ways, to the state after transaction `i`. */
static chr_status cut_txn(store *s, uint64_t i, char *bytes)
{
    char        number[8];
    const slice a = chr_str("a"), b = chr_str("b"), n = chr_str("n"), keys[] = { a, b, n };
    uint64_t    seq = 0;
    txn        *t = txn_begin(s, keys, 3);
    assert_non_null(t);
    chr_status st = CHR_OK;
    size_t     len = cut_value(bytes, i, 'a');
    if (i % 4 == 1) st = txn_delete(t, OBJECT_KEY, a, NULL);
    if (i % 4 == 2 && i > 1) st = txn_move(t, OBJECT_KEY, a, b);
    if (i % 4 == 3) {
        st = txn_write(t, a, 0, chr_bytes(bytes, len));
        if (st == CHR_OK) st = txn_truncate(t, a, len);
    } else if (st == CHR_OK) {
        st = txn_put(t, a, NULL, chr_bytes(bytes, len));
    }
    len = cut_value(bytes, i, 'b');
    if (st == CHR_OK) st = txn_put(t, b, NULL, chr_bytes(bytes, len));
    put_u64(number, i);
    if (st == CHR_OK) st = txn_put(t, n, NULL, chr_bytes(number, 8));
    if (st != CHR_OK)
        txn_abort(t);
    else
        st = txn_commit(t, &seq);
    return st == CHR_OK ? store_wait(s, seq) : st;
}

static size_t check_cut_value(store *s, uint64_t i, char which, char *bytes)
{
    char   key[2] = { which, 0 };
    size_t len = cut_value(bytes, i, which);
    assert_value(s, key, chr_bytes(bytes, len));
    return len > CHUNK_BYTES ? (len + CHUNK_BYTES - 1) / CHUNK_BYTES : 0;
}

static void open_synced(fixture *f)
{
    store_options o = { .env = f->sim, .chr = chr_options_default(), .inline_work = true };
    o.chr.memtable_bytes = 1 << 20;
    o.chr.cache_bytes = 4 << 20;
    if (store_open(f->dir, &o, &f->s) != CHR_OK) fail_msg("%s", chr_message());
}

static void check_after_cut(fixture *f, uint64_t acknowledged, uint64_t tried, char *bytes)
{
    buf      value = { 0 };
    uint64_t i = 0;
    size_t   chunks = 0;
    open_synced(f);
    chr_status st = store_get(f->s, NULL, chr_str("n"), &value, NULL, NULL);
    assert_true(st == CHR_OK || (st == CHR_NOT_FOUND && acknowledged == 0));
    if (st == CHR_OK) {
        i = get_u64(value.data);
        assert_true(i >= acknowledged && i <= tried);
        chunks = check_cut_value(f->s, i, 'a', bytes) + check_cut_value(f->s, i, 'b', bytes);
    } else {
        assert_absent(f->s, "a");
        assert_absent(f->s, "b");
    }
    assert_int_equal(internal_keys(f->s, 1), chunks);
    assert_int_equal(internal_keys(f->s, 4), 0);
    assert_int_equal(cut_txn(f->s, tried / 4 * 4 + 5, bytes), CHR_OK); /* one that needs nothing to be there */
    assert_int_equal(chr_close(f->s), CHR_OK);
    chr_buf_free(&value);
}

static void after_a_power_cut_a_transaction_is_there_whole_or_not_at_all(void **state)
{
    (void)state;
    uint64_t    first = seed_of_run();
    const char *rounds = getenv("CHR_ROUNDS");
    char       *bytes = malloc(5u << 20);
    assert_non_null(bytes);
    for (int round = 0, end = rounds ? atoi(rounds) : rounds_of(POWER_CUTS); round < end; round++) {
        rng      random = { first + (uint64_t)round };
        uint64_t seed = rng_next(&random);
        fixture  f = { .sim = env_sim_new(seed), .dir = "/store" };
        uint64_t acknowledged = 0, tried = 0;
        assert_non_null(f.sim);
        env_sim_set_wall(f.sim, SIM_WALL_NS);
        open_synced(&f);
        env_sim_halt_at(f.sim, env_sim_calls(f.sim) + rng_below(&random, 400));
        while (tried < CUT_TXNS && cut_txn(f.s, ++tried, bytes) == CHR_OK) acknowledged = tried;
        env *after = env_sim_crash(f.sim, seed, (sim_loss)rng_below(&random, 4));
        assert_non_null(after);
        chr_close(f.s);
        env_sim_free(f.sim);
        f.sim = after;
        check_after_cut(&f, acknowledged, tried, bytes);
        env_sim_free(f.sim);
    }
    free(bytes);
}

/* ---- a full disk ---- */

static void a_full_disk_refuses_writes_and_what_was_written_ahead_goes_again(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    size_t   len = 5u << 20;
    char    *data = pattern(len, 8), key[16];
    int      kept = 0;
    put(s, "small", chr_str("value"));
    env_sim_set_space(f->sim, 24u << 20);
    chr_status st = CHR_OK;
    for (; kept < 100; kept++) {
        snprintf(key, sizeof key, "big%02d", kept);
        if ((st = store_put(s, chr_str(key), NULL, chr_bytes(data + kept, len - (size_t)kept), NULL)) != CHR_OK) break;
    }
    assert_int_equal(st, CHR_NO_SPACE);
    assert_true(kept > 0);
    assert_int_equal(db_failure(store_db(s)), CHR_OK);
    for (int i = 0; i <= kept; i++) {
        snprintf(key, sizeof key, "big%02d", i);
        if (i == kept)
            assert_absent(s, key);
        else
            assert_value(s, key, chr_bytes(data + i, len - (size_t)i));
    }
    env_sim_set_space(f->sim, UINT64_C(1) << 40);
    env_sim_set_wall(f->sim, SIM_WALL_NS + UINT64_C(3600) * 1000000000); /* so that deleting is tried again */
    for (int i = 0; i < 3; i++) put(s, "small", chr_str("again"));
    assert_value(s, "small", chr_str("again"));
    assert_int_equal(internal_keys(s, 4), 0);
    assert_int_equal(internal_keys(s, 1), (size_t)kept * ((len + CHUNK_BYTES - 1) / CHUNK_BYTES));
    reopen(f);
    s = f->s;
    for (int i = 0; i < kept; i++) {
        snprintf(key, sizeof key, "big%02d", i);
        assert_value(s, key, chr_bytes(data + i, len - (size_t)i));
    }
    free(data);
}

int main(void)
{
    log_set_level(LOG_NOTHING); /* failures are made here on purpose */
    const struct CMUnitTest tests[] = {
        ON(on_sim, a_full_disk_refuses_writes_and_what_was_written_ahead_goes_again),
        cmocka_unit_test(after_a_power_cut_a_transaction_is_there_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
