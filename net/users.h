/* Who may use the server: a file with a line NAME:HASH or NAME:HASH:readonly for each user, hashes as crypt(3) makes them
 * ("openssl passwd -6" and mkpasswd do, too); an empty hash or one that begins with ! lets nobody in. Passwords are never kept. Any thread. */
#ifndef CHR_NET_USERS_H
#define CHR_NET_USERS_H

#include "base/bytes.h"

typedef struct users users;

enum { USER_NAME_MAX = 63 };

/* CHR_INVALID: the file cannot be read, is malformed, or others may read it. `path` is borrowed. */
chr_status users_open(const char *path, users **out);
void       users_free(users *u); /* NULL is fine */

/* Takes tens of milliseconds, on purpose. */
bool users_check(users *u, slice name, slice password, bool *read_only);

typedef struct user_change {
    const char *state;     /* "on", "off", or NULL: as it is */
    slice       password;  /* NULL data: as it is */
    int         read_only; /* 0, 1, or -1: as it is */
} user_change;
/* Makes the user if there is none, and writes the file. */
chr_status users_set(users *u, slice name, const user_change *change);

bool users_has(users *u, slice name);
/* And writes the file. CHR_NOT_FOUND, without a message: there is none; CHR_INVALID: `default`, or the last one. */
chr_status users_delete(users *u, slice name);

typedef void user_fn(void *arg, const char *name, bool on, bool read_only);
void         users_each(users *u, user_fn *fn, void *arg); /* in the order of the file; `fn` may call nothing here */

#endif
