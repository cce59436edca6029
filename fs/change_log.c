/* .chronos/log: a line for each change of the store, whichever door it came through. Recording begins when somebody first opens
 * the file, so that nobody pays who does not look. A reader is a position in the stream of all lines ever; only the newest LOG_BYTES
 * of it are kept, and whoever is behind is told so in a line. That line is never longer than what it stands for: tail -f
 * takes a file of which it has read more than the size for a truncated one.
 *
 * The watcher runs under the store's locks; log_mu is a leaf. */
#include "fs/fs.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
    LOG_BYTES = 1 << 20,
    LOG_DROP = 64 << 10,  /* thrown away at least, so that it is seldom done; far more than a notice of it has */
    LOG_KEY_MAX = 1 << 10 /* bytes of a key that are shown */
};

static bool put_key(buf *to, slice key)
{
    bool good = true;
    for (size_t i = 0; i < key.len && i < LOG_KEY_MAX && good; i++) {
        unsigned char c = (unsigned char)key.data[i];
        if (c == '\\')
            good = buf_append(to, "\\\\", 2);
        else if (c < ' ' || c == 0x7f)
            good = buf_printf(to, "\\x%02x", c);
        else
            good = buf_append_byte(to, c);
    }
    return good && (key.len <= LOG_KEY_MAX || buf_append(to, "...", 3));
}

static void put_line(mount *m, const char *operation, slice key)
{
    struct timespec now;
    struct tm       utc;
    buf            *log = &m->log_text;
    size_t          before = log->len;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    bool good = buf_printf(log, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ", utc.tm_year + 1900, utc.tm_mon + 1,
                           utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000, operation) &&
                put_key(log, key) && buf_append_byte(log, '\n');
    if (!good) log->len = before; /* no memory: a line less */
    if (log->len <= LOG_BYTES) return;
    const char *end = memchr(log->data + LOG_DROP, '\n', log->len - LOG_DROP);
    size_t      dropped = (size_t)(end - log->data) + 1;
    log->len -= dropped;
    memmove(log->data, end + 1, log->len);
    m->log_start += dropped;
}

static bool on_change(void *arg, const change *c)
{
    mount      *m = arg;
    bool        dir = c->space == OBJECT_DIR;
    const char *operation = c->kind == CHANGE_PUT ? (dir ? "setdir" : "set") : dir ? "deldir" : "del";
    if (c->kind == CHANGE_RANGE) operation = dir ? "delrange-dirs" : "delrange";
    if (slice_has_prefix(c->key, chr_str(UNLINKED_PREFIX))) return false; /* files without a name */
    if (c->kind != CHANGE_RANGE && !slice_has_prefix(c->key, buf_slice(&m->root->key))) return false;
    pthread_mutex_lock(&m->log_mu);
    put_line(m, operation, c->key);
    pthread_mutex_unlock(&m->log_mu);
    return false;
}

chr_status change_log_begin(mount *m)
{
    if (m->log_watch) return CHR_OK;
    pthread_mutex_lock(&m->log_mu);
    put_line(m, "begin", chr_str("changes are recorded from here on"));
    pthread_mutex_unlock(&m->log_mu);
    return store_watch_add(m->store, on_change, m, &m->log_watch);
}

void change_log_end(mount *m)
{
    if (m->log_watch) store_watch_remove(m->log_watch);
    chr_buf_free(&m->log_text);
}

uint64_t change_log_size(mount *m)
{
    pthread_mutex_lock(&m->log_mu);
    uint64_t size = m->log_start + m->log_text.len;
    pthread_mutex_unlock(&m->log_mu);
    return size;
}

size_t change_log_read(mount *m, uint64_t *position, char *to, size_t len)
{
    char   notice[96];
    size_t got = 0;
    pthread_mutex_lock(&m->log_mu);
    if (*position < m->log_start) {
        int n = snprintf(notice, sizeof notice, "... %" PRIu64 " bytes of older changes are lost\n",
                         m->log_start - *position);
        if ((size_t)n <= len) {
            memcpy(to, notice, (size_t)n);
            got = (size_t)n;
        }
        *position = m->log_start;
    }
    size_t from = (size_t)(*position - m->log_start), left = m->log_text.len - from;
    size_t more = left < len - got ? left : len - got;
    if (more) memcpy(to + got, m->log_text.data + from, more);
    *position += more;
    pthread_mutex_unlock(&m->log_mu);
    return got + more;
}
