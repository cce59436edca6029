#include "fs/remote.h"

#include "base/log.h"
#include "fs/remote_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The server waits 2 s for a mount that does not answer (net/mounts.c). Within that: an answer that was sent 0.8 s ago at most, and
 * a second that the kernel keeps what it is told. */
enum { PING_MS = 200, FRESH_MS = 800, LOST_MS = 1600, AGAIN_MS = 100, AGAIN_MAX_MS = 1000, LOST_MAX = 8 };

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timespec moment_ms(int64_t ms) { return (struct timespec){ ms / 1000, ms % 1000 * 1000000 }; }

/* ---- links ---- */

/* With mu held. There are fewer threads than places. */
static void note_busy(remote *r, remote_link *l)
{
    size_t i = 0;
    while (r->busy[i]) i++;
    assert(i < LINKS_MAX);
    r->busy[i] = l;
}
static void note_done(remote *r, const remote_link *l)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (r->busy[i] == l) r->busy[i] = NULL;
}

/* With mu held. Requests under way fail, and are asked again. */
static void break_links(remote *r)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (r->busy[i]) remote_link_break(r->busy[i]);
    while (r->n_idle) remote_link_close(r->idle[--r->n_idle]);
}

static void give_back(remote *r, remote_link *l, bool good)
{
    pthread_mutex_lock(&r->mu);
    note_done(r, l);
    bool keep = good && r->n_idle < LINKS_KEPT;
    if (keep) r->idle[r->n_idle++] = l;
    pthread_mutex_unlock(&r->mu);
    if (!keep) remote_link_close(l);
}

/* ---- requests ---- */

static chr_status gone(const remote *r) { return chr_fail(CHR_IO, "the server at %s cannot be reached", r->address); }

/* With mu held: waits until the server has been up more often than `after`. False: it was not in time. */
static bool wait_until_up(remote *r, uint64_t after, int64_t began_ms)
{
    while (!r->stopping && !(r->up && r->generation > after)) {
        int64_t         limit = (r->up ? began_ms : r->down_since_ms) + r->options.timeout_ms;
        struct timespec until = moment_ms(limit);
        if (clock_ms() >= limit) return false;
        (void)pthread_cond_timedwait(&r->changed, &r->mu, &until);
    }
    return r->up && r->generation > after;
}

/* A link to ask by. NULL: the server is not there. */
static remote_link *take_link(remote *r, uint64_t after, int64_t began_ms, uint64_t *generation)
{
    for (;;) {
        pthread_mutex_lock(&r->mu);
        bool         up = wait_until_up(r, after, began_ms);
        remote_link *l = up && r->n_idle ? r->idle[--r->n_idle] : NULL;
        *generation = r->generation;
        if (l) note_busy(r, l);
        pthread_mutex_unlock(&r->mu);
        if (l || !up) return l;
        if (remote_link_open(&r->options, &l) == CHR_OK) {
            pthread_mutex_lock(&r->mu);
            note_busy(r, l);
            pthread_mutex_unlock(&r->mu);
            return l;
        }
        if (clock_ms() - began_ms >= r->options.timeout_ms) return NULL;
        (void)nanosleep(&(struct timespec){ 0, AGAIN_MS * 1000000 }, NULL);
    }
}

chr_status remote_malformed(void)
{
    return chr_fail(CHR_IO, "the server's answer makes no sense; is it another version?");
}

static chr_status refused(const redisReply *reply)
{
    if (strncmp(reply->str, "NOPERM", 6) == 0 || strncmp(reply->str, "READONLY", 8) == 0)
        return chr_fail(CHR_READ_ONLY, "%s", reply->str);
    return chr_fail(CHR_IO, "the server answered: %s", reply->str);
}

static chr_status status_of(answer *a, uint8_t *code)
{
    const redisReply *reply = a->reply;
    *code = 0;
    if (reply->type == REDIS_REPLY_ERROR) return refused(reply);
    if (reply->type == REDIS_REPLY_STATUS) return CHR_OK;
    if (reply->type != REDIS_REPLY_STRING || reply->len < 1) return remote_malformed();
    a->payload = chr_bytes(reply->str + 1, (size_t)reply->len - 1);
    *code = (uint8_t)reply->str[0];
    if (*code <= CHR_CLOSING && *code != CHR_OK && *code != CHR_NOT_FOUND)
        return chr_fail((chr_status)*code, "%.*s", (int)a->payload.len, a->payload.data);
    if (*code == CHR_NOT_FOUND) return CHR_NOT_FOUND;
    return *code == CHR_OK || *code == WIRE_CONFLICT || *code == WIRE_UNKNOWN ? CHR_OK : remote_malformed();
}

