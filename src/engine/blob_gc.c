#include "engine/blob_gc.h"

#include <stdlib.h>

/* In thousandths of the live bytes. */
enum {
    GARBAGE_MAX = 160,
    GARBAGE_LOW = 140,
    GARBAGE_URGENT = 220,
    GARBAGE_EASY = 170,
    GAIN_AT_ONCE = 60,
    LEVEL0_SHARE = 50, /* of the live values, referred to from level 0 */
};
enum {
    TABLE_COST = 16, /* a byte of a table is worth compacting for the sake of so many of values */
    EASY_MEMTABLES = 4,
};

static uint64_t dead_of(const live_blob *b) { return b->file->bytes - b->bytes; }

static bool beyond(uint64_t part, uint64_t whole, unsigned thousandths)
{
    return (double)part * 1000 > (double)whole * thousandths;
}

static int emptiest_first(const void *a, const void *b)
{
    const live_blob *x = a, *y = b;
    double of_x = (double)dead_of(x) / (double)x->file->bytes, of_y = (double)dead_of(y) / (double)y->file->bytes;
    if (of_x != of_y) return of_x > of_y ? -1 : 1;
    return x->file->file_no < y->file->file_no ? -1 : 1;
}

static int by_number(const void *a, const void *b)
{
    const live_blob *x = a, *y = b;
    return x->file->file_no < y->file->file_no ? -1 : 1;
}

chr_status blob_victims(const version *v, live_blob **victims, size_t *n)
{
    uint64_t dead = v->blob_bytes - v->blob_live;
    *victims = NULL;
    *n = 0;
    if (!beyond(dead, v->blob_live, GARBAGE_MAX)) return CHR_OK;
    live_blob *all = malloc(v->n_blobs * sizeof *all);
    if (!all) return chr_nomem();
    memcpy(all, v->blobs, v->n_blobs * sizeof *all);
    qsort(all, v->n_blobs, sizeof *all, emptiest_first);
    size_t   go = 0;
    uint64_t gain = 0;
    while (go < v->n_blobs && beyond(dead, v->blob_live, GARBAGE_LOW) && !beyond(gain, v->blob_live, GAIN_AT_ONCE)) {
        gain += dead_of(&all[go]);
        dead -= dead_of(&all[go++]);
    }
    qsort(all, go, sizeof *all, by_number);
    *victims = all;
    *n = go;
    return CHR_OK;
}

/* How much of the victims the table keeps. Both lists ascend. */
static uint64_t kept_by(const table_info *t, const live_blob *victims, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0, k = 0; i < t->n_blobs && k < n;) {
        uint64_t no = victims[k].file->file_no;
        if (t->blobs[i].file_no == no) bytes += t->blobs[i].bytes;
        if (t->blobs[i].file_no <= no)
            i++;
        else
            k++;
    }
    return bytes;
}

static uint64_t level0_values(const version *v)
{
    uint64_t     bytes = 0;
    const level *zero = &v->levels[0];
    for (size_t k = 0; k < zero->count; k++) bytes += table_blob_bytes(table_ref_info(zero->tables[k]));
    return bytes;
}

bool level0_hides_garbage(const version *v, const level *target)
{
    uint64_t values = v->n_blobs ? level0_values(v) : 0;
    return beyond(values, v->blob_live, LEVEL0_SHARE) && values / TABLE_COST > v->levels[0].bytes + target->bytes;
}

/* Tables of level 0 are left alone: as soon as they sink, their references pass by. And a file that was flushed with one
 * of them has nothing dead in it yet. */
bool pick_blobs(const db *d, version *v, bool urgent, compaction *c, chr_status *st)
{
    live_blob *victims;
    size_t     n, best = 0;
    uint64_t   best_bytes = 0;
    uint32_t   at = 0;
    if (urgent && (!beyond(v->blob_bytes - v->blob_live, v->blob_live, GARBAGE_URGENT) ||
                   level0_hides_garbage(v, &v->levels[base_level(d, v)])))
        return false;
    if (!chr_ok(*st = blob_victims(v, &victims, &n)) || n == 0) return false;
    for (uint32_t i = 1; i < LEVELS; i++)
        for (size_t k = 0; k < v->levels[i].count; k++) {
            uint64_t bytes = kept_by(table_ref_info(v->levels[i].tables[k]), victims, n);
            if (bytes <= best_bytes) continue;
            best = k;
            best_bytes = bytes;
            at = i;
        }
    /* With its neighbours, until there is enough for a file. */
    const level *l = &v->levels[at];
    size_t       count = 1;
    while (best_bytes > 0 && best_bytes < d->options.table_bytes && best + count < l->count) {
        uint64_t bytes = kept_by(table_ref_info(l->tables[best + count]), victims, n);
        if (bytes == 0) break;
        best_bytes += bytes;
        count++;
    }
    free(victims);
    if (best_bytes == 0) return false;
    if (compaction_in_place(c, v, at, best, count)) return true;
    *st = chr_nomem();
    return false;
}

uint64_t blob_garbage(const version *v) { return v->blob_bytes - v->blob_live + level0_values(v); }

uint64_t blob_garbage_easy(const db *d, const version *v)
{
    uint64_t share = v->blob_live / 1000 * GARBAGE_EASY, least = EASY_MEMTABLES * d->options.chr.memtable_bytes;
    return share > least ? share : least;
}

bool compaction_moves_values(const compaction *c)
{
    uint64_t values = 0, tables = 0;
    if (c->level == c->target) return true;
    for (int which = 0; which < 2; which++)
        for (size_t i = 0; i < c->n_inputs[which]; i++) {
            const table_info *t = table_ref_info(c->inputs[which][i]);
            values += table_blob_bytes(t);
            tables += t->file_bytes;
        }
    return values / TABLE_COST < tables;
}
