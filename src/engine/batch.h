/* A batch: writes that become visible and durable together. Its bytes are the payload of a WAL record
 * (FORMAT.md, "Batch"): for each write u8 kind, varint key length, key, varint value length, value.
 * One thread at a time. */
#ifndef CHR_ENGINE_BATCH_H
#define CHR_ENGINE_BATCH_H

#include "engine/entry.h"

/* A batch is one WAL record and lies in memory whole. */
#define BATCH_BYTES_MAX (256u << 20)

typedef struct batch {
    buf      payload;
    uint32_t count;
} batch; /* starts as {0} */

void batch_free(batch *b);
void batch_clear(batch *b); /* keeps the memory */
/* CHR_TOO_BIG: the key is over ENGINE_KEY_MAX, the value over ENGINE_VALUE_MAX or the batch over BATCH_BYTES_MAX;
 * CHR_NO_MEMORY. Either leaves the batch as it was. */
chr_status batch_put(batch *b, slice key, slice value);
chr_status batch_delete(batch *b, slice key);
chr_status batch_delete_range(batch *b, slice start, slice end); /* [start, end); nothing if start >= end */
/* As batch_put, with a value of two parts, so that a caller need not join them first. */
chr_status batch_put2(batch *b, slice key, slice head, slice body);

/* Walks the writes of a payload, which may come from disk. False at the end, or with *st set if it is malformed. */
bool batch_next(reader *r, entry *write, chr_status *st); /* the trailer has the kind and seq 0 */

#endif
