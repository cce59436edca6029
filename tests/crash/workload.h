/* What the crash tests share: a seeded workload for the engine on the simulated disk (batches of puts, deletes and range deletes, syncs,
 * flushes, compactions, snapshots with and without names, checkpoints, reopenings), and a check of what is left of it. Each batch also writes its own number
 * under one key, so the store itself says which batches it has: they must be a prefix of all that were issued, at least
 * as long as what was acknowledged, and every get and both directions of iteration must show exactly that prefix; and each named
 * snapshot exactly what there was when it was made. */
#ifndef CHR_CRASH_WORKLOAD_H
#define CHR_CRASH_WORKLOAD_H

#include "base/log.h"
#include "engine/db.h"
#include "env/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEYS = 60, BATCHES = 90, OPS_MAX = 5 };

typedef struct rng {
    uint64_t s;
} rng;
static uint32_t rnd(rng *r, uint32_t below)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->s >> 33) % below;
}

static char store_dir[64] = "/store";
static char again[160]; /* how to run this one again; for the message */

static void failed(const char *what, const char *detail)
{
    printf("FAILED: %s (%s)\n  again with: %s\n", what, detail, again);
    exit(1);
}

/* ---- the model: what the first n batches make of the keys ---- */

typedef struct op {
    uint8_t  kind; /* entry_kind */
    uint8_t  key, end;
    uint32_t value;
} op;
typedef struct script {
    op      ops[BATCHES][OPS_MAX];
    uint8_t n_ops[BATCHES];
    uint8_t then[BATCHES]; /* what happens after the batch */
} script;

static void key_name(char to[16], unsigned i) { snprintf(to, 16, "key%03u", i); }

static size_t value_text(char *to, uint32_t v)
{
    size_t len = 3 + v % 300;
    for (size_t i = 0; i < len; i++) to[i] = (char)('a' + (v + i * (v % 7)) % 26);
    return len;
}

static void write_script(script *s, uint64_t seed)
{
    rng r = { seed };
    for (int b = 0; b < BATCHES; b++) {
        s->n_ops[b] = (uint8_t)(1 + rnd(&r, OPS_MAX));
        for (int i = 0; i < s->n_ops[b]; i++) {
            uint32_t kind = rnd(&r, 20);
            op      *o = &s->ops[b][i];
            *o = (op){ .kind = kind < 14   ? KIND_PUT
                               : kind < 19 ? KIND_DELETE
                                           : KIND_DELETE_RANGE,
                       .key = (uint8_t)rnd(&r, KEYS) };
            o->end = (uint8_t)(o->key + 1 + rnd(&r, 12));
            o->value = rnd(&r, 1u << 30);
        }
        s->then[b] = (uint8_t)rnd(&r, 40);
    }
}

typedef struct model {
    bool     there[KEYS];
    uint32_t value[KEYS];
} model;
static void model_of(model *m, const script *s, int batches)
{
    memset(m, 0, sizeof *m);
    for (int b = 0; b < batches; b++)
        for (int i = 0; i < s->n_ops[b]; i++) {
            const op *o = &s->ops[b][i];
            for (int k = o->key; k < (o->kind == KIND_DELETE_RANGE ? o->end : o->key + 1) && k < KEYS; k++) {
                m->there[k] = o->kind == KIND_PUT;
                m->value[k] = o->value;
            }
        }
}

/* ---- running it ---- */

static db_options options_of(env *e, uint64_t seed)
{
    rng        r = { seed ^ 99 };
    db_options o = { .env = e, .dir = store_dir, .chr = chr_options_default(), .inline_work = true };
    o.chr.memtable_bytes = 2048 + rnd(&r, 8192);
    o.chr.block_bytes = 256 + rnd(&r, 512);
    o.chr.cache_bytes = rnd(&r, 2) ? 0 : 1 << 16;
    o.chr.sync = (chr_sync_mode)rnd(&r, 3);
    o.chr.compression = (chr_compression)rnd(&r, 3);
    o.chr.filter_bits = rnd(&r, 2) * 10;
    o.l1_bytes = 4096 + rnd(&r, 8192);
    o.table_bytes = 2048 + rnd(&r, 4096);
    o.keep_share = 1 + rnd(&r, 900);
    o.chr.blob_bytes = seed % 3 ? 1 + rnd(&r, 100) : 0; /* of values of 3 to 302 */
    return o;
}

