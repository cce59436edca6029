/* Repairs that are interrupted.
 *
 * The seeded workload of workload.h leaves a store on the simulated disk. It is damaged: a byte is changed, a log is cut off, CURRENT or a
 * manifest is removed, or nothing at all. One copy is repaired undisturbed; the check then finds nothing, and each key has a value that
 * was once written to it. On other copies the repair is stopped by a power cut, or by a call that fails, and then done again: in the
 * end each key must have what it has after the undisturbed repair.
 *
 * usage: crash_repair [SECONDS]     SEED= the first seed, N= interruptions to do instead of SECONDS
 * A failure prints the seed, the damage and the interruption; SEED= and AT= run that one again. */
#include "tests/crash/workload.h"

enum { FILES_MAX = 100, INTERRUPTIONS = 40, NAME_MAX_BYTES = 64 };

typedef struct listing {
    char   names[FILES_MAX][NAME_MAX_BYTES];
    size_t n;
} listing;

static chr_status add_name(void *arg, const char *name)
{
    listing *l = arg;
    if (strcmp(name, "LOCK") != 0 && l->n < FILES_MAX) snprintf(l->names[l->n++], NAME_MAX_BYTES, "%s", name);
    return CHR_OK;
}

/* ---- damage ---- */

static char damage_text[160];

static void cut_off(env *e, const char *path, uint64_t bytes)
{
    env_file *f;
    if (env_open(e, path, ENV_READ_WRITE, &f) != CHR_OK || env_truncate(f, bytes) != CHR_OK || env_sync(f) != CHR_OK)
        failed("cannot cut a file off", path);
    env_close(f);
}

static void damage(env *e, rng *r)
{
    listing files = { .n = 0 };
    char    path[160];
    buf     contents = { 0 };
    if (env_list(e, store_dir, add_name, &files) != CHR_OK || files.n == 0) failed("cannot list", store_dir);
    const char *name = files.names[rnd(r, (uint32_t)files.n)];
    snprintf(path, sizeof path, "%s/%s", store_dir, name);
    uint32_t kind = rnd(r, 10);
    if (kind == 0) {
        snprintf(damage_text, sizeof damage_text, "none");
        return;
    }
    if (kind == 1) {
        snprintf(path, sizeof path, "%s/CURRENT", store_dir);
        if (env_unlink(e, path) != CHR_OK || env_sync_dir(e, store_dir) != CHR_OK) failed("cannot remove", path);
        snprintf(damage_text, sizeof damage_text, "CURRENT removed");
        return;
    }
    if (env_read_file(e, path, &contents) != CHR_OK) failed("cannot read", path);
    uint64_t at = contents.len ? rnd(r, (uint32_t)contents.len) : 0;
    if (kind <= 3) {
        cut_off(e, path, at);
        snprintf(damage_text, sizeof damage_text, "%s cut off at %" PRIu64, name, at);
    } else if (contents.len) {
        for (unsigned i = 0, n = 1 + rnd(r, 4); i < n; i++, at = rnd(r, (uint32_t)contents.len))
            if (env_sim_flip(e, path, at, (uint8_t)(1 + rnd(r, 255))) != CHR_OK) failed("cannot change", path);
        snprintf(damage_text, sizeof damage_text, "%s changed", name);
    }
    chr_buf_free(&contents);
}

/* ---- what is left ---- */

typedef struct left {
    bool there[KEYS];
    buf  value[KEYS];
} left;

static void left_free(left *l)
{
    for (unsigned i = 0; i < KEYS; i++) chr_buf_free(&l->value[i]);
}

static void look(env *e, uint64_t seed, left *l)
{
    db_options o = options_of(e, seed);
    db        *d;
    o.chr.create_if_missing = false;
    *l = (left){ 0 };
    if (db_open(&o, &d) != CHR_OK) failed("the repaired store does not open", chr_message());
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        key_name(key, i);
        chr_status st = db_get(d, NULL, chr_str(key), copy_value, &l->value[i], NULL);
        if (st != CHR_OK && st != CHR_NOT_FOUND) failed("a get from the repaired store fails", chr_message());
        l->there[i] = st == CHR_OK;
    }
    if (db_close(d) != CHR_OK) failed("the repaired store does not close", chr_message());
}

static void all_were_written(const left *l, const script *s)
{
    for (unsigned i = 0; i < KEYS; i++) {
        bool known = !l->there[i];
        for (int b = 0; b < BATCHES && !known; b++)
            for (int k = 0; k < s->n_ops[b] && !known; k++)
                known = s->ops[b][k].kind == KIND_PUT && s->ops[b][k].key == i &&
                        value_is(buf_slice(&l->value[i]), s->ops[b][k].value);
        if (!known) failed("a key has a value that nobody wrote", damage_text);
    }
}

