/* What a mount of a server's store does beside serving requests: it takes what the server says of changes, and gives it what it could
 * not be given while it was away. */
#include "fs/fs.h"

#include "base/log.h"

static void on_changed(void *arg, change_kind kind, slice key, uint64_t registration)
{
    mount *m = arg;
    if (!invalidate_key(m, kind, kind == CHANGE_RANGE ? chr_bytes(NULL, 0) : key, registration))
        remote_settled(m->remote, registration); /* no memory: the kernel's second is the bound then */
}

static void on_missed(void *arg)
{
    mount *m = arg;
    (void)invalidate_key(m, CHANGE_RANGE, chr_bytes(NULL, 0), 0);
    pthread_mutex_lock(&m->queue_mu);
    m->repay = true;
    pthread_cond_signal(&m->repay_work);
    pthread_mutex_unlock(&m->queue_mu);
}

/* False: there is nothing more to do, for now. */
static bool repay_one(mount *m)
{
    pthread_rwlock_rdlock(&m->barrier);
    pthread_mutex_lock(&m->mu);
    remote_begin(m->remote);
    node *n = m->dirty;
    while (n && !n->owed) n = n->next_dirty;
    chr_status st = n ? file_flush(m, n) : CHR_NOT_FOUND;
    if (n && st == CHR_OK) node_release(m, n);
    if (n && st != CHR_OK)
        log_line(LOG_ERROR, "fs", "what was written to a file is still not on the server", "reason=\"%s\"",
                 chr_message());
    pthread_mutex_unlock(&m->mu);
    pthread_rwlock_unlock(&m->barrier);
    return st == CHR_OK;
}

/* Files whose flush has failed go to the server when it is there again. */
static void *repayer_main(void *arg)
{
    mount *m = arg;
    pthread_mutex_lock(&m->queue_mu);
    while (m->repaying) {
        while (!m->repay && m->repaying) pthread_cond_wait(&m->repay_work, &m->queue_mu);
        m->repay = false;
        pthread_mutex_unlock(&m->queue_mu);
        while (repay_one(m)) continue;
        pthread_mutex_lock(&m->queue_mu);
    }
    pthread_mutex_unlock(&m->queue_mu);
    return NULL;
}

chr_status far_start(mount *m)
{
    const remote_events events = { .changed = on_changed, .missed = on_missed, .arg = m };
    pthread_cond_init(&m->repay_work, NULL);
    m->repaying = true;
    if (pthread_create(&m->repayer, NULL, repayer_main, m) != 0) {
        m->repaying = false;
        return chr_fail(CHR_NO_MEMORY, "cannot start a thread");
    }
    return remote_listen(m->remote, &events);
}

void far_stop(mount *m)
{
    if (!m->remote) return;
    remote_quiet(m->remote);
    if (!m->repaying) return;
    pthread_mutex_lock(&m->queue_mu);
    m->repaying = false;
    pthread_cond_signal(&m->repay_work);
    pthread_mutex_unlock(&m->queue_mu);
    pthread_join(m->repayer, NULL);
    pthread_cond_destroy(&m->repay_work);
}
