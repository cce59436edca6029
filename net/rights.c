#include "net/rights.h"

#include "net/glob.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    PLACES_MAX = 512,
    PATTERNS_MAX = 1024,         /* of keys, and of channels */
    TEXT_BYTES_MAX = 256 * 1024, /* of all rules of a user */
};

typedef struct allowed_pattern {
    buf      text;
    unsigned use; /* KEYS_READ, KEYS_WRITE; nothing for channels */
} allowed_pattern;

typedef struct patterns {
    allowed_pattern *at;
    size_t           n;
    bool             all; /* nothing is asked; there are none then */
} patterns;

struct rights {
    _Atomic(unsigned) references;
    bool              everything;
    uint64_t          may_run[PLACES_MAX / 64]; /* by command_place */
    patterns          keys, channels;
    buf commands; /* the rules: +@all or -@all, and those that came after it, each with a space before it */
};

/* ---- making ---- */

static void patterns_clear(patterns *p)
{
    for (size_t i = 0; i < p->n; i++) chr_buf_free(&p->at[i].text);
    free(p->at);
    *p = (patterns){ 0 };
}

static bool patterns_add(patterns *p, slice text, unsigned use)
{
    for (size_t i = 0; i < p->n; i++)
        if (slice_equal(buf_slice(&p->at[i].text), text)) {
            p->at[i].use |= use;
            return true;
        }
    allowed_pattern *more = realloc(p->at, (p->n + 1) * sizeof *more), new = { .use = use };
    if (!more) return false;
    p->at = more;
    if (!buf_set(&new.text, text)) return false;
    p->at[p->n++] = new;
    return true;
}

static bool patterns_copy(patterns *to, const patterns *from)
{
    to->all = from->all;
    for (size_t i = 0; i < from->n; i++)
        if (!patterns_add(to, buf_slice(&from->at[i].text), from->at[i].use)) return false;
    return true;
}

static size_t patterns_bytes(const patterns *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->n; i++) bytes += p->at[i].text.len + sizeof "%R~";
    return bytes;
}

rights *rights_new(void)
{
    rights *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    atomic_init(&x->references, 1);
    if (buf_set(&x->commands, chr_str("-@all"))) return x;
    free(x);
    return NULL;
}

rights *rights_copy(const rights *x)
{
    rights *new = calloc(1, sizeof *new);
    if (!new) return NULL;
    atomic_init(&new->references, 1);
    new->everything = x->everything;
    memcpy(new->may_run, x->may_run, sizeof new->may_run);
    if (patterns_copy(&new->keys, &x->keys) && patterns_copy(&new->channels, &x->channels) &&
        buf_set(&new->commands, buf_slice(&x->commands)))
        return new;
    rights_drop(new);
    return NULL;
}

rights *rights_hold(rights *x)
{
    atomic_fetch_add_explicit(&x->references, 1, memory_order_relaxed);
    return x;
}

void rights_drop(rights *x)
{
    if (!x || atomic_fetch_sub(&x->references, 1) > 1) return;
    patterns_clear(&x->keys);
    patterns_clear(&x->channels);
    chr_buf_free(&x->commands);
    free(x);
}

/* ---- rules of commands ---- */

static void allow(rights *x, size_t place, bool allowed)
{
    uint64_t bit = UINT64_C(1) << place % 64;
    assert(place < PLACES_MAX);
    if (allowed)
        x->may_run[place / 64] |= bit;
    else
        x->may_run[place / 64] &= ~bit;
}

static bool is_allowed(const rights *x, size_t place) { return x->may_run[place / 64] >> place % 64 & 1; }

static bool all_are_allowed(const rights *x)
{
    for (size_t i = 0; i < command_places(); i++)
        if (!is_allowed(x, i)) return false;
    return true;
}

/* Whether the earlier rule says nothing that the later one, about `subject`, does not decide anew. */
static bool is_overruled(slice earlier, slice subject)
{
    slice about = slice_from(earlier, 1);
    return slice_has_prefix(about, subject) && (about.len == subject.len || about.data[subject.len] == '|');
}