static void same(const left *a, const left *b)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (a->there[i] != b->there[i] ||
            (a->there[i] && !slice_equal(buf_slice(&a->value[i]), buf_slice(&b->value[i])))) {
            char key[16];
            key_name(key, i);
            failed("the second repair has saved something else", key);
        }
}

static void ignore(void *arg, const char *sentence) { (void)arg, (void)sentence; }

static void show(void *arg, const char *sentence)
{
    (void)arg;
    printf("  %s\n", sentence);
}

static void repair_to_the_end(env *e, const char *when)
{
    if (db_repair(e, store_dir, ignore, NULL) != CHR_OK) failed(when, chr_message());
    if (db_check(e, store_dir, show, NULL) != CHR_OK) failed("the check finds something after a repair", when);
}

/* ---- interruptions ---- */

static void interrupt(env *damaged, uint64_t seed, uint64_t at, uint64_t calls, rng *r, const left *expected)
{
    static const sim_loss  losses[] = { SIM_LOSE_ALL, SIM_KEEP_ALL, SIM_LOSE_SOME, SIM_TEAR };
    static const sim_fault faults[] = { SIM_EIO, SIM_ENOSPC, SIM_SHORT_WRITE, SIM_SYNC_LIES };
    env                   *e = env_sim_crash(damaged, seed, SIM_KEEP_ALL);
    uint64_t               call = env_sim_calls(e) + 1 + rnd(r, (uint32_t)calls);
    uint32_t               kind = rnd(r, 8);
    left                   found;
    snprintf(again, sizeof again, "SEED=%" PRIu64 " AT=%" PRIu64 "   %.60s, call %" PRIu64 ", kind %u", seed, at,
             damage_text, call, kind);
    if (kind < 4)
        env_sim_halt_at(e, call);
    else
        env_sim_fail_at(e, call, faults[kind - 4], rnd(r, 2));
    chr_status first = db_repair(e, store_dir, ignore, NULL);
    env       *after = env_sim_crash(e, seed + at, kind < 4 ? losses[kind] : SIM_KEEP_ALL);
    env_sim_free(e);
    if (first == CHR_OK && kind >= 4 && db_check(after, store_dir, ignore, NULL) != CHR_OK)
        failed("a repair that says it is done leaves damage", chr_message());
    /* Whoever wants to know whether it is still needed asks the check. */
    if (db_check(after, store_dir, ignore, NULL) != CHR_OK) repair_to_the_end(after, "the second repair fails");
    look(after, seed, &found);
    same(expected, &found);
    left_free(&found);
    env_sim_free(after);
}

int main(int argc, char **argv)
{
    uint64_t      seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t      seed = number_of("SEED", 1), n = number_of("N", 0), only = number_of("AT", UINT64_MAX), done = 0;
    time_t        end = time(NULL) + (time_t)seconds;
    static script s;
    log_set_level(LOG_ERROR + 1); /* damage is what this is about */
    printf("first seed %" PRIu64 "\n", seed);
    for (; n ? done < n : time(NULL) < end; seed++) {
        rng      r = { seed ^ 7 };
        progress all;
        left     expected;
        env     *damaged = env_sim_new(seed);
        snprintf(again, sizeof again, "SEED=%" PRIu64, seed);
        write_script(&s, seed);
        run(damaged, &s, seed, &all);
        if (all.durable != BATCHES) failed("the workload fails", chr_message());
        damage(damaged, &r);
        snprintf(again, sizeof again, "SEED=%" PRIu64 "   %.60s", seed, damage_text);

        env     *calm = env_sim_crash(damaged, seed, SIM_KEEP_ALL);
        uint64_t calls = env_sim_calls(calm);
        repair_to_the_end(calm, "the repair fails");
        calls = env_sim_calls(calm) - calls;
        if (strcmp(damage_text, "none") == 0) check_left(calm, &s, &all, seed);
        look(calm, seed, &expected);
        all_were_written(&expected, &s);
        env_sim_free(calm);
        for (uint64_t i = 0; i < INTERRUPTIONS; i++, done++) {
            rng own = { seed * 1000 + i };
            if (only == UINT64_MAX || only == i) interrupt(damaged, seed, i, calls, &own, &expected);
        }
        left_free(&expected);
        env_sim_free(damaged);
        if (only != UINT64_MAX) break;
    }
    printf("%" PRIu64 " repairs interrupted: all that the undisturbed ones saved was saved\n", done);
    return 0;
}
