/* What lies in .chronos at the root of the mount. A file's text is taken when it is opened, so that it is of one moment however it
 * is read; but log, which is a stream (change_log.c). mu held throughout. */
#include "fs/fs.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

typedef struct control_handle {
    buf      text;
    uint64_t position; /* in the log */
} control_handle;

typedef struct control_file {
    const char *name;
    mode_t      permissions;
    bool (*text)(mount *m, buf *text);             /* NULL: the log */
    int (*set)(mount *m, slice name, slice value); /* of a line that was written; an errno */
    bool near_only;                                /* a server is not asked for it */
} control_file;

/* ---- stats and metrics ---- */

static bool stats_text(mount *m, buf *text) { return fs_stats_text(m, text) == CHR_OK; }

typedef struct metric {
    const char *name, *type, *help;
    size_t      field;
} metric;
#define COUNTER(metric_name, member, sentence)                                                                         \
    {                                                                                                                  \
        "chronos_" metric_name "_total", "counter", sentence, offsetof(chr_stats, member)                              \
    }
#define GAUGE(metric_name, member, sentence)                                                                           \
    {                                                                                                                  \
        "chronos_" metric_name, "gauge", sentence, offsetof(chr_stats, member)                                         \
    }
static const metric metrics[] = {
    GAUGE("keys_estimate", keys_estimate, "Entries, shadowed ones counted once too often."),
    GAUGE("disk_bytes", disk_bytes, "Bytes of tables on disk."),
    GAUGE("memtable_bytes", memtable_bytes, "Memory that new writes take."),
    GAUGE("cache_bytes", cache_bytes, "Memory that the block cache takes."),
    COUNTER("cache_hits", cache_hits, "Blocks that were found in the cache."),
    COUNTER("cache_misses", cache_misses, "Blocks that were read from disk."),
    COUNTER("wal_bytes", wal_bytes, "Bytes written to the log."),
    COUNTER("wal_syncs", wal_syncs, "Syncs of the log."),
    COUNTER("flushes", flushes, "Memtables written to tables."),
    COUNTER("flush_written_bytes", flush_bytes_written, "Bytes written by flushes."),
    COUNTER("compactions", compactions, "Compactions done."),
    COUNTER("compaction_read_bytes", compaction_bytes_read, "Bytes read by compactions."),
    COUNTER("compaction_written_bytes", compaction_bytes_written, "Bytes written by compactions."),
    COUNTER("user_written_bytes", user_bytes_written, "Bytes of keys and values that were written."),
    COUNTER("stall_microseconds", stall_us, "Time for which writers were slowed down."),
};

static bool put_head(buf *text, const char *name, const char *type, const char *help)
{
    return buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool metrics_text(mount *m, buf *text)
{
    chr_stats s;
    chr_get_stats(m->store, &s);
    bool good = true;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && good; i++) {
        const uint64_t *value = (const uint64_t *)(const void *)((const char *)&s + metrics[i].field);
        good = put_head(text, metrics[i].name, metrics[i].type, metrics[i].help) &&
               buf_printf(text, "%s %" PRIu64 "\n", metrics[i].name, *value);
    }
    good = good && put_head(text, "chronos_read_only", "gauge", "1 after a failed write or sync.") &&
           buf_printf(text, "chronos_read_only %d\n", s.read_only) &&
           put_head(text, "chronos_mount_requests_total", "counter", "What the kernel has asked of this mount.") &&
           buf_printf(text, "chronos_mount_requests_total %" PRIu64 "\n", atomic_load(&m->requests)) &&
           put_head(text, "chronos_level_bytes", "gauge", "Bytes of the tables of a level.");
    for (int i = 0; i < 8 && good; i++)
        good = buf_printf(text, "chronos_level_bytes{level=\"%d\"} %" PRIu64 "\n", i, s.level_bytes[i]);
    good = good && put_head(text, "chronos_level_files", "gauge", "Tables of a level.");
    for (int i = 0; i < 8 && good; i++)
        good = buf_printf(text, "chronos_level_files{level=\"%d\"} %" PRIu32 "\n", i, s.level_files[i]);
    return good;
}

/* ---- config ---- */

static bool config_text(mount *m, buf *text)
{
    const mount_options *o = &m->options;
    bool                 good =
        buf_printf(text, "mount %s\nmount-read-only %s\nmount-allow-other %s\nmount-cache %s\nmount-prefix %.*s\n",
                   m->mount_point, o->read_only ? "yes" : "no", o->allow_other ? "yes" : "no",
                   o->strict ? "strict" : "auto", (int)o->prefix.len, o->prefix.data ? o->prefix.data : "");
    if (good && o->max_size) good = buf_printf(text, "mount-max-size %" PRIu64 "\n", o->max_size);
    if (good && o->snapshot.len)
        good = buf_printf(text, "mount-snapshot %.*s\n", (int)o->snapshot.len, o->snapshot.data);
    if (good && o->config_text) return o->config_text(o->config_arg, text);
    if (good && m->remote) return buf_printf(text, "server %s\n", remote_address(m->remote));
    return good && buf_printf(text, "dir %s\n", db_dir(store_db(m->store)));
}

