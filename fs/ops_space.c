/* Where a file has bytes and where holes: fallocate, lseek; and copy_file_range. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    COPY_STEP = 1 << 20, /* read and written at a time */
    COPY_MAX = 16 << 20, /* by one request; the caller goes on from there */
};

/* Bytes that are promised must at least fit on the disk now. Nothing is set aside. */
static chr_status fits(mount *m, uint64_t len)
{
    uint64_t   free_bytes = 0, total = 0;
    chr_status st = fs_space(m, &free_bytes, &total);
    return st == CHR_OK && len > free_bytes ? chr_fail(CHR_NO_SPACE, "the disk has not room for so many bytes") : st;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    (void)fi;
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    uint64_t   from = (uint64_t)offset, len = (uint64_t)length, end = from + len;
    bool       clears = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE), keeps = mode & FALLOC_FL_KEEP_SIZE;
    chr_status st = n && n->kind == NODE_FILE ? file_refresh(m, n) : CHR_NOT_FOUND;
    int        error = mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? EOPNOTSUPP : 0;
    if (!error && st == CHR_OK && !clears) error = quota_check(m, n, len);
    if (!error) {
        if (st == CHR_OK && end > OBJECT_SIZE_MAX) st = chr_fail(CHR_TOO_BIG, "a file has at most 128 TiB");
        if (st == CHR_OK && !clears) st = fits(m, len);
        if (st == CHR_OK && clears) st = file_punch(m, n, from, len);
        if (st == CHR_OK && (!clears || end > n->meta.size)) /* as long as it was: its time changes */
            st = file_truncate(m, n, keeps || end < n->meta.size ? n->meta.size : end);
        error = fs_errno(st);
    }
    fuse_reply_err(req, error);
    fs_end(m);
}

/* SEEK_HOLE: goes along runs that touch, and lets others work in between: there may be many of them. */
static chr_status end_of_data(mount *m, node *n, uint64_t from, uint64_t *hole)
{
    uint64_t   start, end;
    chr_status st = CHR_OK;
    n->refs++;
    for (*hole = from; (st = file_data(m, n, *hole, &start, &end)) == CHR_OK && start == *hole && end > start;) {
        *hole = end;
        pthread_mutex_unlock(&m->mu);
        pthread_mutex_lock(&m->mu);
    }
    n->refs--;
    return st;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    (void)fi;
    mount     *m = fs_begin(req);
    node      *n = node_of(m, ino);
    uint64_t   found = 0, end = 0, from = (uint64_t)offset;
    chr_status st = n && n->kind == NODE_FILE ? file_refresh(m, n) : CHR_NOT_FOUND;
    int        error = st != CHR_OK ? fs_errno(st) : whence != SEEK_DATA && whence != SEEK_HOLE ? EINVAL : 0;
    if (!error && from >= n->meta.size) error = ENXIO;
    if (!error)
        error = fs_errno(whence == SEEK_DATA ? file_data(m, n, from, &found, &end) : end_of_data(m, n, from, &found));
    if (!error && whence == SEEK_DATA && found >= n->meta.size) error = ENXIO;
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_lseek(req, (off_t)found);
    fs_end(m);
}

static chr_status copy(mount *m, node *in, uint64_t from, node *out, uint64_t to, size_t len, size_t *done)
{
    chr_status st = CHR_OK;
    size_t     got = 1;
    char      *bytes = malloc(COPY_STEP);
    if (!bytes) return chr_nomem();
    for (*done = 0; st == CHR_OK && got && *done < len; *done += got) {
        size_t want = len - *done < COPY_STEP ? len - *done : COPY_STEP;
        st = file_refresh(m, in);
        if (st == CHR_OK) st = file_read(m, in, from + *done, bytes, want, &got);
        if (st == CHR_OK && got) st = file_write(m, out, to + *done, chr_bytes(bytes, got));
        if (st != CHR_OK) break;
    }
    free(bytes);
    return *done ? CHR_OK : st;
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                               fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
    (void)fi_in, (void)fi_out, (void)flags;
    mount     *m = fs_begin(req);
    node      *in = node_of(m, ino_in), *out = node_of(m, ino_out);
    size_t     done = 0;
    chr_status st = in && out && in->kind == NODE_FILE && out->kind == NODE_FILE ? CHR_OK : CHR_INVALID;
    if (st == CHR_OK) st = file_refresh(m, in);
    if (len > COPY_MAX) len = COPY_MAX;
    uint64_t there = st == CHR_OK && (uint64_t)off_in < in->meta.size ? in->meta.size - (uint64_t)off_in : 0;
    int      error = st == CHR_OK ? quota_check(m, out, there < len ? there : len) : fs_errno(st);
    if (!error) error = fs_errno(copy(m, in, (uint64_t)off_in, out, (uint64_t)off_out, len, &done));
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_write(req, done);
    fs_end(m);
}

void ops_space_init(struct fuse_lowlevel_ops *ops)
{
    ops->fallocate = op_fallocate;
    ops->lseek = op_lseek;
    ops->copy_file_range = op_copy_file_range;
}
