#include "cli/options.h"

#include "base/words.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { WORD_MAX = 64, HELP_WIDTH = 80, HELP_INDENT = 26 };

/* ---- numbers and addresses ---- */

typedef struct unit {
    const char *name;
    uint64_t    factor;
} unit;

static const unit size_units[] = {
    { "", 1 },
    { "B", 1 },
    { "K", 1ull << 10 },
    { "KiB", 1ull << 10 },
    { "M", 1ull << 20 },
    { "MiB", 1ull << 20 },
    { "G", 1ull << 30 },
    { "GiB", 1ull << 30 },
    { "T", 1ull << 40 },
    { "TiB", 1ull << 40 },
    { "kB", 1000ull },
    { "MB", 1000ull * 1000 },
    { "GB", 1000ull * 1000 * 1000 },
    { "TB", 1000ull * 1000 * 1000 * 1000 },
};
static const unit time_units[] = { { "", 1 }, { "ms", 1 }, { "s", 1000 }, { "min", 60000 } };

static bool parse_with_unit(const char *text, const unit *units, size_t count, uint64_t *value)
{
    uint64_t    number = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(number, 10u, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(*p - '0'), &number)) return false;
    }
    if (p == text) return false;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(p, units[i].name) != 0) continue;
        if (__builtin_mul_overflow(number, units[i].factor, &number)) return false;
        *value = number;
        return true;
    }
    return false;
}

bool parse_size(const char *text, uint64_t *bytes)
{
    return parse_with_unit(text, size_units, sizeof size_units / sizeof *size_units, bytes);
}

bool parse_time_ms(const char *text, uint64_t *ms)
{
    return parse_with_unit(text, time_units, sizeof time_units / sizeof *time_units, ms);
}

bool parse_address(const char *text, char *host, size_t host_size, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    if (!colon) return false;
    slice    name = chr_bytes(text, (size_t)(colon - text));
    uint64_t number;
    if (!parse_with_unit(colon + 1, time_units, 1, &number) || number > UINT16_MAX) return false;
    if (name.len >= 2 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        name = chr_bytes(name.data + 1, name.len - 2);
    else if (memchr(name.data, ':', name.len))
        return false; /* an IPv6 address wants its brackets */
    if (name.len >= host_size) return false;
    memcpy(host, name.data, name.len);
    host[name.len] = 0;
    *port = (uint16_t)number;
    return true;
}

/* ---- parsing ---- */

/* An option as the user may write it, for error sentences. */
typedef struct option_label {
    char text[WORD_MAX];
} option_label;

static option_label label_of(const option_spec *o)
{
    option_label label;
    if (o->name)
        snprintf(label.text, sizeof label.text, "--%s", o->name);
    else
        snprintf(label.text, sizeof label.text, "-%c", o->letter);
    return label;
}

static const char *example_of(option_kind kind)
{
    switch (kind) {
    case OPTION_COUNT: return "a number, such as 4";
    case OPTION_SIZE: return "a number with an optional unit, such as 4096, 64KiB or 2GiB";
    case OPTION_SYNC: return "'always', 'none', or a time such as 100ms or 2s";
    case OPTION_ADDRESSES:
    case OPTION_ADDRESS: return "an address with a port, such as 127.0.0.1:8080 or [::1]:8080, or unix:PATH";
    default: return "something";
    }
}

static chr_status bad_value(const command *c, const option_spec *o, const char *text)
{
    return chr_fail(CHR_INVALID, "chronos %s: %s cannot be '%s'; give %s", c->name, label_of(o).text, text,
                    example_of(o->kind));
}

static void size_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const names[] = { "", "KiB", "MiB", "GiB", "TiB" };
    size_t                   i = 0;
    while (i + 1 < sizeof names / sizeof *names && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(text, size, "%llu%s", (unsigned long long)bytes, names[i]);
}

static chr_status check_range(const command *c, const option_spec *o, const char *text, uint64_t number)
{
    if (number >= o->min && number <= o->max) return CHR_OK;
    char min[32], max[32];
    if (o->kind == OPTION_SIZE) {
        size_text(o->min, min, sizeof min);
        size_text(o->max, max, sizeof max);
    } else {
        snprintf(min, sizeof min, "%llu", (unsigned long long)o->min);
        snprintf(max, sizeof max, "%llu", (unsigned long long)o->max);
    }
    return chr_fail(CHR_INVALID, "chronos %s: %s cannot be %s; it goes from %s to %s", c->name, label_of(o).text, text,
                    min, max);
}

static chr_status set_sync(const command *c, const option_spec *o, const char *text, sync_setting *to)
{
    enum { SYNC_INTERVAL_MAX_MS = 60 * 60 * 1000 };
    uint64_t ms;
    if (strcmp(text, "always") == 0) {
        *to = (sync_setting){ CHR_SYNC_ALWAYS, 0 };
    } else if (strcmp(text, "none") == 0) {
        *to = (sync_setting){ CHR_SYNC_NONE, 0 };
    } else if (!parse_time_ms(text, &ms)) {
        return bad_value(c, o, text);
    } else if (ms < 1 || ms > SYNC_INTERVAL_MAX_MS) {
        return chr_fail(CHR_INVALID,
                        "chronos %s: %s cannot be %s; a time goes from 1ms to 60min, and 'always' syncs at once",
                        c->name, label_of(o).text, text);
    } else {
        *to = (sync_setting){ CHR_SYNC_INTERVAL, (uint32_t)ms };
    }
    return CHR_OK;
}

static chr_status add_words(const command *c, const option_spec *o, const char *text, word_list *to)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        if (len && to->count == OPTION_WORDS_MAX)
            return chr_fail(CHR_INVALID, "chronos %s: %s takes at most %d words", c->name, label_of(o).text,
                            OPTION_WORDS_MAX);
        if (len) to->word[to->count++] = chr_bytes(text, len);
        text += len;
        if (*text == ',') text++;
    }
    return CHR_OK;
}

