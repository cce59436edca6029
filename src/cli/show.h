/* What the program says, and bytes made fit to be seen. */
#ifndef CHR_CLI_SHOW_H
#define CHR_CLI_SHOW_H

#include "base/bytes.h"

/* Prints "chronos: ", the text and a newline to stderr, and returns EXIT_FAILED. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The length of the well-formed UTF-8 character that `s`, which is not empty, begins with, or 0. */
size_t utf8_length(slice s, uint32_t *code);
/* Control characters and what is not UTF-8 become \n, \t, \r or \x00, a backslash becomes two. */
bool append_escaped(buf *to, slice bytes);
/* "712 B", "4.0 KiB", "31.5 GiB". */
bool append_size(buf *to, double bytes);
/* "7", "0.4", "12.3k", "4.0M". */
bool append_count(buf *to, double count);
/* All of it to stdout, or a complaint: EXIT_DONE or EXIT_FAILED. */
int print_bytes(slice bytes);

#endif
