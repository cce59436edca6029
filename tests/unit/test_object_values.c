/* What is special about single objects: values in chunks, expiry, limits, directories, malformed records. */
#include "objects.h"

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
    snprintf(zeroes, 6, "small");
    snprintf(zeroes + 3 * CHUNK_BYTES + 10, 4, "far");
    assert_value(s, "file", chr_bytes(zeroes, 3 * CHUNK_BYTES + 13));
    assert_int_equal(internal_keys(s, 1), 2); /* holes take nothing */

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

static void a_transaction_reads_parts_as_it_has_changed_them(void **state)
{
    fixture *f = *state;
    slice    key = chr_str("file");
    char    *data = pattern(3 * CHUNK_BYTES + 100, 5), *got = malloc(3 * CHUNK_BYTES + 100);
    assert_non_null(got);
    for (size_t size = 100; size <= 3 * CHUNK_BYTES + 100; size += 3 * CHUNK_BYTES) { /* in a record, in chunks */
        object_meta meta;
        size_t      n = 77;
        put(f->s, "file", chr_bytes(data, size));
        txn *t = begin(f->s, key);
        memcpy(data + size / 2, "changed", 7);
        assert_int_equal(txn_write(t, key, size / 2, chr_str("changed")), CHR_OK);
        const size_t from[] = { 0, 1, size / 2, size - 3, size, size + 1, SIZE_MAX };
        for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
            size_t there = from[i] < size ? size - from[i] : 0;
            assert_int_equal(txn_read(t, key, from[i], got, size, &n, &meta), CHR_OK);
            assert_int_equal(n, there);
            assert_int_equal(meta.size, size);
            if (there) assert_memory_equal(got, data + from[i], there);
        }
        assert_int_equal(txn_read(t, key, 3, got, 2, &n, NULL), CHR_OK);
        assert_int_equal(n, 2);
        assert_memory_equal(got, data + 3, 2);
        assert_int_equal(txn_delete(t, OBJECT_KEY, key, NULL), CHR_OK);
        assert_int_equal(txn_read(t, key, 0, got, 2, &n, NULL), CHR_NOT_FOUND);
        txn_abort(t);
    }
    free(data);
    free(got);
}

