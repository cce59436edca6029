/* From bytes to commands. Both parsers work in place on what has been received: arguments are slices of it.
 * They keep no state: what is incomplete is parsed again when more has come; `need` tells how much at least, so that a big
 * value is not looked at byte by byte. Everything that arrives may be hostile: each size and count has a limit. */
#ifndef CHR_NET_PARSE_H
#define CHR_NET_PARSE_H

#include "base/bytes.h"

enum {
    ARGS_MAX = 1024 * 1024,            /* of a command, as in Redis */
    INLINE_BYTES_MAX = 64 * 1024,      /* of a RESP inline command, as in Redis */
    LINE_BYTES_MAX = 16 * 1024 * 1024, /* of a line of the line protocol; bigger values go by RESP */
    HEADER_BYTES_MAX = 32,             /* of "*N\r\n" and "$N\r\n" */
};

typedef struct arguments {
    slice *at;
    size_t n, cap;
    buf    text; /* of quoted inline arguments, whose bytes differ from what was received */
} arguments;     /* starts as {0}; reused from command to command */
void arguments_free(arguments *a);

typedef enum parse_result {
    PARSE_COMMAND, /* *used bytes were a command; n may be 0: an empty line */
    PARSE_MORE,    /* incomplete: *used is the least number of bytes that could make a difference */
    PARSE_BAD,     /* not to be understood; *error says what, and the connection is at its end */
    PARSE_NO_MEMORY,
} parse_result;

/* RESP: an array of bulk strings, or an inline command. */
parse_result parse_resp(slice in, arguments *args, size_t *used, const char **error);
/* Line protocol: words separated by spaces; for SET the value is the rest of the line, as it is. */
parse_result parse_line(slice in, arguments *args, size_t *used, const char **error);

/* A decimal integer with nothing around it. */
bool parse_int64(slice text, int64_t *value);

#endif