static int config_set(mount *m, slice name, slice value)
{
    const mount_options *o = &m->options;
    return o->config_set && o->config_set(o->config_arg, name, value) == CHR_OK ? 0 : EINVAL;
}

/* ---- compact ---- */

static bool compact_text(mount *m, buf *text) { return buf_printf(text, "%d\n", m->compacting ? 1 : 0); }

static void *compact_main(void *arg)
{
    mount   *m = arg;
    uint64_t begin = env_monotonic_ns(env_posix());
    if (fs_compact(m) != CHR_OK) log_line(LOG_ERROR, "fs", "a compaction failed", "reason=\"%s\"", chr_message());
    uint64_t end = env_monotonic_ns(env_posix());
    pthread_mutex_lock(&m->mu);
    m->compacted_ns = end;
    m->compaction_ns = end - begin;
    m->compacting = false;
    pthread_cond_broadcast(&m->compacted);
    pthread_mutex_unlock(&m->mu);
    return NULL;
}

static void join_compactor(mount *m)
{
    if (m->has_compactor) pthread_join(m->compactor, NULL);
    m->has_compactor = false;
}

bool control_compact(mount *m)
{
    if (m->compacting) return true;
    join_compactor(m);
    m->compacting = true;
    m->compacted_seq = fs_mark_now(m);
    m->has_compactor = pthread_create(&m->compactor, NULL, compact_main, m) == 0;
    if (!m->has_compactor) m->compacting = false;
    return m->has_compactor;
}

static int compact_set(mount *m, slice name, slice value)
{
    if (!slice_equal(name, chr_str("1")) || value.len) return EINVAL;
    return control_compact(m) ? 0 : EAGAIN;
}

void control_end(mount *m)
{
    join_compactor(m);
    change_log_end(m);
}

/* ---- all of them ---- */

/* The log tells names in directories that not everybody may look into. */
static const control_file files[] = {
    { "compact", 0644, compact_text, compact_set, false },
    { "config", 0644, config_text, config_set, false },
    { "log", 0400, NULL, NULL, true },
    { "metrics", 0444, metrics_text, NULL, true },
    { "stats", 0444, stats_text, NULL, false },
};
enum { FILES = sizeof files / sizeof *files };

static const control_file *find(const char *name)
{
    for (size_t i = 0; i < FILES; i++)
        if (strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}

static bool is_offered(const mount *m, const control_file *f) { return !m->remote || !f->near_only; }

const char *control_name(const mount *m, size_t i)
{
    for (const control_file *f = files; f < files + FILES; f++)
        if (is_offered(m, f) && i-- == 0) return f->name;
    return NULL;
}

bool control_exists(const mount *m, const char *name)
{
    const control_file *f = find(name);
    return f && is_offered(m, f);
}

void control_meta(mount *m, const node *n, object_meta *meta)
{
    const control_file *f = find(n->name);
    meta->mode = S_IFREG | f->permissions;
    meta->size = f->text ? 0 : change_log_size(m); /* tail -f looks at it */
}

chr_status control_open(mount *m, const node *n, struct fuse_file_info *fi)
{
    const control_file *f = find(n->name);
    control_handle     *h = calloc(1, sizeof *h);
    if (!h) return chr_nomem();
    chr_status st = f->text ? (f->text(m, &h->text) ? CHR_OK : chr_nomem()) : change_log_begin(m);
    fi->fh = (uintptr_t)h;
    fi->direct_io = 1; /* its size is not known before it is read */
    fi->nonseekable = !f->text;
    if (st != CHR_OK) control_close(fi);
    return st;
}

void control_close(struct fuse_file_info *fi)
{
    control_handle *h = (control_handle *)(uintptr_t)fi->fh;
    chr_buf_free(&h->text);
    free(h);
}

size_t control_read(mount *m, const node *n, const struct fuse_file_info *fi, uint64_t offset, char *to, size_t len)
{
    control_handle *h = (control_handle *)(uintptr_t)fi->fh;
    if (!find(n->name)->text) return change_log_read(m, &h->position, to, len);
    size_t from = offset < h->text.len ? (size_t)offset : h->text.len;
    size_t got = h->text.len - from < len ? h->text.len - from : len;
    if (got) memcpy(to, h->text.data + from, got);
    return got;
}

int control_write(mount *m, const node *n, slice data)
{
    const control_file *f = find(n->name);
    int                 error = f->set ? 0 : EACCES;
    while (data.len && !error) {
        const char *newline = memchr(data.data, '\n', data.len);
        slice       line = chr_bytes(data.data, newline ? (size_t)(newline - data.data) : data.len);
        const char *space = memchr(line.data, ' ', line.len);
        slice       name = chr_bytes(line.data, space ? (size_t)(space - line.data) : line.len);
        slice       value = slice_from(line, space ? name.len + 1 : line.len);
        error = f->set(m, name, value);
        data = slice_from(data, line.len + (newline != NULL));
    }
    return error;
}
