#include "engine/blob_gc.h"

#include <stdlib.h>

/* In thousandths of the live bytes. */
enum {
    GARBAGE_MAX = 180,
    GARBAGE_LOW = 160,
    GARBAGE_URGENT = 300,
    LEVEL0_SHARE = 100, /* of the live values, referred to from level 0 */
};
enum { LEVEL0_COST = 16 }; /* bytes of values for each of the tables to be compacted */

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
    size_t go = 0;
    for (; go < v->n_blobs && beyond(dead, v->blob_live, GARBAGE_LOW); go++) dead -= dead_of(&all[go]);
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

/* Tables of level 0 are left alone: as soon as they sink, their references pass by. And a file that was flushed with one
 * of them has nothing dead in it yet. */
bool pick_blobs(version *v, bool urgent, compaction *c, chr_status *st)
{
    live_blob *victims;
    size_t     n;
    uint64_t   best_bytes = 0;
    uint32_t   best_level = 0;
    table_ref *best = NULL;
    if (urgent && !beyond(v->blob_bytes - v->blob_live, v->blob_live, GARBAGE_URGENT)) return false;
    if (!chr_ok(*st = blob_victims(v, &victims, &n)) || n == 0) return false;
    for (uint32_t i = 1; i < LEVELS; i++)
        for (size_t k = 0; k < v->levels[i].count; k++) {
            table_ref *t = v->levels[i].tables[k];
            uint64_t   bytes = kept_by(table_ref_info(t), victims, n);
            if (bytes <= best_bytes) continue;
            best = t;
            best_bytes = bytes;
            best_level = i;
        }
    free(victims);
    if (!best) return false;
    *c = (compaction){ .level = best_level, .target = best_level };
    c->inputs[0] = malloc(sizeof *c->inputs[0]);
    c->input_levels = malloc(sizeof *c->input_levels);
    if (!c->inputs[0] || !c->input_levels) {
        compaction_free(c);
        *st = chr_nomem();
        return false;
    }
    c->inputs[0][0] = best;
    c->input_levels[0] = best_level;
    c->n_inputs[0] = 1;
    c->base = v;
    version_take(v);
    return true;
}

bool level0_hides_garbage(const version *v, const level *target)
{
    uint64_t     values = 0;
    const level *zero = &v->levels[0];
    if (v->n_blobs == 0) return false;
    for (size_t k = 0; k < zero->count; k++) values += table_blob_bytes(table_ref_info(zero->tables[k]));
    return beyond(values, v->blob_live, LEVEL0_SHARE) && values / LEVEL0_COST > zero->bytes + target->bytes;
}
