#include "net/users.h"

#include "net/rights.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 16 << 20, PASSWORD_BYTES_MAX = 511 };

typedef struct user {
    char     name[USER_NAME_MAX + 1];
    char     hash[CRYPT_OUTPUT_SIZE]; /* "": no password is good enough */
    bool     on, nopass;
    uint64_t serial;
    rights  *rights;
} user;

typedef struct user_list {
    user  *at;
    size_t n;
} user_list;

struct users {
    const char       *path;
    pthread_mutex_t   change_mu; /* of whoever changes something: hashing and writing take their time; then */
    pthread_mutex_t   mu;        /* of the list */
    user_list         list;
    uint64_t          last_serial;
    _Atomic(uint64_t) edition;
};

static bool is_name(slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == ':' || name.data[i] == '#') return false;
    return name.len > 0 && name.len <= USER_NAME_MAX;
}

static user *find(const user_list *l, slice name)
{
    for (size_t i = 0; i < l->n; i++)
        if (slice_equal(chr_str(l->at[i].name), name)) return &l->at[i];
    return NULL;
}

static void user_clear(user *x)
{
    rights_drop(x->rights);
    explicit_bzero(x, sizeof *x);
}

static void list_free(user_list *l)
{
    for (size_t i = 0; i < l->n; i++) user_clear(&l->at[i]);
    free(l->at);
    *l = (user_list){ 0 };
}

/* A user who may do nothing yet. NULL: no memory. */
static user *list_add(user_list *l, slice name)
{
    user *more = realloc(l->at, (l->n + 1) * sizeof *more);
    if (!more) return NULL;
    l->at = more;
    user *new = &l->at[l->n];
    *new = (user){ .rights = rights_new() };
    if (!new->rights) return NULL;
    memcpy(new->name, name.data, name.len);
    l->n++;
    return new;
}

static void list_remove(user_list *l, user *x)
{
    user_clear(x);
    l->n--;
    memmove(x, x + 1, (l->n - (size_t)(x - l->at)) * sizeof *x);
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

static chr_status set_password(user *x, slice password)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!crypt_gensalt_rn(NULL, 0, NULL, 0, setting, sizeof setting) || !hash_password(password, setting, x->hash))
        return chr_fail(CHR_INVALID, "a password has at most %d bytes, and none of them is zero", PASSWORD_BYTES_MAX);
    x->nopass = false;
    return CHR_OK;
}

static bool is_hash(slice hash)
{
    for (size_t i = 0; i < hash.len; i++)
        if (hash.data[i] <= ' ' || hash.data[i] > '~' || hash.data[i] == ':') return false;
    return hash.len < CRYPT_OUTPUT_SIZE;
}

/* One that no password has does no harm in a file, where others may have made it; a client is told. */
static bool is_good_hash(slice hash)
{
    char text[CRYPT_OUTPUT_SIZE] = "";
    if (!hash.len || !is_hash(hash)) return false;
    memcpy(text, hash.data, hash.len);
    return crypt_checksalt(text) == CRYPT_SALT_OK;
}

static chr_status set_hash(user *x, slice hash)
{
    if (!is_hash(hash)) return chr_fail(CHR_INVALID, "this is no hash of a password");
    memset(x->hash, 0, sizeof x->hash);
    if (hash.len) memcpy(x->hash, hash.data, hash.len);
    x->nopass = false;
    return CHR_OK;
}

/* ---- rules ---- */

static bool is_rule(slice rule, const char *word) { return rule.len == strlen(word) && argument_is(rule, word); }

static chr_status reset(user *x)
{
    rights *none = rights_new();
    if (!none) return chr_nomem();
    rights_drop(x->rights);
    x->rights = none;
    x->on = x->nopass = false;
    x->hash[0] = 0;
    return CHR_OK;
}

/* `x` has its rights for itself. */
static chr_status apply(user *x, slice rule)
{
    if (is_rule(rule, "reset")) return reset(x);
    if (is_rule(rule, "on") || is_rule(rule, "off")) {
        x->on = is_rule(rule, "on");
    } else if (is_rule(rule, "nopass") || is_rule(rule, "resetpass")) {
        x->nopass = is_rule(rule, "nopass");
        x->hash[0] = 0;
    } else if (rule.len && rule.data[0] == '>') {
        return set_password(x, slice_from(rule, 1));
    } else if (rule.len && rule.data[0] == '#') {
        return set_hash(x, slice_from(rule, 1));
    } else if (rule.len && (rule.data[0] == '<' || rule.data[0] == '!')) {
        return chr_fail(CHR_INVALID, "a user has one password; set another one, or use resetpass");
    } else if (rule.len && rule.data[0] == '(') {
        return chr_fail(CHR_INVALID, "there are no selectors here; make several users");
    } else if (!is_rule(rule, "sanitize-payload")) { /* what RESTORE is given is always looked at */
        return rights_apply(x->rights, rule);
    }
    return CHR_OK;
}

