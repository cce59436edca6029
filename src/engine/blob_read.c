/* Reading blob files. Nothing that they hold is trusted: whatever the bytes, the worst that happens is CHR_CORRUPT with file
 * and offset. */
#include "engine/blob.h"

#include "base/hash.h"
#include "engine/batch_pack.h"
#include "engine/compress.h"
#include "engine/names.h"
#include "engine/table_format.h"
#include "engine/wal_format.h"

#include <stdlib.h>

enum { WINDOW_BYTES = 2 << 20 }; /* read at a time when a file is checked; any record fits */
_Static_assert(WINDOW_BYTES >= ENGINE_VALUE_MAX + BLOB_LENGTH_BYTES + BLOB_TRAILER_BYTES, "a record fits the window");

/* ---- opening ---- */

static chr_status corrupt(const blob_file *f, uint64_t offset, const char *problem)
{
    return chr_corrupt(f->file->path, offset, "%s", problem);
}

static uint64_t data_begin(const blob_file *f) { return f->logged ? WAL_HEADER_BYTES : BLOB_HEADER_BYTES; }
static uint64_t data_end(const blob_file *f) { return f->file_bytes - (f->logged ? 0 : BLOB_FOOTER_BYTES); }

static chr_status read_at(const blob_file *f, void *to, size_t len, uint64_t offset)
{
    size_t     got;
    chr_status st = env_pread(f->file, to, len, offset, &got);
    if (chr_ok(st) && got < len) st = corrupt(f, offset + got, "the blob file ends too early");
    return st;
}

static chr_status load_log(blob_file *f, wal_header *h)
{
    char      *page = malloc(WAL_HEADER_BYTES);
    chr_status st = page ? read_at(f, page, WAL_HEADER_BYTES, 0) : chr_nomem();
    if (chr_ok(st) && (!wal_header_decode(chr_bytes(page, WAL_HEADER_BYTES), h) || h->no != f->file_no))
        st = corrupt(f, 0, "the header of the log segment is damaged");
    free(page);
    f->logged = true;
    f->values = UINT64_MAX;
    if (chr_ok(st)) f->bytes = f->file_bytes - WAL_HEADER_BYTES;
    return st;
}

static chr_status load(blob_file *f)
{
    wal_header log;
    char       header[BLOB_HEADER_BYTES], footer[BLOB_FOOTER_BYTES];
    chr_status st = env_size(f->file, &f->file_bytes);
    if (!chr_ok(st)) return st;
    if (f->file_bytes < BLOB_HEADER_BYTES + BLOB_FOOTER_BYTES)
        return corrupt(f, f->file_bytes, "the file ends before a blob file's footer could");
    if (!chr_ok(st = read_at(f, header, sizeof header, 0))) return st;
    if (get_u64(header) == WAL_MAGIC) return load_log(f, &log);
    uint64_t at = data_end(f);
    if (!chr_ok(st = read_at(f, footer, sizeof footer, at))) return st;
    if (get_u64(header) != BLOB_MAGIC || get_u32(header + 12) != 0 ||
        get_u64(header + 24) != hash64(chr_bytes(header, 24)))
        return corrupt(f, 0, "the header of the blob file is damaged");
    if (get_u64(footer + 32) != BLOB_MAGIC) return corrupt(f, at, "the file does not end with a blob file's footer");
    if (get_u32(footer + 28) != checksum32(chr_bytes(footer, 28), table_seed(get_u64(footer + 16), at)))
        return corrupt(f, at, "the checksum of the footer is wrong");
    if (get_u32(header + 8) != BLOB_FORMAT || get_u32(footer + 24) != BLOB_FORMAT)
        return chr_corrupt(f->file->path, 8, "the blob file has format %u; this program reads format %d",
                           get_u32(header + 8), BLOB_FORMAT);
    if (get_u64(header + 16) != f->file_no || get_u64(footer + 16) != f->file_no)
        return chr_corrupt(f->file->path, 16, "this is blob file %" PRIu64 ", not %" PRIu64, get_u64(header + 16),
                           f->file_no);
    f->values = get_u64(footer);
    f->bytes = at - BLOB_HEADER_BYTES;
    return get_u64(footer + 8) == at ? CHR_OK : corrupt(f, at, "the footer does not match the length of the file");
}

