/* Opening tables and point reads. */
#include "engine/compress.h"
#include "engine/filter.h"
#include "engine/prefix.h"
#include "engine/table_format.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>

/* Smallest entry of the index: an empty rest of a key, a trailer, a length, each one byte. */
enum { INDEX_ENTRY_MIN = 3 };

void table_info_free(table_info *info)
{
    chr_buf_free(&info->smallest);
    chr_buf_free(&info->largest);
    free(info->blobs);
    free(info->kept);
}

/* ---- bytes ---- */

static chr_status corrupt(const table *t, uint64_t offset, const char *problem)
{
    return chr_corrupt(t->file->path, offset, "%s", problem);
}

chr_status table_read(const table *t, void *to, size_t len, uint64_t offset)
{
    size_t     got;
    chr_status st = env_pread(t->file, to, len, offset, &got);
    if (!chr_ok(st)) return st;
    if (got < len) return chr_corrupt(t->file->path, offset + got, "the table ends here, %zu bytes early", len - got);
    return CHR_OK;
}

/* `stored` has `len` bytes and the trailer. */
static chr_status check_trailer(const table *t, const char *stored, size_t len, uint64_t offset)
{
    uint32_t said = get_u32(stored + len + 1);
    uint32_t is = checksum32(chr_bytes(stored, len + 1), table_seed(t->file_no, offset));
    if (__builtin_expect(said == is, 1)) return CHR_OK;
    return chr_corrupt(t->file->path, offset, "the checksum of %zu bytes is %08" PRIx32 ", but %08" PRIx32 " is stored",
                       len, is, said);
}

/* ---- sections ---- */

static chr_status read_section(const table *t, uint64_t offset, uint64_t len, char **section)
{
    /* The filter is read a cache line at a time. */
    size_t bytes =
        ((size_t)len + TABLE_TRAILER_BYTES + FILTER_BLOCK_BYTES - 1) / FILTER_BLOCK_BYTES * FILTER_BLOCK_BYTES;
    char *at = aligned_alloc(FILTER_BLOCK_BYTES, bytes);
    if (!at) return chr_nomem();
    chr_status st = table_read(t, at, (size_t)len + TABLE_TRAILER_BYTES, offset);
    if (chr_ok(st)) st = check_trailer(t, at, (size_t)len, offset);
    if (chr_ok(st) && at[len] != CHR_COMPRESS_NONE) st = corrupt(t, offset, "a section of the table has a codec");
    if (chr_ok(st))
        *section = at;
    else
        free(at);
    return st;
}

static chr_status load_filter(table *t, uint64_t offset, uint64_t len)
{
    chr_status st = read_section(t, offset, len, &t->filter);
    if (!chr_ok(st)) return st;
    t->filter_len = (size_t)len;
    const char *problem = filter_check(chr_bytes(t->filter, t->filter_len));
    return problem ? corrupt(t, offset, problem) : CHR_OK;
}

static chr_status parse_ranges(table *t, uint64_t offset, slice section)
{
    reader     r = reader_of(section);
    uint64_t   n = read_varint(&r);
    chr_status st = CHR_OK;
    if (n > reader_left(&r) / 3 || (!t->info_lost && n != t->info.range_deletes))
        return corrupt(t, offset, "wrong number of range tombstones");
    if (n == 0) return reader_left(&r) ? corrupt(t, offset, "bytes behind the range tombstones") : CHR_OK;
    range_tombstone *tombstones = calloc((size_t)n, sizeof *tombstones);
    if (!tombstones) return chr_nomem();
    for (uint64_t i = 0; i < n && !r.failed; i++) {
        range_tombstone *x = &tombstones[i];
        x->start = read_sized(&r);
        x->end = read_sized(&r);
        x->seq = read_varint(&r);
        if (x->start.len > ENGINE_KEY_MAX || x->end.len > ENGINE_KEY_MAX || slice_compare(x->start, x->end) >= 0 ||
            x->seq == 0 || x->seq > SEQ_MAX)
            r.failed = true;
    }
    if (r.failed || reader_left(&r))
        st = corrupt(t, offset, "a range tombstone is malformed");
    else if (!(t->ranges = rangedel_new(tombstones, (size_t)n)))
        st = chr_nomem();
    free(tombstones);
    return st;
}

