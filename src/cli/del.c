#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/precheck.h"
#include "cli/show.h"

#include <stdlib.h>

/* Deletes all keys in one transaction; existed[i] tells of key i. */
static chr_status delete_keys(store *s, const slice *keys, size_t count, bool *existed)
{
    uint64_t   seq;
    chr_status st = CHR_OK;
    txn       *t = txn_begin(s, keys, count);
    if (!t) return chr_nomem();
    for (size_t i = 0; i < count && chr_ok(st); i++) st = txn_delete(t, OBJECT_KEY, keys[i], &existed[i]);
    if (!chr_ok(st)) {
        txn_abort(t);
        return st;
    }
    st = txn_commit(t, &seq);
    return chr_ok(st) ? store_wait(s, seq) : st;
}

int del_run(const command_values *values, size_t count, char **operand)
{
    int    status = EXIT_FAILED;
    slice *keys = calloc(count, sizeof *keys);
    bool  *existed = calloc(count, sizeof *existed);
    store *s;
    if (!keys || !existed) {
        complain("not enough memory for %zu keys", count);
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        keys[i] = chr_str(operand[i]);
        if (!offline_key_fits(keys[i])) goto done;
    }
    chr_status st = precheck_store(values->key.dir, false);
    if (!chr_ok(st)) {
        complain("%s", chr_message());
        goto done;
    }
    if (!offline_open(values->key.dir, true, "del KEY", &s)) goto done;
    st = delete_keys(s, keys, count, existed);
    status = chr_ok(st) ? EXIT_DONE : complain("%s", chr_message());
    for (size_t i = 0; i < count && chr_ok(st); i++) {
        if (existed[i]) continue;
        complain("there is no key '%s'", operand[i]);
        status = EXIT_NEGATIVE;
    }
    status = offline_close(s, status);
done:
    free(existed);
    free(keys);
    return status;
}