chr_status remote_ask(remote *r, const slice *args, size_t n, answer *a, uint8_t *code)
{
    int64_t  began = clock_ms();
    uint64_t after = 0, generation;
    for (int lost = 0; lost < LOST_MAX;) {
        remote_link *l = take_link(r, after, began, &generation);
        *a = (answer){ 0 };
        if (!l) return gone(r);
        a->reply = remote_link_ask(l, args, n);
        give_back(r, l, a->reply != NULL);
        if (a->reply) {
            chr_status st = status_of(a, code);
            if (st == CHR_OK && *code != WIRE_UNKNOWN) return st;
            answer_free(a);
            if (st != CHR_OK) return st;
            after = generation; /* the server will have to be told of us first */
        } else {
            began = clock_ms(); /* it was there until now */
            lost++;
        }
    }
    return chr_fail(CHR_IO, "the server at %s ends each connection instead of answering", r->address);
}

/* ---- the connection by which the server speaks ---- */

static void set_up(remote *r, uint64_t run)
{
    pthread_mutex_lock(&r->mu);
    if (run != r->run) break_links(r); /* they belong to a server that is no more */
    r->run = run;
    r->up = true;
    r->generation++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mu);
}

static void set_down(remote *r)
{
    atomic_store(&r->heard_ms, 0);
    pthread_mutex_lock(&r->mu);
    r->up = false;
    r->down_since_ms = clock_ms();
    pthread_mutex_unlock(&r->mu);
}

static chr_status take_greeting(remote *r, const redisReply *reply, uint64_t *run)
{
    answer  a = { .reply = (redisReply *)(uintptr_t)reply };
    uint8_t code = 0;
    if (!reply) return chr_fail(CHR_IO, "the server at %s ended the connection", r->address);
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "ERR unknown", 11) == 0)
        return chr_fail(CHR_INVALID, "what runs at %s does not serve mounts; is it an older Chronos, or Redis?",
                        r->address);
    if (reply->type == REDIS_REPLY_ERROR) {
        bool password = strncmp(reply->str, "NOAUTH", 6) == 0;
        return chr_fail(CHR_INVALID, "the server at %s refused the mount: %s%s", r->address, reply->str,
                        password ? "; give auth=FILE, or CHRONOS_AUTH" : "");
    }
    chr_status      st = status_of(&a, &code);
    reader          in = reader_of(a.payload);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (st != CHR_OK) return st;
    uint64_t version = read_varint(&in);
    *run = read_u64(&in);
    uint64_t registration = read_varint(&in);
    int64_t  theirs = (int64_t)read_u64(&in);
    uint32_t uid = read_varint32(&in), gid = read_varint32(&in);
    if (in.failed || version != WIRE_VERSION) return remote_malformed();
    pthread_mutex_lock(&r->mu);
    r->registration = registration;
    r->settled = r->unsettled = 0;
    r->clock_ns = theirs - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    r->uid = uid;
    r->gid = gid;
    pthread_mutex_unlock(&r->mu);
    return CHR_OK;
}

static chr_status greet(remote *r)
{
    uint64_t    run = 0;
    int64_t     began = clock_ms();
    const slice args[] = { chr_str("FSWATCH"), chr_str(r->token) };
    chr_status  st = remote_link_open(&r->options, &r->ears);
    if (st != CHR_OK) return st;
    redisReply *reply = NULL;
    bool        good = remote_link_send(r->ears, args, 2);
    while (good && !reply && clock_ms() - began < LOST_MS) good = remote_link_receive(r->ears, -1, PING_MS, &reply);
    st = take_greeting(r, good ? reply : NULL, &run);
    freeReplyObject(reply);
    if (st == CHR_OK) {
        atomic_store(&r->heard_ms, began);
        set_up(r, run);
    } else {
        remote_link_close(r->ears);
        r->ears = NULL;
    }
    return st;
}

