/* Writing tables. Blocks go out through a buffer as they fill; what the sections need is gathered meanwhile. */
#include "engine/blob.h"
#include "engine/compress.h"
#include "engine/filter.h"
#include "engine/prefix.h"
#include "engine/table_format.h"

#include "base/hash.h"

#include <stdlib.h>

enum { WRITE_BYTES = 256 << 10 }; /* at a time */

struct table_builder {
    env_file      *file;
    table_options  options;
    table_info     info;
    chr_status     st;      /* the first failure; nothing is written after it */
    uint64_t       written; /* bytes in the file */
    buf            out;     /* not yet in the file */
    block_builder  block;
    buf            raw, packed; /* a block on its way out */
    compressor     compressor;
    filter_builder filter;
    buf            ranges; /* entries of the section */
    buf            least_start, greatest_end;
    buf            bounds; /* per bound: sized key, varint trailer, varint stored length of the block */
    uint64_t       n_bounds;
    buf            bound_prefix;  /* what all bounds begin with */
    bool           bound_missing; /* of the last finished block: waits for the key behind it */
    uint64_t       last_stored;   /* that block's stored length */
};

chr_status table_builder_new(env_file *file, uint64_t file_no, const table_options *options, table_builder **out)
{
    table_builder *b = calloc(1, sizeof *b);
    if (!b) return chr_nomem();
    b->file = file;
    b->options = *options;
    if (b->options.block_bytes > BLOCK_TARGET_MAX) b->options.block_bytes = BLOCK_TARGET_MAX;
    b->info.file_no = file_no;
    b->info.min_seq = UINT64_MAX;
    *out = b;
    return CHR_OK;
}

void table_builder_free(table_builder *b)
{
    if (!b) return;
    table_info_free(&b->info);
    chr_buf_free(&b->out);
    block_builder_free(&b->block);
    chr_buf_free(&b->raw);
    chr_buf_free(&b->packed);
    compressor_free(&b->compressor);
    filter_builder_free(&b->filter);
    chr_buf_free(&b->ranges);
    chr_buf_free(&b->least_start);
    chr_buf_free(&b->greatest_end);
    chr_buf_free(&b->bounds);
    chr_buf_free(&b->bound_prefix);
    free(b);
}

uint64_t table_builder_entries(const table_builder *b) { return b->info.entries; }

uint64_t table_builder_bytes(const table_builder *b)
{
    return b->written + b->out.len + (b->block.entries ? block_builder_bytes(&b->block) : 0) +
           b->filter.n * b->options.filter_bits / 8 + b->ranges.len + b->bounds.len - b->n_bounds * b->bound_prefix.len;
}

static bool failed(const table_builder *b) { return b->st != CHR_OK; }

static chr_status out_of_memory(table_builder *b) { return b->st = chr_nomem(); }

static chr_status again(const table_builder *b)
{
    return chr_fail(b->st, "the table %s is not being written any more after a failure", b->file->path);
}

static chr_status write_out(table_builder *b)
{
    if (b->out.len == 0) return CHR_OK;
    b->st = env_pwrite(b->file, b->out.data, b->out.len, b->written);
    if (failed(b)) return b->st;
    b->written += b->out.len;
    b->out.len = 0;
    return CHR_OK;
}

/* A block or a section with its trailer. */
static chr_status put_block(table_builder *b, slice payload, chr_compression codec)
{
    size_t   from = b->out.len;
    uint64_t seed = table_seed(b->info.file_no, b->written + from);
    if (!buf_reserve(&b->out, payload.len + TABLE_TRAILER_BYTES)) return out_of_memory(b);
    (void)buf_append_slice(&b->out, payload);
    (void)buf_append_byte(&b->out, (uint8_t)codec);
    (void)buf_append_u32(&b->out, checksum32(slice_from(buf_slice(&b->out), from), seed));
    return b->out.len < WRITE_BYTES ? CHR_OK : write_out(b);
}

