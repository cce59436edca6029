/* The engine against power cuts at every call that reaches the disk.
 *
 * A seeded workload (workload.h) runs on the simulated disk, which stops dead at call k; then the power is cut in one of four ways, and
 * what is left is opened again and checked. For every k. Some recoveries are cut off themselves, and recovered again.
 *
 * usage: crash_engine [SECONDS]     SEED= the first seed, N= crashes to do instead of SECONDS
 * A failure prints the seed, the call and the kind of loss; SEED= and CALL= run that one again. */
#include "tests/crash/workload.h"

enum { LOSSES = 4, DOUBLE_EVERY = 7 };
static const char *const loss_names[LOSSES] = { "lose all", "keep all", "lose some", "tear" };

static void name_it(uint64_t seed, uint64_t call, int loss, bool twice)
{
    snprintf(again, sizeof again, "SEED=%" PRIu64 " CALL=%" PRIu64 "   loss: %s%s", seed, call, loss_names[loss],
             twice ? ", and cut off again during recovery" : "");
}

static uint64_t crash_at(const script *s, uint64_t seed, uint64_t call, int loss, bool twice)
{
    env     *e = env_sim_new(seed);
    progress done;
    name_it(seed, call, loss, twice);
    if (!e) failed("no memory", "env_sim_new");
    env_sim_halt_at(e, call);
    run(e, s, seed, &done);
    env *left = env_sim_crash(e, seed * 31 + call, (sim_loss)loss);
    if (!left) failed("no memory", "env_sim_crash");
    env_sim_free(e);
    uint64_t crashes = 1;
    if (twice) { /* the power fails again while it recovers */
        db_options o = options_of(left, seed);
        db        *d;
        env_sim_halt_at(left, env_sim_calls(left) + 1 + (call * 7 + seed) % 25);
        if (db_open(&o, &d) == CHR_OK) (void)db_close(d);
        env *second = env_sim_crash(left, seed * 17 + call, (sim_loss)((loss + 1) % LOSSES));
        if (!second) failed("no memory", "env_sim_crash");
        env_sim_free(left);
        left = second;
        crashes++;
    }
    check_left(left, s, &done, seed);
    env_sim_free(left);
    return crashes;
}

int main(int argc, char **argv)
{
    uint64_t      seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t      seed = number_of("SEED", 1), n = number_of("N", 0), only = number_of("CALL", 0), crashes = 0;
    time_t        end = time(NULL) + (time_t)seconds;
    static script s;
    log_set_level(LOG_ERROR + 1); /* failures are what this is about */
    printf("first seed %" PRIu64 "\n", seed);
    for (;; seed++) {
        write_script(&s, seed);
        env     *e = env_sim_new(seed);
        progress all;
        name_it(seed, 0, 0, false);
        if (!e) failed("no memory", "env_sim_new");
        run(e, &s, seed, &all);
        if (all.issued != BATCHES || all.durable != BATCHES)
            failed("the workload fails without a crash", chr_message());
        check_left(e, &s, &all, seed);
        uint64_t calls = env_sim_calls(e);
        env_sim_free(e);
        for (uint64_t call = only ? only : 1; call <= (only ? only : calls); call++)
            for (int loss = 0; loss < LOSSES; loss++) {
                if (!only && (n ? crashes >= n : time(NULL) >= end)) goto out;
                crashes += crash_at(&s, seed, call, loss, (call + (uint64_t)loss) % DOUBLE_EVERY == 0);
            }
        if (only) break;
    }
out:
    printf("%" PRIu64 " crashes, all recovered\n", crashes);
    return 0;
}
