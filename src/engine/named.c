/* Lists of named snapshots, and the named snapshots of an open store. */
#include "engine/named.h"

#include "engine/db_impl.h"

#include <stdlib.h>

/* ---- lists ---- */

chr_status named_check(slice name)
{
    if (name.len == 0 || name.len > SNAPSHOT_NAME_MAX)
        return chr_fail(CHR_INVALID, "the name of a snapshot must have 1 to %d bytes", SNAPSHOT_NAME_MAX);
    if (memchr(name.data, '/', name.len) || memchr(name.data, 0, name.len) || slice_equal(name, chr_str(".")) ||
        slice_equal(name, chr_str("..")))
        return chr_fail(CHR_INVALID, "the name of a snapshot must be one that a file could have, without '/'");
    return CHR_OK;
}

/* The first whose name is not less. */
static size_t position(const named_list *l, slice name)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (slice_compare(buf_slice(&l->at[mid].name), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

named_snapshot *named_find(const named_list *l, slice name)
{
    size_t i = position(l, name);
    return i < l->n && slice_equal(buf_slice(&l->at[i].name), name) ? &l->at[i] : NULL;
}

bool named_reserve(named_list *l)
{
    if (l->n < l->cap) return true;
    size_t          cap = l->cap ? 2 * l->cap : 8;
    named_snapshot *more = realloc(l->at, cap * sizeof *more);
    if (!more) return false;
    l->at = more;
    l->cap = cap;
    return true;
}

void named_insert(named_list *l, named_snapshot x)
{
    size_t i = position(l, buf_slice(&x.name));
    memmove(l->at + i + 1, l->at + i, (l->n - i) * sizeof *l->at);
    l->at[i] = x;
    l->n++;
}

void named_remove(named_list *l, named_snapshot *x)
{
    size_t i = (size_t)(x - l->at);
    chr_buf_free(&x->name);
    memmove(x, x + 1, (l->n - i - 1) * sizeof *x);
    l->n--;
}

void named_free(named_list *l)
{
    for (size_t i = 0; i < l->n; i++) chr_buf_free(&l->at[i].name);
    free(l->at);
    *l = (named_list){ 0 };
}

/* ---- of an open store ---- */

/* edit_mu held. Afterwards the manifest says so, for good. */
static chr_status record(db *d, const version_edit *edit)
{
    chr_status st = db_append_edit(d, edit);
    if (d->manifest_failed) db_background_failed(d, st);
    return st;
}

chr_status db_snapshot_keep(db *d, slice name)
{
    named_snapshot x = { .wall_ns = env_wall_ns(d->env) };
    chr_status     st = named_check(name);
    if (chr_ok(st)) st = db_refusal(d);
    if (!chr_ok(st)) return st;
    if (!buf_set(&x.name, name)) return chr_nomem();
    if (!chr_ok(st = db_snapshot_new(d, &x.pin))) goto fail;
    x.seq = db_snapshot_seq(x.pin);
    /* Numbers of writes that a power cut takes back are given again: it would show what is written under them. */
    if (!chr_ok(st = db_wait_durable(d, x.seq))) goto fail;

    pthread_mutex_lock(&d->edit_mu);
    bool known = named_find(&d->named, name) != NULL; /* it is changed with both locks held */
    if (known)
        st = chr_fail(CHR_EXISTS, "there is a snapshot '%.*s' already; drop it, or choose another name", (int)name.len,
                      name.data);
    if (chr_ok(st)) {
        pthread_mutex_lock(&d->mu);
        if (!named_reserve(&d->named)) st = chr_nomem();
        pthread_mutex_unlock(&d->mu);
    }
    if (chr_ok(st)) st = record(d, &(version_edit){ .keep = &x });
    if (chr_ok(st)) {
        pthread_mutex_lock(&d->mu);
        x.pin->named = true;
        named_insert(&d->named, x);
        pthread_mutex_unlock(&d->mu);
    }
    pthread_mutex_unlock(&d->edit_mu);
    if (chr_ok(st)) return CHR_OK;
fail:
    db_snapshot_free(d, x.pin);
    chr_buf_free(&x.name);
    return st;
}

static chr_status no_such(slice name)
{
    return chr_fail(CHR_NOT_FOUND,
                    "there is no snapshot '%.*s'; SNAPSHOT LIST and .chronos/snapshots tell which there are",
                    (int)(name.len < SNAPSHOT_NAME_MAX ? name.len : SNAPSHOT_NAME_MAX), name.data);
}

chr_status db_snapshot_drop(db *d, slice name)
{
    db_snapshot *pin = NULL;
    chr_status   st = db_refusal(d);
    if (!chr_ok(st)) return st;
    pthread_mutex_lock(&d->edit_mu);
    named_snapshot *x = named_find(&d->named, name);
    if (!x) st = no_such(name);
    if (chr_ok(st)) st = record(d, &(version_edit){ .drop = x });
    if (chr_ok(st)) {
        pthread_mutex_lock(&d->mu);
        pin = x->pin;
        named_remove(&d->named, x);
        pthread_mutex_unlock(&d->mu);
    }
    pthread_mutex_unlock(&d->edit_mu);
    if (!chr_ok(st)) return st;
    db_snapshot_free(d, pin);
    return CHR_OK;
}

chr_status db_snapshot_open(db *d, slice name, db_snapshot **out, uint64_t *wall_ns)
{
    chr_status st = CHR_OK;
    pthread_mutex_lock(&d->mu);
    const named_snapshot *x = named_find(&d->named, name);
    if (x) {
        *wall_ns = x->wall_ns;
        st = db_snapshot_pin(d, x->seq, out);
    }
    pthread_mutex_unlock(&d->mu);
    return x ? st : no_such(name);
}

chr_status db_snapshots_take(db *d, named_list *out)
{
    chr_status st = CHR_OK;
    *out = (named_list){ 0 };
    pthread_mutex_lock(&d->mu);
    for (size_t i = 0; i < d->named.n && chr_ok(st); i++) {
        const named_snapshot *of = &d->named.at[i];
        named_snapshot        x = { .seq = of->seq, .wall_ns = of->wall_ns };
        st = named_reserve(out) && buf_set(&x.name, buf_slice(&of->name)) ? db_snapshot_pin(d, x.seq, &x.pin)
                                                                          : chr_nomem();
        if (chr_ok(st))
            named_insert(out, x);
        else
            chr_buf_free(&x.name);
    }
    pthread_mutex_unlock(&d->mu);
    if (!chr_ok(st)) db_snapshots_give_back(d, out);
    return st;
}

void db_snapshots_give_back(db *d, named_list *l)
{
    for (size_t i = 0; i < l->n; i++) db_snapshot_free(d, l->at[i].pin);
    named_free(l);
}

chr_status db_adopt_snapshots(db *d, named_list *l, bool to_manifest)
{
    chr_status st = CHR_OK;
    while (l->n > 0 && chr_ok(st)) {
        named_snapshot x = l->at[l->n - 1];
        pthread_mutex_lock(&d->edit_mu);
        pthread_mutex_lock(&d->mu);
        st = named_reserve(&d->named) ? db_snapshot_pin(d, x.seq, &x.pin) : chr_nomem();
        pthread_mutex_unlock(&d->mu);
        if (chr_ok(st) && to_manifest && !chr_ok(st = record(d, &(version_edit){ .keep = &x })))
            db_snapshot_free(d, x.pin);
        if (chr_ok(st)) {
            pthread_mutex_lock(&d->mu);
            named_insert(&d->named, x);
            pthread_mutex_unlock(&d->mu);
            l->n--;
        }
        pthread_mutex_unlock(&d->edit_mu);
    }
    return st;
}
