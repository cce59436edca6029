/* Opening and closing. */
#include "object/store_internal.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    FORMAT = 1,
    META_BYTES = 4 + 8,
    BUFFER_KEPT = 2 * CHUNK_BYTES,
    HOT_SHARE = 4, /* of the cache: one part in so many is for records that are read often */
};

int64_t store_now_ns(store *s) { return (int64_t)env_wall_ns(s->e); }
int64_t store_now_ms(store *s) { return (int64_t)(env_wall_ns(s->e) / 1000000); }
db     *store_db(store *s) { return s->d; }

object_meta object_meta_default(store *s, int64_t now_ns)
{
    const record_defaults *defaults = &s->defaults[OBJECT_KEY];
    int64_t                now = now_ns ? now_ns : store_now_ns(s);
    return (object_meta){ .mode = defaults->mode,
                          .uid = defaults->uid,
                          .gid = defaults->gid,
                          .atime_ns = now,
                          .mtime_ns = now,
                          .ctime_ns = now };
}

/* ---- the record of the store, and big ids ---- */

static chr_status write_meta(store *s, uint64_t ids_end)
{
    char  value[META_BYTES];
    batch b = { 0 };
    put_u32(value, FORMAT);
    put_u64(value + 4, ids_end);
    chr_status st = batch_put(&b, space_start(SPACE_META), chr_bytes(value, sizeof value));
    if (chr_ok(st)) st = db_apply(s->d, &b, NULL);
    batch_free(&b);
    return st;
}

chr_status big_new_id(store *s, uint64_t *id)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&s->id_lock);
    /* The log keeps order: whoever finds a record with an id also finds that the id was taken. */
    if (s->next_id == s->ids_end && chr_ok(st = write_meta(s, s->ids_end + ID_BLOCK))) s->ids_end += ID_BLOCK;
    if (chr_ok(st)) *id = s->next_id++;
    pthread_mutex_unlock(&s->id_lock);
    return st;
}

typedef struct meta_found {
    uint32_t format;
    uint64_t ids_end;
    bool     malformed;
} meta_found;

static void visit_meta(void *arg, slice value)
{
    meta_found *found = arg;
    reader      r = reader_of(value);
    found->format = read_u32(&r);
    found->ids_end = read_u64(&r);
    found->malformed = r.failed || reader_left(&r);
}

static chr_status is_empty(store *s, bool *empty)
{
    db_iter   *it;
    chr_status st = db_iter_new(s->d, NULL, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it);
    if (!chr_ok(st)) return st;
    db_iter_first(it);
    *empty = !db_iter_valid(it);
    st = db_iter_status(it);
    db_iter_free(it);
    return st;
}

static chr_status load_meta(store *s)
{
    meta_found found = { 0 };
    chr_status st = db_get(s->d, NULL, space_start(SPACE_META), visit_meta, &found, NULL);
    if (st == CHR_NOT_FOUND) {
        bool empty = false;
        st = is_empty(s, &empty);
        if (!chr_ok(st)) return st;
        if (!empty) return chr_fail(CHR_CORRUPT, "%s has keys but no record of the store's format", db_dir(s->d));
        s->next_id = s->ids_end = 1;
        return s->read_only ? CHR_OK : write_meta(s, 1);
    }
    if (!chr_ok(st)) return st;
    if (found.malformed) return chr_fail(CHR_CORRUPT, "%s has a malformed record of the store's format", db_dir(s->d));
    if (found.format != FORMAT)
        return chr_fail(CHR_INVALID, "%s has objects of format %u; this program knows format %d", db_dir(s->d),
                        found.format, FORMAT);
    s->next_id = s->ids_end = found.ids_end;
    return CHR_OK;
}

/* ---- what is known of big values ---- */

typedef chr_status each_fn(store *s, slice key, slice value);

static chr_status each_in(store *s, key_space space, each_fn *fn)
{
    db_iter   *it;
    chr_status st = db_iter_new(s->d, NULL, space_start(space), space_start(space + 1), &it);
    if (!chr_ok(st)) return st;
    for (db_iter_first(it); chr_ok(st) && db_iter_valid(it); db_iter_next(it)) {
        slice value;
        if (chr_ok(st = db_iter_value(it, &value))) st = fn(s, key_of_engine(db_iter_key(it)), value);
    }
    if (chr_ok(st)) st = db_iter_status(it);
    db_iter_free(it);
    return st;
}

static chr_status note_big(store *s, slice key, slice value)
{
    reader r = reader_of(value);
    read_u64(&r);
    uint64_t expire_ms = read_u64(&r);
    if (r.failed || reader_left(&r))
        return chr_fail(CHR_CORRUPT, "%s has a malformed registration of a big value", db_dir(s->d));
    if (expire_ms) expire_note(s, expire_ms);
    return stripes_add_big(&s->locks, key_hash(s, key)) ? CHR_OK : chr_nomem();
}

