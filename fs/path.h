/* Keys and paths: a bijection. Names of the mount are components of keys, between slashes; almost every one stands for itself.
 * What cannot be a name begins with "%=":
 *     %=              the empty component: key a//b is a/%=/b
 *     %=TEXT          . and .., .chronos at the root, components that begin with %= or hold a NUL byte. In TEXT, NUL is %00, % is
 *                     %25, the dots of . and .. and the first of .chronos are %2E, and a first + or - is %2B or %2D
 *     %=+TEXT         a piece of a component longer than a name can be, as full as it can be; a directory that holds the rest
 *     %=-TEXT         the last piece of such a component
 *     %=self          in a directory that is also a key: that key's value
 * Every key has exactly one path; names that are not spelt as this file would spell them do not exist. */
#ifndef CHR_FS_PATH_H
#define CHR_FS_PATH_H

#include "base/bytes.h"

enum { NAME_BYTES_MAX = 255 };
#define NAME_SELF "%=self"

/* Where in the key space a directory of the mount lies: its keys begin with `prefix`. */
typedef struct place {
    slice  prefix;
    bool   partial; /* the prefix ends within a component, of which a piece has been shown */
    size_t top;     /* length of the prefix of the mount's root, where .chronos is */
} place;

/* The name under which `rest`, what follows the prefix of a key, begins in the directory. *used: bytes of rest that the name stands for,
 * without a following slash. *piece: a %=+ name, a directory. False: no such thing (a partial place and no rest of a component). */
bool path_encode(place dir, slice rest, char name[NAME_BYTES_MAX + 1], size_t *used, bool *piece);
/* The bytes that a name stands for, appended to `raw`. False: no name is spelt like this here, or no memory. */
bool path_decode(place dir, const char *name, buf *raw, bool *piece);

#endif
