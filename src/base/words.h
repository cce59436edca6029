/* Which word was meant. Any thread. */
#ifndef CHR_BASE_WORDS_H
#define CHR_BASE_WORDS_H

#include <stddef.h>

/* The word among `count` words that `wrong` was most likely meant to be, or NULL. `stride` is the distance in bytes from one
 * const char * to the next, so that a table of structs can be searched. */
const char *nearest_word(const char *wrong, const char *const *words, size_t count, size_t stride);

#endif
