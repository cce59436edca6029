/* A store on the simulated disk or a real one, and short words for tests of the object layer. */
#ifndef CHR_TESTS_OBJECTS_H
#define CHR_TESTS_OBJECTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "entries.h"
#include "env/sim.h"
#include "object/store.h"

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, SECOND_MS = 1000 };
static const uint64_t SIM_WALL_NS = UINT64_C(1700000000) * 1000000000;

/* ---- a store on either disk ---- */

typedef struct fixture {
    env   *sim; /* NULL: the real disk */
    char   dir[256];
    store *s;
} fixture;

static inline void open_store(fixture *f)
{
    store_options o = { .env = f->sim, .chr = chr_options_default(), .inline_work = f->sim != NULL, .keeps_hot = true };
    o.chr.sync = CHR_SYNC_NONE;
    o.chr.memtable_bytes = 1 << 20;
    o.chr.cache_bytes = 4 << 20;
    if (store_open(f->dir, &o, &f->s) != CHR_OK) fail_msg("%s", chr_message());
}

static inline void reopen(fixture *f)
{
    chr_status st = chr_close(f->s);
    f->s = NULL;
    assert_int_equal(st, CHR_OK);
    open_store(f);
}

static inline int on_sim(void **state)
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

static inline int on_disk(void **state)
{
    fixture    *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    assert_non_null(f);
    assert_in_range(snprintf(f->dir, sizeof f->dir, "%s/chronos-object-XXXXXX", tmp ? tmp : "/tmp"), 1,
                    sizeof f->dir - 1);
    assert_non_null(mkdtemp(f->dir));
    open_store(f);
    *state = f;
    return 0;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline int done(void **state)
{
    fixture *f = *state;
    assert_int_equal(chr_close(f->s), CHR_OK);
    if (f->sim)
        env_sim_free(f->sim);
    else
        nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
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
static inline int rounds_of(int all) { return all / SLOWER; }

static inline slice none(void) { return chr_bytes(NULL, 0); }

static inline txn *begin(store *s, slice key)
{
    txn *t = txn_begin(s, &key, 1);
    assert_non_null(t);
    return t;
}

static inline void commit(txn *t) { assert_int_equal(txn_commit(t, NULL), CHR_OK); }

static inline void put(store *s, const char *key, slice value)
{
    assert_int_equal(store_put(s, chr_str(key), NULL, value, NULL), CHR_OK);
}

static inline void assert_value(store *s, const char *key, slice expected)
{
    buf value = { 0 };
    assert_int_equal(store_get(s, NULL, chr_str(key), &value, NULL, NULL), CHR_OK);
    assert_int_equal(value.len, expected.len);
    if (expected.len) assert_memory_equal(value.data, expected.data, expected.len);
    chr_buf_free(&value);
}

static inline void assert_absent(store *s, const char *key)
{
    assert_int_equal(store_get(s, NULL, chr_str(key), NULL, NULL, NULL), CHR_NOT_FOUND);
}

static inline char *pattern(size_t len, unsigned seed)
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
static inline uint64_t seed_of_run(void)
{
    const char     *given = getenv("CHR_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_sec * 1000000007 ^ (uint64_t)now.tv_nsec;
    printf("CHR_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* How many engine keys the store has in one of its internal spaces (the byte after FF): chunks 1, big 3, pending 4. */
static inline size_t internal_keys(store *s, char space)
{
    char     from[2] = { '\xff', space }, to[2] = { '\xff', (char)(space + 1) };
    db_iter *it;
    size_t   n = 0;
    assert_int_equal(db_iter_new(store_db(s), NULL, chr_bytes(from, 2), chr_bytes(to, 2), &it), CHR_OK);
    for (db_iter_first(it); db_iter_valid(it); db_iter_next(it)) n++;
    assert_int_equal(db_iter_status(it), CHR_OK);
    db_iter_free(it);
    return n;
}

/* A test that runs in a store on the simulated disk, on a real one, or on each. */
#define ON(fixture, test) cmocka_unit_test_setup_teardown(test, fixture, done)
#define ON_BOTH(test) ON(on_sim, test), ON(on_disk, test)

#endif
