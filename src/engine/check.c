/* Checking a closed store to the last byte, and repairing one.
 *
 * A check reads what opening would read, the manifest and the log, and every block of every table.
 *
 * A repair merges everything that can still be read, tables and log, into new tables of the last level, writes a new
 * manifest, and moves all old files to lost/. The order of writes is in the entries themselves (seq), so it does
 * not matter which level a table was in. What a damaged block held is missing afterwards; an older version
 * of a key in it, or a key whose deletion was in it, may show again, which is why nothing is thrown away. */
#include "engine/build.h"

#include "engine/names.h"

#include <stdlib.h>

typedef struct numbers {
    uint64_t *logs, *tables;
    size_t    n_logs, n_tables;
    uint64_t  next_no;
} numbers;

static bool push(uint64_t **list, size_t *n, uint64_t no)
{
    uint64_t *more = realloc(*list, (*n + 1) * sizeof *more);
    if (!more) return false;
    *list = more;
    more[(*n)++] = no;
    return true;
}

static chr_status note(void *arg, const char *name)
{
    numbers  *f = arg;
    uint64_t  no;
    file_type type = name_parse(name, &no);
    if (type != FILE_OTHER && no >= f->next_no) f->next_no = no + 1;
    if (type == FILE_LOG && !push(&f->logs, &f->n_logs, no)) return chr_nomem();
    if (type == FILE_TABLE && !push(&f->tables, &f->n_tables, no)) return chr_nomem();
    return CHR_OK;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static chr_status list_numbers(env *e, const char *dir, numbers *f)
{
    *f = (numbers){ .next_no = 1 };
    chr_status st = env_list(e, dir, note, f);
    if (f->n_logs) qsort(f->logs, f->n_logs, sizeof *f->logs, by_number);
    if (f->n_tables) qsort(f->tables, f->n_tables, sizeof *f->tables, by_number);
    return st;
}

static void free_numbers(numbers *f)
{
    free(f->logs);
    free(f->tables);
}

/* ---- check ---- */

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
        if (trailer_kind(it->at.trailer) != KIND_BLOB || !blob_at_decode(it->at.value, &at)) continue;
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
    manifest_state    state;
    numbers           files = { 0 };
    wal_replay_result replayed;
    env_lock         *lock = NULL;
    file_path         lock_path = path_in(dir, NAME_LOCK);
    chr_status        st = env_lock_file(e, lock_path.text, &lock);
    if (st == CHR_NOT_FOUND) return chr_fail(st, "there is no store in %s", dir);
    if (!chr_ok(st) && st != CHR_READ_ONLY) return st;

    st = (c.cache = cache_new(0)) ? list_numbers(e, dir, &files) : chr_nomem();
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
    free_numbers(&files);
    chr_buf_free(&c.references);
    if (c.cache) cache_free(c.cache);
    env_unlock_file(e, lock);
    return st;
}

/* ---- repair ---- */

/* Entries of a damaged table are collected from both ends; a memtable sorts everything. */
static chr_status salvage_entry(memtable *m, const entry *e)
{
    entry have;
    if (memtable_get(m, e->key, trailer_seq(e->trailer), &have) && have.trailer == e->trailer) return CHR_OK;
    return memtable_insert(m, e->key, e->trailer, e->value);
}

typedef struct salvage {
    env          *env;
    const char   *dir;
    cache        *cache;
    memtable     *into;
    blob_file    *blob; /* the one that was needed last; NULL: none */
    db_report_fn *report;
    void         *arg;
} salvage;

/* A value that a table refers to. One that cannot be read is told, and missing afterwards. */
static chr_status salvage_referred(salvage *s, const entry *e)
{
    blob_at       at;
    cache_handle *pin = NULL;
    chr_status    st = CHR_OK;
    if (!blob_at_decode(e->value, &at)) return CHR_OK; /* the check of the table has told it */
    if (!s->blob || s->blob->file_no != at.file_no) {
        blob_file_drop(s->blob);
        s->blob = NULL;
        st = blob_file_open(s->env, s->dir, at.file_no, s->cache, &s->blob);
    }
    if (chr_ok(st)) st = blob_read(s->blob, at, &pin);
    if (!chr_ok(st)) {
        if (st == CHR_NO_MEMORY) return st;
        s->report(s->arg, chr_message());
        return CHR_OK;
    }
    entry whole = { e->key, trailer_of(trailer_seq(e->trailer), KIND_PUT), blob_value(pin) };
    st = salvage_entry(s->into, &whole);
    cache_release(s->cache, pin);
    return st;
}

static chr_status salvage_any(salvage *s, const entry *e)
{
    return trailer_kind(e->trailer) == KIND_BLOB ? salvage_referred(s, e) : salvage_entry(s->into, e);
}

