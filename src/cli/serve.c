/* chronos serve: the store with its two doors. Everything that can be wrong with the arguments is looked for before anything is
 * created; then store, mount and server start in this order, and end in the reverse one. */
#include "base/log.h"
#include "cli/commands.h"
#include "cli/mount_words.h"
#include "cli/offline.h"
#include "cli/precheck.h"
#include "cli/show.h"
#include "cli/stop.h"
#include "cli/systemd.h"
#include "net/server.h"
#include "net/tls.h"
#include "net/users.h"

#include <pthread.h>
#include <stdio.h>

static chr_status precheck_tls(const serve_options *o)
{
    tls       *t;
    chr_status st = CHR_OK;
    if (!o->tls_cert || !o->tls_key)
        return chr_fail(CHR_INVALID, "TLS needs a certificate and its key; give --tls-cert and --tls-key");
    if (o->tls && strncmp(o->tls, "unix:", 5) == 0)
        return chr_fail(CHR_INVALID, "--tls takes ADDR:PORT, not a socket file");
    /* What TLS protects may be reached from elsewhere, if users are told apart. */
    if (o->tls) st = precheck_listen(o->tls, o->allow_remote || o->users);
    if (chr_ok(st)) st = tls_open(o->tls_cert, o->tls_key, &t);
    if (chr_ok(st)) tls_free(t);
    return st;
}

static chr_status precheck(const serve_options *o, const server_options *of_server)
{
    mount_options options = { 0 };
    chr_status    st = CHR_OK;
    bool          with_tls = o->tls != NULL;
    for (size_t i = 0; i < of_server->n_inherited && chr_ok(st); i++) {
        bool protected = of_server->inherited[i].tls && o->users;
        st = precheck_socket_passed(of_server->inherited[i].fd, o->allow_remote || protected);
        with_tls = with_tls || of_server->inherited[i].tls;
    }
    for (size_t i = 0; of_server->listen[i] && chr_ok(st); i++)
        st = precheck_listen(of_server->listen[i], o->allow_remote);
    if (chr_ok(st) && with_tls) st = precheck_tls(o);
    if (chr_ok(st)) st = precheck_store(o->dir, true);
    if (chr_ok(st) && o->mount) st = precheck_mount_point(o->mount, o->dir);
    if (chr_ok(st)) st = mount_words_read(&o->mount_words, false, &options);
    if (chr_ok(st) && options.far.given)
        st = chr_fail(CHR_INVALID,
                      "the mount options timeout, auth, tls and tls-ca are for 'chronos mount HOST:PORT DIR'");
    if (chr_ok(st) && o->mount_words.count && !o->mount)
        st = chr_fail(CHR_INVALID, "--mount-options are for a mount; give --mount PATH too");
    if (chr_ok(st) && o->users) {
        users *named;
        st = users_open(o->users, &named);
        if (chr_ok(st)) users_free(named);
    }
    return st;
}

static void on_shutdown(void *arg) { stop_ask(arg, "SHUTDOWN"); }

static void on_unmounted(void *arg)
{
    log_line(LOG_WARN, "serve", "the mount was ended from outside; clients are served on", "path=%s",
             (const char *)arg);
}

static chr_status open_store(const serve_options *o, store **out)
{
    store_options options = { .chr = chr_options_default(), .keeps_hot = true };
    options.chr.sync = o->sync.mode;
    options.chr.cache_bytes = o->cache_bytes;
    options.chr.memtable_bytes = o->memtable_bytes;
    if (o->sync.mode == CHR_SYNC_INTERVAL) options.chr.sync_interval_ms = o->sync.interval_ms;
    return store_open(o->dir, &options, out);
}

/* Sockets that systemd passes take the place of the default address, and are served beside those that are given. */
static chr_status say_what_to_serve(const serve_options *o, stop *end, server_options *to)
{
    *to = (server_options){ .threads = (unsigned)o->threads,
                            .on_shutdown = on_shutdown,
                            .shutdown_arg = end,
                            .mount_point = o->mount,
                            .users = o->users,
                            .tls_listen = o->tls,
                            .tls_certificate = o->tls_cert,
                            .tls_key = o->tls_key };
    chr_status st = systemd_sockets(to);
    if (chr_ok(st) && (o->listen.given || !to->n_inherited))
        memcpy(to->listen, o->listen.at, o->listen.count * sizeof *to->listen);
    return st;
}