/* ---- the file ---- */

static chr_status bad_line(const users *u, unsigned number)
{
    return chr_fail(CHR_INVALID,
                    "line %u of %s is none of: user NAME RULES, NAME:HASH, NAME:HASH:readonly; make hashes by 'openssl "
                    "passwd -6'",
                    number, u->path);
}

static chr_status add_named(const users *u, user_list *l, slice name, user **new)
{
    if (find(l, name)) return chr_fail(CHR_INVALID, "%s names the user %.*s twice", u->path, (int)name.len, name.data);
    *new = list_add(l, name);
    return *new ? CHR_OK : chr_nomem();
}

static chr_status parse_old(const users *u, user_list *l, char *line, unsigned number)
{
    static const char *const all[] = { "~*", "&*", "+@all" }, *const not_readers[] = { "-@write", "-@admin" };
    char *hash = strchr(line, ':'), *rest = hash ? strchr(hash + 1, ':') : NULL;
    user *new = NULL;
    if (hash) *hash++ = 0;
    if (rest) *rest++ = 0;
    if (!hash || !is_name(chr_str(line)) || !is_hash(chr_str(hash)) || (rest && strcmp(rest, "readonly") != 0))
        return bad_line(u, number);
    chr_status st = add_named(u, l, chr_str(line), &new);
    if (!new) return st;
    new->on = *hash != '!' && *hash;
    strcpy(new->hash, *hash == '!' ? hash + 1 : hash);
    for (size_t i = 0; i < sizeof all / sizeof *all && chr_ok(st); i++) st = apply(new, chr_str(all[i]));
    for (size_t i = 0; rest && i < sizeof not_readers / sizeof *not_readers && chr_ok(st); i++)
        st = apply(new, chr_str(not_readers[i]));
    return st;
}

/* Behind "user ". */
static chr_status parse_rules(const users *u, user_list *l, slice left, unsigned number)
{
    user *new = NULL;
    chr_status st = CHR_OK;
    while (chr_ok(st) && left.len) {
        const char *end = memchr(left.data, ' ', left.len);
        slice       word = end ? chr_bytes(left.data, (size_t)(end - left.data)) : left;
        left = end ? slice_from(left, word.len + 1) : chr_bytes(NULL, 0);
        if (!word.len) continue;
        if (!new) {
            if (!is_name(word)) return bad_line(u, number);
            st = add_named(u, l, word, &new);
        } else if (word.data[0] == '>') {
            return chr_fail(CHR_INVALID, "line %u of %s has a password; put #HASH there, of 'openssl passwd -6'",
                            number, u->path);
        } else {
            st = apply(new, word);
            if (st == CHR_INVALID) {
                buf why = { 0 };
                buf_printf(&why, "%s", chr_message());
                st = chr_fail(CHR_INVALID, "line %u of %s has a rule that is wrong: %.*s", number, u->path,
                              (int)why.len, why.data ? why.data : "");
                chr_buf_free(&why);
            }
        }
    }
    return !new &&chr_ok(st) ? bad_line(u, number) : st;
}

static chr_status parse_file(const users *u, user_list *l, FILE *f)
{
    char      *line = NULL;
    size_t     cap = 0;
    chr_status st = CHR_OK;
    unsigned   number = 0;
    for (ssize_t n; chr_ok(st) && (n = getline(&line, &cap, f)) >= 0;) {
        number++;
        if (n > 0 && line[n - 1] == '\n') line[--n] = 0;
        if (memchr(line, 0, (size_t)n))
            st = bad_line(u, number);
        else if (strncmp(line, "user ", 5) == 0)
            st = parse_rules(u, l, chr_str(line + 5), number);
        else if (line[0] && line[0] != '#')
            st = parse_old(u, l, line, number);
    }
    if (chr_ok(st) && ferror(f)) st = chr_fail(CHR_INVALID, "cannot read %s", u->path);
    if (line) explicit_bzero(line, cap);
    free(line);
    return st;
}

