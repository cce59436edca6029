#include "engine/files.h"

#include <stdlib.h>

static bool push(uint64_t **list, size_t *n, uint64_t no)
{
    uint64_t *more = realloc(*list, (*n + 1) * sizeof *more);
    if (!more) return false;
    *list = more;
    more[(*n)++] = no;
    return true;
}

static chr_status note(void *arg, const char *name)
{
    store_files *f = arg;
    uint64_t     no;
    file_type    type = name_parse(name, &no);
    if (type != FILE_OTHER && no >= f->next_no) f->next_no = no + 1;
    if (type == FILE_LOG && !push(&f->logs, &f->n_logs, no)) return chr_nomem();
    if (type == FILE_TABLE && !push(&f->tables, &f->n_tables, no)) return chr_nomem();
    return CHR_OK;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

chr_status store_files_list(env *e, const char *dir, store_files *f)
{
    *f = (store_files){ .next_no = 1 };
    chr_status st = env_list(e, dir, note, f);
    if (f->n_logs) qsort(f->logs, f->n_logs, sizeof *f->logs, by_number);
    if (f->n_tables) qsort(f->tables, f->n_tables, sizeof *f->tables, by_number);
    return st;
}

void store_files_free(store_files *f)
{
    free(f->logs);
    free(f->tables);
}
