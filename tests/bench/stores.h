/* Three ordered stores behind one face, so that a workload is written once: Chronos, RocksDB and LevelDB.
 * All functions end the process with a sentence if the store fails. One cursor belongs to one thread. */
#ifndef CHR_BENCH_STORES_H
#define CHR_BENCH_STORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 16 };

typedef struct store_settings {
    bool   sync; /* every write is on the disk when it returns */
    size_t cache_bytes, memtable_bytes;
} store_settings;

typedef struct store_face {
    const char *name;
    void *(*open)(const char *dir, const store_settings *settings);
    void (*close)(void *store);
    void (*put)(void *store, const char *key, const char *value, size_t len);
    size_t (*get)(void *store, const char *key); /* the value's length, each byte of it copied out; 0: no such key */
    void (*flush)(void *store);                  /* the memtable to a table, where the store can be asked for that */
    void *(*cursor)(void *store);
    void (*cursor_free)(void *cursor);
    void (*first)(void *cursor);
    void (*last)(void *cursor);
    void (*seek)(void *cursor, const char *key);
    bool (*entry)(void *cursor, size_t *value_len); /* false: at the end */
    void (*next)(void *cursor);
    void (*prev)(void *cursor);
} store_face;

enum { STORES = 3 };
extern const store_face stores[STORES]; /* Chronos first */

/* Numbers that look random; the same ones every time. */
static inline uint64_t scramble(uint64_t i)
{
    i = (i ^ i >> 31) * UINT64_C(0x7fb5d329728ea185);
    i = (i ^ i >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return i ^ i >> 33;
}
/* Decimal, with leading zeroes. */
static inline void key_of(char to[KEY_BYTES], uint64_t i)
{
    for (int k = KEY_BYTES - 1; k >= 0; k--, i /= 10) to[k] = (char)('0' + i % 10);
}

__attribute__((noreturn)) void die(const char *what, const char *why);

#endif