static chr_status finish_block(table_builder *b)
{
    if (b->block.entries == 0) return CHR_OK;
    b->raw.len = b->packed.len = 0;
    if (!block_builder_finish(&b->block, &b->raw)) return out_of_memory(b);
    bool smaller = compress(&b->compressor, b->options.compression, buf_slice(&b->raw), &b->packed);
    buf *stored = smaller ? &b->packed : &b->raw;
    b->last_stored = stored->len;
    b->bound_missing = true;
    return put_block(b, buf_slice(stored), smaller ? b->options.compression : CHR_COMPRESS_NONE);
}

static chr_status put_bound(table_builder *b, slice key, uint64_t trailer)
{
    b->bound_missing = false;
    bool fits = buf_append_sized(&b->bounds, key) && buf_append_varint(&b->bounds, trailer) &&
                buf_append_varint(&b->bounds, b->last_stored) && (b->n_bounds > 0 || buf_set(&b->bound_prefix, key));
    if (!fits) return out_of_memory(b);
    b->bound_prefix.len = common_prefix(buf_slice(&b->bound_prefix), key);
    b->n_bounds++;
    return CHR_OK;
}

/* The bound between the last block and `next`, as short as it can be: last <= bound < next. */
static chr_status put_short_bound(table_builder *b, slice next, size_t shared)
{
    buf *last = &b->block.last_key;
    if (shared == last->len) /* `next` is the same key, or begins with it */
        return put_bound(b, buf_slice(last), shared == next.len ? b->block.last_trailer : 0);
    if (next.len > shared + 1) return put_bound(b, chr_bytes(next.data, shared + 1), 0);
    uint8_t byte = (uint8_t)last->data[shared];
    if (byte + 1 == (uint8_t)next.data[shared] || last->len == shared + 1) return put_bound(b, buf_slice(last), 0);
    last->data[shared] = (char)(byte + 1);
    chr_status st = put_bound(b, chr_bytes(last->data, shared + 1), 0);
    last->data[shared] = (char)byte;
    return st;
}

static void note_seq(table_builder *b, uint64_t seq)
{
    if (seq < b->info.min_seq) b->info.min_seq = seq;
    if (seq > b->info.max_seq) b->info.max_seq = seq;
}

chr_status table_builder_add(table_builder *b, slice key, uint64_t trailer, slice value)
{
    if (failed(b)) return again(b);
    assert(key.len <= ENGINE_KEY_MAX && value.len <= ENGINE_VALUE_MAX);
    slice  last = buf_slice(&b->block.last_key);
    size_t shared = common_prefix(last, key);
    bool   same_key = b->info.entries > 0 && shared == key.len && shared == last.len;
    if (same_key)
        assert(trailer < b->block.last_trailer);
    else if (b->info.entries > 0)
        assert(shared == last.len || (shared < key.len && (uint8_t)last.data[shared] < (uint8_t)key.data[shared]));

    /* A block ends when it is full, or before an entry that would make it much longer than it should be. */
    size_t have = b->block.entries ? block_builder_bytes(&b->block) : 0;
    if (have && have + key.len + value.len > b->options.block_bytes + b->options.block_bytes / 2 &&
        !chr_ok(finish_block(b)))
        return b->st;
    if (b->bound_missing && !chr_ok(put_short_bound(b, key, shared))) return b->st;
    if (b->info.entries == 0 && !buf_set(&b->info.smallest, key)) return out_of_memory(b);
    if (b->options.filter_bits && !same_key && !filter_add(&b->filter, hash64(key))) return out_of_memory(b);
    if (!block_builder_add(&b->block, key, shared, trailer, value)) return out_of_memory(b);
    b->info.entries++;
    b->info.deletes += trailer_kind(trailer) == KIND_DELETE;
    b->info.raw_bytes += key.len + value.len;
    if (trailer_kind(trailer) == KIND_BLOB) {
        blob_at at;
        bool    good = blob_ref_decode(value, &at, NULL);
        assert(good);
        if (good && !table_blobs_add(&b->info.blobs, &b->info.n_blobs, at)) return out_of_memory(b);
    }
    note_seq(b, trailer_seq(trailer));
    return block_builder_bytes(&b->block) < b->options.block_bytes ? CHR_OK : finish_block(b);
}

