/* The write-ahead log: every batch goes here before anyone is told that it was written. Format: FORMAT.md, "Log".
 *
 * A log is a chain of segment files, one for each memtable. Segments are extended in steps by writing zeroes ahead
 * of the data, and recycled once their memtable is in a table, so that overwriting changes no metadata and
 * fdatasync costs one device write. A log that is seldom synced is written by way of memory that is shared with the
 * file (env_put): then the kernel has a record as soon as it has been copied, without a system call.
 *
 * Three horizons, each a sequence number that only grows:
 *     appended >= written >= synced
 * wal_append copies a record into memory; wal_write gives it to the kernel (survives the process); wal_sync makes it
 * durable (survives a power cut). One write and one sync serve everybody who waits: whoever comes first does the work
 * for all records there are, the others wait for the result.
 *
 * Threads: wal_append and wal_rotate are for one thread at a time (the holder of the db's write lock); everything
 * else from any thread.
 * Errors: a failed write or sync is final: wal_failure from then on, horizons stay where they are. */
#ifndef CHR_ENGINE_WAL_H
#define CHR_ENGINE_WAL_H

#include "env/env.h"

typedef struct wal wal;

typedef void wal_progress_fn(void *arg); /* a horizon moved, or the log failed; called without locks of the log */

/* A log that starts with a new segment `no`, whose predecessor is `prev_no` (0: none). `last_seq` is the newest seq
 * of the store so far; all horizons start there. `often`: it will be written far more often than synced (env_put). */
chr_status wal_new(env *e, const char *dir, uint64_t no, uint64_t prev_no, uint64_t last_seq, bool often,
                   wal_progress_fn *progress, void *arg, wal **out);
/* Writes a seal, syncs and closes, unless the log has failed. Frees in any case. */
chr_status wal_close(wal *w);

/* Appends a batch whose first write has `first_seq` == appended + 1; *at is where in its segment the payload will be. CHR_NO_SPACE:
 * no room could be made on disk, nothing was appended, try again later. */
chr_status wal_append(wal *w, uint64_t first_seq, uint32_t count, slice payload, uint64_t *at);
chr_status wal_write(wal *w, uint64_t seq); /* returns once written >= seq */
chr_status wal_sync(wal *w, uint64_t seq);  /* returns once synced >= seq */
bool       wal_behind(const wal *w); /* so much is appended and not written that whoever appends should write first */
uint64_t   wal_written(const wal *w);
uint64_t   wal_synced(const wal *w);
chr_status wal_failure(wal *w); /* CHR_OK, or the failure with its message */
/* Makes the log fail with `st` and the thread's message: what it holds and what was made of it do not agree any more. */
chr_status wal_fail(wal *w, chr_status st);

/* Makes the next segment on disk in advance, durable with its name; wal_rotate then costs no I/O. Its number is taken from
 * *next_no at a moment when no other segment can come in between, so that numbers rise along the chain. */
chr_status wal_prepare(wal *w, _Atomic(uint64_t) *next_no);
bool       wal_prepared(const wal *w);
/* Seals the current segment and goes on in the prepared one. Where the sealed one ends; 0: there was no memory for a seal. */
uint64_t wal_rotate(wal *w);
uint64_t wal_segment_no(const wal *w);
/* Segments below `no` are not needed any more: keeps one for recycling, removes the others. */
void wal_release(wal *w, uint64_t no);
/* The segment, which was sealed before the last wal_sync of everything, belongs to the caller now: it is neither recycled nor removed. */
void wal_forget(wal *w, uint64_t no);

typedef struct wal_stats {
    uint64_t bytes, writes, syncs, sync_ns;
} wal_stats;
wal_stats wal_get_stats(const wal *w);

/* ---- recovery ---- */

/* `payload` is a batch as it was before it was packed (batch_pack.h). */
typedef chr_status wal_replay_fn(void *arg, uint64_t first_seq, uint32_t count, slice payload);
typedef struct wal_replay_result {
    uint64_t last_seq; /* of the last batch that was replayed; first_seq - 1 if there was none */
    uint64_t batches;
    uint64_t dropped_bytes; /* of a torn tail: written, perhaps in part, but never acknowledged as durable */
    bool     sealed;        /* the log was closed properly */
} wal_replay_result;
/* Replays segments nos[0..n), in order, the first batch being `first_seq`. nos[0] must be the segment that the
 * manifest names. A torn tail is cut off; damage to what was durable, or a missing segment, is CHR_CORRUPT. */
chr_status wal_replay(env *e, const char *dir, const uint64_t *nos, size_t n, uint64_t first_seq, wal_replay_fn *fn,
                      void *arg, wal_replay_result *result);
/* For repair: every intact batch of one segment, whatever lies between them. */
chr_status wal_salvage(env *e, const char *dir, uint64_t no, wal_replay_fn *fn, void *arg);
/* The rules of wal_replay over one segment's bytes in memory; for the fuzzer. */
chr_status wal_parse_segment(const char *path, slice contents, uint64_t no, uint64_t first_seq, wal_replay_fn *fn,
                             void *arg);

#endif
