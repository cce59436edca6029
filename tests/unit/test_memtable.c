/* The memtable against a sorted list, and its readers against a writer that does not wait for them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/memtable.h"
#include "entries.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static bool memory_is_out;

/* Stands in for libc's, which is where small chunks of arenas come from. */
int posix_memalign(void **out, size_t align, size_t size)
{
    void *p = memory_is_out ? NULL : aligned_alloc(align, size + (-size & (align - 1)));
    if (p) *out = p;
    return p ? 0 : 12;
}

static void shuffle(rng *r, entry *e, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = rng_below(r, i);
        entry  t = e[i - 1];
        e[i - 1] = e[k];
        e[k] = t;
    }
}

typedef enum arrival { ASCENDING, DESCENDING, SHUFFLED, ARRIVALS } arrival;

static memtable *filled(rng *r, const entries *model, arrival how)
{
    memtable *m = memtable_new();
    entry    *list = malloc((model->n + 1) * sizeof *list);
    assert_non_null(m);
    assert_non_null(list);
    for (size_t i = 0; i < model->n; i++) list[i] = model->at[how == DESCENDING ? model->n - 1 - i : i];
    if (how == SHUFFLED) shuffle(r, list, model->n);
    for (size_t i = 0; i < model->n; i++)
        assert_int_equal(memtable_insert(m, list[i].key, list[i].trailer, list[i].value), CHR_OK);
    free(list);
    return m;
}

/* Compares where the iterator stands with position `at` of the model; `model->n` and above stand for "nowhere". */
static void check_at(const iter *it, const entries *model, size_t at)
{
    assert_int_equal(it->status, CHR_OK);
    assert_int_equal(it->valid, at < model->n);
    if (it->valid) assert_true(entry_is(&it->at, &model->at[at]));
}

static void random_probe(rng *r, const entries *model, buf *key, uint64_t *trailer)
{
    const entry *e = &model->at[rng_below(r, model->n)];
    (void)buf_set(key, e->key);
    *trailer = e->trailer;
    switch (rng_below(r, 6)) {
    case 0: (void)buf_append_byte(key, 0); break;
    case 1:
        if (key->len) key->len--;
        break;
    case 2:
        if (key->len) key->data[rng_below(r, key->len)] = (char)rng_next(r);
        break;
    case 3: *trailer = rng_below(r, 2) ? 0 : UINT64_MAX; break;
    case 4: *trailer = rng_next(r) >> (8 + rng_below(r, 40)); break;
    default: break;
    }
}

static void check_against(rng *r, const memtable *m, const entries *model, size_t steps)
{
    buf      key = { 0 };
    uint64_t trailer;
    assert_int_equal(memtable_entries(m), model->n);
    for (size_t i = 0; i < steps; i++) {
        entry found;
        random_probe(r, model, &key, &trailer);
        uint64_t seq = trailer_seq(trailer);
        size_t   at = entries_before(model, buf_slice(&key), seek_trailer(seq));
        bool     there = at < model->n && slice_equal(model->at[at].key, buf_slice(&key));
        assert_int_equal(memtable_get(m, buf_slice(&key), seq, &found), there);
        if (there) assert_true(entry_is(&found, &model->at[at]));
    }
    iter  *it = memtable_iter_new(m);
    size_t at = 0;
    assert_non_null(it);
    for (iter_first(it); it->valid; iter_next(it)) check_at(it, model, at++);
    assert_int_equal(at, model->n);
    for (iter_last(it); it->valid; iter_prev(it)) check_at(it, model, --at);
    assert_int_equal(at, 0);
    at = SIZE_MAX;
    for (size_t i = 0; i < 4 * steps; i++) {
        size_t what = rng_below(r, 12);
        if (at >= model->n || what == 0) {
            random_probe(r, model, &key, &trailer);
            at = entries_before(model, buf_slice(&key), trailer);
            if (rng_below(r, 2)) {
                iter_seek(it, buf_slice(&key), trailer);
            } else {
                bool exact = at < model->n &&
                             entry_compare(model->at[at].key, model->at[at].trailer, buf_slice(&key), trailer) == 0;
                if (!exact) at--; /* SIZE_MAX: before the first */
                iter_seek_back(it, buf_slice(&key), trailer);
            }
        } else if (what < 6) {
            iter_next(it);
            at++;
        } else {
            iter_prev(it);
            at--;
        }
        check_at(it, model, at);
    }
    iter_free(it);
    chr_buf_free(&key);
}

