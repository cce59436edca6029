/* What is written to files and not yet in the store. A file is the first `base` bytes of its stored value, with extents of new
 * bytes over them, and zeroes elsewhere up to its size. All of it goes to the store in one batch. */
#include "fs/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

static chr_status load_device(mount *m, node *n)
{
    char       text[32];
    size_t     got = 0;
    unsigned   numbers[2] = { 0, 0 };
    chr_status st = fs_read(m, n->at, buf_slice(&n->key), 0, text, sizeof text - 1, &got);
    text[got] = 0;
    char *colon = strchr(text, ':');
    numbers[0] = (unsigned)strtoul(text, NULL, 10);
    if (colon) numbers[1] = (unsigned)strtoul(colon + 1, NULL, 10);
    n->device = makedev(numbers[0], numbers[1]);
    return st;
}

chr_status file_load(mount *m, node *n)
{
    if (n->dirty) return CHR_OK;
    chr_status st = fs_stat(m, n->at, OBJECT_KEY, buf_slice(&n->key), &n->meta);
    n->loaded = st == CHR_OK;
    n->in_store = st == CHR_OK;
    if (n->at) n->meta.expire_ms = 0;
    if (st == CHR_NOT_FOUND) n->meta.size = n->meta.expire_ms = 0;
    n->base = n->meta.size;
    if (st == CHR_OK) node_default_meta(m, &n->meta);
    return st == CHR_OK && (S_ISCHR(n->meta.mode) || S_ISBLK(n->meta.mode)) ? load_device(m, n) : st;
}

chr_status file_refresh(mount *m, node *n)
{
    return n->dirty || (n->unlinked && !n->in_store) || (n->at && n->loaded) ? CHR_OK : file_load(m, n);
}

void file_mark_dirty(mount *m, node *n)
{
    if (n->dirty) return;
    n->dirty = true;
    n->prev_dirty = NULL;
    n->next_dirty = m->dirty;
    if (m->dirty) m->dirty->prev_dirty = n;
    m->dirty = n;
}

void file_forget_dirty(mount *m, node *n)
{
    for (size_t i = 0; i < n->n_extents; i++) chr_buf_free(&n->extents[i].bytes);
    free(n->extents);
    n->extents = NULL;
    n->n_extents = n->cap_extents = 0;
    m->dirty_bytes -= n->dirty_bytes;
    n->dirty_bytes = 0;
    if (!n->dirty) return;
    n->dirty = false;
    if (n->prev_dirty)
        n->prev_dirty->next_dirty = n->next_dirty;
    else
        m->dirty = n->next_dirty;
    if (n->next_dirty) n->next_dirty->prev_dirty = n->prev_dirty;
}

/* ---- extents ---- */

static uint64_t extent_end(const extent *e) { return e->offset + e->bytes.len; }

