/* Cutting overlapping range tombstones into fragments.
 *
 * All starts and ends are sorted; between two neighbouring ones the same tombstones apply everywhere. One sweep from
 * left to right keeps the seqs of those that apply, newest first. Neighbours with the same seqs become one fragment
 * again: tables cut tombstones at their borders, and the cuts would add up from compaction to compaction. */
#include "engine/rangedel.h"

#include <stdlib.h>

typedef struct fragment {
    slice  start, end;
    size_t first_seq; /* index in `seqs` */
    size_t n_seqs;
} fragment;

/* One block of memory: this, the fragments, their seqs, the bytes of their keys. */
struct rangedel {
    size_t    count, bytes;
    uint64_t *seqs;
    fragment  at[];
};

typedef struct edge {
    slice    key;
    uint64_t seq;
    bool     begins;
} edge;

typedef struct sweep {
    edge     *edges; /* sorted by key */
    size_t    n_edges;
    uint64_t *active; /* newest first; a seq as often as tombstones with it apply */
    size_t    n_active;
    fragment *fragments;
    size_t    n_fragments, cap_fragments;
    uint64_t *seqs;
    size_t    n_seqs, cap_seqs;
} sweep;

static int order_edges(const void *a, const void *b)
{
    return slice_compare(((const edge *)a)->key, ((const edge *)b)->key);
}

/* Both edges of every tombstone; what covers nothing is left out. */
static bool collect_edges(sweep *s, const range_tombstone *tombstones, size_t n)
{
    if (n > SIZE_MAX / 4 / sizeof *s->edges) return false;
    s->edges = malloc((2 * n + 1) * sizeof *s->edges);
    s->active = malloc((n + 1) * sizeof *s->active);
    if (!s->edges || !s->active) return false;
    for (size_t i = 0; i < n; i++) {
        const range_tombstone *t = &tombstones[i];
        if (slice_compare(t->start, t->end) >= 0) continue;
        s->edges[s->n_edges++] = (edge){ t->start, t->seq, true };
        s->edges[s->n_edges++] = (edge){ t->end, t->seq, false };
    }
    qsort(s->edges, s->n_edges, sizeof *s->edges, order_edges);
    return true;
}

static void apply_edge(sweep *s, const edge *e)
{
    size_t lo = 0, hi = s->n_active; /* lo: the first that is not newer */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->active[mid] > e->seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    uint64_t *at = s->active + lo;
    size_t    rest = s->n_active - lo;
    if (e->begins) {
        memmove(at + 1, at, rest * sizeof *at);
        *at = e->seq;
        s->n_active++;
    } else {
        assert(rest > 0 && *at == e->seq);
        memmove(at, at + 1, (rest - 1) * sizeof *at);
        s->n_active--;
    }
}

/* *array has room for `need` elements. */
static bool grow(void **array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return true;
    size_t to = *cap ? 2 * *cap : 8;
    if (to < need) to = need;
    void *more = realloc(*array, to * size);
    if (!more) return false;
    *array = more;
    *cap = to;
    return true;
}

/* What is active applies from `start` to `end`. */
static bool add_fragment(sweep *s, slice start, slice end)
{
    if (!grow((void **)&s->seqs, &s->cap_seqs, s->n_seqs + s->n_active, sizeof *s->seqs) ||
        !grow((void **)&s->fragments, &s->cap_fragments, s->n_fragments + 1, sizeof *s->fragments))
        return false;
    uint64_t *seqs = s->seqs + s->n_seqs;
    size_t    n = 0;
    for (size_t i = 0; i < s->n_active; i++)
        if (n == 0 || seqs[n - 1] != s->active[i]) seqs[n++] = s->active[i];
    assert(s->fragments);
    fragment *last = s->n_fragments > 0 ? &s->fragments[s->n_fragments - 1] : NULL;
    if (last && last->n_seqs == n && slice_equal(last->end, start) &&
        memcmp(s->seqs + last->first_seq, seqs, n * sizeof *seqs) == 0) {
        last->end = end;
    } else {
        s->fragments[s->n_fragments++] = (fragment){ start, end, s->n_seqs, n };
        s->n_seqs += n;
    }
    return true;
}