static void it_agrees_with_a_sorted_list(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (size_t round = 0; round < 4 * KEY_STYLES * ARRIVALS; round++) {
        key_style style = (key_style)(round % KEY_STYLES);
        size_t    n = style == KEYS_HUGE ? 1 + rng_below(&r, 150) : 1 + rng_below(&r, 4000);
        entries   model = random_entries(&r, style, n, 1 + rng_below(&r, 30), 300);
        memtable *m = filled(&r, &model, (arrival)(round / KEY_STYLES % ARRIVALS));
        check_against(&r, m, &model, 400);
        memtable_free(m);
        entries_free(&model);
    }
}

static void an_empty_one_has_nothing(void **state)
{
    (void)state;
    memtable       *m = memtable_new();
    entry           found;
    iter           *it = memtable_iter_new(m);
    const rangedel *set = (const rangedel *)it;
    uint64_t        seq = 1;
    assert_false(memtable_get(m, chr_str("a"), SEQ_MAX, &found));
    assert_false(memtable_get(m, chr_str(""), SEQ_MAX, &found));
    iter_first(it);
    assert_false(it->valid);
    iter_last(it);
    assert_false(it->valid);
    iter_seek(it, chr_str(""), UINT64_MAX);
    assert_false(it->valid);
    iter_seek_back(it, chr_str("z"), 0);
    assert_false(it->valid);
    assert_int_equal(memtable_range_deleted(m, chr_str("a"), SEQ_MAX, &seq), CHR_OK);
    assert_int_equal(seq, 0);
    assert_int_equal(memtable_rangedels(m, &set), CHR_OK);
    assert_null(set);
    assert_int_equal(memtable_entries(m), 0);
    assert_true(memtable_bytes(m) < 1024); /* a limit of a few kilobytes must leave room for something */
    iter_free(it);
    memtable_free(m);
}

static void an_insert_that_found_no_memory_has_changed_nothing(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    size_t  refused = 0;
    entries model = random_entries(&r, KEYS_SHORT, 20000, 3, 0);
    for (int how = 0; how < ARRIVALS; how++) {
        memtable *m = memtable_new();
        for (size_t i = 0; i < model.n; i++) {
            const entry *e = &model.at[how == ASCENDING ? i : how == DESCENDING ? model.n - 1 - i : i * 7919 % model.n];
            size_t       bytes = memtable_bytes(m);
            entry        found;
            memory_is_out = true;
            chr_status st = memtable_insert(m, e->key, e->trailer, e->value);
            memory_is_out = false;
            if (st == CHR_OK) continue;
            refused++;
            assert_int_equal(st, CHR_NO_MEMORY);
            assert_int_equal(memtable_entries(m), i);
            assert_true(memtable_bytes(m) < bytes + 2048);
            if (memtable_get(m, e->key, trailer_seq(e->trailer), &found))
                assert_int_not_equal(found.trailer, e->trailer);
            assert_int_equal(memtable_insert(m, e->key, e->trailer, e->value), CHR_OK);
        }
        check_against(&r, m, &model, 1000);
        memtable_free(m);
    }
    assert_true(refused >= 12);
    entries_free(&model);
}

