/* The object layer against a model, under threads, and its corners. On the simulated disk and on a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "env/sim.h"
#include "object/store.h"

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, SECOND_MS = 1000 };
static const uint64_t SIM_WALL_NS = UINT64_C(1700000000) * 1000000000;

/* ---- a store on either disk ---- */

typedef struct fixture {
    env   *sim;   /* NULL: the real disk */
    char   dir[64];
    store *s;
} fixture;

static void open_store(fixture *f)
{
    store_options o = { .env = f->sim, .chr = chr_options_default(), .inline_work = f->sim != NULL };
    o.chr.sync = CHR_SYNC_NONE;
    o.chr.memtable_bytes = 1 << 20;
    o.chr.cache_bytes = 4 << 20;
    if (store_open(f->dir, &o, &f->s) != CHR_OK) fail_msg("%s", chr_message());
}

static void reopen(fixture *f)
{
    assert_int_equal(chr_close(f->s), CHR_OK);
    open_store(f);
}

static int on_sim(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->sim = env_sim_new(1);
    assert_non_null(f->sim);
    env_sim_set_wall(f->sim, SIM_WALL_NS);
    snprintf(f->dir, sizeof f->dir, "/store");
    open_store(f);
    *state = f;
    return 0;
}

static int on_disk(void **state)
{
    fixture    *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    assert_non_null(f);
    assert_in_range(snprintf(f->dir, sizeof f->dir, "%s/chronos-object-XXXXXX", tmp ? tmp : "/tmp"), 1, sizeof f->dir - 1);
    assert_non_null(mkdtemp(f->dir));
    open_store(f);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int done(void **state)
{
    fixture *f = *state;
    assert_int_equal(chr_close(f->s), CHR_OK);
    if (f->sim) env_sim_free(f->sim);
    else nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

/* ---- short words for the tests ---- */

/* Fewer where everything is slow. */
#ifdef __SANITIZE_THREAD__
enum { SLOWER = 8 };
#else
enum { SLOWER = 1 };
#endif
static int rounds_of(int all) { return all / SLOWER; }

static slice none(void) { return chr_bytes(NULL, 0); }

static txn *begin(store *s, slice key)
{
    txn *t = txn_begin(s, &key, 1);
    assert_non_null(t);
    return t;
}

static void commit(txn *t) { assert_int_equal(txn_commit(t, NULL), CHR_OK); }

static void put(store *s, const char *key, slice value)
{
    assert_int_equal(store_put(s, chr_str(key), NULL, value, NULL), CHR_OK);
}

static void assert_value(store *s, const char *key, slice expected)
{
    buf value = { 0 };
    assert_int_equal(store_get(s, NULL, chr_str(key), &value, NULL, NULL), CHR_OK);
    assert_int_equal(value.len, expected.len);
    if (expected.len) assert_memory_equal(value.data, expected.data, expected.len);
    chr_buf_free(&value);
}

static void assert_absent(store *s, const char *key)
{
    assert_int_equal(store_get(s, NULL, chr_str(key), NULL, NULL, NULL), CHR_NOT_FOUND);
}

static char *pattern(size_t len, unsigned seed)
{
    char *p = malloc(len + 1);
    assert_non_null(p);
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        p[i] = (char)x;
    }
    return p;
}

/* CHR_SEED repeats a run; CHR_ROUNDS makes it longer. */
static uint64_t seed_of_run(void)
{
    const char     *given = getenv("CHR_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_sec * 1000000007 ^ (uint64_t)now.tv_nsec;
    printf("CHR_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* How many engine keys the store has in one of its internal spaces (the byte after FF): chunks 1, big 3, pending 4. */
static size_t internal_keys(store *s, char space)
{
    char       from[2] = { '\xff', space }, to[2] = { '\xff', (char)(space + 1) };
    db_iter   *it;
    size_t     n = 0;
    assert_int_equal(db_iter_new(store_db(s), NULL, chr_bytes(from, 2), chr_bytes(to, 2), &it), CHR_OK);
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) n++;
    assert_int_equal(db_iter_status(it), CHR_OK);
    db_iter_free(it);
    return n;
}

/* ---- the model ---- */

enum { MODEL_KEYS = 24, MODEL_SIZE_MAX = 400 * KIB };

typedef struct model_object {
    bool     exists;
    size_t   size;
    char    *bytes;      /* MODEL_SIZE_MAX, zeroes behind size */
    uint64_t expire_ms;
    uint32_t mode;       /* 0: has no attributes of its own */
    int      xattrs;     /* a number; 0: none */
} model_object;

typedef struct model {
    fixture     *f;
    uint64_t     random;
    model_object at[MODEL_KEYS];
    char        *data;   /* random bytes */
} model;

static uint64_t pick(model *m, uint64_t below)
{
    m->random ^= m->random << 13, m->random ^= m->random >> 7, m->random ^= m->random << 17;
    return (m->random >> 11) % below;
}

/* Keys in order, around the internal ones. */
static slice model_key(int i)
{
    static char keys[MODEL_KEYS][8];
    if (i < 3) snprintf(keys[i], sizeof keys[i], "%.*s", i, "aa");
    else if (i < 16) snprintf(keys[i], sizeof keys[i], "k%02d", i);
    else snprintf(keys[i], sizeof keys[i], i < 20 ? "\xff\x01%02d" : "\xff\xff%02d", i);
    return chr_str(keys[i]);
}

/* Sizes near the borders of chunks more often than not. */
static size_t model_size(model *m)
{
    switch (pick(m, 5)) {
    case 0: return pick(m, 100);
    case 1: return pick(m, CHUNK_BYTES);
    case 2: return CHUNK_BYTES * pick(m, MODEL_SIZE_MAX / CHUNK_BYTES) + pick(m, 3);
    case 3: return CHUNK_BYTES - 1 + pick(m, 3);
    default: return pick(m, MODEL_SIZE_MAX);
    }
}

static bool alive(model *m, int i)
{
    model_object *o = &m->at[i];
    return o->exists && (!o->expire_ms || o->expire_ms > (uint64_t)store_now_ms(m->f->s));
}

static void model_set_size(model_object *o, size_t size)
{
    if (size < o->size) memset(o->bytes + size, 0, o->size - size);
    o->size = size;
}

static void model_forget(model_object *o)
{
    model_set_size(o, 0);
    *o = (model_object){ .bytes = o->bytes };
}

static object_meta model_meta(model *m, model_object *o)
{
    object_meta meta = object_meta_default(m->f->s, 0);
    meta.expire_ms = o->expire_ms;
    meta.has_attrs = o->mode != 0;
    if (o->mode) meta.mode = o->mode;
    return meta;
}

static slice model_xattrs(int number)
{
    static char text[32];
    if (!number) return chr_str("");
    snprintf(text, sizeof text, "attributes %d", number);
    return chr_str(text);
}

static void check_meta(const model_object *o, const object_meta *meta)
{
    assert_int_equal(meta->size, o->size);
    assert_int_equal(meta->expire_ms, o->expire_ms);
    assert_int_equal(meta->has_attrs, o->mode != 0);
    assert_int_equal(meta->mode, o->mode ? o->mode : S_IFREG | 0644);
    assert_int_equal(meta->has_xattrs, o->xattrs != 0);
}

static void check_in_txn(model *m, txn *t, int i)
{
    buf         value = { 0 };
    object_meta meta;
    chr_status  st = txn_get(t, model_key(i), &value, &meta);
    assert_int_equal(st, alive(m, i) ? CHR_OK : CHR_NOT_FOUND);
    if (st == CHR_OK) {
        check_meta(&m->at[i], &meta);
        assert_int_equal(value.len, m->at[i].size);
        if (value.len) assert_memory_equal(value.data, m->at[i].bytes, value.len);
        assert_int_equal(txn_get_xattrs(t, OBJECT_KEY, model_key(i), &value), CHR_OK);
        assert_true(slice_equal(buf_slice(&value), model_xattrs(m->at[i].xattrs)));
    }
    chr_buf_free(&value);
}

static void step_put(model *m, txn *t, int i)
{
    model_object *o = &m->at[i];
    size_t        size = model_size(m), from = pick(m, MODEL_SIZE_MAX - size + 1);
    model_forget(o);
    o->exists = true;
    o->mode = pick(m, 2) ? S_IFREG | 0600 : 0;
    if (pick(m, 4) == 0) o->expire_ms = (uint64_t)store_now_ms(m->f->s) + (pick(m, 4) ? 3600 * SECOND_MS : 0);
    o->size = size;
    memcpy(o->bytes, m->data + from, size);
    object_meta meta = model_meta(m, o);
    assert_int_equal(txn_put(t, model_key(i), &meta, chr_bytes(o->bytes, size)), CHR_OK);
}

static void step_write(model *m, txn *t, int i)
{
    model_object *o = &m->at[i];
    size_t        size = model_size(m), offset = pick(m, MODEL_SIZE_MAX - size + 1), from = pick(m, MODEL_SIZE_MAX - size + 1);
    bool          there = alive(m, i);
    if (pick(m, 3) == 0) offset = there && o->size <= MODEL_SIZE_MAX - size ? o->size : offset;   /* append */
    chr_status st = txn_write(t, model_key(i), offset, chr_bytes(m->data + from, size));
    assert_int_equal(st, there ? CHR_OK : CHR_NOT_FOUND);
    if (!there || !size) return;
    memcpy(o->bytes + offset, m->data + from, size);
    if (o->size < offset + size) o->size = offset + size;
}

static void step_truncate(model *m, txn *t, int i)
{
    size_t size = model_size(m);
    bool   there = alive(m, i);
    assert_int_equal(txn_truncate(t, model_key(i), size), there ? CHR_OK : CHR_NOT_FOUND);
    if (there) model_set_size(&m->at[i], size);
}

static void step_delete(model *m, txn *t, int i)
{
    bool existed = false, there = alive(m, i), ask = pick(m, 2);
    assert_int_equal(txn_delete(t, OBJECT_KEY, model_key(i), ask ? &existed : NULL), CHR_OK);
    if (ask) assert_int_equal(existed, there);
    model_forget(&m->at[i]);
}

static void step_move(model *m, txn *t, int from, int to)
{
    bool there = alive(m, from);
    assert_int_equal(txn_move(t, OBJECT_KEY, model_key(from), model_key(to)), there ? CHR_OK : CHR_NOT_FOUND);
    if (!there || from == to) return;
    model_forget(&m->at[to]);
    model_object was = m->at[to];
    m->at[to] = m->at[from];
    m->at[from] = was;
}

static void step_meta(model *m, txn *t, int i)
{
    model_object *o = &m->at[i];
    bool          there = alive(m, i);
    model_object  next = *o;
    next.mode = pick(m, 2) ? S_IFREG | 0640 : 0;
    next.expire_ms = pick(m, 3) ? 0 : (uint64_t)store_now_ms(m->f->s) + pick(m, 2) * 3600 * SECOND_MS;
    object_meta meta = model_meta(m, &next);
    assert_int_equal(txn_set_meta(t, OBJECT_KEY, model_key(i), &meta), there ? CHR_OK : CHR_NOT_FOUND);
    if (there) *o = next;
}

static void step_xattrs(model *m, txn *t, int i)
{
    int  number = (int)pick(m, 3);
    bool there = alive(m, i);
    assert_int_equal(txn_set_xattrs(t, OBJECT_KEY, model_key(i), model_xattrs(number)), there ? CHR_OK : CHR_NOT_FOUND);
    if (there) m->at[i].xattrs = number;
}

static void step_range(model *m, txn *t)
{
    int start = (int)pick(m, MODEL_KEYS), end = (int)pick(m, MODEL_KEYS + 1);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, start ? model_key(start) : none(),
                                      end < MODEL_KEYS ? model_key(end) : none()), CHR_OK);
    for (int i = start; i < end; i++) model_forget(&m->at[i]);
}

static void check_all(model *m)
{
    store      *s = m->f->s;
    buf         value = { 0 };
    object_meta meta;
    size_t      big = 0;
    for (int i = 0; i < MODEL_KEYS; i++) {
        model_object *o = &m->at[i];
        chr_status    st = store_get(s, NULL, model_key(i), &value, &meta, NULL);
        assert_int_equal(st, alive(m, i) ? CHR_OK : CHR_NOT_FOUND);
        if (st != CHR_OK) continue;
        big += o->size > CHUNK_BYTES;
        check_meta(o, &meta);
        assert_int_equal(value.len, o->size);
        if (value.len) assert_memory_equal(value.data, o->bytes, value.len);
        size_t offset = pick(m, o->size + 10), len = pick(m, MODEL_SIZE_MAX - offset), got = 0;
        char  *part = malloc(len + 1);
        assert_non_null(part);
        assert_int_equal(store_read(s, NULL, model_key(i), offset, part, len, &got, NULL, NULL), CHR_OK);
        size_t expected = offset > o->size ? 0 : o->size - offset < len ? o->size - offset : len;
        assert_int_equal(got, expected);
        if (got) assert_memory_equal(part, o->bytes + offset, got);
        free(part);
    }
    assert_true(internal_keys(s, 3) >= big);

    store_iter *it;
    slice       seen;
    assert_int_equal(store_iter_new(s, NULL, OBJECT_KEY, none(), none(), &it), CHR_OK);
    chr_iter_first(it);
    for (int i = 0; i < MODEL_KEYS; i++) {
        if (!alive(m, i)) continue;
        assert_true(chr_iter_valid(it));
        assert_true(slice_equal(chr_iter_key(it), model_key(i)));
        check_meta(&m->at[i], store_iter_meta(it));
        assert_int_equal(chr_iter_value(it, &seen), CHR_OK);
        assert_int_equal(seen.len, m->at[i].size);
        if (seen.len) assert_memory_equal(seen.data, m->at[i].bytes, seen.len);
        chr_iter_next(it);
    }
    assert_false(chr_iter_valid(it));
    chr_iter_last(it);
    for (int i = MODEL_KEYS - 1; i >= 0; i--) {
        if (!alive(m, i)) continue;
        assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), model_key(i)));
        chr_iter_prev(it);
    }
    assert_false(chr_iter_valid(it));
    assert_int_equal(chr_iter_status(it), CHR_OK);
    chr_iter_free(it);
    chr_buf_free(&value);
}

