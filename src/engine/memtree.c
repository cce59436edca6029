/* A B+tree with one writer and readers that take no lock.
 *
 * Nodes. A node holds up to 14 slots of {first 8 bytes of the key after `skip`, pointer}: a leaf's pointers are
 * entries, an inner node's are children. Slots are filled in the order of arrival; the word `order` says how many
 * there are and which comes first, second, ... in key order. To insert is to fill the next free slot and then store
 * `order`: a reader sees the entry in its place or not at all.
 *
 * Ranges. A node covers the keys from `low` up to the `low` of its right neighbour. All keys in there begin with the
 * bytes that both have in common; `skip` is a number of such bytes, so that keys like user:00001234 still differ in
 * the eight bytes that are looked at. Where those are equal the keys themselves are compared.
 *
 * While a node is in the tree, its range, skip and published slots never change, except that an inner node's child
 * may be replaced by one that covers the lower part of its range.
 *
 * Splits. A full node X is replaced by two new ones, L and R, with its slots and the new one. In this order:
 *   1. R becomes a new child of the parent (which is split first if it is full),
 *   2. the parent's pointer to X becomes L,
 *   3. the left neighbour's `next` becomes L,
 *   4. X's version is bumped, and its memory becomes a spare node, soon to be used again.
 * Until 4, X holds all that it held, so whoever is in it reads what is right. Runs of ascending or
 * descending keys leave full nodes behind them (lay_out).
 *
 * Readers. To go from a node P to C: load the pointer, load C's version, and then see that P's version and order
 * (or the root pointer) are still the same. Then C was in the tree and covers what is looked for, since a split of
 * C would have changed P's order first. Whatever is then read of C is right if in the end C's version is still the
 * same. If anything has changed, begin at the root again: there was a split just then, which is rare.
 * A stale pointer is never dangerous, only useless: a leaf's memory is only ever used for leaves, an inner node's for
 * inner nodes, entries and separators never change, and a slot that any `order` speaks of has been filled.
 *
 * Memory order: the writer stores everything with release, readers load everything with acquire. So whoever sees
 * something of a node's next life sees its new version too. */
#include "engine/memtree.h"

#include "engine/prefix.h"

#define LOAD(p) atomic_load_explicit(&(p), memory_order_acquire)
#define STORE(p, value) atomic_store_explicit(&(p), (value), memory_order_release)

enum {
    SLOTS = MEMTREE_SLOTS,
    ROW = SLOTS + 1, /* of a full node and the slot that does not fit */
    COUNT_SHIFT = 4 * SLOTS,
    DEPTH_MAX = 32, /* every split leaves at least one slot on either side of it */
};

struct memtree_node {
    _Atomic(uint64_t)       order; /* slot numbers in key order, 4 bits each from the lowest up; above them the count */
    _Atomic(uint32_t)       version; /* how often this memory was taken out of the tree */
    _Atomic(uint32_t)       shape;   /* skip << 1 | is a leaf */
    _Atomic(memtree_node *) next;    /* leaves: the right neighbour. spare nodes: the next spare one */
    _Atomic(const mem_entry *) low;  /* everything in here is at or after it; NULL: no bound */
    _Atomic(uint64_t)          prefix[SLOTS];
    _Atomic(const void *)      slot[SLOTS];
};
static_assert(sizeof(struct memtree_node) == 256, "four cache lines");

typedef memtree_node node;

/* ---- entries ---- */

mem_entry *mem_entry_new(arena *a, slice key, uint64_t trailer, slice value)
{
    char *p = arena_alloc(a, sizeof trailer + varint_size(key.len) + varint_size(value.len) + key.len + value.len, 1);
    if (!p) return NULL;
    mem_entry *e = (mem_entry *)(void *)p;
    put_u64(p, trailer);
    p += sizeof trailer;
    p += put_varint(p, key.len);
    p += put_varint(p, value.len);
    if (key.len) memcpy(p, key.data, key.len);
    if (value.len) memcpy(p + key.len, value.data, value.len);
    return e;
}

