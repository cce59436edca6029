/* Commands on values that are numbers. */
#include "net/command.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG_DOUBLE_TEXT = 5 * 1024 }; /* bytes, of the longest number with a fraction, as in Redis */

/* Reads the number in `key`, as text; an absent one has none. CHR_INVALID: it has `cap` bytes or more, which no number has. */
static chr_status number_text(txn *t, slice key, char *text, size_t cap, size_t *len, bool *there, object_meta *meta)
{
    chr_status st = txn_read(t, key, 0, text, cap, len, meta);
    *there = st == CHR_OK;
    if (*there && *len == cap) return chr_fail(CHR_INVALID, "too long for a number");
    return st == CHR_NOT_FOUND ? CHR_OK : st;
}

/* Expiry and attributes stay. */
static chr_status put_number(request *r, txn *t, slice key, bool there, object_meta *had, slice text)
{
    if (!there) return txn_put(t, key, NULL, text);
    had->mtime_ns = had->ctime_ns = store_now_ns(r->store);
    return txn_put(t, key, had, text);
}

static void add_to(request *r, int64_t by)
{
    slice       key = r->args[1];
    char        text[32];
    size_t      len = 0;
    object_meta had;
    bool        there;
    int64_t     v = 0;
    txn        *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = number_text(t, key, text, sizeof text, &len, &there, &had);
    if (st == CHR_INVALID || (st == CHR_OK && there && !parse_int64(chr_bytes(text, len), &v)))
        st = chr_fail(CHR_INVALID, "value is not an integer or out of range");
    if (st == CHR_OK && __builtin_add_overflow(v, by, &v))
        st = chr_fail(CHR_INVALID, "increment or decrement would overflow");
    if (st == CHR_OK) {
        len = (size_t)snprintf(text, sizeof text, "%" PRId64, v);
        st = put_number(r, t, key, there, &had, chr_bytes(text, len));
    }
    if (request_end(r, t, st)) reply_integer(r, v);
}

void cmd_incr(request *r) { add_to(r, 1); }
void cmd_decr(request *r) { add_to(r, -1); }
void cmd_incrby(request *r)
{
    int64_t by;
    if (argument_integer(r, r->args[2], &by)) add_to(r, by);
}
void cmd_decrby(request *r)
{
    int64_t by;
    if (!argument_integer(r, r->args[2], &by)) return;
    if (by == INT64_MIN)
        reply_error(r, "ERR decrement would overflow");
    else
        add_to(r, -by);
}

/* As Redis reads it: strtold of everything there is, but no space before it and no NaN. `text` has room for an end. */
static bool parse_long_double(char *text, size_t len, long double *value)
{
    char *end;
    if (len == 0 || len >= LONG_DOUBLE_TEXT) return false;
    text[len] = 0;
    errno = 0;
    *value = strtold(text, &end);
    return !isspace((unsigned char)text[0]) && end == text + len && !isnan(*value) &&
           !(errno == ERANGE && (isinf(*value) || fpclassify(*value) == FP_ZERO));
}

/* As Redis writes it: 17 digits behind the point, without the zeroes at their end. */
static size_t print_long_double(char text[static LONG_DOUBLE_TEXT], long double value)
{
    size_t n = (size_t)snprintf(text, LONG_DOUBLE_TEXT, "%.17Lf", value);
    while (text[n - 1] == '0') n--;
    if (text[n - 1] == '.') n--;
    if (n == 2 && memcmp(text, "-0", 2) == 0) {
        text[0] = '0';
        n = 1;
    }
    return n;
}

void cmd_incrbyfloat(request *r)
{
    slice       key = r->args[1], number = r->args[2];
    char        text[LONG_DOUBLE_TEXT + 1], by_text[LONG_DOUBLE_TEXT + 1];
    size_t      len = 0;
    object_meta had;
    bool        there;
    long double v = 0, by = 0;
    txn        *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = number_text(t, key, text, LONG_DOUBLE_TEXT, &len, &there, &had);
    if (number.len < LONG_DOUBLE_TEXT) memcpy(by_text, number.data, number.len);
    if (st == CHR_INVALID || (st == CHR_OK && ((there && !parse_long_double(text, len, &v)) ||
                                               !parse_long_double(by_text, number.len, &by))))
        st = chr_fail(CHR_INVALID, "value is not a valid float");
    v += by;
    if (st == CHR_OK && (isnan(v) || isinf(v))) st = chr_fail(CHR_INVALID, "increment would produce NaN or Infinity");
    if (st == CHR_OK) {
        len = print_long_double(text, v);
        st = put_number(r, t, key, there, &had, chr_bytes(text, len));
    }
    if (request_end(r, t, st)) reply_value(r, chr_bytes(text, len));
}
