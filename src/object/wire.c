#include "object/wire.h"

#include "object/subtree.h"

enum { META_ATTRS = 1, META_XATTRS = 2 };

bool wire_put_meta(buf *to, const object_meta *m)
{
    return buf_append_byte(to, (uint8_t)((m->has_attrs ? META_ATTRS : 0) | (m->has_xattrs ? META_XATTRS : 0))) &&
           buf_append_varint(to, m->size) && buf_append_varint(to, m->expire_ms) && buf_append_varint(to, m->mode) &&
           buf_append_varint(to, m->uid) && buf_append_varint(to, m->gid) &&
           buf_append_u64(to, (uint64_t)m->atime_ns) && buf_append_u64(to, (uint64_t)m->mtime_ns) &&
           buf_append_u64(to, (uint64_t)m->ctime_ns);
}

object_meta wire_read_meta(reader *r)
{
    object_meta m = { 0 };
    uint8_t     flags = read_u8(r);
    m.has_attrs = flags & META_ATTRS;
    m.has_xattrs = flags & META_XATTRS;
    m.size = read_varint(r);
    m.expire_ms = read_varint(r);
    m.mode = read_varint32(r);
    m.uid = read_varint32(r);
    m.gid = read_varint32(r);
    m.atime_ns = (int64_t)read_u64(r);
    m.mtime_ns = (int64_t)read_u64(r);
    m.ctime_ns = (int64_t)read_u64(r);
    if (flags & ~(META_ATTRS | META_XATTRS) || m.size > OBJECT_SIZE_MAX) r->failed = true;
    return m;
}

bool wire_put_op(buf *to, const wire_op *op)
{
    return buf_append_byte(to, (uint8_t)op->kind) && buf_append_byte(to, (uint8_t)op->space) &&
           buf_append_sized(to, op->key) && buf_append_sized(to, op->other) && buf_append_sized(to, op->data) &&
           buf_append_varint(to, op->offset) && buf_append_varint(to, op->len) && buf_append_byte(to, op->has_meta) &&
           (!op->has_meta || wire_put_meta(to, &op->meta));
}

static bool needs_meta(wire_kind kind) { return kind == WIRE_META || kind == WIRE_STAMP || kind == WIRE_KEEP_DIR; }

bool wire_read_op(reader *r, wire_op *op)
{
    uint8_t kind = read_u8(r), space = read_u8(r);
    *op = (wire_op){ .kind = (wire_kind)kind, .space = (object_space)space };
    op->key = read_sized(r);
    op->other = read_sized(r);
    op->data = read_sized(r);
    op->offset = read_varint(r);
    op->len = read_varint(r);
    op->has_meta = read_u8(r) == 1;
    if (op->has_meta) op->meta = wire_read_meta(r);
    return !r->failed && kind >= WIRE_PUT && kind < WIRE_KINDS && space <= OBJECT_DIR &&
           op->offset <= OBJECT_SIZE_MAX && op->len <= OBJECT_SIZE_MAX && (op->has_meta || !needs_meta(op->kind)) &&
           op->key.len <= CHR_KEY_MAX + 1 && op->other.len <= CHR_KEY_MAX + 1;
}

static bool is_among(slice key, const slice *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_equal(keys[i], key)) return true;
    return false;
}

bool wire_op_is_within(const wire_op *op, const slice *keys, size_t n)
{
    if (n == 0) return true;
    switch (op->kind) {
    case WIRE_MOVE_BELOW:
    case WIRE_SWAP_BELOW:
    case WIRE_DELETE_RANGE: return false;
    case WIRE_MOVE:
    case WIRE_MOVE_IF_THERE:
    case WIRE_SWAP: return is_among(op->key, keys, n) && is_among(op->other, keys, n);
    default: return is_among(op->key, keys, n);
    }
}

chr_status wire_apply(txn *t, const wire_op *op)
{
    chr_status st = CHR_OK;
    switch (op->kind) {
    case WIRE_PUT: return txn_put(t, op->key, op->has_meta ? &op->meta : NULL, op->data);
    case WIRE_DELETE: return txn_delete(t, op->space, op->key, NULL);
    case WIRE_WRITE: return txn_write(t, op->key, op->offset, op->data);
    case WIRE_TRUNCATE: return txn_truncate(t, op->key, op->len);
    case WIRE_PUNCH: return txn_punch(t, op->key, op->offset, op->len);
    case WIRE_META: return txn_set_meta(t, op->space, op->key, &op->meta);
    case WIRE_XATTRS: return txn_set_xattrs(t, op->space, op->key, op->data);
    case WIRE_MOVE: return txn_move(t, op->space, op->key, op->other);
    case WIRE_MOVE_IF_THERE: st = txn_move(t, op->space, op->key, op->other); return st == CHR_NOT_FOUND ? CHR_OK : st;
    case WIRE_SWAP: return txn_swap(t, op->space, op->key, op->other);
    case WIRE_MOVE_BELOW: return txn_move_below(t, op->key, op->other);
    case WIRE_SWAP_BELOW: return txn_swap_below(t, op->key, op->other);
    case WIRE_STAMP: return txn_stamp(t, op->space, op->key, op->meta.ctime_ns);
    case WIRE_KEEP_DIR:
        st = txn_stat(t, OBJECT_DIR, op->key, NULL);
        return st == CHR_NOT_FOUND ? txn_set_meta(t, OBJECT_DIR, op->key, &op->meta) : st;
    case WIRE_DELETE_RANGE: return txn_delete_range(t, op->space, op->key, op->other);
    case WIRE_KINDS: break;
    }
    return chr_fail(CHR_INVALID, "an unknown kind of change");
}
