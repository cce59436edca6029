#include "net/pubsub.h"

#include "net/glob.h"
#include "net/server_internal.h"

#include <stdlib.h>

#define entry entry_of_hsearch /* a name that the engine has for itself */
#include <search.h>
#undef entry

typedef struct topic {
    slice     name;
    conn_list to;
    char      bytes[];
} topic;

typedef struct topic_list {
    topic **at;
    size_t  n, cap;
} topic_list;
struct subscriber {
    topic_list of[TOPIC_KINDS];
};

void pubsub_init(pubsub *p, store *s, struct expiries *e)
{
    pthread_mutex_init(&p->mu, NULL);
    pthread_mutex_init(&p->notify_mu, NULL);
    p->store = s;
    p->expiries = e;
}

void pubsub_free(pubsub *p)
{
    (void)notify_set(p, 0);
    assert(!p->topics[TOPIC_CHANNEL] && !p->topics[TOPIC_PATTERN]);
    pthread_mutex_destroy(&p->mu);
    pthread_mutex_destroy(&p->notify_mu);
}

/* ---- topics; all with mu held ---- */

static int compare_topics(const void *a, const void *b)
{
    return slice_compare(((const topic *)a)->name, ((const topic *)b)->name);
}

static topic *find_topic(pubsub *p, topic_kind kind, slice name)
{
    const topic wanted = { .name = name };
    void       *found = tfind(&wanted, &p->topics[kind], compare_topics);
    return found ? *(topic **)found : NULL;
}

static topic *make_topic(pubsub *p, topic_kind kind, slice name)
{
    topic *t = calloc(1, sizeof *t + name.len);
    if (!t) return NULL;
    if (name.len) memcpy(t->bytes, name.data, name.len);
    t->name = chr_bytes(t->bytes, name.len);
    if (!tsearch(t, &p->topics[kind], compare_topics)) {
        free(t);
        return NULL;
    }
    atomic_fetch_add(&p->counts[kind], 1);
    return t;
}

static void drop_if_unused(pubsub *p, topic_kind kind, topic *t)
{
    if (t->to.n) return;
    tdelete(t, &p->topics[kind], compare_topics);
    atomic_fetch_sub(&p->counts[kind], 1);
    free(t->to.at);
    free(t);
}

/* Whether the two know each other, found in the shorter list. */
static bool is_subscribed(const topic_list *own, const topic *t, const conn *c)
{
    if (own->n < t->to.n) {
        for (size_t i = 0; i < own->n; i++)
            if (own->at[i] == t) return true;
        return false;
    }
    for (size_t i = 0; i < t->to.n; i++)
        if (t->to.at[i] == c) return true;
    return false;
}

static bool reserve_one(topic_list *own)
{
    if (own->n < own->cap) return true;
    size_t  more = own->cap ? 2 * own->cap : 4;
    topic **grown = realloc(own->at, more * sizeof(topic *));
    if (!grown) return false;
    own->at = grown;
    own->cap = more;
    return true;
}

static void part(pubsub *p, topic_kind kind, topic *t, const conn *c)
{
    conn_list_remove(&t->to, c);
    drop_if_unused(p, kind, t);
}

/* ---- subscribing ---- */

chr_status pubsub_subscribe(pubsub *p, session *s, topic_kind kind, slice name)
{
    conn *c = conn_of(s);
    if (!s->subscriber) s->subscriber = calloc(1, sizeof *s->subscriber);
    if (!s->subscriber) return chr_nomem();
    topic_list *own = &s->subscriber->of[kind];
    chr_status  st = CHR_OK;
    pthread_mutex_lock(&p->mu);
    topic *t = find_topic(p, kind, name);
    if (!t) t = make_topic(p, kind, name);
    if (!t) {
        st = chr_nomem();
    } else if (!is_subscribed(own, t, c)) {
        if (reserve_one(own) && conn_list_add(&t->to, c)) {
            own->at[own->n++] = t;
            atomic_store(&s->subscriptions[kind], (uint32_t)own->n);
        } else {
            st = chr_nomem();
            drop_if_unused(p, kind, t);
        }
    }
    pthread_mutex_unlock(&p->mu);
    return st;
}

void pubsub_unsubscribe(pubsub *p, session *s, topic_kind kind, slice name)
{
    if (!s->subscriber) return;
    topic_list *own = &s->subscriber->of[kind];
    pthread_mutex_lock(&p->mu);
    for (size_t i = 0; i < own->n; i++)
        if (slice_equal(own->at[i]->name, name)) {
            topic *t = own->at[i];
            own->at[i] = own->at[--own->n];
            atomic_store(&s->subscriptions[kind], (uint32_t)own->n);
            part(p, kind, t, conn_of(s));
            break;
        }
    pthread_mutex_unlock(&p->mu);
}

