/* OBJECT and RANDOMKEY. */
#include "net/command.h"

#include "net/server_internal.h"

/* ---- OBJECT ---- */

enum { INT_BYTES = 20, EMBEDDED_BYTES = 44 }; /* at most, of what Redis keeps as an int and as an embstr */

typedef struct looked {
    object_meta meta;
    const char *encoding; /* that Redis would give to the value */
} looked;

static void look(void *arg, const object_meta *meta, slice value)
{
    looked *l = arg;
    int64_t ignored;
    l->meta = *meta;
    l->encoding = meta->size <= EMBEDDED_BYTES ? "embstr" : "raw";
    if (meta->size <= INT_BYTES && parse_int64(value, &ignored)) l->encoding = "int";
}

static int64_t idle_seconds(request *r, const object_meta *m)
{
    int64_t last = m->atime_ns > m->mtime_ns ? m->atime_ns : m->mtime_ns, now = store_now_ns(r->store);
    return now > last ? (now - last) / 1000000000 : 0;
}

const subcommand object_subcommands[] = {
    { "encoding", 3, CMD_READ, CAT_KEYSPACE, 2 },
    { "freq", 3, CMD_READ, CAT_KEYSPACE, 2 },
    { "help", 2, 0, CAT_KEYSPACE, 0 },
    { "idletime", 3, CMD_READ, CAT_KEYSPACE, 2 },
    { "refcount", 3, CMD_READ, CAT_KEYSPACE, 2 },
    { NULL, 0, 0, 0, 0 },
};

void cmd_object(request *r)
{
    enum { ENCODING, FREQ, HELP, IDLETIME, REFCOUNT };
    static const char *const help[] = {
        "ENCODING <key>",
        "    Return how Redis would represent the value.",
        "IDLETIME <key>",
        "    Return the seconds since the value was last set, or read by the mount.",
        "REFCOUNT <key>",
        "    Return 1.",
        NULL,
    };
    uint64_t seq = 0;
    looked   l = { .encoding = "" };
    int      which = find_subcommand(r);
    if (which < 0) return;
    if (which == HELP) {
        reply_help(r, help);
        return;
    }
    chr_status st = store_visit(r->store, r->args[2], look, &l, &seq);
    request_saw(r, seq);
    if (st == CHR_NOT_FOUND)
        reply_null(r);
    else if (st != CHR_OK)
        reply_status(r, st);
    else if (which == ENCODING)
        reply_value(r, chr_str(l.encoding));
    else if (which == IDLETIME)
        reply_integer(r, idle_seconds(r, &l.meta));
    else if (which == REFCOUNT)
        reply_integer(r, 1);
    else
        reply_error(r,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
                    "switching between policies at runtime LRU and LFU data will take some time to adjust.");
}

/* ---- RANDOMKEY ---- */

enum { STEPS_MAX = 64 };

static uint8_t high_byte(const buf *last, size_t n)
{
    assert(n < last->len && last->data);
    return (uint8_t)last->data[n];
}

static size_t common_prefix(slice a, slice b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n]) n++;
    return n;
}

/* Goes down from byte to byte: among the keys with a common prefix it draws the next byte, and leaves those that differ. So it
 * takes a few seeks, however many keys there are; and it prefers, as a tree of the bytes is uneven, keys with fewer kin.
 * `last` is the last of the keys, `prefix` is scratch; the iterator ends on the key that was drawn, or invalid. */
static bool draw(request *r, store_iter *it, buf *last, buf *prefix)
{
    env *e = db_env(store_db(r->store));
    for (int step = 0; step < STEPS_MAX && chr_iter_valid(it); step++) {
        slice  first = chr_iter_key(it);
        size_t n = common_prefix(first, buf_slice(last));
        if (n == last->len) return true; /* first and last are the same */
        /* A key that is itself the prefix is drawn like one of the bytes that follow it. */
        bool whole = first.len == n;
        if (!buf_set(prefix, chr_bytes(first.data, n))) return false;
        if (whole) chr_iter_next(it);
        if (!chr_iter_valid(it)) return true;
        uint8_t  low = (uint8_t)chr_iter_key(it).data[n];
        uint64_t drawn = env_random(e) % ((uint64_t)(high_byte(last, n) - low) + 1 + whole);
        if (whole && drawn == 0) {
            chr_iter_seek(it, buf_slice(prefix));
            return true;
        }
        if (!buf_append_byte(prefix, (uint8_t)(low + drawn - whole))) return false;
        chr_iter_seek(it, buf_slice(prefix));
        if (!chr_iter_valid(it)) return true;
        /* The byte that is there at or behind the drawn one. */
        low = (uint8_t)chr_iter_key(it).data[n];
        prefix->len = n;
        if (!buf_set(prefix, chr_bytes(chr_iter_key(it).data, n + 1))) return false;
        if (low == high_byte(last, n)) continue;
        /* The last key that begins so: the one before the next byte's first. */
        prefix->data[n] = (char)(low + 1);
        chr_iter_seek_back(it, buf_slice(prefix));
        if (!chr_iter_valid(it)) return true;
        if (slice_equal(chr_iter_key(it), buf_slice(prefix))) chr_iter_prev(it);
        if (!chr_iter_valid(it) || !buf_set(last, chr_iter_key(it))) return false;
        prefix->data[n] = (char)low;
        chr_iter_seek(it, buf_slice(prefix));
    }
    return true;
}

void cmd_randomkey(request *r)
{
    const slice none = chr_bytes(NULL, 0);
    store_iter *it;
    buf         last = { 0 }, prefix = { 0 };
    chr_status  st = store_iter_new(r->store, NULL, OBJECT_KEY, none, none, &it);
    if (st != CHR_OK) {
        reply_status(r, st);
        return;
    }
    request_saw(r, store_iter_seq(it));
    chr_iter_last(it);
    bool memory = !chr_iter_valid(it) || buf_set(&last, chr_iter_key(it));
    if (memory && chr_iter_valid(it)) {
        chr_iter_first(it);
        memory = draw(r, it, &last, &prefix);
    }
    st = memory ? chr_iter_status(it) : CHR_NO_MEMORY;
    if (st != CHR_OK)
        reply_status(r, st);
    else if (chr_iter_valid(it))
        reply_key(r, chr_iter_key(it));
    else
        reply_null(r);
    chr_iter_free(it);
    chr_buf_free(&last);
    chr_buf_free(&prefix);
}
