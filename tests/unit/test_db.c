/* The engine through its door (db.h): against a sorted-array model with random operations, on the simulated disk and on
 * the real one, with tiny memtables and tables so that every level is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/db_impl.h"
#include "engine/names.h"
#include "env/sim.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- where the store lies ---- */

typedef struct place {
    env *e;
    char dir[256];
    bool sim;
} place;

static place place_sim(uint64_t seed)
{
    place p = { .e = env_sim_new(seed), .dir = "/store", .sim = true };
    assert_non_null(p.e);
    return p;
}

static place place_posix(void)
{
    place       p = { .e = env_posix() };
    const char *tmp = getenv("TMPDIR");
    snprintf(p.dir, sizeof p.dir, "%s/chronos-db-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(p.dir));
    return p;
}

static chr_status remove_one(void *arg, const char *name)
{
    const place *p = arg;
    file_path    path = path_in(p->dir, name);
    if (!chr_ok(env_unlink(p->e, path.text))) (void)env_rmdir(p->e, path.text);
    return CHR_OK;
}

static void place_free(place *p)
{
    if (p->sim) {
        env_sim_free(p->e);
        return;
    }
    (void)env_list(p->e, p->dir, remove_one, p);
    assert_int_equal(env_rmdir(p->e, p->dir), CHR_OK);
}

static db_options small_options(const place *p)
{
    db_options o = { .env = p->e, .dir = p->dir, .chr = chr_options_default() };
    o.chr.memtable_bytes = 16 * 1024;
    o.chr.block_bytes = 512;
    o.chr.cache_bytes = 64 * 1024;
    o.l1_bytes = 32 * 1024;
    o.table_bytes = 8 * 1024;
    return o;
}

static db *open_db(const db_options *o)
{
    db *d;
    if (db_open(o, &d) != CHR_OK) fail_msg("cannot open: %s", chr_message());
    return d;
}

static void put(db *d, const char *key, const char *value)
{
    batch    b = { 0 };
    uint64_t seq;
    assert_int_equal(batch_put(&b, chr_str(key), chr_str(value)), CHR_OK);
    assert_int_equal(db_apply(d, &b, &seq), CHR_OK);
    assert_int_equal(db_wait(d, seq), CHR_OK);
    batch_free(&b);
}

static void copy_value(void *arg, slice value) { assert_true(buf_set(arg, value)); }

static chr_status get(db *d, const db_snapshot *s, const char *key, buf *value)
{
    value->len = 0;
    return db_get(d, s, chr_str(key), copy_value, value, NULL);
}

static void assert_value(db *d, const db_snapshot *s, const char *key, const char *expected)
{
    buf        value = { 0 };
    chr_status st = get(d, s, key, &value);
    if (!expected) {
        assert_int_equal(st, CHR_NOT_FOUND);
    } else {
        if (st != CHR_OK) fail_msg("get %s: %s %s", key, chr_status_name(st), chr_message());
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.data, expected, value.len);
    }
    chr_buf_free(&value);
}

/* ---- the model: every key there is room for, with its value or nothing ---- */

enum { KEYS = 700, VALUE_MAX = 120 };

typedef struct model {
    bool     there[KEYS];
    uint32_t value[KEYS]; /* seeds the value's bytes and length */
} model;

static void key_name(char *to, uint32_t i) { snprintf(to, 32, "key:%c:%05u", 'a' + (char)(i % 3), i * 7); }

/* Names of the model's keys in byte order. */
static int by_name(const void *a, const void *b)
{
    char x[32], y[32];
    key_name(x, *(const uint32_t *)a);
    key_name(y, *(const uint32_t *)b);
    return strcmp(x, y);
}
static uint32_t sorted[KEYS];

static size_t value_bytes(char *to, uint32_t v)
{
    size_t len = v % VALUE_MAX;
    for (size_t i = 0; i < len; i++) to[i] = (char)('a' + (v >> (i % 24) & 15));
    return len;
}

typedef struct rng {
    uint64_t s;
} rng;
static uint32_t rnd(rng *r, uint32_t below)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->s >> 33) % below;
}

