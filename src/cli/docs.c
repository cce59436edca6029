#include "cli/docs.h"

#include <stdlib.h>
#include <strings.h>

/* ---- asking ---- */

static const redisReply *field(const redisReply *map, const char *name, int type)
{
    if (map->type != REDIS_REPLY_ARRAY) return NULL;
    for (size_t i = 0; i + 1 < map->elements; i += 2)
        if (map->element[i]->type == REDIS_REPLY_STRING && strcmp(map->element[i]->str, name) == 0)
            return map->element[i + 1]->type == type ? map->element[i + 1] : NULL;
    return NULL;
}

static void add(docs *d, const char *name, const redisReply *about)
{
    const redisReply *syntax = field(about, "syntax", REDIS_REPLY_STRING);
    doc              *more = realloc(d->all, (d->n + 1) * sizeof *d->all);
    if (!more) return;
    d->all = more;
    doc new = { strdup(name), strdup(syntax ? syntax->str : "") };
    if (new.name &&new.syntax) {
        d->all[d->n++] = new;
    } else {
        free(new.name);
        free(new.syntax);
    }
}

static void add_all(docs *d, const redisReply *map, bool subcommands)
{
    for (size_t i = 0; map && map->type == REDIS_REPLY_ARRAY && i + 1 < map->elements; i += 2) {
        if (map->element[i]->type != REDIS_REPLY_STRING) continue;
        add(d, map->element[i]->str, map->element[i + 1]);
        if (subcommands) add_all(d, field(map->element[i + 1], "subcommands", REDIS_REPLY_ARRAY), false);
    }
}

void docs_fetch(redisContext *c, docs *d)
{
    redisReply *reply = redisCommand(c, "COMMAND DOCS");
    if (reply) add_all(d, reply, true);
    freeReplyObject(reply);
}

void docs_free(docs *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->all[i].name);
        free(d->all[i].syntax);
    }
    free(d->all);
    *d = (docs){ 0 };
}

/* ---- finding ---- */

static const doc *find(const docs *d, slice name, slice sub)
{
    for (size_t i = 0; i < d->n; i++) {
        const char *is = d->all[i].name;
        if (strncasecmp(is, name.data, name.len) != 0) continue;
        is += name.len;
        if (sub.len == 0 && !*is) return &d->all[i];
        if (sub.len && *is == '|' && strlen(is + 1) == sub.len && strncasecmp(is + 1, sub.data, sub.len) == 0)
            return &d->all[i];
    }
    return NULL;
}

const doc *docs_find(const docs *d, const slice *word, size_t n, size_t *used)
{
    *used = 2;
    const doc *found = n > 1 && word[1].len ? find(d, word[0], word[1]) : NULL;
    if (found || n == 0) return found;
    *used = 1;
    return find(d, word[0], chr_bytes(NULL, 0));
}

/* ---- syntax ---- */

/* One item of it: a word, words with bars between, or brackets. NULL: there is no more. */
static const char *item_end(const char *from)
{
    const char *p = from;
    for (int depth = 0; *p; p++) {
        depth += (*p == '[') - (*p == ']');
        if (depth == 0 && *p == ' ') {
            if (strncmp(p, " | ", 3) != 0) break;
            p += 2;
        }
    }
    return p;
}

static const char *next_item(const char *end) { return end + strspn(end, " "); }

const char *syntax_rest(const char *syntax, size_t said)
{
    const char *p = syntax;
    for (; said && *p; p = next_item(item_end(p)))
        if (*p != '[') said--;
    /* Optional ones that stood before are over; those behind may come in any order. */
    return p;
}

static bool is_key(slice item, bool first)
{
    static const char *const keys[] = { "key", "key1", "key2", "newkey", "source", "destination", "destkey", "prefix" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (slice_equal(item, chr_str(keys[i]))) return true;
    return first && slice_equal(item, chr_str("start")); /* of a range of keys; others come after the key */
}

bool syntax_wants_key(const char *syntax, size_t said)
{
    bool   range = strncmp(syntax, "start end", 9) == 0;
    size_t at = 0;
    for (const char *p = syntax, *end; *p; p = next_item(end)) {
        end = item_end(p);
        if (*p != '[') {
            if (at++ == said) return (range && said < 2) || is_key(chr_bytes(p, (size_t)(end - p)), said == 0);
            continue;
        }
        if ((size_t)(end - p) < 6 || strncmp(end - 4, "...]", 4) != 0) continue;
        /* [key value ...]: again and again */
        slice  words[8];
        size_t n = 0;
        for (const char *w = p + 1; w < end - 4 && n < 8; w = next_item(w + words[n - 1].len))
            words[n++] = chr_bytes(w, strcspn(w, " "));
        return n && said >= at && is_key(words[(said - at) % n], false);
    }
    return false;
}
