/* Who may use the server: a file with a line for each user, of the rules that ACL SETUSER takes, with the hash of the password as
 * crypt(3) makes it ("openssl passwd -6" and mkpasswd do, too):
 *
 *   user NAME on #HASH ~app:* &news.* +@all -@dangerous
 *
 * NAME:HASH is a user who may do everything, and NAME:HASH:readonly one who may read; an empty hash or one that begins with !
 * lets nobody in. Passwords are never kept. Any thread. */
#ifndef CHR_NET_USERS_H
#define CHR_NET_USERS_H

#include "base/bytes.h"
#include "net/identity.h"

typedef struct users  users;
typedef struct rights rights; /* net/rights.h */

/* CHR_INVALID: the file cannot be read, is malformed, or others may read it. `path` is borrowed. */
chr_status users_open(const char *path, users **out);
void       users_free(users *u); /* NULL is fine */

void identity_drop(identity *who); /* afterwards it is nobody */

/* Takes tens of milliseconds, on purpose. */
bool users_check(users *u, slice name, slice password, identity *who);
/* The user `default`, if everybody is let in as that. */
bool     users_default(users *u, identity *who);
uint64_t users_edition(const users *u);
/* Looks up anew what the user may do, as there is another edition. False: the user is gone. */
bool users_refresh(users *u, identity *who);
/* To look at; NULL: there is none. */
rights *users_rights(users *u, slice name);
bool    users_has(users *u, slice name);

/* Makes the user if there is none, applies all rules or none, and writes the file. CHR_INVALID: what is wrong, in the words of Redis
 * if `rules[*wrong]` is; it is `n` otherwise. */
chr_status users_set(users *u, slice name, const slice *rules, size_t n, size_t *wrong);
/* And writes the file. CHR_NOT_FOUND, without a message: there is none; CHR_INVALID: `default`, or the last one. */
chr_status users_delete(users *u, slice name);
chr_status users_save(users *u);
chr_status users_load(users *u); /* what the file says now; if it is no good, nothing changes */

typedef struct user_about {
    const char   *name;
    bool          on, nopass, has_password;
    const rights *rights;
} user_about;
typedef void user_fn(void *arg, const user_about *about);
void         users_each(users *u, user_fn *fn, void *arg); /* in the order of the file; `fn` may call nothing here */

#endif