chr_status table_builder_kept(table_builder *b, uint64_t snapshot, uint64_t bytes)
{
    if (failed(b)) return again(b);
    table_info *info = &b->info;
    size_t      i = info->n_kept;
    while (i > 0 && info->kept[i - 1].snapshot > snapshot) i--;
    if (i > 0 && info->kept[i - 1].snapshot == snapshot) {
        info->kept[i - 1].bytes += bytes;
        return CHR_OK;
    }
    table_kept *more = realloc(info->kept, (info->n_kept + 1) * sizeof *more);
    if (!more) return out_of_memory(b);
    info->kept = more;
    memmove(more + i + 1, more + i, (info->n_kept - i) * sizeof *more);
    more[i] = (table_kept){ snapshot, bytes };
    info->n_kept++;
    return CHR_OK;
}

chr_status table_builder_add_range(table_builder *b, range_tombstone tombstone)
{
    if (failed(b)) return again(b);
    slice start = tombstone.start, end = tombstone.end;
    assert(slice_compare(start, end) < 0 && tombstone.seq > 0 && tombstone.seq <= SEQ_MAX);
    bool first = b->info.range_deletes == 0;
    if (!buf_append_sized(&b->ranges, start) || !buf_append_sized(&b->ranges, end) ||
        !buf_append_varint(&b->ranges, tombstone.seq))
        return out_of_memory(b);
    if ((first || slice_compare(start, buf_slice(&b->least_start)) < 0) && !buf_set(&b->least_start, start))
        return out_of_memory(b);
    if ((first || slice_compare(end, buf_slice(&b->greatest_end)) > 0) && !buf_set(&b->greatest_end, end))
        return out_of_memory(b);
    b->info.range_deletes++;
    note_seq(b, tombstone.seq);
    return CHR_OK;
}

/* Bounds over entries and range tombstones together. */
static bool settle_bounds(table_builder *b)
{
    table_info *info = &b->info;
    slice       last = buf_slice(&b->block.last_key);
    if (info->entries + info->range_deletes == 0) info->min_seq = 0;
    bool ranges_first = info->entries == 0 || slice_compare(buf_slice(&b->least_start), buf_slice(&info->smallest)) < 0;
    bool ranges_last = info->entries == 0 || slice_compare(buf_slice(&b->greatest_end), last) > 0;
    if (info->range_deletes == 0) ranges_first = ranges_last = false;
    info->largest_exclusive = ranges_last;
    return (!ranges_first || buf_set(&info->smallest, buf_slice(&b->least_start))) &&
           buf_set(&info->largest, ranges_last ? buf_slice(&b->greatest_end) : last);
}

static bool put_blobs(const table_info *info, buf *out)
{
    bool fits = buf_append_varint(out, info->n_blobs);
    for (size_t i = 0; i < info->n_blobs && fits; i++)
        fits = buf_append_varint(out, info->blobs[i].file_no) && buf_append_varint(out, info->blobs[i].values) &&
               buf_append_varint(out, info->blobs[i].bytes);
    return fits;
}

static bool put_kept(const table_info *info, buf *out)
{
    bool fits = buf_append_varint(out, info->n_kept);
    for (size_t i = 0; i < info->n_kept && fits; i++)
        fits = buf_append_varint(out, info->kept[i].snapshot) && buf_append_varint(out, info->kept[i].bytes);
    return fits;
}