chr_status blob_file_open(env *e, const char *dir, uint64_t no, cache *c, blob_file **out)
{
    file_path  path = path_of(dir, FILE_BLOB, no);
    env_file  *file;
    chr_status st = env_open(e, path.text, ENV_READ, &file);
    if (st == CHR_NOT_FOUND) return chr_corrupt(path.text, 0, "the blob file is missing, although tables refer to it");
    if (!chr_ok(st)) return st;
    blob_file *f = calloc(1, sizeof *f);
    if (!f) {
        env_close(file);
        return chr_nomem();
    }
    f->refs = 1;
    f->file_no = no;
    f->file = file;
    f->cache = c;
    f->env = e;
    if (!chr_ok(st = load(f))) {
        blob_file_drop(f);
        return st;
    }
    *out = f;
    return CHR_OK;
}

void blob_file_take(blob_file *f) { atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed); }

void blob_file_drop(blob_file *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return;
    if (f->obsolete) {
        cache_drop_file(f->cache, f->file_no);
        /* A file that cannot be removed is removed at the next opening. */
        (void)env_unlink(f->env, f->file->path);
    }
    env_close(f->file);
    free(f);
}

/* ---- one value ---- */

static uint32_t checksum_at(const blob_file *f, uint64_t offset, slice bytes)
{
    return checksum32(bytes, table_seed(f->file_no, offset));
}

/* Checks the whole record that lies at `record`. */
static chr_status check_record(const blob_file *f, const char *record, blob_at at)
{
    size_t sealed = BLOB_LENGTH_BYTES + (size_t)at.len + 1;
    if (get_u32(record + sealed) != checksum_at(f, at.offset, chr_bytes(record, sealed)))
        return corrupt(f, at.offset, "the checksum of the value is wrong");
    if (get_u32(record) != at.len) return corrupt(f, at.offset, "the value has another length than its table says");
    return CHR_OK;
}

/* Into `to`, which has room for a record, as one: of what was logged only the value is there, and the codec. */
static chr_status read_record(const blob_file *f, blob_at at, char *to)
{
    if (at.logged != f->logged) return corrupt(f, 0, "the file is of another kind than its table says");
    if (at.offset < data_begin(f) || at.offset > data_end(f) || at.len > ENGINE_VALUE_MAX ||
        blob_at_bytes(at) > data_end(f) - at.offset)
        return corrupt(f, at.offset, "a table refers to a value that does not fit into the file");
    char      *value = to + (f->logged ? BLOB_LENGTH_BYTES : 0);
    chr_status st = read_at(f, value, (size_t)blob_at_bytes(at), at.offset);
    if (!chr_ok(st)) return st;
    if (!f->logged) return check_record(f, to, at);
    value[at.len] = (char)at.codec;
    return checksum_at(f, at.offset, chr_bytes(value, (size_t)at.len)) == at.checksum
               ? CHR_OK
               : corrupt(f, at.offset, "the checksum of the value is wrong");
}

static chr_compression codec_of(const char *record, size_t len)
{
    return (chr_compression)(uint8_t)record[BLOB_LENGTH_BYTES + len];
}

/* Unpacks a value into malloc'ed memory, behind as many bytes as the length takes in a record. */
static chr_status unpack(const blob_file *f, const char *record, blob_at at, char **all, size_t *len)
{
    const char *problem =
        decompress(codec_of(record, (size_t)at.len), chr_bytes(record + BLOB_LENGTH_BYTES, (size_t)at.len),
                   ENGINE_VALUE_MAX, BLOB_LENGTH_BYTES, all, len);
    if (problem == compress_no_memory) return chr_nomem();
    return problem ? corrupt(f, at.offset, problem) : CHR_OK;
}