static void of_many_versions_of_one_key_the_right_one_is_found(void **state)
{
    (void)state;
    memtable *m = memtable_new();
    entry     found;
    enum { VERSIONS = 5000 };
    for (uint64_t seq = 2; seq <= 2 * VERSIONS; seq += 2)
        assert_int_equal(memtable_insert(m, chr_str("counter"), trailer_of(seq, KIND_PUT), chr_bytes(&seq, sizeof seq)),
                         CHR_OK);
    for (uint64_t seq = 0; seq <= 2 * VERSIONS + 1; seq++) {
        assert_int_equal(memtable_get(m, chr_str("counter"), seq, &found), seq >= 2);
        if (seq >= 2) assert_int_equal(get_u64(found.value.data), seq & ~UINT64_C(1));
    }
    assert_false(memtable_get(m, chr_str("counte"), SEQ_MAX, &found));
    assert_false(memtable_get(m, chr_str("counter0"), SEQ_MAX, &found));
    memtable_free(m);
}

/* Bytes beyond key, value and trailer. */
static double overhead(const char *pattern, size_t n, unsigned step)
{
    memtable *m = memtable_new();
    size_t    net = 0;
    for (size_t i = 0; i < n; i++) {
        char   key[32];
        size_t at = step == 0 ? n - i : step == 1 ? i : i * step % n;
        int    len = snprintf(key, sizeof key, pattern, at);
        assert_int_equal(memtable_insert(m, chr_bytes(key, (size_t)len), trailer_of(i + 1, KIND_PUT), chr_str("value")),
                         CHR_OK);
        net += (size_t)len + 5 + 8;
    }
    double per_entry = (double)(memtable_bytes(m) - net) / (double)n;
    memtable_free(m);
    return per_entry;
}

static void an_entry_costs_at_most_40_bytes_more_than_what_is_in_it(void **state)
{
    (void)state;
    const char *patterns[] = { "%zu", "%012zu", "user:%012zu", "/srv/store/a/b/%08zu" };
    for (size_t i = 0; i < 4; i++) {
        double ascending = overhead(patterns[i], 50000, 1), descending = overhead(patterns[i], 50000, 0),
               mixed = overhead(patterns[i], 50000, 17389);
        print_message("# %s: %.1f ascending, %.1f descending, %.1f mixed\n", patterns[i], ascending, descending, mixed);
        assert_true(mixed < 40);
        if (i > 0) assert_true(ascending < 28 && descending < 28); /* leaves are full */
    }
}

static void an_iterator_keeps_what_it_had_while_leaves_split_under_it(void **state)
{
    (void)state;
    rng       r = { test_seed() };
    entries   model = random_entries(&r, KEYS_COUNTED, 2000, 3, 20);
    memtable *m = filled(&r, &model, SHUFFLED);
    iter     *it = memtable_iter_new(m);
    uint64_t  later = SEQ_MAX - 100000;
    buf       key = { 0 };
    for (int backward = 0; backward < 2; backward++) {
        size_t at = backward ? model.n : 0;
        for (backward ? iter_last(it) : iter_first(it); it->valid; backward ? iter_prev(it) : iter_next(it)) {
            if (trailer_seq(it->at.trailer) > SEQ_MAX - 100000 && it->at.value.len == 3) continue; /* came later */
            at -= (size_t)backward;
            check_at(it, &model, at);
            at += (size_t)!backward;
            for (size_t i = 0; i < 10; i++) {
                (void)buf_set(&key, it->at.key);
                if (rng_below(&r, 2)) (void)buf_append_byte(&key, (uint8_t)rng_next(&r));
                assert_int_equal(memtable_insert(m, buf_slice(&key), trailer_of(++later, KIND_PUT), chr_str("new")),
                                 CHR_OK);
            }
        }
        assert_int_equal(at, backward ? 0 : model.n);
    }
    iter_free(it);
    chr_buf_free(&key);
    memtable_free(m);
    entries_free(&model);
}

/* ---- range tombstones ---- */