chr_status table_load_ranges(table *t, const table_sections *x)
{
    uint64_t   offset = x->at[SECTION_RANGES], len = x->len[SECTION_RANGES];
    char      *section = NULL;
    chr_status st = read_section(t, offset, len, &section);
    if (!chr_ok(st)) return st;
    st = parse_ranges(t, offset, chr_bytes(section, (size_t)len));
    free(section);
    return st;
}

/* CHR_CORRUPT without a message: malformed. */
static chr_status read_blobs(reader *r, table_info *i)
{
    enum { BYTES_MIN = 3 };
    uint64_t n = read_varint(r);
    if (n > reader_left(r) / BYTES_MIN) return CHR_CORRUPT;
    if (n == 0) return CHR_OK;
    if (!(i->blobs = malloc((size_t)n * sizeof *i->blobs))) return chr_nomem();
    for (uint64_t last = 0; i->n_blobs < n; i->n_blobs++) {
        table_blob b = { .file_no = read_varint(r) };
        b.values = read_varint(r);
        b.bytes = read_varint(r);
        if (r->failed || b.file_no <= last || b.values == 0 || b.values > i->entries || b.bytes > INT64_MAX / n)
            return CHR_CORRUPT;
        i->blobs[i->n_blobs] = b;
        last = b.file_no;
    }
    return CHR_OK;
}

static chr_status read_kept(reader *r, table_info *i)
{
    enum { BYTES_MIN = 2 };
    uint64_t n = read_varint(r);
    if (n == 0 || n > reader_left(r) / BYTES_MIN) return CHR_CORRUPT;
    if (!(i->kept = malloc((size_t)n * sizeof *i->kept))) return chr_nomem();
    for (uint64_t last = 0; i->n_kept < n; i->n_kept++) {
        table_kept k = { .snapshot = read_varint(r) };
        k.bytes = read_varint(r);
        if (r->failed || k.snapshot <= last || k.snapshot > SEQ_MAX || k.bytes > INT64_MAX / n) return CHR_CORRUPT;
        i->kept[i->n_kept] = k;
        last = k.snapshot;
    }
    return CHR_OK;
}

chr_status table_load_properties(table *t, const table_sections *x)
{
    uint64_t   offset = x->at[SECTION_PROPERTIES], len = x->len[SECTION_PROPERTIES];
    char      *section = NULL;
    chr_status st = read_section(t, offset, len, &section);
    if (!chr_ok(st)) return st;
    reader      r = reader_of(chr_bytes(section, (size_t)len));
    table_info *i = &t->info;
    i->entries = read_varint(&r);
    i->deletes = read_varint(&r);
    i->range_deletes = read_varint(&r);
    i->min_seq = read_varint(&r);
    i->max_seq = read_varint(&r);
    i->raw_bytes = read_varint(&r);
    slice   smallest = read_sized(&r), largest = read_sized(&r);
    uint8_t exclusive = read_u8(&r);
    int     order = slice_compare(smallest, largest);
    i->largest_exclusive = exclusive == 1;
    if (!r.failed && t->format >= TABLE_FORMAT_BLOBS) st = read_blobs(&r, i);
    if (!r.failed && chr_ok(st) && t->format == TABLE_FORMAT_BLOBS && i->n_blobs == 0) st = CHR_CORRUPT;
    if (!r.failed && chr_ok(st) && t->format == TABLE_FORMAT_KEPT) st = read_kept(&r, i);
    if (st == CHR_NO_MEMORY) goto out;
    if (!chr_ok(st) || r.failed || reader_left(&r) || i->deletes > i->entries || i->min_seq > i->max_seq ||
        i->max_seq > SEQ_MAX || smallest.len > ENGINE_KEY_MAX || largest.len > ENGINE_KEY_MAX || exclusive > 1 ||
        order > 0 || (order == 0 && exclusive))
        st = corrupt(t, offset, "the properties of the table are malformed");
    else if (!buf_set(&i->smallest, smallest) || !buf_set(&i->largest, largest))
        st = chr_nomem();
out:
    free(section);
    return st;
}

