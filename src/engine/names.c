#include "engine/names.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

file_path path_in(const char *dir, const char *name)
{
    file_path p;
    int       n = snprintf(p.text, sizeof p.text, "%s/%s", dir, name);
    assert(n > 0 && (size_t)n < sizeof p.text); /* db_open bounds the length of dir */
    (void)n;
    return p;
}

static void format_name(char *to, size_t size, file_type type, uint64_t no)
{
    switch (type) {
    case FILE_LOG: snprintf(to, size, "%06" PRIu64 ".log", no); break;
    case FILE_TABLE: snprintf(to, size, "%06" PRIu64 ".sst", no); break;
    case FILE_BLOB: snprintf(to, size, "%06" PRIu64 ".blob", no); break;
    case FILE_MANIFEST: snprintf(to, size, "MANIFEST-%06" PRIu64, no); break;
    case FILE_SPARE: snprintf(to, size, "%06" PRIu64 ".spare", no); break;
    case FILE_OTHER: abort(); /* it has no number */
    }
}

file_path path_of(const char *dir, file_type type, uint64_t no)
{
    char name[64];
    format_name(name, sizeof name, type, no);
    return path_in(dir, name);
}

file_type name_parse(const char *name, uint64_t *no)
{
    const char *digits = strncmp(name, "MANIFEST-", 9) == 0 ? name + 9 : name;
    uint64_t    n = 0;
    for (const char *p = digits; *p >= '0' && *p <= '9'; p++) {
        if (p - digits >= 18) return FILE_OTHER;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    /* Only the canonical spelling counts: format the number and compare. */
    for (file_type type = FILE_LOG; type < FILE_OTHER; type++) {
        char canonical[64];
        format_name(canonical, sizeof canonical, type, n);
        if (strcmp(canonical, name) == 0) {
            *no = n;
            return type;
        }
    }
    return FILE_OTHER;
}
