/* Checking a closed store to the last byte: what opening would read, the manifest and the log, and every block of every
 * table. Repairing one is in repair.c. */
#include "engine/db_impl.h"

#include "engine/files.h"

typedef struct check {
    env          *env;
    const char   *dir;
    cache        *cache;
    db_report_fn *report;
    void         *arg;
    bool          damaged;
} check;

static void found(check *c)
{
    c->damaged = true;
    c->report(c->arg, chr_message());
}

static chr_status check_table(void *arg, uint32_t at_level, const table_info *info)
{
    (void)at_level;
    check     *c = arg;
    table_ref *t;
    chr_status st = table_ref_open(c->env, c->dir, info->file_no, c->cache, info, &t);
    if (chr_ok(st)) {
        st = table_verify(t->table, NULL, NULL);
        table_ref_drop(t);
    }
    if (chr_ok(st) || st == CHR_NO_MEMORY) return st;
    found(c);
    return CHR_OK; /* go on: the user wants all of them */
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
        for (size_t i = 0; i < files.n_tables && chr_ok(st); i++) {
            table_ref *t;
            st = table_ref_open(e, dir, files.tables[i], c.cache, NULL, &t);
            if (chr_ok(st)) {
                st = table_verify(t->table, NULL, NULL);
                table_ref_drop(t);
            }
            if (chr_ok(st) || st == CHR_NO_MEMORY) continue;
            found(&c);
            st = CHR_OK;
        }
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
    if (c.cache) cache_free(c.cache);
    env_unlock_file(e, lock);
    return st;
}
