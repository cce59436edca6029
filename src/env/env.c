#include "env/env.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* The largest files read whole are segments of the log: of a memtable of MEMTABLE_BYTES_MAX and a batch of BATCH_BYTES_MAX. What
 * small writes take there is less than twice what they take in memory. */
#define READ_FILE_MAX (UINT64_C(4) << 30)
enum { COPY_BYTES = 1 << 20 };

chr_status env_read_file(env *e, const char *path, buf *contents)
{
    env_file  *f;
    uint64_t   bytes;
    size_t     got = 0;
    chr_status st = env_open(e, path, ENV_READ, &f);
    if (!chr_ok(st)) return st;
    st = env_size(f, &bytes);
    if (chr_ok(st) && bytes > READ_FILE_MAX)
        st = chr_fail(CHR_CORRUPT, "%s has %llu bytes, more than any such file", path, (unsigned long long)bytes);
    contents->len = 0;
    if (chr_ok(st) && !buf_reserve(contents, (size_t)bytes + 1)) st = chr_nomem();
    if (chr_ok(st)) st = env_pread(f, contents->data, (size_t)bytes, 0, &got);
    if (chr_ok(st)) contents->len = got;
    env_close(f);
    return st;
}

chr_status env_replace_file(env *e, const char *dir, const char *name, slice contents)
{
    char      final[PATH_MAX], temporary[PATH_MAX];
    env_file *f;
    int       n = snprintf(temporary, sizeof temporary, "%s/%s.tmp", dir, name);
    if (n < 0 || (size_t)n >= sizeof temporary) return chr_fail(CHR_INVALID, "the path %s/%s is too long", dir, name);
    snprintf(final, sizeof final, "%s/%s", dir, name);
    chr_status st = env_open(e, temporary, ENV_CREATE, &f);
    if (!chr_ok(st)) return st;
    st = env_pwrite(f, contents.data, contents.len, 0);
    if (chr_ok(st)) st = env_sync(f);
    env_close(f);
    if (chr_ok(st)) st = env_rename(e, temporary, final);
    if (!chr_ok(st)) {
        (void)env_unlink(e, temporary);
        return st;
    }
    st = env_sync_dir(e, dir);
    return chr_ok(st) ? CHR_OK : chr_fail(CHR_IO, "%s", chr_message());
}

chr_status env_sync_parent(env *e, const char *path)
{
    char *parent = strdup(path);
    if (!parent) return chr_nomem();
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/') parent[--len] = 0;
    char *slash = strrchr(parent, '/');
    if (slash) slash[slash == parent] = 0;
    chr_status st = env_sync_dir(e, slash ? parent : ".");
    free(parent);
    return st;
}

chr_status env_copy_file(env *e, const char *from, const char *to)
{
    env_file  *in = NULL, *out = NULL;
    char      *piece = malloc(COPY_BYTES);
    chr_status st = piece ? CHR_OK : chr_nomem();
    size_t     got = COPY_BYTES;
    if (chr_ok(st)) st = env_open(e, from, ENV_READ, &in);
    if (chr_ok(st)) st = env_open(e, to, ENV_CREATE, &out);
    for (uint64_t at = 0; chr_ok(st) && got == COPY_BYTES; at += got) {
        st = env_pread(in, piece, COPY_BYTES, at, &got);
        if (chr_ok(st)) st = env_pwrite(out, piece, got, at);
    }
    if (chr_ok(st)) st = env_sync(out);
    env_close(in);
    env_close(out);
    free(piece);
    return st;
}
