/* Repairing a closed store: everything that can still be read goes into a new one.
 *
 * 1. Every readable block of the tables and every intact batch of the log is read. Entries know the order of their writes (seq), so
 *    it does not matter where they were. A memtable sorts them; when it is full it becomes a table of the new store, which lies
 *    in a directory apart, and in the end all those tables are merged. So memory is bounded, and a disk needs room for two more
 *    stores. Files that a readable manifest does not need are left out: what they hold was replaced or deleted.
 * 2. All old files are linked into lost/, the new ones are moved in, under numbers that no old file has, and then CURRENT is
 *    replaced, which is the moment from which on the store is the new one. Only then do the old files go.
 *
 * A repair that is interrupted anywhere before that moment leaves the old store as it was, and can be begun again; after it, the store
 * is repaired, and the next opening removes what is left over.
 *
 * What a damaged block held is missing afterwards; an older version of a key in it, or a key whose deletion was in it, may show
 * again, which is why lost/ keeps the old files. */
#include "engine/blob.h"
#include "engine/build.h"
#include "engine/files.h"

#include <stdlib.h>
#include <string.h>

enum { SPILL_BYTES = 32 << 20 }; /* of entries in memory at a time */
#define NAME_REPAIR "repair.tmp"

typedef struct repair {
    env          *env;
    const char   *dir;
    file_path     new_dir, lost;
    store_files   files;     /* to be read */
    uint64_t      first_new; /* files below are old */
    db           *made;
    memtable     *m;     /* not yet in a table */
    cache        *cache; /* for big values */
    blob_file    *blob;  /* the old one that was needed last, or NULL */
    uint64_t      max_seq;
    named_list    named;
    db_report_fn *report;
    void         *arg;
} repair;

/* ---- reading ---- */

/* What has been read so far becomes a table of the new store, under the old seqs. */
static chr_status spill(repair *r)
{
    version_edit edit = { 0 };
    mem_ref      source = { .refs = 1, .mem = r->m };
    chr_status   st = flush_memtable(r->made, &source, &edit);
    if (chr_ok(st) && edit.n_adds) {
        uint64_t max_seq = table_ref_info(edit.adds[0].table)->max_seq;
        if (max_seq > r->max_seq) r->max_seq = max_seq;
        edit.log_no = r->made->log_no;
        edit.flushed_seq = r->max_seq;
        st = db_install(r->made, &edit, false);
    }
    edit_release(&edit, false);
    memtable_free(r->m);
    r->m = memtable_new();
    return !chr_ok(st) ? st : r->m ? CHR_OK : chr_nomem();
}

/* It may come twice: from the log and from a table, or from the input and the output of a compaction that was cut off. */
static chr_status take_entry(void *arg, const entry *e)
{
    repair    *r = arg;
    entry      have;
    chr_status st;
    if (memtable_bytes(r->m) >= SPILL_BYTES && !chr_ok(st = spill(r))) return st;
    if (trailer_kind(e->trailer) != KIND_DELETE_RANGE && memtable_get(r->m, e->key, trailer_seq(e->trailer), &have) &&
        have.trailer == e->trailer)
        return CHR_OK;
    return memtable_insert(r->m, e->key, e->trailer, e->value);
}

static void say_lost(void *arg)
{
    repair *r = arg;
    r->report(r->arg, chr_message());
}

/* Goes on after damage, which is reported. */
static chr_status unless_damage(repair *r, chr_status st)
{
    if (st != CHR_CORRUPT && st != CHR_IO && st != CHR_NOT_FOUND) return st;
    say_lost(r);
    return CHR_OK;
}

/* An entry of a table; a value that it refers to is read from the blob file. */
static chr_status take_from_table(void *arg, const entry *e)
{
    repair       *r = arg;
    blob_at       at;
    cache_handle *pin = NULL;
    chr_status    st = CHR_OK;
    if (trailer_kind(e->trailer) != KIND_BLOB) return take_entry(r, e);
    if (!blob_ref_decode(e->value, &at, NULL)) {
        st = chr_fail(CHR_CORRUPT, "a table in %s has a malformed reference to a value", r->dir);
        return unless_damage(r, st);
    }
    if (!r->blob || r->blob->file_no != at.file_no) {
        blob_file_drop(r->blob);
        r->blob = NULL;
        st = blob_file_open(r->env, r->dir, at.file_no, r->cache, &r->blob);
    }
    if (chr_ok(st)) st = blob_read(r->blob, at, &pin);
    if (!chr_ok(st)) return unless_damage(r, st);
    entry whole = { e->key, trailer_of(trailer_seq(e->trailer), KIND_PUT), blob_value(pin) };
    st = take_entry(r, &whole);
    cache_release(r->cache, pin);
    return st;
}