static size_t first_reaching(const node *n, uint64_t offset) /* the first extent that ends at or after offset */
{
    size_t low = 0, high = n->n_extents;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (extent_end(&n->extents[mid]) < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool insert_extent(node *n, size_t at, uint64_t offset, slice data)
{
    if (n->n_extents == n->cap_extents) {
        size_t  cap = n->cap_extents ? 2 * n->cap_extents : 1; /* most files are written in one go */
        extent *more = realloc(n->extents, cap * sizeof *more);
        if (!more) return false;
        n->extents = more;
        n->cap_extents = cap;
    }
    extent e = { .offset = offset };
    if (!buf_append_slice(&e.bytes, data)) return false;
    memmove(&n->extents[at + 1], &n->extents[at], (n->n_extents - at) * sizeof *n->extents);
    n->extents[at] = e;
    n->n_extents++;
    return true;
}

static bool put_extent(node *n, uint64_t offset, slice data)
{
    uint64_t end = offset + data.len;
    size_t   i = first_reaching(n, offset), j = i;
    while (j < n->n_extents && n->extents[j].offset <= end) j++;
    if (i == j) return insert_extent(n, i, offset, data);

    /* Extents i .. j-1 touch the new bytes and become one. */
    extent  *first = &n->extents[i], *last = &n->extents[j - 1];
    uint64_t start = first->offset < offset ? first->offset : offset;
    uint64_t stop = extent_end(last) > end ? extent_end(last) : end;
    if (first->offset <= offset) {
        if (!buf_reserve(&first->bytes, (size_t)(stop - extent_end(first)))) return false;
        if (last != first && extent_end(last) > end) {
            size_t tail = (size_t)(extent_end(last) - end);
            memcpy(first->bytes.data + (end - start), last->bytes.data + (last->bytes.len - tail), tail);
        }
        memcpy(first->bytes.data + (offset - start), data.data, data.len);
        first->bytes.len = (size_t)(stop - start);
    } else {
        buf joined = { 0 };
        if (!buf_reserve(&joined, (size_t)(stop - start))) return false;
        buf_append_slice(&joined, data);
        if (extent_end(last) > end) {
            size_t tail = (size_t)(extent_end(last) - end);
            buf_append(&joined, last->bytes.data + (last->bytes.len - tail), tail);
        }
        chr_buf_free(&first->bytes);
        first->bytes = joined;
        first->offset = start;
    }
    for (size_t k = i + 1; k < j; k++) chr_buf_free(&n->extents[k].bytes);
    memmove(&n->extents[i + 1], &n->extents[j], (n->n_extents - j) * sizeof *n->extents);
    n->n_extents -= j - i - 1;
    return true;
}

static void cut_extents(node *n, uint64_t size)
{
    while (n->n_extents) {
        extent *e = &n->extents[n->n_extents - 1];
        if (extent_end(e) <= size) return;
        if (e->offset < size) {
            e->bytes.len = (size_t)(size - e->offset);
            return;
        }
        chr_buf_free(&e->bytes);
        n->n_extents--;
    }
}

/* False: no memory, and a part is dropped. */
static bool drop_extents(node *n, uint64_t from, uint64_t to)
{
    size_t i = first_reaching(n, from + 1);
    while (i < n->n_extents && n->extents[i].offset < to) {
        extent  *e = &n->extents[i];
        uint64_t end = extent_end(e);
        if (e->offset < from) {
            slice tail = slice_from(buf_slice(&e->bytes), (size_t)((end < to ? end : to) - e->offset));
            if (tail.len && !insert_extent(n, i + 1, to, tail)) return false;
            n->extents[i].bytes.len = (size_t)(from - n->extents[i].offset);
            i++;
        } else if (end > to) {
            e->bytes.len = (size_t)(end - to);
            memmove(e->bytes.data, e->bytes.data + (to - e->offset), e->bytes.len);
            e->offset = to;
        } else {
            chr_buf_free(&e->bytes);
            memmove(e, e + 1, (n->n_extents - i - 1) * sizeof *e);
            n->n_extents--;
        }
    }
    return true;
}

static void count_dirty(mount *m, node *n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n->n_extents; i++) bytes += n->extents[i].bytes.len;
    m->dirty_bytes += bytes - n->dirty_bytes;
    n->dirty_bytes = bytes;
}

/* ---- reading and changing ---- */

chr_status file_read(mount *m, node *n, uint64_t offset, char *to, size_t len, size_t *got)
{
    *got = 0;
    if (offset >= n->meta.size) return CHR_OK;
    if (len > n->meta.size - offset) len = (size_t)(n->meta.size - offset);
    size_t from_store = 0;
    if (n->in_store && offset < n->base) {
        size_t want = n->base - offset < len ? (size_t)(n->base - offset) : len;
        /* What a clean file holds is the store's to say, all of it as of one moment. */
        chr_status st = fs_read(m, n->at, buf_slice(&n->key), offset, to, n->dirty ? want : len, &from_store);
        if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
        if (st == CHR_NOT_FOUND) from_store = 0;
        if (!n->dirty) {
            *got = from_store;
            return CHR_OK;
        }
    }
    memset(to + from_store, 0, len - from_store);
    for (size_t i = first_reaching(n, offset); i < n->n_extents && n->extents[i].offset < offset + len; i++) {
        const extent *e = &n->extents[i];
        uint64_t      a = e->offset > offset ? e->offset : offset;
        uint64_t      b = extent_end(e) < offset + len ? extent_end(e) : offset + len;
        if (b > a) memcpy(to + (a - offset), e->bytes.data + (a - e->offset), (size_t)(b - a));
    }
    *got = len;
    return CHR_OK;
}

static void touch(mount *m, node *n) { n->meta.mtime_ns = n->meta.ctime_ns = fs_now_ns(m); }

/* A key that the mount does not show, for what is unlinked and still open. */
static chr_status name_hidden(mount *m, buf *key)
{
    key->len = 0;
    bool fits = buf_printf(key, "%s%llu", m->unlinked_prefix, (unsigned long long)++m->next_unlinked);
    return fits ? CHR_OK : chr_nomem();
}

/* An unlinked file has grown too big for memory. */
static chr_status hide(mount *m, node *n)
{
    chr_status st = name_hidden(m, &n->key);
    if (st != CHR_OK) return st;
    n->in_store = true;
    return file_flush(m, n);
}

chr_status file_write(mount *m, node *n, uint64_t offset, slice data)
{
    chr_status st = CHR_OK;
    if (offset > OBJECT_SIZE_MAX || data.len > OBJECT_SIZE_MAX - offset)
        return chr_fail(CHR_TOO_BIG, "a file has at most 128 TiB");
    if (!n->dirty && !n->unlinked) st = file_load(m, n); /* changes build on what is there now */
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st != CHR_OK) return st;
    if (!put_extent(n, offset, data)) return chr_nomem();
    file_mark_dirty(m, n);
    count_dirty(m, n);
    if (offset + data.len > n->meta.size) n->meta.size = offset + data.len;
    touch(m, n);
    n->meta.has_attrs = true;
    if (n->unlinked && !n->in_store) return n->dirty_bytes > UNLINKED_IN_MEMORY ? hide(m, n) : CHR_OK;
    if (n->dirty_bytes > FILE_DIRTY_MAX || m->dirty_bytes > ALL_DIRTY_MAX) return file_flush(m, n);
    return CHR_OK;
}

