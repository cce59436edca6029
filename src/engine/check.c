/* Checking a closed store to the last byte: what opening would read, the manifest and the log, every block of every table, and every blob
 * file. Repairing one is in repair.c. */
#include "engine/blob.h"
#include "engine/db_impl.h"
#include "engine/files.h"

#include <stdlib.h>

typedef struct check {
    env          *env;
    const char   *dir;
    cache        *cache;
    db_report_fn *report;
    void         *arg;
    bool          damaged;
    buf           references; /* blob_at's: what the tables refer to */
} check;

static void found(check *c)
{
    c->damaged = true;
    c->report(c->arg, chr_message());
}

static int by_place(const void *a, const void *b)
{
    const blob_at *x = a, *y = b;
    if (x->file_no != y->file_no) return x->file_no < y->file_no ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Remembers what an intact table refers to. */
static chr_status gather_references(check *c, table *t)
{
    if (table_get_info(t)->n_blobs == 0) return CHR_OK;
    iter      *it = table_iter_new(t, TABLE_SEQUENTIAL);
    chr_status st = it ? CHR_OK : chr_nomem();
    for (it ? iter_first(it) : (void)0; it && it->valid && chr_ok(st); iter_next(it)) {
        blob_at at;
        if (trailer_kind(it->at.trailer) != KIND_BLOB || !blob_ref_decode(it->at.value, &at, NULL)) continue;
        if (!buf_append(&c->references, &at, sizeof at)) st = chr_nomem();
    }
    iter_free(it);
    return st;
}

/* Every blob file that tables refer to, whole, with the references to it. */
static chr_status check_blobs(check *c)
{
    blob_at   *all = (blob_at *)(void *)c->references.data;
    size_t     n = c->references.len / sizeof *all;
    chr_status st = CHR_OK;
    if (n) qsort(all, n, sizeof *all, by_place);
    for (size_t i = 0, end; i < n && chr_ok(st); i = end) {
        blob_file *f;
        for (end = i; end < n && all[end].file_no == all[i].file_no;) end++;
        st = blob_file_open(c->env, c->dir, all[i].file_no, c->cache, &f);
        if (chr_ok(st)) {
            st = blob_verify(f, all + i, end - i, NULL, NULL);
            blob_file_drop(f);
        }
        if (chr_ok(st) || st == CHR_NO_MEMORY) continue;
        found(c);
        st = CHR_OK;
    }
    return st;
}

static chr_status check_table_file(check *c, uint64_t no, const table_info *info)
{
    table_ref *t;
    chr_status st = table_ref_open(c->env, c->dir, no, c->cache, info, &t);
    if (chr_ok(st)) {
        st = table_verify(t->table, NULL, NULL);
        if (chr_ok(st)) st = gather_references(c, t->table);
        table_ref_drop(t);
    }
    if (chr_ok(st) || st == CHR_NO_MEMORY) return st;
    found(c);
    return CHR_OK; /* go on: the user wants all of them */
}

static chr_status check_table(void *arg, uint32_t at_level, const table_info *info)
{
    (void)at_level;
    return check_table_file(arg, info->file_no, info);
}

static chr_status accept_batch(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)arg, (void)first_seq, (void)count, (void)payload;
    return CHR_OK;
}

chr_status db_check(env *e, const char *dir, db_report_fn *report, void *arg)
{
    check             c = { .env = e, .dir = dir, .report = report, .arg = arg };
    manifest_state    state = { 0 };
    store_files       files = { 0 };
    wal_replay_result replayed;
    env_lock         *lock = NULL;
    file_path         lock_path = path_in(dir, NAME_LOCK);
    chr_status        st = env_lock_file(e, lock_path.text, &lock);
    if (st == CHR_NOT_FOUND) return chr_fail(st, "there is no store in %s", dir);
    if (!chr_ok(st) && st != CHR_READ_ONLY) return st;

    st = (c.cache = cache_new(0)) ? store_files_list(e, dir, &files) : chr_nomem();
    if (!chr_ok(st)) goto out;
    st = manifest_read(e, dir, &state, check_table, &c);
    if (chr_ok(st)) st = check_blobs(&c);
    if (st == CHR_NOT_FOUND) {
        if (files.n_tables == 0 && files.n_logs == 0) {
            st = chr_fail(st, "there is no store in %s", dir);
            goto out;
        }
        st = chr_fail(CHR_CORRUPT, "%s/%s is missing", dir, NAME_CURRENT);
    }
    if (st == CHR_NO_MEMORY) goto out;
    if (!chr_ok(st)) { /* without a manifest, look at the tables there are */
        found(&c);
        st = CHR_OK;
        for (size_t i = 0; i < files.n_tables && chr_ok(st); i++) st = check_table_file(&c, files.tables[i], NULL);
        if (chr_ok(st)) st = check_blobs(&c);
    } else {
        size_t first = 0;
        while (first < files.n_logs && files.logs[first] < state.log_no) first++;
        if (first == files.n_logs || files.logs[first] != state.log_no) {
            file_path log = path_of(dir, FILE_LOG, state.log_no);
            st = chr_corrupt(log.text, 0, "the log segment is missing, although the manifest needs it");
        } else {
            st = wal_replay(e, dir, files.logs + first, files.n_logs - first, state.flushed_seq + 1, accept_batch, NULL,
                            &replayed);
        }
        if (!chr_ok(st) && st != CHR_NO_MEMORY) {
            found(&c);
            st = CHR_OK;
        }
    }
    if (chr_ok(st) && c.damaged) st = chr_fail(CHR_CORRUPT, "the store in %s is damaged", dir);
out:
    store_files_free(&files);
    named_free(&state.named);
    chr_buf_free(&c.references);
    if (c.cache) cache_free(c.cache);
    env_unlock_file(e, lock);
    return st;
}
