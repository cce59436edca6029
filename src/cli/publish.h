/* Copies of a store that are there whole or not at all: what backup and restore have in common. One thread. */
#ifndef CHR_CLI_PUBLISH_H
#define CHR_CLI_PUBLISH_H

#include "base/status.h"

#include <stddef.h>

#define BACKUP_NOTE "BACKUP" /* a file in each backup, which says what it is */

typedef struct published {
    size_t   files, linked, kept, copied; /* kept: taken over from the backup that was there before */
    uint64_t bytes;                       /* of all tables and blob files */
} published;

/* CHR_OK if `to` is not there or an empty directory, or if `replace` and it is an earlier backup. */
chr_status publish_precheck(const char *to, bool replace);
/* Makes `to` a copy of the store in `from`, which nobody changes meanwhile. Tables are linked, or taken over from an earlier backup
 * in `to` with the same contents, or copied. Every byte is checked before the copy gets its name; it is durable on return.
 * `note`: the contents of BACKUP_NOTE, and an earlier backup is replaced; NULL: none of that. After a failure `to`
 * is as it was, or complete if only what it has replaced could not be removed. */
chr_status publish(const char *from, const char *to, const char *note, published *what);
/* Removes a directory with files of a store and nothing else. CHR_OK if it is not there. */
chr_status publish_remove(const char *dir);

#endif