chr_status file_truncate(mount *m, node *n, uint64_t size)
{
    chr_status st = CHR_OK;
    if (size > OBJECT_SIZE_MAX) return chr_fail(CHR_TOO_BIG, "a file has at most 128 TiB");
    if (!n->dirty && !n->unlinked) st = file_load(m, n);
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st != CHR_OK) return st;
    cut_extents(n, size);
    file_mark_dirty(m, n);
    count_dirty(m, n);
    if (n->base > size) n->base = size;
    n->meta.size = size;
    n->meta.has_attrs = true;
    touch(m, n);
    return CHR_OK;
}

static chr_status punch_stored(mount *m, node *n, uint64_t offset, uint64_t len)
{
    slice      key = buf_slice(&n->key);
    chr_status st = file_flush(m, n);
    if (st != CHR_OK) return st;
    fs_txn *t = fs_txn_begin(m, &key, 1);
    if (!t) return CHR_NO_MEMORY;
    st = fs_txn_punch(t, key, offset, len);
    if (st == CHR_OK)
        st = fs_commit(t);
    else
        fs_txn_abort(t);
    return st == CHR_OK ? file_load(m, n) : st;
}

chr_status file_punch(mount *m, node *n, uint64_t offset, uint64_t len)
{
    chr_status st = file_refresh(m, n);
    if (st != CHR_OK || offset >= n->meta.size) return st;
    if (n->in_store && offset < n->base) return punch_stored(m, n, offset, len);
    bool dropped = drop_extents(n, offset, len < n->meta.size - offset ? offset + len : n->meta.size);
    file_mark_dirty(m, n);
    count_dirty(m, n);
    touch(m, n);
    return dropped ? CHR_OK : chr_nomem();
}

chr_status file_data(mount *m, node *n, uint64_t offset, uint64_t *start, uint64_t *end)
{
    chr_status st = file_refresh(m, n);
    *start = *end = n->meta.size;
    if (st != CHR_OK || offset >= n->meta.size) return st;
    uint64_t base = n->base < n->meta.size ? n->base : n->meta.size;
    if (n->in_store && offset < base) {
        st = fs_data(m, n->at, buf_slice(&n->key), offset, start, end);
        if (st != CHR_OK) return st;
        if (*end > base) *end = base;
        if (*start >= base) *start = *end = n->meta.size;
    }
    size_t i = first_reaching(n, offset + 1);
    if (i == n->n_extents || n->extents[i].offset > *start) return CHR_OK;
    *start = n->extents[i].offset > offset ? n->extents[i].offset : offset;
    *end = extent_end(&n->extents[i]);
    return CHR_OK;
}

/* ---- to the store ---- */

static chr_status stage(fs_txn *t, node *n, slice key)
{
    object_meta there;
    chr_status  st = fs_txn_stat(t, OBJECT_KEY, key, &there);
    bool        whole =
        n->base == 0 && n->n_extents <= 1 &&
        (n->n_extents == 0 ? n->meta.size == 0 : n->extents[0].offset == 0 && n->extents[0].bytes.len == n->meta.size);
    if (st == CHR_NOT_FOUND) {
        slice value = whole && n->n_extents ? buf_slice(&n->extents[0].bytes) : chr_bytes("", 0);
        st = fs_txn_put(t, key, &n->meta, value);
        if (st == CHR_OK && n->xattrs.len) st = fs_txn_set_xattrs(t, OBJECT_KEY, key, buf_slice(&n->xattrs));
        if (whole) return st;
        there.size = 0;
    }
    if (st == CHR_OK && n->base < there.size) st = fs_txn_truncate(t, key, n->base);
    for (size_t i = 0; i < n->n_extents && st == CHR_OK; i++)
        st = fs_txn_write(t, key, n->extents[i].offset, buf_slice(&n->extents[i].bytes));
    uint64_t reached = n->n_extents ? extent_end(&n->extents[n->n_extents - 1]) : 0;
    if (reached < n->base && n->base <= there.size) reached = n->base;
    if (st == CHR_OK && reached < n->meta.size) st = fs_txn_truncate(t, key, n->meta.size);
    return st == CHR_OK ? fs_txn_set_meta(t, OBJECT_KEY, key, &n->meta) : st;
}

