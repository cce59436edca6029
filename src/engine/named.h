/* Snapshots that have names. The manifest records them, so they outlive the process; in an open store each has a snapshot in
 * memory, so that flush and compaction keep what it shows. Making, opening and dropping them: db.h.
 *
 * A list belongs to one thread at a time. */
#ifndef CHR_ENGINE_NAMED_H
#define CHR_ENGINE_NAMED_H

#include "base/bytes.h"

enum { SNAPSHOT_NAME_MAX = 255 };

typedef struct named_snapshot {
    buf                 name;
    uint64_t            seq;     /* the newest write that it shows */
    uint64_t            wall_ns; /* when it was made, since 1970 */
    struct db_snapshot *pin;     /* in memory; NULL: the list is not of an open store */
} named_snapshot;

typedef struct named_list {
    named_snapshot *at; /* in order of names */
    size_t          n, cap;
} named_list;

/* CHR_INVALID, with a sentence: it cannot be the name of a snapshot, which is also a file name. */
chr_status      named_check(slice name);
named_snapshot *named_find(const named_list *l, slice name);
bool            named_reserve(named_list *l);                   /* room for one more; false: no memory */
void            named_insert(named_list *l, named_snapshot x);  /* takes it over; there is room, and no such name */
void            named_remove(named_list *l, named_snapshot *x); /* which is in it */
void            named_free(named_list *l);

#endif