static void say_ready(const serve_options *o, const server *srv)
{
    bool with_tls = false;
    printf("chronos: ready on ");
    for (size_t i = 0; server_address(srv, i, &with_tls); i++)
        printf("%s%s%s", i ? ", " : "", with_tls ? "TLS on " : "", server_address(srv, i, &with_tls));
    if (o->mount) printf(", mounted at %s", o->mount);
    printf("\n");
    fflush(stdout);
    systemd_notify("READY=1");
}

/* The mount is there before the server and after it, and its .chronos/config asks for the server's settings. */
typedef struct config_door {
    pthread_mutex_t mu;
    server         *srv; /* NULL: it does not run */
} config_door;

static bool config_text(void *arg, buf *text)
{
    config_door *door = arg;
    pthread_mutex_lock(&door->mu);
    bool good = !door->srv || server_config_text(door->srv, text);
    pthread_mutex_unlock(&door->mu);
    return good;
}

static chr_status config_set(void *arg, slice name, slice value)
{
    config_door *door = arg;
    pthread_mutex_lock(&door->mu);
    chr_status st =
        door->srv ? server_config_set(door->srv, name, value) : chr_fail(CHR_INVALID, "the server does not run");
    pthread_mutex_unlock(&door->mu);
    return st;
}

static void config_door_set(config_door *door, server *srv)
{
    pthread_mutex_lock(&door->mu);
    door->srv = srv;
    pthread_mutex_unlock(&door->mu);
}

/* Both doors, until somebody asks to stop. */
static int serve_doors(const serve_options *o, const server_options *of_server, store *s, stop *end)
{
    watchdog     *dog = NULL;
    mount        *m = NULL;
    server       *srv = NULL;
    int           status = EXIT_FAILED;
    config_door   door = { PTHREAD_MUTEX_INITIALIZER, NULL };
    mount_options options = { .mount_point = o->mount,
                              .config_text = config_text,
                              .config_set = config_set,
                              .config_arg = &door,
                              .on_unmounted = on_unmounted,
                              .unmounted_arg = (void *)o->mount };
    if (!chr_ok(mount_words_read(&o->mount_words, false, &options))) return complain("%s", chr_message());
    if (o->mount && !chr_ok(mount_start(s, &options, &m))) return complain("%s", chr_message());
    if (!chr_ok(server_start(s, of_server, &srv))) {
        complain("%s", chr_message());
        goto stop_mount;
    }
    if (chr_ok(watchdog_start(srv, &dog))) {
        config_door_set(&door, srv);
        say_ready(o, srv);
        log_line(LOG_INFO, "serve", "stopping", "why=%s", stop_wait(end));
        systemd_notify("STOPPING=1");
        config_door_set(&door, NULL);
        status = EXIT_DONE;
    } else {
        complain("%s", chr_message());
    }
    watchdog_stop(dog);
    server_stop(srv);
stop_mount:
    if (m) mount_stop(m);
    return status;
}

int serve_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    (void)operand;
    int            status;
    stop           end;
    store         *s;
    server_options of_server;
    log_set_level(LOG_INFO);
    if (!chr_ok(say_what_to_serve(&values->serve, &end, &of_server)) || !chr_ok(precheck(&values->serve, &of_server)) ||
        !chr_ok(stop_begin(&end)))
        return complain("%s", chr_message());
    chr_status st = open_store(&values->serve, &s);
    if (!chr_ok(st)) {
        status = complain_of_opening(st, values->serve.dir);
    } else {
        status = serve_doors(&values->serve, &of_server, s, &end);
        if (!chr_ok(chr_close(s))) status = complain("%s", chr_message());
    }
    stop_end(&end);
    return status;
}