/* Everything gone: nothing of the values in chunks may be left. */
static void check_nothing_leaks(model *m)
{
    store *s = m->f->s;
    txn   *t = txn_begin(s, NULL, 0);
    assert_non_null(t);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, none(), none()), CHR_OK);
    commit(t);
    assert_int_equal(internal_keys(s, 1), 0);
    assert_int_equal(internal_keys(s, 3), 0);
    assert_int_equal(internal_keys(s, 4), 0);
}

/* One transaction: some steps on some keys, seen by itself, then committed, or dropped and the model restored. */
static void run_txn(model *m)
{
    bool all = pick(m, 12) == 0, keep = pick(m, 8) != 0;
    int  keys[4], n = all ? MODEL_KEYS : 1 + (int)pick(m, 4);
    slice slices[4];
    for (int i = 0; i < n && !all; i++) slices[i] = model_key(keys[i] = (int)pick(m, MODEL_KEYS));
    txn *t = txn_begin(m->f->s, slices, all ? 0 : (size_t)n);
    assert_non_null(t);

    model_object saved[MODEL_KEYS];
    for (int i = 0; i < MODEL_KEYS && !keep; i++) {
        saved[i] = m->at[i];
        saved[i].bytes = malloc(MODEL_SIZE_MAX);
        assert_non_null(saved[i].bytes);
        memcpy(saved[i].bytes, m->at[i].bytes, MODEL_SIZE_MAX);
    }
    for (uint64_t steps = 1 + pick(m, 5); steps; steps--) {
        int i = all ? (int)pick(m, MODEL_KEYS) : keys[pick(m, (uint64_t)n)];
        int other = all ? (int)pick(m, MODEL_KEYS) : keys[pick(m, (uint64_t)n)];
        switch (pick(m, all ? 10 : 9)) {
        case 0: case 1: step_put(m, t, i); break;
        case 2: case 3: step_write(m, t, i); break;
        case 4: step_truncate(m, t, i); break;
        case 5: step_delete(m, t, i); break;
        case 6: step_move(m, t, i, other); break;
        case 7: step_meta(m, t, i); break;
        case 8: step_xattrs(m, t, i); break;
        default: step_range(m, t); break;
        }
        if (pick(m, 3) == 0) check_in_txn(m, t, i);
    }
    if (keep) {
        commit(t);
        return;
    }
    txn_abort(t);
    for (int i = 0; i < MODEL_KEYS; i++) {
        free(m->at[i].bytes);
        m->at[i] = saved[i];
    }
}