/* Notes a rule about `subject`, and drops those that it overrules. */
static bool note_rule(rights *x, bool allowed, const char *subject)
{
    buf   kept = { 0 };
    slice left = buf_slice(&x->commands);
    bool  good = buf_reserve(&kept, left.len + strlen(subject) + 2);
    while (good && left.len) {
        const char *end = memchr(left.data, ' ', left.len);
        slice       rule = end ? chr_bytes(left.data, (size_t)(end - left.data)) : left;
        left = end ? slice_from(left, rule.len + 1) : chr_bytes(NULL, 0);
        if (!kept.len || !is_overruled(rule, chr_str(subject))) /* the first is +@all or -@all */
            good = (!kept.len || buf_append_byte(&kept, ' ')) && buf_append_slice(&kept, rule);
    }
    good = good && buf_printf(&kept, " %c%s", allowed ? '+' : '-', subject);
    if (good) {
        chr_buf_free(&x->commands);
        x->commands = kept;
    } else {
        chr_buf_free(&kept);
    }
    return good;
}

static chr_status apply_all(rights *x, bool allowed)
{
    if (!buf_set(&x->commands, chr_str(allowed ? "+@all" : "-@all"))) return chr_nomem();
    for (size_t i = 0; i < command_places(); i++) allow(x, i, allowed);
    return CHR_OK;
}

static chr_status apply_category(rights *x, bool allowed, slice name)
{
    char     subject[COMMAND_NAME_MAX];
    unsigned in = category_find(name);
    if (argument_is(name, "all")) return apply_all(x, allowed);
    if (!in) return chr_fail(CHR_INVALID, "Unknown command or category name in ACL");
    snprintf(subject, sizeof subject, "@%s", category_names[__builtin_ctz(in)]);
    if (!note_rule(x, allowed, subject)) return chr_nomem();
    for (const command *c = command_table; c < command_table + command_count; c++) {
        const subcommand *sub = subcommands_of(c);
        if (command_categories(c, NULL) & in) allow(x, command_place(c, NULL), allowed);
        for (; sub && sub->name; sub++)
            if (command_categories(c, sub) & in) allow(x, command_place(c, sub), allowed);
    }
    return CHR_OK;
}

static chr_status apply_command(rights *x, bool allowed, slice name)
{
    char              subject[COMMAND_NAME_MAX];
    const subcommand *sub, *each;
    const command    *c = command_find_full(name, &sub);
    const char       *bar = name.len ? memchr(name.data, '|', name.len) : NULL;
    if (!c && bar && memchr(bar + 1, '|', name.len - (size_t)(bar + 1 - name.data)))
        return chr_fail(CHR_INVALID, "Allowing first-arg of a subcommand is not supported");
    if (!c) {
        c = bar ? command_find(chr_bytes(name.data, (size_t)(bar - name.data))) : NULL;
        if (c && !subcommands_of(c) && bar[1])
            return chr_fail(CHR_INVALID, "Allowing first-arg of a command is not supported");
        return chr_fail(CHR_INVALID, "Unknown command or category name in ACL");
    }
    if (!note_rule(x, allowed, command_full_name(c, sub, subject))) return chr_nomem();
    allow(x, command_place(c, sub), allowed);
    for (each = sub ? NULL : subcommands_of(c); each && each->name; each++) allow(x, command_place(c, each), allowed);
    return CHR_OK;
}

/* ---- rules of patterns ---- */

static bool has_spaces(slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (isspace((unsigned char)s.data[i]) || !s.data[i]) return true;
    return false;
}

static chr_status add_pattern(patterns *p, slice text, unsigned use)
{
    if (has_spaces(text)) return chr_fail(CHR_INVALID, "Syntax error");
    if (p->n == PATTERNS_MAX) return chr_fail(CHR_INVALID, "a user has at most %d patterns", PATTERNS_MAX);
    return patterns_add(p, text, use) ? CHR_OK : chr_nomem();
}

static chr_status apply_reset(patterns *p, bool all)
{
    patterns_clear(p);
    p->all = all;
    return CHR_OK;
}

static chr_status apply_key_pattern(rights *x, slice rule)
{
    unsigned use = KEYS_READ | KEYS_WRITE;
    size_t   at = 1;
    if (x->keys.all)
        return chr_fail(
            CHR_INVALID,
            "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any "
            "effect. Try 'resetkeys' to start with an empty list of patterns");
    if (rule.data[0] == '%') {
        use = 0;
        for (; at < rule.len && rule.data[at] != '~'; at++) {
            int letter = toupper((unsigned char)rule.data[at]);
            use |= letter == 'R' ? (unsigned)KEYS_READ : letter == 'W' ? (unsigned)KEYS_WRITE : 0u;
            if (letter != 'R' && letter != 'W') use = 0, at = rule.len;
        }
        if (!use || at++ >= rule.len) return chr_fail(CHR_INVALID, "Syntax error");
    }
    chr_status st = add_pattern(&x->keys, slice_from(rule, at), use);
    for (size_t i = 0; i < x->keys.n; i++)
        if (slice_equal(buf_slice(&x->keys.at[i].text), chr_str("*")) && x->keys.at[i].use == (KEYS_READ | KEYS_WRITE))
            return apply_reset(&x->keys, true); /* all, said in another way */
    return st;
}