/* These bytes are our own: no need for a `reader`. */
static inline size_t own_varint(const uint8_t **p)
{
    size_t v = *(*p)++;
    if (__builtin_expect(v < 0x80, 1)) return v;
    v &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
        size_t byte = *(*p)++;
        v |= (byte & 0x7f) << shift;
        if (byte < 0x80) return v;
    }
}

static inline uint64_t trailer_at(const mem_entry *e) { return get_u64(e); }

static inline slice key_at(const mem_entry *e)
{
    const uint8_t *p = (const uint8_t *)(const void *)e + sizeof(uint64_t);
    size_t         len = own_varint(&p);
    (void)own_varint(&p);
    return chr_bytes(p, len);
}

entry mem_entry_read(const mem_entry *e)
{
    const uint8_t *p = (const uint8_t *)(const void *)e + sizeof(uint64_t);
    size_t         key_len = own_varint(&p), value_len = own_varint(&p);
    return (entry){ chr_bytes(p, key_len), trailer_at(e), chr_bytes(p + key_len, value_len) };
}

static inline bool is_before(const mem_entry *e, const memtree_bound *b)
{
    int c = b->side == AT_END ? -1 : entry_compare(key_at(e), trailer_at(e), b->key, b->trailer);
    return c < 0 || (c == 0 && b->side == AFTER);
}

/* ---- nodes ---- */

static inline bool             is_leaf(const node *n) { return LOAD(n->shape) & 1; }
static inline uint32_t         skip_of(const node *n) { return LOAD(n->shape) >> 1; }
static inline unsigned         count_of(uint64_t order) { return (unsigned)(order >> COUNT_SHIFT); }
static inline unsigned         slot_at(uint64_t order, unsigned pos) { return (unsigned)(order >> 4 * pos) & 15; }
static inline const mem_entry *entry_at(const node *n, uint64_t order, unsigned pos)
{
    return LOAD(n->slot[slot_at(order, pos)]);
}
static inline node *child_at(const node *n, uint64_t order, unsigned pos)
{
    return (node *)(uintptr_t)LOAD(n->slot[slot_at(order, pos)]);
}

static inline uint64_t order_with(uint64_t order, unsigned pos, unsigned slot)
{
    uint64_t before = order & ((UINT64_C(1) << 4 * pos) - 1);
    uint64_t after = (order & ((UINT64_C(1) << COUNT_SHIFT) - 1)) >> 4 * pos;
    uint64_t count = count_of(order) + 1;
    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): 15 << 56 does fit into 64 bits
    return before | (uint64_t)slot << 4 * pos | after << 4 * (pos + 1) | count << COUNT_SHIFT;
}

/* Four lines at once, instead of one after the other as the search comes to need them. */
static inline void prefetch_node(const node *n)
{
    for (size_t line = 0; line < sizeof *n; line += 64) __builtin_prefetch((const char *)n + line);
}

/* Where the slot at `pos` begins: an entry, or the lower bound of a child (NULL: before everything). */
static inline const mem_entry *start_at(const node *n, bool leaf, uint64_t order, unsigned pos)
{
    return leaf ? entry_at(n, order, pos) : LOAD(child_at(n, order, pos)->low);
}

static unsigned count_equal_before(const node *n, bool leaf, uint64_t order, unsigned pos, uint64_t prefix,
                                   const memtree_bound *b)
{
    unsigned end = pos, count = count_of(order);
    while (end < count && LOAD(n->prefix[slot_at(order, end)]) == prefix) end++;
    /* The first one first: of a key that is written often there are many versions, and most readers want the newest. */
    for (unsigned mid = pos; pos < end; mid = (pos + end) / 2) {
        const mem_entry *e = start_at(n, leaf, order, mid);
        if (leaf) __builtin_prefetch((const char *)(const void *)e + 64); /* for who reads the value */
        if (!e || is_before(e, b))
            pos = mid + 1;
        else
            end = mid;
    }
    return pos;
}

