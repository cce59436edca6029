#include "net/users.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, PASSWORD_BYTES_MAX = 511 };

typedef struct user {
    char name[USER_NAME_MAX + 1];
    char hash[CRYPT_OUTPUT_SIZE];
    bool on, read_only;
} user;

struct users {
    const char     *path;
    pthread_mutex_t mu;
    user           *at;
    size_t          n;
};

static bool is_name(slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == ':' || name.data[i] == '#') return false;
    return name.len > 0 && name.len <= USER_NAME_MAX;
}

static user *find(const users *u, slice name)
{
    for (size_t i = 0; i < u->n; i++)
        if (slice_equal(chr_str(u->at[i].name), name)) return &u->at[i];
    return NULL;
}

/* ---- the file ---- */

static chr_status parse_line(users *u, char *line, unsigned number)
{
    char *hash = strchr(line, ':'), *rest = hash ? strchr(hash + 1, ':') : NULL;
    if (hash) *hash++ = 0;
    if (rest) *rest++ = 0;
    if (!hash || !is_name(chr_str(line)) || strlen(hash) >= CRYPT_OUTPUT_SIZE ||
        (rest && strcmp(rest, "readonly") != 0))
        return chr_fail(CHR_INVALID,
                        "line %u of %s is not NAME:HASH or NAME:HASH:readonly; make hashes by 'openssl passwd -6'",
                        number, u->path);
    if (find(u, chr_str(line))) return chr_fail(CHR_INVALID, "%s names the user %s twice", u->path, line);
    user *more = realloc(u->at, (u->n + 1) * sizeof *more);
    if (!more) return chr_nomem();
    u->at = more;
    user *new = &u->at[u->n++];
    *new = (user){ .on = *hash != '!' && *hash, .read_only = rest };
    strcpy(new->name, line);
    strcpy(new->hash, *hash == '!' ? hash + 1 : hash);
    return CHR_OK;
}

static chr_status parse_file(users *u, FILE *f)
{
    char      *line = NULL;
    size_t     cap = 0;
    chr_status st = CHR_OK;
    unsigned   number = 0;
    for (ssize_t n; chr_ok(st) && (n = getline(&line, &cap, f)) >= 0;) {
        number++;
        if (n > 0 && line[n - 1] == '\n') line[n - 1] = 0;
        if (line[0] && line[0] != '#') st = parse_line(u, line, number);
    }
    if (chr_ok(st) && ferror(f)) st = chr_fail(CHR_INVALID, "cannot read %s", u->path);
    if (line) explicit_bzero(line, cap);
    free(line);
    return st;
}

chr_status users_open(const char *path, users **out)
{
    struct stat about;
    FILE       *f = fopen(path, "re");
    if (!f) return chr_fail(CHR_INVALID, "cannot read the users in %s: %s", path, strerror(errno));
    users     *u = calloc(1, sizeof *u);
    chr_status st = u ? CHR_OK : chr_nomem();
    if (u) {
        u->path = path;
        pthread_mutex_init(&u->mu, NULL);
    }
    if (chr_ok(st) &&
        (fstat(fileno(f), &about) != 0 || about.st_mode & (S_IRWXG | S_IRWXO) || about.st_size > FILE_BYTES_MAX))
        st = chr_fail(CHR_INVALID, "%s can be used by others than its owner; run: chmod 600 %s", path, path);
    if (chr_ok(st)) st = parse_file(u, f);
    if (chr_ok(st) && u->n == 0) st = chr_fail(CHR_INVALID, "%s names no user, so nobody could use the server", path);
    fclose(f);
    if (chr_ok(st))
        *out = u;
    else
        users_free(u);
    return st;
}

void users_free(users *u)
{
    if (!u) return;
    if (u->at) explicit_bzero(u->at, u->n * sizeof *u->at);
    free(u->at);
    pthread_mutex_destroy(&u->mu);
    free(u);
}

static chr_status write_file(const users *u)
{
    char  path[4096];
    FILE *f = NULL;
    bool  good = true;
    int   n = snprintf(path, sizeof path, "%s.new", u->path), fd = -1;
    if (n < 0 || (size_t)n >= sizeof path) return chr_fail(CHR_INVALID, "the path of the file of users is too long");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) f = fdopen(fd, "w");
    if (!f) {
        if (fd >= 0) close(fd);
        return chr_errno(errno, "write", path);
    }
    for (size_t i = 0; i < u->n && good; i++)
        good = fprintf(f, "%s:%s%s%s\n", u->at[i].name, u->at[i].on ? "" : "!", u->at[i].hash,
                       u->at[i].read_only ? ":readonly" : "") > 0;
    good = fflush(f) == 0 && good;
    good = fsync(fd) == 0 && good;
    good = fclose(f) == 0 && good;
    good = good && rename(path, u->path) == 0;
    return good ? CHR_OK : chr_errno(errno, "write", path);
}