static uint32_t format_of(const table_info *info)
{
    return info->n_kept ? TABLE_FORMAT_KEPT : info->n_blobs ? TABLE_FORMAT_BLOBS : TABLE_FORMAT;
}

static bool put_properties(const table_builder *b, buf *out)
{
    const table_info *i = &b->info;
    return buf_append_varint(out, i->entries) && buf_append_varint(out, i->deletes) &&
           buf_append_varint(out, i->range_deletes) && buf_append_varint(out, i->min_seq) &&
           buf_append_varint(out, i->max_seq) && buf_append_varint(out, i->raw_bytes) &&
           buf_append_sized(out, buf_slice(&i->smallest)) && buf_append_sized(out, buf_slice(&i->largest)) &&
           buf_append_byte(out, i->largest_exclusive) && (format_of(i) < TABLE_FORMAT_BLOBS || put_blobs(i, out)) &&
           (format_of(i) < TABLE_FORMAT_KEPT || put_kept(i, out));
}

static bool put_index(const table_builder *b, buf *out)
{
    slice  prefix = buf_slice(&b->bound_prefix);
    bool   fits = buf_append_varint(out, b->n_bounds) && buf_append_sized(out, prefix);
    reader r = reader_of(buf_slice(&b->bounds));
    for (uint64_t i = 0; i < b->n_bounds && fits; i++) {
        slice    rest = slice_from(read_sized(&r), prefix.len);
        uint64_t trailer = read_varint(&r), stored = read_varint(&r);
        fits = buf_append_sized(out, rest) && buf_append_varint(out, trailer) && buf_append_varint(out, stored);
    }
    assert(!r.failed);
    return fits;
}

static bool put_section(table_builder *b, enum table_section section, buf *out)
{
    switch (section) {
    case SECTION_FILTER: return filter_finish(&b->filter, b->options.filter_bits, out);
    case SECTION_RANGES:
        return buf_append_varint(out, b->info.range_deletes) && buf_append_slice(out, buf_slice(&b->ranges));
    case SECTION_PROPERTIES: return put_properties(b, out);
    case SECTION_INDEX: return put_index(b, out);
    case SECTIONS: break;
    }
    return false;
}

chr_status table_builder_finish(table_builder *b, table_info *info)
{
    if (failed(b)) return again(b);
    if (!chr_ok(finish_block(b))) return b->st;
    if (b->bound_missing && !chr_ok(put_bound(b, buf_slice(&b->block.last_key), 0))) return b->st;
    if (!settle_bounds(b)) return out_of_memory(b);

    uint8_t footer[TABLE_FOOTER_BYTES];
    put_u64(footer + FOOTER_SECTIONS_AT, b->written + b->out.len);
    for (enum table_section i = 0; i < SECTIONS; i++) {
        b->raw.len = 0;
        if (!put_section(b, i, &b->raw)) return out_of_memory(b);
        put_u64(footer + FOOTER_LENGTHS + 8 * (size_t)i, b->raw.len);
        if (!chr_ok(put_block(b, buf_slice(&b->raw), CHR_COMPRESS_NONE))) return b->st;
    }
    uint64_t at = b->written + b->out.len;
    put_u64(footer + FOOTER_FILE_NO, b->info.file_no);
    put_u32(footer + FOOTER_FORMAT, format_of(&b->info));
    put_u32(footer + FOOTER_CHECKSUM, checksum32(chr_bytes(footer, FOOTER_CHECKSUM), table_seed(b->info.file_no, at)));
    put_u64(footer + FOOTER_MAGIC, TABLE_MAGIC);
    if (!buf_append(&b->out, footer, sizeof footer)) return out_of_memory(b);
    if (!chr_ok(write_out(b))) return b->st;

    b->info.file_bytes = b->written;
    *info = b->info;
    b->info = (table_info){ .file_no = info->file_no, .entries = info->entries };
    b->st = CHR_INVALID; /* finished: nothing can be added */
    return CHR_OK;
}
