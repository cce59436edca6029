/* A program that shows what is longer than the screen. */
#ifndef CHR_CLI_PAGER_H
#define CHR_CLI_PAGER_H

#include "base/bytes.h"

/* Shows the text with $PAGER, or less, if it does not fit on the screen. False: it was not shown. */
bool pager_show(slice text);

#endif