static chr_status discard_pending(store *s, slice key, slice value)
{
    (void)value;
    if (key.len != 8) return chr_fail(CHR_CORRUPT, "%s has a malformed mark of a big value", db_dir(s->d));
    big_discard(s, get_be64(key.data));
    return CHR_OK;
}

chr_status store_open(const char *dir, const store_options *options, store **out)
{
    store *s = aligned_alloc(_Alignof(store), sizeof *s);
    if (!s) return chr_nomem();
    memset(s, 0, sizeof *s);
    s->e = options->env ? options->env : env_posix();
    s->read_only = options->chr.read_only;
    s->hash_seed = env_random(s->e);
    s->defaults[OBJECT_KEY] = (record_defaults){ S_IFREG | 0644, getuid(), getgid() };
    s->defaults[OBJECT_DIR] = (record_defaults){ S_IFDIR | 0755, getuid(), getgid() };
    atomic_init(&s->sweep_at_ms, UINT64_MAX);
    stripes_init(&s->locks);
    pthread_mutex_init(&s->id_lock, NULL);
    pthread_mutex_init(&s->sweep_lock, NULL);

    size_t for_hot = options->keeps_hot ? options->chr.cache_bytes / HOT_SHARE : 0;
    s->often = hot_new(for_hot);

    db_options of_db = { .env = s->e,
                         .dir = dir,
                         .chr = options->chr,
                         .drop = expire_drop,
                         .drop_arg = s,
                         .inline_work = options->inline_work };
    if (s->often) of_db.chr.cache_bytes -= for_hot;
    chr_status st = db_open(&of_db, &s->d);
    if (!chr_ok(st)) goto free_store;
    st = watches_init(&s->watching, s->d);
    if (!chr_ok(st)) goto close_db;
    st = load_meta(s);
    if (chr_ok(st)) st = each_in(s, SPACE_BIG, note_big);
    if (chr_ok(st) && !s->read_only) st = each_in(s, SPACE_PENDING, discard_pending);
    if (!chr_ok(st)) goto free_watches;
    *out = s;
    return CHR_OK;

free_watches:
    watches_free(&s->watching);
close_db : {
    buf why = { 0 }; /* closing may have things to say too */
    buf_append(&why, chr_message(), strlen(chr_message()) + 1);
    db_close(s->d);
    if (why.data) chr_fail(st, "%s", why.data);
    chr_buf_free(&why);
}
free_store:
    hot_free(s->often);
    stripes_free(&s->locks);
    pthread_mutex_destroy(&s->id_lock);
    pthread_mutex_destroy(&s->sweep_lock);
    chr_buf_free(&s->undiscarded);
    free(s);
    return st;
}

static void txn_free(txn *t)
{
    if (!t) return;
    staging_free(&t->changes);
    chr_buf_free(&t->failure);
    chr_buf_free(&t->raw);
    chr_buf_free(&t->other);
    chr_buf_free(&t->head);
    chr_buf_free(&t->ranges);
    free(t->ahead);
    free(t->chunk);
    free(t);
}

chr_status chr_close(chr_store *s)
{
    if (!s) return CHR_OK;
    watches_free(&s->watching);
    chr_status st = db_close(s->d);
    hot_free(s->often);
    for (int i = 0; i < TXN_SPARES; i++) txn_free(atomic_load_explicit(&s->spares[i], memory_order_relaxed));
    stripes_free(&s->locks);
    pthread_mutex_destroy(&s->id_lock);
    pthread_mutex_destroy(&s->sweep_lock);
    chr_buf_free(&s->sweep_from);
    chr_buf_free(&s->undiscarded);
    free(s);
    return st;
}

/* ---- transactions kept for reuse ---- */

/* Threads spread over the spares, so that each mostly gets back the one it gave. */
static _Atomic(txn *) *spare_of_thread(store *s)
{
    static _Atomic(uint32_t)      threads;
    static _Thread_local uint32_t ordinal;
    if (!ordinal) ordinal = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % TXN_SPARES + 1;
    return &s->spares[ordinal - 1];
}

txn *txn_take(store *s)
{
    txn *t = atomic_exchange_explicit(spare_of_thread(s), NULL, memory_order_acquire);
    if (!t) t = calloc(1, sizeof *t);
    if (t) t->s = s;
    return t;
}

static void shrink(buf *b)
{
    if (b->cap > BUFFER_KEPT) chr_buf_free(b);
    b->len = 0;
}

void txn_give_back(txn *t)
{
    store *s = t->s;
    staging_clear(&t->changes);
    shrink(&t->raw);
    shrink(&t->other);
    shrink(&t->head);
    shrink(&t->ranges);
    shrink(&t->failure);
    free(t->ahead);
    t->ahead = NULL;
    t->ahead_count = t->big_changes = 0;
    t->origin = t->cause = NULL;
    t->expires = false;
    t->held = (stripe_set){ 0 };
    t->stripe_count = 0;
    t->seen = 0;
    t->failed = CHR_OK;
    txn_free(atomic_exchange_explicit(spare_of_thread(s), t, memory_order_acq_rel));
}