/* How many slots lie before the bound, which the node's range must include. */
static inline unsigned count_before(const node *n, bool leaf, uint64_t order, const memtree_bound *b)
{
    unsigned count = count_of(order), pos = 0;
    if (b->side == AT_END) return count;
    uint64_t prefix = key_prefix(b->key, skip_of(n));
    /* Their order does not matter for that, so no load waits for another. */
    for (unsigned i = 0; i < count; i++) pos += LOAD(n->prefix[i]) < prefix;
    if (pos < count && LOAD(n->prefix[slot_at(order, pos)]) == prefix)
        pos = count_equal_before(n, leaf, order, pos, prefix, b);
    return pos;
}

/* Position of the child that covers the bound. */
static inline unsigned child_before(const node *n, uint64_t order, const memtree_bound *b)
{
    unsigned before = count_before(n, false, order, b);
    return before > 0 ? before - 1 : 0;
}

/* ---- readers ---- */

typedef struct place {
    const node *leaf;
    uint32_t    version;
    uint64_t    order;
    unsigned    pos; /* entries of the leaf before the bound */
} place;

static place locate(const memtree *t, const memtree_bound *b)
{
    for (;;) {
        const node *n = LOAD(t->root);
        uint32_t    version = LOAD(n->version);
        if (LOAD(t->root) != n) continue;
        uint64_t order = LOAD(n->order);
        bool     changed = false;
        while (!changed && !is_leaf(n)) {
            const node *c = child_at(n, order, child_before(n, order, b));
            prefetch_node(c);
            uint32_t child_version = LOAD(c->version);
            changed = LOAD(n->version) != version || LOAD(n->order) != order;
            n = c;
            version = child_version;
            order = LOAD(c->order);
        }
        if (changed) continue;
        unsigned pos = count_before(n, true, order, b);
        if (LOAD(n->version) == version) return (place){ n, version, order, pos };
    }
}

/* The leaf after one that had `version`; false if that leaf has left the tree. No leaf is before its neighbour's range,
 * so all of it comes after. */
static bool right_of(const node *leaf, uint32_t version, const node **next, uint32_t *next_version)
{
    *next = LOAD(leaf->next);
    if (*next) {
        prefetch_node(*next);
        *next_version = LOAD((*next)->version);
    }
    return LOAD(leaf->version) == version && LOAD(leaf->next) == *next;
}

const mem_entry *memtree_find(const memtree *t, slice key, uint64_t trailer)
{
    memtree_bound b = { key, trailer, BEFORE };
    for (;;) {
        place            p = locate(t, &b);
        const node      *leaf = p.leaf;
        uint32_t         version = p.version;
        const mem_entry *e = NULL;
        if (p.pos < count_of(p.order)) {
            e = entry_at(leaf, p.order, p.pos);
        } else {
            if (!right_of(p.leaf, p.version, &leaf, &version)) continue;
            if (!leaf) return NULL;
            e = entry_at(leaf, LOAD(leaf->order), 0);
        }
        if (LOAD(leaf->version) == version) return e;
    }
}

static bool copy_leaf(memtree_cursor *c, const node *leaf, uint32_t version, uint64_t order)
{
    c->leaf = leaf;
    c->version = version;
    c->count = count_of(order);
    for (unsigned i = 0; i < c->count; i++) c->entries[i] = entry_at(leaf, order, i);
    if (LOAD(leaf->version) != version) return false;
    for (unsigned i = 0; i < c->count; i++) __builtin_prefetch(c->entries[i]);
    return true;
}

/* To the first entry of the next leaf; *moved false: the leaf has left the tree meanwhile. */
static bool step_right(memtree_cursor *c, bool *moved)
{
    const node *next;
    uint32_t    version = 0;
    *moved = right_of(c->leaf, c->version, &next, &version);
    if (!*moved || !next) return false;
    *moved = copy_leaf(c, next, version, LOAD(next->order));
    c->at = 0;
    return *moved;
}

bool memtree_seek(memtree_cursor *c, memtree_bound b)
{
    for (;;) {
        place p = locate(c->tree, &b);
        if (!copy_leaf(c, p.leaf, p.version, p.order)) continue;
        c->at = p.pos;
        if (c->at < c->count) return true;
        bool moved;
        if (step_right(c, &moved)) return true;
        if (moved) return false;
    }
}

