/* The store goes on after one call to the disk has failed: whatever call it was and however it failed, what was
 * acknowledged is read back, at once, after reopening, and after a power cut. (tests/crash stops the disk for good.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "engine/db.h"
#include "env/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 11, WRITES = 160, VALUE_BYTES = 100, FLUSH_EVERY = 23, COMPACT_EVERY = 61, UNACKED_EVERY = 3 };

typedef struct model {
    int tried[KEYS]; /* the newest write that was begun; 0: none */
    int acked[KEYS]; /* the newest that was acknowledged */
} model;

typedef struct run {
    uint64_t  call;
    sim_fault fault;
    model     m;
} run;

static void copy_value(void *arg, slice value) { assert_true(buf_set(arg, value)); }

static void check(db *d, const run *r, const char *when)
{
    buf value = { 0 };
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "k%03d", k);
        chr_status st = db_get(d, NULL, chr_str(key), copy_value, &value, NULL);
        if (st != CHR_OK && st != CHR_NOT_FOUND)
            fail_msg("call %d fault %d, %s: %s", (int)r->call, (int)r->fault, when, chr_message());
        assert_true(buf_append_byte(&value, 0));
        int have = st == CHR_OK ? atoi(value.data) : 0;
        if (have < r->m.acked[k] || have > r->m.tried[k])
            fail_msg("call %d fault %d, %s: %s is of write %d; acknowledged %d, begun %d", (int)r->call, (int)r->fault,
                     when, key, have, r->m.acked[k], r->m.tried[k]);
    }
    chr_buf_free(&value);
}

static db_options options(env *e)
{
    db_options o = { .env = e, .dir = "/store", .chr = chr_options_default(), .inline_work = true };
    o.chr.memtable_bytes = 4096;
    o.chr.block_bytes = 512;
    o.chr.cache_bytes = 0;
    o.l1_bytes = 8192;
    o.table_bytes = 4096;
    return o;
}

static void write_all(db *d, run *r)
{
    batch b = { 0 };
    for (int i = 1; i <= WRITES; i++) {
        int      k = i * 7 % KEYS;
        char     key[16], value[VALUE_BYTES];
        uint64_t seq;
        snprintf(key, sizeof key, "k%03d", k);
        int n = snprintf(value, sizeof value, "%d ", i);
        memset(value + n, 'a' + i % 26, sizeof value - (size_t)n);
        batch_clear(&b);
        assert_int_equal(batch_put(&b, chr_str(key), chr_bytes(value, sizeof value)), CHR_OK);
        r->m.tried[k] = i;
        chr_status st = db_apply(d, &b, &seq);
        if (st == CHR_OK && i % UNACKED_EVERY) st = db_wait(d, seq);
        if (st == CHR_OK && i % UNACKED_EVERY) r->m.acked[k] = i;
        if (i % FLUSH_EVERY == 0) (void)db_flush(d);
        if (i % COMPACT_EVERY == 0) (void)db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0));
        if (st != CHR_OK) check(d, r, "after the failure");
    }
    check(d, r, "in the end");
    batch_free(&b);
}

static void reopen(env *e, const run *r, const char *when)
{
    db_options o = options(e);
    db        *d;
    if (db_open(&o, &d) != CHR_OK)
        fail_msg("call %d fault %d, %s: it does not open: %s", (int)r->call, (int)r->fault, when, chr_message());
    check(d, r, when);
    assert_int_equal(db_close(d), CHR_OK);
}

/* False: the workload is over before call number `call`. */
static bool fail_one_call(uint64_t call, sim_fault fault)
{
    env       *e = env_sim_new(call);
    db_options o = options(e);
    run        r = { .call = call, .fault = fault };
    db        *d;
    env_sim_fail_at(e, call, fault, false);
    if (db_open(&o, &d) != CHR_OK && db_open(&o, &d) != CHR_OK)
        fail_msg("call %d fault %d: nor does it open the second time: %s", (int)call, (int)fault, chr_message());
    write_all(d, &r);
    (void)db_close(d);
    bool reached = env_sim_calls(e) >= call;
    env_sim_fail_at(e, 0, SIM_NONE, false);
    /* Neighbouring calls take turns in how unkind the power cut is, for time's sake. */
    env *left = env_sim_crash(e, call, (sim_loss)(call % (SIM_TEAR + 1)));
    reopen(left, &r, "after a power cut");
    env_sim_free(left);
    reopen(e, &r, "after reopening");
    env_sim_free(e);
    return reached;
}

static void fail_every_call(sim_fault fault)
{
    log_set_level(LOG_ERROR + 1);
    uint64_t call = 1;
    while (fail_one_call(call, fault)) call++;
    assert_true(call > WRITES); /* every write was waited for, so there were more calls */
}

