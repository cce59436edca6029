#include "cli/publish.h"

#include "cli/show.h"
#include "engine/db.h"
#include "engine/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARE_BYTES = 1 << 20 };

/* A copy in the making. */
typedef struct copy {
    env        *env;
    const char *from;
    char        to[PATH_MAX], partial[PATH_MAX];
    bool        replaces; /* there is an earlier backup */
    published  *what;
} copy;

/* ---- what may be overwritten ---- */

static bool is_there(const char *path)
{
    struct stat sb;
    return lstat(path, &sb) == 0;
}

static chr_status stop_at_first(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return CHR_OK;
}

static chr_status look_at(const char *to, bool *there, bool *empty)
{
    struct stat sb;
    bool        any = false;
    *there = lstat(to, &sb) == 0;
    *empty = false;
    if (!*there) return errno == ENOENT ? CHR_OK : chr_errno(errno, "look at", to);
    if (!S_ISDIR(sb.st_mode)) return chr_fail(CHR_INVALID, "%s is there already, and is no directory", to);
    chr_status st = env_list(env_posix(), to, stop_at_first, &any);
    *empty = !any;
    return st;
}

chr_status publish_precheck(const char *to, bool replace)
{
    bool there, empty;
    if (strlen(to) >= PATH_MAX - NAME_MAX)
        return chr_fail(CHR_INVALID, "the path %.40s... is too long (%zu bytes)", to, strlen(to));
    chr_status st = look_at(to, &there, &empty);
    if (!chr_ok(st) || !there || empty) return st;
    file_path note = path_in(to, BACKUP_NOTE);
    if (!replace) return chr_fail(CHR_INVALID, "%s is there already, and not empty; choose a new directory", to);
    if (!is_there(note.text))
        return chr_fail(CHR_INVALID, "%s is there already, and is no backup; choose a new directory", to);
    return CHR_OK;
}

/* ---- removing ---- */

static chr_status remove_file(void *arg, const char *name)
{
    uint64_t no;
    if (name_parse(name, &no) == FILE_OTHER && strcmp(name, NAME_CURRENT) != 0 && strcmp(name, NAME_LOCK) != 0 &&
        strcmp(name, BACKUP_NOTE) != 0 && strcmp(name, NAME_CURRENT ".tmp") != 0 &&
        strcmp(name, BACKUP_NOTE ".tmp") != 0)
        return CHR_OK; /* then the directory stays, and that is said */
    file_path path = path_in(arg, name);
    return env_unlink(env_posix(), path.text);
}

chr_status publish_remove(const char *dir)
{
    char path[PATH_MAX];
    if (!is_there(dir)) return CHR_OK;
    snprintf(path, sizeof path, "%s", dir);
    chr_status st = env_list(env_posix(), dir, remove_file, path);
    return chr_ok(st) ? env_rmdir(env_posix(), dir) : st;
}

/* ---- the files ---- */

static bool same_bytes(env_file *a, env_file *b, uint64_t size, char *room)
{
    size_t got_a = 0, got_b = 0;
    for (uint64_t at = 0; at < size; at += COMPARE_BYTES) {
        if (!chr_ok(env_pread(a, room, COMPARE_BYTES, at, &got_a))) return false;
        if (!chr_ok(env_pread(b, room + COMPARE_BYTES, COMPARE_BYTES, at, &got_b))) return false;
        if (got_a != got_b || memcmp(room, room + COMPARE_BYTES, got_a) != 0) return false;
    }
    return true;
}

/* Whether two files hold the same bytes; what cannot be read is not the same. A number and a size say too little: after
 * a restore, two stores give the same numbers to different tables. */
static bool same_contents(env *e, const char *one, const char *other)
{
    env_file *a = NULL, *b = NULL;
    uint64_t  size_a = 0, size_b = 1;
    char     *room = malloc((size_t)2 * COMPARE_BYTES);
    bool      same = room && chr_ok(env_open(e, one, ENV_READ, &a)) && chr_ok(env_open(e, other, ENV_READ, &b)) &&
                chr_ok(env_size(a, &size_a)) && chr_ok(env_size(b, &size_b)) && size_a == size_b &&
                same_bytes(a, b, size_a, room);
    env_close(a);
    env_close(b);
    free(room);
    return same;
}