static chr_status parse_index(table *t, uint64_t offset, uint64_t data_end)
{
    table_index *x = &t->index;
    reader       r = reader_of(chr_bytes(x->payload, x->payload_len));
    uint64_t     n = read_varint(&r);
    x->prefix = read_sized(&r);
    if (r.failed || n > reader_left(&r) / INDEX_ENTRY_MIN || (!t->info_lost && (n == 0) != (t->info.entries == 0)))
        return corrupt(t, offset, "the index has a wrong number of blocks");
    x->column = malloc((size_t)n * 8 + 8);
    x->bound_at = malloc((size_t)n * 4 + 4);
    x->block_at = malloc((size_t)n * 8 + 8);
    if (!x->column || !x->bound_at || !x->block_at) return chr_nomem();
    slice    last = { "", 0 };
    uint64_t last_trailer = 0, at = 0;
    for (uint64_t i = 0; i < n; i++) {
        x->block_at[i] = at;
        x->bound_at[i] = (uint32_t)(x->payload_len - reader_left(&r));
        slice    rest = read_sized(&r);
        uint64_t trailer = read_varint(&r), stored = read_varint(&r);
        if (r.failed || x->prefix.len + rest.len > ENGINE_KEY_MAX || stored > BLOCK_RAW_MAX || stored > data_end - at ||
            data_end - at - stored < TABLE_TRAILER_BYTES)
            return corrupt(t, offset, "an entry of the index is malformed");
        if (i > 0 && entry_compare(last, last_trailer, rest, trailer) >= 0)
            return corrupt(t, offset, "the index is out of order");
        x->column[i] = key_prefix(rest, 0);
        at += stored + TABLE_TRAILER_BYTES;
        last = rest;
        last_trailer = trailer;
    }
    if (r.failed || reader_left(&r) || at != data_end)
        return corrupt(t, offset, "the index does not match the data blocks");
    x->block_at[n] = at;
    x->n = (size_t)n;
    return CHR_OK;
}

chr_status table_load_index(table *t, const table_sections *x)
{
    uint64_t offset = x->at[SECTION_INDEX], len = x->len[SECTION_INDEX];
    if (len > UINT32_MAX) return corrupt(t, offset, "the index is impossibly long");
    chr_status st = read_section(t, offset, len, &t->index.payload);
    if (!chr_ok(st)) return st;
    t->index.payload_len = (size_t)len;
    return parse_index(t, offset, x->at[0]);
}

static chr_status read_footer(table *t, uint8_t footer[TABLE_FOOTER_BYTES])
{
    uint64_t   size;
    chr_status st = env_size(t->file, &size);
    if (!chr_ok(st)) return st;
    if (size < TABLE_FOOTER_BYTES) return corrupt(t, size, "the file ends before a table's footer could");
    uint64_t at = size - TABLE_FOOTER_BYTES;
    if (!chr_ok(st = table_read(t, footer, TABLE_FOOTER_BYTES, at))) return st;
    t->info.file_bytes = size;
    if (get_u64(footer + FOOTER_MAGIC) != TABLE_MAGIC)
        return corrupt(t, at, "the file does not end with a table's footer");
    uint64_t file_no = get_u64(footer + FOOTER_FILE_NO);
    if (get_u32(footer + FOOTER_CHECKSUM) != checksum32(chr_bytes(footer, FOOTER_CHECKSUM), table_seed(file_no, at)))
        return corrupt(t, at, "the checksum of the footer is wrong");
    t->format = get_u32(footer + FOOTER_FORMAT);
    if (t->format < TABLE_FORMAT || t->format > TABLE_FORMAT_KEPT)
        return chr_corrupt(t->file->path, at, "the table has format %" PRIu32 "; this program reads formats %d to %d",
                           t->format, TABLE_FORMAT, TABLE_FORMAT_KEPT);
    if (file_no != t->file_no)
        return chr_corrupt(t->file->path, at, "this is table %" PRIu64 ", not %" PRIu64, file_no, t->file_no);
    return CHR_OK;
}

