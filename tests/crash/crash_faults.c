/* The engine on a disk that fails.
 *
 * The seeded workload of workload.h runs on the simulated disk, whose call number k fails: with an I/O error, for want of space, with a
 * write that was cut short, or with a sync that drops what it should have written and reports success next time; only that call, or
 * all from there on. For every k. The store must not crash or hang, it must say that something is wrong before it stops, and when the
 * disk is well again it must open and have everything that was acknowledged.
 *
 * usage: crash_faults [SECONDS]     SEED= the first seed, N= faults to do instead of SECONDS
 * A failure prints the seed, the call and the fault; SEED= and CALL= run that one again. */
#include "tests/crash/workload.h"

enum { FAULTS = 4 };
static const struct {
    sim_fault   fault;
    const char *name;
} faults[FAULTS] = { { SIM_EIO, "an I/O error" },
                     { SIM_ENOSPC, "a full disk" },
                     { SIM_SHORT_WRITE, "a short write" },
                     { SIM_SYNC_LIES, "a sync that lies" } };

static void name_it(uint64_t seed, uint64_t call, int fault, bool persistent)
{
    snprintf(again, sizeof again, "SEED=%" PRIu64 " CALL=%" PRIu64 "   fault: %s%s", seed, call, faults[fault].name,
             persistent ? ", from there on" : "");
}

static void fail_at(const script *s, uint64_t seed, uint64_t call, int fault, bool persistent)
{
    env     *e = env_sim_new(seed);
    progress done;
    name_it(seed, call, fault, persistent);
    if (!e) failed("no memory", "env_sim_new");
    env_sim_fail_at(e, call, faults[fault].fault, persistent);
    run(e, s, seed, &done);
    env_sim_fail_at(e, 0, SIM_NONE, false);
    check_left(e, s, &done, seed);
    env_sim_free(e);
}

int main(int argc, char **argv)
{
    uint64_t      seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t      seed = number_of("SEED", 1), n = number_of("N", 0), only = number_of("CALL", 0), done = 0;
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
        uint64_t calls = env_sim_calls(e);
        env_sim_free(e);
        for (uint64_t call = only ? only : 1; call <= (only ? only : calls); call++)
            for (int k = 0; k < 2 * FAULTS; k++, done++) {
                if (!only && (n ? done >= n : time(NULL) >= end)) goto out;
                fail_at(&s, seed, call, k / 2, k % 2);
            }
        if (only) break;
    }
out:
    printf("%" PRIu64 " faults, nothing acknowledged was lost\n", done);
    return 0;
}