/* Another door deleted the key, or it has expired, under changes to what is gone now: they are gone with it, as if they had been
 * made before. Who had written the file whole has made it anew instead. */
static void lose(mount *m, node *n)
{
    file_forget_dirty(m, n);
    n->in_store = n->loaded = false;
    n->base = n->meta.size = 0;
}

static chr_status flush_once(mount *m, node *n)
{
    slice   key = buf_slice(&n->key);
    fs_txn *t = fs_txn_begin(m, &key, 1);
    if (!t) return CHR_NO_MEMORY;
    object_meta now;
    chr_status  st = fs_txn_stat(t, OBJECT_KEY, key, &now);
    if (st == CHR_NOT_FOUND && n->in_store) {
        n->meta.expire_ms = 0;
        if (n->base) {
            fs_txn_abort(t);
            lose(m, n);
            return CHR_OK;
        }
    } else if (st == CHR_OK && n->in_store) {
        n->meta.expire_ms = now.expire_ms;
    }
    st = stage(t, n, key);
    if (st == CHR_OK)
        st = fs_txn_commit(t);
    else
        fs_txn_abort(t);
    if (st != CHR_OK) return st;
    file_forget_dirty(m, n);
    n->in_store = n->loaded = true;
    n->base = n->meta.size;
    chr_buf_free(&n->xattrs);
    return CHR_OK;
}

chr_status file_flush(mount *m, node *n)
{
    chr_status st;
    if (!n->dirty || (n->unlinked && !n->in_store)) return CHR_OK;
    do st = flush_once(m, n);
    while (fs_again(m, st));
    n->owed = st != CHR_OK && n->dirty;
    return st;
}

chr_status file_commit(mount *m, node *n)
{
    chr_status st = file_flush(m, n);
    /* Not only its own batch, if there is one: a file too big for memory was flushed before. */
    return st == CHR_OK ? fs_wait_written(m) : st;
}

chr_status files_flush_all(mount *m)
{
    chr_status worst = CHR_OK;
    node      *next;
    for (node *n = m->dirty; n; n = next) {
        next = n->next_dirty;
        chr_status st = file_flush(m, n);
        if (st != CHR_OK) worst = st;
    }
    return worst;
}

chr_status file_keep_contents(mount *m, node *n, buf *hidden)
{
    hidden->len = 0;
    bool in_use = n->opens || !S_ISREG(n->meta.mode); /* the kernel opens FIFOs and the like without a word */
    if (!n->in_store || !in_use) {
        n->in_store = false;
        return CHR_OK;
    }
    chr_status st = file_load(m, n);
    if (st != CHR_OK)
        return st == CHR_NOT_FOUND ? CHR_OK : st; /* another door has taken it away: there is nothing to keep */
    if (n->base <= UNLINKED_IN_MEMORY) {
        st = n->meta.has_xattrs ? fs_get_xattrs(m, n->at, OBJECT_KEY, buf_slice(&n->key), &n->xattrs) : CHR_OK;
        if (st != CHR_OK && st != CHR_NOT_FOUND) return st;
        buf    whole = { 0 };
        size_t got = 0;
        if (!buf_reserve(&whole, (size_t)n->base + 1)) return chr_nomem();
        bool was_dirty = n->dirty;
        n->dirty = true; /* base and extents together, as of now */
        st = file_read(m, n, 0, whole.data, (size_t)n->base, &got);
        n->dirty = was_dirty;
        if (st == CHR_OK && got && !put_extent(n, 0, chr_bytes(whole.data, got))) st = chr_nomem();
        chr_buf_free(&whole);
        if (st != CHR_OK) return st;
        file_mark_dirty(m, n);
        count_dirty(m, n);
        n->in_store = false;
        n->base = 0;
        return CHR_OK;
    }
    return name_hidden(m, hidden); /* too big for memory */
}

chr_status file_move_hidden(fs_txn *t, const node *n, slice hidden)
{
    if (!hidden.len) return CHR_OK;
    return fs_txn_move_if_there(t, OBJECT_KEY, buf_slice(&n->key), hidden);
}
