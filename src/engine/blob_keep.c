#include "engine/blob_keep.h"

#include "engine/batch_pack.h"
#include "engine/db_impl.h"
#include "engine/names.h"
#include "engine/table_format.h"
#include "engine/wal_format.h"

#include <stdlib.h>

/* ---- where they are ---- */

static void note(mem_ref *m, const logged_value *v)
{
    if (m->n_logged == m->cap_logged) {
        size_t        cap = m->cap_logged ? 2 * m->cap_logged : 64;
        logged_value *more = realloc(m->logged, cap * sizeof *more);
        if (!more) return; /* it will be copied */
        m->logged = more;
        m->cap_logged = cap;
    }
    m->logged[m->n_logged++] = *v;
    m->logged_bytes += v->len;
}

void mem_note_logged(mem_ref *m, slice logged, uint64_t first_seq, uint64_t log_at, size_t big)
{
    reader       r = reader_of(logged);
    entry        write;
    chr_status   st;
    packed_value v;
    for (uint64_t seq = first_seq; batch_next(&r, &write, &st); seq++) {
        if (trailer_kind(write.trailer) == KIND_DELETE_RANGE || !batch_packed_value(&write, &v)) continue;
        if (v.codec == CHR_COMPRESS_NONE && v.bytes.len < big) continue;
        uint64_t at = log_at + (uint64_t)(v.bytes.data - logged.data);
        uint32_t checksum = checksum32(v.bytes, table_seed(m->log_no, at));
        note(m, &(logged_value){ seq, at, (uint32_t)v.bytes.len, checksum, (uint8_t)v.codec });
    }
}

const logged_value *mem_logged_at(const mem_ref *m, uint64_t seq)
{
    size_t lo = 0, hi = m->n_logged;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->logged[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->n_logged && m->logged[lo].seq == seq ? &m->logged[lo] : NULL;
}

/* ---- whether ---- */

static bool is_most(const db *d, const mem_ref *m, uint64_t bytes)
{
    return bytes && m->log_end &&
           (double)bytes * 1000 >= (double)(m->log_end - WAL_HEADER_BYTES) * d->options.keep_share;
}

/* Goes through the newest version of each key. What of it is not packed could not be made smaller. */
static chr_status worth_keeping(const db *d, const mem_ref *m, bool *worth)
{
    buf        key = { 0 };
    uint64_t   live = 0;
    chr_status st = CHR_OK;
    *worth = false;
    if (!is_most(d, m, m->logged_bytes)) return CHR_OK;
    iter *it = memtable_iter_new(m->mem);
    if (!it) return chr_nomem();
    for (iter_first(it); it->valid; iter_next(it)) {
        if (key.data && slice_equal(it->at.key, buf_slice(&key))) continue;
        if (!buf_set(&key, it->at.key)) {
            st = chr_nomem();
            break;
        }
        const logged_value *v = blob_is_for(d, &it->at) ? mem_logged_at(m, trailer_seq(it->at.trailer)) : NULL;
        if (v) live += v->len;
    }
    iter_free(it);
    chr_buf_free(&key);
    if (chr_ok(st)) *worth = is_most(d, m, live);
    return st;
}

/* ---- keeping ---- */

static chr_status cut(db *d, const char *path, uint64_t end)
{
    env_file  *file;
    chr_status st = env_open(d->env, path, ENV_READ_WRITE, &file);
    if (!chr_ok(st)) return st;
    st = env_truncate(file, end);
    env_close(file);
    return st;
}

chr_status blob_keep_segment(db *d, const mem_ref *m, blob_build *b)
{
    bool       worth;
    file_path  log = path_of(d->dir, FILE_LOG, m->log_no), blob = path_of(d->dir, FILE_BLOB, m->log_no);
    chr_status st = worth_keeping(d, m, &worth);
    if (!chr_ok(st) || !worth) return st;
    if (!blob_build_room(b)) return chr_nomem();
    /* With its seal, so that nobody writes to it any more. */
    if (!chr_ok(st = wal_sync(d->wal, UINT64_MAX))) return st;
    /* Space was made in advance behind its end, or is left of an earlier use. */
    st = cut(d, log.text, m->log_end);
    if (chr_ok(st)) st = env_link(d->env, log.text, blob.text);
    if (!chr_ok(st) && st != CHR_EXISTS) return CHR_OK; /* EXISTS: of a flush that failed */
    if (!chr_ok(st = blob_file_open(d->env, d->dir, m->log_no, d->cache, &b->out[b->n_out]))) {
        (void)env_unlink(d->env, blob.text);
        return st;
    }
    b->n_out++;
    b->segment = m;
    return CHR_OK;
}

void blob_kept(db *d, const version_edit *edit)
{
    for (size_t i = 0; i < edit->n_blobs; i++) {
        if (!edit->blobs[i]->logged) continue;
        file_path log = path_of(d->dir, FILE_LOG, edit->blobs[i]->file_no);
        wal_forget(d->wal, edit->blobs[i]->file_no);
        (void)env_unlink(d->env, log.text); /* or the next opening does it */
    }
}
