#include "engine/manifest.h"

#include "base/hash.h"
#include "base/log.h"
#include "engine/manifest_format.h"
#include "engine/names.h"

#include <stdio.h>
#include <stdlib.h>

enum { TABLES_MAX = 1 << 22 };

struct manifest {
    env      *env;
    env_file *file;
    uint64_t  no, end;
    buf       scratch;
};

/* ---- encoding ---- */

static bool put_info(buf *b, uint32_t at_level, const table_info *t)
{
    return buf_append_varint(b, TAG_ADD) && buf_append_varint(b, at_level) && buf_append_varint(b, t->file_no) &&
           buf_append_varint(b, t->file_bytes) && buf_append_varint(b, t->entries) &&
           buf_append_varint(b, t->deletes) && buf_append_varint(b, t->range_deletes) &&
           buf_append_varint(b, t->min_seq) && buf_append_varint(b, t->max_seq) && buf_append_varint(b, t->raw_bytes) &&
           buf_append_sized(b, buf_slice(&t->smallest)) && buf_append_sized(b, buf_slice(&t->largest)) &&
           buf_append_byte(b, t->largest_exclusive);
}

static bool put_log(buf *b, uint64_t log_no, uint64_t flushed_seq)
{
    return buf_append_varint(b, TAG_LOG) && buf_append_varint(b, log_no) && buf_append_varint(b, flushed_seq);
}

static bool put_keep(buf *b, const named_snapshot *s)
{
    return buf_append_varint(b, TAG_KEEP) && buf_append_sized(b, buf_slice(&s->name)) && buf_append_varint(b, s->seq) &&
           buf_append_varint(b, s->wall_ns);
}

/* scratch holds MANIFEST_RECORD_BYTES of room and then the payload. */
static chr_status write_record(manifest *m)
{
    size_t payload = m->scratch.len - MANIFEST_RECORD_BYTES, size = manifest_record_size(payload);
    if (!buf_reserve(&m->scratch, size - m->scratch.len)) return chr_nomem();
    memset(m->scratch.data + m->scratch.len, 0, size - m->scratch.len);
    manifest_record_seal(m->scratch.data, payload, m->no, m->end);
    chr_status st = env_pwrite(m->file, m->scratch.data, size, m->end);
    if (!chr_ok(st)) return st;
    /* Whatever the reason: the record may have reached the disk, or be lost though a later sync succeeds. */
    if (!chr_ok(env_sync(m->file))) return chr_fail(CHR_IO, "%s", chr_message());
    m->end += size;
    return CHR_OK;
}

static bool begin_record(manifest *m)
{
    static const char room[MANIFEST_RECORD_BYTES];
    m->scratch.len = 0;
    return buf_append(&m->scratch, room, sizeof room);
}

chr_status manifest_append(manifest *m, const version_edit *edit)
{
    buf *b = &m->scratch;
    bool good = begin_record(m);
    if (edit->log_no) good = good && put_log(b, edit->log_no, edit->flushed_seq);
    for (size_t i = 0; i < edit->n_removes; i++)
        good = good && buf_append_varint(b, TAG_REMOVE) && buf_append_varint(b, edit->removes[i].level) &&
               buf_append_varint(b, edit->removes[i].file_no);
    for (size_t i = 0; i < edit->n_adds; i++)
        good = good && put_info(b, edit->adds[i].level, table_ref_info(edit->adds[i].table));
    if (edit->keep) good = good && put_keep(b, edit->keep);
    if (edit->drop) good = good && buf_append_varint(b, TAG_DROP) && buf_append_sized(b, buf_slice(&edit->drop->name));
    return good ? write_record(m) : chr_nomem();
}