bool memtree_seek_back(memtree_cursor *c, memtree_bound b)
{
    for (;;) {
        place p = locate(c->tree, &b);
        if (p.pos > 0) {
            if (!copy_leaf(c, p.leaf, p.version, p.order)) continue;
            c->at = p.pos - 1;
            return true;
        }
        /* The bound lies between the beginning of the leaf's range and its first entry. */
        const mem_entry *low = LOAD(p.leaf->low);
        if (LOAD(p.leaf->version) != p.version) continue;
        if (!low) return false;
        b = (memtree_bound){ key_at(low), trailer_at(low), BEFORE };
    }
}

bool memtree_next(memtree_cursor *c)
{
    if (++c->at < c->count) return true;
    const mem_entry *from = c->entries[c->count - 1];
    bool             moved;
    bool             found = step_right(c, &moved);
    if (!moved) found = memtree_seek(c, (memtree_bound){ key_at(from), trailer_at(from), AFTER });
    return found;
}

bool memtree_prev(memtree_cursor *c)
{
    if (c->at > 0) {
        c->at--;
        return true;
    }
    return memtree_seek_back(c, (memtree_bound){ key_at(c->entries[0]), trailer_at(c->entries[0]), BEFORE });
}

/* ---- the writer ---- */

typedef struct step {
    node    *at;
    uint64_t order;
    unsigned pos; /* inner: of the child that was taken; leaf: where the entry belongs */
} step;

/* The way from the root to a leaf. */
typedef struct path {
    step     steps[DEPTH_MAX];
    unsigned leaf; /* index of the last step */
} path;

/* What a node is filled from, in key order. */
typedef struct row {
    uint64_t    prefix[ROW];
    const void *slot[ROW];
} row;

/* The two nodes that a full one becomes. */
typedef struct halves {
    node            *left, *right;
    const mem_entry *middle; /* the lower bound of `right` */
} halves;

static void find_path(const memtree *t, const memtree_bound *b, path *way)
{
    unsigned d = 0;
    for (node *n = LOAD(t->root);; d++) {
        assert(d < DEPTH_MAX);
        step *s = &way->steps[d];
        s->at = n;
        s->order = LOAD(n->order);
        if (is_leaf(n)) {
            s->pos = count_before(n, true, s->order, b);
            break;
        }
        s->pos = child_before(n, s->order, b);
        n = child_at(n, s->order, s->pos);
        prefetch_node(n);
    }
    way->leaf = d;
}

static void put_slot(node *n, uint64_t order, unsigned pos, uint64_t prefix, const void *slot)
{
    unsigned fresh = count_of(order);
    assert(fresh < SLOTS && pos <= fresh);
    STORE(n->prefix[fresh], prefix);
    STORE(n->slot[fresh], slot);
    STORE(n->order, order_with(order, pos, fresh));
}

/* Makes sure of `n` spare nodes. */
static bool reserve_nodes(memtree *t, bool leaf, unsigned n)
{
    for (const node *s = t->spare[leaf]; s && n > 0; s = LOAD(s->next)) n--;
    for (; n > 0; n--) {
        node *fresh = arena_alloc(&t->memory, sizeof *fresh, 64);
        if (!fresh) return false;
        memset((void *)fresh, 0, sizeof *fresh);
        STORE(fresh->shape, leaf);
        STORE(fresh->next, t->spare[leaf]);
        t->spare[leaf] = fresh;
    }
    return true;
}

static node *take_node(memtree *t, bool leaf)
{
    node *n = t->spare[leaf];
    assert(n && is_leaf(n) == leaf);
    t->spare[leaf] = LOAD(n->next);
    STORE(n->next, NULL);
    return n;
}

/* It is out of the tree: whoever still reads it finds that out now. */
static void retire_node(memtree *t, node *n)
{
    STORE(n->version, LOAD(n->version) + 1);
    STORE(n->next, t->spare[is_leaf(n)]);
    t->spare[is_leaf(n)] = n;
}

/* All keys from `low` up to `high` have this many bytes in common. */
static uint32_t common_skip(const mem_entry *low, const mem_entry *high)
{
    return low && high ? (uint32_t)common_prefix(key_at(low), key_at(high)) : 0;
}