/* A change: its kind and key. False: this is not what the server says. */
static bool take_push(remote *r, const redisReply *push)
{
    if (push->elements != 3 || push->element[1]->type != REDIS_REPLY_INTEGER ||
        push->element[2]->type != REDIS_REPLY_STRING || push->element[1]->integer < CHANGE_PUT ||
        push->element[1]->integer > CHANGE_RANGE)
        return false;
    const redisReply *key = push->element[2];
    pthread_mutex_lock(&r->mu);
    if (!r->unsettled++) r->since_ms = atomic_load(&r->heard_ms);
    uint64_t registration = r->registration;
    pthread_mutex_unlock(&r->mu);
    r->events.changed(r->events.arg, (change_kind)push->element[1]->integer, chr_bytes(key->str, (size_t)key->len),
                      registration);
    return true;
}

static bool is_stopping(remote *r)
{
    pthread_mutex_lock(&r->mu);
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->mu);
    return stopping;
}

/* Says how much has been passed on, and that we are there. */
static bool say_settled(remote *r)
{
    char registration[24], n[24];
    pthread_mutex_lock(&r->mu);
    snprintf(registration, sizeof registration, "%llu", (unsigned long long)r->registration);
    snprintf(n, sizeof n, "%llu", (unsigned long long)r->settled);
    r->settled = 0;
    pthread_mutex_unlock(&r->mu);
    const slice args[] = { chr_str("FSSETTLED"), chr_str(r->token), chr_str(registration), chr_str(n) };
    return remote_link_send(r->ears, args, 4);
}

/* What was said and not answered yet: when. */
typedef struct said {
    int64_t ms[16];
    size_t  n;
} said;

static bool take_reply(remote *r, const redisReply *reply, said *s)
{
    if (reply->type != REDIS_REPLY_INTEGER) return reply->type == REDIS_REPLY_ARRAY && take_push(r, reply);
    if (!s->n) return false;
    atomic_store(&r->heard_ms, s->ms[0]);
    memmove(s->ms, s->ms + 1, --s->n * sizeof *s->ms);
    return true;
}

/* Until it is lost. */
static void listen_on(remote *r)
{
    said     s = { .n = 0 };
    int64_t  last = 0;
    bool     good = true;
    uint64_t woken;
    while (good && !is_stopping(r)) {
        redisReply *reply = NULL;
        int64_t     now = clock_ms();
        bool        room = s.n < sizeof s.ms / sizeof *s.ms;
        if (room && (read(r->wake_fd, &woken, sizeof woken) > 0 || now - last >= PING_MS)) {
            good = say_settled(r);
            s.ms[s.n++] = last = now;
        }
        good = good && remote_link_receive(r->ears, room ? r->wake_fd : -1, PING_MS, &reply) &&
               (!reply || take_reply(r, reply, &s)) && clock_ms() - atomic_load(&r->heard_ms) < LOST_MS;
        freeReplyObject(reply);
    }
}

/* Waits a little; longer if it has failed before. */
static void rest(remote *r, int64_t *ms)
{
    pthread_mutex_lock(&r->mu);
    struct timespec until = moment_ms(clock_ms() + *ms);
    if (!r->stopping) (void)pthread_cond_timedwait(&r->changed, &r->mu, &until);
    /* What is under way gets its answer if only the ears were lost; but not for ever. */
    if (clock_ms() - r->down_since_ms > LOST_MS) break_links(r);
    pthread_mutex_unlock(&r->mu);
    *ms = 2 * *ms < AGAIN_MAX_MS ? 2 * *ms : AGAIN_MAX_MS;
}

static void *thread_main(void *arg)
{
    remote *r = arg;
    bool    told = false, first = true; /* nothing was known before */
    int64_t again_ms = AGAIN_MS;
    while (!is_stopping(r)) {
        if (!r->ears && greet(r) != CHR_OK) {
            if (!told)
                log_line(LOG_WARN, "fs", "the server is lost", "server=%s reason=\"%s\"", r->address, chr_message());
            told = true;
            rest(r, &again_ms);
            continue;
        }
        if (told) log_line(LOG_INFO, "fs", "the server is there again", "server=%s", r->address);
        told = false;
        again_ms = AGAIN_MS;
        if (!first) r->events.missed(r->events.arg);
        first = false;
        listen_on(r);
        if (is_stopping(r)) break;
        set_down(r);
        remote_link_close(r->ears);
        r->ears = NULL;
    }
    return NULL;
}

