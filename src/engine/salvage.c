/* Getting out of a damaged table what can be read: block by block, each on its own.
 *
 * Without its index a table is searched. Where a block is intact the next one begins right behind it; behind
 * damage every offset is tried. A block is known by its checksum, which is made with its place in the file, at every length
 * that ends in a codec and whose bytes look like a block. */
#include "engine/table_format.h"

#include "base/hash.h"

#include <stdlib.h>

enum { SEARCH_BYTES = 256 << 10 }; /* behind damage no longer block is looked for */

static bool is_damage(chr_status st) { return st == CHR_CORRUPT || st == CHR_IO; }

/* ---- without an index ---- */

/* Cheap, and wrong only for what the checksum refuses. */
static bool looks_like_block(slice stored, uint8_t codec)
{
    block  b;
    reader r = reader_of(stored);
    if (codec == CHR_COMPRESS_NONE) return block_open(stored, &b) == NULL;
    if (codec > CHR_COMPRESS_ZSTD) return false;
    uint64_t raw = read_varint(&r);
    return !r.failed && raw <= BLOCK_RAW_MAX && stored.len < raw;
}

/* The length in the file, trailer included, of the block that begins at `from`; 0: none does. */
static size_t block_at(const table *t, slice data, size_t from, size_t most)
{
    slice rest = slice_from(data, from);
    if (most > rest.len) most = rest.len;
    for (size_t len = 1; len + TABLE_TRAILER_BYTES <= most; len++) {
        if (!looks_like_block(chr_bytes(rest.data, len), (uint8_t)rest.data[len])) continue;
        if (checksum32(chr_bytes(rest.data, len + 1), table_seed(t->file_no, from)) == get_u32(rest.data + len + 1))
            return len + TABLE_TRAILER_BYTES;
    }
    return 0;
}

/* Fills index.block_at; what lies between blocks counts as one that is damaged. */
static chr_status search_blocks(table *t, uint64_t data_end)
{
    table_index *x = &t->index;
    size_t       cap = 0, at = 0, size;
    char        *bytes = malloc(data_end + 1);
    chr_status   st = bytes ? table_read(t, bytes, data_end, 0) : chr_nomem();
    slice        data = chr_bytes(bytes, data_end);
    while (chr_ok(st) && at < data_end) {
        if (x->n + 3 > cap) {
            cap = cap ? 2 * cap : 64;
            uint64_t *more = realloc(x->block_at, cap * sizeof *more);
            if (!more) {
                st = chr_nomem();
                break;
            }
            x->block_at = more;
        }
        x->block_at[x->n++] = at;
        if ((size = block_at(t, data, at, BLOCK_RAW_MAX))) {
            at += size;
        } else {
            do at++;
            while (at < data_end && !block_at(t, data, at, SEARCH_BYTES));
        }
        x->block_at[x->n] = data_end;
    }
    if (is_damage(st)) x->n = 0;
    free(bytes);
    return st;
}

static void forget_index(table_index *x)
{
    free(x->payload);
    free(x->column);
    free(x->bound_at);
    free(x->block_at);
    *x = (table_index){ 0 };
}

/* ---- opening and reading ---- */

static chr_status load_what_is_there(table *t, env_file *file, uint64_t file_no, table_lost_fn *lost, void *arg)
{
    table_sections x = { 0 };
    uint64_t       data_end = 0;
    chr_status     st = table_load_footer(t, file, file_no, &x);
    if (is_damage(st)) {
        lost(arg);
        st = env_size(file, &data_end);
    } else if (chr_ok(st)) {
        data_end = x.at[0];
        if (is_damage(st = table_load_properties(t, &x))) lost(arg);
        t->info_lost = !chr_ok(st);
        if (chr_ok(st) || is_damage(st)) st = table_load_ranges(t, &x);
        if (is_damage(st)) lost(arg);
        if (chr_ok(st) || is_damage(st)) st = table_load_index(t, &x);
        if (!is_damage(st)) return st;
        lost(arg);
        forget_index(&t->index);
        st = CHR_OK;
    }
    if (chr_ok(st)) st = search_blocks(t, data_end);
    if (!is_damage(st)) return st;
    lost(arg);
    return CHR_OK;
}

static chr_status salvage_block(const table *t, size_t i, table_entry_fn *entry_fn, void *arg, bool *damaged)
{
    cache_handle *pin = NULL;
    block_cursor  c = { 0 };
    const block  *b = NULL;
    bool          missed;
    uint64_t      at = t->index.block_at[i];
    chr_status    st = t->index.block_at[i + 1] - at > TABLE_TRAILER_BYTES
                           ? table_read_block(t, i, &pin, &b, &missed)
                           : chr_corrupt(t->file->path, at, "here is no block");
    if (!chr_ok(st)) {
        *damaged = is_damage(st);
        return st;
    }
    block_cursor_set(&c, b);
    for (block_cursor_first(&c); c.valid && chr_ok(st); block_cursor_next(&c)) {
        entry e = { buf_slice(&c.key), c.trailer, c.value };
        st = entry_fn(arg, &e);
    }
    if (chr_ok(st) && c.problem) {
        st = table_block_problem(t, i, c.problem);
        *damaged = is_damage(st);
    }
    block_cursor_free(&c);
    cache_release(t->cache, pin);
    return st;
}

static chr_status salvage_ranges(const table *t, table_entry_fn *entry_fn, void *arg)
{
    for (size_t i = 0, n = rangedel_count(t->ranges); i < n; i++) {
        range_fragment f = rangedel_at(t->ranges, i);
        for (size_t k = 0; k < f.n_seqs; k++) {
            entry      e = { f.start, trailer_of(f.seqs[k], KIND_DELETE_RANGE), f.end };
            chr_status st = entry_fn(arg, &e);
            if (!chr_ok(st)) return st;
        }
    }
    return CHR_OK;
}

chr_status table_salvage(env_file *file, uint64_t file_no, table_entry_fn *entry_fn, table_lost_fn *lost, void *arg)
{
    table      t = { .cache = cache_new(0) };
    chr_status st = t.cache ? load_what_is_there(&t, file, file_no, lost, arg) : chr_nomem();
    for (size_t i = 0; i < t.index.n && chr_ok(st); i++) {
        bool damaged = false;
        st = salvage_block(&t, i, entry_fn, arg, &damaged);
        if (!damaged) continue;
        lost(arg);
        st = CHR_OK;
    }
    if (chr_ok(st)) st = salvage_ranges(&t, entry_fn, arg);
    table_unload(&t);
    if (t.cache) cache_free(t.cache);
    return st;
}