static void check_value(const model *m, uint32_t i, chr_status st, slice value, const char *where)
{
    char name[32], bytes[VALUE_MAX];
    key_name(name, i);
    if (!m->there[i]) {
        if (st != CHR_NOT_FOUND)
            fail_msg("%s: %s should be absent (%s %s)", where, name, chr_status_name(st), chr_message());
        return;
    }
    if (st != CHR_OK) fail_msg("%s: %s should be there: %s %s", where, name, chr_status_name(st), chr_message());
    size_t len = value_bytes(bytes, m->value[i]);
    if (len != value.len || (len && memcmp(bytes, value.data, len) != 0))
        fail_msg("%s: %s has a wrong value", where, name);
}

static void check_gets(db *d, const db_snapshot *s, const model *m, const char *where)
{
    buf value = { 0 };
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[32];
        key_name(name, i);
        chr_status st = get(d, s, name, &value);
        check_value(m, i, st, buf_slice(&value), where);
    }
    chr_buf_free(&value);
}

static slice iter_value(db_iter *it)
{
    slice value;
    if (db_iter_value(it, &value) != CHR_OK) fail_msg("a value cannot be read: %s", chr_message());
    return value;
}

static void check_iteration(db *d, const db_snapshot *s, const model *m, const char *where)
{
    db_iter *it;
    assert_int_equal(db_iter_new(d, s, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it), CHR_OK);
    db_iter_first(it);
    for (size_t k = 0; k < KEYS; k++) {
        uint32_t i = sorted[k];
        char     name[32];
        if (!m->there[i]) continue;
        key_name(name, i);
        if (!db_iter_valid(it)) fail_msg("%s: forward ends before %s (%d)", where, name, db_iter_status(it));
        if (!slice_equal(db_iter_key(it), chr_str(name)))
            fail_msg("%s: forward shows %.*s, expected %s", where, (int)db_iter_key(it).len, db_iter_key(it).data,
                     name);
        check_value(m, i, CHR_OK, iter_value(it), where);
        db_iter_next(it);
    }
    assert_false(db_iter_valid(it));
    assert_int_equal(db_iter_status(it), CHR_OK);
    db_iter_last(it);
    for (size_t k = KEYS; k-- > 0;) {
        uint32_t i = sorted[k];
        char     name[32];
        if (!m->there[i]) continue;
        key_name(name, i);
        if (!db_iter_valid(it) || !slice_equal(db_iter_key(it), chr_str(name)))
            fail_msg("%s: backward is wrong at %s", where, name);
        check_value(m, i, CHR_OK, iter_value(it), where);
        db_iter_prev(it);
    }
    assert_false(db_iter_valid(it));
    db_iter_free(it);
}

static size_t lower_index(const char *key)
{
    size_t k = 0;
    for (; k < KEYS; k++) {
        char name[32];
        key_name(name, sorted[k]);
        if (strcmp(name, key) >= 0) break;
    }
    return k;
}

/* Bounded, with seeks and changes of direction. */
static void check_walk(db *d, const model *m, rng *r)
{
    char     low[32], high[32], at[32];
    db_iter *it;
    key_name(low, rnd(r, KEYS));
    key_name(high, rnd(r, KEYS));
    key_name(at, rnd(r, KEYS));
    if (strcmp(low, high) > 0) {
        char swap[32];
        memcpy(swap, low, sizeof swap);
        memcpy(low, high, sizeof low);
        memcpy(high, swap, sizeof high);
    }
    assert_int_equal(db_iter_new(d, NULL, chr_str(low), chr_str(high), &it), CHR_OK);
    size_t from = lower_index(low), to = lower_index(high), k = lower_index(at);
    if (k < from) k = from;
    while (k < to && !m->there[sorted[k]]) k++;
    db_iter_seek(it, chr_str(at));
    for (int step = 0; step < 20; step++) {
        if (k >= to || k == (size_t)-1) {
            assert_false(db_iter_valid(it));
            break;
        }
        char name[32];
        key_name(name, sorted[k]);
        if (!db_iter_valid(it) || !slice_equal(db_iter_key(it), chr_str(name))) fail_msg("walk: expected %s", name);
        check_value(m, sorted[k], CHR_OK, iter_value(it), "walk");
        if (rnd(r, 3)) {
            do k++;
            while (k < to && !m->there[sorted[k]]);
            db_iter_next(it);
        } else {
            do k = k > from ? k - 1 : (size_t)-1;
            while (k != (size_t)-1 && !m->there[sorted[k]]);
            db_iter_prev(it);
        }
    }
    db_iter_free(it);
}

