#include "base/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 512 };
static _Thread_local char        message[MESSAGE_MAX];
static _Thread_local const char *constant; /* if not NULL, this is the message */

const char *chr_status_name(chr_status status)
{
    switch (status) {
    case CHR_OK: return "ok";
    case CHR_NOT_FOUND: return "not found";
    case CHR_EXISTS: return "exists";
    case CHR_INVALID: return "invalid";
    case CHR_TOO_BIG: return "too big";
    case CHR_NO_MEMORY: return "out of memory";
    case CHR_NO_SPACE: return "no space";
    case CHR_IO: return "input/output error";
    case CHR_CORRUPT: return "corrupt";
    case CHR_READ_ONLY: return "read-only";
    case CHR_LOCKED: return "locked";
    case CHR_CLOSING: return "closing";
    }
    return "unknown status";
}

const char *chr_message(void) { return constant ? constant : message; }

chr_status chr_say(chr_status st, const char *text)
{
    constant = text;
    return st;
}

/* The arguments may point into `message` itself, so the text is built apart from it. */
static void set_message(const char *prefix, const char *format, va_list args)
{
    char text[MESSAGE_MAX];
    int  n = snprintf(text, sizeof text, "%s", prefix);
    if (n >= 0 && (size_t)n < sizeof text) vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    memcpy(message, text, sizeof message);
    constant = NULL;
}

chr_status chr_fail(chr_status st, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_message("", format, args);
    va_end(args);
    return st;
}

chr_status chr_corrupt(const char *file, uint64_t offset, const char *format, ...)
{
    char    prefix[MESSAGE_MAX];
    va_list args;
    snprintf(prefix, sizeof prefix, "%s at offset %" PRIu64 ": ", file, offset);
    va_start(args, format);
    set_message(prefix, format, args);
    va_end(args);
    return CHR_CORRUPT;
}

chr_status chr_errno(int error, const char *what, const char *path)
{
    chr_status st = CHR_IO;
    if (error == ENOSPC || error == EDQUOT) st = CHR_NO_SPACE;
    if (error == ENOENT) st = CHR_NOT_FOUND;
    if (error == EEXIST) st = CHR_EXISTS;
    if (error == ENOMEM) st = CHR_NO_MEMORY;
    if (error == EROFS) st = CHR_READ_ONLY;
    return chr_fail(st, "cannot %s %s: %s", what, path, strerror(error));
}
