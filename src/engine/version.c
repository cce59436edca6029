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

void edit_free(version_edit *e)
{
    free(e->adds);
    free(e->removes);
    *e = (version_edit){ 0 };
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
