/* The merge of cursors against one sorted list of all they have. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/iter.h"
#include "engine/memtable.h"
#include "entries.h"

/* ---- a cursor over a list, which may fail, and which hands out keys that do not outlast a step ---- */

typedef struct list_iter {
    iter         base;
    const entry *at;
    size_t       n, pos;   /* pos SIZE_MAX: before the first */
    size_t       fails_at; /* standing there is an error */
    buf          key;
    int         *freed;
} list_iter;

static void show(iter *it)
{
    list_iter *l = (list_iter *)it;
    it->status = CHR_OK;
    it->valid = l->pos < l->n;
    if (l->key.data) memset(l->key.data, 0xdb, l->key.len);
    if (it->valid && l->pos == l->fails_at) {
        iter_fail(it, chr_fail(CHR_IO, "cannot read entry %zu", l->pos));
    } else if (it->valid) {
        it->at = l->at[l->pos];
        (void)buf_set(&l->key, it->at.key);
        it->at.key = chr_bytes(l->key.data ? l->key.data : "", l->key.len);
    }
}

static void list_first(iter *it)
{
    ((list_iter *)it)->pos = 0;
    show(it);
}
static void list_last(iter *it)
{
    list_iter *l = (list_iter *)it;
    l->pos = l->n - 1;
    show(it);
}
static void list_next(iter *it)
{
    ((list_iter *)it)->pos++;
    show(it);
}
static void list_prev(iter *it)
{
    ((list_iter *)it)->pos--;
    show(it);
}
static void list_seek(iter *it, slice key, uint64_t trailer)
{
    list_iter *l = (list_iter *)it;
    l->pos = 0;
    while (l->pos < l->n && entry_compare(l->at[l->pos].key, l->at[l->pos].trailer, key, trailer) < 0) l->pos++;
    show(it);
}
static void list_seek_back(iter *it, slice key, uint64_t trailer)
{
    list_iter *l = (list_iter *)it;
    l->pos = l->n - 1;
    while (l->pos < l->n && entry_compare(l->at[l->pos].key, l->at[l->pos].trailer, key, trailer) > 0) l->pos--;
    show(it);
}
static void list_free(iter *it)
{
    list_iter *l = (list_iter *)it;
    if (l->freed) ++*l->freed;
    chr_buf_free(&l->key);
    chr_buf_free(&it->error);
    free(l);
}

static const struct iter_ops list_ops = { list_first, list_last, list_seek, list_seek_back,
                                          list_next,  list_prev, list_free };

static iter *list_iter_new(const entry *at, size_t n, int *freed)
{
    list_iter *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->base.ops = &list_ops;
    l->at = at;
    l->n = n;
    l->fails_at = SIZE_MAX;
    l->freed = freed;
    return &l->base;
}

/* ---- dealing a list out to several ---- */

enum { SOURCES_MAX = 12 };

typedef struct deal {
    entry *lists[SOURCES_MAX];
    size_t counts[SOURCES_MAX];
    size_t n;
} deal;

static deal deal_out(rng *r, const entries *model, size_t n)
{
    deal   d = { .n = n };
    size_t run_left = 0, to = 0;
    for (size_t i = 0; i < n; i++)
        if (!(d.lists[i] = calloc(model->n + 1, sizeof(entry)))) abort();
    bool runs = rng_below(r, 2); /* tables overlap little, memtables a lot */
    for (size_t i = 0; i < model->n; i++) {
        if (run_left-- == 0) {
            to = rng_below(r, n);
            run_left = runs ? rng_below(r, 50) : 0;
        }
        d.lists[to][d.counts[to]++] = model->at[i];
    }
    return d;
}

static iter *merge_of(const deal *d, int *freed)
{
    iter *sources[SOURCES_MAX];
    for (size_t i = 0; i < d->n; i++) sources[i] = list_iter_new(d->lists[i], d->counts[i], freed);
    iter *it = merge_iter_new(sources, d->n);
    assert_non_null(it);
    return it;
}

static void deal_free(deal *d)
{
    for (size_t i = 0; i < d->n; i++) free(d->lists[i]);
}

static void check_at(const iter *it, const entries *model, size_t at)
{
    assert_int_equal(it->status, CHR_OK);
    assert_int_equal(it->valid, at < model->n);
    if (it->valid) assert_true(entry_is(&it->at, &model->at[at]));
}

static void a_merge_walks_like_one_sorted_list(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (size_t round = 0; round < 100; round++) {
        entries model = random_entries(&r, (key_style)(round % KEYS_HUGE), rng_below(&r, 400), 6, 10);
        deal    d = deal_out(&r, &model, 1 + rng_below(&r, SOURCES_MAX));
        int     freed = 0;
        iter   *it = merge_of(&d, &freed);
        size_t  at = 0;
        for (iter_first(it); it->valid; iter_next(it)) check_at(it, &model, at++);
        assert_int_equal(at, model.n);
        for (iter_last(it); it->valid; iter_prev(it)) check_at(it, &model, --at);
        assert_int_equal(at, 0);
        buf key = { 0 };
        at = SIZE_MAX;
        for (size_t i = 0; i < 600 && model.n > 0; i++) {
            size_t what = rng_below(&r, 10);
            if (at >= model.n || what == 0) {
                random_key(&r, (key_style)(round % KEYS_HUGE), &key);
                uint64_t trailer = trailer_of(rng_below(&r, 100000), KIND_PUT);
                at = entries_before(&model, buf_slice(&key), trailer);
                if (rng_below(&r, 2)) {
                    iter_seek(it, buf_slice(&key), trailer);
                } else {
                    if (at == model.n ||
                        entry_compare(model.at[at].key, model.at[at].trailer, buf_slice(&key), trailer) != 0)
                        at--;
                    iter_seek_back(it, buf_slice(&key), trailer);
                }
            } else if (what < 6) {
                iter_next(it);
                at++;
            } else {
                iter_prev(it);
                at--;
            }
            check_at(it, &model, at);
        }
        chr_buf_free(&key);
        iter_free(it);
        assert_int_equal(freed, d.n);
        deal_free(&d);
        entries_free(&model);
    }
}