void pubsub_leave(pubsub *p, session *s)
{
    subscriber *own = s->subscriber;
    if (!own) return;
    pthread_mutex_lock(&p->mu);
    for (topic_kind kind = TOPIC_CHANNEL; kind < TOPIC_KINDS; kind++) {
        for (size_t i = 0; i < own->of[kind].n; i++) part(p, kind, own->of[kind].at[i], conn_of(s));
        free(own->of[kind].at);
        atomic_store(&s->subscriptions[kind], 0);
    }
    pthread_mutex_unlock(&p->mu);
    free(own);
    s->subscriber = NULL;
}

size_t pubsub_count(const session *s)
{
    return (size_t)atomic_load(&s->subscriptions[TOPIC_CHANNEL]) + atomic_load(&s->subscriptions[TOPIC_PATTERN]);
}

void pubsub_each_own(const session *s, topic_kind kind, pubsub_name_fn *fn, void *arg)
{
    const topic_list *own = s->subscriber ? &s->subscriber->of[kind] : NULL;
    for (size_t i = 0; own && i < own->n; i++) fn(arg, own->at[i]->name);
}

/* ---- publishing ---- */

enum { PATTERN, CHANNEL, PAYLOAD, PARTS }; /* of a message; without a pattern it goes to the channel's subscribers */

static void say(request *r, const message *m)
{
    bool by_pattern = m->parts[PATTERN].data != NULL;
    reply_push(r, by_pattern ? 4 : 3);
    reply_value(r, chr_str(by_pattern ? "pmessage" : "message"));
    if (by_pattern) reply_value(r, m->parts[PATTERN]);
    reply_value(r, m->parts[CHANNEL]);
    reply_value(r, m->parts[PAYLOAD]);
}

typedef struct publication {
    slice    channel, payload;
    uint64_t seq;
    int64_t  receivers;
} publication;

static void send_to_all(const topic *t, slice pattern, publication *what)
{
    const slice parts[PARTS] = { [PATTERN] = pattern, [CHANNEL] = what->channel, [PAYLOAD] = what->payload };
    message    *m = message_new(say, parts, PARTS, what->seq);
    for (size_t i = 0; i < t->to.n; i++) what->receivers += message_send(t->to.at[i], m);
    message_release(m);
}

static void send_if_it_matches(const void *node, VISIT visit, void *arg)
{
    const topic *t = *(topic *const *)node;
    publication *what = arg;
    if (visit != postorder && visit != leaf) return;
    if (glob_match(t->name, what->channel)) send_to_all(t, t->name, what);
}

int64_t pubsub_publish(pubsub *p, slice channel, slice payload, uint64_t seq)
{
    publication what = { channel, payload, seq, 0 };
    if (!atomic_load(&p->counts[TOPIC_CHANNEL]) && !atomic_load(&p->counts[TOPIC_PATTERN])) return 0;
    pthread_mutex_lock(&p->mu);
    const topic *t = find_topic(p, TOPIC_CHANNEL, channel);
    if (t) send_to_all(t, chr_bytes(NULL, 0), &what);
    twalk_r(p->topics[TOPIC_PATTERN], send_if_it_matches, &what);
    pthread_mutex_unlock(&p->mu);
    return what.receivers;
}

/* ---- asking ---- */

typedef struct walk {
    pubsub_name_fn *fn;
    void           *arg;
} walk;

static void pass_on(const void *node, VISIT visit, void *arg)
{
    const walk *w = arg;
    if (visit == postorder || visit == leaf) w->fn(w->arg, (*(topic *const *)node)->name);
}

void pubsub_each_channel(pubsub *p, pubsub_name_fn *fn, void *arg)
{
    walk w = { fn, arg };
    pthread_mutex_lock(&p->mu);
    twalk_r(p->topics[TOPIC_CHANNEL], pass_on, &w);
    pthread_mutex_unlock(&p->mu);
}

size_t pubsub_subscribers(pubsub *p, slice channel)
{
    pthread_mutex_lock(&p->mu);
    const topic *t = find_topic(p, TOPIC_CHANNEL, channel);
    size_t       n = t ? t->to.n : 0;
    pthread_mutex_unlock(&p->mu);
    return n;
}
