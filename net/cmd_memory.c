/* MEMORY. */
#include "net/memory.h"
#include "net/server_internal.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

/* What a record takes beyond key and value: sequence number, kind, lengths and attributes. */
enum { RECORD_BYTES = 24, ATTRIBUTE_BYTES = 40 };

static void memory_usage(request *r)
{
    object_meta meta;
    uint64_t    seq = 0;
    int64_t     samples;
    for (size_t i = 3; i < r->n; i += 2) {
        if (i + 1 == r->n || !argument_is(r->args[i], "samples")) {
            reply_error(r, "ERR syntax error");
            return;
        }
        if (!argument_integer(r, r->args[i + 1], &samples)) return;
        if (samples < 0) {
            reply_error(r, "ERR syntax error");
            return;
        }
    }
    chr_status st = store_stat(r->store, NULL, OBJECT_KEY, r->args[2], &meta, &seq);
    request_saw(r, seq);
    if (st == CHR_NOT_FOUND) {
        reply_null(r);
    } else if (st != CHR_OK) {
        reply_status(r, st);
    } else {
        buf      xattrs = { 0 };
        uint64_t records = 1 + (meta.size > CHUNK_BYTES ? (meta.size + CHUNK_BYTES - 1) / CHUNK_BYTES : 0);
        uint64_t bytes = meta.size + records * (r->args[2].len + RECORD_BYTES);
        if (meta.has_attrs) bytes += ATTRIBUTE_BYTES;
        if (meta.has_xattrs && store_get_xattrs(r->store, NULL, OBJECT_KEY, r->args[2], &xattrs) == CHR_OK)
            bytes += xattrs.len;
        chr_buf_free(&xattrs);
        reply_integer(r, (int64_t)bytes);
    }
}

static void put(request *r, const char *name, uint64_t n)
{
    reply_value(r, chr_str(name));
    reply_integer(r, (int64_t)n);
}

static void put_share(request *r, const char *name, uint64_t part, uint64_t whole)
{
    char text[32];
    snprintf(text, sizeof text, "%.2f", whole ? 100 * (double)part / (double)whole : 0.0);
    reply_value(r, chr_str(name));
    reply_value(r, chr_str(text));
}

static void memory_stats(request *r)
{
    memory_use use = memory_now();
    chr_stats  s;
    chr_get_stats(r->store, &s);
    uint64_t data = s.memtable_bytes + s.cache_bytes;
    reply_map(r, 12);
    put(r, "peak.allocated", use.peak);
    put(r, "total.allocated", use.allocated);
    put(r, "overhead.total", use.allocated > data ? use.allocated - data : 0);
    put(r, "keys.count", s.keys_estimate);
    put(r, "memtables.bytes", s.memtable_bytes);
    put(r, "cache.bytes", s.cache_bytes);
    put(r, "dataset.bytes", data);
    put_share(r, "dataset.percentage", data, use.allocated);
    put_share(r, "peak.percentage", use.resident, use.peak);
    put(r, "allocator.allocated", use.allocated);
    put(r, "allocator.active", use.held);
    put(r, "allocator.resident", use.resident);
}

/* The data are on disk, so there is little that could be wrong. */
static void memory_doctor(request *r)
{
    enum { MUCH = 64 << 20 };
    memory_use use = memory_now();
    char       text[256], held[32], allocated[32];
    memory_human(use.held, held);
    memory_human(use.allocated, allocated);
    if (use.held > 2 * use.allocated && use.held - use.allocated > MUCH)
        snprintf(text, sizeof text, "%s are used of %s that malloc holds: MEMORY PURGE gives back what it can.\n",
                 allocated, held);
    else
        snprintf(text, sizeof text, "Nothing is wrong: %s are used of %s that malloc holds.\n", allocated, held);
    reply_verbatim(r, chr_str(text));
}

static void memory_malloc_stats(request *r)
{
    char  *text = NULL;
    size_t len = 0;
    FILE  *f = open_memstream(&text, &len);
    if (!f) {
        reply_status(r, CHR_NO_MEMORY);
        return;
    }
    (void)malloc_info(0, f);
    (void)fclose(f);
    reply_verbatim(r, chr_bytes(text ? text : "", len));
    free(text);
}

const subcommand memory_subcommands[] = {
    { "doctor", 2, 0, 0, 0 }, { "help", 2, 0, 0, 0 },          { "malloc-stats", 2, 0, 0, 0 }, { "purge", 2, 0, 0, 0 },
    { "stats", 2, 0, 0, 0 },  { "usage", -3, CMD_READ, 0, 2 }, { NULL, 0, 0, 0, 0 },
};

void cmd_memory(request *r)
{
    static const char *const help[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return the bytes of <key> and its value in the store. SAMPLES is ignored.",
        NULL,
    };
    enum { DOCTOR, HELP, MALLOC_STATS, PURGE, STATS, USAGE };
    switch (find_subcommand(r)) {
    case DOCTOR: memory_doctor(r); break;
    case HELP: reply_help(r, help); break;
    case MALLOC_STATS:
        if (!request_defer(r)) memory_malloc_stats(r);
        break;
    case PURGE:
        if (request_defer(r)) break;
        (void)malloc_trim(0);
        reply_ok(r);
        break;
    case STATS: memory_stats(r); break;
    case USAGE: memory_usage(r); break;
    default: break; /* answered */
    }
}
