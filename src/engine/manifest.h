/* The manifest: the history of version edits, from which opening rebuilds the version. Format: FORMAT.md, "Manifest".
 *
 * An edit is in force once it is synced; only then may the files that it replaces be reused or removed. A torn edit
 * at the end was never in force. CURRENT names the manifest in use and is replaced atomically.
 *
 * Threads: one at a time. A failed write or sync is final for the manifest: the store becomes read-only. */
#ifndef CHR_ENGINE_MANIFEST_H
#define CHR_ENGINE_MANIFEST_H

#include "engine/version.h"

typedef struct manifest manifest;

/* Numbers that recovery starts from. */
typedef struct manifest_state {
    uint64_t   manifest_no;
    uint64_t   next_file_no; /* above every number that the manifest names */
    uint64_t   log_no;
    uint64_t   flushed_seq;
    named_list named; /* whoever reads it frees it */
} manifest_state;

/* Called for each table of the final version, after all edits were read. */
typedef chr_status manifest_table_fn(void *arg, uint32_t level, const table_info *info);
/* Reads the manifest that CURRENT names. CHR_NOT_FOUND: there is no CURRENT. */
chr_status manifest_read(env *e, const char *dir, manifest_state *state, manifest_table_fn *fn, void *arg);
/* The same over a manifest's bytes; for the fuzzer. */
chr_status manifest_parse(const char *path, uint64_t no, slice contents, manifest_state *state, manifest_table_fn *fn,
                          void *arg);

/* A new manifest that begins with the whole of `v`, put in force by CURRENT. */
chr_status manifest_create(env *e, const char *dir, uint64_t no, const version *v, uint64_t log_no,
                           uint64_t flushed_seq, const named_list *named, manifest **out);
chr_status manifest_append(manifest *m, const version_edit *edit); /* returns once durable */
uint64_t   manifest_bytes(const manifest *m);
uint64_t   manifest_no(const manifest *m);
void       manifest_free(manifest *m);

#endif
