/* The object layer under threads: transactions, consistent reads, watchers. */
#include "objects.h"

/* ---- watchers ---- */

typedef struct watcher {
    store            *s;
    store_watch      *watch;
    bool              hold;
    _Atomic(int)      told;
    _Atomic(uint64_t) last_seq;
    char              log[256]; /* of a single-threaded test */
} watcher;

static bool hear(void *arg, const change *c)
{
    static const char *kinds[] = { "put", "delete", "range" };
    watcher           *w = arg;
    size_t             used = strlen(w->log);
    w->told++;
    w->last_seq = c->seq;
    snprintf(w->log + used, sizeof w->log - used, "%s%s %.*s%s%.*s;", c->space == OBJECT_DIR ? "dir " : "",
             kinds[c->kind], (int)c->key.len, c->key.len ? c->key.data : "", c->end.data ? ".." : "", (int)c->end.len,
             c->end.len ? c->end.data : "");
    assert_true(c->origin == NULL || c->origin == w);
    assert_true(store_ack_seq(w->s) < c->seq); /* nobody is told before the watcher is */
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
    assert_true(store_ack_seq(s) < seq); /* one of its two changes is still to be passed on */
    int before = acks;
    store_watch_settled(w.watch, seq);
    assert_true(acks > before);
    assert_true(store_ack_seq(s) >= seq && store_ack_seq(s) < second);
    assert_int_equal(store_wait(s, seq), CHR_OK);

    before = acks;
    store_watch_remove(w.watch); /* lets go of the second */
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
        char names[2][16], bytes[8];
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
        assert_int_equal(store_read(b->s, NULL, chr_str("shared"), 100, part, 3 * CHUNK_BYTES, &got, NULL, NULL),
                         CHR_OK);
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
        store_watch_remove(brief); /* and what it held is let go */
    }
    for (int i = 0; i < THREADS; i++) pthread_join(writers[i], NULL);
    q.stop = true;
    pthread_join(settler, NULL);
    store_watch_remove(q.watch);
    pthread_mutex_destroy(&q.lock);
}

/* ---- what is read often ---- */

enum { OFTEN = 6, VERSIONS = 20000 };
typedef struct often {
    store                 *s;
    _Atomic(int)           writers; /* how many have begun, and so which key is whose */
    _Atomic(unsigned)      done;
    _Atomic(unsigned long) written[OFTEN]; /* the last version that a put has returned for */
} often;

static slice often_key(char key[24], int i)
{
    snprintf(key, 24, "often%d", i);
    return chr_str(key);
}

static void *write_versions(void *arg)
{
    often *o = arg;
    int    own = o->writers++;
    char   key[24], text[24];
    for (unsigned long v = 1; v <= (unsigned long)rounds_of(VERSIONS); v++)
        for (int i = own; i < OFTEN; i += THREADS) {
            snprintf(text, sizeof text, "%lu", v);
            assert_int_equal(store_put(o->s, often_key(key, i), NULL, chr_str(text), NULL), CHR_OK);
            o->written[i] = v;
        }
    o->done++;
    return NULL;
}

static void *read_versions(void *arg)
{
    often        *o = arg;
    char          key[24];
    buf           value = { 0 };
    unsigned long seen[OFTEN] = { 0 };
    for (unsigned n = 0; o->done < THREADS; n++) {
        unsigned      i = n / 8 % OFTEN; /* again and again, so that it is kept */
        unsigned long least = o->written[i];
        if (least < seen[i]) least = seen[i];
        chr_status st = store_get(o->s, NULL, often_key(key, (int)i), &value, NULL, NULL);
        if (st == CHR_NOT_FOUND && least == 0) continue;
        assert_int_equal(st, CHR_OK);
        assert_true(buf_append_byte(&value, 0));
        seen[i] = strtoul(value.data, NULL, 10);
        assert_true(seen[i] >= least);
    }
    chr_buf_free(&value);
    return NULL;
}

static void *write_or_read_versions(void *arg)
{
    static _Atomic(unsigned) turn;
    return turn++ % 2 ? read_versions(arg) : write_versions(arg);
}

static void no_reader_sees_an_old_version_after_a_new_one(void **state)
{
    fixture *f = *state;
    often    o = { .s = f->s };
    run_threads(write_or_read_versions, &o, 2 * THREADS);
}

static void assert_often(store *s, const char *key, const char *value)
{
    for (int i = 0; i < 4; i++) assert_value(s, key, chr_str(value));
}

static void what_is_read_often_is_as_fresh_as_the_rest(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    slice    keys[] = { chr_str("a"), chr_str("b") };
    put(s, "a", chr_str("1"));
    put(s, "b", chr_str("2"));
    assert_often(s, "a", "1");
    assert_often(s, "b", "2");
    store_snapshot *before = NULL;
    assert_int_equal(chr_snapshot_new(s, &before), CHR_OK);

    put(s, "a", chr_str("3"));
    assert_often(s, "a", "3");
    txn *t = txn_begin(s, keys, 2);
    assert_int_equal(txn_move(t, OBJECT_KEY, keys[0], keys[1]), CHR_OK);
    commit(t);
    for (int i = 0; i < 3; i++) assert_absent(s, "a");
    assert_often(s, "b", "3");
    buf value = { 0 };
    assert_int_equal(store_get(s, before, keys[1], &value, NULL, NULL), CHR_OK);
    assert_true(slice_equal(buf_slice(&value), chr_str("2")));
    chr_buf_free(&value);
    chr_snapshot_free(before);

    t = txn_begin(s, NULL, 0);
    assert_int_equal(txn_delete_range(t, OBJECT_KEY, chr_str("a"), chr_str("c")), CHR_OK);
    commit(t);
    assert_absent(s, "b");

    object_meta soon = object_meta_default(s, 0);
    soon.expire_ms = (uint64_t)store_now_ms(s) + 10 * SECOND_MS;
    assert_int_equal(store_put(s, keys[0], &soon, chr_str("for a while"), NULL), CHR_OK);
    assert_often(s, "a", "for a while");
    env_sim_set_wall(f->sim, SIM_WALL_NS + UINT64_C(11) * 1000000000);
    assert_absent(s, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_watcher_hears_of_each_change_and_holds_it_back),
        ON(on_sim, what_is_read_often_is_as_fresh_as_the_rest),
        ON(on_disk, no_increment_of_many_threads_is_lost),
        ON(on_disk, no_reader_sees_an_old_version_after_a_new_one),
        ON(on_disk, readers_see_transfers_between_keys_whole),
        ON(on_disk, a_value_in_chunks_is_read_as_of_one_moment),
        ON(on_disk, writers_wait_for_watchers_and_nobody_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