static slice start_key(bool leaf, const void *slot)
{
    const mem_entry *e = leaf ? slot : LOAD(((const node *)slot)->low);
    return e ? key_at(e) : chr_bytes(NULL, 0);
}

/* Fills a spare node with slots [from, to) of a row whose prefixes were taken after `skip` bytes. If those tell too little
 * and the keys have more in common, later bytes are taken. */
static void fill_node(node *n, const row *r, unsigned from, unsigned to, uint32_t skip, const mem_entry *low,
                      const mem_entry *high)
{
    bool     leaf = is_leaf(n);
    uint64_t order = 0;
    unsigned ties = 0;
    for (unsigned i = from + 1; i < to; i++) ties += r->prefix[i - 1] == r->prefix[i];
    uint32_t better = 4 * ties > to - from ? common_skip(low, high) : 0;
    bool     anew = better > skip;
    STORE(n->low, low);
    STORE(n->shape, (anew ? better : skip) << 1 | leaf);
    for (unsigned i = from, count = to - from; i < to; i++) {
        unsigned k = (i - from + count / 2) % count; /* turned, so that neither end looks like a run (lay_out) */
        STORE(n->prefix[k], anew ? key_prefix(start_key(leaf, r->slot[i]), better) : r->prefix[i]);
        STORE(n->slot[k], r->slot[i]);
        order |= (uint64_t)k << 4 * (i - from);
    }
    STORE(n->order, order | (uint64_t)(to - from) << COUNT_SHIFT);
}

/* The row of a full node with one slot more, and where to cut it. `replaced`: stands in for the slot before `pos`. */
static unsigned lay_out(const step *s, unsigned pos, uint64_t prefix, const void *slot, const void *replaced, row *r)
{
    for (unsigned i = 0, from = 0; i < ROW; i++) {
        if (i == pos) {
            r->prefix[i] = prefix;
            r->slot[i] = slot;
            continue;
        }
        unsigned k = slot_at(s->order, from++);
        r->prefix[i] = LOAD(s->at->prefix[k]);
        r->slot[i] = replaced && i + 1 == pos ? replaced : LOAD(s->at->slot[k]);
    }
    /* What comes next to what came last is part of a run: leave the run room to go on, and none within it. */
    unsigned newest = SLOTS - 1;
    if (pos > 0 && slot_at(s->order, pos - 1) == newest) return pos < SLOTS ? pos + 1 : SLOTS; /* upwards */
    if (pos < SLOTS && slot_at(s->order, pos) == newest) return pos > 0 ? pos : 1;             /* downwards */
    return SLOTS / 2;
}

/* The shortest key that separates the two, or the later entry's own place if they are versions of one key. */
static const mem_entry *new_separator(memtree *t, const mem_entry *before, const mem_entry *after)
{
    slice a = key_at(before), b = key_at(after);
    if (slice_equal(a, b)) return mem_entry_new(&t->memory, b, trailer_at(after), chr_bytes(NULL, 0));
    return mem_entry_new(&t->memory, chr_bytes(b.data, common_prefix(a, b) + 1), UINT64_MAX, chr_bytes(NULL, 0));
}

/* Where the range of the node at depth `d` ends; NULL: nowhere. */
static const mem_entry *high_of(const path *way, unsigned d)
{
    while (d-- > 0) {
        const step *s = &way->steps[d];
        if (s->pos + 1 < count_of(s->order)) return LOAD(child_at(s->at, s->order, s->pos + 1)->low);
    }
    return NULL;
}

static node *left_neighbour(const path *way)
{
    for (unsigned d = way->leaf; d-- > 0;) {
        const step *s = &way->steps[d];
        if (s->pos == 0) continue;
        node *n = child_at(s->at, s->order, s->pos - 1);
        while (!is_leaf(n)) {
            uint64_t order = LOAD(n->order);
            n = child_at(n, order, count_of(order) - 1);
        }
        return n;
    }
    return NULL;
}