static chr_status take_table(repair *r, uint64_t no)
{
    file_path  path = path_of(r->dir, FILE_TABLE, no);
    env_file  *file;
    chr_status st = env_open(r->env, path.text, ENV_READ, &file);
    if (!chr_ok(st)) return unless_damage(r, st);
    st = table_salvage(file, no, take_from_table, say_lost, r);
    env_close(file);
    return st;
}

static chr_status take_batch(void *arg, uint64_t first_seq, uint32_t count, slice payload)
{
    (void)count;
    reader     at = reader_of(payload);
    entry      write;
    chr_status st;
    while (batch_next(&at, &write, &st)) {
        write.trailer = trailer_of(first_seq++, trailer_kind(write.trailer));
        if (!chr_ok(st = take_entry(arg, &write))) return st;
    }
    return st;
}

static chr_status take_all(repair *r)
{
    chr_status st = CHR_OK;
    for (size_t i = 0; i < r->files.n_tables && chr_ok(st); i++) st = take_table(r, r->files.tables[i]);
    for (size_t i = 0; i < r->files.n_logs && chr_ok(st); i++)
        st = unless_damage(r, wal_salvage(r->env, r->dir, r->files.logs[i], take_batch, r));
    return st;
}

typedef struct named {
    uint64_t *tables;
    size_t    n, cap;
} named;

static chr_status note_named(void *arg, uint32_t at_level, const table_info *info)
{
    (void)at_level;
    named *n = arg;
    if (n->n == n->cap) {
        size_t    cap = n->cap ? 2 * n->cap : 64;
        uint64_t *more = realloc(n->tables, cap * sizeof *more);
        if (!more) return chr_nomem();
        n->tables = more;
        n->cap = cap;
    }
    n->tables[n->n++] = info->file_no;
    return CHR_OK;
}

/* The files that the manifest needs, if it can be read, and otherwise all there are. */
static chr_status choose_files(repair *r)
{
    manifest_state state;
    named          found = { 0 };
    chr_status     st = manifest_read(r->env, r->dir, &state, note_named, &found);
    if (chr_ok(st)) {
        r->named = state.named;
        free(r->files.tables);
        r->files.tables = found.tables;
        r->files.n_tables = found.n;
        size_t old = 0;
        while (old < r->files.n_logs && r->files.logs[old] < state.log_no) old++;
        r->files.n_logs -= old;
        memmove(r->files.logs, r->files.logs + old, r->files.n_logs * sizeof *r->files.logs);
        return CHR_OK;
    }
    free(found.tables);
    st = unless_damage(r, st);
    if (!chr_ok(st)) return st;
    (void)chr_fail(CHR_CORRUPT, "named snapshots, if there were any, are lost with the manifest");
    say_lost(r);
    return CHR_OK;
}

/* ---- the new store ---- */

static chr_status remove_new(void *arg, const char *name)
{
    const repair *r = arg;
    file_path     path = path_in(r->new_dir.text, name);
    return env_unlink(r->env, path.text);
}

static chr_status open_new(repair *r)
{
    db_options o = { .env = r->env,
                     .dir = r->new_dir.text,
                     .chr = chr_options_default(),
                     .inline_work = true,
                     .first_file_no = r->first_new };
    return db_open(&o, &r->made);
}

static chr_status close_new(repair *r, chr_status st)
{
    buf why = { 0 };
    if (!chr_ok(st)) buf_append(&why, chr_message(), strlen(chr_message()) + 1);
    chr_status closed = db_close(r->made);
    if (!chr_ok(st)) chr_fail(st, "%s", why.data ? why.data : "");
    chr_buf_free(&why);
    return chr_ok(st) ? closed : st;
}