static void range_tombstones_are_found_whenever_one_asks(void **state)
{
    (void)state;
    rng r = { test_seed() };
    for (size_t round = 0; round < 20; round++) {
        enum { MOST = 300 };
        memtable *m = memtable_new();
        char      start[MOST][8], end[MOST][8];
        size_t    n = 1 + rng_below(&r, MOST);
        for (size_t i = 0; i < n; i++) {
            size_t a = rng_below(&r, 500), b = a + 1 + rng_below(&r, round % 2 ? 10 : 400);
            snprintf(start[i], sizeof start[i], "k%03zu", a);
            snprintf(end[i], sizeof end[i], "k%03zu", b);
            assert_int_equal(memtable_insert(m, chr_str(start[i]), trailer_of(i + 1, KIND_DELETE_RANGE),
                                             chr_str(end[i])),
                             CHR_OK);
            for (size_t probe = 0; probe < 5; probe++) {
                char            key[8];
                uint64_t        want = 0, got, seq = rng_below(&r, n + 2);
                const rangedel *set;
                snprintf(key, sizeof key, "k%03zu", rng_below(&r, 950));
                for (size_t k = 0; k <= i && k < seq; k++)
                    if (strcmp(start[k], key) <= 0 && strcmp(key, end[k]) < 0) want = k + 1;
                assert_int_equal(memtable_range_deleted(m, chr_str(key), seq, &got), CHR_OK);
                assert_int_equal(got, want);
                if (rng_below(&r, 10)) continue;
                assert_int_equal(memtable_rangedels(m, &set), CHR_OK);
                assert_int_equal(rangedel_covers(set, chr_str(key), seq), want);
            }
        }
        assert_int_equal(memtable_entries(m), n);
        memtable_free(m);
    }
}

static void many_range_deletes_with_reads_between_are_cheap(void **state)
{
    (void)state;
    memtable *m = memtable_new();
    enum { MANY = 50000 };
    for (uint64_t i = 0; i < MANY; i++) {
        char     start[16], end[sizeof start + 1];
        uint64_t seq;
        snprintf(start, sizeof start, "c%08u", (unsigned)(i * 7919 % MANY));
        snprintf(end, sizeof end, "%s~", start);
        assert_int_equal(memtable_insert(m, chr_str(start), trailer_of(i + 1, KIND_DELETE_RANGE), chr_str(end)),
                         CHR_OK);
        assert_int_equal(memtable_range_deleted(m, chr_str(start), SEQ_MAX, &seq), CHR_OK);
        assert_int_equal(seq, i + 1);
    }
    print_message("# %.0f bytes per range tombstone\n", (double)memtable_bytes(m) / MANY);
    assert_true(memtable_bytes(m) < (size_t)MANY * 1500);
    memtable_free(m);
}

/* ---- threads ---- */

enum {
    STRESS_WRITES = 20000,
    STRESS_KEYS = 3000,
    STRESS_READERS = 2,
    STRESS_RANGES = 200, /* one range delete in so many writes */
};

typedef struct stress {
    memtable        *m;
    key_style        style;
    uint32_t         key_of[STRESS_WRITES + 1]; /* of write `seq`; 0: it deletes a range */
    uint32_t         newer[STRESS_WRITES + 1];  /* the next write of the same key; UINT32_MAX: none */
    char             keys[STRESS_KEYS + 1][40];
    _Atomic uint32_t published;
    _Atomic uint32_t ranges; /* range deletes among what is published, at least */
    atomic_int       failures;
    _Atomic uint64_t seed;
} stress;

