#include "engine/level_iter.h"

#include <stdlib.h>

typedef struct level_iter {
    iter              base;
    table_ref *const *tables;
    size_t            count;
    size_t            index; /* of the table that `child` walks */
    table_access      access;
    iter             *child; /* NULL: unpositioned */
} level_iter;

static level_iter *self(iter *it) { return (level_iter *)it; }

/* Makes tables[index] the one that is walked. */
static bool open_child(level_iter *l, size_t index)
{
    if (l->child && l->index == index) return true;
    iter_free(l->child);
    l->index = index;
    l->child = table_iter_new(l->tables[index]->table, l->access);
    if (!l->child) iter_fail(&l->base, chr_nomem());
    return l->child != NULL;
}

static void take(level_iter *l)
{
    l->base.valid = l->child && l->child->valid;
    if (l->base.valid) {
        l->base.at = l->child->at;
    } else if (l->child && l->child->status != CHR_OK) {
        l->base.status = l->child->status;
        buf_set(&l->base.error, buf_slice(&l->child->error));
    }
}

/* A table may have nothing but range tombstones, so there may be several to pass over. */
static void forward(level_iter *l)
{
    while (!l->child->valid && l->child->status == CHR_OK && l->index + 1 < l->count) {
        if (!open_child(l, l->index + 1)) return;
        iter_first(l->child);
    }
    take(l);
}

static void backward(level_iter *l)
{
    while (!l->child->valid && l->child->status == CHR_OK && l->index > 0) {
        if (!open_child(l, l->index - 1)) return;
        iter_last(l->child);
    }
    take(l);
}

static bool begin(level_iter *l)
{
    l->base.valid = false;
    l->base.status = CHR_OK;
    return l->count > 0;
}

static void level_first(iter *it)
{
    level_iter *l = self(it);
    if (!begin(l) || !open_child(l, 0)) return;
    iter_first(l->child);
    forward(l);
}

static void level_last(iter *it)
{
    level_iter *l = self(it);
    if (!begin(l) || !open_child(l, l->count - 1)) return;
    iter_last(l->child);
    backward(l);
}

static size_t find(const level_iter *l, slice key)
{
    level as = { .tables = (table_ref **)(uintptr_t)l->tables, .count = l->count };
    return level_find(&as, key);
}

static void level_seek(iter *it, slice key, uint64_t trailer)
{
    level_iter *l = self(it);
    size_t      i = find(l, key);
    if (!begin(l) || i == l->count || !open_child(l, i)) return;
    iter_seek(l->child, key, trailer);
    forward(l);
}

static void level_seek_back(iter *it, slice key, uint64_t trailer)
{
    level_iter *l = self(it);
    if (!begin(l)) return;
    size_t i = find(l, key);
    if (i == l->count) i--;
    if (!open_child(l, i)) return;
    iter_seek_back(l->child, key, trailer);
    backward(l);
}

static void level_next(iter *it)
{
    level_iter *l = self(it);
    iter_next(l->child);
    forward(l);
}

static void level_prev(iter *it)
{
    level_iter *l = self(it);
    iter_prev(l->child);
    backward(l);
}

static void level_free(iter *it)
{
    level_iter *l = self(it);
    iter_free(l->child);
    chr_buf_free(&l->base.error);
    free(l);
}

iter *level_iter_new(table_ref *const *tables, size_t count, table_access access)
{
    static const struct iter_ops ops = { level_first, level_last, level_seek, level_seek_back,
                                         level_next,  level_prev, level_free };
    level_iter                  *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    *l = (level_iter){ .base.ops = &ops, .tables = tables, .count = count, .access = access };
    return &l->base;
}
