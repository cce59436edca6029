/* What a mount on another machine sends as the changes of a transaction, done to a store.
 *
 * Beside crashes it looks for this: what was decoded is the same when it is encoded and decoded again; whatever was done, the store
 * can be read afterwards, every object with its attributes, and opened again. */
#include "env/sim.h"
#include "object/store.h"
#include "object/wire.h"

#include <stdlib.h>

#define DIR "/fuzz"
enum { OPS_MAX = 64, READ_MAX = 4096 };

#define REQUIRE(x)                                                                                                     \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static store *open_store(env *e)
{
    store_options o = { .env = e, .chr = chr_options_default(), .inline_work = true };
    store        *s;
    o.chr.sync = CHR_SYNC_NONE;
    o.chr.cache_bytes = 1 << 16;
    REQUIRE(store_open(DIR, &o, &s) == CHR_OK);
    return s;
}

static void require_same(const wire_op *op)
{
    buf     again = { 0 };
    wire_op other;
    REQUIRE(wire_put_op(&again, op));
    reader in = reader_of(buf_slice(&again));
    REQUIRE(wire_read_op(&in, &other) && reader_left(&in) == 0);
    REQUIRE(other.kind == op->kind && other.space == op->space && slice_equal(other.key, op->key) &&
            slice_equal(other.other, op->other) && slice_equal(other.data, op->data) && other.offset == op->offset &&
            other.len == op->len && other.has_meta == op->has_meta && other.meta.mode == op->meta.mode &&
            other.meta.ctime_ns == op->meta.ctime_ns);
    chr_buf_free(&again);
}

/* A transaction is one change, so that what fails takes nothing else along. */
static void apply(store *s, const wire_op *op)
{
    txn *t = txn_begin(s, NULL, 0);
    REQUIRE(t);
    if (wire_apply(t, op) == CHR_OK)
        (void)txn_commit(t, NULL);
    else
        txn_abort(t);
}

static void require_readable(store *s)
{
    static char part[READ_MAX];
    buf         xattrs = { 0 };
    for (int space = OBJECT_KEY; space <= OBJECT_DIR; space++) {
        store_iter *it;
        REQUIRE(store_iter_new(s, NULL, (object_space)space, chr_bytes(NULL, 0), chr_bytes(NULL, 0), &it) == CHR_OK);
        for (chr_iter_first(it); chr_iter_valid(it); chr_iter_next(it)) {
            object_meta meta;
            size_t      got = 0;
            slice       key = chr_iter_key(it);
            REQUIRE(store_stat(s, NULL, (object_space)space, key, &meta, NULL) == CHR_OK);
            REQUIRE(store_get_xattrs(s, NULL, (object_space)space, key, &xattrs) == CHR_OK);
            if (space == OBJECT_DIR) continue;
            REQUIRE(store_read(s, NULL, key, meta.size / 2, part, sizeof part, &got, NULL, NULL) == CHR_OK);
            uint64_t left = meta.size - meta.size / 2;
            REQUIRE(got == (left < sizeof part ? left : sizeof part));
        }
        REQUIRE(chr_iter_status(it) == CHR_OK);
        chr_iter_free(it);
    }
    chr_buf_free(&xattrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    env *e = env_sim_new(1);
    REQUIRE(e);
    store  *s = open_store(e);
    reader  in = reader_of(chr_bytes(bytes, size));
    wire_op op;
    for (int n = 0; n < OPS_MAX && reader_left(&in) && wire_read_op(&in, &op); n++) {
        require_same(&op);
        apply(s, &op);
    }
    require_readable(s);
    REQUIRE(chr_close(s) == CHR_OK);
    s = open_store(e);
    require_readable(s);
    REQUIRE(chr_close(s) == CHR_OK);
    env_sim_free(e);
    return 0;
}