chr_status blob_read(const blob_file *f, blob_at at, cache_handle **pin)
{
    if ((*pin = cache_lookup(f->cache, f->file_no, at.offset))) return CHR_OK;
    size_t len = (size_t)at.len;
    char  *record = malloc(at.len <= ENGINE_VALUE_MAX ? (size_t)blob_stored_bytes(at.len) : 1), *all = record;
    if (!record) return chr_nomem();
    chr_status st = read_record(f, at, record);
    if (chr_ok(st) && codec_of(record, len) != CHR_COMPRESS_NONE) {
        st = unpack(f, record, at, &all, &len);
        free(record);
        record = NULL;
    }
    if (!chr_ok(st)) {
        free(record);
        return st;
    }
    *pin = cache_insert(f->cache, f->file_no, at.offset, all, BLOB_LENGTH_BYTES + len);
    return *pin ? CHR_OK : chr_nomem();
}

slice blob_value(const cache_handle *pin) { return slice_from(cache_data(pin), BLOB_LENGTH_BYTES); }

chr_status blob_read_stored(const blob_file *f, blob_at at, buf *room, slice *stored, chr_compression *codec)
{
    room->len = 0;
    if (at.len > ENGINE_VALUE_MAX) return corrupt(f, at.offset, "a table refers to an impossibly long value");
    if (!buf_reserve(room, (size_t)blob_stored_bytes(at.len))) return chr_nomem();
    chr_status st = read_record(f, at, room->data);
    if (!chr_ok(st)) return st;
    *stored = chr_bytes(room->data + BLOB_LENGTH_BYTES, (size_t)at.len);
    *codec = codec_of(room->data, (size_t)at.len);
    return CHR_OK;
}

/* ---- the whole file ---- */

typedef struct walk {
    char    *window;
    uint64_t at, len; /* of the file, in the window */
} walk;

/* `len` bytes at `offset` into the window, with what is behind them. NULL: *st. */
static const char *look(const blob_file *f, walk *w, uint64_t offset, uint64_t len, chr_status *st)
{
    if (offset < w->at || offset + len > w->at + w->len) {
        uint64_t left = data_end(f) - offset;
        w->at = offset;
        w->len = left < WINDOW_BYTES ? left : WINDOW_BYTES;
        *st = read_at(f, w->window, (size_t)w->len, offset);
        if (!chr_ok(*st)) return NULL;
    }
    return w->window + (offset - w->at);
}

/* The record at `offset`; *at tells its length. */
static chr_status verify_record(const blob_file *f, walk *w, uint64_t offset, blob_at *at)
{
    chr_status  st = CHR_OK;
    uint64_t    left = data_end(f) - offset;
    const char *record = left < blob_stored_bytes(0) ? NULL : look(f, w, offset, BLOB_LENGTH_BYTES, &st);
    if (!chr_ok(st)) return st;
    uint64_t len = record ? get_u32(record) : UINT64_MAX;
    if (!record || len > ENGINE_VALUE_MAX || blob_stored_bytes(len) > left)
        return corrupt(f, offset, "a value does not fit into the file");
    *at = (blob_at){ .file_no = f->file_no, .offset = offset, .len = len };
    if (!(record = look(f, w, offset, blob_stored_bytes(len), &st))) return st;
    if (!chr_ok(st = check_record(f, record, *at)) || codec_of(record, (size_t)len) == CHR_COMPRESS_NONE) return st;
    char  *all;
    size_t raw;
    st = unpack(f, record, *at, &all, &raw);
    if (chr_ok(st)) free(all);
    return st;
}

static chr_status verify_records(const blob_file *f, walk *w, const blob_at *refs, size_t n, table_pause_fn *pause,
                                 void *arg)
{
    uint64_t values = 0, told = 0;
    size_t   next = 0;
    for (uint64_t offset = BLOB_HEADER_BYTES; offset < data_end(f); values++) {
        blob_at    at = { 0 };
        chr_status st = verify_record(f, w, offset, &at);
        if (!chr_ok(st)) return st;
        if (next < n && refs[next].offset == offset && refs[next].len == at.len) next++;
        if (next < n && refs[next].offset <= offset)
            return corrupt(f, refs[next].offset, "a table refers to something that is no value, or to one twice");
        offset += blob_stored_bytes(at.len);
        if (!pause || w->at + w->len == told) continue;
        if (!pause(arg, w->at + w->len - told)) return chr_fail(CHR_CLOSING, "the store is being closed");
        told = w->at + w->len;
    }
    if (next < n) return corrupt(f, refs[next].offset, "a table refers to a value behind the last one");
    return values == f->values ? CHR_OK : corrupt(f, data_end(f), "the footer tells another number of values");
}