static chr_status apply_channel_pattern(rights *x, slice rule)
{
    if (x->channels.all)
        return chr_fail(
            CHR_INVALID,
            "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have "
            "any effect. Try 'resetchannels' to start with an empty list of channels");
    return add_pattern(&x->channels, slice_from(rule, 1), 0);
}

static chr_status apply(rights *x, slice rule)
{
    char first = rule.len ? rule.data[0] : 0;
    bool of_category = rule.len > 1 && rule.data[1] == '@';
    if (argument_is(rule, "~*") || argument_is(rule, "allkeys")) return apply_reset(&x->keys, true);
    if (argument_is(rule, "resetkeys")) return apply_reset(&x->keys, false);
    if (argument_is(rule, "&*") || argument_is(rule, "allchannels")) return apply_reset(&x->channels, true);
    if (argument_is(rule, "resetchannels")) return apply_reset(&x->channels, false);
    if (argument_is(rule, "allcommands")) return apply_all(x, true);
    if (argument_is(rule, "nocommands")) return apply_all(x, false);
    if (first == '~' || first == '%') return apply_key_pattern(x, rule);
    if (first == '&') return apply_channel_pattern(x, rule);
    if ((first == '+' || first == '-') && of_category) return apply_category(x, first == '+', slice_from(rule, 2));
    if (first == '+' || first == '-') return apply_command(x, first == '+', slice_from(rule, 1));
    return chr_fail(CHR_INVALID, "Syntax error");
}

chr_status rights_apply(rights *x, slice rule)
{
    if (rule.len + x->commands.len + patterns_bytes(&x->keys) + patterns_bytes(&x->channels) > TEXT_BYTES_MAX)
        return chr_fail(CHR_INVALID, "the rules of a user have at most %d bytes", TEXT_BYTES_MAX);
    chr_status st = apply(x, rule);
    x->everything = x->keys.all && x->channels.all && all_are_allowed(x);
    return st;
}

/* ---- telling ---- */

static bool put_rule(buf *text, bool *first, const char *sign, slice pattern)
{
    bool good = (*first || buf_append_byte(text, ' ')) && buf_append_slice(text, chr_str(sign)) &&
                buf_append_slice(text, pattern);
    *first = false;
    return good;
}

bool rights_put_keys(const rights *x, buf *text)
{
    bool good = !x->keys.all || buf_append_slice(text, chr_str("~*")), first = true;
    for (size_t i = 0; i < x->keys.n && good; i++) {
        const allowed_pattern *p = &x->keys.at[i];
        good = put_rule(text, &first,
                        p->use == KEYS_READ    ? "%R~"
                        : p->use == KEYS_WRITE ? "%W~"
                                               : "~",
                        buf_slice(&p->text));
    }
    return good;
}

bool rights_put_channels(const rights *x, buf *text)
{
    bool good = !x->channels.all || buf_append_slice(text, chr_str("&*")), first = true;
    for (size_t i = 0; i < x->channels.n && good; i++)
        good = put_rule(text, &first, "&", buf_slice(&x->channels.at[i].text));
    return good;
}

bool rights_put_commands(const rights *x, buf *text) { return buf_append_slice(text, buf_slice(&x->commands)); }

bool rights_put(const rights *x, buf *text)
{
    bool keys = x->keys.all || x->keys.n, channels = x->channels.all || x->channels.n;
    return rights_put_keys(x, text) && (!keys || buf_append_byte(text, ' ')) &&
           (x->channels.all || buf_append_slice(text, chr_str("resetchannels "))) && rights_put_channels(x, text) &&
           (!channels || buf_append_byte(text, ' ')) && rights_put_commands(x, text);
}

/* ---- checking ---- */

bool rights_are_all(const rights *x) { return x->everything; }

bool rights_to_key(const rights *x, slice key, unsigned use)
{
    for (size_t i = 0; i < x->keys.n; i++)
        if ((x->keys.at[i].use & use) == use && glob_match(buf_slice(&x->keys.at[i].text), key)) return true;
    return x->keys.all;
}