#define EXPECT(s, condition)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            atomic_fetch_add(&(s)->failures, 1);                                                                       \
            print_message("line %d: %s\n", __LINE__, #condition);                                                      \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static void *stress_write(void *arg)
{
    stress *s = arg;
    for (uint32_t seq = 1; seq <= STRESS_WRITES; seq++) {
        uint32_t   k = s->key_of[seq];
        chr_status st =
            k ? memtable_insert(s->m, chr_str(s->keys[k]), trailer_of(seq, KIND_PUT), chr_bytes(&seq, sizeof seq))
              : memtable_insert(s->m, chr_str("range"), trailer_of(seq, KIND_DELETE_RANGE), chr_str("rangf"));
        if (st != CHR_OK) atomic_fetch_add(&s->failures, 1);
        atomic_store_explicit(&s->published, seq, memory_order_release);
        if (!k) atomic_fetch_add(&s->ranges, 1);
        if (seq % 256 == 0) sched_yield(); /* or it has finished before they have begun */
    }
    return NULL;
}

static void read_points(stress *s, rng *r)
{
    for (size_t i = 0; i < 300; i++) {
        uint32_t seq = atomic_load_explicit(&s->published, memory_order_acquire);
        if (seq == 0) continue;
        uint32_t any = 1 + (uint32_t)rng_below(r, seq), k = s->key_of[any];
        uint64_t range_seq;
        entry    found;
        if (k == 0) {
            EXPECT(s, chr_ok(memtable_range_deleted(s->m, chr_str("range!"), seq, &range_seq)));
            EXPECT(s, range_seq >= any && range_seq <= seq && s->key_of[range_seq] == 0);
            continue;
        }
        EXPECT(s, memtable_get(s->m, chr_str(s->keys[k]), seq, &found));
        uint64_t got = trailer_seq(found.trailer);
        EXPECT(s, slice_equal(found.key, chr_str(s->keys[k])));
        EXPECT(s, got >= any && got <= seq && s->key_of[got] == k && s->newer[got] > seq);
        uint32_t value;
        memcpy(&value, found.value.data, sizeof value);
        EXPECT(s, value == got);
        if (got == any) continue;
        EXPECT(s, memtable_get(s->m, chr_str(s->keys[k]), any, &found) && trailer_seq(found.trailer) == any);
    }
}

static void scan(stress *s, bool backward)
{
    uint32_t seq = atomic_load_explicit(&s->published, memory_order_acquire);
    uint32_t seen = 0, ranges = 0;
    iter    *it = memtable_iter_new(s->m);
    entry    last = { 0 };
    bool     sorted = true;
    for (backward ? iter_last(it) : iter_first(it); it->valid && sorted; backward ? iter_prev(it) : iter_next(it)) {
        int c = last.key.data ? entry_compare(last.key, last.trailer, it->at.key, it->at.trailer) : 0;
        sorted = !last.key.data || (backward ? c > 0 : c < 0);
        last = it->at;
        if (trailer_seq(last.trailer) <= seq) seen++;
    }
    iter_free(it);
    for (uint32_t i = 1; i <= seq; i++) ranges += s->key_of[i] == 0;
    EXPECT(s, sorted);
    EXPECT(s, seen + ranges == seq);
}

/* Back and forth, each step compared with the one before. */
static void wander(stress *s, rng *r)
{
    iter *it = memtable_iter_new(s->m);
    bool  good = true;
    for (size_t round = 0; round < 20 && good; round++) {
        slice    key = chr_str(s->keys[1 + rng_below(r, STRESS_KEYS)]);
        uint64_t trailer = seek_trailer(1 + rng_below(r, STRESS_WRITES));
        bool     back = rng_below(r, 2);
        back ? iter_seek_back(it, key, trailer) : iter_seek(it, key, trailer);
        if (it->valid) {
            int c = entry_compare(it->at.key, it->at.trailer, key, trailer);
            good = back ? c <= 0 : c >= 0;
        }
        for (size_t i = 0; i < 60 && it->valid && good; i++) {
            entry before = it->at;
            bool  forward = rng_below(r, 3) > 0;
            forward ? iter_next(it) : iter_prev(it);
            if (!it->valid) break;
            int c = entry_compare(before.key, before.trailer, it->at.key, it->at.trailer);
            good = forward ? c < 0 : c > 0;
        }
    }
    iter_free(it);
    EXPECT(s, good);
}

static void read_ranges(stress *s)
{
    uint32_t        ranges = atomic_load(&s->ranges);
    const rangedel *set;
    EXPECT(s, chr_ok(memtable_rangedels(s->m, &set)));
    size_t n = set ? rangedel_at(set, 0).n_seqs : 0;
    EXPECT(s, n >= ranges);
}

static void *stress_read(void *arg)
{
    stress *s = arg;
    rng     r = { atomic_fetch_add(&s->seed, 1) };
    bool    last = false;
    while (!last && atomic_load(&s->failures) == 0) {
        last = atomic_load(&s->published) == STRESS_WRITES;
        read_points(s, &r);
        wander(s, &r);
        read_ranges(s);
        scan(s, rng_below(&r, 2));
    }
    return NULL;
}

static void prepare(stress *s, rng *r, key_style style, arrival how)
{
    buf key = { 0 };
    for (size_t k = 1; k <= STRESS_KEYS; k++) {
        key.len = 0;
        if (style == KEYS_SHORT)
            for (size_t i = 0; i < 8; i++) (void)buf_append_byte(&key, (uint8_t)(1 + rng_below(r, 255)));
        else
            (void)buf_printf(&key, style == KEYS_COUNTED ? "user:%012zu.%zu" : "/srv/store/%zu/some/more/%zu",
                             how == SHUFFLED ? rng_below(r, 100000000) : k * 10, k);
        memcpy(s->keys[k], key.data, key.len);
        s->keys[k][key.len] = 0;
    }
    chr_buf_free(&key);
    static uint32_t last[STRESS_KEYS + 1];
    memset(last, 0, sizeof last);
    memset(s->newer, 0xff, sizeof s->newer);
    for (uint32_t seq = 1; seq <= STRESS_WRITES; seq++) {
        uint32_t k =
            how == SHUFFLED ? 1 + (uint32_t)rng_below(r, STRESS_KEYS) : 1 + seq * STRESS_KEYS / (STRESS_WRITES + 1);
        if (how == DESCENDING) k = STRESS_KEYS + 1 - k;
        if (rng_below(r, STRESS_RANGES) == 0) k = 0;
        s->key_of[seq] = k;
        if (last[k]) s->newer[last[k]] = seq;
        last[k] = seq;
    }
}

static void readers_see_all_that_was_published_before_they_began(void **state)
{
    (void)state;
    rng     r = { test_seed() };
    stress *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int round = 0; round < 9; round++) {
        prepare(s, &r, (key_style)(round % 3), (arrival)(round / 3));
        s->m = memtable_new();
        atomic_store(&s->published, 0);
        atomic_store(&s->ranges, 0);
        atomic_store(&s->seed, rng_next(&r));
        pthread_t writer, readers[STRESS_READERS];
        for (size_t i = 0; i < STRESS_READERS; i++)
            assert_int_equal(pthread_create(&readers[i], NULL, stress_read, s), 0);
        assert_int_equal(pthread_create(&writer, NULL, stress_write, s), 0);
        pthread_join(writer, NULL);
        for (size_t i = 0; i < STRESS_READERS; i++) pthread_join(readers[i], NULL);
        memtable_free(s->m);
        assert_int_equal(atomic_load(&s->failures), 0);
    }
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_has_nothing),
        cmocka_unit_test(it_agrees_with_a_sorted_list),
        cmocka_unit_test(an_insert_that_found_no_memory_has_changed_nothing),
        cmocka_unit_test(of_many_versions_of_one_key_the_right_one_is_found),
        cmocka_unit_test(an_entry_costs_at_most_40_bytes_more_than_what_is_in_it),
        cmocka_unit_test(an_iterator_keeps_what_it_had_while_leaves_split_under_it),
        cmocka_unit_test(range_tombstones_are_found_whenever_one_asks),
        cmocka_unit_test(many_range_deletes_with_reads_between_are_cheap),
        cmocka_unit_test(readers_see_all_that_was_published_before_they_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
