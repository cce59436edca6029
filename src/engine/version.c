#include "engine/version.h"

#include "engine/names.h"
#include "engine/prefix.h"

#include <stdlib.h>

/* ---- tables ---- */

chr_status table_ref_open(env *e, const char *dir, uint64_t no, cache *c, const table_info *expected, table_ref **out)
{
    file_path  path = path_of(dir, FILE_TABLE, no);
    env_file  *file;
    chr_status st = env_open(e, path.text, ENV_READ, &file);
    if (st == CHR_NOT_FOUND) return chr_corrupt(path.text, 0, "the table is missing, although the manifest names it");
    if (!chr_ok(st)) return st;
    uint64_t bytes;
    if (!chr_ok(st = env_size(file, &bytes))) goto close_file;
    if (expected && bytes != expected->file_bytes) {
        st = chr_corrupt(path.text, bytes, "the table has %llu bytes; the manifest says %llu",
                         (unsigned long long)bytes, (unsigned long long)expected->file_bytes);
        goto close_file;
    }
    table_ref *t = calloc(1, sizeof *t);
    if (!t) {
        st = chr_nomem();
        goto close_file;
    }
    if (!chr_ok(st = table_open(file, no, c, &t->table))) {
        free(t);
        goto close_file;
    }
    t->refs = 1;
    t->file_no = no;
    t->largest_prefix = key_prefix(buf_slice(&table_ref_info(t)->largest), 0);
    t->cache = c;
    t->env = e;
    *out = t;
    return CHR_OK;
close_file:
    env_close(file);
    return st;
}

void table_ref_take(table_ref *t) { atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed); }

void table_ref_drop(table_ref *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
    if (t->obsolete) {
        cache_drop_file(t->cache, t->file_no);
        /* A file that cannot be removed is removed at the next opening. */
        (void)env_unlink(t->env, table_path(t->table));
    }
    table_free(t->table);
    free(t);
}

const table_info *table_ref_info(const table_ref *t) { return table_get_info(t->table); }

/* ---- edits ---- */

static bool grow(void **items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return true;
    size_t to = *cap ? 2 * *cap : 8;
    void  *more = realloc(*items, to * size);
    if (!more) return false;
    *items = more;
    *cap = to;
    return true;
}

bool edit_add_table(version_edit *e, uint32_t at_level, table_ref *t)
{
    if (!grow((void **)&e->adds, e->n_adds, &e->cap_adds, sizeof *e->adds)) return false;
    e->adds[e->n_adds++] = (struct edit_add){ at_level, t };
    return true;
}

bool edit_remove_table(version_edit *e, uint32_t at_level, uint64_t file_no)
{
    if (!grow((void **)&e->removes, e->n_removes, &e->cap_removes, sizeof *e->removes)) return false;
    e->removes[e->n_removes++] = (struct edit_remove){ at_level, file_no };
    return true;
}

bool edit_add_blob(version_edit *e, blob_file *file)
{
    if (!grow((void **)&e->blobs, e->n_blobs, &e->cap_blobs, sizeof(blob_file *))) return false;
    e->blobs[e->n_blobs++] = file;
    return true;
}

void edit_free(version_edit *e)
{
    free(e->blobs);
    free(e->adds);
    free(e->removes);
    *e = (version_edit){ 0 };
}

void edit_release(version_edit *e, bool remove_files)
{
    for (size_t i = 0; i < e->n_adds; i++) {
        if (remove_files) atomic_store(&e->adds[i].table->obsolete, true);
        table_ref_drop(e->adds[i].table);
    }
    for (size_t i = 0; i < e->n_blobs; i++) {
        if (remove_files) atomic_store(&e->blobs[i]->obsolete, true);
        blob_file_drop(e->blobs[i]);
    }
    edit_free(e);
}

/* ---- versions ---- */

version *version_new(void)
{
    version *v = calloc(1, sizeof *v);
    if (v) v->refs = 1;
    return v;
}

void version_take(version *v) { atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed); }

void version_drop(version *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < LEVELS; i++) {
        for (size_t k = 0; k < v->levels[i].count; k++) table_ref_drop(v->levels[i].tables[k]);
        free(v->levels[i].tables);
    }
    for (size_t i = 0; i < v->n_blobs; i++) blob_file_drop(v->blobs[i].file);
    free(v->blobs);
    free(v);
}

