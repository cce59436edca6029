/* One file in memory whose bytes a test can see and change, and whose reads and writes can be made to fail. */
#ifndef CHR_TESTS_MEMFILE_H
#define CHR_TESTS_MEMFILE_H

#include "env/env.h"

#include <stdatomic.h>

typedef struct memfile {
    env_file          base; /* first: what env functions are given */
    env               env;
    buf               bytes;
    _Atomic(uint64_t) reads; /* calls so far */
    uint64_t          writes;
    uint64_t          fail_read; /* the call of this number fails with CHR_IO; 0: none */
    uint64_t          fail_write;
    unsigned          closed;
    struct {
        uint64_t offset, len;
    } ahead[64];             /* what was asked for in advance */
    _Atomic(size_t) n_ahead; /* may be more than there is room for */
} memfile;

static chr_status memfile_pread(env_file *f, void *to, size_t len, uint64_t offset, size_t *got)
{
    memfile *m = (memfile *)f;
    uint64_t nth = atomic_fetch_add(&m->reads, 1) + 1;
    if (nth == m->fail_read) return chr_fail(CHR_IO, "cannot read %s: as the test wants it", f->path);
    size_t n = offset < m->bytes.len ? m->bytes.len - (size_t)offset : 0;
    if (n > len) n = len;
    if (n) memcpy(to, m->bytes.data + offset, n);
    *got = n;
    return CHR_OK;
}
static chr_status memfile_pwrite(env_file *f, const void *from, size_t len, uint64_t offset)
{
    memfile *m = (memfile *)f;
    if (++m->writes == m->fail_write) return chr_fail(CHR_IO, "cannot write %s: as the test wants it", f->path);
    if (offset != m->bytes.len) return chr_fail(CHR_INVALID, "%s is only appended to", f->path);
    return buf_append(&m->bytes, from, len) ? CHR_OK : chr_nomem();
}
static chr_status memfile_size(env_file *f, uint64_t *bytes)
{
    *bytes = ((memfile *)f)->bytes.len;
    return CHR_OK;
}
static void memfile_advise(env_file *f, uint64_t offset, uint64_t len)
{
    memfile *m = (memfile *)f;
    size_t   slot = atomic_fetch_add(&m->n_ahead, 1);
    if (slot >= sizeof m->ahead / sizeof *m->ahead) return;
    m->ahead[slot].offset = offset;
    m->ahead[slot].len = len;
}
static void memfile_close(env_file *f) { ((memfile *)f)->closed++; }

/* Everything else a file can do is not there. */
static inline void memfile_init(memfile *m, const char *path)
{
    static const struct env_ops ops = { .close = memfile_close,
                                        .pread = memfile_pread,
                                        .pwrite = memfile_pwrite,
                                        .size = memfile_size,
                                        .advise_read_ahead = memfile_advise };
    memset(m, 0, sizeof *m);
    m->env.ops = &ops;
    m->base.env = &m->env;
    m->base.path = (char *)(uintptr_t)path;
}
static inline void memfile_free(memfile *m) { chr_buf_free(&m->bytes); }

#endif