static bool cut(sweep *s)
{
    for (size_t i = 0; i < s->n_edges; i++) {
        const edge *e = &s->edges[i];
        if (s->n_active > 0 && !slice_equal(e[-1].key, e->key) && !add_fragment(s, e[-1].key, e->key)) return false;
        apply_edge(s, e);
    }
    assert(s->n_active == 0);
    return true;
}

static slice copy_key(char **at, slice key)
{
    slice copy = chr_bytes(*at, key.len);
    if (key.len) memcpy(*at, key.data, key.len);
    *at += key.len;
    return copy;
}

/* The result in one block. Fragments that touch share the key between them. */
static rangedel *pack(const sweep *s)
{
    size_t key_bytes = 0;
    for (size_t i = 0; i < s->n_fragments; i++) {
        const fragment *f = &s->fragments[i];
        bool            touches = i > 0 && slice_equal(f[-1].end, f->start);
        key_bytes += f->end.len + (touches ? 0 : f->start.len);
    }
    size_t    bytes = sizeof(rangedel) + s->n_fragments * sizeof(fragment) + s->n_seqs * sizeof(uint64_t) + key_bytes;
    rangedel *set = malloc(bytes);
    if (!set) return NULL;
    set->count = s->n_fragments;
    set->bytes = bytes;
    set->seqs = (uint64_t *)(void *)(set->at + s->n_fragments);
    if (s->n_seqs > 0) memcpy(set->seqs, s->seqs, s->n_seqs * sizeof *s->seqs);
    char *keys = (char *)(set->seqs + s->n_seqs);
    for (size_t i = 0; i < s->n_fragments; i++) {
        const fragment *f = &s->fragments[i];
        bool            touches = i > 0 && slice_equal(f[-1].end, f->start);
        slice           start = touches ? set->at[i - 1].end : copy_key(&keys, f->start);
        set->at[i] = (fragment){ start, copy_key(&keys, f->end), f->first_seq, f->n_seqs };
    }
    assert(keys == (char *)set + bytes);
    return set;
}

rangedel *rangedel_new(const range_tombstone *tombstones, size_t n)
{
    sweep     s = { 0 };
    rangedel *set = collect_edges(&s, tombstones, n) && cut(&s) ? pack(&s) : NULL;
    free(s.edges);
    free(s.active);
    free(s.fragments);
    free(s.seqs);
    return set;
}

void rangedel_free(rangedel *set) { free(set); }

uint64_t rangedel_covers(const rangedel *set, slice key, uint64_t at_seq)
{
    if (!set) return 0;
    size_t lo = 0, hi = set->count; /* lo: fragments that do not begin after the key */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (slice_compare(set->at[mid].start, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || slice_compare(key, set->at[lo - 1].end) >= 0) return 0;
    const fragment *f = &set->at[lo - 1];
    const uint64_t *seqs = set->seqs + f->first_seq;
    size_t          newer = 0, end = f->n_seqs;
    while (newer < end) {
        size_t mid = (newer + end) / 2;
        if (seqs[mid] > at_seq)
            newer = mid + 1;
        else
            end = mid;
    }
    return newer < f->n_seqs ? seqs[newer] : 0;
}

size_t rangedel_count(const rangedel *set) { return set ? set->count : 0; }
size_t rangedel_bytes(const rangedel *set) { return set->bytes; }

range_fragment rangedel_at(const rangedel *set, size_t i)
{
    assert(i < set->count);
    const fragment *f = &set->at[i];
    return (range_fragment){ f->start, f->end, set->seqs + f->first_seq, f->n_seqs };
}