/* The server need not wait for us any more. */
static void say_bye(remote *r)
{
    remote_link *l = NULL;
    const slice  args[] = { chr_str("FS"), chr_str("BYE"), chr_str(r->token) };
    pthread_mutex_lock(&r->mu);
    if (r->up && r->n_idle) l = r->idle[--r->n_idle];
    pthread_mutex_unlock(&r->mu);
    if (!l) return;
    if (remote_link_send(l, args, 3)) {
        redisReply *reply = NULL;
        (void)remote_link_receive(l, -1, PING_MS, &reply);
        freeReplyObject(reply);
    }
    remote_link_close(l);
}

/* ---- */

chr_status remote_open(const remote_options *options, remote **out)
{
    unsigned char raw[WIRE_TOKEN_BYTES] = { 0 };
    remote       *r = calloc(1, sizeof *r);
    if (!r) return chr_nomem();
    r->options = *options;
    if (*options->path)
        snprintf(r->address, sizeof r->address, "unix:%s", options->path);
    else
        snprintf(r->address, sizeof r->address, strchr(options->host, ':') ? "[%s]:%s" : "%s:%s", options->host,
                 options->port);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&r->mu, NULL);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    chr_status st = r->wake_fd >= 0 && getrandom(raw, sizeof raw, 0) == sizeof raw
                        ? CHR_OK
                        : chr_errno(errno, "prepare", "a mount");
    for (size_t i = 0; i < sizeof raw && st == CHR_OK; i++) snprintf(r->token + 2 * i, 3, "%02x", raw[i]);
    if (st == CHR_OK) st = greet(r);
    if (st == CHR_OK)
        *out = r;
    else
        remote_close(r);
    return st;
}

chr_status remote_listen(remote *r, const remote_events *events)
{
    r->events = *events;
    r->has_thread = pthread_create(&r->thread, NULL, thread_main, r) == 0;
    return r->has_thread ? CHR_OK : chr_fail(CHR_NO_MEMORY, "cannot start a thread");
}

void remote_settled(remote *r, uint64_t registration)
{
    uint64_t one = 1;
    pthread_mutex_lock(&r->mu);
    bool counts = registration == r->registration; /* the server has forgotten what it told before */
    r->unsettled -= counts;
    r->settled += counts;
    pthread_mutex_unlock(&r->mu);
    ssize_t ignored = write(r->wake_fd, &one, sizeof one);
    (void)ignored;
}

void remote_quiet(remote *r)
{
    uint64_t one = 1;
    if (!r->has_thread) return;
    pthread_mutex_lock(&r->mu);
    r->stopping = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mu);
    ssize_t ignored = write(r->wake_fd, &one, sizeof one);
    (void)ignored;
    pthread_join(r->thread, NULL);
    r->has_thread = false;
}

void remote_close(remote *r)
{
    remote_quiet(r);
    say_bye(r);
    if (r->ears) remote_link_close(r->ears);
    break_links(r);
    findings_free(r);
    if (r->wake_fd >= 0) close(r->wake_fd);
    pthread_mutex_destroy(&r->mu);
    pthread_cond_destroy(&r->changed);
    explicit_bzero(&r->options, sizeof r->options);
    free(r);
}

bool remote_is_fresh(remote *r)
{
    int64_t since = atomic_load(&r->heard_ms);
    pthread_mutex_lock(&r->mu);
    if (r->unsettled && r->since_ms < since) since = r->since_ms;
    pthread_mutex_unlock(&r->mu);
    return clock_ms() - since < FRESH_MS;
}

const char *remote_address(const remote *r) { return r->address; }
const char *remote_token(const remote *r) { return r->token; }

int64_t remote_now_ns(remote *r)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&r->mu);
    int64_t ahead = r->clock_ns;
    pthread_mutex_unlock(&r->mu);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ahead;
}

object_meta remote_default_meta(remote *r, int64_t now_ns)
{
    object_meta m = { .mode = S_IFREG | 0644 };
    if (!now_ns) now_ns = remote_now_ns(r);
    m.atime_ns = m.mtime_ns = m.ctime_ns = now_ns;
    pthread_mutex_lock(&r->mu);
    m.uid = r->uid;
    m.gid = r->gid;
    pthread_mutex_unlock(&r->mu);
    return m;
}
