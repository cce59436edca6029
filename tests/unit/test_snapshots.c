/* Snapshots with names: they are there after a restart and a power cut, show what there was, and let it go when they are dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/db.h"
#include "engine/names.h"
#include "env/sim.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEYS = 300, VALUE_BYTES = 400 };

static db_options options_of(env *e, size_t blob_bytes)
{
    db_options o = { .env = e, .dir = "/store", .chr = chr_options_default(), .inline_work = true };
    o.chr.memtable_bytes = 32 * 1024;
    o.chr.cache_bytes = 0;
    o.chr.blob_bytes = blob_bytes;
    o.chr.compression = o.chr.bottom_compression = CHR_COMPRESS_NONE;
    o.l1_bytes = o.table_bytes = 32 * 1024;
    return o;
}

static db *open_db(env *e, size_t blob_bytes)
{
    db_options o = options_of(e, blob_bytes);
    db        *d;
    if (db_open(&o, &d) != CHR_OK) fail_msg("cannot open: %s", chr_message());
    return d;
}

static void fill(db *d, char letter)
{
    batch b = { 0 };
    char  key[16], value[VALUE_BYTES];
    memset(value, letter, sizeof value);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key%03d", i);
        batch_clear(&b);
        assert_int_equal(batch_put(&b, chr_str(key), chr_bytes(value, sizeof value)), CHR_OK);
        assert_int_equal(db_apply(d, &b, NULL), CHR_OK);
    }
    batch_free(&b);
}

static void delete_all(db *d)
{
    batch b = { 0 };
    assert_int_equal(batch_delete_range(&b, chr_str("key"), chr_str("kez")), CHR_OK);
    assert_int_equal(db_apply(d, &b, NULL), CHR_OK);
    batch_free(&b);
}

static void ignore(void *arg, const char *sentence) { (void)arg, (void)sentence; }

static void copy_value(void *arg, slice v) { assert_true(buf_set(arg, v)); }

/* 0: no key is there. */
static void assert_shows(db *d, const db_snapshot *at, char letter)
{
    buf      value = { 0 };
    char     key[16];
    db_iter *it;
    int      n = 0;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key%03d", i);
        assert_int_equal(db_get(d, at, chr_str(key), copy_value, &value, NULL), letter ? CHR_OK : CHR_NOT_FOUND);
        if (!letter) continue;
        assert_int_equal(value.len, VALUE_BYTES);
        assert_int_equal(value.data[0], letter);
        assert_int_equal(value.data[VALUE_BYTES - 1], letter);
    }
    assert_int_equal(db_iter_new(d, at, chr_str("key"), chr_str("kez"), &it), CHR_OK);
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) n++;
    assert_int_equal(db_iter_status(it), CHR_OK);
    db_iter_free(it);
    assert_int_equal(n, letter ? KEYS : 0);
    chr_buf_free(&value);
}

static void assert_named(db *d, const char *name, char letter)
{
    db_snapshot *at;
    uint64_t     wall_ns = 0;
    if (db_snapshot_open(d, chr_str(name), &at, &wall_ns) != CHR_OK) fail_msg("%s", chr_message());
    assert_shows(d, at, letter);
    db_snapshot_free(d, at);
}

static void compact(db *d) { assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK); }

static chr_status add_size(void *arg, const char *name)
{
    uint64_t no;
    struct {
        env     *e;
        uint64_t bytes;
    } *sum = arg;
    file_path path = path_in("/store", name);
    env_file *f;
    uint64_t  bytes;
    file_type type = name_parse(name, &no);
    if (type != FILE_TABLE && type != FILE_BLOB) return CHR_OK;
    assert_int_equal(env_open(sum->e, path.text, ENV_READ, &f), CHR_OK);
    assert_int_equal(env_size(f, &bytes), CHR_OK);
    env_close(f);
    sum->bytes += bytes;
    return CHR_OK;
}

/* Of tables and blob files. */
static uint64_t disk_use(env *e)
{
    struct {
        env     *e;
        uint64_t bytes;
    } sum = { .e = e };
    assert_int_equal(env_list(e, "/store", add_size, &sum), CHR_OK);
    return sum.bytes;
}

