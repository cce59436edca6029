#include "object/subtree.h"

#include "object/store_internal.h"

chr_status store_any_below(store *s, const store_snapshot *at, object_space space, slice prefix, bool *any)
{
    store_iter *it;
    chr_status  st = store_iter_below(s, at, space, prefix, &it);
    if (!chr_ok(st)) return st;
    chr_iter_first(it);
    *any = chr_iter_valid(it);
    st = chr_iter_status(it);
    chr_iter_free(it);
    return st;
}

bool behind_component(slice prefix, slice rest, buf *key)
{
    size_t len = (size_t)((const char *)memchr(rest.data, '/', rest.len) - rest.data);
    key->len = 0; /* '0' comes right after '/' */
    return buf_append_slice(key, prefix) && buf_append(key, rest.data, len) && buf_append_byte(key, '0');
}

chr_status store_names(store *s, const store_snapshot *at, object_space space, slice prefix, slice from,
                       store_name_fn *fn, void *arg)
{
    store_iter *it;
    buf         next = { 0 };
    chr_status  st = store_iter_below(s, at, space, prefix, &it);
    if (!chr_ok(st)) return st;
    if (from.data && slice_compare(from, prefix) > 0)
        chr_iter_seek(it, from);
    else
        chr_iter_first(it);
    while (chr_ok(st) && chr_iter_valid(it)) {
        slice rest = slice_from(chr_iter_key(it), prefix.len);
        if (!fn(arg, rest)) break;
        if (!rest.len || !memchr(rest.data, '/', rest.len))
            chr_iter_next(it);
        else if (behind_component(prefix, rest, &next))
            chr_iter_seek(it, buf_slice(&next));
        else
            st = chr_nomem();
    }
    if (chr_ok(st)) st = chr_iter_status(it);
    chr_iter_free(it);
    chr_buf_free(&next);
    return st;
}

typedef chr_status move_fn(txn *t, object_space space, slice from, slice to);

/* For what had no counterpart when the other side was gone through. */
static chr_status move_single(txn *t, object_space space, slice from, slice to)
{
    chr_status st = store_stat(t->s, NULL, space, to, NULL, NULL);
    if (st != CHR_NOT_FOUND) return st;
    st = txn_move(t, space, from, to);
    return st == CHR_NOT_FOUND ? CHR_OK : st; /* it has expired meanwhile */
}

/* Does it for each key that begins with `from`, and the same key with `to` instead. */
static chr_status for_each_below(txn *t, slice from, slice to, move_fn *fn)
{
    buf        key = { 0 };
    chr_status st = CHR_OK;
    assert(t->stripe_count == STRIPES);
    for (int space = OBJECT_KEY; space <= OBJECT_DIR && st == CHR_OK; space++) {
        store_iter *it;
        st = store_iter_below(t->s, NULL, (object_space)space, from, &it);
        if (st != CHR_OK) break;
        for (chr_iter_first(it); st == CHR_OK && chr_iter_valid(it); chr_iter_next(it)) {
            key.len = 0;
            slice rest = slice_from(chr_iter_key(it), from.len);
            if (!buf_append_slice(&key, to) || !buf_append_slice(&key, rest))
                st = chr_nomem();
            else
                st = fn(t, (object_space)space, chr_iter_key(it), buf_slice(&key));
        }
        if (st == CHR_OK) st = chr_iter_status(it);
        chr_iter_free(it);
    }
    chr_buf_free(&key);
    return st;
}

chr_status txn_move_below(txn *t, slice from, slice to) { return for_each_below(t, from, to, txn_move); }

chr_status txn_swap_below(txn *t, slice a, slice b)
{
    chr_status st = for_each_below(t, a, b, txn_swap);
    return chr_ok(st) ? for_each_below(t, b, a, move_single) : st;
}

chr_status txn_stamp(txn *t, object_space space, slice key, int64_t ctime_ns)
{
    object_meta meta;
    chr_status  st = txn_stat(t, space, key, &meta);
    if (st == CHR_NOT_FOUND || (st == CHR_OK && !meta.has_attrs)) return CHR_OK;
    if (st != CHR_OK) return st;
    meta.ctime_ns = ctime_ns;
    return txn_set_meta(t, space, key, &meta);
}
