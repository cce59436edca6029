/* Point reads and snapshots. A read looks at the memtables, newest first, then at level 0, newest first, then at one
 * table of each level below. What comes first is newer, so the first thing found, a value, a tombstone or a range
 * tombstone, is the answer. */
#include "engine/db_impl.h"

#include "base/hash.h"

#include <stdlib.h>

typedef struct lookup {
    slice        key;
    uint64_t     hash; /* of the key, once a table is asked; 0: not yet computed */
    uint64_t     seq;  /* read as of */
    uint64_t     seen; /* seq of what decided */
    db_visit_fn *visit;
    db_peek_fn  *peek; /* or this */
    void        *arg;

    db            *d;
    const version *version; /* what tables refer to is in its blob files */
} lookup;

_Static_assert((int)DB_HEAD == (int)BLOB_HEAD_MAX, "a reference tells as much as db_peek says");

bool db_head_of(slice reference, slice *head, size_t *len)
{
    blob_at   at;
    blob_head h;
    if (!blob_ref_decode(reference, &at, &h) || !h.len) return false;
    *head = h.bytes;
    *len = (size_t)h.len;
    return true;
}

chr_status db_resolve(db *d, const version *v, slice reference, cache_handle **pin)
{
    blob_at    at;
    blob_file *f = blob_ref_decode(reference, &at, NULL) ? version_blob(v, at.file_no) : NULL;
    if (!f) return chr_corrupt(d->dir, 0, "a table refers to a value that cannot be anywhere");
    return blob_read(f, at, pin);
}

static void tell(lookup *l, slice value)
{
    if (l->visit) l->visit(l->arg, value);
    if (l->peek) l->peek(l->arg, value, value.len);
}

static chr_status visit_blob(lookup *l, slice reference)
{
    cache_handle *pin = NULL;
    slice         head;
    size_t        len;
    if (!l->visit && !l->peek) return CHR_OK;
    if (l->peek && db_head_of(reference, &head, &len)) {
        l->peek(l->arg, head, len);
        return CHR_OK;
    }
    chr_status st = db_resolve(l->d, l->version, reference, &pin);
    if (!chr_ok(st)) return st;
    tell(l, blob_value(pin));
    cache_release(l->d->cache, pin);
    return CHR_OK;
}

/* CHR_OK or CHR_NOT_FOUND: decided. Anything else: an error. *decided false: look further down. */
static chr_status decide(lookup *l, const entry *found, uint64_t range_seq, bool *decided)
{
    uint64_t found_seq = found ? trailer_seq(found->trailer) : 0;
    *decided = found || range_seq;
    l->seen = found_seq > range_seq ? found_seq : range_seq;
    if (!found || range_seq > found_seq || trailer_kind(found->trailer) == KIND_DELETE) return CHR_NOT_FOUND;
    if (trailer_kind(found->trailer) == KIND_BLOB) return visit_blob(l, found->value);
    tell(l, found->value);
    return CHR_OK;
}

static chr_status lookup_table(lookup *l, table_ref *t, bool *decided)
{
    entry         found;
    cache_handle *pin = NULL;
    uint64_t      range_seq = rangedel_covers(table_rangedels(t->table), l->key, l->seq);
    if (!l->hash) l->hash = hash64(l->key);
    chr_status st = table_get(t->table, l->key, l->hash, l->seq, &found, &pin);
    if (!chr_ok(st) && st != CHR_NOT_FOUND) return st;
    st = decide(l, chr_ok(st) ? &found : NULL, range_seq, decided);
    if (pin) cache_release(t->cache, pin);
    return st;
}