static void a_snapshot_is_there_after_restarts_and_power_cuts(void **state)
{
    (void)state;
    env *e = env_sim_new(1);
    db  *d = open_db(e, 0);
    fill(d, 'a');
    assert_int_equal(db_snapshot_keep(d, chr_str("before")), CHR_OK);
    fill(d, 'b');
    assert_named(d, "before", 'a');
    env *after = env_sim_crash(e, 2, SIM_LOSE_ALL); /* some of it is in the log only */
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(after, 0);
    assert_named(d, "before", 'a');
    compact(d);
    delete_all(d);
    compact(d);
    assert_shows(d, NULL, 0);
    assert_named(d, "before", 'a');
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(after, 0);
    assert_named(d, "before", 'a');
    assert_int_equal(db_snapshot_drop(d, chr_str("before")), CHR_OK);
    env *dropped = env_sim_crash(after, 3, SIM_LOSE_ALL);
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(dropped, 0);
    db_snapshot *at;
    uint64_t     wall_ns;
    assert_int_equal(db_snapshot_open(d, chr_str("before"), &at, &wall_ns), CHR_NOT_FOUND);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
    env_sim_free(after);
    env_sim_free(dropped);
}

/* With what the next write makes the engine do, inline. */
static void let_it_work(db *d)
{
    batch b = { 0 };
    assert_int_equal(batch_put(&b, chr_str("other"), chr_str("x")), CHR_OK);
    assert_int_equal(db_apply(d, &b, NULL), CHR_OK);
    assert_int_equal(db_flush(d), CHR_OK);
    batch_free(&b);
}

static void what_it_kept_goes_when_it_is_dropped(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6;
         kind++) { /* values in tables or apart; overwritten, or deleted; of all that a manual compaction sees */
        env     *e = env_sim_new(4);
        size_t   blob_bytes = kind % 2 ? 100 : 0;
        bool     deletes = kind / 2 == 1, asks = kind / 2 == 2;
        db      *d = open_db(e, blob_bytes);
        uint64_t one = (uint64_t)KEYS * VALUE_BYTES;
        fill(d, 'a');
        compact(d);
        assert_true(disk_use(e) < one + one / 2);
        assert_int_equal(db_snapshot_keep(d, chr_str("old")), CHR_OK);
        fill(d, 'b');
        assert_int_equal(db_snapshot_keep(d, chr_str("new")), CHR_OK);
        if (deletes)
            delete_all(d);
        else
            fill(d, 'c');
        compact(d);
        assert_true(disk_use(e) > (deletes ? 2 : 3) * one);
        assert_named(d, "old", 'a');
        assert_named(d, "new", 'b');
        assert_int_equal(db_snapshot_drop(d, chr_str("old")), CHR_OK);
        asks ? compact(d) : let_it_work(d);
        assert_true(disk_use(e) < (deletes ? 1 : 2) * one + one / 2);
        assert_named(d, "new", 'b');
        assert_shows(d, NULL, deletes ? 0 : 'c');
        assert_int_equal(db_snapshot_drop(d, chr_str("new")), CHR_OK);
        assert_int_equal(db_close(d), CHR_OK); /* what is left to do is not forgotten */
        d = open_db(e, blob_bytes);
        asks ? compact(d) : let_it_work(d);
        assert_true(disk_use(e) < (deletes ? 0 : 1) * one + one / 2);
        assert_int_equal(db_close(d), CHR_OK);
        env_sim_free(e);
    }
}