static chr_status read_file(const users *u, user_list *l)
{
    struct stat about;
    chr_status  st = CHR_OK;
    FILE       *f = fopen(u->path, "re");
    if (!f) return chr_fail(CHR_INVALID, "cannot read the users in %s: %s", u->path, strerror(errno));
    if (fstat(fileno(f), &about) != 0 || about.st_mode & (S_IRWXG | S_IRWXO))
        st = chr_fail(CHR_INVALID, "%s can be used by others than its owner; run: chmod 600 %s", u->path, u->path);
    else if (about.st_size > FILE_BYTES_MAX)
        st = chr_fail(CHR_INVALID, "%s has more than %d MiB", u->path, FILE_BYTES_MAX >> 20);
    if (chr_ok(st)) st = parse_file(u, l, f);
    if (chr_ok(st) && l->n == 0)
        st = chr_fail(CHR_INVALID, "%s names no user, so nobody could use the server", u->path);
    fclose(f);
    return st;
}

static bool write_user(FILE *f, const user *x)
{
    buf  rules = { 0 };
    bool good = rights_put(x->rights, &rules);
    good = good && fprintf(f, "user %s %s%s%s%s ", x->name, x->on ? "on" : "off", x->nopass ? " nopass" : "",
                           x->hash[0] ? " #" : "", x->hash) > 0;
    good = good && fwrite(rules.data, 1, rules.len, f) == rules.len && fputc('\n', f) != EOF;
    chr_buf_free(&rules);
    return good;
}

static chr_status write_file(const users *u, const user_list *l)
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
    for (size_t i = 0; i < l->n && good; i++) good = write_user(f, &l->at[i]);
    good = fflush(f) == 0 && good;
    if (good && ftell(f) > FILE_BYTES_MAX) {
        fclose(f);
        (void)unlink(path);
        return chr_fail(CHR_INVALID, "the file of users would have more than %d MiB", FILE_BYTES_MAX >> 20);
    }
    good = fsync(fd) == 0 && good;
    good = fclose(f) == 0 && good;
    good = good && rename(path, u->path) == 0;
    return good ? CHR_OK : chr_errno(errno, "write", path);
}

chr_status users_open(const char *path, users **out)
{
    users *u = calloc(1, sizeof *u);
    if (!u) return chr_nomem();
    u->path = path;
    pthread_mutex_init(&u->mu, NULL);
    pthread_mutex_init(&u->change_mu, NULL);
    chr_status st = read_file(u, &u->list);
    for (size_t i = 0; i < u->list.n; i++) u->list.at[i].serial = ++u->last_serial;
    if (chr_ok(st))
        *out = u;
    else
        users_free(u);
    return st;
}

void users_free(users *u)
{
    if (!u) return;
    list_free(&u->list);
    pthread_mutex_destroy(&u->mu);
    pthread_mutex_destroy(&u->change_mu);
    free(u);
}

/* ---- letting in ---- */

void identity_drop(identity *who)
{
    rights_drop(who->rights);
    *who = (identity){ 0 };
}

/* With mu held. */
static void identify(const users *u, const user *x, identity *who)
{
    *who = (identity){ .serial = x->serial, .edition = u->edition, .rights = rights_hold(x->rights) };
    strcpy(who->name, x->name);
}

/* For an unknown user it takes as long as for a known one. */
bool users_check(users *u, slice name, slice password, identity *who)
{
    char wanted[CRYPT_OUTPUT_SIZE], made[CRYPT_OUTPUT_SIZE];
    *who = (identity){ 0 };
    pthread_mutex_lock(&u->mu);
    const user *found = find(&u->list, name);
    bool        allowed = found && found->on && (found->hash[0] || found->nopass), nopass = found && found->nopass;
    strcpy(wanted, found ? found->hash : u->list.at[0].hash);
    if (allowed) identify(u, found, who);
    pthread_mutex_unlock(&u->mu);
    if (!wanted[0] && !nopass) strcpy(wanted, "$6$takes.as.long.too$");
    bool same = nopass || (hash_password(password, wanted, made) && equal_hashes(made, wanted));
    if (allowed && same) return true;
    identity_drop(who);
    return false;
}

bool users_default(users *u, identity *who)
{
    *who = (identity){ 0 };
    pthread_mutex_lock(&u->mu);
    const user *found = find(&u->list, chr_str("default"));
    if (found && found->on && found->nopass) identify(u, found, who);
    pthread_mutex_unlock(&u->mu);
    return who->rights;
}

uint64_t users_edition(const users *u) { return atomic_load_explicit(&u->edition, memory_order_acquire); }

bool users_refresh(users *u, identity *who)
{
    identity now = { 0 };
    pthread_mutex_lock(&u->mu);
    const user *found = find(&u->list, chr_str(who->name));
    if (found && found->serial == who->serial) identify(u, found, &now);
    pthread_mutex_unlock(&u->mu);
    rights_drop(who->rights);
    *who = now;
    return now.rights;
}

rights *users_rights(users *u, slice name)
{
    pthread_mutex_lock(&u->mu);
    const user *found = find(&u->list, name);
    rights     *its = found ? rights_hold(found->rights) : NULL;
    pthread_mutex_unlock(&u->mu);
    return its;
}

