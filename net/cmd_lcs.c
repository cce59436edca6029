/* LCS: the longest common subsequence of two values. Takes time and memory of the product of their lengths; on a worker. */
#include "net/command.h"

#include <stdlib.h>

typedef struct lcs {
    slice     a, b;
    uint32_t *table; /* of (a.len + 1) * (b.len + 1): how long it is of the first i bytes of a and j of b */
    bool      idx, len, with_len;
    int64_t   min_len;
} lcs;

static uint32_t *cell(const lcs *l, size_t i, size_t j) { return &l->table[i * (l->b.len + 1) + j]; }

static bool parse_options(request *r, lcs *l)
{
    for (size_t i = 3; i < r->n; i++) {
        if (argument_is(r->args[i], "idx")) {
            l->idx = true;
        } else if (argument_is(r->args[i], "len")) {
            l->len = true;
        } else if (argument_is(r->args[i], "withmatchlen")) {
            l->with_len = true;
        } else if (argument_is(r->args[i], "minmatchlen") && i + 1 < r->n) {
            if (!argument_integer(r, r->args[++i], &l->min_len)) return false;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    if (l->idx && l->len) reply_error(r, "ERR If you want both the length and indexes, please just use IDX.");
    return !l->idx || !l->len;
}

static bool fill(request *r, lcs *l)
{
    size_t cells;
    if (__builtin_mul_overflow(l->a.len + 1, l->b.len + 1, &cells) || cells > CHR_VALUE_MAX / sizeof *l->table) {
        reply_error(r, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return false;
    }
    l->table = malloc(cells * sizeof *l->table);
    if (!l->table) {
        reply_error(r, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    for (size_t i = 0; i <= l->a.len; i++)
        for (size_t j = 0; j <= l->b.len; j++) {
            if (i == 0 || j == 0) {
                *cell(l, i, j) = 0;
            } else if (l->a.data[i - 1] == l->b.data[j - 1]) {
                *cell(l, i, j) = *cell(l, i - 1, j - 1) + 1;
            } else {
                uint32_t above = *cell(l, i - 1, j), left = *cell(l, i, j - 1);
                *cell(l, i, j) = above > left ? above : left;
            }
        }
    return true;
}

/* Goes back to the next run of equal bytes before (*i, *j), which are then its start, and returns its length; 0: none. */
static size_t run_before(const lcs *l, size_t *i, size_t *j)
{
    while (*i > 0 && *j > 0 && l->a.data[*i - 1] != l->b.data[*j - 1]) {
        if (*cell(l, *i - 1, *j) > *cell(l, *i, *j - 1))
            --*i;
        else
            --*j;
    }
    size_t n = 0;
    for (; *i > 0 && *j > 0 && l->a.data[*i - 1] == l->b.data[*j - 1]; n++) {
        --*i;
        --*j;
    }
    return n;
}

static void reply_pair(request *r, size_t from, size_t n)
{
    reply_array(r, 2);
    reply_integer(r, (int64_t)from);
    reply_integer(r, (int64_t)(from + n - 1));
}

static void reply_matches(request *r, const lcs *l)
{
    buf    found = { 0 }, *out = r->out;
    size_t n, matches = 0;
    r->out = &found; /* the number of matches comes first, and is known last */
    for (size_t i = l->a.len, j = l->b.len; (n = run_before(l, &i, &j)) > 0;) {
        if (l->min_len > 0 && n < (uint64_t)l->min_len) continue;
        reply_array(r, l->with_len ? 3 : 2);
        reply_pair(r, i, n);
        reply_pair(r, j, n);
        if (l->with_len) reply_integer(r, (int64_t)n);
        matches++;
    }
    r->out = out;
    reply_map(r, 2);
    reply_value(r, chr_str("matches"));
    reply_array(r, matches);
    if (!buf_append_slice(out, buf_slice(&found))) r->no_memory = true;
    chr_buf_free(&found);
    reply_value(r, chr_str("len"));
    reply_integer(r, *cell(l, l->a.len, l->b.len));
}

static void reply_sequence(request *r, const lcs *l)
{
    size_t at = *cell(l, l->a.len, l->b.len), n;
    buf    text = { 0 };
    if (!buf_reserve(&text, at + 1)) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    text.len = at;
    for (size_t i = l->a.len, j = l->b.len; (n = run_before(l, &i, &j)) > 0;) {
        at -= n;
        memcpy(text.data + at, l->a.data + i, n);
    }
    reply_value(r, buf_slice(&text));
    chr_buf_free(&text);
}

void cmd_lcs(request *r)
{
    lcs        l = { 0 };
    buf        a = { 0 }, b = { 0 };
    chr_status st = CHR_OK;
    for (int i = 0; i < 2 && st == CHR_OK; i++) {
        uint64_t seq = 0;
        st = store_get(r->store, NULL, r->args[1 + i], i ? &b : &a, NULL, &seq);
        request_saw(r, seq);
        if (st == CHR_NOT_FOUND) st = CHR_OK;
    }
    l.a = buf_slice(&a);
    l.b = buf_slice(&b);
    if (st != CHR_OK) {
        reply_status(r, st);
    } else if (parse_options(r, &l) && fill(r, &l)) {
        if (l.idx)
            reply_matches(r, &l);
        else if (l.len)
            reply_integer(r, *cell(&l, a.len, b.len));
        else
            reply_sequence(r, &l);
    }
    free(l.table);
    chr_buf_free(&a);
    chr_buf_free(&b);
}
