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
 * Until 4, X holds all that it held, so whoever is in it reads what is right. Sequential inserts leave X's entries
 * together in L, and R begins with the new one, so that leaves end up full.
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
    ROW = SLOTS + 1,       /* of a full node and the slot that does not fit */
    COUNT_SHIFT = 4 * SLOTS,
    DEPTH_MAX = 32,        /* every split leaves at least one slot on either side of it */
};

struct memtree_node {
    _Atomic(uint64_t)          order;   /* slot numbers in key order, 4 bits each from the lowest up; above them the count */
    _Atomic(uint32_t)          version; /* how often this memory was taken out of the tree */
    _Atomic(uint32_t)          shape;   /* skip << 1 | is a leaf */
    _Atomic(memtree_node *)    next;    /* leaves: the right neighbour. spare nodes: the next spare one */
    _Atomic(const mem_entry *) low;     /* everything in here is at or after it; NULL: no bound */
    _Atomic(uint64_t)          prefix[SLOTS];
    _Atomic(const void *)      slot[SLOTS];
};
static_assert(sizeof(struct memtree_node) == 256, "four cache lines");

typedef memtree_node node;

/* ---- entries ---- */

mem_entry *mem_entry_new(arena *a, slice key, uint64_t trailer, slice value)
{
    assert(key.len <= ENGINE_KEY_MAX && value.len <= ENGINE_KEY_MAX + ENGINE_VALUE_MAX);
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

static inline bool     is_leaf(const node *n) { return LOAD(n->shape) & 1; }
static inline uint32_t skip_of(const node *n) { return LOAD(n->shape) >> 1; }
static inline unsigned count_of(uint64_t order) { return (unsigned)(order >> COUNT_SHIFT); }
static inline unsigned slot_at(uint64_t order, unsigned pos) { return (unsigned)(order >> 4 * pos) & 15; }
static inline const mem_entry *entry_at(const node *n, uint64_t order, unsigned pos) { return LOAD(n->slot[slot_at(order, pos)]); }
static inline node *child_at(const node *n, uint64_t order, unsigned pos) { return (node *)(uintptr_t)LOAD(n->slot[slot_at(order, pos)]); }

static inline uint64_t order_with(uint64_t order, unsigned pos, unsigned slot)
{
    uint64_t before = order & ((UINT64_C(1) << 4 * pos) - 1);
    uint64_t after = (order & ((UINT64_C(1) << COUNT_SHIFT) - 1)) >> 4 * pos;
    uint64_t count = count_of(order) + 1;
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

static unsigned count_equal_before(const node *n, bool leaf, uint64_t order, unsigned pos, uint64_t prefix, const memtree_bound *b)
{
    unsigned end = pos, count = count_of(order);
    while (end < count && LOAD(n->prefix[slot_at(order, end)]) == prefix) end++;
    while (pos < end) {
        unsigned         mid = (pos + end) / 2;
        const mem_entry *e = start_at(n, leaf, order, mid);
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
    if (pos < count && LOAD(n->prefix[slot_at(order, pos)]) == prefix) pos = count_equal_before(n, leaf, order, pos, prefix, b);
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
    unsigned    pos;   /* entries of the leaf before the bound */
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
