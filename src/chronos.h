/* chronos.h: the public C API of Chronos, a durable, ordered key-value store.
 *
 * This is the only header that is installed. Link with -lchronos.
 *
 * Keys and values are any bytes; a key has at most CHR_KEY_MAX of them (none at all is legal), a value at
 * most CHR_VALUE_MAX. A program that uses this header sees the same keys as TCP clients and the mount do.
 *
 * Threads:   every function may be called from any thread at the same time, except that one chr_iter, one
 *            chr_batch or one chr_buf belongs to one thread at a time, and that chr_close comes last.
 * Errors:    functions return a chr_status. CHR_OK is 0. For every other status chr_message() gives the
 *            calling thread a sentence for a person, naming file and offset where there are any.
 * Ownership: slices are borrowed for the call only. What comes back in a chr_buf belongs to the caller.
 * Durability: see chr_sync_mode. When a write returns CHR_OK it is as durable as the mode promises. */
#ifndef CHRONOS_H
#define CHRONOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHR_VERSION "0.1.0"
#define CHR_KEY_MAX 65535u                   /* bytes */
#define CHR_VALUE_MAX (512u * 1024u * 1024u) /* bytes */
#define CHR_API __attribute__((visibility("default")))

typedef enum chr_status {
    CHR_OK = 0,
    CHR_NOT_FOUND, /* no such key, file or name */
    CHR_EXISTS,    /* a condition such as "only if absent" was not met */
    CHR_INVALID,   /* an argument is not acceptable; nothing was changed */
    CHR_TOO_BIG,   /* a key or a value is over its limit; nothing was changed */
    CHR_NO_MEMORY,
    CHR_NO_SPACE,  /* the disk is full: nothing was changed, try again when there is space */
    CHR_IO,        /* the operating system reported an error */
    CHR_CORRUPT,   /* a file does not hold what was written to it */
    CHR_READ_ONLY, /* an earlier failed write or sync made the store read-only until it is reopened */
    CHR_LOCKED,    /* another process has the store open */
    CHR_CLOSING,   /* the store is being closed */
} chr_status;

/* The name of a status, such as "corrupt". Never NULL. */
CHR_API const char *chr_status_name(chr_status status);
/* The sentence that belongs to the calling thread's last status other than CHR_OK. Never NULL; valid until
 * the thread's next call. */
CHR_API const char *chr_message(void);

/* A borrowed run of bytes. */
typedef struct chr_slice {
    const char *data;
    size_t      len;
} chr_slice;

static inline chr_slice chr_bytes(const void *data, size_t len)
{
    chr_slice s = { (const char *)data, len };
    return s;
}
static inline chr_slice chr_str(const char *text) { return chr_bytes(text, strlen(text)); }

/* A growing buffer. Start with `chr_buf b = {0}`, use it for as many calls as you like, free it once. */
typedef struct chr_buf {
    char  *data;
    size_t len;
    size_t cap;
} chr_buf;
CHR_API void chr_buf_free(chr_buf *buf);

typedef enum chr_sync_mode {
    CHR_SYNC_ALWAYS = 0, /* a write returns after fdatasync: survives a power cut */
    CHR_SYNC_INTERVAL,   /* a write returns when the kernel has it; fdatasync at most sync_interval_ms later */
    CHR_SYNC_NONE,       /* a write returns when the kernel has it, which decides when it reaches the disk */
} chr_sync_mode;

typedef enum chr_compression { CHR_COMPRESS_NONE = 0, CHR_COMPRESS_LZ4 = 1, CHR_COMPRESS_ZSTD = 2 } chr_compression;

/* Start from chr_options_default() and change what you know better. */
typedef struct chr_options {
    chr_sync_mode   sync;               /* CHR_SYNC_ALWAYS */
    uint32_t        sync_interval_ms;   /* for CHR_SYNC_INTERVAL; 1000 */
    size_t          cache_bytes;        /* block cache; 128 MiB */
    size_t          memtable_bytes;     /* size at which a memtable is flushed to a table; 32 MiB, at most 1 GiB */
    size_t          block_bytes;        /* of a data block before compression; 8 KiB */
    uint32_t        filter_bits;        /* per key; 10; 0 switches filters off */
    chr_compression compression;        /* of all levels between the first and the last; CHR_COMPRESS_LZ4 */
    chr_compression bottom_compression; /* of the last level; CHR_COMPRESS_LZ4 */
    size_t          blob_bytes;         /* values of at least this size lie apart from their keys; 16 KiB; 0: none */
    bool            create_if_missing;  /* true */
    bool            read_only;          /* false; true opens without changing a byte */
} chr_options;
CHR_API chr_options chr_options_default(void);

typedef struct chr_store    chr_store;
typedef struct chr_batch    chr_batch;
typedef struct chr_iter     chr_iter;
typedef struct chr_snapshot chr_snapshot;

/* Opens the store in directory `dir`, creating it if need be. `options` may be NULL.
 * CHR_LOCKED: another process has it; the message gives its pid. CHR_CORRUPT: see chr_message(), then run
 * `chronos check`. */
