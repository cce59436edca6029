/* Which files of a store a directory holds. */
#ifndef CHR_ENGINE_FILES_H
#define CHR_ENGINE_FILES_H

#include "engine/names.h"
#include "env/env.h"

typedef struct store_files {
    uint64_t *logs, *tables; /* numbers, ascending */
    size_t    n_logs, n_tables;
    uint64_t  next_no; /* above all numbers of files of any kind; at least 1 */
} store_files;

chr_status store_files_list(env *e, const char *dir, store_files *f);
void       store_files_free(store_files *f); /* after a failure, too */

#endif
