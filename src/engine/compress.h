/* Packing of data blocks with LZ4 or zstd. A packed block is varint length before packing, then what the codec made. */
#ifndef CHR_ENGINE_COMPRESS_H
#define CHR_ENGINE_COMPRESS_H

#include "base/bytes.h"

typedef struct compressor {
    void *zstd;
} compressor; /* begins as zeroes; one thread at a time */
void compressor_free(compressor *c);

/* Appends `raw`, packed, if that saves at least an eighth of it. False: it does not, or there is no memory for it;
 * then nothing was appended, and the block is stored as it is. */
bool compress(compressor *c, chr_compression codec, slice raw, buf *out);
/* Into malloc'ed memory, behind `front` bytes that the caller may use. NULL, or what is wrong with it; compress_no_memory is not the block's fault. Safe on any
 * bytes: nothing longer than `raw_max` is made. Any thread. */
const char *decompress(chr_compression codec, slice packed, size_t raw_max, size_t front, char **raw, size_t *raw_len);
extern const char compress_no_memory[];

#endif
