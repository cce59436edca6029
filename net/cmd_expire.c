/* Commands on when keys expire. */
#include "net/command.h"

typedef struct conditions {
    bool nx, xx, gt, lt;
} conditions;

static bool parse_conditions(request *r, conditions *c)
{
    for (size_t i = 3; i < r->n; i++) {
        slice a = r->args[i];
        if (argument_is(a, "nx")) {
            c->nx = true;
        } else if (argument_is(a, "xx")) {
            c->xx = true;
        } else if (argument_is(a, "gt")) {
            c->gt = true;
        } else if (argument_is(a, "lt")) {
            c->lt = true;
        } else {
            reply_error(r, "ERR Unsupported option %.*s", (int)(a.len < 512 ? a.len : 512), a.data);
            return false;
        }
    }
    if (c->nx && (c->xx || c->gt || c->lt)) {
        reply_error(r, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (c->gt && c->lt) {
        reply_error(r, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A key without expiry counts as one that expires after all others. */
static bool conditions_hold(const conditions *c, uint64_t has, uint64_t wants)
{
    if (c->nx && has) return false;
    if (c->xx && !has) return false;
    if (c->gt && (!has || wants <= has)) return false;
    return !c->lt || !has || wants < has;
}

static void expire(request *r, int64_t unit_ms, int64_t base_ms)
{
    slice       key = r->args[1];
    conditions  c = { 0 };
    int64_t     when;
    object_meta meta;
    if (!parse_conditions(r, &c) || !argument_integer(r, r->args[2], &when)) return;
    if (__builtin_mul_overflow(when, unit_ms, &when) || __builtin_add_overflow(when, base_ms, &when)) {
        reply_error(r, "ERR invalid expire time in '%s' command", r->command->name);
        return;
    }
    txn *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = txn_stat(t, OBJECT_KEY, key, &meta);
    bool       done = st == CHR_OK && conditions_hold(&c, meta.expire_ms, when > 0 ? (uint64_t)when : 0);
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (done && when <= store_now_ms(r->store)) {
        st = txn_delete(t, OBJECT_KEY, key, NULL); /* it has expired already */
    } else if (done) {
        meta.expire_ms = (uint64_t)when;
        st = txn_set_meta(t, OBJECT_KEY, key, &meta);
    }
    if (request_end(r, t, st)) reply_integer(r, done);
}
void cmd_expire(request *r) { expire(r, 1000, store_now_ms(r->store)); }
void cmd_pexpire(request *r) { expire(r, 1, store_now_ms(r->store)); }
void cmd_expireat(request *r) { expire(r, 1000, 0); }
void cmd_pexpireat(request *r) { expire(r, 1, 0); }

static void reply_expiry(request *r, bool seconds, bool absolute)
{
    object_meta meta;
    uint64_t    seq = 0;
    chr_status  st = store_stat(r->store, NULL, OBJECT_KEY, r->args[1], &meta, &seq);
    request_saw(r, seq);
    if (st == CHR_NOT_FOUND) {
        reply_integer(r, -2);
    } else if (st != CHR_OK) {
        reply_status(r, st);
    } else if (!meta.expire_ms) {
        reply_integer(r, -1);
    } else {
        int64_t ms = (int64_t)meta.expire_ms - (absolute ? 0 : store_now_ms(r->store));
        if (ms < 0) ms = 0;
        reply_integer(r, seconds ? ms / 1000 + (ms % 1000 >= 500) : ms);
    }
}
void cmd_ttl(request *r) { reply_expiry(r, true, false); }
void cmd_pttl(request *r) { reply_expiry(r, false, false); }
void cmd_expiretime(request *r) { reply_expiry(r, true, true); }
void cmd_pexpiretime(request *r) { reply_expiry(r, false, true); }

void cmd_persist(request *r)
{
    slice       key = r->args[1];
    object_meta meta;
    txn        *t = request_begin(r, &key, 1);
    if (!t) return;
    chr_status st = txn_stat(t, OBJECT_KEY, key, &meta);
    bool       had = st == CHR_OK && meta.expire_ms;
    if (st == CHR_NOT_FOUND) st = CHR_OK;
    if (had) {
        meta.expire_ms = 0;
        st = txn_set_meta(t, OBJECT_KEY, key, &meta);
    }
    if (request_end(r, t, st)) reply_integer(r, had);
}
