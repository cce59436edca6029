/* Log segments that become blob files, so that big values need not be written a second time. Format: FORMAT.md, "Blob file".
 *
 * When a memtable is flushed whose log segment holds hardly anything but big values that still count, packed (batch_pack.h) or
 * such that packing would not make them smaller, the segment gets a second name, as a blob file, and the table refers to the values where they are. The log
 * keeps its own name for it until the edit that adds the table is in force; so recovery finds it under the one name or the
 * other, and what is left over of either is removed at the next opening.
 *
 * Threads: the writer notes where values lie; flush does the rest, in its thread. */
#ifndef CHR_ENGINE_BLOB_KEEP_H
#define CHR_ENGINE_BLOB_KEEP_H

#include "engine/blob_build.h"

enum { KEEP_SHARE = 900 };

/* Gives the segment of `m` its second name and makes it a result of `b`, if that is worth it. CHR_OK also if it is not, or
 * could not be done: then the values are copied. */
chr_status blob_keep_segment(struct db *d, const mem_ref *m, blob_build *b);
/* Once the edit is in force: the log has nothing more to do with the segments that have become blob files by it. */
void blob_kept(struct db *d, const version_edit *edit);

#endif