/* The first one is the default, in whose place those come that are given. */
static chr_status add_address(const command *c, const option_spec *o, const char *text, address_list *to)
{
    if (text == o->standard) {
        to->at[to->count++] = text;
        return CHR_OK;
    }
    if (!to->given) to->count = 0;
    to->given = true;
    if (to->count == ADDRESSES_MAX)
        return chr_fail(CHR_INVALID, "chronos %s: %s can be given at most %d times", c->name, label_of(o).text,
                        ADDRESSES_MAX);
    to->at[to->count++] = text;
    return CHR_OK;
}

static chr_status set_value(const command *c, const option_spec *o, const char *text, void *values)
{
    void    *field = (char *)values + o->field;
    uint64_t number;
    char     host[256];
    uint16_t port;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)field = true; return CHR_OK;
    case OPTION_SYNC: return set_sync(c, o, text, field);
    case OPTION_WORDS: return add_words(c, o, text, field);
    case OPTION_COUNT:
    case OPTION_SIZE: {
        bool ok = o->kind == OPTION_SIZE ? parse_size(text, &number) : parse_with_unit(text, time_units, 1, &number);
        if (!ok) return bad_value(c, o, text);
        chr_status st = check_range(c, o, text, number);
        if (chr_ok(st)) *(uint64_t *)field = number;
        return st;
    }
    case OPTION_ADDRESSES:
    case OPTION_ADDRESS:
        if (!(strncmp(text, "unix:", 5) == 0 && text[5]) && !parse_address(text, host, sizeof host, &port))
            return bad_value(c, o, text);
        if (o->kind == OPTION_ADDRESSES) return add_address(c, o, text, field);
        break;
    case OPTION_TEXT:
        if (!*text)
            return chr_fail(CHR_INVALID, "chronos %s: the argument of %s, %s, is empty", c->name, label_of(o).text,
                            o->argument);
        break;
    }
    *(const char **)field = text;
    return CHR_OK;
}

static const option_spec *find_name(const command *c, slice name)
{
    for (size_t i = 0; i < c->options_count; i++)
        if (c->options[i].name && slice_equal(chr_str(c->options[i].name), name)) return &c->options[i];
    return NULL;
}

static const option_spec *find_letter(const command *c, char letter)
{
    for (size_t i = 0; i < c->options_count; i++)
        if (c->options[i].letter == letter) return &c->options[i];
    return NULL;
}

