/* Unmounting, apart from the rest because <sys/mount.h> has a function called mount. */
#ifndef CHR_FS_DETACH_H
#define CHR_FS_DETACH_H

#include <stdbool.h>

/* Takes a file system off the tree of names now, and away once nobody uses it any more. */
bool detach_mount(const char *path);

#endif
