#include "net/clients.h"

#include "base/log.h"
#include "net/cmd_auth.h"
#include "net/server_internal.h"

#include <inttypes.h>

enum {
    LOOK_MS = 1000,
    UPLOAD_BYTES_PER_S = 64 * 1024, /* a request that comes at least so fast may take longer */
};

/* ---- listing; with the reactor's mu held ---- */

static bool is_subscriber(const session *s)
{
    return atomic_load(&s->subscriptions[TOPIC_CHANNEL]) + atomic_load(&s->subscriptions[TOPIC_PATTERN]) > 0;
}

const char *clients_user(const session *s)
{
    return s->user.name[0] || conn_of((session *)s)->reactor->server->users ? s->user.name : "default";
}

static bool fits(const conn *c, const client_filter *f)
{
    const session *s = &c->session;
    if (!f) return true;
    if ((f->id && (uint64_t)f->id != s->id) || (f->but_id && (uint64_t)f->but_id == s->id)) return false;
    if (f->address.data && !slice_equal(f->address, chr_str(s->address))) return false;
    if (f->user.data && !slice_equal(f->user, chr_str(clients_user(s)))) return false;
    return !f->type || is_subscriber(s) == (strcmp(f->type, "pubsub") == 0);
}

static void describe(const conn *c, int64_t now, buf *text)
{
    const session *s = &c->session;
    const command *last = atomic_load(&s->last_command);
    int            queued = atomic_load(&s->queued);
    unsigned       tracks = atomic_load(&s->tracking);
    buf_printf(text, "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%.*s age=%" PRId64 " idle=%" PRId64, s->id, s->address,
               c->door->address, c->fd, (int)s->name.len, s->name.data ? s->name.data : "",
               (now - s->created_ms) / 1000, (now - atomic_load(&s->active_ms)) / 1000);
    buf_printf(text, " flags=%s%s%s%s%s%s%s db=0 sub=%u psub=%u multi=%d cmd=%s user=%s redir=%" PRId64 " resp=%d",
               is_subscriber(s) ? "P" : "", tracks ? "t" : "", tracks & TRACK_BROKEN ? "R" : "",
               tracks & TRACK_BCAST ? "B" : "", atomic_load(&s->monitors) ? "O" : "", queued >= 0 ? "x" : "",
               !is_subscriber(s) && !atomic_load(&s->monitors) && !tracks && queued < 0 ? "N" : "",
               (unsigned)atomic_load(&s->subscriptions[TOPIC_CHANNEL]),
               (unsigned)atomic_load(&s->subscriptions[TOPIC_PATTERN]), queued, last ? last->name : "NULL",
               clients_user(s), tracks ? (int64_t)s->tracking_redirect : -1, atomic_load(&s->resp));
}

void clients_describe(conn *c, buf *text)
{
    pthread_mutex_lock(&c->reactor->mu);
    describe(c, server_clock_ms(), text);
    pthread_mutex_unlock(&c->reactor->mu);
}

void clients_list(server *s, const client_filter *only, buf *text)
{
    int64_t now = server_clock_ms();
    for (unsigned i = 0; i < s->n_reactors; i++) {
        reactor *r = &s->reactors[i];
        pthread_mutex_lock(&r->mu);
        for (const conn *c = r->conns; c; c = c->next)
            if (fits(c, only)) {
                describe(c, now, text);
                buf_append_byte(text, '\n');
            }
        pthread_mutex_unlock(&r->mu);
    }
}

size_t clients_kill(server *s, const client_filter *which)
{
    size_t n = 0;
    for (unsigned i = 0; i < s->n_reactors; i++) {
        reactor *r = &s->reactors[i];
        size_t   before = n;
        pthread_mutex_lock(&r->mu);
        for (conn *c = r->conns; c; c = c->next)
            if (fits(c, which)) {
                atomic_store(&c->unwanted, true);
                n++;
            }
        pthread_mutex_unlock(&r->mu);
        if (n == before) continue;
        atomic_store(&r->look_now, true);
        reactor_wake(r);
    }
    return n;
}

conn *clients_find(server *s, uint64_t id)
{
    conn *found = NULL;
    for (unsigned i = 0; i < s->n_reactors && !found; i++) {
        reactor *r = &s->reactors[i];
        pthread_mutex_lock(&r->mu);
        for (found = r->conns; found && found->session.id != id;) found = found->next;
        pthread_mutex_unlock(&r->mu);
    }
    return found;
}