static void random_changes_do_what_a_plain_model_does(void **state)
{
    model       m = { .f = *state, .data = pattern(MODEL_SIZE_MAX, 1), .random = seed_of_run() | 1 };
    const char *rounds = getenv("CHR_ROUNDS");
    for (int i = 0; i < MODEL_KEYS; i++) assert_non_null(m.at[i].bytes = calloc(1, MODEL_SIZE_MAX));
    for (int round = 0, end = rounds ? atoi(rounds) : rounds_of(400); round < end; round++) {
        run_txn(&m);
        if (round % 20 == 0) check_all(&m);
        if (round % 100 == 99) {
            reopen(m.f);
            check_all(&m);
        }
        if (round % 150 == 149) assert_int_equal(chr_compact(m.f->s), CHR_OK);
    }
    check_all(&m);
    check_nothing_leaks(&m);
    for (int i = 0; i < MODEL_KEYS; i++) free(m.at[i].bytes);
    free(m.data);
}

/* ---- values in chunks ---- */

static void a_value_grows_over_holes_and_shrinks_without_a_trace(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    slice    key = chr_str("file");
    char    *zeroes = calloc(1, 5 * CHUNK_BYTES), *data = pattern(5 * CHUNK_BYTES, 2);
    put(s, "file", chr_str("small"));

    txn *t = begin(s, key);
    assert_int_equal(txn_write(t, key, 3 * CHUNK_BYTES + 10, chr_str("far")), CHR_OK);
    commit(t);
    memcpy(zeroes, "small", 5);
    memcpy(zeroes + 3 * CHUNK_BYTES + 10, "far", 3);
    assert_value(s, "file", chr_bytes(zeroes, 3 * CHUNK_BYTES + 13));
    assert_int_equal(internal_keys(s, 1), 2);   /* holes take nothing */

    t = begin(s, key);
    assert_int_equal(txn_write(t, key, 0, chr_bytes(data, 5 * CHUNK_BYTES)), CHR_OK);
    commit(t);
    assert_value(s, "file", chr_bytes(data, 5 * CHUNK_BYTES));
    const size_t cuts[] = { 4 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES, CHUNK_BYTES + 7, CHUNK_BYTES, 100, 0 };
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        t = begin(s, key);
        assert_int_equal(txn_truncate(t, key, cuts[i]), CHR_OK);
        commit(t);
        assert_int_equal(internal_keys(s, 1), cuts[i] > CHUNK_BYTES ? (cuts[i] + CHUNK_BYTES - 1) / CHUNK_BYTES : 0);
        t = begin(s, key);
        assert_int_equal(txn_truncate(t, key, 5 * CHUNK_BYTES), CHR_OK);
        commit(t);
        memset(data + cuts[i], 0, 5 * CHUNK_BYTES - cuts[i]);
        assert_value(s, "file", chr_bytes(data, 5 * CHUNK_BYTES));
    }
    free(zeroes);
    free(data);
}

static void a_very_big_value_is_written_ahead_and_leaves_nothing_when_it_goes(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    size_t   len = (16u << 20) + 12345;   /* more chunks than are deleted one by one */
    char    *data = pattern(len, 3);
    put(s, "big", chr_bytes(data, len));
    assert_value(s, "big", chr_bytes(data, len));
    assert_int_equal(internal_keys(s, 4), 0);
    put(s, "big", chr_bytes(data + 1, len - 1));
    assert_value(s, "big", chr_bytes(data + 1, len - 1));
    assert_int_equal(internal_keys(s, 1), (len - 1 + CHUNK_BYTES - 1) / CHUNK_BYTES);
    reopen(f);
    s = f->s;
    assert_value(s, "big", chr_bytes(data + 1, len - 1));
    put(s, "big", chr_str("small"));
    assert_int_equal(internal_keys(s, 1), 0);
    assert_int_equal(internal_keys(s, 3), 0);

    txn *t = begin(s, chr_str("big"));
    assert_int_equal(txn_put(t, chr_str("big"), NULL, chr_bytes(data, len)), CHR_OK);
    txn_abort(t);
    assert_value(s, "big", chr_str("small"));
    assert_int_equal(internal_keys(s, 1), 0);
    assert_int_equal(internal_keys(s, 4), 0);

    t = begin(s, chr_str("big"));
    assert_int_equal(txn_put(t, chr_str("big"), NULL, chr_bytes(data, len)), CHR_OK);
    assert_int_equal(txn_put(t, chr_str("big"), NULL, chr_bytes(data, len / 2)), CHR_OK);
    assert_int_equal(txn_delete(t, OBJECT_KEY, chr_str("big"), NULL), CHR_OK);
    commit(t);
    assert_absent(s, "big");
    assert_int_equal(internal_keys(s, 1), 0);
    assert_int_equal(internal_keys(s, 4), 0);
    free(data);
}

