#include "object/staging.h"

#include "base/hash.h"

#include <stdlib.h>

enum {
    STAGED_LINEAR = 8, /* up to so many items are searched without an index */
    ITEMS_KEPT = 1024, /* what staging_clear leaves allocated */
    PAYLOAD_KEPT = 256 * 1024,
};

void staging_free(staging *s)
{
    batch_free(&s->b);
    free(s->items);
    free(s->slots);
    free(s->ranges);
    *s = (staging){ 0 };
}

void staging_clear(staging *s)
{
    if (s->b.payload.cap > PAYLOAD_KEPT) batch_free(&s->b);
    batch_clear(&s->b);
    if (s->capacity > ITEMS_KEPT) {
        free(s->items);
        s->items = NULL;
        s->capacity = 0;
    }
    free(s->slots);
    free(s->ranges);
    s->slots = NULL;
    s->ranges = NULL;
    s->count = s->slot_count = s->range_count = s->floor = 0;
}

static size_t slot_of(const staging *s, uint64_t hash, slice key)
{
    size_t i = hash & (s->slot_count - 1);
    for (; s->slots[i]; i = (i + 1) & (s->slot_count - 1)) {
        const staged *item = &s->items[s->slots[i] - 1];
        if (item->hash == hash && slice_equal(staged_key(s, item), key)) break;
    }
    return i;
}

static staged *find(const staging *s, uint64_t hash, slice key)
{
    if (s->slot_count) {
        size_t i = slot_of(s, hash, key);
        return s->slots[i] ? &s->items[s->slots[i] - 1] : NULL;
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].hash == hash && slice_equal(staged_key(s, &s->items[i]), key)) return &s->items[i];
    return NULL;
}

/* Room for one more item and its slot. */
static bool reserve(staging *s)
{
    if (s->count == s->capacity) {
        size_t  capacity = s->capacity ? s->capacity * 2 : STAGED_LINEAR;
        staged *items = realloc(s->items, capacity * sizeof *items);
        if (!items) return false;
        s->items = items;
        s->capacity = capacity;
    }
    if (s->count < STAGED_LINEAR || s->count < s->slot_count / 2) return true;
    size_t    slot_count = s->slot_count ? s->slot_count * 4 : 8 * (size_t)STAGED_LINEAR;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots) return false;
    free(s->slots);
    s->slots = slots;
    s->slot_count = slot_count;
    for (size_t i = 0; i < s->count; i++)
        s->slots[slot_of(s, s->items[i].hash, staged_key(s, &s->items[i]))] = (uint32_t)i + 1;
    return true;
}

/* Indexes the write that begins at `from` in the payload. */
static void index_write(staging *s, size_t from, uint64_t hash)
{
    const char *payload = s->b.payload.data;
    reader      r = reader_of(slice_from(buf_slice(&s->b.payload), from));
    entry       write;
    chr_status  st = CHR_OK;
    bool        there = batch_next(&r, &write, &st);
    assert(there && st == CHR_OK);
    (void)there;

    staged *item = find(s, hash, write.key);
    if (!item) {
        item = &s->items[s->count++];
        *item =
            (staged){ .hash = hash, .key_at = (size_t)(write.key.data - payload), .key_len = (uint32_t)write.key.len };
        if (s->slot_count) s->slots[slot_of(s, hash, write.key)] = (uint32_t)s->count;
    }
    item->put = trailer_kind(write.trailer) == KIND_PUT;
    item->value_at = item->put ? (size_t)(write.value.data - payload) : 0;
    item->value_len = item->put ? (uint32_t)write.value.len : 0;
}

chr_status staging_put(staging *s, slice key, slice head, slice body)
{
    size_t from = s->b.payload.len;
    if (!reserve(s)) return chr_nomem();
    chr_status st = batch_put2(&s->b, key, head, body);
    if (chr_ok(st)) index_write(s, from, hash64(key));
    return st;
}

chr_status staging_delete(staging *s, slice key)
{
    size_t from = s->b.payload.len;
    if (!reserve(s)) return chr_nomem();
    chr_status st = batch_delete(&s->b, key);
    if (chr_ok(st)) index_write(s, from, hash64(key));
    return st;
}

/* There is room for it in `ranges`. */
static void index_range(staging *s, size_t from)
{
    const char *payload = s->b.payload.data;
    reader      r = reader_of(slice_from(buf_slice(&s->b.payload), from));
    entry       write;
    chr_status  st = CHR_OK;
    bool        there = batch_next(&r, &write, &st);
    assert(payload && there && st == CHR_OK);
    (void)there;
    s->ranges[s->range_count++] = (staged_range){ .start_at = (size_t)(write.key.data - payload),
                                                  .start_len = (uint32_t)write.key.len,
                                                  .end_at = (size_t)(write.value.data - payload),
                                                  .end_len = (uint32_t)write.value.len };
    for (size_t i = 0; i < s->count; i++) {
        slice key = staged_key(s, &s->items[i]);
        if (slice_compare(key, write.key) >= 0 && slice_compare(key, write.value) < 0) s->items[i].put = false;
    }
}

chr_status staging_delete_range(staging *s, slice start, slice end)
{
    if (slice_compare(start, end) >= 0) return CHR_OK;
    size_t        from = s->b.payload.len;
    staged_range *ranges = realloc(s->ranges, (s->range_count + 1) * sizeof *ranges);
    if (!ranges) return chr_nomem();
    s->ranges = ranges;
    chr_status st = batch_delete_range(&s->b, start, end);
    if (chr_ok(st)) index_range(s, from);
    return st;
}

/* What is left is indexed anew, in order; nothing is allocated, since there was room for more. */
void staging_rollback(staging *s)
{
    if (s->b.payload.len == s->floor) return;
    s->b.payload.len = s->floor;
    s->b.count = 0;
    s->count = s->range_count = 0;
    if (s->slot_count) memset(s->slots, 0, s->slot_count * sizeof *s->slots);
    reader     r = reader_of(buf_slice(&s->b.payload));
    entry      write;
    chr_status st = CHR_OK;
    for (size_t from = 0; batch_next(&r, &write, &st); from = s->floor - reader_left(&r)) {
        s->b.count++;
        if (trailer_kind(write.trailer) == KIND_DELETE_RANGE)
            index_range(s, from);
        else
            index_write(s, from, hash64(write.key));
    }
    assert(st == CHR_OK);
}

bool staging_find(const staging *s, slice key, bool *put, slice *value)
{
    if (s->count) {
        const staged *item = find(s, hash64(key), key);
        if (item) {
            *put = item->put;
            *value = chr_bytes(s->b.payload.data + item->value_at, item->value_len);
            return true;
        }
    }
    for (size_t i = 0; i < s->range_count; i++) {
        const staged_range *r = &s->ranges[i];
        if (slice_compare(key, range_start(s, r)) < 0 || slice_compare(key, range_end(s, r)) >= 0) continue;
        *put = false;
        *value = chr_bytes(NULL, 0);
        return true;
    }
    return false;
}

char *staging_value(staging *s, slice key, size_t *len)
{
    staged *item = s->count ? find(s, hash64(key), key) : NULL;
    if (!item || !item->put || item->value_at < s->floor) return NULL;
    *len = item->value_len;
    return s->b.payload.data + item->value_at;
}
