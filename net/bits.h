/* What the commands on bits share. Bit 0 is the highest of the first byte. */
#ifndef CHR_NET_BITS_H
#define CHR_NET_BITS_H

#include "net/request.h"

/* An offset in bits as an argument; with `width` not 0 it may be "#n", the n-th integer so wide. False: an error was written. */
bool bits_offset(request *r, slice arg, unsigned width, uint64_t *offset);

#endif