/* Makes, out of sight of readers, the two halves of the node at depth `d` with one slot more. */
static void make_halves(memtree *t, const path *way, unsigned d, const row *r, unsigned cut, const mem_entry *middle,
                        halves *h)
{
    node            *n = way->steps[d].at;
    const mem_entry *low = LOAD(n->low);
    bool             leaf = is_leaf(n);
    *h = (halves){ take_node(t, leaf), take_node(t, leaf), middle };
    fill_node(h->left, r, 0, cut, skip_of(n), low, middle);
    fill_node(h->right, r, cut, ROW, skip_of(n), middle, high_of(way, d));
}

/* Splits the full leaf at the end of the path, and what above it is full, to take in `e`. */
static bool split(memtree *t, const path *way, uint64_t prefix, const mem_entry *e)
{
    const step *s = &way->steps[way->leaf];
    unsigned    top = way->leaf; /* the highest node that is split */
    while (top > 0 && count_of(way->steps[top - 1].order) == SLOTS) top--;
    if (!reserve_nodes(t, true, 2) || !reserve_nodes(t, false, 2 * (way->leaf - top) + (top == 0))) return false;
    row              r;
    unsigned         cut = lay_out(s, s->pos, prefix, e, NULL, &r);
    const mem_entry *middle = new_separator(t, r.slot[cut - 1], r.slot[cut]);
    if (!middle) return false;
    node  *before = left_neighbour(way);
    halves h, lower;
    make_halves(t, way, way->leaf, &r, cut, middle, &h);
    STORE(h.right->next, LOAD(s->at->next));
    STORE(h.left->next, h.right);
    if (t->last == s->at) t->last = h.right;
    node *left_leaf = h.left;

    for (unsigned d = way->leaf; d-- > top;) {
        s = &way->steps[d];
        lower = h;
        cut = lay_out(s, s->pos + 1, key_prefix(key_at(lower.middle), skip_of(s->at)), lower.right, lower.left, &r);
        make_halves(t, way, d, &r, cut, LOAD(((const node *)r.slot[cut])->low), &h);
    }

    if (top == 0) {
        node *root = take_node(t, false);
        row   both = { { 0, key_prefix(key_at(h.middle), 0) }, { h.left, h.right } };
        fill_node(root, &both, 0, 2, 0, NULL, NULL);
        STORE(t->root, root);
    } else {
        s = &way->steps[top - 1];
        put_slot(s->at, s->order, s->pos + 1, key_prefix(key_at(h.middle), skip_of(s->at)), h.right);
        STORE(s->at->slot[slot_at(s->order, s->pos)], h.left);
    }
    if (before) STORE(before->next, left_leaf);
    for (unsigned d = top; d <= way->leaf; d++) retire_node(t, way->steps[d].at);
    return true;
}

bool memtree_insert(memtree *t, const mem_entry *e)
{
    memtree_bound b = { key_at(e), trailer_at(e), BEFORE };
    uint64_t      prefix = key_prefix(b.key, 0);
    bool          append =
        !t->greatest || prefix > t->greatest_prefix || (prefix == t->greatest_prefix && is_before(t->greatest, &b));
    uint64_t last_order = LOAD(t->last->order);
    if (append && count_of(last_order) < SLOTS) {
        put_slot(t->last, last_order, count_of(last_order), key_prefix(b.key, skip_of(t->last)), e);
    } else {
        path way;
        find_path(t, &b, &way);
        const step *s = &way.steps[way.leaf];
        uint64_t    slot_prefix = key_prefix(b.key, skip_of(s->at));
        if (count_of(s->order) < SLOTS)
            put_slot(s->at, s->order, s->pos, slot_prefix, e);
        else if (!split(t, &way, slot_prefix, e))
            return false;
    }
    if (append) {
        t->greatest = e;
        t->greatest_prefix = prefix;
    }
    return true;
}

bool memtree_init(memtree *t)
{
    *t = (memtree){ 0 };
    arena_init(&t->memory);
    if (!reserve_nodes(t, true, 1)) return false;
    t->last = take_node(t, true);
    STORE(t->root, t->last);
    return true;
}

void memtree_free(memtree *t) { arena_free(&t->memory); }