static void a_call_that_fails_loses_nothing(void **state)
{
    (void)state;
    fail_every_call(SIM_EIO);
}
static void a_disk_that_is_full_for_one_call_loses_nothing(void **state)
{
    (void)state;
    fail_every_call(SIM_ENOSPC);
}
static void a_write_that_stops_halfway_loses_nothing(void **state)
{
    (void)state;
    fail_every_call(SIM_SHORT_WRITE);
}
static void a_sync_that_drops_what_it_should_have_written_loses_nothing(void **state)
{
    (void)state;
    fail_every_call(SIM_SYNC_LIES);
}

/* ---- while the manifest is begun anew ---- */

enum { LONG_KEY = 60 * 1024, ROLL_FLUSHES_MAX = 200, FLUSHES_AFTER = 3 };

static chr_status put_long(db *d, int i)
{
    static char key[LONG_KEY];
    batch       b = { 0 };
    uint64_t    seq;
    memset(key, 'k', sizeof key);
    snprintf(key, sizeof key, "k%03d", i % KEYS);
    key[4] = 'k';
    char value[16];
    snprintf(value, sizeof value, "%d", i);
    assert_int_equal(batch_put(&b, chr_bytes(key, sizeof key), chr_str(value)), CHR_OK);
    chr_status st = db_apply(d, &b, &seq);
    if (st == CHR_OK) st = db_wait(d, seq);
    batch_free(&b);
    return st;
}

static void check_long(db *d, int newest, const char *when)
{
    static char key[LONG_KEY];
    buf         value = { 0 };
    memset(key, 'k', sizeof key);
    for (int i = newest; i > newest - KEYS && i > 0; i--) {
        snprintf(key, sizeof key, "k%03d", i % KEYS);
        key[4] = 'k';
        chr_status st = db_get(d, NULL, chr_bytes(key, sizeof key), copy_value, &value, NULL);
        assert_true(buf_append_byte(&value, 0));
        if (st != CHR_OK || atoi(value.data) != i) fail_msg("%s: write %d is lost", when, i);
    }
    chr_buf_free(&value);
}

/* A disk on which the directory cannot be synced after CURRENT was replaced the second time, and on which no manifest can be
 * begun afterwards. */
static struct env_ops        bad_ops;
static const struct env_ops *good_ops;
static int                   replaced;
static bool                  refused;

static chr_status count_rename(env *e, const char *from, const char *to)
{
    if (strcmp(to, "/store/CURRENT") == 0) replaced++;
    return good_ops->rename(e, from, to);
}

static chr_status refuse_sync_dir(env *e, const char *dir)
{
    if (replaced != 2 || refused) return good_ops->sync_dir(e, dir);
    refused = true;
    return chr_fail(CHR_IO, "cannot sync the directory %s", dir);
}

static chr_status refuse_manifest(env *e, const char *path, env_open_mode mode, env_file **out)
{
    if (refused && mode == ENV_CREATE && strstr(path, "MANIFEST-")) return chr_fail(CHR_IO, "cannot create %s", path);
    return good_ops->open(e, path, mode, out);
}

static void a_manifest_that_may_be_current_is_not_left_behind(void **state)
{
    (void)state;
    env       *e = env_sim_new(1);
    db_options o = options(e);
    o.chr.memtable_bytes = 1 << 20;
    o.l1_bytes = o.table_bytes = 64 << 20;
    good_ops = e->ops;
    bad_ops = *good_ops;
    bad_ops.rename = count_rename;
    bad_ops.sync_dir = refuse_sync_dir;
    bad_ops.open = refuse_manifest;
    e->ops = &bad_ops;

    db *d;
    int newest = 0;
    assert_int_equal(db_open(&o, &d), CHR_OK);
    for (int i = 1, after = 0; i < ROLL_FLUSHES_MAX && after < FLUSHES_AFTER; i++) {
        if (put_long(d, i) != CHR_OK) break;
        newest = i;
        (void)db_flush(d);
        if (!refused) continue;
        after++;
        (void)db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0));
    }
    assert_true(refused);
    check_long(d, newest, "in the end");
    (void)db_close(d);
    e->ops = good_ops;
    if (db_open(&o, &d) != CHR_OK) fail_msg("it does not open: %s", chr_message());
    check_long(d, newest, "after reopening");
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_loses_nothing),
        cmocka_unit_test(a_disk_that_is_full_for_one_call_loses_nothing),
        cmocka_unit_test(a_write_that_stops_halfway_loses_nothing),
        cmocka_unit_test(a_sync_that_drops_what_it_should_have_written_loses_nothing),
        cmocka_unit_test(a_manifest_that_may_be_current_is_not_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
