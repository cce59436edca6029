/* The names of the files of a store. Logs, tables, blob files and manifests share one sequence of file numbers. */
#ifndef CHR_ENGINE_NAMES_H
#define CHR_ENGINE_NAMES_H

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define NAME_CURRENT "CURRENT"
#define NAME_LOCK "LOCK"
#define NAME_LOST "lost"

typedef enum file_type { FILE_LOG, FILE_TABLE, FILE_BLOB, FILE_MANIFEST, FILE_SPARE, FILE_OTHER } file_type;

typedef struct file_path {
    char text[PATH_MAX];
} file_path;

file_path path_in(const char *dir, const char *name);
file_path path_of(const char *dir, file_type type, uint64_t no);
/* FILE_OTHER for everything that is none of the numbered files. */
file_type name_parse(const char *name, uint64_t *no);

#endif
