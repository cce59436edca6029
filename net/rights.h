/* What a user may do, by the rules of Redis 7's ACL SETUSER that are about commands, keys and channels.
 *
 * It belongs to one thread while rules are applied. Then it does not change any more, and is shared by all who hold a reference:
 * checking takes no lock, and who changes a user makes another one. */
#ifndef CHR_NET_RIGHTS_H
#define CHR_NET_RIGHTS_H

#include "net/command.h"

typedef struct rights rights;

rights *rights_new(void); /* to do nothing; NULL: no memory */
rights *rights_copy(const rights *x);
rights *rights_hold(rights *x);
void    rights_drop(rights *x); /* NULL is fine */

/* CHR_INVALID: it is not a rule, with Redis's reason; nothing has changed then. */
chr_status rights_apply(rights *x, slice rule);
/* The rules that make the same rights, separated by spaces. False: no memory. */
bool rights_put_keys(const rights *x, buf *text);
bool rights_put_channels(const rights *x, buf *text); /* without resetchannels, which it begins with */
bool rights_put_commands(const rights *x, buf *text);
bool rights_put(const rights *x, buf *text); /* all of them */

typedef enum verdict { MAY, MAY_NOT_RUN, MAY_NOT_USE_KEY, MAY_NOT_USE_CHANNEL } verdict;
/* Everything: nothing else needs to be looked at. */
bool rights_are_all(const rights *x);
/* Whether the command, whose arity fits, may be run; *what (may be NULL) is the key or channel that is in the way. What takes no
 * password to run may always be run; and who names no subcommand that there is will only get an error. */
verdict rights_check(const rights *x, const command *c, const slice *args, size_t n, slice *what);
bool    rights_to_key(const rights *x, slice key, unsigned use); /* KEYS_READ, KEYS_WRITE, both, or 0: to know of it */
bool    rights_to_prefix(const rights *x, slice prefix, unsigned use);
/* A pattern is allowed if it is among the user's own, letter by letter. */
bool rights_to_channel(const rights *x, slice channel, bool is_pattern);

#endif
