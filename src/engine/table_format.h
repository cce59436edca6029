/* Shared by the files that write and read tables. Format: FORMAT.md, "Table". */
#ifndef CHR_ENGINE_TABLE_FORMAT_H
#define CHR_ENGINE_TABLE_FORMAT_H

#include "engine/block.h"
#include "engine/table.h"

#define TABLE_MAGIC UINT64_C(0x454c424154524843) /* "CHRTABLE" */
enum {
    TABLE_FORMAT = 1,
    TABLE_FORMAT_BLOBS = 2, /* it refers to blob files, and its properties tell to which */
    TABLE_FORMAT_KEPT = 3,  /* it also tells what it has for snapshots only */
    TABLE_FOOTER_BYTES = 64,
    TABLE_TRAILER_BYTES = 5, /* behind each block and section: u8 codec, u32 checksum */
};

/* Where bytes belong; the seed of their checksum. */
static inline uint64_t table_seed(uint64_t file_no, uint64_t offset)
{
    return file_no * UINT64_C(0x9e3779b97f4a7c15) + offset;
}

/* The footer. The sections lie between the data blocks and the footer, in this order, without gaps. */
enum table_section { SECTION_FILTER, SECTION_RANGES, SECTION_PROPERTIES, SECTION_INDEX, SECTIONS };
enum {
    FOOTER_SECTIONS_AT = 0,              /* u64: where the data blocks end and the sections begin */
    FOOTER_LENGTHS = 8,                  /* u64 per section: its bytes without the trailer */
    FOOTER_FILE_NO = 8 + 8 * SECTIONS,   /* u64 */
    FOOTER_FORMAT = 16 + 8 * SECTIONS,   /* u32 */
    FOOTER_CHECKSUM = 20 + 8 * SECTIONS, /* u32, of all before it */
    FOOTER_MAGIC = 24 + 8 * SECTIONS,    /* u64 */
};
_Static_assert(FOOTER_MAGIC + 8 == TABLE_FOOTER_BYTES, "the footer has a fixed size");

/* The index, as it stays in memory. Block i holds what is after bound i - 1, up to and including bound i. A bound is a
 * user key and a trailer: 0 (after all versions of that key), unless the key's versions go on in the next block. */
typedef struct table_index {
    char     *payload; /* of the section */
    size_t    payload_len;
    slice     prefix;   /* in payload; all bounds begin with it */
    uint64_t *column;   /* per block: key_prefix of its bound, after the prefix */
    uint32_t *bound_at; /* per block: where its bound is in payload: sized rest of the key, varint trailer */
    uint64_t *block_at; /* one more than blocks: offsets in the file, trailers included */
    size_t    n;        /* blocks */
} table_index;

struct table {
    env_file   *file;
    uint64_t    file_no;
    cache      *cache;
    uint32_t    format;
    table_info  info;
    bool        info_lost; /* only when salvaging: `info` is not to be compared with anything */
    char       *filter;    /* aligned to FILTER_BLOCK_BYTES */
    size_t      filter_len;
    rangedel   *ranges; /* NULL: none */
    table_index index;
};

/* table_read.c */

typedef struct table_sections {
    uint64_t at[SECTIONS], len[SECTIONS]; /* the data blocks end at at[0] */
} table_sections;
/* The steps of table_load, for salvaging. */
chr_status table_load_footer(table *t, env_file *file, uint64_t file_no, table_sections *x);
chr_status table_load_properties(table *t, const table_sections *x);
chr_status table_load_ranges(table *t, const table_sections *x);
chr_status table_load_index(table *t, const table_sections *x);

/* Fills a zeroed table, but for `cache`, from the end of the file. On failure table_unload is still to be called. */
chr_status table_load(table *t, env_file *file, uint64_t file_no);
void       table_unload(table *t); /* all but the file */
/* The first block that may hold something at or after (key, trailer); index.n if there is none. */
size_t table_find_block(const table *t, slice key, uint64_t trailer);
/* Compares the bound of block i with (key, trailer). */
int table_compare_bound(const table *t, size_t i, slice key, uint64_t trailer);
/* Checks block i, which lies at `stored` as it is in the file. *raw are its bytes before packing: in `stored`, or in
 * malloc'ed memory, behind `front` free bytes, which is then in *unpacked. */
chr_status table_check_block(const table *t, size_t i, const char *stored, size_t front, slice *raw, char **unpacked);
/* Block i through the cache, where it lies opened; *b lives as long as *pin is held. *missed: it was read from the file. */
chr_status table_read_block(const table *t, size_t i, cache_handle **pin, const block **b, bool *missed);
/* `len` bytes at `offset`, all of which are to be there. */
chr_status table_read(const table *t, void *to, size_t len, uint64_t offset);
/* CHR_CORRUPT of block i, or CHR_NO_MEMORY. */
chr_status table_block_problem(const table *t, size_t i, const char *problem);

#endif