static chr_status salvage_table(salvage *s, table *t)
{
    memtable *m = s->into;
    iter     *it = table_iter_new(t, TABLE_SEQUENTIAL);
    if (!it) return chr_nomem();
    chr_status st = CHR_OK;
    for (iter_first(it); it->valid && chr_ok(st); iter_next(it)) st = salvage_any(s, &it->at);
    if (chr_ok(st) && it->status != CHR_OK)
        for (iter_last(it); it->valid && chr_ok(st); iter_prev(it)) st = salvage_any(s, &it->at);
    iter_free(it);
    const rangedel *dels = table_rangedels(t);
    for (size_t i = 0, n = dels ? rangedel_count(dels) : 0; i < n && chr_ok(st); i++) {
        range_fragment f = rangedel_at(dels, i);
        for (size_t k = 0; k < f.n_seqs && chr_ok(st); k++)
            st = memtable_insert(m, f.start, trailer_of(f.seqs[k], KIND_DELETE_RANGE), f.end);
    }
    return st;
}

static chr_status salvage_batch(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)count;
    reader     r = reader_of(payload);
    entry      write;
    chr_status st;
    while (batch_next(&r, &write, &st)) {
        write.trailer = trailer_of(first_seq++, trailer_kind(write.trailer));
        st = trailer_kind(write.trailer) == KIND_DELETE_RANGE
                 ? memtable_insert(arg, write.key, write.trailer, write.value)
                 : salvage_entry(arg, &write);
        if (!chr_ok(st)) return st;
    }
    return st;
}

static chr_status move_to_lost(void *arg, const char *name)
{
    const db_options *o = arg;
    uint64_t          no;
    if (name_parse(name, &no) == FILE_OTHER && strcmp(name, NAME_CURRENT) != 0) return CHR_OK;
    file_path lost = path_in(o->dir, NAME_LOST), from = path_in(o->dir, name), to = path_in(lost.text, name);
    return env_rename(o->env, from.text, to.text);
}

static chr_status salvage_all(env *e, const char *dir, const numbers *files, memtable *m, db_report_fn *report,
                              void *arg)
{
    cache     *c = cache_new(0);
    salvage    s = { .env = e, .dir = dir, .cache = c, .into = m, .report = report, .arg = arg };
    chr_status st = c ? CHR_OK : chr_nomem();
    for (size_t i = 0; i < files->n_tables && chr_ok(st); i++) {
        table_ref *t;
        st = table_ref_open(e, dir, files->tables[i], c, NULL, &t);
        if (chr_ok(st)) {
            if (!chr_ok(table_verify(t->table, NULL, NULL))) report(arg, chr_message());
            st = salvage_table(&s, t->table);
            table_ref_drop(t);
        }
        if (!chr_ok(st) && st != CHR_NO_MEMORY) {
            report(arg, chr_message());
            st = CHR_OK;
        }
    }
    for (size_t i = 0; i < files->n_logs && chr_ok(st); i++) {
        st = wal_salvage(e, dir, files->logs[i], salvage_batch, m);
        if (!chr_ok(st) && st != CHR_NO_MEMORY) {
            report(arg, chr_message());
            st = CHR_OK;
        }
    }
    blob_file_drop(s.blob);
    if (c) cache_free(c);
    return st;
}

/* A new store in the emptied directory, with the salvaged entries in one table and under their old seqs. */
static chr_status rebuild(db_options *options, memtable *m)
{
    db          *d;
    version_edit edit = { 0 };
    mem_ref      source = { .refs = 1, .mem = m };
    options->inline_work = true;
    chr_status st = db_open(options, &d);
    if (!chr_ok(st)) return st;
    st = flush_memtable(d, &source, &edit);
    if (chr_ok(st) && edit.n_adds) {
        edit.log_no = d->log_no;
        edit.flushed_seq = table_ref_info(edit.adds[0].table)->max_seq;
        st = db_install(d, &edit, false);
    }
    edit_release(&edit, false);
    chr_status closed = db_close(d);
    return chr_ok(st) ? closed : st;
}

chr_status db_repair(env *e, const char *dir, db_report_fn *report, void *arg)
{
    numbers    files = { 0 };
    env_lock  *lock = NULL;
    memtable  *m = memtable_new();
    db_options options = { .env = e, .dir = dir, .chr = chr_options_default() };
    file_path  lock_path = path_in(dir, NAME_LOCK), lost = path_in(dir, NAME_LOST);
    if (!m) return chr_nomem();
    chr_status st = env_lock_file(e, lock_path.text, &lock);
    if (chr_ok(st)) st = list_numbers(e, dir, &files);
    if (chr_ok(st) && files.n_logs == 0 && files.n_tables == 0)
        st = chr_fail(CHR_NOT_FOUND, "there is no store in %s", dir);
    if (chr_ok(st)) st = salvage_all(e, dir, &files, m, report, arg);
    if (chr_ok(st)) st = env_mkdir(e, lost.text);
    if (st == CHR_EXISTS) st = CHR_OK;
    if (chr_ok(st)) st = env_list(e, dir, move_to_lost, &options);
    if (chr_ok(st)) st = env_sync_dir(e, lost.text);
    if (chr_ok(st)) st = env_sync_dir(e, dir);
    env_unlock_file(e, lock); /* opening takes it again */
    if (chr_ok(st)) st = rebuild(&options, m);
    memtable_free(m);
    free_numbers(&files);
    return st;
}
