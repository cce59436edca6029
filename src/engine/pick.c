/* What to compact next.
 *
 * Level 0 is compacted into the base level; the levels from there on grow by a factor of FANOUT each, so that nearly
 * all data is in the last one and space amplification stays near 1 + 1/FANOUT. The base level moves up as the
 * store grows: the sizes of the levels follow from what the last one holds. */
#include "engine/blob_gc.h"

#include <stdlib.h>

enum {
    LEVEL0_TRIGGER = 4, /* tables in level 0 that are worth a compaction */
    FANOUT = 10,
    LAST = LEVELS - 1,
    FORGOTTEN_PART = 10, /* of a table: one in so many bytes is worth building it anew */
};

uint32_t base_level(const db *d, const version *v)
{
    uint64_t bytes = v->levels[LAST].bytes;
    uint32_t base = LAST;
    while (base > 1 && bytes > d->options.l1_bytes) {
        base--;
        bytes /= FANOUT;
    }
    /* Data must not skip over a level that still holds some. */
    for (uint32_t i = 1; i < base; i++)
        if (v->levels[i].count) return i;
    return base;
}

uint64_t level_target(const db *d, const version *v, uint32_t at_level)
{
    uint64_t bytes = v->levels[LAST].bytes;
    for (uint32_t i = LAST; i > at_level; i--) bytes /= FANOUT;
    return bytes > d->options.l1_bytes ? bytes : d->options.l1_bytes;
}

double level_score(const db *d, const version *v, uint32_t at_level)
{
    if (at_level == 0) {
        double score = (double)v->levels[0].count / LEVEL0_TRIGGER;
        return score < 1 && level0_hides_garbage(v, &v->levels[base_level(d, v)]) ? 1 : score;
    }
    if (at_level == LAST) return 0;
    return (double)v->levels[at_level].bytes / (double)level_target(d, v, at_level);
}

void compaction_free(compaction *c)
{
    free(c->inputs[0]);
    free(c->inputs[1]);
    free(c->input_levels);
    version_drop(c->base);
    *c = (compaction){ 0 };
}

static bool add_input(compaction *c, int which, table_ref *t, uint32_t at_level)
{
    size_t      n = c->n_inputs[which];
    table_ref **more = realloc(c->inputs[which], (n + 1) * sizeof *more);
    if (!more) return false;
    c->inputs[which] = more;
    more[n] = t;
    if (which == 0) {
        uint32_t *levels = realloc(c->input_levels, (n + 1) * sizeof *levels);
        if (!levels) return false;
        c->input_levels = levels;
        levels[n] = at_level;
    }
    c->n_inputs[which]++;
    return true;
}

typedef struct key_range {
    slice smallest, largest;
    bool  largest_exclusive, any;
} key_range;

static void widen(key_range *r, const table_info *t)
{
    slice smallest = buf_slice(&t->smallest), largest = buf_slice(&t->largest);
    if (!smallest.data) smallest.data = ""; /* the empty key, not "no bound" */
    if (!largest.data) largest.data = "";
    if (!r->any || slice_compare(smallest, r->smallest) < 0) r->smallest = smallest;
    int c = r->any ? slice_compare(largest, r->largest) : 1;
    if (c > 0 || (c == 0 && !t->largest_exclusive)) {
        r->largest = largest;
        r->largest_exclusive = t->largest_exclusive;
    }
    r->any = true;
}

static bool overlaps(const key_range *r, const table_info *t)
{
    return table_overlaps(t, r->smallest, r->largest, r->largest_exclusive);
}

static uint64_t overlapping_bytes(const level *l, const table_info *t)
{
    key_range r = { 0 };
    uint64_t  bytes = 0;
    widen(&r, t);
    for (size_t k = level_find(l, r.smallest); k < l->count && overlaps(&r, table_ref_info(l->tables[k])); k++)
        bytes += table_ref_info(l->tables[k])->file_bytes;
    return bytes;
}

static bool add_target_inputs(compaction *c, const key_range *r)
{
    const level *l = &c->base->levels[c->target];
    for (size_t k = level_find(l, r->smallest); k < l->count && overlaps(r, table_ref_info(l->tables[k])); k++)
        if (!add_input(c, 1, l->tables[k], c->target)) return false;
    return true;
}

/* The oldest table of level 0 may sink alone if nothing older, there or in the target, shares its range: it is the oldest,
 * so only the target and the tables that would stay above matter, and those are newer. */
static bool pick_level0(compaction *c)
{
    const level *zero = &c->base->levels[0];
    table_ref   *oldest = zero->tables[zero->count - 1];
    key_range    r = { 0 };
    if (overlapping_bytes(&c->base->levels[c->target], table_ref_info(oldest)) == 0) {
        c->trivial_move = true;
        return add_input(c, 0, oldest, 0);
    }
    for (size_t i = 0; i < zero->count; i++) {
        widen(&r, table_ref_info(zero->tables[i]));
        if (!add_input(c, 0, zero->tables[i], 0)) return false;
    }
    return add_target_inputs(c, &r);
}