/* ---- passwords ---- */

/* False: too long, or no such way of hashing. */
static bool hash_password(slice password, const char *setting, char hash[CRYPT_OUTPUT_SIZE])
{
    char               text[PASSWORD_BYTES_MAX + 1] = { 0 };
    struct crypt_data *work = calloc(1, sizeof *work);
    bool               done = false;
    if (work && password.len <= PASSWORD_BYTES_MAX && !(password.len && memchr(password.data, 0, password.len))) {
        if (password.len) memcpy(text, password.data, password.len);
        const char *made = crypt_r(text, setting, work);
        done = made && made[0] != '*' && strlen(made) < CRYPT_OUTPUT_SIZE;
        if (done) strcpy(hash, made);
    }
    explicit_bzero(text, sizeof text);
    if (work) explicit_bzero(work, sizeof *work);
    free(work);
    return done;
}

/* In a time that does not tell how much is equal. */
static bool equal_hashes(const char *a, const char *b)
{
    size_t        n = strlen(a);
    unsigned char differ = n != strlen(b);
    for (size_t i = 0; i < n && b[i]; i++) differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

/* For an unknown user it takes as long as for a known one. */
bool users_check(users *u, slice name, slice password, bool *read_only)
{
    char wanted[CRYPT_OUTPUT_SIZE], made[CRYPT_OUTPUT_SIZE];
    pthread_mutex_lock(&u->mu);
    const user *found = find(u, name);
    bool        allowed = found && found->on && found->hash[0];
    strcpy(wanted, found ? found->hash : u->at[0].hash);
    *read_only = found && found->read_only;
    pthread_mutex_unlock(&u->mu);
    bool same = hash_password(password, wanted, made) && equal_hashes(made, wanted);
    return same && allowed;
}

chr_status users_set(users *u, slice name, const user_change *change)
{
    char       hash[CRYPT_OUTPUT_SIZE] = "", setting[CRYPT_GENSALT_OUTPUT_SIZE];
    chr_status st = CHR_OK;
    if (!is_name(name)) return chr_fail(CHR_INVALID, "Usernames can't contain spaces, colons or null characters");
    if (change->password.data && (!crypt_gensalt_rn(NULL, 0, NULL, 0, setting, sizeof setting) ||
                                  !hash_password(change->password, setting, hash)))
        return chr_fail(CHR_INVALID, "a password has at most %d bytes, and none of them is zero", PASSWORD_BYTES_MAX);
    pthread_mutex_lock(&u->mu);
    user *found = find(u, name), before;
    bool  made = !found;
    if (!found) {
        user *more = realloc(u->at, (u->n + 1) * sizeof *more);
        if (more) {
            u->at = more;
            found = &u->at[u->n++];
            *found = (user){ 0 };
            memcpy(found->name, name.data, name.len);
        }
    }
    if (found) {
        before = *found;
        if (change->state) found->on = strcmp(change->state, "on") == 0;
        if (change->password.data) strcpy(found->hash, hash);
        if (change->read_only >= 0) found->read_only = change->read_only;
        st = write_file(u);
        if (!chr_ok(st) && made)
            u->n--;
        else if (!chr_ok(st))
            *found = before;
    } else {
        st = chr_nomem();
    }
    pthread_mutex_unlock(&u->mu);
    explicit_bzero(hash, sizeof hash);
    return st;
}

bool users_has(users *u, slice name)
{
    pthread_mutex_lock(&u->mu);
    bool has = find(u, name) != NULL;
    pthread_mutex_unlock(&u->mu);
    return has;
}

chr_status users_delete(users *u, slice name)
{
    if (slice_equal(name, chr_str("default"))) return chr_fail(CHR_INVALID, "The 'default' user cannot be removed");
    pthread_mutex_lock(&u->mu);
    user      *found = find(u, name);
    chr_status st = !found      ? CHR_NOT_FOUND
                    : u->n == 1 ? chr_fail(CHR_INVALID, "The last user cannot be removed: nobody could use the server")
                                : CHR_OK;
    if (chr_ok(st)) {
        user   gone = *found;
        size_t behind = u->n - 1 - (size_t)(found - u->at);
        memmove(found, found + 1, behind * sizeof *found);
        u->n--;
        st = write_file(u);
        if (!chr_ok(st)) {
            memmove(found + 1, found, behind * sizeof *found);
            *found = gone;
            u->n++;
        }
        explicit_bzero(&gone, sizeof gone);
    }
    pthread_mutex_unlock(&u->mu);
    return st;
}

void users_each(users *u, user_fn *fn, void *arg)
{
    pthread_mutex_lock(&u->mu);
    for (size_t i = 0; i < u->n; i++) fn(arg, u->at[i].name, u->at[i].on, u->at[i].read_only);
    pthread_mutex_unlock(&u->mu);
}