bool client_set_name(request *r, slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < '!' || name.data[i] > '~') {
            reply_error(r, "ERR Client names cannot contain spaces, newlines or special characters.");
            return false;
        }
    pthread_mutex_t *mu = &conn_of(r->session)->reactor->mu;
    pthread_mutex_lock(mu);
    bool set = buf_set(&r->session->name, name);
    pthread_mutex_unlock(mu);
    if (!set) reply_status(r, CHR_NO_MEMORY);
    return set;
}

static void look_at_all(server *s)
{
    for (unsigned i = 0; i < s->n_reactors; i++) {
        atomic_store(&s->reactors[i].look_now, true);
        reactor_wake(&s->reactors[i]);
    }
}

void clients_recheck(server *s) { look_at_all(s); }

/* ---- pausing ---- */

void clients_pause(server *s, int64_t until_ms, bool writes_only)
{
    atomic_store(&s->pause_writes_only, writes_only);
    atomic_store(&s->paused_until_ms, until_ms);
    look_at_all(s);
}

bool clients_are_paused(server *s, const command *c)
{
    int64_t until = atomic_load_explicit(&s->paused_until_ms, memory_order_relaxed);
    if (__builtin_expect(until == 0, 1) || !c) return false;
    if (c->flags & CMD_NEVER_PAUSED || (atomic_load(&s->pause_writes_only) && !(c->flags & CMD_WRITE))) return false;
    return server_clock_ms() < until;
}

/* ---- looking after them ---- */

/* A reply in pieces, of RANGE and the like, keeps an iterator, and that keeps what has been overwritten or deleted since. */
static bool has_stopped_reading(const conn *c, int64_t now)
{
    int64_t        limit_s = (int64_t)c->reactor->server->settings.reply_timeout;
    int64_t        since = atomic_load(&c->session.active_ms);
    const command *last = atomic_load(&c->session.last_command);
    if (!limit_s || !c->parked || !conn_is_blocked(c)) return false;
    if (c->parked_ms > since) since = c->parked_ms;
    if (now - since <= limit_s * 1000) return false;
    log_line(LOG_WARN, "net", "stalled reader closed", "client=%" PRIu64 " address=%s command=%s seconds=%" PRId64,
             c->session.id, c->session.address, last ? last->name : "", (now - since) / 1000);
    return true;
}

static bool has_overstayed(const conn *c, int64_t now)
{
    const settings *s = &c->reactor->server->settings;
    int64_t         idle_s = (int64_t)s->timeout, request_s = (int64_t)s->request_timeout;
    if (atomic_load(&c->unwanted) || has_stopped_reading(c, now)) return true;
    if (c->job || c->is_paused) return false;
    if (idle_s && !is_subscriber(&c->session) && !atomic_load(&c->session.monitors) &&
        now - atomic_load(&c->session.active_ms) > idle_s * 1000)
        return true;
    if (!request_s || !c->request_since_ms) return false;
    request_s += (int64_t)((c->in.len - c->in_at) / UPLOAD_BYTES_PER_S);
    return now - c->request_since_ms > request_s * 1000;
}

/* Commands do the same before they run; this is for those that only listen. */
static bool has_lost_its_rights(conn *c)
{
    session *s = &c->session;
    return c->reactor->server->users && !c->job && !s->closing && !user_is_current(s) && !user_refresh(s);
}

int clients_look_after(reactor *r)
{
    int64_t now = server_clock_ms(), until = atomic_load(&r->server->paused_until_ms);
    bool    paused = until > now, asked = atomic_exchange(&r->look_now, false);
    int     wait = LOOK_MS;
    if (paused && until - now < wait) wait = (int)(until - now);
    if (!asked && now < r->next_look_ms) return (int)(r->next_look_ms - now);
    if (until && !paused) (void)atomic_compare_exchange_strong(&r->server->paused_until_ms, &until, 0);
    for (conn *c = r->conns, *next; c; c = next) {
        next = c->next;
        if (has_overstayed(c, now))
            conn_close(c);
        else if (has_lost_its_rights(c))
            conn_dismiss(c);
        else if (c->is_paused)
            conn_turn(c, 0);
    }
    calls_look(r->server, now);
    latency_look(r->server, now);
    r->next_look_ms = now + wait;
    return wait;
}
