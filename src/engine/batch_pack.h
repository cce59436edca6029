/* Batches as they are in the log: big values packed (FORMAT.md, "Batch"). So there is less to write, and a segment of big values
 * can become a blob file as it is (blob_keep.h). */
#ifndef CHR_ENGINE_BATCH_PACK_H
#define CHR_ENGINE_BATCH_PACK_H

#include "engine/batch.h"

/* `payload` with its values of at least `big` bytes packed, if that makes them smaller: in `room`, or `payload` itself if nothing
 * has changed. Any thread. */
slice batch_pack(slice payload, size_t big, chr_compression codec, buf *room);
/* The reverse, of any bytes; *count: of writes. CHR_CORRUPT, CHR_NO_MEMORY. */
chr_status batch_unpack(slice payload, buf *room, slice *plain, uint32_t *count);

/* A value as it lies in the log. */
typedef struct packed_value {
    chr_compression codec;
    slice           bytes;
} packed_value;
/* Of a write that batch_next gave of a payload in the log. False: its value is of no codec there is. */
bool batch_packed_value(const entry *write, packed_value *v);

#endif