/* The table that costs least to sink: fewest bytes of the next level to rewrite for each of its own. */
static bool pick_cheapest(compaction *c)
{
    const level *from = &c->base->levels[c->level], *to = &c->base->levels[c->target];
    table_ref   *best = NULL;
    double       best_cost = 0;
    for (size_t i = 0; i < from->count; i++) {
        const table_info *t = table_ref_info(from->tables[i]);
        double            cost = (double)overlapping_bytes(to, t) / (double)t->file_bytes;
        if (best && cost >= best_cost) continue;
        best = from->tables[i];
        best_cost = cost;
    }
    key_range r = { 0 };
    widen(&r, table_ref_info(best));
    if (!add_input(c, 0, best, c->level) || !add_target_inputs(c, &r)) return false;
    c->trivial_move = c->n_inputs[1] == 0;
    return true;
}

bool pick_compaction(db *d, version *v, compaction *c, chr_status *st)
{
    uint32_t base = base_level(d, v), best = LEVELS;
    double   best_score = 1.0;
    for (uint32_t i = 0; i < LAST; i++) {
        if (i > 0 && (i < base || v->levels[i].count == 0)) continue;
        double score = level_score(d, v, i);
        if (score < best_score) continue;
        best = i;
        best_score = score;
    }
    if (best == LEVELS) return false;
    version_take(v);
    *c = (compaction){ .base = v, .level = best, .target = best == 0 ? base : best + 1 };
    if (best == 0 ? pick_level0(c) : pick_cheapest(c)) return true;
    compaction_free(c);
    *st = chr_nomem();
    return false;
}

bool compaction_in_place(compaction *c, version *v, uint32_t at_level, size_t first, size_t n)
{
    version_take(v);
    *c = (compaction){ .base = v, .level = at_level, .target = at_level };
    bool good = true;
    for (size_t i = 0; i < n && good; i++) good = add_input(c, 0, v->levels[at_level].tables[first + i], at_level);
    if (!good) compaction_free(c);
    return good;
}

/* What it has only for snapshots that are gone. */
static uint64_t forgotten_bytes(const db *d, const table_info *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->n_kept; i++)
        if (!db_snapshot_is_live(d, t->kept[i].snapshot)) bytes += t->kept[i].bytes;
    return bytes;
}

/* In level 0 it goes when it sinks. */
bool pick_forgotten(db *d, version *v, compaction *c, chr_status *st)
{
    for (uint32_t i = 1; i < LEVELS; i++)
        for (size_t k = 0; k < v->levels[i].count; k++) {
            const table_info *t = table_ref_info(v->levels[i].tables[k]);
            uint64_t          whole = t->raw_bytes + table_blob_bytes(t);
            if (t->n_kept == 0 || forgotten_bytes(d, t) <= whole / FORGOTTEN_PART) continue;
            if (compaction_in_place(c, v, i, k, 1)) return true;
            *st = chr_nomem();
            return false;
        }
    return false;
}

bool pick_manual(db *d, version *v, slice start, slice end, compaction *c, chr_status *st)
{
    key_range r = { 0 };
    version_take(v);
    *c = (compaction){ .base = v, .level = 0, .target = LAST };
    /* A table that is taken may reach further than what was asked for, and then everything that overlaps it in other
     * levels must come along: newer versions must never sink below older ones. */
    size_t chosen = 0, before;
    bool   good = true;
    do {
        before = chosen;
        chosen = 0;
        for (uint32_t i = 0; i < LEVELS; i++)
            for (size_t k = 0; k < v->levels[i].count; k++) {
                const table_info *t = table_ref_info(v->levels[i].tables[k]);
                if (!table_overlaps(t, start, end, true) && !(r.any && overlaps(&r, t))) continue;
                widen(&r, t);
                chosen++;
            }
    } while (chosen != before);
    bool above = false, garbage = false;
    for (uint32_t i = 0; i < LEVELS && good && r.any; i++)
        for (size_t k = 0; k < v->levels[i].count && good; k++) {
            const table_info *t = table_ref_info(v->levels[i].tables[k]);
            if (!overlaps(&r, t)) continue;
            good = add_input(c, i == LAST ? 1 : 0, v->levels[i].tables[k], i);
            above = above || i < LAST;
            garbage = garbage || t->deletes || t->range_deletes || forgotten_bytes(d, t);
        }
    if (good && (above || garbage)) return true;
    compaction_free(c);
    if (!good) *st = chr_nomem();
    return false; /* all of it is in the last level already */
}
