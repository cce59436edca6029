/* Random changes of objects do what a plain model does. */
#include "objects.h"

/* ---- the model ---- */

enum { MODEL_KEYS = 24, MODEL_SIZE_MAX = 400 * KIB };

typedef struct model_object {
    bool     exists;
    size_t   size;
    char    *bytes; /* MODEL_SIZE_MAX, zeroes behind size */
    uint64_t expire_ms;
    uint32_t mode;   /* 0: has no attributes of its own */
    int      xattrs; /* a number; 0: none */
} model_object;

typedef struct model {
    fixture     *f;
    rng          random;
    model_object at[MODEL_KEYS];
    char        *data; /* random bytes */
} model;

static uint64_t pick(model *m, uint64_t below) { return rng_below(&m->random, below); }

/* Keys in order, around the internal ones. */
static slice model_key(int i)
{
    static char keys[MODEL_KEYS][8];
    if (i < 3)
        snprintf(keys[i], sizeof keys[i], "%.*s", i, "aa");
    else if (i < 16)
        snprintf(keys[i], sizeof keys[i], "k%02d", i);
    else
        snprintf(keys[i], sizeof keys[i], i < 20 ? "\xff\x01%02d" : "\xff\xff%02d", i);
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
    size_t size = model_size(m), offset = pick(m, MODEL_SIZE_MAX - size + 1), from = pick(m, MODEL_SIZE_MAX - size + 1);
    bool   there = alive(m, i);
    if (pick(m, 3) == 0) offset = there && o->size <= MODEL_SIZE_MAX - size ? o->size : offset; /* append */
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

static void step_punch(model *m, txn *t, int i)
{
    model_object *o = &m->at[i];
    size_t        len = model_size(m), offset = pick(m, MODEL_SIZE_MAX);
    bool          there = alive(m, i);
    if (there && pick(m, 3) == 0) offset = offset < o->size ? offset : o->size, len = o->size - offset; /* to the end */
    assert_int_equal(txn_punch(t, model_key(i), offset, len), there ? CHR_OK : CHR_NOT_FOUND);
    if (there && offset < o->size) memset(o->bytes + offset, 0, len < o->size - offset ? len : o->size - offset);
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

static void step_swap(model *m, txn *t, int a, int b)
{
    if (!alive(m, a)) model_forget(&m->at[a]);
    if (!alive(m, b)) model_forget(&m->at[b]);
    assert_int_equal(txn_swap(t, OBJECT_KEY, model_key(a), model_key(b)), CHR_OK);
    model_object was = m->at[a];
    m->at[a] = m->at[b];
    m->at[b] = was;
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
                                      end < MODEL_KEYS ? model_key(end) : none()),
                     CHR_OK);
    for (int i = start; i < end; i++) model_forget(&m->at[i]);
}

static void assert_zeroes(const model_object *o, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) assert_int_equal(o->bytes[i], 0);
}

/* What is said to be a hole is zeroes. */
static void check_holes(model *m, int i)
{
    const model_object *o = &m->at[i];
    uint64_t            start, end;
    for (uint64_t at = 0; at < o->size; at = end) {
        assert_int_equal(store_data(m->f->s, NULL, model_key(i), at, &start, &end), CHR_OK);
        assert_true(start >= at && end >= start && end <= o->size && (start < end || start == o->size));
        assert_zeroes(o, at, start);
    }
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
        check_holes(m, i);
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
    bool  all = pick(m, 12) == 0, keep = pick(m, 8) != 0;
    int   keys[4], n = all ? MODEL_KEYS : 1 + (int)pick(m, 4);
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
        switch (pick(m, all ? 12 : 11)) {
        case 0:
        case 1: step_put(m, t, i); break;
        case 2:
        case 3: step_write(m, t, i); break;
        case 4: step_truncate(m, t, i); break;
        case 5: step_delete(m, t, i); break;
        case 6: step_move(m, t, i, other); break;
        case 7: step_meta(m, t, i); break;
        case 8: step_xattrs(m, t, i); break;
        case 9: step_swap(m, t, i, other); break;
        case 10: step_punch(m, t, i); break;
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
    model       m = { .f = *state, .data = pattern(MODEL_SIZE_MAX, 1), .random = { seed_of_run() } };
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(random_changes_do_what_a_plain_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