/* Of a log segment: a batch, and the references into it. */
static chr_status verify_batch(const blob_file *f, uint64_t offset, slice payload, const blob_at *refs, size_t n,
                               size_t *next)
{
    uint64_t   from = offset + WAL_RECORD_BYTES, behind = from;
    uint32_t   count;
    buf        room = { 0 };
    slice      plain;
    chr_status st = batch_unpack(payload, &room, &plain, &count);
    chr_buf_free(&room);
    if (!chr_ok(st))
        return st == CHR_CORRUPT ? corrupt(f, offset, "a batch is malformed although its checksum is right") : st;
    for (; *next < n && refs[*next].offset < from + payload.len; ++*next) {
        blob_at at = refs[*next];
        if (at.offset < behind || at.len > from + payload.len - at.offset)
            return corrupt(f, at.offset, "a table refers to something that is no value, or to one twice");
        behind = at.offset + at.len;
        slice value = chr_bytes(payload.data + (at.offset - from), (size_t)at.len);
        if (!at.logged || at.checksum != checksum_at(f, at.offset, value))
            return corrupt(f, at.offset, "a table has another checksum for the value");
    }
    return CHR_OK;
}

static chr_status verify_log(const blob_file *f, const blob_at *refs, size_t n, table_pause_fn *pause, void *arg)
{
    wal_header h;
    blob_file  same = *f;
    buf        room = { 0 };
    size_t     next = 0;
    bool       sealed = false;
    chr_status st = load_log(&same, &h);
    for (uint64_t offset = WAL_HEADER_BYTES; chr_ok(st) && !sealed;) {
        char       head[WAL_RECORD_BYTES];
        wal_record r = { 0 };
        if (data_end(f) - offset < sizeof head) {
            st = corrupt(f, offset, "the log segment ends without a seal");
            break;
        }
        if (!chr_ok(st = read_at(f, head, sizeof head, offset))) break;
        size_t size = wal_record_size(get_u32(head + 4));
        if (size <= data_end(f) - offset) {
            room.len = 0;
            st = buf_reserve(&room, size) ? read_at(f, room.data, size, offset) : chr_nomem();
            room.len = size;
        }
        if (!chr_ok(st)) break;
        if (size > data_end(f) - offset || !wal_record_decode_at(buf_slice(&room), offset, h.incarnation, 0, &r))
            st = corrupt(f, offset, "a record of the log segment is damaged");
        else if (r.type == WAL_BATCH)
            st = verify_batch(f, offset, r.payload, refs, n, &next);
        sealed = chr_ok(st) && r.type == WAL_SEAL;
        offset += size;
        if (chr_ok(st) && pause && !pause(arg, size)) st = chr_fail(CHR_CLOSING, "the store is being closed");
    }
    chr_buf_free(&room);
    if (chr_ok(st) && next < n) st = corrupt(f, refs[next].offset, "a table refers to a value behind the last one");
    return st;
}

chr_status blob_verify(const blob_file *f, const blob_at *refs, size_t n, table_pause_fn *pause, void *arg)
{
    /* What is in memory is not trusted either. */
    blob_file  fresh = { .file_no = f->file_no, .file = f->file };
    walk       w = { 0 };
    chr_status st = load(&fresh);
    if (!chr_ok(st)) return st;
    if (fresh.logged) return verify_log(&fresh, refs, n, pause, arg);
    if (!(w.window = malloc(fresh.bytes < WINDOW_BYTES ? (size_t)fresh.bytes + 1 : WINDOW_BYTES))) return chr_nomem();
    st = verify_records(&fresh, &w, refs, n, pause, arg);
    free(w.window);
    return st;
}
