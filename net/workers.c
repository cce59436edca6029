#include "net/workers.h"

#include "net/server_internal.h"

#include <stdlib.h>

enum { WORKERS_MAX = 32, TAKEN_MIN = 1 << 20 };

struct workers {
    pthread_mutex_t mu;
    pthread_cond_t  work;
    job            *first, **last;
    bool            stop;
    pthread_t       threads[WORKERS_MAX];
    unsigned        n;
};

static bool copy_arguments(job *j, const request *r, size_t bytes)
{
    if (!buf_reserve(&j->bytes, bytes + 1)) return false;
    for (size_t i = 0; i < r->n; i++) {
        j->args[i] = chr_bytes(j->bytes.data + j->bytes.len, r->args[i].len);
        buf_append_slice(&j->bytes, r->args[i]);
    }
    return true;
}

/* A big value stays where it was received: the job has the buffer, and the connection a new one with what came behind. */
static bool take_arguments(job *j, conn *c, const request *r)
{
    buf behind = { 0 };
    for (size_t i = 0; i < r->n; i++)
        if (r->args[i].data < c->in.data || r->args[i].data > c->in.data + c->in.len) return false;
    if (!buf_append_slice(&behind, slice_from(buf_slice(&c->in), c->in_at))) return false;
    memcpy(j->args, r->args, r->n * sizeof *j->args);
    j->bytes = c->in;
    c->in = behind;
    c->in_at = 0;
    return true;
}

job *job_new(conn *c, const request *r)
{
    size_t bytes = 0;
    assert(r->n > 0);
    job *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    for (size_t i = 0; i < r->n; i++) bytes += r->args[i].len;
    j->args = malloc(r->n * sizeof *j->args);
    bool taken = j->args && bytes >= TAKEN_MIN && take_arguments(j, c, r);
    if (!j->args || (!taken && !copy_arguments(j, r, bytes))) {
        job_free(j);
        return NULL;
    }
    j->conn = c;
    j->request = *r;
    j->request.args = j->args;
    j->request.out = &j->out;
    j->request.on_worker = true;
    j->request.counts = NULL;
    j->request.deferred = false;
    return j;
}

void job_free(job *j)
{
    request_is_complete(&j->request);
    free(j->args);
    chr_buf_free(&j->bytes);
    chr_buf_free(&j->out);
    free(j);
}

static void hand_back(job *j)
{
    reactor *r = j->conn->reactor;
    pthread_mutex_lock(&r->mu);
    j->next = r->finished;
    r->finished = j;
    pthread_mutex_unlock(&r->mu);
    reactor_wake(r);
}

static void *worker_main(void *arg)
{
    workers *w = arg;
    pthread_mutex_lock(&w->mu);
    for (;;) {
        while (!w->first && !w->stop) pthread_cond_wait(&w->work, &w->mu);
        job *j = w->first;
        if (!j) break;
        w->first = j->next;
        if (!w->first) w->last = &w->first;
        pthread_mutex_unlock(&w->mu);
        uint64_t began = ticks_now();
        tracking_actor = j->request.session->id;
        j->request.command->run(&j->request);
        tracking_actor = 0;
        j->ns += ticks_between(began, ticks_now());
        if (!j->request.rest) calls_note(&j->request, j->ns);
        hand_back(j);
        pthread_mutex_lock(&w->mu);
    }
    pthread_mutex_unlock(&w->mu);
    return NULL;
}

workers *workers_start(unsigned threads)
{
    workers *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->work, NULL);
    w->last = &w->first;
    if (threads > WORKERS_MAX) threads = WORKERS_MAX;
    while (w->n < threads && pthread_create(&w->threads[w->n], NULL, worker_main, w) == 0) {
        pthread_setname_np(w->threads[w->n], "chr-worker");
        w->n++;
    }
    if (w->n == threads) return w;
    workers_stop(w);
    return NULL;
}

void workers_add(workers *w, job *j)
{
    j->next = NULL;
    pthread_mutex_lock(&w->mu);
    *w->last = j;
    w->last = &j->next;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->mu);
}

void workers_stop(workers *w)
{
    pthread_mutex_lock(&w->mu);
    w->stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->mu);
    for (unsigned i = 0; i < w->n; i++) pthread_join(w->threads[i], NULL);
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->work);
    free(w);
}