chr_status table_load_footer(table *t, env_file *file, uint64_t file_no, table_sections *x)
{
    t->file = file;
    t->file_no = t->info.file_no = file_no;
    uint8_t    footer[TABLE_FOOTER_BYTES];
    chr_status st = read_footer(t, footer);
    if (!chr_ok(st)) return st;

    uint64_t end = t->info.file_bytes - TABLE_FOOTER_BYTES, next = get_u64(footer + FOOTER_SECTIONS_AT);
    for (size_t i = 0; i < SECTIONS; i++) {
        x->len[i] = get_u64(footer + FOOTER_LENGTHS + 8 * i);
        x->at[i] = next;
        if (next > end || x->len[i] > end - next || end - next - x->len[i] < TABLE_TRAILER_BYTES)
            return corrupt(t, end, "the footer does not match the length of the file");
        next += x->len[i] + TABLE_TRAILER_BYTES;
    }
    return next == end ? CHR_OK : corrupt(t, end, "the footer does not match the length of the file");
}

chr_status table_load(table *t, env_file *file, uint64_t file_no)
{
    table_sections x = { 0 };
    chr_status     st = table_load_footer(t, file, file_no, &x);
    if (!chr_ok(st)) return st;
    /* The properties say what to expect of the others. */
    if (!chr_ok(st = table_load_properties(t, &x))) return st;
    if (!chr_ok(st = load_filter(t, x.at[SECTION_FILTER], x.len[SECTION_FILTER]))) return st;
    if (!chr_ok(st = table_load_ranges(t, &x))) return st;
    return table_load_index(t, &x);
}

void table_unload(table *t)
{
    table_info_free(&t->info);
    free(t->filter);
    rangedel_free(t->ranges);
    free(t->index.payload);
    free(t->index.column);
    free(t->index.bound_at);
    free(t->index.block_at);
}

chr_status table_open(env_file *file, uint64_t file_no, cache *c, table **out)
{
    table *t = calloc(1, sizeof *t);
    if (!t) return chr_nomem();
    t->cache = c;
    chr_status st = table_load(t, file, file_no);
    if (!chr_ok(st)) {
        table_unload(t);
        free(t);
        return st;
    }
    *out = t;
    return CHR_OK;
}

void table_free(table *t)
{
    if (!t) return;
    table_unload(t);
    env_close(t->file);
    free(t);
}

const char       *table_path(const table *t) { return t->file->path; }
const table_info *table_get_info(const table *t) { return &t->info; }
const rangedel   *table_rangedels(const table *t) { return t->ranges; }

size_t table_memory(const table *t)
{
    size_t bytes =
        sizeof *t + t->filter_len + t->index.payload_len + t->index.n * 20 + t->info.smallest.cap + t->info.largest.cap;
    for (size_t i = 0; i < rangedel_count(t->ranges); i++) {
        range_fragment f = rangedel_at(t->ranges, i);
        bytes += sizeof f + f.start.len + f.end.len + f.n_seqs * sizeof *f.seqs;
    }
    return bytes;
}

/* ---- finding blocks ---- */

/* The bound of block i, whose beginning has been compared, with the rest of a key. */
static int compare_rest(const table_index *x, size_t i, slice rest, uint64_t trailer)
{
    reader r = reader_of(chr_bytes(x->payload + x->bound_at[i], x->payload_len - x->bound_at[i]));
    slice  bound = read_sized(&r);
    int    c = slice_compare(bound, rest);
    if (c) return c;
    uint64_t bound_trailer = read_varint(&r);
    return (bound_trailer < trailer) - (bound_trailer > trailer);
}

/* The prefix that all bounds have, against a key: 0 if it has it too. */
static int compare_prefix(const table_index *x, slice key)
{
    size_t n = key.len < x->prefix.len ? key.len : x->prefix.len;
    int    c = n ? memcmp(x->prefix.data, key.data, n) : 0;
    return c ? c : key.len < x->prefix.len;
}

int table_compare_bound(const table *t, size_t i, slice key, uint64_t trailer)
{
    int c = compare_prefix(&t->index, key);
    if (c) return c;
    return compare_rest(&t->index, i, chr_bytes(key.data + t->index.prefix.len, key.len - t->index.prefix.len),
                        trailer);
}

