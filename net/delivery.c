#include "net/delivery.h"

#include "net/server_internal.h"

#include <stdlib.h>

message *message_new(message_say_fn *say, const slice *parts, size_t n, uint64_t seq)
{
    size_t bytes = 0, at = 0;
    assert(n <= MESSAGE_PARTS);
    for (size_t i = 0; i < n; i++) bytes += parts[i].len;
    message *m = calloc(1, sizeof *m + bytes);
    if (!m) return NULL;
    atomic_init(&m->users, 1);
    m->say = say;
    m->seq = seq;
    for (size_t i = 0; i < n; at += parts[i++].len) {
        if (!parts[i].data) continue;
        m->parts[i] = chr_bytes(m->bytes + at, parts[i].len);
        if (parts[i].len) memcpy(m->bytes + at, parts[i].data, parts[i].len);
    }
    return m;
}

void message_release(message *m)
{
    if (m && atomic_fetch_sub(&m->users, 1) == 1) free(m);
}

static size_t message_bytes(const message *m)
{
    size_t bytes = sizeof(delivery) + sizeof *m;
    for (size_t i = 0; i < MESSAGE_PARTS; i++) bytes += m->parts[i].len;
    return bytes;
}

bool message_send(conn *c, message *m)
{
    reactor  *r = c->reactor;
    size_t    bytes = m ? message_bytes(m) : 0, limit = r->server->settings.pubsub_hard;
    delivery *d = NULL;
    if (m && !atomic_load(&c->overrun) && (!limit || atomic_load(&c->inbox_bytes) + bytes <= limit))
        d = malloc(sizeof *d);
    if (!d) {
        if (atomic_exchange(&c->overrun, true)) return false;
        atomic_store(&c->unwanted, true); /* nothing may come any more that would make it be seen */
        atomic_store(&r->look_now, true);
        reactor_wake(r);
        return false;
    }
    atomic_fetch_add(&m->users, 1);
    atomic_fetch_add(&c->inbox_bytes, bytes);
    *d = (delivery){ NULL, c, m };
    pthread_mutex_lock(&r->mu);
    *r->inbox_end = d;
    r->inbox_end = &d->next;
    pthread_mutex_unlock(&r->mu);
    reactor_wake(r);
    return true;
}

void delivery_drop(delivery *d)
{
    atomic_fetch_sub(&d->to->inbox_bytes, message_bytes(d->message));
    message_release(d->message);
    free(d);
}

void delivery_finish(delivery *d)
{
    if (conn_keeps_for_later(d->to, d)) return;
    conn_push(d->to, d->message);
    delivery_drop(d);
}

bool conn_list_add(conn_list *l, conn *c)
{
    if (l->n == l->cap) {
        size_t more = l->cap ? 2 * l->cap : 4;
        conn **grown = realloc(l->at, more * sizeof(conn *));
        if (!grown) return false;
        l->at = grown;
        l->cap = more;
    }
    l->at[l->n++] = c;
    return true;
}

void conn_list_remove(conn_list *l, const conn *c)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i] == c) {
            l->at[i] = l->at[--l->n];
            return;
        }
}
