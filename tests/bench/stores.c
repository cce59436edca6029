#include "stores.h"

#include "chronos.h"

#include <leveldb/c.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILTER_BITS = 10, BLOCK_BYTES = 8192, LEVELDB_BLOCK_BYTES = 4096 };

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, why);
    exit(1);
}

/* Where a value read ends up. */
static char *target(size_t len)
{
    static _Thread_local char  *memory;
    static _Thread_local size_t cap;
    if (cap < len && !(memory = realloc(memory, cap = len + 4096))) die("read", "no memory");
    return memory;
}

/* ---- Chronos ---- */

static void ours(chr_status st)
{
    if (st != CHR_OK) die("chronos", chr_message());
}
static void *chronos_open(const char *dir, const store_settings *settings)
{
    chr_options o = chr_options_default();
    chr_store  *s;
    o.sync = settings->sync ? CHR_SYNC_ALWAYS : CHR_SYNC_NONE;
    o.memtable_bytes = settings->memtable_bytes;
    o.cache_bytes = settings->cache_bytes;
    o.block_bytes = BLOCK_BYTES;
    o.filter_bits = FILTER_BITS;
    ours(chr_open(dir, &o, &s));
    return s;
}
static void chronos_close(void *s) { ours(chr_close(s)); }
static void chronos_put(void *s, const char *key, const char *value, size_t len)
{
    ours(chr_put(s, chr_bytes(key, KEY_BYTES), chr_bytes(value, len)));
}
static size_t chronos_get(void *s, const char *key)
{
    static _Thread_local chr_buf value;
    chr_status                   st = chr_get(s, chr_bytes(key, KEY_BYTES), &value);
    if (st != CHR_NOT_FOUND) ours(st);
    return value.len;
}
static void  chronos_flush(void *s) { ours(chr_flush(s)); }
static void *chronos_cursor(void *s)
{
    chr_iter *it;
    ours(chr_iter_new(s, NULL, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it));
    return it;
}
static void chronos_cursor_free(void *c) { chr_iter_free(c); }
static void chronos_first(void *c) { chr_iter_first(c); }
static void chronos_last(void *c) { chr_iter_last(c); }
static void chronos_seek(void *c, const char *key) { chr_iter_seek(c, chr_bytes(key, KEY_BYTES)); }
static bool chronos_entry(void *c, size_t *len)
{
    chr_slice value;
    if (!chr_iter_valid(c)) {
        ours(chr_iter_status(c));
        return false;
    }
    ours(chr_iter_value(c, &value));
    *len = value.len;
    return true;
}
static void chronos_next(void *c) { chr_iter_next(c); }
static void chronos_prev(void *c) { chr_iter_prev(c); }

/* ---- RocksDB ---- */

typedef struct rocks {
    rocksdb_t              *db;
    rocksdb_options_t      *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t  *read;
} rocks;

static void theirs(const char *who, const char *error)
{
    if (error) die(who, error);
}
static void *rocks_open(const char *dir, const store_settings *settings)
{
    rocks *r = calloc(1, sizeof *r);
    char  *error = NULL;
    if (!r) die("rocksdb", "no memory");
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    r->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(r->options, 1);
    rocksdb_options_set_write_buffer_size(r->options, settings->memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(r->options, 4);
    rocksdb_options_set_compression(r->options, rocksdb_lz4_compression);
    rocksdb_options_set_max_background_jobs(r->options, 2);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
    rocksdb_block_based_options_set_block_cache(t, rocksdb_cache_create_lru(settings->cache_bytes));
    rocksdb_block_based_options_set_block_size(t, BLOCK_BYTES);
    rocksdb_options_set_block_based_table_factory(r->options, t);
    r->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->write, settings->sync);
    r->read = rocksdb_readoptions_create();
    r->db = rocksdb_open(r->options, dir, &error);
    theirs("rocksdb", error);
    return r;
}
static void rocks_close(void *store)
{
    rocks *r = store;
    rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->write);
    rocksdb_readoptions_destroy(r->read);
    free(r);
}
static void rocks_put(void *store, const char *key, const char *value, size_t len)
{
    const rocks *r = store;
    char        *error = NULL;
    rocksdb_put(r->db, r->write, key, KEY_BYTES, value, len, &error);
    theirs("rocksdb", error);
}
static size_t rocks_get(void *store, const char *key)
{
    const rocks             *r = store;
    char                    *error = NULL;
    size_t                   len = 0;
    rocksdb_pinnableslice_t *p = rocksdb_get_pinned(r->db, r->read, key, KEY_BYTES, &error);
    theirs("rocksdb", error);
    if (!p) return 0;
    const char *value = rocksdb_pinnableslice_value(p, &len);
    memcpy(target(len), value, len);
    rocksdb_pinnableslice_destroy(p);
    return len;
}
static void rocks_flush(void *store)
{
    const rocks            *r = store;
    char                   *error = NULL;
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    rocksdb_flush(r->db, f, &error);
    rocksdb_flushoptions_destroy(f);
    theirs("rocksdb", error);
}
static void *rocks_cursor(void *store)
{
    const rocks *r = store;
    return rocksdb_create_iterator(r->db, r->read);
}
static void rocks_cursor_free(void *c) { rocksdb_iter_destroy(c); }
static void rocks_first(void *c) { rocksdb_iter_seek_to_first(c); }
static void rocks_last(void *c) { rocksdb_iter_seek_to_last(c); }
static void rocks_seek(void *c, const char *key) { rocksdb_iter_seek(c, key, KEY_BYTES); }
static bool rocks_entry(void *c, size_t *len)
{
    if (!rocksdb_iter_valid(c)) return false;
    rocksdb_iter_value(c, len);
    return true;
}
static void rocks_next(void *c) { rocksdb_iter_next(c); }
static void rocks_prev(void *c) { rocksdb_iter_prev(c); }