static chr_status lookup_view(lookup *l, const view *v)
{
    chr_status st;
    bool       decided = false;
    for (size_t i = 0; i < v->n_mem; i++) {
        memtable *m = v->mem[i]->mem;
        uint64_t  range_seq;
        entry     found;
        if (!chr_ok(st = memtable_range_deleted(m, l->key, l->seq, &range_seq))) return st;
        bool have = memtable_get(m, l->key, l->seq, &found);
        st = decide(l, have ? &found : NULL, range_seq, &decided);
        if (decided) return st;
    }
    const level *zero = &v->version->levels[0];
    for (size_t i = 0; i < zero->count; i++) {
        if (!table_overlaps(table_ref_info(zero->tables[i]), l->key, l->key, false)) continue;
        st = lookup_table(l, zero->tables[i], &decided);
        if (decided || (!chr_ok(st) && st != CHR_NOT_FOUND)) return st;
    }
    for (uint32_t i = 1; i < LEVELS; i++) {
        const level *at = &v->version->levels[i];
        size_t       k = level_find(at, l->key);
        if (k == at->count || slice_compare(buf_slice(&table_ref_info(at->tables[k])->smallest), l->key) > 0) continue;
        st = lookup_table(l, at->tables[k], &decided);
        if (decided || (!chr_ok(st) && st != CHR_NOT_FOUND)) return st;
    }
    return CHR_NOT_FOUND;
}

static chr_status look_up(lookup *l, const db_snapshot *snapshot, uint64_t *seq)
{
    db *d = l->d;
    if (!l->key.data) l->key.data = ""; /* the empty key; NULL would mean "no bound" */
    epoch_enter(d->epoch);
    view *v = db_view_now(d);
    l->version = v->version;
    l->seq = db_visible_seq(d);
    if (snapshot && snapshot->seq < l->seq) l->seq = snapshot->seq;
    chr_status st = lookup_view(l, v);
    epoch_exit(d->epoch);
    if (seq) *seq = l->seen;
    return st;
}

chr_status db_get(db *d, const db_snapshot *snapshot, slice key, db_visit_fn *visit, void *arg, uint64_t *seq)
{
    return look_up(&(lookup){ .key = key, .visit = visit, .arg = arg, .d = d }, snapshot, seq);
}

chr_status db_peek(db *d, const db_snapshot *snapshot, slice key, db_peek_fn *visit, void *arg, uint64_t *seq)
{
    return look_up(&(lookup){ .key = key, .peek = visit, .arg = arg, .d = d }, snapshot, seq);
}

uint64_t db_last_seq(const db *d) { return atomic_load_explicit(&d->last_seq, memory_order_acquire); }

static void enter(db *d, db_snapshot *s)
{
    db_snapshot *after = d->snapshots.prev;
    while (after != &d->snapshots && after->seq > s->seq) after = after->prev;
    s->prev = after;
    s->next = after->next;
    s->prev->next = s->next->prev = s;
}

chr_status db_snapshot_new(db *d, db_snapshot **out)
{
    db_snapshot *s = malloc(sizeof *s);
    if (!s) return chr_nomem();
    pthread_mutex_lock(&d->mu);
    *s = (db_snapshot){ .seq = db_visible_seq(d) };
    enter(d, s);
    pthread_mutex_unlock(&d->mu);
    *out = s;
    return CHR_OK;
}

chr_status db_snapshot_pin(db *d, uint64_t seq, db_snapshot **out)
{
    db_snapshot *s = malloc(sizeof *s);
    if (!s) return chr_nomem();
    *s = (db_snapshot){ .seq = seq, .named = true };
    enter(d, s);
    *out = s;
    return CHR_OK;
}

void db_snapshot_free(db *d, db_snapshot *s)
{
    if (!s) return;
    pthread_mutex_lock(&d->mu);
    s->prev->next = s->next;
    s->next->prev = s->prev;
    if (s->named) pthread_cond_broadcast(&d->work); /* what only this one showed can go */
    pthread_mutex_unlock(&d->mu);
    free(s);
}

uint64_t db_snapshot_seq(const db_snapshot *s) { return s->seq; }

bool db_snapshot_is_live(const db *d, uint64_t seq)
{
    const db_snapshot *s = d->snapshots.prev;
    while (s != &d->snapshots && s->seq > seq) s = s->prev;
    return s != &d->snapshots && s->seq == seq;
}

size_t db_snapshot_seqs(db *d, uint64_t **seqs)
{
    size_t n = 0;
    for (db_snapshot *s = d->snapshots.next; s != &d->snapshots; s = s->next) n++;
    *seqs = malloc((n + 1) * sizeof **seqs);
    if (!*seqs) return 0;
    n = 0;
    for (db_snapshot *s = d->snapshots.next; s != &d->snapshots; s = s->next)
        if (n == 0 || (*seqs)[n - 1] != s->seq) (*seqs)[n++] = s->seq;
    return n;
}
