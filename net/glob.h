/* Redis's patterns: * ? [abc] [^a-z] and \ before a character that is meant as it is. */
#ifndef CHR_NET_GLOB_H
#define CHR_NET_GLOB_H

#include "base/bytes.h"

/* Takes time proportional to pattern times text at worst. */
bool glob_match(slice pattern, slice text);
/* What every match begins with. */
slice glob_prefix(slice pattern);

#endif