bool users_has(users *u, slice name)
{
    pthread_mutex_lock(&u->mu);
    bool has = find(&u->list, name) != NULL;
    pthread_mutex_unlock(&u->mu);
    return has;
}

/* ---- changing; with change_mu held, so that nobody else changes the list ---- */

static chr_status copy_list(const user_list *from, user_list *to)
{
    *to = (user_list){ .at = calloc(from->n + 1, sizeof *to->at) };
    if (!to->at) return chr_nomem();
    for (; to->n < from->n; to->n++) {
        to->at[to->n] = from->at[to->n];
        rights_hold(to->at[to->n].rights);
    }
    return CHR_OK;
}

/* What was copied and changed takes the place of what there is. */
static void publish(users *u, user_list *new)
{
    pthread_mutex_lock(&u->mu);
    user_list old = u->list;
    u->list = *new;
    atomic_fetch_add_explicit(&u->edition, 1, memory_order_release);
    pthread_mutex_unlock(&u->mu);
    *new = old; /* for the caller to free */
}

static chr_status set_rules(users *u, user_list *l, slice name, const slice *rules, size_t n, size_t *wrong)
{
    user *x = find(l, name);
    *wrong = n;
    if (!x) {
        x = list_add(l, name);
        if (!x) return chr_nomem();
        x->serial = ++u->last_serial;
    } else {
        rights *own = rights_copy(x->rights);
        if (!own) return chr_nomem();
        rights_drop(x->rights);
        x->rights = own;
    }
    for (size_t i = 0; i < n; i++) {
        bool       hash = rules[i].len && rules[i].data[0] == '#';
        chr_status st = hash && !is_good_hash(slice_from(rules[i], 1))
                            ? chr_fail(CHR_INVALID, "The password hash must be one of crypt(3), as 'openssl passwd -6' "
                                                    "makes it")
                            : apply(x, rules[i]);
        if (chr_ok(st)) continue;
        *wrong = i;
        return st;
    }
    return CHR_OK;
}

chr_status users_set(users *u, slice name, const slice *rules, size_t n, size_t *wrong)
{
    user_list new;
    *wrong = n;
    if (!is_name(name)) return chr_fail(CHR_INVALID, "Usernames can't contain spaces, colons or null characters");
    pthread_mutex_lock(&u->change_mu);
    chr_status st = copy_list(&u->list, &new);
    if (chr_ok(st)) st = set_rules(u, &new, name, rules, n, wrong);
    if (chr_ok(st)) st = write_file(u, &new);
    if (chr_ok(st)) publish(u, &new);
    pthread_mutex_unlock(&u->change_mu);
    list_free(&new);
    return st;
}

chr_status users_delete(users *u, slice name)
{
    user_list new = { 0 };
    if (slice_equal(name, chr_str("default"))) return chr_fail(CHR_INVALID, "The 'default' user cannot be removed");
    pthread_mutex_lock(&u->change_mu);
    chr_status st = !find(&u->list, name) ? CHR_NOT_FOUND
                    : u->list.n == 1
                        ? chr_fail(CHR_INVALID, "The last user cannot be removed: nobody could use the server")
                        : copy_list(&u->list, &new);
    if (chr_ok(st)) list_remove(&new, find(&new, name));
    if (chr_ok(st)) st = write_file(u, &new);
    if (chr_ok(st)) publish(u, &new);
    pthread_mutex_unlock(&u->change_mu);
    list_free(&new);
    return st;
}

chr_status users_save(users *u)
{
    pthread_mutex_lock(&u->change_mu);
    chr_status st = write_file(u, &u->list);
    pthread_mutex_unlock(&u->change_mu);
    return st;
}

chr_status users_load(users *u)
{
    user_list new = { 0 };
    pthread_mutex_lock(&u->change_mu);
    chr_status st = read_file(u, &new);
    for (size_t i = 0; i < new.n &&chr_ok(st); i++) {
        const user *before = find(&u->list, chr_str(new.at[i].name));
        new.at[i].serial = before ? before->serial : ++u->last_serial;
    }
    if (chr_ok(st)) publish(u, &new);
    pthread_mutex_unlock(&u->change_mu);
    list_free(&new);
    return st;
}

void users_each(users *u, user_fn *fn, void *arg)
{
    pthread_mutex_lock(&u->mu);
    for (size_t i = 0; i < u->list.n; i++) {
        const user *x = &u->list.at[i];
        fn(arg, &(user_about){ x->name, x->on, x->nopass, x->hash[0] != 0, x->rights });
    }
    pthread_mutex_unlock(&u->mu);
}