static void change(batch *b, model *m, rng *r)
{
    char     name[32], end[32], bytes[VALUE_MAX];
    uint32_t i = rnd(r, KEYS), kind = rnd(r, 100);
    key_name(name, i);
    if (kind < 75) {
        m->there[i] = true;
        m->value[i] = rnd(r, 1u << 30);
        assert_int_equal(batch_put(b, chr_str(name), chr_bytes(bytes, value_bytes(bytes, m->value[i]))), CHR_OK);
    } else if (kind < 97) {
        m->there[i] = false;
        assert_int_equal(batch_delete(b, chr_str(name)), CHR_OK);
    } else {
        size_t k = lower_index(name), stop = k + rnd(r, 60);
        if (stop >= KEYS) stop = KEYS - 1;
        key_name(end, sorted[stop]);
        for (; k < stop; k++) m->there[sorted[k]] = false;
        assert_int_equal(batch_delete_range(b, chr_str(name), chr_str(end)), CHR_OK);
    }
}

static void run_model(place *p, uint64_t seed, bool inline_work, int rounds)
{
    db_options o = small_options(p);
    model     *m = calloc(1, sizeof *m), *old = calloc(1, sizeof *old);
    rng        r = { seed };
    batch      b = { 0 };
    assert_non_null(m);
    assert_non_null(old);
    o.inline_work = inline_work;
    o.chr.compression = (chr_compression)rnd(&r, 3);
    o.chr.bottom_compression = (chr_compression)rnd(&r, 3);
    o.chr.sync = (chr_sync_mode)rnd(&r, 3);
    o.chr.filter_bits = rnd(&r, 2) * 10;
    o.chr.blob_bytes = rnd(&r, 3) ? 1 + rnd(&r, VALUE_MAX) : 0;
    db          *d = open_db(&o);
    db_snapshot *s = NULL;
    for (int round = 0; round < rounds; round++) {
        char where[64];
        snprintf(where, sizeof where, "seed %llu round %d", (unsigned long long)seed, round);
        for (int i = 0; i < 200; i++) {
            batch_clear(&b);
            for (uint32_t n = 1 + rnd(&r, 4); n > 0; n--) change(&b, m, &r);
            if (db_apply(d, &b, NULL) != CHR_OK) fail_msg("%s: %s", where, chr_message());
        }
        check_gets(d, NULL, m, where);
        check_iteration(d, NULL, m, where);
        for (int i = 0; i < 10; i++) check_walk(d, m, &r);
        if (s) {
            check_gets(d, s, old, where);
            check_iteration(d, s, old, where);
        }
        switch (rnd(&r, 6)) {
        case 0: assert_int_equal(db_flush(d), CHR_OK); break;
        case 1: assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK); break;
        case 2:
            db_snapshot_free(d, s);
            assert_int_equal(db_snapshot_new(d, &s), CHR_OK);
            *old = *m;
            break;
        case 3:
            db_snapshot_free(d, s);
            s = NULL;
            assert_int_equal(db_close(d), CHR_OK);
            d = open_db(&o);
            break;
        default: break;
        }
    }
    db_snapshot_free(d, s);
    assert_int_equal(db_close(d), CHR_OK);
    batch_free(&b);
    free(m);
    free(old);
}

static uint64_t first_seed(void)
{
    const char *text = getenv("SEED");
    return text ? strtoull(text, NULL, 10) : 20261123;
}

static void random_operations_agree_with_a_model_on_the_simulated_disk(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 6; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        place p = place_sim(seed);
        run_model(&p, seed, true, 12);
        place_free(&p);
    }
}

static void random_operations_agree_with_a_model_on_the_real_disk_with_threads(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 3; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        place p = place_posix();
        run_model(&p, seed, false, 12);
        place_free(&p);
    }
}