CHR_API chr_status chr_open(const char *dir, const chr_options *options, chr_store **store);
/* Waits for what is under way, syncs and closes. Iterators and snapshots must have been freed. The store is
 * gone whatever is returned. */
CHR_API chr_status chr_close(chr_store *store);

CHR_API chr_status chr_put(chr_store *store, chr_slice key, chr_slice value);
/* Replaces the contents of `value`. CHR_NOT_FOUND leaves it empty. */
CHR_API chr_status chr_get(chr_store *store, chr_slice key, chr_buf *value);
/* CHR_OK also when there was no such key. */
CHR_API chr_status chr_delete(chr_store *store, chr_slice key);
/* Deletes every key k with start <= k < end. An `end` whose data is NULL means "to the last key". */
CHR_API chr_status chr_delete_range(chr_store *store, chr_slice start, chr_slice end);

/* A batch is applied whole or not at all, whatever happens, and no reader sees half of it. */
CHR_API chr_batch *chr_batch_new(void); /* NULL: no memory */
CHR_API void       chr_batch_free(chr_batch *batch);
CHR_API void       chr_batch_clear(chr_batch *batch);
CHR_API chr_status chr_batch_put(chr_batch *batch, chr_slice key, chr_slice value);
CHR_API chr_status chr_batch_delete(chr_batch *batch, chr_slice key);
CHR_API chr_status chr_write(chr_store *store, chr_batch *batch);

/* A snapshot is the store as it was at one moment; it costs next to nothing. */
CHR_API chr_status chr_snapshot_new(chr_store *store, chr_snapshot **snapshot);
CHR_API void       chr_snapshot_free(chr_snapshot *snapshot);
CHR_API chr_status chr_get_at(chr_store *store, const chr_snapshot *snapshot, chr_slice key, chr_buf *value);

/* An iterator walks keys in byte order over one moment of the store: `snapshot`'s, or now if that is NULL.
 * `lower` (inclusive) and `upper` (exclusive) bound it; a NULL data pointer means no bound. It begins
 * unpositioned: seek first. Key and value stay valid until the iterator moves. */
CHR_API chr_status chr_iter_new(chr_store *store, const chr_snapshot *snapshot, chr_slice lower, chr_slice upper,
                                chr_iter **iter);
CHR_API void       chr_iter_free(chr_iter *iter);
CHR_API void       chr_iter_first(chr_iter *iter);
CHR_API void       chr_iter_last(chr_iter *iter);
CHR_API void       chr_iter_seek(chr_iter *iter, chr_slice key);      /* to the first key >= key */
CHR_API void       chr_iter_seek_back(chr_iter *iter, chr_slice key); /* to the last key <= key */
CHR_API void       chr_iter_next(chr_iter *iter);
CHR_API void       chr_iter_prev(chr_iter *iter);
CHR_API bool       chr_iter_valid(const chr_iter *iter);
CHR_API chr_slice  chr_iter_key(const chr_iter *iter);
CHR_API chr_status chr_iter_value(chr_iter *iter, chr_slice *value);
/* Why an iterator is not valid: CHR_OK at either end, anything else is an error. */
CHR_API chr_status chr_iter_status(const chr_iter *iter);

/* Makes everything written so far durable, whatever the sync mode. */
CHR_API chr_status chr_sync(chr_store *store);
/* Writes the memtable out to a table and waits for it. */
CHR_API chr_status chr_flush(chr_store *store);
/* Compacts everything to the last level and waits for it. */
CHR_API chr_status chr_compact(chr_store *store);
/* Makes a consistent, openable copy of the store in the new directory `dir`, by hard links where possible. */
CHR_API chr_status chr_checkpoint(chr_store *store, const char *dir);

typedef struct chr_stats {
    uint64_t keys_estimate; /* entries, counting shadowed ones once too often */
    uint64_t disk_bytes;    /* of tables and blob files */
    uint64_t wal_bytes;     /* written to the log since opening */
    uint64_t memtable_bytes;
    uint64_t cache_bytes;
    uint64_t cache_hits, cache_misses;
    uint64_t wal_syncs, wal_sync_us; /* and the time that they took */
    uint64_t flushes, compactions;
    uint64_t compaction_bytes_read, compaction_bytes_written, flush_bytes_written;
    uint64_t user_bytes_written;
    uint64_t stall_us; /* time that writers were slowed down or stopped */
    uint32_t level_files[8];
    uint64_t level_bytes[8];
    uint32_t blob_files;                  /* hold big values, apart from their keys */
    uint64_t blob_bytes, blob_live_bytes; /* in them: all, and what tables still refer to */
    bool     read_only;                   /* after a failed write or sync */
} chr_stats;
CHR_API void chr_get_stats(chr_store *store, chr_stats *stats);
/* Named texts for people and tools: "stats", "levels", "error". CHR_NOT_FOUND: no such property. */
CHR_API chr_status chr_property(chr_store *store, const char *name, chr_buf *text);

#ifdef __cplusplus
}
#endif
#endif
