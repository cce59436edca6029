/* BITFIELD: integers of any width up to 64 bits in a value. */
#include "net/bits.h"
#include "net/command.h"

#include <stdlib.h>

enum { FIELD_BYTES = 9 }; /* that 64 bits can touch */

typedef enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY } field_verb;
typedef enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL } field_overflow;

typedef struct field {
    field_verb     verb;
    field_overflow overflow;
    bool           is_signed;
    unsigned       width;
    uint64_t       offset;
    int64_t        number; /* of SET and INCRBY */
    int64_t        answer;
    bool           refused; /* it would overflow, and must not */
} field;

/* ---- what is asked ---- */

static bool parse_type(request *r, slice arg, field *f)
{
    int64_t width = 0;
    bool    good = arg.len > 1 && (arg.data[0] == 'i' || arg.data[0] == 'u') && parse_int64(slice_from(arg, 1), &width);
    f->is_signed = good && arg.data[0] == 'i';
    if (!good || width < 1 || width > (f->is_signed ? 64 : 63)) {
        reply_error(r,
                    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
        return false;
    }
    f->width = (unsigned)width;
    return true;
}

static bool parse_overflow(request *r, slice arg, field_overflow *overflow)
{
    if (argument_is(arg, "wrap")) {
        *overflow = OVERFLOW_WRAP;
    } else if (argument_is(arg, "sat")) {
        *overflow = OVERFLOW_SAT;
    } else if (argument_is(arg, "fail")) {
        *overflow = OVERFLOW_FAIL;
    } else {
        reply_error(r, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* `fields` has room for all. False: an error was written. */
static bool parse_fields(request *r, field *fields, size_t *count)
{
    field_overflow overflow = OVERFLOW_WRAP;
    for (size_t i = 2; i < r->n;) {
        slice  what = r->args[i];
        size_t left = r->n - i - 1;
        field *f = &fields[*count];
        *f = (field){ .verb = FIELD_GET, .overflow = overflow };
        if (argument_is(what, "overflow") && left >= 1) {
            if (!parse_overflow(r, r->args[i + 1], &overflow)) return false;
            i += 2;
            continue;
        }
        if (argument_is(what, "set") && left >= 3) {
            f->verb = FIELD_SET;
        } else if (argument_is(what, "incrby") && left >= 3) {
            f->verb = FIELD_INCRBY;
        } else if (!argument_is(what, "get") || left < 2) {
            reply_error(r, "ERR syntax error");
            return false;
        }
        if (!parse_type(r, r->args[i + 1], f) || !bits_offset(r, r->args[i + 2], f->width, &f->offset)) return false;
        if (f->verb != FIELD_GET && !argument_integer(r, r->args[i + 3], &f->number)) return false;
        i += f->verb == FIELD_GET ? 3 : 4;
        ++*count;
    }
    return true;
}

/* ---- integers in bytes ---- */

static uint64_t load(const uint8_t *bytes, unsigned from, unsigned width)
{
    uint64_t v = 0;
    for (unsigned i = from; i < from + width; i++) v = v << 1 | (bytes[i / 8] >> (7 - i % 8) & 1);
    return v;
}

static void save(uint8_t *bytes, unsigned from, unsigned width, uint64_t v)
{
    for (unsigned i = 0; i < width; i++) {
        unsigned at = from + i;
        uint8_t  mask = (uint8_t)(0x80 >> at % 8);
        if (v >> (width - 1 - i) & 1)
            bytes[at / 8] |= mask;
        else
            bytes[at / 8] &= (uint8_t)~mask;
    }
}

static uint64_t low_bits(unsigned width) { return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1; }
static int64_t  sign_extended(uint64_t v, unsigned width)
{
    uint64_t sign = UINT64_C(1) << (width - 1);
    return (int64_t)(((v & low_bits(width)) ^ sign) - sign);
}

/* The sum as the field can hold it. False: it cannot, and is not to be written. */
static bool add_signed(const field *f, int64_t old, int64_t by, int64_t *sum)
{
    int64_t max = (int64_t)(low_bits(f->width) >> 1), min = -max - 1, v;
    bool    beyond = __builtin_add_overflow(old, by, &v);
    bool    above = beyond ? by > 0 : v > max, below = beyond ? by < 0 : v < min;
    *sum = v;
    if (!above && !below) return true;
    *sum = f->overflow == OVERFLOW_SAT ? (above ? max : min) : sign_extended((uint64_t)old + (uint64_t)by, f->width);
    return f->overflow != OVERFLOW_FAIL;
}

static bool add_unsigned(const field *f, uint64_t old, int64_t by, uint64_t *sum)
{
    uint64_t max = low_bits(f->width); /* below 2^63 */
    /* Redis takes a negative number that is SET for the huge one with the same bits. */
    bool above = old > max || (by > 0 && (uint64_t)by > max - old), below = !above && by < 0 && 0 - (uint64_t)by > old;
    *sum = old + (uint64_t)by;
    if (!above && !below) return true;
    *sum = f->overflow == OVERFLOW_SAT ? (above ? max : 0) : *sum & max;
    return f->overflow != OVERFLOW_FAIL;
}

/* Answers, and makes of `old` what is to be written. */
static void compute(field *f, uint64_t *bits)
{
    uint64_t old = *bits, sum;
    int64_t  old_signed = sign_extended(old, f->width), sum_signed;
    bool     setting = f->verb == FIELD_SET;
    f->answer = f->is_signed ? old_signed : (int64_t)old;
    if (f->verb == FIELD_GET) return;
    if (f->is_signed) {
        f->refused = !add_signed(f, setting ? f->number : old_signed, setting ? 0 : f->number, &sum_signed);
        sum = (uint64_t)sum_signed;
    } else {
        f->refused = !add_unsigned(f, setting ? (uint64_t)f->number : old, setting ? 0 : f->number, &sum);
    }
    if (!setting) f->answer = (int64_t)sum;
    if (!f->refused) *bits = sum;
}

static chr_status run_field(txn *t, slice key, field *f)
{
    uint8_t    bytes[FIELD_BYTES] = { 0 };
    unsigned   from = f->offset % 8, touched = (from + f->width + 7) / 8;
    size_t     got = 0;
    chr_status st = txn_read(t, key, f->offset / 8, bytes, touched, &got, NULL);
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (st != CHR_OK) return st;
    uint64_t bits = load(bytes, from, f->width);
    compute(f, &bits);
    if (f->verb == FIELD_GET || f->refused) return CHR_OK;
    save(bytes, from, f->width, bits);
    return txn_write(t, key, f->offset / 8, chr_bytes(bytes, touched));
}

/* ---- the command ---- */

/* The key exists afterwards, and has at least `size` bytes. */
static chr_status make_room(txn *t, slice key, uint64_t size)
{
    object_meta meta = { .size = 0 };
    chr_status  st = txn_stat(t, OBJECT_KEY, key, &meta);
    if (st == CHR_NOT_FOUND) st = txn_put(t, key, NULL, chr_str(""));
    return st == CHR_OK && meta.size < size ? txn_truncate(t, key, size) : st;
}

static void run_fields(request *r, field *fields, size_t count, uint64_t room)
{
    slice key = r->args[1];
    txn  *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = room ? make_room(t, key, room) : CHR_OK;
    for (size_t i = 0; i < count && st == CHR_OK; i++) st = run_field(t, key, &fields[i]);
    if (!request_end(r, t, st)) return;
    reply_array(r, count);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].refused)
            reply_null(r);
        else
            reply_integer(r, fields[i].answer);
    }
}

static void bitfield(request *r, bool read_only)
{
    size_t   count = 0;
    uint64_t room = 0;
    field   *fields = malloc(r->n * sizeof *fields);
    if (!fields) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    if (!parse_fields(r, fields, &count)) goto out;
    for (size_t i = 0; i < count; i++) {
        uint64_t end = (fields[i].offset + fields[i].width + 7) / 8;
        if (fields[i].verb != FIELD_GET && end > room) room = end;
    }
    if (room && read_only)
        reply_error(r, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (room > CHR_VALUE_MAX)
        reply_error(r, "ERR bit offset is not an integer or out of range");
    else
        run_fields(r, fields, count, room);
out:
    free(fields);
}
void cmd_bitfield(request *r) { bitfield(r, false); }
void cmd_bitfield_ro(request *r) { bitfield(r, true); }