static void a_very_big_value_is_written_ahead_and_leaves_nothing_when_it_goes(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    size_t   len = (16u << 20) + 12345; /* more chunks than are deleted one by one */
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

static void punch(store *s, slice key, uint64_t offset, uint64_t len)
{
    txn *t = txn_begin(s, &key, 1);
    assert_non_null(t);
    assert_int_equal(txn_punch(t, key, offset, len), CHR_OK);
    commit(t);
}

static void assert_run(store *s, slice key, uint64_t offset, uint64_t start, uint64_t end)
{
    uint64_t a, b;
    assert_int_equal(store_data(s, NULL, key, offset, &a, &b), CHR_OK);
    assert_int_equal(a, start);
    assert_int_equal(b, end);
}

static void a_hole_takes_no_room_however_big(void **state)
{
    fixture       *f = *state;
    store         *s = f->s;
    const uint64_t chunk = CHUNK_BYTES, far = OBJECT_SIZE_MAX - 10;
    slice          key = chr_str("key");
    size_t         len = 600 * (size_t)CHUNK_BYTES;
    char          *data = pattern(len, 6);
    put(s, "key", chr_bytes(data, len));
    punch(s, key, 10, 580 * chunk);
    assert_int_equal(internal_keys(s, 1), 21);
    assert_run(s, key, 0, 0, 10);
    assert_run(s, key, 10, 580 * chunk, 600 * chunk); /* the zeroes of the chunk in which it ends are written */
    memset(data + 10, 0, 580 * chunk);
    assert_value(s, "key", chr_bytes(data, len));
    punch(s, key, 590 * chunk, UINT64_MAX);
    assert_int_equal(internal_keys(s, 1), 11);
    assert_run(s, key, 580 * chunk, 580 * chunk, 590 * chunk);
    assert_run(s, key, 590 * chunk, 600 * chunk, 600 * chunk);

    txn *t = txn_begin(s, &key, 1);
    assert_non_null(t);
    assert_int_equal(txn_write(t, key, far, chr_str("0123456789")), CHR_OK);
    commit(t);
    assert_run(s, key, 590 * chunk, far / chunk * chunk, OBJECT_SIZE_MAX);
    punch(s, key, 0, far);
    assert_run(s, key, 0, far / chunk * chunk, OBJECT_SIZE_MAX);
    punch(s, key, 0, OBJECT_SIZE_MAX);
    assert_int_equal(internal_keys(s, 1), 0);
    assert_run(s, key, 0, OBJECT_SIZE_MAX, OBJECT_SIZE_MAX);
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
    chr_snapshot_free(snapshot); /* the iterator outlives it */
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

static void an_iterator_has_one_moment_for_expiry(void **state)
{
    fixture    *f = *state;
    const slice none = chr_bytes(NULL, 0);
    store_iter *before, *after;
    put_expiring(f->s, "soon", chr_str("x"), SIM_WALL_NS / 1000000 + SECOND_MS);
    assert_int_equal(store_iter_new(f->s, NULL, OBJECT_KEY, none, none, &before), CHR_OK);
    env_sim_set_wall(f->sim, SIM_WALL_NS + UINT64_C(2000000000));
    assert_int_equal(store_iter_new(f->s, NULL, OBJECT_KEY, none, none, &after), CHR_OK);
    chr_iter_first(before);
    assert_true(chr_iter_valid(before));
    chr_iter_last(before);
    assert_true(chr_iter_valid(before));
    chr_iter_first(after);
    assert_false(chr_iter_valid(after));
    chr_iter_free(before);
    chr_iter_free(after);
}

static void the_chunks_of_what_has_expired_are_swept(void **state)
{
    fixture *f = *state;
    store   *s = f->s;
    char    *data = pattern(3 * CHUNK_BYTES, 6), key[16];
    uint64_t soon = (uint64_t)store_now_ms(s) + SECOND_MS;
    for (int i = 0; i < 300; i++) { /* more than one step of the sweep */
        snprintf(key, sizeof key, "big%03d", i);
        put_expiring(s, key, chr_bytes(data, CHUNK_BYTES + 1), i % 20 ? soon + 3600 * SECOND_MS : soon);
    }
    assert_int_equal(internal_keys(s, 3), 300);
    reopen(f); /* what is known of expiry comes back from the registrations */
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
    fixture *f = *state;
    store   *s = f->s;
    db_iter *it;
    size_t   left = 0;
    char     key[16];
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
    commit(t); /* what was refused does not spoil the rest */
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
    assert_int_equal(store_get_xattrs(s, NULL, OBJECT_DIR, ab, &xattrs), CHR_OK);
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

/* ---- big values that nobody reads ---- */

typedef struct damage {
    fixture *f;
    unsigned files;
} damage;

/* Every value in a blob file; not its header. */
static chr_status damage_blobs(void *arg, const char *name)
{
    damage *x = arg;
    char    path[512];
    buf     all = { 0 };
    size_t  len = strlen(name);
    if (len < 5 || strcmp(name + len - 5, ".blob") != 0) return CHR_OK;
    snprintf(path, sizeof path, "%s/%s", x->f->dir, name);
    assert_int_equal(env_read_file(x->f->sim, path, &all), CHR_OK);
    for (size_t at = 4096 + 512; at < all.len; at += 512)
        assert_int_equal(env_sim_flip(x->f->sim, path, at, 1), CHR_OK);
    chr_buf_free(&all);
    x->files++;
    return CHR_OK;
}

static void what_and_how_long_a_big_value_is_can_be_told_without_reading_it(void **state)
{
    fixture *f = *state;
    enum { LEN = 40 * KIB };
    char       *data = pattern(2 * CHUNK_BYTES, 1);
    buf         value = { 0 };
    object_meta meta;
    store_iter *it;
    const struct {
        const char *key;
        size_t      len, xattrs;
        bool        needs_all; /* its list of attributes makes the record big, and the length is behind it */
    } each[] = { { "a", LEN, 0, false },
                 { "b", LEN, 300, false },
                 { "c", 2 * CHUNK_BYTES, 20 * KIB, true },
                 { "d", 5, 0, false } };
    for (size_t i = 0; i < 4; i++) {
        txn *t = begin(f->s, chr_str(each[i].key));
        assert_int_equal(txn_put(t, chr_str(each[i].key), NULL, chr_bytes(data, each[i].len)), CHR_OK);
        if (each[i].xattrs)
            assert_int_equal(txn_set_xattrs(t, OBJECT_KEY, chr_str(each[i].key), chr_bytes(data, each[i].xattrs)),
                             CHR_OK);
        commit(t);
    }
    assert_int_equal(chr_flush(f->s), CHR_OK);
    for (int damaged = 0; damaged < 2; damaged++) {
        damage x = { .f = f };
        reopen(f);
        if (damaged) assert_int_equal(env_list(f->sim, f->dir, damage_blobs, &x), CHR_OK);
        assert_int_equal(x.files > 0, damaged);
        assert_int_equal(store_iter_new(f->s, NULL, OBJECT_KEY, none(), none(), &it), CHR_OK);
        chr_iter_first(it);
        for (size_t i = 0; i < 4; i++) {
            slice      key = chr_str(each[i].key), all;
            chr_status whole = damaged && i < 3 ? CHR_CORRUPT : CHR_OK,
                       head = damaged && each[i].needs_all ? CHR_CORRUPT : CHR_OK;
            assert_int_equal(store_stat(f->s, NULL, OBJECT_KEY, key, &meta, NULL), head);
            if (chr_ok(head)) assert_int_equal(meta.size, each[i].len);
            if (chr_ok(head)) assert_int_equal(meta.has_xattrs, each[i].xattrs > 0);
            assert_int_equal(store_get(f->s, NULL, key, &value, NULL, NULL), whole);
            assert_true(chr_iter_valid(it) && slice_equal(chr_iter_key(it), key));
            assert_int_equal(chr_iter_status(it), head);
            assert_int_equal(store_iter_meta(it) != NULL, chr_ok(head));
            if (chr_ok(head)) assert_int_equal(store_iter_meta(it)->size, each[i].len);
            assert_int_equal(chr_iter_value(it, &all), whole);
            if (chr_ok(whole)) assert_true(slice_equal(all, chr_bytes(data, each[i].len)));
            chr_iter_next(it);
        }
        assert_false(chr_iter_valid(it));
        chr_iter_free(it);
    }
    chr_buf_free(&value);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_value_grows_over_holes_and_shrinks_without_a_trace),
        ON_BOTH(a_transaction_reads_parts_as_it_has_changed_them),
        ON_BOTH(a_very_big_value_is_written_ahead_and_leaves_nothing_when_it_goes),
        ON_BOTH(chunks_that_a_crash_left_without_a_record_are_gone_after_opening),
        ON_BOTH(a_move_takes_a_big_value_along_without_touching_its_chunks),
        ON_BOTH(a_hole_takes_no_room_however_big),
        ON_BOTH(a_snapshot_and_an_iterator_keep_the_chunks_of_their_moment),
        ON_BOTH(an_expired_object_is_absent_for_everyone),
        ON(on_sim, an_iterator_has_one_moment_for_expiry),
        ON(on_sim, the_chunks_of_what_has_expired_are_swept),
        ON_BOTH(compaction_drops_what_has_expired),
        ON_BOTH(what_is_over_a_limit_changes_nothing),
        ON_BOTH(a_transaction_that_changed_nothing_tells_what_it_saw),
        ON_BOTH(directories_are_apart_from_keys),
        ON_BOTH(a_malformed_record_is_an_error_for_its_key_only),
        ON_BOTH(iterators_keep_to_their_bounds_around_the_internal_keys),
        ON(on_sim, what_and_how_long_a_big_value_is_can_be_told_without_reading_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