chr_status manifest_create(env *e, const char *dir, uint64_t no, const version *v, uint64_t log_no,
                           uint64_t flushed_seq, const named_list *named, manifest **out)
{
    file_path  path = path_of(dir, FILE_MANIFEST, no);
    manifest  *m = calloc(1, sizeof *m);
    chr_status st;
    if (!m) return chr_nomem();
    m->env = e;
    m->no = no;
    if (!chr_ok(st = env_open(e, path.text, ENV_CREATE, &m->file))) goto fail;

    uint8_t header[MANIFEST_HEADER_BYTES];
    manifest_header_encode(header, no);
    if (!chr_ok(st = env_pwrite(m->file, header, sizeof header, 0))) goto fail;
    m->end = MANIFEST_HEADER_BYTES;

    bool good = begin_record(m) && put_log(&m->scratch, log_no, flushed_seq);
    for (uint32_t i = 0; i < LEVELS; i++)
        for (size_t k = 0; k < v->levels[i].count; k++)
            good = good && put_info(&m->scratch, i, table_ref_info(v->levels[i].tables[k]));
    for (size_t i = 0; i < named->n; i++) good = good && put_keep(&m->scratch, &named->at[i]);
    if (!chr_ok(st = good ? write_record(m) : chr_nomem())) goto fail;

    /* CURRENT must not name a manifest whose own name a power cut could take back. */
    if (!chr_ok(st = env_sync_dir(e, dir))) goto fail;
    char current[64];
    snprintf(current, sizeof current, "MANIFEST-%06llu\n", (unsigned long long)no);
    if (!chr_ok(st = env_replace_file(e, dir, NAME_CURRENT, chr_str(current)))) goto fail;
    *out = m;
    return CHR_OK;
fail:
    manifest_free(m);
    return st;
}

uint64_t manifest_bytes(const manifest *m) { return m->end; }
uint64_t manifest_no(const manifest *m) { return m->no; }

void manifest_free(manifest *m)
{
    if (!m) return;
    env_close(m->file);
    chr_buf_free(&m->scratch);
    free(m);
}

/* ---- reading ---- */

typedef struct listed {
    uint32_t   level;
    table_info info;
} listed;

typedef struct parse {
    listed         *tables;
    size_t          n, cap;
    manifest_state *state;
} parse;

static chr_status read_add(parse *p, reader *r)
{
    if (p->n == p->cap) {
        size_t  cap = p->cap ? 2 * p->cap : 64;
        listed *more = p->n < TABLES_MAX ? realloc(p->tables, cap * sizeof *more) : NULL;
        if (!more) return chr_nomem();
        p->tables = more;
        p->cap = cap;
    }
    listed      x = { .level = read_varint32(r) };
    table_info *t = &x.info;
    t->file_no = read_varint(r);
    t->file_bytes = read_varint(r);
    t->entries = read_varint(r);
    t->deletes = read_varint(r);
    t->range_deletes = read_varint(r);
    t->min_seq = read_varint(r);
    t->max_seq = read_varint(r);
    t->raw_bytes = read_varint(r);
    slice smallest = read_sized(r), largest = read_sized(r);
    t->largest_exclusive = read_u8(r) != 0;
    if (r->failed || x.level >= LEVELS) return CHR_CORRUPT;
    if (!buf_set(&t->smallest, smallest) || !buf_set(&t->largest, largest)) {
        table_info_free(t);
        return chr_nomem();
    }
    p->tables[p->n++] = x;
    if (t->file_no >= p->state->next_file_no) p->state->next_file_no = t->file_no + 1;
    return CHR_OK;
}

static bool remove_listed(parse *p, uint32_t at_level, uint64_t file_no)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->tables[i].level != at_level || p->tables[i].info.file_no != file_no) continue;
        table_info_free(&p->tables[i].info);
        p->tables[i] = p->tables[--p->n];
        return true;
    }
    return false;
}

static chr_status read_keep(named_list *l, reader *r)
{
    slice          name = read_sized(r);
    named_snapshot x = { .seq = read_varint(r) };
    x.wall_ns = read_varint(r);
    if (r->failed || !chr_ok(named_check(name)) || x.seq > SEQ_MAX || named_find(l, name)) return CHR_CORRUPT;
    if (!named_reserve(l) || !buf_set(&x.name, name)) return chr_nomem();
    named_insert(l, x);
    return CHR_OK;
}