static void chunks_that_a_crash_left_without_a_record_are_gone_after_opening(void **state)
{
    fixture *f = *state;
    batch    b = { 0 };
    char     mark[10] = "\xff\x04\0\0\0\0\0\0\0\x63", chunk[14] = "\xff\x01\0\0\0\0\0\0\0\x63\0\0\0\x05";
    assert_int_equal(batch_put(&b, chr_bytes(mark, sizeof mark), chr_str("")), CHR_OK);
    assert_int_equal(batch_put(&b, chr_bytes(chunk, sizeof chunk), chr_str("left behind")), CHR_OK);
    assert_int_equal(db_apply(store_db(f->s), &b, NULL), CHR_OK);
    batch_free(&b);
    assert_int_equal(internal_keys(f->s, 1), 1);
    reopen(f);
    assert_int_equal(internal_keys(f->s, 1), 0);
    assert_int_equal(internal_keys(f->s, 4), 0);
}

static void a_move_takes_a_big_value_along_without_touching_its_chunks(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    size_t   len = 3 * CHUNK_BYTES + 5;
    char    *data = pattern(len, 4);
    slice    keys[] = { chr_str("from"), chr_str("to") };
    put(s, "from", chr_bytes(data, len));
    put(s, "to", chr_bytes(data, 2 * CHUNK_BYTES));
    chr_stats before, after;
    chr_get_stats(s, &before);
    txn *t = txn_begin(s, keys, 2);
    assert_non_null(t);
    assert_int_equal(txn_move(t, OBJECT_KEY, keys[0], keys[1]), CHR_OK);
    commit(t);
    chr_get_stats(s, &after);
    assert_true(after.user_bytes_written - before.user_bytes_written < 1000);
    assert_absent(s, "from");
    assert_value(s, "to", chr_bytes(data, len));
    assert_int_equal(internal_keys(s, 1), 4);
    assert_int_equal(internal_keys(s, 3), 1);
    put(s, "from", chr_str("again"));
    assert_value(s, "to", chr_bytes(data, len));
    put(s, "to", chr_str("small"));
    assert_int_equal(internal_keys(s, 1), 0);
    free(data);
}

static void a_snapshot_and_an_iterator_keep_the_chunks_of_their_moment(void **state)
{
    fixture        *f = *state;
    store          *s = f->s;
    size_t          len = 2 * CHUNK_BYTES + 1;
    char           *data = pattern(len, 5);
    store_snapshot *snapshot;
    store_iter     *it;
    buf             value = { 0 };
    slice           seen;
    put(s, "key", chr_bytes(data, len));
    assert_int_equal(chr_snapshot_new(s, &snapshot), CHR_OK);
    assert_int_equal(store_iter_new(s, snapshot, OBJECT_KEY, none(), none(), &it), CHR_OK);
    put(s, "key", chr_str("new"));
    assert_int_equal(chr_compact(s), CHR_OK);
    assert_int_equal(store_get(s, snapshot, chr_str("key"), &value, NULL, NULL), CHR_OK);
    assert_int_equal(value.len, len);
    assert_memory_equal(value.data, data, len);
    chr_snapshot_free(snapshot);   /* the iterator outlives it */
    chr_iter_first(it);
    assert_int_equal(chr_iter_value(it, &seen), CHR_OK);
    assert_int_equal(seen.len, len);
    assert_memory_equal(seen.data, data, len);
    chr_iter_free(it);
    assert_value(s, "key", chr_str("new"));
    chr_buf_free(&value);
    free(data);
}

/* ---- expiry ---- */

static void put_expiring(store *s, const char *key, slice value, uint64_t expire_ms)
{
    object_meta meta = object_meta_default(s, 0);
    meta.expire_ms = expire_ms;
    assert_int_equal(store_put(s, chr_str(key), &meta, value, NULL), CHR_OK);
}

static void an_expired_object_is_absent_for_everyone(void **state)
{
    fixture    *f = *state;
    store      *s = f->s;
    slice       key = chr_str("gone"), to = chr_str("to"), both[] = { key, to };
    object_meta meta = object_meta_default(s, 0);
    size_t      got;
    char        byte;
    bool        existed = true;
    uint64_t    past = (uint64_t)store_now_ms(s) - 1;
    put(s, "to", chr_str("kept"));
    put_expiring(s, "gone", chr_str("x"), past);
    assert_absent(s, "gone");
    assert_int_equal(store_stat(s, NULL, OBJECT_KEY, key, NULL, NULL), CHR_NOT_FOUND);
    assert_int_equal(store_read(s, NULL, key, 0, &byte, 1, &got, NULL, NULL), CHR_NOT_FOUND);
    txn *t = txn_begin(s, both, 2);
    assert_non_null(t);
    assert_int_equal(txn_get(t, key, NULL, NULL), CHR_NOT_FOUND);
    assert_int_equal(txn_stat(t, OBJECT_KEY, key, NULL), CHR_NOT_FOUND);
    assert_int_equal(txn_write(t, key, 0, chr_str("y")), CHR_NOT_FOUND);
    assert_int_equal(txn_truncate(t, key, 1), CHR_NOT_FOUND);
    assert_int_equal(txn_set_meta(t, OBJECT_KEY, key, &meta), CHR_NOT_FOUND);
    assert_int_equal(txn_set_xattrs(t, OBJECT_KEY, key, chr_str("a")), CHR_NOT_FOUND);
    assert_int_equal(txn_move(t, OBJECT_KEY, key, to), CHR_NOT_FOUND);
    assert_int_equal(txn_delete(t, OBJECT_KEY, key, &existed), CHR_OK);
    assert_false(existed);
    commit(t);
    assert_value(s, "to", chr_str("kept"));

    store_iter *it;
    put_expiring(s, "a", chr_str("x"), past);
    put_expiring(s, "z", chr_str("x"), past);
    assert_int_equal(store_iter_new(s, NULL, OBJECT_KEY, none(), none(), &it), CHR_OK);
    chr_iter_first(it);
    assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), to));
    chr_iter_next(it);
    assert_false(chr_iter_valid(it));
    chr_iter_last(it);
    assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), to));
    chr_iter_free(it);
}