static chr_status unknown_option(const command *c, const char *word)
{
    char name[WORD_MAX];
    snprintf(name, sizeof name, "%s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = 0;
    const char *near = NULL;
    if (c->options_count && strlen(name) > 1)
        near = nearest_word(name, &c->options[0].name, c->options_count, sizeof *c->options);
    if (near) return chr_fail(CHR_INVALID, "chronos %s: unknown option '%s'; did you mean --%s?", c->name, word, near);
    return chr_fail(
        CHR_INVALID,
        "chronos %s: unknown option '%s'; 'chronos %s --help' lists the options, and '--' goes before a word "
        "that begins with '-' but is none",
        c->name, word, c->name);
}

static chr_status missing_argument(const command *c, const option_spec *o)
{
    return chr_fail(CHR_INVALID, "chronos %s: %s needs an argument, %s; 'chronos %s --help' tells more", c->name,
                    label_of(o).text, o->argument, c->name);
}

/* One word that begins with two dashes, or with one and a letter; *next is the index behind it and its argument. */
static chr_status parse_long(const command *c, int argc, char **argv, int *next, void *values)
{
    const char *word = argv[*next];
    const char *equal = strchr(word, '=');
    size_t      len = equal ? (size_t)(equal - word) : strlen(word);

    const option_spec *o = find_name(c, chr_bytes(word + 2, len - 2));
    if (!o) return unknown_option(c, word);
    (*next)++;
    if (o->kind == OPTION_FLAG) {
        if (equal) return chr_fail(CHR_INVALID, "chronos %s: --%s takes no argument", c->name, o->name);
        return set_value(c, o, NULL, values);
    }
    if (equal) return set_value(c, o, equal + 1, values);
    if (*next == argc) return missing_argument(c, o);
    return set_value(c, o, argv[(*next)++], values);
}

static chr_status parse_letters(const command *c, int argc, char **argv, int *next, void *values)
{
    const char *word = argv[(*next)++];
    for (const char *p = word + 1; *p; p++) {
        const option_spec *o = find_letter(c, *p);
        if (!o) return unknown_option(c, word);
        if (o->kind == OPTION_FLAG) {
            chr_status st = set_value(c, o, NULL, values);
            if (!chr_ok(st)) return st;
            continue;
        }
        if (p[1]) return set_value(c, o, p + 1, values);
        if (*next == argc) return missing_argument(c, o);
        return set_value(c, o, argv[(*next)++], values);
    }
    return CHR_OK;
}

static chr_status check_operands(const command *c, size_t count, char **operand)
{
    if (count < c->operands_min)
        return chr_fail(CHR_INVALID, "chronos %s: something is missing; it is used as 'chronos %s %s'", c->name,
                        c->name, c->operands);
    if (count > c->operands_max && c->operands_max == 0)
        return chr_fail(CHR_INVALID, "chronos %s: '%s' is too much; 'chronos %s --help' tells what it takes", c->name,
                        operand[0], c->name);
    if (count > c->operands_max)
        return chr_fail(CHR_INVALID, "chronos %s: '%s' is too much; it is used as 'chronos %s %s'", c->name,
                        operand[c->operands_max], c->name, c->operands);
    return CHR_OK;
}

chr_status options_parse(const command *c, int argc, char **argv, void *values, bool *help, size_t *operands)
{
    chr_status st;
    size_t     count = 0;
    bool       ended = false;
    *help = false;
    for (size_t i = 0; i < c->options_count; i++) {
        const option_spec *o = &c->options[i];
        if (o->standard && !chr_ok(st = set_value(c, o, o->standard, values))) return st;
    }
    for (int i = 0; i < argc;) {
        char *word = argv[i];
        if (ended || word[0] != '-' || !word[1]) {
            argv[count++] = word;
            i++;
            if (c->operands_end_options) ended = true;
        } else if (strcmp(word, "--") == 0) {
            ended = true;
            i++;
        } else if (strcmp(word, "--help") == 0 || (strcmp(word, "-h") == 0 && !find_letter(c, 'h'))) {
            *help = true;
            return CHR_OK;
        } else {
            st = word[1] == '-' ? parse_long(c, argc, argv, &i, values) : parse_letters(c, argc, argv, &i, values);
            if (!chr_ok(st)) return st;
        }
    }
    if (!chr_ok(st = check_operands(c, count, argv))) return st;
    *operands = count;
    return CHR_OK;
}

/* ---- help ---- */

/* Appends `text`, broken between words, each line but the first indented; `column` is where the first one stands. */
static bool append_wrapped(buf *to, const char *text, size_t column, size_t indent)
{
    bool ok = true, first = true;
    while (*text && ok) {
        size_t len = strcspn(text, " ");
        if (!first && column + 1 + len > HELP_WIDTH) {
            ok = buf_printf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            ok = buf_append_byte(to, ' ');
            column++;
        }
        ok = ok && buf_append(to, text, len);
        column += len;
        text += len + (text[len] == ' ');
        first = false;
    }
    return ok && buf_append_byte(to, '\n');
}

static bool append_option(const option_spec *o, buf *to)
{
    char left[WORD_MAX], help[512];
    int  n = 0;
    if (o->letter) n = snprintf(left, sizeof left, "  -%c%s", o->letter, o->name ? ", " : "");
    if (o->name) n += snprintf(left + n, sizeof left - (size_t)n, "%s--%s", o->letter ? "" : "  ", o->name);
    if (o->argument) n += snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
    assert((size_t)n < sizeof left);

    if (o->standard)
        snprintf(help, sizeof help, "%s (default %s)", o->help, o->standard);
    else
        snprintf(help, sizeof help, "%s", o->help);
    if (n >= HELP_INDENT - 1)
        return buf_printf(to, "%s\n%*s", left, HELP_INDENT, "") && append_wrapped(to, help, HELP_INDENT, HELP_INDENT);
    return buf_printf(to, "%-*s", HELP_INDENT, left) && append_wrapped(to, help, HELP_INDENT, HELP_INDENT);
}

bool options_usage(const command *c, buf *text)
{
    return buf_printf(text, "Usage: chronos %s%s%s%s\n", c->name, c->options_count ? " [OPTIONS]" : "",
                      *c->operands ? " " : "", c->operands);
}

bool options_help(const command *c, buf *text)
{
    static const option_spec help = { .name = "help", .kind = OPTION_FLAG, .help = "Shows this text." };

    bool ok = options_usage(c, text) && buf_append_byte(text, '\n') && append_wrapped(text, c->text, 0, 0) &&
              buf_append_slice(text, chr_str("\nOptions:\n"));
    for (size_t i = 0; i < c->options_count && ok; i++) ok = append_option(&c->options[i], text);
    return ok && append_option(&help, text);
}
