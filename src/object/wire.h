/* What a server and a mount on another machine say to each other, inside of requests and replies of RESP (PROTOCOL.md, "Mounts"):
 * attributes, and the changes of a transaction. Decoding is safe on any bytes. */
#ifndef CHR_OBJECT_WIRE_H
#define CHR_OBJECT_WIRE_H

#include "object/store.h"

enum {
    WIRE_VERSION = 1,
    WIRE_TOKEN_BYTES = 16,    /* by which a mount is known */
    WIRE_READ_MAX = 16 << 20, /* bytes asked for at once */
    WIRE_PAGE_BYTES = 256 << 10,
    WIRE_LOOKUPS_MAX = 512,
    WIRE_OPS_MAX = 1 << 16,
};

/* The first byte of a reply. Those of chr_status have a message behind them. */
enum {
    WIRE_CONFLICT = 100, /* something that the transaction had read has changed: nothing was done */
    WIRE_UNKNOWN = 101,  /* the server does not know the mount, or not any more */
};

/* What LOOKUP asks, and finds. */
enum { WIRE_FILE = 1, WIRE_DIR = 2, WIRE_KEYS_BELOW = 4, WIRE_DIRS_BELOW = 8 };

bool        wire_put_meta(buf *to, const object_meta *meta);
object_meta wire_read_meta(reader *r);

typedef enum wire_kind {
    WIRE_PUT = 1,
    WIRE_DELETE,
    WIRE_WRITE,
    WIRE_TRUNCATE,
    WIRE_PUNCH,
    WIRE_META,
    WIRE_XATTRS,
    WIRE_MOVE,
    WIRE_MOVE_IF_THERE,
    WIRE_SWAP,
    WIRE_MOVE_BELOW,
    WIRE_SWAP_BELOW,
    WIRE_STAMP,
    WIRE_KEEP_DIR,
    WIRE_DELETE_RANGE,
    WIRE_KINDS,
} wire_kind;

/* One change; what a kind does not need is empty. */
typedef struct wire_op {
    wire_kind    kind;
    object_space space;
    slice        key, other, data;
    uint64_t     offset, len;
    bool         has_meta;
    object_meta  meta; /* of a stamp: its ctime */
} wire_op;
bool wire_put_op(buf *to, const wire_op *op);
bool wire_read_op(reader *r, wire_op *op); /* false: malformed */
/* Whether the op keeps to what the transaction has locked: `keys`, or everything (n = 0). */
bool       wire_op_is_within(const wire_op *op, const slice *keys, size_t n);
chr_status wire_apply(txn *t, const wire_op *op);

/* The version of an object: 0 if there is none. */
static inline uint64_t wire_version(chr_status st, uint64_t seq) { return st == CHR_OK ? seq + 1 : 0; }

#endif
