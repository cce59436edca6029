/* What a server tells of its commands (COMMAND DOCS), for hints and completion. */
#ifndef CHR_CLI_DOCS_H
#define CHR_CLI_DOCS_H

#include "base/bytes.h"

#include <hiredis/hiredis.h>

typedef struct doc {
    char *name;   /* "get", or "client|kill" */
    char *syntax; /* of its arguments */
} doc;

typedef struct docs {
    doc   *all;
    size_t n;
} docs;

/* A server that tells nothing has no docs, and no harm is done. */
void docs_fetch(redisContext *c, docs *d);
void docs_free(docs *d);

/* Of the command and, if there is such a one, the subcommand that the words begin with; *used: how many of them. NULL: unknown. */
const doc *docs_find(const docs *d, const slice *word, size_t n, size_t *used);
/* What is still to be said when so many arguments have been: the rest of the syntax. */
const char *syntax_rest(const char *syntax, size_t said);
/* Whether the argument after so many is the name of a key. */
bool syntax_wants_key(const char *syntax, size_t said);

#endif