/* Whether the pattern is some text and a star, so that what it matches is told by how keys begin. */
static bool is_of_prefix(slice pattern, slice *prefix)
{
    *prefix = glob_prefix(pattern);
    return pattern.len == prefix->len + 1 && pattern.data[prefix->len] == '*';
}

bool rights_to_prefix(const rights *x, slice prefix, unsigned use)
{
    slice covered;
    for (size_t i = 0; i < x->keys.n; i++)
        if ((x->keys.at[i].use & use) == use && is_of_prefix(buf_slice(&x->keys.at[i].text), &covered) &&
            slice_has_prefix(prefix, covered))
            return true;
    return x->keys.all;
}

/* Whether all keys from one that begins with `prefix` to `end` do so; an empty end is none. */
static bool ends_within(slice prefix, slice end)
{
    while (prefix.len && (uint8_t)prefix.data[prefix.len - 1] == 0xff) prefix.len--;
    if (!prefix.len || !end.len) return !prefix.len;
    size_t stem = prefix.len - 1;
    int    c = slice_compare(end.len > stem ? chr_bytes(end.data, stem) : end, chr_bytes(prefix.data, stem));
    if (c || end.len <= stem) return c < 0 || (c == 0 && end.len <= stem);
    unsigned next = (uint8_t)prefix.data[stem] + 1u, there = (uint8_t)end.data[stem];
    return there < next || (there == next && end.len == prefix.len);
}

static bool to_range(const rights *x, slice start, slice end, unsigned use)
{
    slice covered;
    for (size_t i = 0; i < x->keys.n; i++)
        if ((x->keys.at[i].use & use) == use && is_of_prefix(buf_slice(&x->keys.at[i].text), &covered) &&
            slice_has_prefix(start, covered) && ends_within(covered, end))
            return true;
    return x->keys.all;
}

bool rights_to_channel(const rights *x, slice channel, bool is_pattern)
{
    for (size_t i = 0; i < x->channels.n; i++) {
        slice text = buf_slice(&x->channels.at[i].text);
        if (is_pattern ? slice_equal(text, channel) : glob_match(text, channel)) return true;
    }
    return x->channels.all;
}

static verdict check_keys(const rights *x, const command *c, const slice *args, size_t n, slice *what)
{
    unsigned   use = c->keys & (KEYS_READ | KEYS_WRITE);
    key_places at = command_keys(c, args, n);
    slice      none = chr_str("*");
    if (x->keys.all) return MAY;
    if (c->keys & (KEYS_RANGE | KEYS_PREFIX | KEYS_ALL)) {
        bool good = c->keys & KEYS_RANGE    ? to_range(x, args[1], args[2], use)
                    : c->keys & KEYS_PREFIX ? rights_to_prefix(x, args[1], use)
                                            : rights_to_prefix(x, chr_str(""), use);
        if (!good && what) *what = c->keys & KEYS_ALL ? none : args[1];
        return good ? MAY : MAY_NOT_USE_KEY;
    }
    for (size_t i = at.first; at.first && i <= at.last && i < n; i += at.step)
        if (!rights_to_key(x, args[i], i == at.first ? at.use : at.others)) {
            if (what) *what = args[i];
            return MAY_NOT_USE_KEY;
        }
    return MAY;
}

static verdict check_channels(const rights *x, const command *c, const slice *args, size_t n, slice *what)
{
    bool   patterns_too = c->run == cmd_psubscribe;
    size_t last = c->run == cmd_publish ? 1 : c->run == cmd_subscribe || patterns_too ? n - 1 : 0;
    for (size_t i = 1; i <= last; i++)
        if (!rights_to_channel(x, args[i], patterns_too)) {
            if (what) *what = args[i];
            return MAY_NOT_USE_CHANNEL;
        }
    return MAY;
}

verdict rights_check(const rights *x, const command *c, const slice *args, size_t n, slice *what)
{
    if (x->everything || c->flags & CMD_NO_AUTH) return MAY;
    const subcommand *all = subcommands_of(c), *sub = all && n > 1 ? subcommand_find(c, args[1]) : NULL;
    if (all && n > 1 && (!sub || !arity_fits(sub->arity, n))) return MAY;
    if (!is_allowed(x, command_place(c, sub))) return MAY_NOT_RUN;
    verdict found = check_keys(x, c, args, n, what);
    return found == MAY && c->categories & CAT_PUBSUB ? check_channels(x, c, args, n, what) : found;
}