static void the_chunks_of_what_has_expired_are_swept(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    char    *data = pattern(3 * CHUNK_BYTES, 6), key[16];
    uint64_t soon = (uint64_t)store_now_ms(s) + SECOND_MS;
    for (int i = 0; i < 300; i++) {   /* more than one step of the sweep */
        snprintf(key, sizeof key, "big%03d", i);
        put_expiring(s, key, chr_bytes(data, CHUNK_BYTES + 1), i % 20 ? soon + 3600 * SECOND_MS : soon);
    }
    assert_int_equal(internal_keys(s, 3), 300);
    reopen(f);   /* what is known of expiry comes back from the registrations */
    s = f->s;
    env_sim_set_wall(f->sim, (soon + SECOND_MS) * 1000000);
    for (int i = 0; i < 40; i++) put(s, "other", chr_str("x"));
    assert_int_equal(internal_keys(s, 3), 300 - 15);
    assert_int_equal(internal_keys(s, 1), 2 * (300 - 15));
    assert_value(s, "big001", chr_bytes(data, CHUNK_BYTES + 1));
    free(data);
}

static void compaction_drops_what_has_expired(void **state)
{
    fixture  *f = *state;
    store    *s = f->s;
    db_iter  *it;
    size_t    left = 0;
    char      key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key%03d", i);
        put_expiring(s, key, chr_str("value"), (uint64_t)store_now_ms(s) + (i % 10 ? 3600 * SECOND_MS : 0));
    }
    assert_int_equal(chr_compact(s), CHR_OK);
    assert_int_equal(db_iter_new(store_db(s), NULL, chr_str("key"), chr_str("kez"), &it), CHR_OK);
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) left++;
    db_iter_free(it);
    assert_int_equal(left, 900);
}

/* ---- corners ---- */

static void what_is_over_a_limit_changes_nothing(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    slice    key = chr_str("key");
    char    *bytes = calloc(1, XATTRS_BYTES_MAX + 1);
    assert_non_null(bytes);
    assert_int_equal(store_put(s, chr_bytes(bytes, CHR_KEY_MAX + 1), NULL, key, NULL), CHR_TOO_BIG);
    assert_int_equal(store_put(s, chr_bytes(bytes, CHR_KEY_MAX), NULL, key, NULL), CHR_OK);
    assert_int_equal(store_put(s, key, NULL, chr_bytes(bytes, CHR_VALUE_MAX + 1u), NULL), CHR_TOO_BIG);
    assert_string_equal(chr_message(), "the value has 536870913 bytes; at most 536870912 are allowed");
    put(s, "key", chr_str("value"));
    txn *t = begin(s, key);
    assert_int_equal(txn_put(t, key, NULL, chr_bytes(bytes, CHR_VALUE_MAX + 1u)), CHR_TOO_BIG);
    assert_int_equal(txn_write(t, key, OBJECT_SIZE_MAX, chr_str("x")), CHR_TOO_BIG);
    assert_int_equal(txn_write(t, key, UINT64_MAX, chr_str("x")), CHR_TOO_BIG);
    assert_int_equal(txn_write(t, key, 0, chr_bytes(bytes, WRITE_BYTES_MAX + 1)), CHR_TOO_BIG);
    assert_int_equal(txn_truncate(t, key, OBJECT_SIZE_MAX + 1), CHR_TOO_BIG);
    assert_int_equal(txn_set_xattrs(t, OBJECT_KEY, key, chr_bytes(bytes, XATTRS_BYTES_MAX + 1)), CHR_TOO_BIG);
    assert_int_equal(txn_write(t, key, 5, chr_str("!")), CHR_OK);
    commit(t);   /* what was refused does not spoil the rest */
    assert_value(s, "key", chr_str("value!"));

    t = begin(s, key);
    assert_int_equal(txn_truncate(t, key, OBJECT_SIZE_MAX), CHR_OK);
    commit(t);
    buf    value = { 0 };
    size_t got = 0;
    assert_int_equal(store_get(s, NULL, key, &value, NULL, NULL), CHR_TOO_BIG);
    assert_int_equal(store_read(s, NULL, key, OBJECT_SIZE_MAX - 2, bytes, 100, &got, NULL, NULL), CHR_OK);
    assert_int_equal(got, 2);
    t = begin(s, key);
    assert_int_equal(txn_delete(t, OBJECT_KEY, key, NULL), CHR_OK);
    commit(t);
    assert_int_equal(internal_keys(s, 1), 0);
    chr_buf_free(&value);
    free(bytes);
}

static void a_transaction_that_changed_nothing_tells_what_it_saw(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    uint64_t put_seq = 0, seq = 0;
    assert_int_equal(store_put(s, chr_str("key"), NULL, chr_str("1"), &put_seq), CHR_OK);
    txn *t = begin(s, chr_str("key"));
    assert_int_equal(txn_stat(t, OBJECT_KEY, chr_str("key"), NULL), CHR_OK);
    assert_int_equal(txn_commit(t, &seq), CHR_OK);
    assert_int_equal(seq, put_seq);
    t = begin(s, chr_str("never"));
    assert_int_equal(txn_stat(t, OBJECT_KEY, chr_str("never"), NULL), CHR_NOT_FOUND);
    assert_int_equal(txn_commit(t, &seq), CHR_OK);
    assert_int_equal(seq, 0);
}

static void directories_are_apart_from_keys(void **state)
{
    fixture    *f = *state;
    store      *s = f->s;
    slice       a = chr_str("a"), ab = chr_str("a/b"), both[] = { a, ab };
    object_meta meta = object_meta_default(s, 0), seen;
    store_iter *it;
    buf         xattrs = { 0 };
    bool        existed = false;
    meta.mode = S_IFDIR | 0700;
    meta.has_attrs = true;
    put(s, "a", chr_str("value"));
    txn *t = txn_begin(s, both, 2);
    assert_non_null(t);
    assert_int_equal(txn_set_meta(t, OBJECT_DIR, a, &meta), CHR_OK);
    assert_int_equal(txn_set_xattrs(t, OBJECT_DIR, a, chr_str("list")), CHR_OK);
    assert_int_equal(txn_move(t, OBJECT_DIR, a, ab), CHR_OK);
    assert_int_equal(txn_set_xattrs(t, OBJECT_DIR, a, chr_str("list")), CHR_NOT_FOUND);
    commit(t);
    assert_value(s, "a", chr_str("value"));
    assert_absent(s, "a/b");
    assert_int_equal(store_stat(s, NULL, OBJECT_DIR, ab, &seen, NULL), CHR_OK);
    assert_int_equal(seen.mode, S_IFDIR | 0700);
    assert_int_equal(store_get_xattrs(s, OBJECT_DIR, ab, &xattrs), CHR_OK);
    assert_true(slice_equal(buf_slice(&xattrs), chr_str("list")));
    assert_int_equal(store_iter_new(s, NULL, OBJECT_DIR, none(), none(), &it), CHR_OK);
    chr_iter_first(it);
    assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), ab));
    chr_iter_next(it);
    assert_false(chr_iter_valid(it));
    chr_iter_free(it);
    t = txn_begin(s, NULL, 0);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, none(), none()), CHR_OK);
    assert_int_equal(txn_delete(t, OBJECT_DIR, ab, &existed), CHR_OK);
    assert_true(existed);
    assert_int_equal(txn_set_meta(t, OBJECT_DIR, a, &meta), CHR_OK);
    assert_int_equal(txn_delete_range(t, OBJECT_DIR, a, none()), CHR_OK);
    commit(t);
    assert_absent(s, "a");
    assert_int_equal(store_stat(s, NULL, OBJECT_DIR, a, NULL, NULL), CHR_NOT_FOUND);
    chr_buf_free(&xattrs);
}