typedef enum named_state { NONE, KEEPING, KEPT, DROPPING, DROPPED } named_state;

typedef struct progress {
    int     issued, durable; /* batches */
    uint8_t named[BATCHES];  /* named_state of the snapshot made after that batch */
} progress;

static void snapshot_name(char to[16], int b) { snprintf(to, 16, "after %u", (unsigned)(b + 1) % 1000); }

static chr_status keep_snapshot(db *d, progress *done, int b)
{
    char name[16];
    snapshot_name(name, b);
    done->named[b] = KEEPING;
    chr_status st = db_snapshot_keep(d, chr_str(name));
    if (st == CHR_OK) {
        done->named[b] = KEPT;
        done->durable = b + 1;
    }
    return st;
}

/* The oldest. */
static chr_status drop_snapshot(db *d, progress *done)
{
    char name[16];
    int  b = 0;
    while (b < BATCHES && done->named[b] != KEPT) b++;
    if (b == BATCHES) return CHR_OK;
    snapshot_name(name, b);
    done->named[b] = DROPPING;
    chr_status st = db_snapshot_drop(d, chr_str(name));
    if (st == CHR_OK) done->named[b] = DROPPED;
    return st;
}

/* Runs until the script ends or the disk stops. */
static void run(env *e, const script *s, uint64_t seed, progress *done)
{
    db_options   o = options_of(e, seed);
    db          *d;
    db_snapshot *snapshot = NULL;
    batch        b = { 0 };
    int          applied = 0;
    *done = (progress){ 0 };
    if (db_open(&o, &d) != CHR_OK) return;
    for (int i = 0; i < BATCHES; i++) {
        char     key[16], end[16], value[400], number[16];
        uint64_t seq;
        batch_clear(&b);
        snprintf(number, sizeof number, "%d", i + 1);
        bool built = batch_put(&b, chr_str("batches"), chr_str(number)) == CHR_OK;
        for (int k = 0; k < s->n_ops[i]; k++) {
            const op *x = &s->ops[i][k];
            key_name(key, x->key);
            key_name(end, x->end);
            if (x->kind == KIND_PUT)
                built = built && batch_put(&b, chr_str(key), chr_bytes(value, value_text(value, x->value))) == CHR_OK;
            if (x->kind == KIND_DELETE) built = built && batch_delete(&b, chr_str(key)) == CHR_OK;
            if (x->kind == KIND_DELETE_RANGE)
                built = built && batch_delete_range(&b, chr_str(key), chr_str(end)) == CHR_OK;
        }
        if (!built) break;
        done->issued = i + 1; /* from here on it may be found */
        if (db_apply(d, &b, &seq) != CHR_OK) break;
        applied = i + 1;
        chr_status st = CHR_OK;
        switch (s->then[i]) {
        case 0: st = db_flush(d); break;
        case 1: st = db_compact(d, chr_bytes(NULL, 0), chr_bytes(NULL, 0)); break;
        case 2:
            db_snapshot_free(d, snapshot);
            st = db_snapshot_new(d, &snapshot);
            break;
        case 3:
        case 4:
            db_snapshot_free(d, snapshot);
            snapshot = NULL;
            st = db_close(d);
            if (st == CHR_OK) done->durable = i + 1;
            if (st == CHR_OK) st = db_open(&o, &d);
            if (st != CHR_OK) {
                batch_free(&b);
                return;
            }
            break;
        case 5: {
            char dir[96];
            snprintf(dir, sizeof dir, "%s-checkpoint%d", store_dir, i);
            st = db_checkpoint(d, dir);
            break;
        }
        case 6:
        case 7:
        case 8: st = keep_snapshot(d, done, i); break;
        case 9:
        case 10: st = drop_snapshot(d, done); break;
        default: break;
        }
        if (st != CHR_OK) break;
        if (s->then[i] % 3 == 0)
            st = db_wait_durable(d, seq);
        else if (o.chr.sync == CHR_SYNC_ALWAYS)
            st = db_wait(d, seq);
        else
            continue;
        if (st != CHR_OK) break;
        done->durable = i + 1;
    }
    db_snapshot_free(d, snapshot);
    if (db_close(d) == CHR_OK) done->durable = applied;
    batch_free(&b);
}

