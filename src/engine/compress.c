#include "engine/compress.h"

#include <limits.h>
#include <lz4.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

enum {
    ZSTD_LEVEL = 1, /* blocks are small: higher levels cost much and gain little */
    /* Writers wait until a big value is packed: two thirds of the time for some 4 % more bytes. */
    LZ4_BIG = 16 << 10,
    LZ4_BIG_ACCELERATION = 2,
};

const char compress_no_memory[] = "out of memory";

void compressor_free(compressor *c)
{
    ZSTD_freeCCtx(c->zstd);
    c->zstd = NULL;
}

bool compress(compressor *c, chr_compression codec, slice raw, buf *out)
{
    size_t head = varint_size(raw.len), most = raw.len - raw.len / 8, packed = 0;
    if (raw.len > INT_MAX || most <= head || !buf_reserve(out, most)) return false;
    char *to = out->data + out->len;
    most -= head;
    switch (codec) {
    case CHR_COMPRESS_NONE: return false;
    case CHR_COMPRESS_LZ4:
        packed = (size_t)LZ4_compress_fast(raw.data, to + head, (int)raw.len, (int)most,
                                           raw.len >= LZ4_BIG ? LZ4_BIG_ACCELERATION : 1); /* 0: does not fit */
        break;
    case CHR_COMPRESS_ZSTD:
        if (!c->zstd && !(c->zstd = ZSTD_createCCtx())) return false;
        packed = ZSTD_compressCCtx(c->zstd, to + head, most, raw.data, raw.len, ZSTD_LEVEL);
        if (ZSTD_isError(packed)) packed = 0;
        break;
    }
    if (packed == 0) return false;
    put_varint(to, raw.len);
    out->len += head + packed;
    return true;
}

/* A decompression context is big and slow to make, so each thread keeps one until it ends. */
static _Thread_local ZSTD_DCtx *thread_dctx;
static pthread_key_t            dctx_key;
static pthread_once_t           dctx_once = PTHREAD_ONCE_INIT;
static bool                     dctx_key_made;

static void free_dctx(void *dctx) { ZSTD_freeDCtx(dctx); }
static void make_dctx_key(void) { dctx_key_made = pthread_key_create(&dctx_key, free_dctx) == 0; }

static ZSTD_DCtx *dctx_of_thread(void)
{
    if (thread_dctx) return thread_dctx;
    pthread_once(&dctx_once, make_dctx_key);
    ZSTD_DCtx *dctx = dctx_key_made ? ZSTD_createDCtx() : NULL;
    if (dctx && pthread_setspecific(dctx_key, dctx) != 0) {
        ZSTD_freeDCtx(dctx);
        dctx = NULL;
    }
    return thread_dctx = dctx;
}

const char *decompress(chr_compression codec, slice packed, size_t raw_max, size_t front, char **raw, size_t *raw_len)
{
    reader   r = reader_of(packed);
    uint64_t want = read_varint(&r);
    size_t   len = reader_left(&r), got = 0;
    if (r.failed || want == 0 || want > raw_max || len > INT_MAX || want > INT_MAX)
        return "the packed block claims an impossible length";
    char *all = malloc(front + want), *to = all + front;
    if (!all) return compress_no_memory;
    if (codec == CHR_COMPRESS_LZ4) {
        int n = LZ4_decompress_safe((const char *)r.at, to, (int)len, (int)want);
        got = n < 0 ? 0 : (size_t)n;
    } else if (codec == CHR_COMPRESS_ZSTD) {
        ZSTD_DCtx *dctx = dctx_of_thread();
        if (!dctx) {
            free(all);
            return compress_no_memory;
        }
        got = ZSTD_decompressDCtx(dctx, to, want, r.at, len);
        if (ZSTD_isError(got)) got = 0;
    }
    if (got != want) {
        free(all);
        return codec > CHR_COMPRESS_ZSTD ? "the block has an unknown codec" : "the packed block does not unpack";
    }
    *raw = all;
    *raw_len = want;
    return NULL;
}