static bool edit_removes(const version_edit *edit, uint32_t at_level, uint64_t file_no)
{
    for (size_t i = 0; i < edit->n_removes; i++)
        if (edit->removes[i].level == at_level && edit->removes[i].file_no == file_no) return true;
    return false;
}

static int newest_first(const void *a, const void *b)
{
    const table_info *x = table_ref_info(*(table_ref *const *)a), *y = table_ref_info(*(table_ref *const *)b);
    if (x->max_seq != y->max_seq) return x->max_seq > y->max_seq ? -1 : 1;
    return x->file_no > y->file_no ? -1 : x->file_no < y->file_no;
}

static int by_smallest(const void *a, const void *b)
{
    const table_info *x = table_ref_info(*(table_ref *const *)a), *y = table_ref_info(*(table_ref *const *)b);
    return slice_compare(buf_slice(&x->smallest), buf_slice(&y->smallest));
}

static chr_status level_check_disjoint(const level *l)
{
    for (size_t i = 1; i < l->count; i++) {
        const table_info *a = table_ref_info(l->tables[i - 1]), *b = table_ref_info(l->tables[i]);
        int               c = slice_compare(buf_slice(&a->largest), buf_slice(&b->smallest));
        if (c > 0 || (c == 0 && !a->largest_exclusive))
            return chr_fail(CHR_CORRUPT, "tables %llu and %llu of one level overlap", (unsigned long long)a->file_no,
                            (unsigned long long)b->file_no);
    }
    return CHR_OK;
}

/* ---- which values are alive ---- */

static int by_file_no(const void *a, const void *b)
{
    uint64_t x = ((const live_blob *)a)->file->file_no, y = ((const live_blob *)b)->file->file_no;
    return x < y ? -1 : x > y;
}

static live_blob *find_blob(live_blob *blobs, size_t n, uint64_t file_no)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (blobs[mid].file->file_no < file_no)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && blobs[lo].file->file_no == file_no ? &blobs[lo] : NULL;
}

blob_file *version_blob(const version *v, uint64_t file_no)
{
    live_blob *b = find_blob(v->blobs, v->n_blobs, file_no);
    return b ? b->file : NULL;
}

static chr_status count_table(version *v, const table_info *t, bool added)
{
    for (size_t i = 0; i < t->n_blobs; i++) {
        const table_blob *of = &t->blobs[i];
        live_blob        *b = find_blob(v->blobs, v->n_blobs, of->file_no);
        if (!b)
            return chr_fail(CHR_CORRUPT, "table %llu refers to blob file %llu, which is not there",
                            (unsigned long long)t->file_no, (unsigned long long)of->file_no);
        b->values += added ? of->values : 0 - of->values;
        b->bytes += added ? of->bytes : 0 - of->bytes;
    }
    return CHR_OK;
}

/* `v` has its tables already; those of `base` were counted there. */
static chr_status count_blobs(version *v, const version *base, const version_edit *edit)
{
    size_t     n = (base ? base->n_blobs : 0) + edit->n_blobs, kept = 0;
    chr_status st = CHR_OK;
    if (n == 0 && edit->n_adds == 0) return CHR_OK;
    if (!(v->blobs = calloc(n + 1, sizeof *v->blobs))) return chr_nomem();
    for (size_t i = 0; base && i < base->n_blobs; i++) v->blobs[v->n_blobs++] = base->blobs[i];
    for (size_t i = 0; i < edit->n_blobs; i++) v->blobs[v->n_blobs++] = (live_blob){ .file = edit->blobs[i] };
    for (size_t i = 0; i < n; i++) blob_file_take(v->blobs[i].file);
    qsort(v->blobs, n, sizeof *v->blobs, by_file_no);
    for (size_t i = 0; i < edit->n_adds && chr_ok(st); i++)
        st = count_table(v, table_ref_info(edit->adds[i].table), true);
    for (size_t i = 0; base && i < edit->n_removes && chr_ok(st); i++) {
        const level *l = &base->levels[edit->removes[i].level];
        for (size_t k = 0; k < l->count && chr_ok(st); k++)
            if (l->tables[k]->file_no == edit->removes[i].file_no)
                st = count_table(v, table_ref_info(l->tables[k]), false);
    }
    if (!chr_ok(st)) return st;
    for (size_t i = 0; i < n; i++) {
        live_blob b = v->blobs[i];
        if (b.values > b.file->values || b.bytes > b.file->bytes)
            st = chr_corrupt(b.file->file->path, 0, "the tables refer to more than the blob file holds");
        if (b.values == 0)
            blob_file_drop(b.file);
        else
            v->blobs[kept++] = b;
    }
    v->n_blobs = kept;
    for (size_t i = 0; i < kept; i++) {
        v->blob_bytes += v->blobs[i].file->bytes;
        v->blob_live += v->blobs[i].bytes;
    }
    return st;
}