static void one_source_is_handed_back_and_none_is_empty(void **state)
{
    (void)state;
    iter *only = list_iter_new(NULL, 0, NULL);
    assert_ptr_equal(merge_iter_new(&only, 1), only);
    iter_free(only);
    iter *none = merge_iter_new(NULL, 0);
    iter_first(none);
    assert_false(none->valid);
    iter_seek_back(none, chr_str("x"), 0);
    assert_false(none->valid);
    assert_int_equal(none->status, CHR_OK);
    iter_free(none);
}

static void an_error_in_any_source_ends_the_merge_until_it_is_positioned_anew(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    entries model = random_entries(&r, KEYS_COUNTED, 300, 1, 10);
    for (size_t bad = 0; bad < 100; bad++) {
        deal  d = deal_out(&r, &model, 3);
        iter *sources[3];
        for (size_t i = 0; i < 3; i++) sources[i] = list_iter_new(d.lists[i], d.counts[i], NULL);
        list_iter *l = (list_iter *)sources[bad % 3];
        l->fails_at = rng_below(&r, l->n);
        size_t fail_pos = entries_before(&model, l->at[l->fails_at].key, l->at[l->fails_at].trailer);
        iter  *it = merge_iter_new(sources, 3);
        size_t seen = 0;
        bool   backward = bad % 2;
        for (backward ? iter_last(it) : iter_first(it); it->valid; backward ? iter_prev(it) : iter_next(it)) seen++;
        assert_int_equal(it->status, CHR_IO);
        assert_non_null(memmem(it->error.data, it->error.len, "cannot read entry", 17));
        /* It noticed no later than where the entry would have come, and showed nothing that is beyond it. */
        assert_true(seen <= (backward ? model.n - 1 - fail_pos : fail_pos));
        l->fails_at = SIZE_MAX;
        iter_first(it);
        check_at(it, &model, 0);
        iter_free(it);
        deal_free(&d);
    }
    entries_free(&model);
}

static void turning_round_is_right_while_a_memtable_fills(void **state)
{
    (void)state;
    rng       r = { test_seed() };
    entries   old = random_entries(&r, KEYS_COUNTED, 500, 2, 10);
    deal      d = deal_out(&r, &old, 2);
    memtable *m = memtable_new();
    iter     *sources[] = { list_iter_new(d.lists[0], d.counts[0], NULL), list_iter_new(d.lists[1], d.counts[1], NULL),
                            memtable_iter_new(m) };
    iter     *it = merge_iter_new(sources, 3);
    buf       key = { 0 };
    uint64_t  seq = SEQ_MAX - 1000000;
    size_t    at = SIZE_MAX; /* in `old`: of the last old entry passed in the direction of travel */
    iter_first(it);
    for (size_t step = 0; step < 4000; step++) {
        if (!it->valid) {
            rng_below(&r, 2) ? iter_first(it) : iter_last(it);
            assert_true(it->valid);
        }
        entry before = it->at;
        (void)buf_set(&key, it->at.key);
        bool forward = rng_below(&r, 2);
        forward ? iter_next(it) : iter_prev(it);
        size_t place = entries_before(&old, buf_slice(&key), before.trailer);
        bool   exact = place < old.n &&
                     entry_compare(old.at[place].key, old.at[place].trailer, buf_slice(&key), before.trailer) == 0;
        at = forward ? place + exact : place - 1; /* the next old entry on the way */
        if (it->valid) {
            int c = entry_compare(buf_slice(&key), before.trailer, it->at.key, it->at.trailer);
            assert_true(forward ? c < 0 : c > 0);
            if (at < old.n) { /* it was not jumped over */
                c = entry_compare(it->at.key, it->at.trailer, old.at[at].key, old.at[at].trailer);
                assert_true(forward ? c <= 0 : c >= 0);
            }
        } else {
            assert_true(at >= old.n);
        }
        random_key(&r, KEYS_COUNTED, &key);
        assert_int_equal(memtable_insert(m, buf_slice(&key), trailer_of(++seq, KIND_PUT), chr_str("new")), CHR_OK);
    }
    iter_free(it);
    chr_buf_free(&key);
    memtable_free(m);
    deal_free(&d);
    entries_free(&old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_walks_like_one_sorted_list),
        cmocka_unit_test(one_source_is_handed_back_and_none_is_empty),
        cmocka_unit_test(an_error_in_any_source_ends_the_merge_until_it_is_positioned_anew),
        cmocka_unit_test(turning_round_is_right_while_a_memtable_fills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