static void what_was_written_is_there_after_reopening(void **state)
{
    (void)state;
    place      p = place_posix();
    db_options o = small_options(&p);
    db        *d = open_db(&o);
    put(d, "greeting", "hello");
    put(d, "", "the empty key is a key");
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(&o);
    assert_value(d, NULL, "greeting", "hello");
    assert_value(d, NULL, "", "the empty key is a key");
    assert_value(d, NULL, "nobody", NULL);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void a_second_opening_is_refused_and_names_the_holder(void **state)
{
    (void)state;
    place      p = place_posix();
    db_options o = small_options(&p);
    db        *d = open_db(&o), *again;
    char       pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_int_equal(db_open(&o, &again), CHR_LOCKED);
    assert_non_null(strstr(chr_message(), pid));
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void a_write_is_visible_at_once_and_acknowledged_after_the_sync(void **state)
{
    (void)state;
    place      p = place_sim(5);
    db_options o = small_options(&p);
    o.inline_work = true;
    db      *d = open_db(&o);
    batch    b = { 0 };
    uint64_t seq, seen;
    buf      value = { 0 };
    assert_int_equal(batch_put(&b, chr_str("k"), chr_str("v")), CHR_OK);
    assert_int_equal(db_apply(d, &b, &seq), CHR_OK);
    assert_int_equal(db_get(d, NULL, chr_str("k"), copy_value, &value, &seen), CHR_OK);
    assert_int_equal(seen, seq);
    assert_true(db_ack_seq(d) < seq);
    assert_int_equal(db_wait(d, seen), CHR_OK);
    assert_true(db_ack_seq(d) >= seq);
    chr_buf_free(&value);
    batch_free(&b);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void after_a_failed_sync_nothing_unacknowledged_is_shown_and_reads_go_on(void **state)
{
    (void)state;
    place      p = place_sim(6);
    db_options o = small_options(&p);
    o.inline_work = true;
    db *d = open_db(&o);
    put(d, "kept", "1");
    batch    b = { 0 };
    uint64_t seq;
    assert_int_equal(batch_put(&b, chr_str("kept"), chr_str("2")), CHR_OK);
    assert_int_equal(db_apply(d, &b, &seq), CHR_OK);
    env_sim_fail_at(p.e, env_sim_calls(p.e) + 2, SIM_SYNC_LIES, false);
    assert_int_not_equal(db_wait(d, seq), CHR_OK);
    assert_value(d, NULL, "kept", "1");
    assert_int_equal(db_apply(d, &b, NULL), CHR_READ_ONLY);
    assert_int_not_equal(db_failure(d), CHR_OK);
    assert_int_not_equal(db_close(d), CHR_OK);

    env *after = env_sim_crash(p.e, 1, SIM_LOSE_ALL);
    o.env = after;
    d = open_db(&o);
    assert_value(d, NULL, "kept", "1");
    put(d, "kept", "3");
    assert_value(d, NULL, "kept", "3");
    assert_int_equal(db_close(d), CHR_OK);
    env_sim_free(after);
    batch_free(&b);
    place_free(&p);
}

static void a_checkpoint_is_a_store_of_its_own(void **state)
{
    (void)state;
    place      p = place_sim(7);
    db_options o = small_options(&p), copy = o;
    o.inline_work = copy.inline_work = true;
    copy.dir = "/copy";
    db *d = open_db(&o);
    put(d, "a", "1");
    put(d, "b", "2");
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_OK);
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_EXISTS);
    put(d, "a", "changed");
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    db *c = open_db(&copy);
    assert_value(c, NULL, "a", "1");
    assert_value(c, NULL, "b", "2");
    put(c, "b", "its own");
    assert_value(d, NULL, "b", "2");
    assert_int_equal(db_close(c), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void a_memtable_whose_log_could_not_be_read_back_is_refused(void **state)
{
    (void)state;
    place      p = place_sim(7);
    db_options o = small_options(&p);
    db        *d;
    o.chr.memtable_bytes = ((size_t)1 << 30) + 1;
    assert_int_equal(db_open(&o, &d), CHR_INVALID);
    o.chr.memtable_bytes = (size_t)1 << 30;
    d = open_db(&o);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void a_checkpoint_survives_a_power_cut(void **state)
{
    (void)state;
    place      p = place_sim(7);
    db_options o = small_options(&p), copy = o;
    o.inline_work = copy.inline_work = true;
    copy.dir = "/copy";
    copy.chr.create_if_missing = false;
    db *d = open_db(&o);
    put(d, "a", "1");
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_OK);
    env *left = env_sim_crash(p.e, 1, SIM_LOSE_ALL);
    copy.env = left;
    db *c = open_db(&copy);
    assert_value(c, NULL, "a", "1");
    assert_int_equal(db_close(c), CHR_OK);
    env_sim_free(left);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void a_checkpoint_of_a_read_only_store_lacks_nothing_or_is_refused(void **state)
{
    (void)state;
    place      p = place_sim(7);
    db_options o = small_options(&p), copy = o;
    o.inline_work = copy.inline_work = true;
    copy.dir = "/copy";
    db *d = open_db(&o);
    put(d, "a", "only in the log");
    assert_int_equal(db_close(d), CHR_OK);
    o.chr.read_only = true;
    d = open_db(&o);
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_READ_ONLY);
    assert_int_equal(env_mkdir(p.e, "/copy"), CHR_OK); /* it was not made */
    assert_int_equal(env_rmdir(p.e, "/copy"), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);

    o.chr.read_only = false;
    d = open_db(&o); /* moves it to a table */
    assert_int_equal(db_close(d), CHR_OK);
    o.chr.read_only = true;
    d = open_db(&o);
    assert_int_equal(db_checkpoint(d, "/copy"), CHR_OK);
    db *c = open_db(&copy);
    assert_value(c, NULL, "a", "only in the log");
    assert_int_equal(db_close(c), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

/* ---- damage ---- */

typedef struct findings {
    int  n;
    char text[600];
} findings;
static void note_finding(void *arg, const char *sentence)
{
    findings *f = arg;
    f->n++;
    snprintf(f->text, sizeof f->text, "%s", sentence);
}

typedef struct largest_file {
    place   *p;
    char     name[64];
    uint64_t bytes;
} largest_file;
static chr_status note_table(void *arg, const char *name)
{
    largest_file *l = arg;
    uint64_t      no, bytes;
    if (name_parse(name, &no) != FILE_TABLE) return CHR_OK;
    file_path path = path_in(l->p->dir, name);
    env_file *f;
    assert_int_equal(env_open(l->p->e, path.text, ENV_READ, &f), CHR_OK);
    assert_int_equal(env_size(f, &bytes), CHR_OK);
    env_close(f);
    if (bytes <= l->bytes) return CHR_OK;
    l->bytes = bytes;
    snprintf(l->name, sizeof l->name, "%s", name);
    return CHR_OK;
}

static void write_200(const db_options *o)
{
    db *d = open_db(o);
    for (int i = 0; i < 200; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%03d", i);
        put(d, key, "some value that takes a little room");
    }
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);
}

static int count_200(db *d)
{
    int saved = 0;
    for (int i = 0; i < 200; i++) {
        char key[32];
        buf  value = { 0 };
        snprintf(key, sizeof key, "k%03d", i);
        saved += get(d, NULL, key, &value) == CHR_OK;
        chr_buf_free(&value);
    }
    return saved;
}

static void a_flipped_byte_in_a_block_is_reported_and_the_other_keys_still_answer(void **state)
{
    (void)state;
    place      p = place_sim(8);
    db_options o = small_options(&p);
    o.inline_work = true;
    write_200(&o);
    db      *d;
    findings f = { 0 };
    assert_int_equal(db_check(p.e, p.dir, note_finding, &f), CHR_OK);
    assert_int_equal(f.n, 0);
    d = open_db(&o);
    assert_int_equal(db_scrub(d), CHR_OK);
    assert_int_equal(db_close(d), CHR_OK);

    largest_file t = { .p = &p };
    assert_int_equal(env_list(p.e, p.dir, note_table, &t), CHR_OK);
    file_path path = path_in(p.dir, t.name);
    assert_int_equal(env_sim_flip(p.e, path.text, 20, 0x10), CHR_OK); /* in the first data block */
    assert_int_equal(db_check(p.e, p.dir, note_finding, &f), CHR_CORRUPT);
    assert_true(f.n >= 1);
    assert_non_null(strstr(f.text, t.name));
    assert_non_null(strstr(f.text, "offset"));

    d = open_db(&o);
    buf text = { 0 };
    assert_int_equal(db_scrub(d), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), t.name));
    assert_int_equal(db_property(d, "error", &text), CHR_OK);
    assert_true(buf_append_byte(&text, 0));
    assert_non_null(strstr(text.data, t.name));
    chr_buf_free(&text);
    int bad = 0, good = 0;
    for (int i = 0; i < 200; i++) {
        char key[32];
        buf  value = { 0 };
        snprintf(key, sizeof key, "k%03d", i);
        chr_status st = get(d, NULL, key, &value);
        if (st == CHR_CORRUPT) {
            bad++;
            assert_non_null(strstr(chr_message(), t.name));
            assert_non_null(strstr(chr_message(), "offset"));
        } else {
            assert_int_equal(st, CHR_OK);
            good++;
        }
        chr_buf_free(&value);
    }
    assert_true(bad > 0 && good > 100);
    assert_int_equal(db_close(d), CHR_OK);

    assert_int_equal(db_repair(p.e, p.dir, note_finding, &f), CHR_OK);
    assert_int_equal(db_check(p.e, p.dir, note_finding, &f), CHR_OK);
    d = open_db(&o);
    assert_int_equal(count_200(d), good);
    put(d, "after", "repair");
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(&o);
    assert_value(d, NULL, "after", "repair");
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

static void flip_in(place *p, const largest_file *t, uint64_t offset)
{
    file_path path = path_in(p->dir, t->name);
    assert_int_equal(env_sim_flip(p->e, path.text, offset, 0x10), CHR_OK);
}

static void a_repair_finds_the_blocks_of_a_table_without_index_or_footer(void **state)
{
    (void)state;
    static const uint64_t from_end[] = { 64 + 5 + 3 /* in the index */, 30 /* in the footer */ };
    for (int i = 0; i < 4; i++) {
        bool       block_too = i >= 2;
        place      p = place_sim(20 + (uint64_t)i);
        db_options o = small_options(&p);
        findings   f = { 0 };
        o.inline_work = true;
        o.chr.compression = o.chr.bottom_compression = (chr_compression)(i % 3);
        write_200(&o);
        db *d = open_db(&o); /* this removes the log, from which a repair could have it all */
        assert_int_equal(db_close(d), CHR_OK);
        largest_file t = { .p = &p };
        assert_int_equal(env_list(p.e, p.dir, note_table, &t), CHR_OK);
        flip_in(&p, &t, t.bytes - from_end[i % 2]);
        if (block_too) flip_in(&p, &t, 20); /* in the first block */
        assert_int_equal(db_repair(p.e, p.dir, note_finding, &f), CHR_OK);
        assert_true(f.n >= 1);
        assert_int_equal(db_check(p.e, p.dir, note_finding, &f), CHR_OK);
        file_path lost = path_in(p.dir, NAME_LOST), kept = path_in(lost.text, t.name);
        env_file *file;
        assert_int_equal(env_open(p.e, kept.text, ENV_READ, &file), CHR_OK);
        env_close(file);
        d = open_db(&o);
        if (block_too)
            assert_in_range(count_200(d), 100, 199);
        else
            assert_int_equal(count_200(d), 200);
        assert_int_equal(db_close(d), CHR_OK);
        place_free(&p);
    }
}

static void a_full_disk_refuses_writes_loses_nothing_and_lets_them_go_on_later(void **state)
{
    (void)state;
    place      p = place_sim(9);
    db_options o = small_options(&p);
    o.inline_work = true;
    db *d = open_db(&o);
    env_sim_set_space(p.e, 900 * 1024);
    char       key[32], value[1001];
    uint64_t   written = 0;
    chr_status st = CHR_OK;
    memset(value, 'v', 1000);
    value[1000] = 0;
    batch b = { 0 };
    for (; chr_ok(st) && written < 20000; written++) {
        batch_clear(&b);
        snprintf(key, sizeof key, "k%llu", (unsigned long long)written);
        for (int i = 0; i < 1000; i++)
            value[i] = (char)('!' + (int)((written * 31 + (uint64_t)i * 17 + (uint64_t)(i * i)) % 90));
        assert_int_equal(batch_put(&b, chr_str(key), chr_str(value)), CHR_OK);
        uint64_t seq;
        st = db_apply(d, &b, &seq);
        if (chr_ok(st)) st = db_wait(d, seq);
    }
    written--; /* the last one was refused */
    assert_int_equal(st, CHR_NO_SPACE);
    buf got = { 0 };
    for (uint64_t i = 0; i < written; i++) {
        snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        if (get(d, NULL, key, &got) != CHR_OK) fail_msg("%s is lost: %s", key, chr_message());
    }
    env_sim_set_space(p.e, 64u << 20);
    put(d, "again", "yes");
    assert_int_equal(db_close(d), CHR_OK);
    d = open_db(&o);
    assert_value(d, NULL, "again", "yes");
    for (uint64_t i = 0; i < written; i++) {
        snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        if (get(d, NULL, key, &got) != CHR_OK) fail_msg("%s is lost after reopening: %s", key, chr_message());
    }
    chr_buf_free(&got);
    assert_int_equal(db_close(d), CHR_OK);
    batch_free(&b);
    place_free(&p);
}

/* ---- threads ---- */

typedef struct stress {
    db               *d;
    atomic_bool       stop;
    _Atomic(uint64_t) rounds;
} stress;

enum { ACCOUNTS = 40, TOTAL = 4000 };

static void account(char *to, int i) { snprintf(to, 16, "acct%03d", i); }

/* Each batch moves an amount between two accounts; only this thread writes accounts. */
static void *transfer(void *arg)
{
    stress *s = arg;
    int     balance[ACCOUNTS];
    rng     r = { 1 };
    batch   b = { 0 };
    for (int i = 0; i < ACCOUNTS; i++) balance[i] = TOTAL / ACCOUNTS;
    while (!s->stop) {
        uint32_t from = rnd(&r, ACCOUNTS), to = rnd(&r, ACCOUNTS);
        char     key[16], value[16];
        balance[from]--;
        balance[to]++;
        batch_clear(&b);
        account(key, (int)from);
        snprintf(value, sizeof value, "%d", balance[from]);
        assert_int_equal(batch_put(&b, chr_str(key), chr_str(value)), CHR_OK);
        account(key, (int)to);
        snprintf(value, sizeof value, "%d", balance[to]);
        assert_int_equal(batch_put(&b, chr_str(key), chr_str(value)), CHR_OK);
        assert_int_equal(db_apply(s->d, &b, NULL), CHR_OK);
        s->rounds++;
    }
    batch_free(&b);
    return NULL;
}

static void *fill(void *arg)
{
    stress *s = arg;
    batch   b = { 0 };
    rng     r = { 2 };
    while (!s->stop) {
        char key[32], value[64];
        batch_clear(&b);
        snprintf(key, sizeof key, "x%06u", rnd(&r, 5000));
        snprintf(value, sizeof value, "value of %s", key);
        assert_int_equal(rnd(&r, 10) ? batch_put(&b, chr_str(key), chr_str(value)) : batch_delete(&b, chr_str(key)),
                         CHR_OK);
        uint64_t seq;
        assert_int_equal(db_apply(s->d, &b, &seq), CHR_OK);
        if (rnd(&r, 20) == 0) assert_int_equal(db_wait_durable(s->d, seq), CHR_OK);
    }
    batch_free(&b);
    return NULL;
}

static void *audit(void *arg)
{
    stress *s = arg;
    while (!s->stop) {
        db_iter *it;
        int      sum = 0, n = 0;
        assert_int_equal(db_iter_new(s->d, NULL, chr_str("acct"), chr_str("acct~"), &it), CHR_OK);
        for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) {
            char  text[16] = { 0 };
            slice v = iter_value(it);
            memcpy(text, v.data, v.len);
            sum += atoi(text);
            n++;
        }
        assert_int_equal(db_iter_status(it), CHR_OK);
        assert_int_equal(n, ACCOUNTS);
        assert_int_equal(sum, TOTAL);
        db_iter_free(it);
        s->rounds++;
    }
    return NULL;
}

static void *look_up(void *arg)
{
    stress *s = arg;
    rng     r = { 3 };
    buf     value = { 0 };
    while (!s->stop) {
        char key[32], expected[64];
        snprintf(key, sizeof key, "x%06u", rnd(&r, 5000));
        snprintf(expected, sizeof expected, "value of %s", key);
        chr_status st = get(s->d, NULL, key, &value);
        assert_true(st == CHR_OK || st == CHR_NOT_FOUND);
        if (st == CHR_OK) assert_memory_equal(value.data, expected, strlen(expected));
        db_snapshot *snapshot;
        assert_int_equal(db_snapshot_new(s->d, &snapshot), CHR_OK);
        db_snapshot_free(s->d, snapshot);
        s->rounds++;
    }
    chr_buf_free(&value);
    return NULL;
}

static void *compact_again_and_again(void *arg)
{
    stress *s = arg;
    while (!s->stop) assert_int_equal(db_compact(s->d, chr_str("b"), chr_bytes(NULL, 0)), CHR_OK);
    return NULL;
}

static void readers_always_see_whole_batches_while_everything_moves(void **state)
{
    (void)state;
    place      p = place_posix();
    db_options o = small_options(&p);
    o.chr.sync = CHR_SYNC_NONE;
    stress s = { .d = open_db(&o) };
    for (int i = 0; i < ACCOUNTS; i++) {
        char key[16], value[16];
        account(key, i);
        snprintf(value, sizeof value, "%d", TOTAL / ACCOUNTS);
        put(s.d, key, value);
    }
    void *(*mains[])(void *) = { transfer, fill, fill, audit, audit, look_up, compact_again_and_again };
    enum { THREADS = sizeof mains / sizeof *mains };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, mains[i], &s), 0);
    usleep(2500 * 1000);
    s.stop = true;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(s.rounds > 10);
    assert_int_equal(db_close(s.d), CHR_OK);
    findings f = { 0 };
    assert_int_equal(db_check(p.e, p.dir, note_finding, &f), CHR_OK);
    place_free(&p);
}