static void a_malformed_record_is_an_error_for_its_key_only(void **state)
{
    fixture    *f = *state;
    store      *s = f->s;
    batch       b = { 0 };
    buf         value = { 0 };
    store_iter *it;
    slice       seen;
    put(s, "a", chr_str("1"));
    put(s, "c", chr_str("3"));
    assert_int_equal(batch_put(&b, chr_str("b"), chr_str("\xf0 not a record")), CHR_OK);
    assert_int_equal(db_apply(store_db(s), &b, NULL), CHR_OK);
    batch_free(&b);
    assert_int_equal(store_get(s, NULL, chr_str("b"), &value, NULL, NULL), CHR_CORRUPT);
    assert_int_equal(store_iter_new(s, NULL, OBJECT_KEY, none(), none(), &it), CHR_OK);
    chr_iter_first(it);
    assert_non_null(store_iter_meta(it));
    chr_iter_next(it);
    assert_true(chr_iter_valid(it));
    assert_null(store_iter_meta(it));
    assert_int_equal(chr_iter_status(it), CHR_CORRUPT);
    assert_int_equal(chr_iter_value(it, &seen), CHR_CORRUPT);
    chr_iter_next(it);
    assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), chr_str("c")));
    chr_iter_free(it);
    txn *t = begin(s, chr_str("b"));
    assert_int_equal(txn_get(t, chr_str("b"), &value, NULL), CHR_CORRUPT);
    assert_int_equal(txn_put(t, chr_str("b"), NULL, chr_str("2")), CHR_OK);
    commit(t);
    assert_value(s, "b", chr_str("2"));
    chr_buf_free(&value);
}

static void iterators_keep_to_their_bounds_around_the_internal_keys(void **state)
{
    fixture    *f = *state;
    store      *s = f->s;
    store_iter *it;
    const char *keys[] = { "a", "m", "\xff\x01", "\xff\xff" };
    for (int i = 0; i < 4; i++) put(s, keys[i], chr_str("v"));
    assert_int_equal(store_iter_new(s, NULL, OBJECT_KEY, chr_str("b"), chr_str("\xff\xff"), &it), CHR_OK);
    chr_iter_first(it);
    assert_true(slice_equal(chr_iter_key(it), chr_str("m")));
    chr_iter_next(it);
    assert_true(slice_equal(chr_iter_key(it), chr_str("\xff\x01")));
    chr_iter_prev(it);
    assert_true(slice_equal(chr_iter_key(it), chr_str("m")));
    chr_iter_next(it);
    chr_iter_next(it);
    assert_false(chr_iter_valid(it));
    chr_iter_seek_back(it, chr_str("\xff"));
    assert_true(slice_equal(chr_iter_key(it), chr_str("m")));
    chr_iter_seek(it, chr_str("n"));
    assert_true(slice_equal(chr_iter_key(it), chr_str("\xff\x01")));
    chr_iter_seek_back(it, chr_str("a"));
    assert_false(chr_iter_valid(it));
    chr_iter_last(it);
    assert_true(slice_equal(chr_iter_key(it), chr_str("\xff\x01")));
    chr_iter_free(it);
}

/* ---- watchers ---- */

typedef struct watcher {
    store           *s;
    store_watch     *watch;
    bool             hold;
    _Atomic(int)     told;
    _Atomic(uint64_t) last_seq;
    char             log[256];   /* of a single-threaded test */
} watcher;

static bool hear(void *arg, const change *c)
{
    static const char *kinds[] = { "put", "delete", "range" };
    watcher           *w = arg;
    size_t             used = strlen(w->log);
    w->told++;
    w->last_seq = c->seq;
    snprintf(w->log + used, sizeof w->log - used, "%s%s %.*s%s%.*s;", c->space == OBJECT_DIR ? "dir " : "", kinds[c->kind],
             (int)c->key.len, c->key.len ? c->key.data : "", c->end.data ? ".." : "", (int)c->end.len,
             c->end.len ? c->end.data : "");
    assert_true(c->origin == NULL || c->origin == w);
    assert_true(store_ack_seq(w->s) < c->seq);   /* nobody is told before the watcher is */
    return w->hold;
}

static void count_ack(void *arg) { atomic_fetch_add((_Atomic(int) *)arg, 1); }

static void a_watcher_hears_of_each_change_and_holds_it_back(void **state)
{
    fixture     *f = *state;
    store       *s = f->s;
    watcher      w = { .s = s, .hold = true };
    _Atomic(int) acks = 0;
    slice        keys[] = { chr_str("a"), chr_str("b") };
    uint64_t     seq = 0, second = 0;
    object_meta  meta = object_meta_default(s, 0);
    assert_int_equal(store_add_ack_listener(s, count_ack, &acks), CHR_OK);
    assert_int_equal(store_watch_add(s, hear, &w, &w.watch), CHR_OK);
    txn *t = txn_begin(s, keys, 2);
    assert_non_null(t);
    txn_set_origin(t, &w);
    assert_int_equal(txn_put(t, keys[0], NULL, chr_str("1")), CHR_OK);
    assert_int_equal(txn_delete(t, OBJECT_KEY, keys[1], NULL), CHR_OK);
    assert_int_equal(txn_commit(t, &seq), CHR_OK);
    assert_string_equal(w.log, "put a;delete b;");
    assert_int_equal(w.last_seq, seq);
    assert_true(store_ack_seq(s) < seq);

    assert_int_equal(store_put(s, keys[1], NULL, chr_str("2"), &second), CHR_OK);
    assert_int_equal(db_wait(store_db(s), second), CHR_OK);
    assert_true(store_ack_seq(s) < seq);
    store_watch_settled(w.watch, seq);
    assert_true(store_ack_seq(s) < seq);   /* one of its two changes is still to be passed on */
    int before = acks;
    store_watch_settled(w.watch, seq);
    assert_true(acks > before);
    assert_true(store_ack_seq(s) >= seq && store_ack_seq(s) < second);
    assert_int_equal(store_wait(s, seq), CHR_OK);

    before = acks;
    store_watch_remove(w.watch);   /* lets go of the second */
    assert_true(acks > before);
    assert_int_equal(store_wait(s, second), CHR_OK);
    assert_true(store_ack_seq(s) >= second);

    w = (watcher){ .s = s };
    assert_int_equal(store_watch_add(s, hear, &w, &w.watch), CHR_OK);
    t = txn_begin(s, NULL, 0);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, keys[0], keys[1]), CHR_OK);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, chr_str("b"), none()), CHR_OK);
    assert_int_equal(txn_set_meta(t, OBJECT_DIR, chr_str("d"), &meta), CHR_OK);
    assert_int_equal(txn_commit(t, &seq), CHR_OK);
    assert_string_equal(w.log, "range a..b;range b;dir put d;");
    assert_int_equal(store_wait(s, seq), CHR_OK);
    store_watch_remove(w.watch);
    store_remove_ack_listener(s, count_ack, &acks);
}

