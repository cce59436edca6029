/* Commands over many keys in order: KEYS, RANGE, PREFIX, COUNTRANGE, DELRANGE. All of them run on a worker.
 *
 * What they list is of one moment. It is gone through twice, because the number of items comes first in RESP: once to count,
 * and once to say them, a piece at a time as the client takes them. So the memory needed depends on neither the number of
 * keys nor the client's pace. */
#include "net/command.h"

#include "net/cmd_auth.h"
#include "net/glob.h"

#include <stdlib.h>

enum { PIECE_BYTES = 256 * 1024 };

/* ---- listing ---- */

typedef struct listing {
    store_iter    *it;
    slice          pattern; /* what keys must match, or NULL */
    const session *to;      /* with a pattern: who is told of those that the user may know */
    bool           reverse, keys, values;
    uint64_t       limit, said;
} listing;

static void listing_free(void *arg)
{
    listing *l = arg;
    chr_iter_free(l->it);
    free(l);
}

static bool fits(const listing *l, slice key) { return glob_match(l->pattern, key) && user_may_know(l->to, key); }

static void to_match(listing *l)
{
    while (l->pattern.data && chr_iter_valid(l->it) && !fits(l, chr_iter_key(l->it))) chr_iter_next(l->it);
}
static void to_first(listing *l)
{
    if (l->reverse)
        chr_iter_last(l->it);
    else
        chr_iter_first(l->it);
    to_match(l);
}
static void to_next(listing *l)
{
    if (l->reverse)
        chr_iter_prev(l->it);
    else
        chr_iter_next(l->it);
    to_match(l);
}

static chr_status count(listing *l, uint64_t *n)
{
    *n = 0;
    for (to_first(l); *n < l->limit && chr_iter_valid(l->it); to_next(l)) {
        const object_meta *meta = store_iter_meta(l->it);
        if (!meta) break;
        if (l->values && meta->size > CHR_VALUE_MAX)
            return chr_fail(CHR_TOO_BIG, "a value in the range has %llu bytes; more than %u can only be read in parts",
                            (unsigned long long)meta->size, CHR_VALUE_MAX);
        ++*n;
    }
    return chr_iter_status(l->it);
}

/* A piece. It is too late for an error: if something cannot be read any more, the connection is closed. */
static void say(request *r, listing *l)
{
    for (; l->said < l->limit && r->out->len < PIECE_BYTES && chr_iter_valid(l->it); to_next(l), l->said++) {
        slice value;
        if (l->keys) reply_key(r, chr_iter_key(l->it));
        if (!l->values) continue;
        if (chr_iter_value(l->it, &value) != CHR_OK) {
            r->no_memory = true;
            break;
        }
        reply_value(r, value);
    }
    if (l->said < l->limit && !chr_iter_valid(l->it)) r->no_memory = true;
    if (l->said == l->limit || r->no_memory) request_is_complete(r);
}

/* `wanted`: all but its iterator. */
static void list(request *r, slice lower, slice upper, const listing *wanted)
{
    listing *l = malloc(sizeof *l);
    if (!l) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    *l = *wanted;
    uint64_t   n = 0;
    chr_status st = store_iter_new(r->store, NULL, OBJECT_KEY, lower, upper, &l->it);
    if (st != CHR_OK) {
        free(l);
        reply_status(r, st);
        return;
    }
    request_goes_on(r, l, listing_free);
    request_saw(r, store_iter_seq(l->it));
    st = count(l, &n);
    if (st != CHR_OK) {
        request_is_complete(r);
        reply_status(r, st);
        return;
    }
    l->limit = n;
    reply_array(r, l->keys && l->values ? 2 * n : n);
    to_first(l);
    say(r, l);
}

/* ---- ranges ---- */

/* Every range is start <= key < end; an empty end is none. */
static slice range_end(slice end) { return end.len ? end : chr_bytes(NULL, 0); }

/* LIMIT n, REV, KEYS, VALUES. False: an error was written. */
static bool parse_options(request *r, size_t from, listing *l)
{
    int64_t limit = INT64_MAX;
    for (size_t i = from; i < r->n; i++) {
        if (argument_is(r->args[i], "limit") && i + 1 < r->n) {
            if (!argument_integer(r, r->args[++i], &limit)) return false;
            if (limit < 0) {
                reply_error(r, "ERR LIMIT must not be negative");
                return false;
            }
        } else if (argument_is(r->args[i], "rev")) {
            l->reverse = true;
        } else if (argument_is(r->args[i], "keys") && l->keys) {
            l->values = false;
        } else if (argument_is(r->args[i], "values") && l->values) {
            l->keys = false;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    l->limit = (uint64_t)limit;
    return true;
}

void cmd_range(request *r)
{
    listing l = { .keys = true, .values = true };
    if (r->rest)
        say(r, r->rest);
    else if (parse_options(r, 3, &l))
        list(r, r->args[1], range_end(r->args[2]), &l);
}

static void list_prefix(request *r, slice prefix, const listing *l)
{
    buf end = { 0 };
    if (buf_set_prefix_end(&end, prefix))
        list(r, prefix.len ? prefix : chr_bytes(NULL, 0), buf_slice(&end), l);
    else
        reply_status(r, CHR_NO_MEMORY);
    chr_buf_free(&end);
}

void cmd_prefix(request *r)
{
    listing l = { .keys = true, .values = true };
    if (r->rest)
        say(r, r->rest);
    else if (parse_options(r, 2, &l))
        list_prefix(r, r->args[1], &l);
}

/* Only keys that begin with what stands before the first special character can match. */
void cmd_keys(request *r)
{
    const listing l = { .pattern = r->args[1], .to = r->session, .keys = true, .limit = UINT64_MAX };
    if (r->rest)
        say(r, r->rest);
    else
        list_prefix(r, glob_prefix(r->args[1]), &l);
}

void cmd_countrange(request *r)
{
    listing    l = { .limit = UINT64_MAX };
    uint64_t   n;
    chr_status st = store_iter_new(r->store, NULL, OBJECT_KEY, r->args[1], range_end(r->args[2]), &l.it);
    if (st == CHR_OK) {
        request_saw(r, store_iter_seq(l.it));
        st = count(&l, &n);
        chr_iter_free(l.it);
    }
    if (st == CHR_OK)
        reply_integer(r, (int64_t)n);
    else
        reply_status(r, st);
}

void cmd_delrange(request *r)
{
    txn *t = request_begin(r, NULL, 0);
    if (!t) return;
    if (request_end(r, t, txn_delete_range(t, OBJECT_KEY, r->args[1], range_end(r->args[2])))) reply_ok(r);
}
