/* Where the memory of this process is, for INFO and MEMORY. Any thread; it takes some microseconds. */
#ifndef CHR_NET_MEMORY_H
#define CHR_NET_MEMORY_H

#include "base/bytes.h"

typedef struct memory_use {
    uint64_t allocated, held; /* of what malloc has: in use, and all of it */
    uint64_t resident, peak;  /* of the process */
    uint64_t machine;
} memory_use;
memory_use memory_now(void);
void       memory_human(uint64_t bytes, char text[32]); /* "1.50M", as Redis writes it */

#endif