chr_status version_apply(const version *base, const version_edit *edit, version **out)
{
    chr_status st = CHR_OK;
    version   *v = version_new();
    if (!v) return chr_nomem();
    size_t removed = 0;
    for (uint32_t i = 0; i < LEVELS; i++) {
        const level *old = base ? &base->levels[i] : NULL;
        level       *l = &v->levels[i];
        l->tables = calloc((old ? old->count : 0) + edit->n_adds + 1, sizeof(table_ref *));
        if (!l->tables) {
            st = chr_nomem();
            goto fail;
        }
        for (size_t k = 0; old && k < old->count; k++) {
            if (edit_removes(edit, i, old->tables[k]->file_no)) {
                removed++;
                continue;
            }
            table_ref_take(old->tables[k]);
            l->tables[l->count++] = old->tables[k];
        }
        for (size_t k = 0; k < edit->n_adds; k++) {
            if (edit->adds[k].level != i) continue;
            table_ref_take(edit->adds[k].table);
            l->tables[l->count++] = edit->adds[k].table;
        }
        if (l->count) qsort(l->tables, l->count, sizeof *l->tables, i == 0 ? newest_first : by_smallest);
        for (size_t k = 0; k < l->count; k++) l->bytes += table_ref_info(l->tables[k])->file_bytes;
        if (i > 0 && !chr_ok(st = level_check_disjoint(l))) goto fail;
    }
    if (removed != edit->n_removes) {
        st = chr_fail(CHR_CORRUPT, "an edit of the manifest removes a table that is not there");
        goto fail;
    }
    if (!chr_ok(st = count_blobs(v, base, edit))) goto fail;
    *out = v;
    return CHR_OK;
fail:
    version_drop(v);
    return st;
}

size_t level_find(const level *l, slice key)
{
    uint64_t prefix = key_prefix(key, 0);
    size_t   low = 0, high = l->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (l->tables[mid]->largest_prefix != prefix) {
            if (l->tables[mid]->largest_prefix < prefix)
                low = mid + 1;
            else
                high = mid;
            continue;
        }
        const table_info *t = table_ref_info(l->tables[mid]);
        int               c = slice_compare(buf_slice(&t->largest), key);
        if (c < 0 || (c == 0 && t->largest_exclusive))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool table_overlaps(const table_info *t, slice smallest, slice largest, bool largest_exclusive)
{
    if (smallest.data) {
        int c = slice_compare(buf_slice(&t->largest), smallest);
        if (c < 0 || (c == 0 && t->largest_exclusive)) return false;
    }
    if (largest.data) {
        int c = slice_compare(buf_slice(&t->smallest), largest);
        if (c > 0 || (c == 0 && largest_exclusive)) return false;
    }
    return true;
}

/* ---- memtables and views ---- */

mem_ref *mem_ref_new(uint64_t log_no)
{
    mem_ref *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->mem = memtable_new();
    if (!m->mem) {
        free(m);
        return NULL;
    }
    m->refs = 1;
    m->log_no = log_no;
    return m;
}

void mem_ref_drop(mem_ref *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
    memtable_free(m->mem);
    free(m->logged);
    free(m);
}

view *view_alloc(void)
{
    view *w = calloc(1, sizeof *w);
    if (w) w->refs = 1;
    return w;
}

void view_fill(view *w, mem_ref *const *mem, size_t n_mem, version *v)
{
    assert(n_mem >= 1 && n_mem <= 1 + IMMUTABLE_MAX);
    w->n_mem = n_mem;
    w->version = v;
    version_take(v);
    for (size_t i = 0; i < n_mem; i++) {
        w->mem[i] = mem[i];
        atomic_fetch_add_explicit(&mem[i]->refs, 1, memory_order_relaxed);
    }
}

void view_take(view *v) { atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed); }

void view_drop(view *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < v->n_mem; i++) mem_ref_drop(v->mem[i]);
    version_drop(v->version);
    free(v);
}