/* ---- power cuts ---- */

enum { POWER_CUTS = 16, CUT_TXNS = 40 };

/* What key `which` holds after transaction `i`: in a record, in chunks, and above what one batch takes. */
static size_t cut_value(char *to, uint64_t i, char which)
{
    static const size_t sizes[] = { 10, 3 * CHUNK_BYTES, CHUNK_BYTES, (4 << 20) + 3 * CHUNK_BYTES + 1, CHUNK_BYTES + 1, 0, 200 * KIB };
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
    if (st != CHR_OK) txn_abort(t);
    else st = txn_commit(t, &seq);
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
    assert_int_equal(cut_txn(f->s, tried / 4 * 4 + 5, bytes), CHR_OK);   /* one that needs nothing to be there */
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
        model    m = { .random = (first + (uint64_t)round) * UINT64_C(0x9e3779b97f4a7c15) | 1 };
        uint64_t seed = pick(&m, UINT64_MAX);
        fixture  f = { .sim = env_sim_new(seed), .dir = "/store" };
        uint64_t acknowledged = 0, tried = 0;
        assert_non_null(f.sim);
        env_sim_set_wall(f.sim, SIM_WALL_NS);
        open_synced(&f);
        env_sim_halt_at(f.sim, env_sim_calls(f.sim) + pick(&m, 400));
        while (tried < CUT_TXNS && cut_txn(f.s, ++tried, bytes) == CHR_OK) acknowledged = tried;
        env *after = env_sim_crash(f.sim, seed, (sim_loss)pick(&m, 4));
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
        if (i == kept) assert_absent(s, key);
        else assert_value(s, key, chr_bytes(data + i, len - (size_t)i));
    }
    env_sim_set_space(f->sim, UINT64_C(1) << 40);
    env_sim_set_wall(f->sim, SIM_WALL_NS + UINT64_C(3600) * 1000000000);   /* so that deleting is tried again */
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

/* ---- threads ---- */

enum { THREADS = 4 };

static void run_threads(void *(*fn)(void *), void *arg, int n)
{
    pthread_t threads[2 * THREADS];
    for (int i = 0; i < n; i++) assert_int_equal(pthread_create(&threads[i], NULL, fn, arg), 0);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
}

enum { COUNTERS = 5, INCREMENTS = 2000 };

static void *increment(void *arg)
{
    store *s = arg;
    buf    value = { 0 };
    for (int i = 0; i < rounds_of(INCREMENTS); i++) {
        char key[32], text[24];
        snprintf(key, sizeof key, "counter%d", i % COUNTERS);
        txn       *t = begin(s, chr_str(key));
        chr_status st = txn_get(t, chr_str(key), &value, NULL);
        assert_true(st == CHR_OK || st == CHR_NOT_FOUND);
        assert_true(buf_append_byte(&value, 0));
        snprintf(text, sizeof text, "%ld", (st == CHR_OK ? strtol(value.data, NULL, 10) : 0) + 1);
        assert_int_equal(txn_put(t, chr_str(key), NULL, chr_str(text)), CHR_OK);
        commit(t);
    }
    chr_buf_free(&value);
    return NULL;
}

static void no_increment_of_many_threads_is_lost(void **state)
{
    fixture *f = *state;
    run_threads(increment, f->s, THREADS);
    for (int i = 0; i < COUNTERS; i++) {
        char key[32], text[24];
        snprintf(key, sizeof key, "counter%d", i);
        snprintf(text, sizeof text, "%d", THREADS * rounds_of(INCREMENTS) / COUNTERS);
        assert_value(f->s, key, chr_str(text));
    }
}

enum { ACCOUNTS = 8, TRANSFERS = 1000, BALANCE = 1000 };
typedef struct bank {
    store        *s;
    _Atomic(bool) stop;
} bank;

static slice account(char key[16], int i)
{
    snprintf(key, 16, "account%d", i);
    return chr_str(key);
}

static long balance(txn *t, slice key, buf *value)
{
    assert_int_equal(txn_get(t, key, value, NULL), CHR_OK);
    assert_int_equal(value->len, sizeof(long));
    return (long)get_u64(value->data);
}

static void *transfer(void *arg)
{
    bank    *b = arg;
    buf      value = { 0 };
    unsigned x = (unsigned)(uintptr_t)&value;
    for (int i = 0; i < rounds_of(TRANSFERS); i++) {
        char  names[2][16], bytes[8];
        x = x * 1103515245 + 12345;
        int   from = (int)(x >> 16) % ACCOUNTS, to = (from + 1 + (int)(x >> 8) % (ACCOUNTS - 1)) % ACCOUNTS;
        slice keys[] = { account(names[0], from), account(names[1], to) };
        txn  *t = i % 100 ? txn_begin(b->s, keys, 2) : txn_begin(b->s, NULL, 0);
        assert_non_null(t);
        long a = balance(t, keys[0], &value), c = balance(t, keys[1], &value);
        put_u64(bytes, (uint64_t)(a - 1));
        assert_int_equal(txn_put(t, keys[0], NULL, chr_bytes(bytes, 8)), CHR_OK);
        put_u64(bytes, (uint64_t)(c + 1));
        assert_int_equal(txn_put(t, keys[1], NULL, chr_bytes(bytes, 8)), CHR_OK);
        commit(t);
    }
    chr_buf_free(&value);
    return NULL;
}

static void *audit(void *arg)
{
    bank *b = arg;
    while (!b->stop) {
        store_iter *it;
        long        sum = 0;
        int         n = 0;
        assert_int_equal(store_iter_new(b->s, NULL, OBJECT_KEY, chr_str("account"), chr_str("accounu"), &it), CHR_OK);
        for (chr_iter_first(it); chr_iter_valid(it); chr_iter_next(it), n++) {
            slice value;
            assert_int_equal(chr_iter_value(it, &value), CHR_OK);
            sum += (long)get_u64(value.data);
        }
        chr_iter_free(it);
        assert_int_equal(n, ACCOUNTS);
        assert_int_equal(sum, ACCOUNTS * BALANCE);
    }
    return NULL;
}

static void readers_see_transfers_between_keys_whole(void **state)
{
    fixture  *f = *state;
    bank      b = { .s = f->s };
    pthread_t auditor;
    char      key[16], bytes[8];
    put_u64(bytes, BALANCE);
    for (int i = 0; i < ACCOUNTS; i++)
        assert_int_equal(store_put(f->s, account(key, i), NULL, chr_bytes(bytes, 8), NULL), CHR_OK);
    assert_int_equal(pthread_create(&auditor, NULL, audit, &b), 0);
    run_threads(transfer, &b, THREADS);
    b.stop = true;
    pthread_join(auditor, NULL);
}

