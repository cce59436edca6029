#include "engine/blob_build.h"

#include "base/hash.h"
#include "engine/db_impl.h"
#include "engine/names.h"
#include "engine/table_format.h"

#include <stdlib.h>

static chr_status begin(blob_build *b)
{
    db           *d = b->db;
    table_options options = db_table_options(d, b->level);
    b->file_no = db_new_file_no(d);
    file_path  path = path_of(d->dir, FILE_BLOB, b->file_no);
    chr_status st = env_open(d->env, path.text, ENV_CREATE, &b->file);
    if (!chr_ok(st)) return st;
    st = blob_writer_new(b->file, b->file_no, options.compression, &b->writer);
    if (chr_ok(st)) return CHR_OK;
    env_close(b->file);
    b->file = NULL;
    (void)env_unlink(d->env, path.text);
    return st;
}

/* Lets go of the file under way, finished or not. */
static void end(blob_build *b, bool remove_file)
{
    if (!b->file) return;
    file_path path = path_of(b->db->dir, FILE_BLOB, b->file_no);
    blob_writer_free(b->writer);
    b->writer = NULL;
    env_close(b->file);
    b->file = NULL;
    if (remove_file) (void)env_unlink(b->db->env, path.text);
}

bool blob_build_room(blob_build *b)
{
    if (b->n_out < b->cap_out) return true;
    size_t      cap = b->cap_out ? 2 * b->cap_out : 4;
    blob_file **more = realloc(b->out, cap * sizeof(blob_file *));
    if (!more) return false;
    b->out = more;
    b->cap_out = cap;
    return true;
}

chr_status blob_build_finish(blob_build *b)
{
    if (!b->file) return CHR_OK;
    blob_file *done;
    chr_status st = blob_build_room(b) ? blob_writer_finish(b->writer) : chr_nomem();
    if (chr_ok(st)) st = env_sync(b->file);
    end(b, !chr_ok(st));
    if (!chr_ok(st)) return st;
    if (!chr_ok(st = blob_file_open(b->db->env, b->db->dir, b->file_no, b->db->cache, &done))) {
        file_path path = path_of(b->db->dir, FILE_BLOB, b->file_no);
        (void)env_unlink(b->db->env, path.text);
        return st;
    }
    b->out[b->n_out++] = done;
    b->bytes_out += done->file_bytes;
    return CHR_OK;
}

static bool is_victim(const blob_build *b, uint64_t file_no)
{
    size_t lo = 0, hi = b->n_victims;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (b->victims[mid].file->file_no < file_no)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < b->n_victims && b->victims[lo].file->file_no == file_no;
}

bool blob_is_for(const db *d, const entry *e)
{
    const db_options *o = &d->options;
    if (trailer_kind(e->trailer) != KIND_PUT || !o->chr.blob_bytes || e->value.len < o->chr.blob_bytes) return false;
    /* What will be dropped one day stays with its key, where compaction meets it. */
    return !o->drop || !o->drop(o->drop_arg, e->key, e->value, UINT64_MAX);
}

static void refer(blob_build *b, entry *e, blob_at at, blob_head head)
{
    b->placed_bytes = blob_at_bytes(at);
    e->trailer = trailer_of(trailer_seq(e->trailer), KIND_BLOB);
    e->value = blob_ref_encode(b->ref, at, head);
}

chr_status blob_build_place(blob_build *b, entry *e)
{
    uint64_t        seq = trailer_seq(e->trailer);
    blob_at         at = { 0 };
    blob_head       head = { 0 };
    slice           stored = { 0 };
    chr_compression codec = CHR_COMPRESS_NONE;
    chr_status      st;
    bool            move = trailer_kind(e->trailer) == KIND_BLOB;
    if (move) {
        if (!blob_ref_decode(e->value, &at, &head))
            return chr_fail(CHR_CORRUPT, "a reference to a blob file is malformed");
        b->placed_bytes = blob_at_bytes(at);
        if (!is_victim(b, at.file_no)) return CHR_OK;
        if (!chr_ok(st = blob_read_stored(version_blob(b->base, at.file_no), at, &b->room, &stored, &codec))) return st;
    } else if (!blob_is_for(b->db, e)) {
        return CHR_OK;
    } else {
        head = (blob_head){ chr_bytes(e->value.data, e->value.len < BLOB_HEAD_MAX ? e->value.len : BLOB_HEAD_MAX),
                            e->value.len };
    }
    const logged_value *v = !move && b->segment ? mem_logged_at(b->segment, seq) : NULL;
    if (v) {
        at = (blob_at){ .file_no = b->segment->log_no,
                        .offset = v->offset,
                        .len = v->len,
                        .logged = true,
                        .codec = v->codec,
                        .checksum = v->checksum };
        refer(b, e, at, head);
        return CHR_OK;
    }
    if (b->file && blob_writer_bytes(b->writer) >= b->cut_bytes && !chr_ok(st = blob_build_finish(b))) return st;
    if (!b->file && !chr_ok(st = begin(b))) return st;
    st = move ? blob_writer_copy(b->writer, stored, codec, &at) : blob_writer_add(b->writer, e->value, &at);
    if (chr_ok(st)) refer(b, e, at, head);
    return st;
}

void blob_build_free(blob_build *b, bool remove_files)
{
    end(b, true);
    for (size_t i = 0; i < b->n_out; i++) {
        if (remove_files) atomic_store(&b->out[i]->obsolete, true);
        blob_file_drop(b->out[i]);
    }
    free(b->out);
    chr_buf_free(&b->room);
    *b = (blob_build){ 0 };
}
