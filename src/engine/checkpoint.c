/* A checkpoint: a directory that can be opened as a store of its own, with what was there at one moment. Tables and
 * blob files never change, so they are linked where the file system can, and copied where it cannot; the rest is a new manifest and
 * an empty log. */
#include "engine/db_impl.h"

#include "engine/names.h"

static void ignore_progress(void *arg) { (void)arg; }

static chr_status remove_file(void *arg, const char *name)
{
    const db_options *o = arg;
    file_path         path = path_in(o->dir, name);
    (void)env_unlink(o->env, path.text);
    return CHR_OK;
}

/* What the log of a store opened read-only holds is in memory only, and stays there: a checkpoint would lack it. */
static chr_status check_flushed(db *d)
{
    view *v = db_view_take(d);
    bool  flushed = memtable_entries(v->mem[0]->mem) == 0;
    view_drop(v);
    return flushed
               ? CHR_OK
               : chr_fail(CHR_READ_ONLY, "some of the store is only in its log, and it was opened read-only; open it "
                                         "for writing to make a checkpoint");
}

static chr_status link_or_copy(env *e, const char *from, file_path to)
{
    chr_status st = env_link(e, from, to.text);
    return chr_ok(st) ? st : env_copy_file(e, from, to.text);
}

chr_status db_checkpoint(db *d, const char *dir)
{
    named_list named; /* before the flush: then the tables have all that they show */
    chr_status st = db_snapshots_take(d, &named);
    if (chr_ok(st)) st = d->read_only ? check_flushed(d) : db_flush(d);
    if (chr_ok(st)) st = env_mkdir(d->env, dir);
    if (st == CHR_EXISTS) st = chr_fail(CHR_EXISTS, "%s exists already; a checkpoint needs a new directory", dir);
    if (!chr_ok(st)) {
        db_snapshots_give_back(d, &named);
        return st;
    }

    /* The view's reference keeps its tables from being removed meanwhile. */
    view     *v = db_view_take(d);
    manifest *m = NULL;
    wal      *w = NULL;
    uint64_t  seq = db_last_seq(d), log_no = db_new_file_no(d);
    for (uint32_t i = 0; i < LEVELS && chr_ok(st); i++)
        for (size_t k = 0; k < v->version->levels[i].count && chr_ok(st); k++) {
            const table_ref *t = v->version->levels[i].tables[k];
            st = link_or_copy(d->env, table_path(t->table), path_of(dir, FILE_TABLE, t->file_no));
        }
    for (size_t i = 0; i < v->version->n_blobs && chr_ok(st); i++) {
        const blob_file *f = v->version->blobs[i].file;
        st = link_or_copy(d->env, f->file->path, path_of(dir, FILE_BLOB, f->file_no));
    }
    if (chr_ok(st)) st = wal_new(d->env, dir, log_no, 0, seq, false, ignore_progress, NULL, &w);
    if (chr_ok(st)) st = wal_close(w);
    if (chr_ok(st)) st = manifest_create(d->env, dir, db_new_file_no(d), v->version, log_no, seq, &named, &m);
    if (chr_ok(st)) st = env_sync_parent(d->env, dir);
    manifest_free(m);
    view_drop(v);
    db_snapshots_give_back(d, &named);
    if (chr_ok(st)) return CHR_OK;

    /* Half a checkpoint is none. */
    buf        why = { 0 };
    db_options half = { .env = d->env, .dir = dir };
    buf_set(&why, chr_str(chr_message()));
    (void)env_list(d->env, dir, remove_file, &half);
    (void)env_rmdir(d->env, dir);
    st = chr_fail(st, "the checkpoint failed: %.*s", (int)why.len, why.data ? why.data : "");
    chr_buf_free(&why);
    return st;
}