/* Every write fills the whole value with one byte, in one of four ways; a reader must never see two different bytes. */
static void *fill(void *arg)
{
    bank    *b = arg;
    slice    key = chr_str("shared");
    char    *bytes = malloc(6u << 20);
    unsigned x = (unsigned)(uintptr_t)bytes;
    assert_non_null(bytes);
    for (int i = 0; i < rounds_of(150); i++) {
        x = x * 1103515245 + 12345;
        size_t len = i % 50 == 0 ? 5u << 20 : (size_t)(x >> 16) % (4 * CHUNK_BYTES) + 1;
        memset(bytes, 'a' + (int)(x >> 8) % 26, len);
        if (i % 3 == 0) {
            assert_int_equal(store_put(b->s, key, NULL, chr_bytes(bytes, len), NULL), CHR_OK);
            continue;
        }
        txn *t = begin(b->s, key);
        assert_int_equal(txn_write(t, key, 0, chr_bytes(bytes, len)), CHR_OK);
        assert_int_equal(txn_truncate(t, key, len), CHR_OK);
        commit(t);
    }
    free(bytes);
    return NULL;
}

static void *check_filled(void *arg)
{
    bank *b = arg;
    buf   value = { 0 };
    char *part = malloc(3 * CHUNK_BYTES);
    assert_non_null(part);
    while (!b->stop) {
        size_t got = 0;
        assert_int_equal(store_get(b->s, NULL, chr_str("shared"), &value, NULL, NULL), CHR_OK);
        for (size_t i = 1; i < value.len; i++) assert_true(value.data[i] == value.data[0]);
        assert_int_equal(store_read(b->s, NULL, chr_str("shared"), 100, part, 3 * CHUNK_BYTES, &got, NULL, NULL), CHR_OK);
        for (size_t i = 1; i < got; i++) assert_true(part[i] == part[0]);
    }
    chr_buf_free(&value);
    free(part);
    return NULL;
}

static void a_value_in_chunks_is_read_as_of_one_moment(void **state)
{
    fixture  *f = *state;
    bank      b = { .s = f->s };
    pthread_t reader_thread;
    put(f->s, "shared", chr_str("a"));
    assert_int_equal(pthread_create(&reader_thread, NULL, check_filled, &b), 0);
    run_threads(fill, &b, 2);
    b.stop = true;
    pthread_join(reader_thread, NULL);
    put(f->s, "shared", chr_str("a"));
    assert_int_equal(internal_keys(f->s, 1), 0);
    assert_int_equal(internal_keys(f->s, 4), 0);
}

/* Watchers that come and go, and settle from another thread, while others write and wait. */
typedef struct settling {
    store          *s;
    store_watch    *watch;
    pthread_mutex_t lock;
    uint64_t        queue[4096];
    size_t          first, count;
    _Atomic(bool)   stop;
} settling;

static bool queue_change(void *arg, const change *c)
{
    settling *q = arg;
    bool      room;
    pthread_mutex_lock(&q->lock);
    room = q->count < 4096;
    if (room) q->queue[(q->first + q->count++) % 4096] = c->seq;
    pthread_mutex_unlock(&q->lock);
    return room;
}

static bool hold_for_ever(void *arg, const change *c)
{
    (void)arg;
    return c->seq % 2;
}

static void *settle_queue(void *arg)
{
    settling *q = arg;
    for (bool stop = false; !stop;) {
        stop = q->stop;
        for (;;) {
            pthread_mutex_lock(&q->lock);
            bool     any = q->count != 0;
            uint64_t seq = any ? q->queue[q->first] : 0;
            if (any) q->first = (q->first + 1) % 4096, q->count--;
            pthread_mutex_unlock(&q->lock);
            if (!any) break;
            store_watch_settled(q->watch, seq);
        }
        usleep(100);
    }
    return NULL;
}

static void *write_and_wait(void *arg)
{
    settling *q = arg;
    char      key[16];
    for (int i = 0; i < rounds_of(500); i++) {
        uint64_t seq = 0;
        snprintf(key, sizeof key, "w%d", i % 7);
        assert_int_equal(store_put(q->s, chr_str(key), NULL, chr_str("v"), &seq), CHR_OK);
        assert_int_equal(store_wait(q->s, seq), CHR_OK);
        assert_true(store_ack_seq(q->s) >= seq);
    }
    return NULL;
}

static void writers_wait_for_watchers_and_nobody_waits_for_ever(void **state)
{
    fixture  *f = *state;
    settling  q = { .s = f->s, .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t settler;
    assert_int_equal(store_watch_add(f->s, queue_change, &q, &q.watch), CHR_OK);
    assert_int_equal(pthread_create(&settler, NULL, settle_queue, &q), 0);
    pthread_t writers[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&writers[i], NULL, write_and_wait, &q), 0);
    for (int i = 0; i < rounds_of(100); i++) {
        store_watch *brief;
        assert_int_equal(store_watch_add(f->s, hold_for_ever, NULL, &brief), CHR_OK);
        usleep(100);
        store_watch_remove(brief);   /* and what it held is let go */
    }
    for (int i = 0; i < THREADS; i++) pthread_join(writers[i], NULL);
    q.stop = true;
    pthread_join(settler, NULL);
    store_watch_remove(q.watch);
    pthread_mutex_destroy(&q.lock);
}

int main(void)
{
    log_set_level(LOG_NOTHING);   /* failures are made here on purpose */
#define ON(fixture, test) cmocka_unit_test_setup_teardown(test, fixture, done)
#define ON_BOTH(test) ON(on_sim, test), ON(on_disk, test)
    const struct CMUnitTest tests[] = {
        ON_BOTH(random_changes_do_what_a_plain_model_does),
        ON_BOTH(a_value_grows_over_holes_and_shrinks_without_a_trace),
        ON_BOTH(a_very_big_value_is_written_ahead_and_leaves_nothing_when_it_goes),
        ON_BOTH(chunks_that_a_crash_left_without_a_record_are_gone_after_opening),
        ON_BOTH(a_move_takes_a_big_value_along_without_touching_its_chunks),
        ON_BOTH(a_snapshot_and_an_iterator_keep_the_chunks_of_their_moment),
        ON_BOTH(an_expired_object_is_absent_for_everyone),
        ON(on_sim, the_chunks_of_what_has_expired_are_swept),
        ON_BOTH(compaction_drops_what_has_expired),
        ON_BOTH(what_is_over_a_limit_changes_nothing),
        ON_BOTH(a_transaction_that_changed_nothing_tells_what_it_saw),
        ON_BOTH(directories_are_apart_from_keys),
        ON_BOTH(a_malformed_record_is_an_error_for_its_key_only),
        ON_BOTH(iterators_keep_to_their_bounds_around_the_internal_keys),
        ON_BOTH(a_watcher_hears_of_each_change_and_holds_it_back),
        ON(on_sim, a_full_disk_refuses_writes_and_what_was_written_ahead_goes_again),
        cmocka_unit_test(after_a_power_cut_a_transaction_is_there_whole_or_not_at_all),
        ON(on_disk, no_increment_of_many_threads_is_lost),
        ON(on_disk, readers_see_transfers_between_keys_whole),
        ON(on_disk, a_value_in_chunks_is_read_as_of_one_moment),
        ON(on_disk, writers_wait_for_watchers_and_nobody_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
