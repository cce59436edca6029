/* What lies in .chronos at the root of the mount. */
#include "fs/fs.h"

bool control_text(mount *m, const node *n, buf *text)
{
    (void)n; /* there is one so far: stats */
    return chr_property(m->store, "stats", text) == CHR_OK;
}
