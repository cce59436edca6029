/* chronos mount, and mount.chronos for mount(8): a store shown as files by a process of its own. Unless it stays in the
 * foreground, the process forks before it has threads; the child does everything, and the parent waits until the files
 * are there or the child has failed. */
#include "base/log.h"
#include "cli/background.h"
#include "cli/commands.h"
#include "cli/mount_address.h"
#include "cli/mount_words.h"
#include "cli/offline.h"
#include "cli/precheck.h"
#include "cli/show.h"
#include "cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct mount_plan {
    const char   *dir, *path;
    mount_options options;
    bool          far; /* `dir` is the address of a server */
} mount_plan;

static chr_status precheck(const mount_plan *plan)
{
    if (plan->far && (plan->options.snapshot.len || plan->options.max_size))
        return chr_fail(CHR_INVALID,
                        "the mount options snapshot and max_size are for a store on this machine; %s is a server",
                        plan->dir);
    if (plan->far) return precheck_mount_point(plan->path, NULL);
    if (plan->options.far.given)
        return chr_fail(CHR_INVALID,
                        "the mount options timeout, auth, tls and tls-ca are for a server, given as HOST:PORT; "
                        "%s is a directory",
                        plan->dir);
    chr_status st = precheck_store(plan->dir, !plan->options.read_only);
    return chr_ok(st) ? precheck_mount_point(plan->path, plan->dir) : st;
}

/* ---- serving ---- */

static void on_unmounted(void *arg) { stop_ask(arg, "unmounted"); }

/* Mounts, and serves until unmounted or told to stop. `ready`: go to the background, tell the waiting parent through it and
 * close it; -1: stay. */
static int serve_mount(const mount_plan *plan, store *s, remote *server, stop *end, int ready)
{
    mount        *m;
    int           status = EXIT_DONE;
    mount_options options = plan->options;
    options.mount_point = plan->path;
    options.on_unmounted = on_unmounted;
    options.unmounted_arg = end;
    options.remote = server;
    if (!chr_ok(mount_start(s, &options, &m))) return complain("%s", chr_message());
    if (ready >= 0) {
        if (chr_ok(background_enter()))
            (void)!write(ready, "", 1);
        else
            status = complain("%s", chr_message());
        close(ready);
    }
    if (status == EXIT_DONE) {
        log_set_level(LOG_INFO);
        log_line(LOG_INFO, "mount", "ready", "dir=%s path=%s", plan->dir, plan->path);
        log_line(LOG_INFO, "mount", "stopping", "why=%s", stop_wait(end));
    }
    mount_stop(m);
    return status;
}

static int serve_far(const mount_plan *plan, stop *end, int ready)
{
    remote        *server;
    remote_options options = { .timeout_ms = 0 };
    chr_status     st = mount_address(plan->dir, &plan->options, &options);
    if (chr_ok(st)) st = remote_open(&options, &server);
    explicit_bzero(options.password, sizeof options.password);
    if (!chr_ok(st)) return complain("%s", chr_message());
    int status = serve_mount(plan, NULL, server, end, ready);
    remote_close(server);
    return status;
}

static int open_and_serve(const mount_plan *plan, int ready)
{
    int         status;
    stop        end;
    store      *s;
    chr_options options = chr_options_default();
    if (ready < 0) log_set_level(LOG_INFO);
    options.read_only = plan->options.read_only;
    options.create_if_missing = !plan->options.read_only;
    if (!chr_ok(stop_begin(&end))) return complain("%s", chr_message());
    if (plan->far) {
        status = serve_far(plan, &end, ready);
        stop_end(&end);
        background_leave();
        return status;
    }
    chr_status st = chr_open(plan->dir, &options, &s);
    if (!chr_ok(st)) {
        status = complain_of_opening(st, plan->dir);
    } else {
        status = serve_mount(plan, s, NULL, &end, ready);
        if (!chr_ok(chr_close(s))) status = complain("%s", chr_message());
    }
    stop_end(&end);
    background_leave();
    return status;
}

static int serve_in_background(const mount_plan *plan)
{
    int  pipes[2], child;
    char byte;
    if (pipe2(pipes, O_CLOEXEC) < 0) return complain("cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        close(pipes[0]);
        close(pipes[1]);
        return complain("cannot start a process: %s", strerror(errno));
    }
    if (pid == 0) {
        close(pipes[0]);
        return open_and_serve(plan, pipes[1]);
    }
    close(pipes[1]);
    ssize_t n;
    do {
        n = read(pipes[0], &byte, 1);
    } while (n < 0 && errno == EINTR);
    close(pipes[0]);
    if (n == 1) return EXIT_DONE;
    while (waitpid(pid, &child, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(child)) return WEXITSTATUS(child);
    return complain("the process that was to serve %s was ended by signal %d", plan->path, WTERMSIG(child));
}

static bool make_absolute(slice *file, char absolute[PATH_MAX])
{
    char path[PATH_MAX];
    if (!file->len) return true;
    if (file->len >= sizeof path) return false;
    memcpy(path, file->data, file->len);
    path[file->len] = 0;
    if (!absolute_path(path, absolute)) return false;
    *file = chr_str(absolute);
    return true;
}

static int run_plan(const mount_plan *plan, bool foreground, bool fake)
{
    char       dir[PATH_MAX], path[PATH_MAX];
    mount_plan absolute = *plan;
    char       files[2][PATH_MAX];
    if (!chr_ok(precheck(plan))) return complain("%s", chr_message());
    if (fake) return EXIT_DONE;
    if (foreground) return open_and_serve(plan, -1);
    if (!make_absolute(&absolute.options.far.auth, files[0]) || !make_absolute(&absolute.options.far.tls_ca, files[1]))
        return complain("the path from / to a file in the mount options is too long");
    /* The child's working directory becomes /, so paths must not depend on it. */
    if ((!plan->far && !absolute_path(plan->dir, dir)) || !absolute_path(plan->path, path))
        return complain("the path from / to %s or to %s is too long", plan->dir, plan->path);
    if (!plan->far) absolute.dir = dir;
    absolute.path = path;
    return serve_in_background(&absolute);
}

int mount_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    mount_plan plan = { .dir = operand[0], .path = operand[1], .far = is_server_address(operand[0]) };
    if (!chr_ok(mount_words_read(&values->mount.words, false, &plan.options))) return complain("%s", chr_message());
    return run_plan(&plan, values->mount.foreground, false);
}

int mount_helper_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    mount_plan plan = { .dir = operand[0], .path = operand[1], .far = is_server_address(operand[0]) };
    if (!chr_ok(mount_words_read(&values->helper.words, values->helper.sloppy, &plan.options)))
        return complain("%s", chr_message());
    return run_plan(&plan, false, values->helper.fake);
}