size_t table_find_block(const table *t, slice key, uint64_t trailer)
{
    const table_index *x = &t->index;
    int                c = compare_prefix(x, key);
    if (c) return c > 0 ? 0 : x->n;
    slice          rest = slice_from(key, x->prefix.len);
    uint64_t       p = key_prefix(rest, 0);
    const uint8_t *column = (const uint8_t *)x->column;
    size_t         lo = prefixes_below(column, x->n, p), hi = prefixes_up_to(column, x->n, lo, p);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (compare_rest(x, mid, rest, trailer) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* ---- reading blocks ---- */

chr_status table_block_problem(const table *t, size_t i, const char *problem)
{
    if (problem == block_no_memory || problem == compress_no_memory) return chr_nomem();
    return corrupt(t, t->index.block_at[i], problem);
}

chr_status table_check_block(const table *t, size_t i, const char *stored, size_t front, slice *raw, char **unpacked)
{
    uint64_t   offset = t->index.block_at[i];
    size_t     len = (size_t)(t->index.block_at[i + 1] - offset) - TABLE_TRAILER_BYTES;
    chr_status st = check_trailer(t, stored, len, offset);
    if (!chr_ok(st)) return st;
    chr_compression codec = (chr_compression)(uint8_t)stored[len];
    *raw = chr_bytes(stored, len);
    *unpacked = NULL;
    if (codec == CHR_COMPRESS_NONE) return CHR_OK;
    char       *to;
    const char *problem = decompress(codec, *raw, BLOCK_RAW_MAX, front, &to, &len);
    if (problem) return table_block_problem(t, i, problem);
    *raw = chr_bytes(to + front, len);
    *unpacked = to;
    return CHR_OK;
}

/* What the cache holds: an opened block and its bytes behind it. From the file, into malloc'ed memory. */
static chr_status fetch_block(const table *t, size_t i, char **cached, size_t *len)
{
    uint64_t offset = t->index.block_at[i];
    size_t   stored_len = (size_t)(t->index.block_at[i + 1] - offset);
    char    *stored = malloc(sizeof(block) + stored_len), *unpacked = NULL;
    if (!stored) return chr_nomem();
    slice      raw;
    chr_status st = table_read(t, stored + sizeof(block), stored_len, offset);
    if (chr_ok(st)) st = table_check_block(t, i, stored + sizeof(block), sizeof(block), &raw, &unpacked);
    if (!chr_ok(st)) {
        free(stored);
        return st;
    }
    if (unpacked) free(stored);
    char       *all = unpacked ? unpacked : stored;
    const char *problem = block_open(raw, (block *)(void *)all);
    if (problem) {
        free(all);
        return table_block_problem(t, i, problem);
    }
    *cached = all;
    *len = sizeof(block) + raw.len;
    return CHR_OK;
}

chr_status table_read_block(const table *t, size_t i, cache_handle **pin, const block **b, bool *missed)
{
    cache_handle *h = cache_lookup(t->cache, t->file_no, t->index.block_at[i]);
    *missed = !h;
    if (__builtin_expect(!h, 0)) {
        char      *cached = NULL;
        size_t     len = 0;
        chr_status st = fetch_block(t, i, &cached, &len);
        if (!chr_ok(st)) return st;
        if (!(h = cache_insert(t->cache, t->file_no, t->index.block_at[i], cached, len))) return chr_nomem();
    }
    *pin = h;
    *b = (const block *)(const void *)cache_data(h).data;
    return CHR_OK;
}

chr_status table_get(table *t, slice key, uint64_t hash, uint64_t seq, entry *found, cache_handle **pin)
{
    assert(seq <= SEQ_MAX);
    if (!key.data) key = chr_bytes("", 0);
    if (!filter_may_hold(chr_bytes(t->filter, t->filter_len), hash)) return CHR_NOT_FOUND;
    size_t i = table_find_block(t, key, seek_trailer(seq));
    if (i == t->index.n) return CHR_NOT_FOUND;
    cache_handle *h = NULL;
    const block  *b;
    bool          missed, present = false;
    chr_status    st = table_read_block(t, i, &h, &b, &missed);
    if (!chr_ok(st)) return st;
    const char *problem = block_get(b, key, seek_trailer(seq), found, &present);
    if (!problem && present) {
        *pin = h;
        return CHR_OK;
    }
    cache_release(t->cache, h);
    return problem ? table_block_problem(t, i, problem) : CHR_NOT_FOUND;
}
