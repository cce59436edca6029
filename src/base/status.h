/* Makes a status and its message. The message lives in the calling thread, so a status is one int, costs
 * nothing when all is well, and can be returned from anywhere. A thread that hands a failure to another one
 * copies chr_message() and gives it to chr_fail there. */
#ifndef CHR_BASE_STATUS_H
#define CHR_BASE_STATUS_H

#include "chronos.h"

static inline bool chr_ok(chr_status st) { return __builtin_expect(st == CHR_OK, 1); }

/* Sets the thread's message and returns `st`. */
chr_status chr_fail(chr_status st, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* The same for a constant text, kept by reference: costs next to nothing. */
chr_status chr_say(chr_status st, const char *text);
/* CHR_CORRUPT, with "FILE at offset N: " before the text. */
chr_status chr_corrupt(const char *file, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* From an errno: CHR_NO_SPACE for ENOSPC and EDQUOT, CHR_NOT_FOUND for ENOENT, CHR_NO_MEMORY for ENOMEM, CHR_EXISTS for EEXIST,
 * CHR_READ_ONLY for EROFS, else CHR_IO. The message is "cannot WHAT PATH: strerror". */
chr_status chr_errno(int error, const char *what, const char *path) __attribute__((cold));
/* Inline, so that those who analyse callers see that it never is CHR_OK. */
static inline chr_status chr_nomem(void)
{
    (void)chr_say(CHR_NO_MEMORY, "out of memory");
    return CHR_NO_MEMORY;
}

#endif
