/* Replies leave when mu has been released, and before the barrier is: handing one to the kernel wakes whoever waits for it, which
 * takes longer than most requests. What libfuse writes while a thread has mu is kept and sent by fs_end; a long reply, of which the
 * copy would cost more, goes at once. Each thread that serves requests has its own place for one reply. */
#include "fs/fs.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KEPT_MAX = 64 * 1024 };

static _Thread_local struct {
    char                 *bytes; /* of a thread that serves requests; KEPT_MAX */
    size_t                len;
    bool                  in_request;
    fs_lost_fn           *lost; /* or NULL */
    node                 *node;
    struct fuse_file_info file;
} reply;

static ssize_t keep_or_send(int fd, struct iovec *iov, int count, void *userdata)
{
    size_t len = 0;
    (void)userdata;
    for (int i = 0; i < count; i++) len += iov[i].iov_len;
    if (!reply.in_request || reply.len || len > KEPT_MAX) return writev(fd, iov, count);
    for (int i = 0; i < count; i++) {
        if (!iov[i].iov_len) continue;
        memcpy(reply.bytes + reply.len, iov[i].iov_base, iov[i].iov_len);
        reply.len += iov[i].iov_len;
    }
    return (ssize_t)len;
}

static ssize_t receive(int fd, void *to, size_t len, void *userdata)
{
    (void)userdata;
    return read(fd, to, len);
}

bool replies_prepare(struct fuse_session *session)
{
    static const struct fuse_custom_io io = { .writev = keep_or_send, .read = receive };
    return fuse_session_custom_io(session, &io, fuse_session_fd(session)) == 0;
}

bool replies_begin_thread(void) { return (reply.bytes = malloc(KEPT_MAX)) != NULL; }
void replies_end_thread(void)
{
    free(reply.bytes);
    reply.bytes = NULL;
}

mount *fs_begin(fuse_req_t req)
{
    mount *m = fuse_req_userdata(req);
    pthread_rwlock_rdlock(&m->barrier);
    pthread_mutex_lock(&m->mu);
    assert(reply.bytes);
    reply.in_request = true;
    if (m->remote) remote_begin(m->remote);
    return m;
}

void fs_if_lost(fs_lost_fn *fn, node *n, const struct fuse_file_info *fi)
{
    reply.lost = fn;
    reply.node = n;
    if (fi) reply.file = *fi;
}

void fs_end(mount *m)
{
    pthread_mutex_unlock(&m->mu);
    reply.in_request = false;
    bool arrived = reply.len && write(fuse_session_fd(m->session), reply.bytes, reply.len) >= 0;
    if (!arrived && reply.lost) {
        pthread_mutex_lock(&m->mu);
        reply.lost(m, reply.node, &reply.file);
        pthread_mutex_unlock(&m->mu);
    }
    reply.len = 0;
    reply.lost = NULL;
    pthread_rwlock_unlock(&m->barrier);
}