/* ---- looking at what is left ---- */

static void copy_value(void *arg, slice v) { (void)buf_set(arg, v); }

static bool value_is(slice v, uint32_t expected)
{
    char text[400];
    return slice_equal(v, chr_bytes(text, value_text(text, expected)));
}

/* Gets and both directions of iteration. */
static void check_shows(db *d, const db_snapshot *at, const model *m)
{
    db_iter *it;
    buf      value = { 0 };
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        key_name(key, i);
        chr_status st = db_get(d, at, chr_str(key), copy_value, &value, NULL);
        if (st != CHR_OK && st != CHR_NOT_FOUND) failed("a get fails", chr_message());
        if ((st == CHR_OK) != m->there[i]) failed(m->there[i] ? "a key is missing" : "a deleted key is back", key);
        if (st == CHR_OK && !value_is(buf_slice(&value), m->value[i])) failed("a value is wrong", key);
    }
    if (db_iter_new(d, at, chr_str("key"), chr_bytes(NULL, 0), &it) != CHR_OK) failed("no iterator", chr_message());
    db_iter_first(it);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        if (!m->there[i]) continue;
        key_name(key, i);
        if (!db_iter_valid(it) || !slice_equal(db_iter_key(it), chr_str(key)))
            failed("iterating disagrees with get", key);
        slice shown;
        if (db_iter_value(it, &shown) != CHR_OK) failed("iterating fails", chr_message());
        if (!value_is(shown, m->value[i])) failed("iterating shows a wrong value", key);
        db_iter_next(it);
    }
    if (db_iter_valid(it)) failed("iterating shows more than there is", "forward");
    db_iter_last(it);
    for (unsigned i = KEYS; i-- > 0;) {
        char key[16];
        if (!m->there[i]) continue;
        key_name(key, i);
        if (!db_iter_valid(it) || !slice_equal(db_iter_key(it), chr_str(key)))
            failed("iterating backward disagrees", key);
        db_iter_prev(it);
    }
    db_iter_free(it);
    chr_buf_free(&value);
}

static void check_named(db *d, const script *s, const progress *done)
{
    for (int b = 0; b < BATCHES; b++) {
        char         name[16];
        uint64_t     wall_ns;
        db_snapshot *at;
        model        m;
        snapshot_name(name, b);
        chr_status st = db_snapshot_open(d, chr_str(name), &at, &wall_ns);
        if (st != CHR_OK && st != CHR_NOT_FOUND) failed("a snapshot does not open", chr_message());
        if (st == CHR_NOT_FOUND && done->named[b] == KEPT) failed("a named snapshot is lost", name);
        if (st == CHR_NOT_FOUND) continue;
        if (done->named[b] == NONE || done->named[b] == DROPPED) failed("there is a snapshot that nobody kept", name);
        model_of(&m, s, b + 1);
        check_shows(d, at, &m);
        db_snapshot_free(d, at);
    }
}

__attribute__((unused)) static void check_left(env *e, const script *s, const progress *done, uint64_t seed)
{
    db_options o = options_of(e, seed);
    db        *d;
    buf        value = { 0 };
    model      m;
    if (db_open(&o, &d) != CHR_OK) failed("the store does not open", chr_message());
    chr_status st = db_get(d, NULL, chr_str("batches"), copy_value, &value, NULL);
    if (st != CHR_OK && st != CHR_NOT_FOUND) failed("a get fails", chr_message());
    int have = st == CHR_OK && buf_append_byte(&value, 0) ? atoi(value.data) : 0;
    if (have < done->durable) failed("acknowledged batches are lost", value.data ? value.data : "none is left");
    if (have > done->issued) failed("there are batches that nobody wrote", value.data);
    model_of(&m, s, have);
    check_shows(d, NULL, &m);
    check_named(d, s, done);
    if (db_close(d) != CHR_OK) failed("the store does not close", chr_message());
    chr_buf_free(&value);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

#endif