static chr_status make_new(repair *r)
{
    chr_status st = env_list(r->env, r->new_dir.text, remove_new, r); /* of a repair that was interrupted */
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (!chr_ok(st) || !chr_ok(st = open_new(r))) return st;
    st = db_adopt_snapshots(r->made, &r->named, true);
    if (chr_ok(st)) st = (r->m = memtable_new()) ? take_all(r) : chr_nomem();
    if (chr_ok(st)) st = spill(r);
    memtable_free(r->m);
    if (!chr_ok(st = close_new(r, st)) || !chr_ok(st = open_new(r))) return st;
    /* The tables have come in any order; merged, each key has its newest version. */
    return close_new(r, db_compact(r->made, chr_bytes(NULL, 0), chr_bytes(NULL, 0)));
}

/* ---- the switch ---- */

static bool is_old(const repair *r, const char *name)
{
    uint64_t  no;
    file_type type = name_parse(name, &no);
    return type != FILE_OTHER && no < r->first_new;
}

static chr_status keep_in_lost(void *arg, const char *name)
{
    const repair *r = arg;
    if (!is_old(r, name) && strcmp(name, NAME_CURRENT) != 0) return CHR_OK;
    file_path  from = path_in(r->dir, name), to = path_in(r->lost.text, name);
    chr_status st = env_link(r->env, from.text, to.text);
    if (st == CHR_EXISTS) return CHR_OK; /* an interrupted repair has done so */
    return chr_ok(st) ? CHR_OK : env_copy_file(r->env, from.text, to.text);
}

static chr_status move_in(void *arg, const char *name)
{
    const repair *r = arg;
    uint64_t      no;
    if (name_parse(name, &no) == FILE_OTHER) return CHR_OK;
    file_path from = path_in(r->new_dir.text, name), to = path_in(r->dir, name);
    return env_rename(r->env, from.text, to.text);
}

static chr_status remove_old(void *arg, const char *name)
{
    const repair *r = arg;
    file_path     path = path_in(r->dir, name);
    if (is_old(r, name)) (void)env_unlink(r->env, path.text); /* or the next opening does it */
    return CHR_OK;
}

static chr_status put_in_place(repair *r)
{
    file_path  from = path_in(r->new_dir.text, NAME_CURRENT), to = path_in(r->dir, NAME_CURRENT);
    chr_status st = env_mkdir(r->env, r->lost.text);
    if (st == CHR_EXISTS) st = CHR_OK;
    if (chr_ok(st)) st = env_list(r->env, r->dir, keep_in_lost, r);
    if (chr_ok(st)) st = env_sync_dir(r->env, r->lost.text);
    if (chr_ok(st)) st = env_list(r->env, r->new_dir.text, move_in, r);
    if (chr_ok(st)) st = env_sync_dir(r->env, r->dir);
    if (chr_ok(st)) st = env_rename(r->env, from.text, to.text);
    if (chr_ok(st)) st = env_sync_dir(r->env, r->dir);
    if (!chr_ok(st)) return st;
    (void)env_list(r->env, r->dir, remove_old, r);
    return CHR_OK;
}

chr_status db_repair(env *e, const char *dir, db_report_fn *report, void *arg)
{
    env_lock  *lock = NULL;
    repair     r = { .env = e,
                     .dir = dir,
                     .new_dir = path_in(dir, NAME_REPAIR),
                     .lost = path_in(dir, NAME_LOST),
                     .report = report,
                     .arg = arg };
    file_path  lock_path = path_in(dir, NAME_LOCK);
    chr_status st = env_lock_file(e, lock_path.text, &lock);
    if (chr_ok(st)) st = store_files_list(e, dir, &r.files);
    r.first_new = r.files.next_no;
    if (chr_ok(st) && r.files.n_logs == 0 && r.files.n_tables == 0)
        st = chr_fail(CHR_NOT_FOUND, "there is no store in %s", dir);
    if (chr_ok(st)) st = choose_files(&r);
    if (chr_ok(st) && !(r.cache = cache_new(0))) st = chr_nomem();
    if (chr_ok(st)) st = make_new(&r);
    if (chr_ok(st)) st = put_in_place(&r);
    /* What is left of it is its lock, or what could not be completed. */
    buf why = { 0 };
    if (!chr_ok(st)) buf_append(&why, chr_message(), strlen(chr_message()) + 1);
    (void)env_list(e, r.new_dir.text, remove_new, &r);
    (void)env_rmdir(e, r.new_dir.text);
    if (why.data) chr_fail(st, "%s", why.data);
    chr_buf_free(&why);
    blob_file_drop(r.blob);
    if (r.cache) cache_free(r.cache);
    env_unlock_file(e, lock);
    store_files_free(&r.files);
    named_free(&r.named);
    return st;
}
