#include "cli/mount_words.h"

#include "base/words.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORD_BYTES = 64 };

/* A word, and the field that it sets. With a value it is NAME=VALUE. */
typedef struct mount_word {
    const char *name; /* first, for nearest_word */
    size_t      field;
    bool        to;
    chr_status (*take)(slice value, mount_options *to); /* of NAME=VALUE, else NULL */
} mount_word;

static chr_status bad_value(const char *name, slice value, const char *instead)
{
    return chr_fail(CHR_INVALID, "the mount option %s cannot be '%.*s'; give %s", name,
                    (int)(value.len < WORD_BYTES ? value.len : WORD_BYTES), value.data, instead);
}

static bool parse_number(slice value, uint32_t base, uint32_t max, uint32_t *number)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint32_t digit = (uint32_t)(unsigned char)value.data[i] - '0';
        n = n * base + digit;
        if (digit >= base || n > max) return false;
    }
    *number = (uint32_t)n;
    return value.len > 0;
}

static chr_status take_uid(slice value, mount_options *to)
{
    to->has_uid = true; /* UINT32_MAX stands for nobody at all, in chown */
    return parse_number(value, 10, UINT32_MAX - 1, &to->uid) ? CHR_OK
                                                             : bad_value("uid", value, "a number, as 'id -u' tells");
}
static chr_status take_gid(slice value, mount_options *to)
{
    to->has_gid = true;
    return parse_number(value, 10, UINT32_MAX - 1, &to->gid) ? CHR_OK
                                                             : bad_value("gid", value, "a number, as 'id -g' tells");
}
static chr_status take_umask(slice value, mount_options *to)
{
    to->has_umask = true;
    return parse_number(value, 8, 0777, &to->umask) ? CHR_OK : bad_value("umask", value, "octal digits, such as 027");
}

static chr_status take_cache(slice value, mount_options *to)
{
    to->strict = slice_equal(value, chr_str("strict"));
    return to->strict || slice_equal(value, chr_str("auto")) ? CHR_OK : bad_value("cache", value, "strict or auto");
}

static chr_status take_prefix(slice value, mount_options *to)
{
    to->prefix = value;
    if (value.len && value.len < CHR_KEY_MAX) return CHR_OK;
    return chr_fail(CHR_INVALID, "the mount option prefix has %zu bytes; give 1 to %u", value.len, CHR_KEY_MAX - 1);
}

static chr_status take_auth(slice value, mount_options *to)
{
    to->far.given = true;
    to->far.auth = value;
    return value.len ? CHR_OK : bad_value("auth", value, "a file with NAME:PASSWORD");
}
static chr_status take_tls_ca(slice value, mount_options *to)
{
    to->far.given = to->far.tls = true;
    to->far.tls_ca = value;
    return value.len ? CHR_OK : bad_value("tls-ca", value, "a file of certificates to trust");
}
static chr_status take_timeout(slice value, mount_options *to)
{
    to->far.given = true;
    return parse_number(value, 10, 3600, &to->far.timeout_s) && to->far.timeout_s
               ? CHR_OK
               : bad_value("timeout", value, "seconds, from 1 to 3600");
}

static chr_status take_snapshot(slice value, mount_options *to)
{
    to->snapshot = value;
    return named_check(value);
}

static chr_status take_max_size(slice value, mount_options *to)
{
    char text[WORD_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)(value.len < sizeof text ? value.len : sizeof text), value.data);
    return parse_size(text, &to->max_size) && to->max_size
               ? CHR_OK
               : bad_value("max_size", value, "a number of bytes, such as 500MiB or 2GiB");
}

#define FLAG(word, member, value)                                                                                      \
    {                                                                                                                  \
        .name = (word), .field = offsetof(mount_options, member), .to = (value)                                        \
    }
static const mount_word words_known[] = {
    FLAG("ro", read_only, true),
    FLAG("rw", read_only, false),
    FLAG("allow_other", allow_other, true),
    { .name = "uid", .take = take_uid },
    { .name = "gid", .take = take_gid },
    { .name = "umask", .take = take_umask },
    { .name = "prefix", .take = take_prefix },
    { .name = "cache", .take = take_cache },
    { .name = "timeout", .take = take_timeout },
    { .name = "auth", .take = take_auth },
    { .name = "tls-ca", .take = take_tls_ca },
    FLAG("tls", far.tls, true),
    { .name = "snapshot", .take = take_snapshot },
    { .name = "max_size", .take = take_max_size },
    FLAG("exec", no_exec, false),
    FLAG("noexec", no_exec, true),
    FLAG("suid", suid, true),
    FLAG("nosuid", suid, false),
    FLAG("dev", dev, true),
    FLAG("nodev", dev, false),
};
enum { WORDS_KNOWN = sizeof words_known / sizeof *words_known };

/* What holds anyway (access times change only when they are set), and what /etc/fstab says to others than us. */
static bool changes_nothing(slice name)
{
    static const char *const words[] = { "defaults",    "default_permissions",
                                         "auto",        "noauto",
                                         "nofail",      "_netdev",
                                         "user",        "nouser",
                                         "users",       "owner",
                                         "group",       "noatime",
                                         "atime",       "nodiratime",
                                         "async",       "diratime",
                                         "relatime",    "norelatime",
                                         "strictatime", "nostrictatime",
                                         "nolazytime",  "lazytime",
                                         "comment" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_equal(name, chr_str(words[i]))) return true;
    return slice_has_prefix(name, chr_str("x-")) || slice_has_prefix(name, chr_str("X-"));
}

static chr_status unknown(slice name)
{
    char text[WORD_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)(name.len < sizeof text ? name.len : sizeof text), name.data);
    const char *near = nearest_word(text, &words_known[0].name, WORDS_KNOWN, sizeof *words_known);
    if (near) return chr_fail(CHR_INVALID, "unknown mount option '%s'; did you mean '%s'?", text, near);
    return chr_fail(CHR_INVALID,
                    "unknown mount option '%s'; there are ro, rw, allow_other, uid=, gid=, umask=, "
                    "prefix=, cache=, snapshot= and max_size=; of a server: timeout=, auth=, tls and tls-ca=",
                    text);
}

static chr_status take_word(slice word, bool sloppy, mount_options *to)
{
    const char *equal = memchr(word.data, '=', word.len);
    slice       name = equal ? chr_bytes(word.data, (size_t)(equal - word.data)) : word;
    slice       value = slice_from(word, equal ? name.len + 1 : word.len);
    for (size_t i = 0; i < WORDS_KNOWN; i++) {
        const mount_word *known = &words_known[i];
        if (!slice_equal(name, chr_str(known->name))) continue;
        if (!known->take == !equal) {
            if (equal) return known->take(value, to);
            *(bool *)((char *)to + known->field) = known->to;
            to->far.given = to->far.given || to->far.tls;
            return CHR_OK;
        }
        if (equal) return chr_fail(CHR_INVALID, "the mount option %s takes no value", known->name);
        return chr_fail(CHR_INVALID, "the mount option %s needs a value, as %s=VALUE", known->name, known->name);
    }
    return sloppy || changes_nothing(name) ? CHR_OK : unknown(name);
}

chr_status mount_words_read(const word_list *words, bool sloppy, mount_options *to)
{
    chr_status st = CHR_OK;
    for (size_t i = 0; i < words->count && chr_ok(st); i++) st = take_word(words->word[i], sloppy, to);
    if (to->snapshot.len) to->read_only = true;
    return st;
}