static void names_are_checked(void **state)
{
    (void)state;
    env *e = env_sim_new(5);
    db  *d = open_db(e, 0);
    char long_name[SNAPSHOT_NAME_MAX + 1];
    memset(long_name, 'n', sizeof long_name);
    assert_int_equal(db_snapshot_keep(d, chr_str("one")), CHR_OK);
    assert_int_equal(db_snapshot_keep(d, chr_str("one")), CHR_EXISTS);
    assert_int_equal(db_snapshot_drop(d, chr_str("two")), CHR_NOT_FOUND);
    const slice bad[] = { chr_str(""),    chr_str("."),         chr_str(".."),
                          chr_str("a/b"), chr_bytes("a\0b", 3), chr_bytes(long_name, sizeof long_name) };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(db_snapshot_keep(d, bad[i]), CHR_INVALID);
    assert_int_equal(db_snapshot_keep(d, chr_bytes(long_name, sizeof long_name - 1)), CHR_OK);
    assert_int_equal(db_snapshot_keep(d, chr_str("\xff\n")), CHR_OK);
    named_list l;
    assert_int_equal(db_snapshots_take(d, &l), CHR_OK);
    assert_int_equal(l.n, 3);
    assert_non_null(named_find(&l, chr_str("one")));
    db_snapshots_give_back(d, &l);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

static void nothing_is_kept_in_a_store_that_has_failed(void **state)
{
    (void)state;
    env *e = env_sim_new(8);
    db  *d = open_db(e, 0);
    fill(d, 'a');
    assert_int_equal(db_snapshot_keep(d, chr_str("s")), CHR_OK);
    env_sim_fail_at(e, env_sim_calls(e) + 1, SIM_EIO, true);
    batch b = { 0 };
    assert_int_equal(batch_put(&b, chr_str("key"), chr_str("x")), CHR_OK);
    uint64_t seq = 0;
    if (db_apply(d, &b, &seq) == CHR_OK) assert_int_not_equal(db_wait_durable(d, seq), CHR_OK);
    batch_free(&b);
    env_sim_fail_at(e, 0, SIM_NONE, false);
    assert_int_equal(db_snapshot_keep(d, chr_str("t")), CHR_READ_ONLY);
    assert_int_equal(db_snapshot_drop(d, chr_str("s")), CHR_READ_ONLY);
    assert_named(d, "s", 'a');
    (void)db_close(d);
    env_sim_free(e);
}

typedef struct writer {
    db         *d;
    atomic_bool stop;
} writer;

enum { TOGETHER = 20 };

/* All keys always have the same value. */
static void *write_on(void *arg)
{
    writer *w = arg;
    batch   b = { 0 };
    for (unsigned n = 0; !w->stop; n++) {
        char key[16], value[200];
        batch_clear(&b);
        snprintf(value, sizeof value, "%0150u", n);
        for (int i = 0; i < TOGETHER; i++) {
            snprintf(key, sizeof key, "key%03d", i);
            if (batch_put(&b, chr_str(key), chr_str(value)) != CHR_OK) abort();
        }
        if (db_apply(w->d, &b, NULL) != CHR_OK) abort();
    }
    batch_free(&b);
    return NULL;
}

static void *keep_and_drop(void *arg)
{
    writer *w = arg;
    buf     first = { 0 }, other = { 0 };
    char    name[32];
    snprintf(name, sizeof name, "of %p", (void *)&first);
    for (int round = 0; round < 40; round++) {
        db_snapshot *at;
        uint64_t     wall_ns;
        if (db_snapshot_keep(w->d, chr_str(name)) != CHR_OK) abort();
        if (db_snapshot_open(w->d, chr_str(name), &at, &wall_ns) != CHR_OK) abort();
        if (round % 2 && db_snapshot_drop(w->d, chr_str(name)) != CHR_OK) abort();
        for (int again = 0; again < 20; again++) {
            buf *to = again ? &other : &first;
            char key[16];
            snprintf(key, sizeof key, "key%03d", again % TOGETHER);
            to->len = 0;
            chr_status st = db_get(w->d, at, chr_str(key), copy_value, to, NULL);
            if (st != CHR_OK && st != CHR_NOT_FOUND) abort();
            if (again && !slice_equal(buf_slice(&first), buf_slice(&other))) abort(); /* half of a batch */
        }
        db_snapshot_free(w->d, at);
        if (round % 2 == 0 && db_snapshot_drop(w->d, chr_str(name)) != CHR_OK) abort();
    }
    chr_buf_free(&first);
    chr_buf_free(&other);
    return NULL;
}

static void many_keep_and_drop_while_everything_moves(void **state)
{
    (void)state;
    char        dir[256];
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/chronos-snapshots-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    db_options o = options_of(env_posix(), 100);
    writer     w = { 0 };
    pthread_t  writing, keeping;
    o.dir = dir;
    o.inline_work = false;
    o.chr.sync = CHR_SYNC_NONE;
    assert_int_equal(db_open(&o, &w.d), CHR_OK);
    assert_int_equal(pthread_create(&writing, NULL, write_on, &w), 0);
    assert_int_equal(pthread_create(&keeping, NULL, keep_and_drop, &w), 0);
    keep_and_drop(&w);
    pthread_join(keeping, NULL);
    w.stop = true;
    pthread_join(writing, NULL);
    assert_int_equal(db_close(w.d), CHR_OK);
    assert_int_equal(db_check(env_posix(), dir, ignore, NULL), CHR_OK);
    file_path path;
    DIR      *all = opendir(dir);
    assert_non_null(all);
    for (struct dirent *x; (x = readdir(all));) {
        path = path_in(dir, x->d_name);
        (void)unlink(path.text);
    }
    closedir(all);
    assert_int_equal(rmdir(dir), 0);
}

static void who_has_it_open_reads_on_after_it_is_dropped(void **state)
{
    (void)state;
    env         *e = env_sim_new(6);
    db          *d = open_db(e, 0);
    db_snapshot *at;
    uint64_t     wall_ns = 0;
    fill(d, 'a');
    assert_int_equal(db_snapshot_keep(d, chr_str("s")), CHR_OK);
    assert_int_equal(db_snapshot_open(d, chr_str("s"), &at, &wall_ns), CHR_OK);
    fill(d, 'b');
    assert_int_equal(db_snapshot_drop(d, chr_str("s")), CHR_OK);
    compact(d);
    assert_shows(d, at, 'a');
    db_snapshot_free(d, at);
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(e);
}

static void checkpoints_and_repairs_have_them_too(void **state)
{
    (void)state;
    env *e = env_sim_new(7);
    db  *d = open_db(e, 100), *copy;
    fill(d, 'a');
    assert_int_equal(db_snapshot_keep(d, chr_str("s")), CHR_OK);
    fill(d, 'b');
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_OK);
    delete_all(d);
    assert_int_equal(db_snapshot_drop(d, chr_str("s")), CHR_OK);
    assert_int_equal(db_snapshot_keep(d, chr_str("empty")), CHR_OK);
    fill(d, 'c');
    assert_int_equal(db_close(d), CHR_OK);
    db_options o = options_of(e, 100);
    o.dir = "/copy";
    assert_int_equal(db_open(&o, &copy), CHR_OK);
    assert_named(copy, "s", 'a');
    assert_shows(copy, NULL, 'b');
    assert_int_equal(db_close(copy), CHR_OK);

    assert_int_equal(db_repair(e, "/store", ignore, NULL), CHR_OK);
    assert_int_equal(db_check(e, "/store", ignore, NULL), CHR_OK);
    assert_int_equal(db_repair(e, "/copy", ignore, NULL), CHR_OK);
    d = open_db(e, 100);
    assert_named(d, "empty", 0);
    assert_shows(d, NULL, 'c');
    assert_int_equal(db_close(d), CHR_OK);
    o.chr.read_only = true;
    assert_int_equal(db_open(&o, &copy), CHR_OK);
    assert_named(copy, "s", 'a');
    assert_shows(copy, NULL, 'b');
    assert_int_equal(db_snapshot_drop(copy, chr_str("s")), CHR_READ_ONLY);
    assert_int_equal(db_snapshot_keep(copy, chr_str("t")), CHR_READ_ONLY);
    assert_int_equal(db_close(copy), CHR_OK);
    env_sim_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_there_after_restarts_and_power_cuts),
        cmocka_unit_test(what_it_kept_goes_when_it_is_dropped),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(nothing_is_kept_in_a_store_that_has_failed),
        cmocka_unit_test(many_keep_and_drop_while_everything_moves),
        cmocka_unit_test(who_has_it_open_reads_on_after_it_is_dropped),
        cmocka_unit_test(checkpoints_and_repairs_have_them_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
