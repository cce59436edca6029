/* Steps of a transaction: many commands, each of which knows nothing of the others, become one batch. The transaction is found through
 * the thread, so that a command's code is the same inside and outside. */
#include "object/store_internal.h"

_Thread_local txn *txn_entered;

void txn_enter(txn *t)
{
    assert(!txn_entered);
    txn_entered = t;
}

void txn_leave(txn *t)
{
    assert(txn_entered == t);
    (void)t;
    txn_entered = NULL;
}

txn *txn_step_begin(txn *t, const slice *keys, size_t n)
{
    bool locked = n || t->stripe_count == STRIPES;
    for (size_t i = 0; i < n && locked; i++) locked = txn_holds(t, keys[i]);
    if (!locked) {
        chr_fail(CHR_INVALID, "a step of a transaction needs a key that the transaction has not locked");
        return NULL;
    }
    staging_mark(&t->changes);
    t->step.big_changes = t->big_changes;
    t->step.ahead_count = t->ahead_count;
    t->step.ranges_len = t->ranges.len;
    return t;
}

void txn_step_abort(txn *t)
{
    while (t->ahead_count > t->step.ahead_count) big_discard(t->s, t->ahead[--t->ahead_count]);
    staging_rollback(&t->changes);
    t->big_changes = t->step.big_changes;
    t->ranges.len = t->step.ranges_len;
    t->failed = CHR_OK;
    t->failure.len = 0;
}

chr_status txn_step_commit(txn *t, uint64_t *seq)
{
    chr_status st = t->failed;
    if (!chr_ok(st)) {
        if (t->failure.len) chr_fail(st, "%s", t->failure.data);
        txn_step_abort(t); /* big_discard keeps the message */
        return st;
    }
    if (seq) *seq = t->seen;
    return CHR_OK;
}