static chr_status take_data(copy *c, const char *name, const char *from, const char *to)
{
    struct stat sb;
    chr_status  st = CHR_OK;
    file_path   before = path_in(c->to, name);
    if (stat(from, &sb) != 0) return chr_errno(errno, "look at", from);
    c->what->files++;
    c->what->bytes += (uint64_t)sb.st_size;
    if (chr_ok(env_link(c->env, from, to))) {
        c->what->linked++;
    } else if (c->replaces && same_contents(c->env, from, before.text) && chr_ok(env_link(c->env, before.text, to))) {
        c->what->kept++;
    } else {
        st = env_copy_file(c->env, from, to);
        c->what->copied++;
    }
    return st;
}

static chr_status take_file(void *arg, const char *name)
{
    copy     *c = arg;
    uint64_t  no;
    file_type type = name_parse(name, &no);
    file_path from = path_in(c->from, name), to = path_in(c->partial, name);
    if (type == FILE_TABLE || type == FILE_BLOB) return take_data(c, name, from.text, to.text);
    /* Logs are used again and manifests grow, so these are never linked. */
    if (type == FILE_LOG || type == FILE_MANIFEST || strcmp(name, NAME_CURRENT) == 0)
        return env_copy_file(c->env, from.text, to.text);
    return CHR_OK;
}

static void say_damage(void *arg, const char *sentence)
{
    (void)arg;
    complain("%s", sentence);
}

static chr_status fill(copy *c, const char *note)
{
    chr_status st = env_list(c->env, c->from, take_file, c);
    if (chr_ok(st) && note) st = env_replace_file(c->env, c->partial, BACKUP_NOTE, chr_str(note));
    if (chr_ok(st)) st = db_check(c->env, c->partial, say_damage, NULL);
    if (st == CHR_CORRUPT) st = chr_fail(st, "what was copied from %s is damaged, so the copy was given up", c->from);
    return chr_ok(st) ? env_sync_dir(c->env, c->partial) : st;
}

/* ---- the name ---- */

static chr_status give_name(copy *c, bool there)
{
    if (!there && renameat2(AT_FDCWD, c->partial, AT_FDCWD, c->to, RENAME_NOREPLACE) == 0) return CHR_OK;
    if (there && renameat2(AT_FDCWD, c->partial, AT_FDCWD, c->to, RENAME_EXCHANGE) == 0) return CHR_OK;
    if (errno != EINVAL && errno != ENOSYS) return chr_errno(errno, "give the copy its name", c->to);
    if (c->replaces)
        return chr_fail(CHR_INVALID, "the file system of %s cannot exchange two directories; choose a new one", c->to);
    return rename(c->partial, c->to) == 0 ? CHR_OK : chr_errno(errno, "give the copy its name", c->to);
}

/* Nobody may have the earlier backup open while it goes. */
static chr_status replace(copy *c, bool there)
{
    env_lock  *lock = NULL;
    file_path  path = path_in(c->to, NAME_LOCK);
    chr_status st = c->replaces ? env_lock_file(c->env, path.text, &lock) : CHR_OK;
    if (chr_ok(st)) st = give_name(c, there);
    if (chr_ok(st)) st = env_sync_parent(c->env, c->to);
    if (chr_ok(st)) st = publish_remove(c->partial); /* what was there before has that name now */
    env_unlock_file(c->env, lock);
    return st;
}

chr_status publish(const char *from, const char *to, const char *note, published *what)
{
    copy c = { .env = env_posix(), .from = from, .what = what };
    bool there = false, empty = false;
    *what = (published){ 0 };
    chr_status st = publish_precheck(to, note != NULL);
    if (chr_ok(st)) st = look_at(to, &there, &empty);
    if (!chr_ok(st)) return st;
    snprintf(c.to, sizeof c.to, "%s", to);
    for (size_t len = strlen(c.to); len > 1 && c.to[len - 1] == '/';) c.to[--len] = 0;
    snprintf(c.partial, sizeof c.partial, "%.*s.partial", PATH_MAX - NAME_MAX, c.to);
    c.replaces = there && !empty;

    st = publish_remove(c.partial); /* of one that was interrupted */
    if (chr_ok(st)) st = env_mkdir(c.env, c.partial);
    if (!chr_ok(st)) return st;
    st = fill(&c, note);
    if (chr_ok(st)) st = replace(&c, there);
    if (chr_ok(st)) return CHR_OK;

    buf why = { 0 };
    buf_append(&why, chr_message(), strlen(chr_message()) + 1);
    (void)publish_remove(c.partial);
    if (why.data) (void)chr_fail(st, "%s", why.data);
    chr_buf_free(&why);
    return st;
}