/* ---- LevelDB, which has no LZ4: it compresses with Snappy ---- */

typedef struct level {
    leveldb_t              *db;
    leveldb_options_t      *options;
    leveldb_cache_t        *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_writeoptions_t *write;
    leveldb_readoptions_t  *read;
} level;

static void *level_open(const char *dir, const store_settings *settings)
{
    level *l = calloc(1, sizeof *l);
    char  *error = NULL;
    if (!l) die("leveldb", "no memory");
    l->options = leveldb_options_create();
    l->cache = leveldb_cache_create_lru(settings->cache_bytes);
    l->filter = leveldb_filterpolicy_create_bloom(FILTER_BITS);
    leveldb_options_set_create_if_missing(l->options, 1);
    leveldb_options_set_write_buffer_size(l->options, settings->memtable_bytes);
    leveldb_options_set_cache(l->options, l->cache);
    leveldb_options_set_filter_policy(l->options, l->filter);
    leveldb_options_set_block_size(l->options, LEVELDB_BLOCK_BYTES);
    leveldb_options_set_compression(l->options, leveldb_snappy_compression);
    l->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(l->write, settings->sync);
    l->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(l->read, 1);
    l->db = leveldb_open(l->options, dir, &error);
    theirs("leveldb", error);
    return l;
}
static void level_close(void *store)
{
    level *l = store;
    leveldb_close(l->db);
    leveldb_options_destroy(l->options);
    leveldb_cache_destroy(l->cache);
    leveldb_filterpolicy_destroy(l->filter);
    leveldb_writeoptions_destroy(l->write);
    leveldb_readoptions_destroy(l->read);
    free(l);
}
static void level_put(void *store, const char *key, const char *value, size_t len)
{
    const level *l = store;
    char        *error = NULL;
    leveldb_put(l->db, l->write, key, KEY_BYTES, value, len, &error);
    theirs("leveldb", error);
}
static size_t level_get(void *store, const char *key)
{
    const level *l = store;
    char        *error = NULL;
    size_t       len = 0;
    char        *value = leveldb_get(l->db, l->read, key, KEY_BYTES, &len, &error);
    theirs("leveldb", error);
    leveldb_free(value);
    return len;
}
static void  level_flush(void *store) { (void)store; }
static void *level_cursor(void *store)
{
    const level *l = store;
    return leveldb_create_iterator(l->db, l->read);
}
static void level_cursor_free(void *c) { leveldb_iter_destroy(c); }
static void level_first(void *c) { leveldb_iter_seek_to_first(c); }
static void level_last(void *c) { leveldb_iter_seek_to_last(c); }
static void level_seek(void *c, const char *key) { leveldb_iter_seek(c, key, KEY_BYTES); }
static bool level_entry(void *c, size_t *len)
{
    if (!leveldb_iter_valid(c)) return false;
    leveldb_iter_value(c, len);
    return true;
}
static void level_next(void *c) { leveldb_iter_next(c); }
static void level_prev(void *c) { leveldb_iter_prev(c); }

const store_face stores[STORES] = {
    { "chronos", chronos_open, chronos_close, chronos_put, chronos_get, chronos_flush, chronos_cursor,
      chronos_cursor_free, chronos_first, chronos_last, chronos_seek, chronos_entry, chronos_next, chronos_prev },
    { "rocksdb", rocks_open, rocks_close, rocks_put, rocks_get, rocks_flush, rocks_cursor, rocks_cursor_free,
      rocks_first, rocks_last, rocks_seek, rocks_entry, rocks_next, rocks_prev },
    { "leveldb", level_open, level_close, level_put, level_get, level_flush, level_cursor, level_cursor_free,
      level_first, level_last, level_seek, level_entry, level_next, level_prev },
};