static bool drop_marked(void *arg, slice key, slice value, uint64_t wall_ns)
{
    (void)arg, (void)key, (void)wall_ns;
    return slice_equal(value, chr_str("drop me"));
}

static void compaction_drops_what_the_object_layer_says_is_expired(void **state)
{
    (void)state;
    place      p = place_sim(10);
    db_options o = small_options(&p);
    o.inline_work = true;
    o.drop = drop_marked;
    db *d = open_db(&o);
    put(d, "a", "stays");
    put(d, "b", "old");
    put(d, "b", "drop me");
    assert_int_equal(db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)), CHR_OK);
    assert_value(d, NULL, "a", "stays");
    assert_value(d, NULL, "b", NULL);
    chr_stats s;
    db_get_stats(d, &s);
    assert_int_equal(s.keys_estimate, 1);
    assert_int_equal(db_close(d), CHR_OK);
    place_free(&p);
}

int main(void)
{
    for (uint32_t i = 0; i < KEYS; i++) sorted[i] = i;
    qsort(sorted, KEYS, sizeof *sorted, by_name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_there_after_reopening),
        cmocka_unit_test(a_second_opening_is_refused_and_names_the_holder),
        cmocka_unit_test(a_write_is_visible_at_once_and_acknowledged_after_the_sync),
        cmocka_unit_test(after_a_failed_sync_nothing_unacknowledged_is_shown_and_reads_go_on),
        cmocka_unit_test(random_operations_agree_with_a_model_on_the_simulated_disk),
        cmocka_unit_test(random_operations_agree_with_a_model_on_the_real_disk_with_threads),
        cmocka_unit_test(a_checkpoint_is_a_store_of_its_own),
        cmocka_unit_test(a_memtable_whose_log_could_not_be_read_back_is_refused),
        cmocka_unit_test(a_checkpoint_survives_a_power_cut),
        cmocka_unit_test(a_checkpoint_of_a_read_only_store_lacks_nothing_or_is_refused),
        cmocka_unit_test(a_flipped_byte_in_a_block_is_reported_and_the_other_keys_still_answer),
        cmocka_unit_test(a_repair_finds_the_blocks_of_a_table_without_index_or_footer),
        cmocka_unit_test(a_full_disk_refuses_writes_loses_nothing_and_lets_them_go_on_later),
        cmocka_unit_test(compaction_drops_what_the_object_layer_says_is_expired),
        cmocka_unit_test(readers_always_see_whole_batches_while_everything_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