/* CHR_CORRUPT without a message: the caller knows where. */
static chr_status read_edit(parse *p, slice payload)
{
    reader r = reader_of(payload);
    while (reader_left(&r) > 0) {
        uint32_t   tag = read_varint32(&r);
        chr_status st;
        switch (tag) {
        case TAG_LOG:
            p->state->log_no = read_varint(&r);
            p->state->flushed_seq = read_varint(&r);
            if (p->state->log_no >= p->state->next_file_no) p->state->next_file_no = p->state->log_no + 1;
            break;
        case TAG_ADD:
            if (!chr_ok(st = read_add(p, &r))) return st;
            break;
        case TAG_REMOVE: {
            uint32_t at_level = read_varint32(&r);
            uint64_t file_no = read_varint(&r);
            if (r.failed || !remove_listed(p, at_level, file_no)) return CHR_CORRUPT;
            break;
        }
        case TAG_KEEP:
            if (!chr_ok(st = read_keep(&p->state->named, &r))) return st;
            break;
        case TAG_DROP: {
            named_snapshot *x = named_find(&p->state->named, read_sized(&r));
            if (r.failed || !x) return CHR_CORRUPT;
            named_remove(&p->state->named, x);
            break;
        }
        default: return CHR_CORRUPT;
        }
        if (r.failed) return CHR_CORRUPT;
    }
    return CHR_OK;
}

chr_status manifest_parse(const char *path, uint64_t no, slice contents, manifest_state *state, manifest_table_fn *fn,
                          void *arg)
{
    chr_status     st = CHR_OK;
    manifest_state found = { .manifest_no = no, .next_file_no = no + 1 };
    parse          p = { .state = &found };
    uint64_t       offset = MANIFEST_HEADER_BYTES;
    slice          payload;

    if (contents.len < MANIFEST_HEADER_BYTES || get_u64(contents.data) != MANIFEST_MAGIC ||
        get_u64(contents.data + 24) != hash64(chr_bytes(contents.data, 24)) || get_u64(contents.data + 16) != no)
        return chr_corrupt(path, 0, "the header of the manifest is damaged");
    if (get_u32(contents.data + 8) != MANIFEST_VERSION)
        return chr_corrupt(path, 8, "manifest version %u is not known to this program", get_u32(contents.data + 8));

    while (offset < contents.len && manifest_record_decode(contents, no, offset, &payload)) {
        st = read_edit(&p, payload);
        if (st == CHR_CORRUPT) st = chr_corrupt(path, offset, "an edit of the manifest is malformed");
        if (!chr_ok(st)) goto out;
        offset += manifest_record_size(payload.len);
    }
    /* The first record was synced before CURRENT named the manifest, and an edit with one behind it before that was begun. */
    if (found.log_no == 0) {
        st = chr_corrupt(path, MANIFEST_HEADER_BYTES, "the first edit of the manifest is damaged");
        goto out;
    }
    for (uint64_t at = offset + MANIFEST_ALIGN; at < contents.len; at += MANIFEST_ALIGN) {
        if (!manifest_record_decode(contents, no, at, &payload)) continue;
        st = chr_corrupt(path, offset, "an edit of the manifest is damaged");
        goto out;
    }
    if (offset < contents.len)
        log_line(LOG_WARN, "manifest", "the last edit was torn by a crash and never in force", "file=%s offset=%llu",
                 path, (unsigned long long)offset);
    for (size_t i = 0; i < p.n && chr_ok(st); i++) st = fn(arg, p.tables[i].level, &p.tables[i].info);
    if (chr_ok(st)) {
        *state = found;
        found.named = (named_list){ 0 };
    }
out:
    named_free(&found.named);
    for (size_t i = 0; i < p.n; i++) table_info_free(&p.tables[i].info);
    free(p.tables);
    return st;
}

chr_status manifest_read(env *e, const char *dir, manifest_state *state, manifest_table_fn *fn, void *arg)
{
    file_path  current = path_in(dir, NAME_CURRENT);
    buf        text = { 0 }, contents = { 0 };
    uint64_t   no = 0;
    chr_status st = env_read_file(e, current.text, &text);
    if (!chr_ok(st)) return st;
    if (text.len > 0 && text.data[text.len - 1] == '\n' && buf_append_byte(&text, 0)) text.data[text.len - 2] = 0;
    if (text.len == 0 || memchr(text.data, 0, text.len) == NULL || name_parse(text.data, &no) != FILE_MANIFEST) {
        st = chr_corrupt(current.text, 0, "it does not name a manifest");
        goto out;
    }
    file_path path = path_of(dir, FILE_MANIFEST, no);
    st = env_read_file(e, path.text, &contents);
    if (st == CHR_NOT_FOUND)
        st = chr_corrupt(path.text, 0, "the manifest is missing, although %s names it", NAME_CURRENT);
    if (chr_ok(st)) st = manifest_parse(path.text, no, buf_slice(&contents), state, fn, arg);
out:
    chr_buf_free(&text);
    chr_buf_free(&contents);
    return st;
}
