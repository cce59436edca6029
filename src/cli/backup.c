/* chronos backup: has a checkpoint made, by the server that uses the directory or by itself if none does, and publishes it
 * as the backup. chronos restore: publishes a backup as a store. */
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/precheck.h"
#include "cli/publish.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "engine/names.h"
#include "env/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECKPOINTS "checkpoints"
#define CHECKPOINT "backup-"           /* and the process id; in CHECKPOINTS */
#define CHECKPOINT_LOCK ".backup.lock" /* in CHECKPOINTS: one backup at a time */

static bool say(chr_status st)
{
    if (!chr_ok(st)) complain("%s", chr_message());
    return chr_ok(st);
}

static bool same_directory(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void show(const char *name, const published *what)
{
    buf size = { 0 };
    (void)append_size(&size, (double)what->bytes);
    printf("%s: complete and checked; %zu file%s, %.*s: %zu linked, %zu kept, %zu copied\n", name, what->files,
           what->files == 1 ? "" : "s", (int)size.len, size.data ? size.data : "", what->linked, what->kept,
           what->copied);
    chr_buf_free(&size);
}

/* ---- the checkpoint ---- */

/* Of backups that were killed. The server may still be at work on one; then the next backup removes it. */
static chr_status remove_left_over(void *arg, const char *name)
{
    file_path path = path_in(arg, name);
    if (strncmp(name, CHECKPOINT, sizeof CHECKPOINT - 1) == 0) (void)publish_remove(path.text);
    return CHR_OK;
}

/* The server must be the process that uses `dir`. */
static bool is_server_of(const char *dir, redisContext *c)
{
    buf         holder = { 0 };
    file_path   lock = path_in(dir, NAME_LOCK);
    redisReply *info;
    if (!say(remote_text(c, "INFO", "server", &info))) return false;
    bool ok = chr_ok(env_read_file(env_posix(), lock.text, &holder)) && buf_append_byte(&holder, 0) &&
              strtod(holder.data, NULL) == info_number(info->str, "process_id");
    if (!ok)
        complain("%s is used by process %.*s, and the server that answers is another; say where it is with --host "
                 "and --port",
                 dir, holder.data ? (int)strcspn(holder.data, "\n") : 0, holder.data ? holder.data : "");
    freeReplyObject(info);
    chr_buf_free(&holder);
    return ok;
}

static bool ask_server(const char *dir, const char *checkpoint, const peer_options *server)
{
    redisContext *c = remote_connect(server);
    if (!c) return false;
    redisReply *saved = NULL;
    bool        ok = is_server_of(dir, c) && say(remote_text(c, "SAVE", strrchr(checkpoint, '/') + 1, &saved));
    if (ok && precheck_store(checkpoint, false) != CHR_OK) {
        complain("the server has made its checkpoint, but not as %s; run this where the server runs", checkpoint);
        ok = false;
    }
    freeReplyObject(saved);
    redisFree(c);
    return ok;
}

static bool make_checkpoint(const char *dir, const char *checkpoint, const peer_options *server)
{
    chr_options options = chr_options_default();
    store      *s;
    options.create_if_missing = false;
    chr_status st = chr_open(dir, &options, &s);
    if (st == CHR_LOCKED) return ask_server(dir, checkpoint, server);
    if (!chr_ok(st)) {
        complain_of_opening(st, dir);
        return false;
    }
    bool ok = say(chr_checkpoint(s, checkpoint));
    return offline_close(s, EXIT_DONE) == EXIT_DONE && ok;
}

/* ---- the commands ---- */

static void note_of(const char *dir, char *note, size_t size)
{
    char      stamp[32], absolute[PATH_MAX];
    time_t    now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(note, size, "A backup of %s, made at %s by chronos %s.\n", absolute_path(dir, absolute) ? absolute : dir,
             stamp, CHR_VERSION);
}

static int backup(const char *dir, const char *checkpoint, const char *dest, const peer_options *server)
{
    char      note[PATH_MAX + 128];
    published what;
    if (!make_checkpoint(dir, checkpoint, server)) return EXIT_FAILED;
    note_of(dir, note, sizeof note);
    bool ok = say(publish(checkpoint, dest, note, &what));
    if (!say(publish_remove(checkpoint)) || !ok) return EXIT_FAILED;
    show(dest, &what);
    return EXIT_DONE;
}

int backup_run(const command_values *values, size_t count, char **operand)
{
    (void)count;
    const char *dir = operand[0], *dest = operand[1];
    env_lock   *lock;
    if (!say(precheck_store(dir, false)) || !say(publish_precheck(dest, true))) return EXIT_FAILED;
    if (same_directory(dir, dest)) return complain("%s cannot be its own backup", dir);

    char name[32];
    snprintf(name, sizeof name, CHECKPOINT "%d", (int)getpid());
    file_path  all = path_in(dir, CHECKPOINTS), checkpoint = path_in(all.text, name);
    file_path  lock_path = path_in(all.text, CHECKPOINT_LOCK);
    chr_status st = env_mkdir(env_posix(), all.text);
    if (st == CHR_OK || st == CHR_EXISTS) st = env_lock_file(env_posix(), lock_path.text, &lock);
    if (st == CHR_LOCKED) return complain("another backup of %s is being made; wait for its end", dir);
    if (!chr_ok(st)) return complain("%s", chr_message());
    (void)env_list(env_posix(), all.text, remove_left_over, all.text);
    int status = backup(dir, checkpoint.text, dest, &values->remote);
    env_unlock_file(env_posix(), lock);
    return status;
}

int restore_run(const command_values *values, size_t count, char **operand)
{
    (void)values;
    (void)count;
    const char *from = operand[0], *dir = operand[1];
    published   what;
    env_lock   *lock = NULL;
    if (!say(precheck_store(from, false)) || !say(publish_precheck(dir, false))) return EXIT_FAILED;
    file_path  lock_path = path_in(from, NAME_LOCK);
    chr_status st = env_lock_file(env_posix(), lock_path.text, &lock);
    if (st == CHR_READ_ONLY) st = CHR_OK; /* nobody can have it open for writing */
    if (chr_ok(st)) st = publish(from, dir, NULL, &what);
    env_unlock_file(env_posix(), lock);
    if (!say(st)) return EXIT_FAILED;
    show(dir, &what);
    return EXIT_DONE;
}
