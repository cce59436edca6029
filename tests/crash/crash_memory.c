/* The engine without memory.
 *
 * The seeded workload of workload.h runs on the real file system (in memory, if there is /dev/shm), and the n-th allocation that the
 * library asks for is refused: that one only, or all from there on. For every n. The store must not crash or hang, and when there is
 * memory again it must open and have everything that was acknowledged.
 *
 * Linked so that malloc, calloc, realloc, aligned_alloc and posix_memalign of the library come here first.
 *
 * usage: crash_memory [SECONDS]     SEED= the first seed, N= refusals to do instead of SECONDS
 * A failure prints the seed and the allocation; SEED= and CALL= run that one again. */
#include "tests/crash/workload.h"

#include <unistd.h>

static long asked, refuse_at; /* 0: nothing is refused */
static bool refuse_all;       /* from there on */

static bool refused(void)
{
    asked++;
    return refuse_at > 0 && (asked == refuse_at || (refuse_all && asked > refuse_at));
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
int   __real_posix_memalign(void **p, size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int   __wrap_posix_memalign(void **p, size_t align, size_t bytes);

void *__wrap_malloc(size_t bytes) { return refused() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t n, size_t bytes) { return refused() ? NULL : __real_calloc(n, bytes); }
void *__wrap_realloc(void *p, size_t bytes) { return refused() ? NULL : __real_realloc(p, bytes); }
void *__wrap_aligned_alloc(size_t align, size_t bytes) { return refused() ? NULL : __real_aligned_alloc(align, bytes); }
int   __wrap_posix_memalign(void **p, size_t align, size_t bytes)
{
    return refused() ? 12 : __real_posix_memalign(p, align, bytes); /* ENOMEM */
}

static char base[48];

static void remove_stores(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'/*", base);
    if (system(command) != 0) failed("cannot remove", base); // NOLINT(cert-env33-c): the name is our own
}

static void refuse(const script *s, uint64_t seed, long at, bool all)
{
    progress done;
    snprintf(again, sizeof again, "SEED=%" PRIu64 " CALL=%ld   %s", seed, at,
             all ? "all allocations from there on" : "");
    asked = 0;
    refuse_at = at;
    refuse_all = all;
    run(env_posix(), s, seed, &done);
    refuse_at = 0;
    check_left(env_posix(), s, &done, seed);
    remove_stores();
}

int main(int argc, char **argv)
{
    uint64_t      seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t      seed = number_of("SEED", 1), n = number_of("N", 0), done = 0;
    long          only = (long)number_of("CALL", 0);
    time_t        end = time(NULL) + (time_t)seconds;
    static script s;
    const char   *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(base, sizeof base, "%s/chronos-crash-XXXXXX", tmp);
    if (!mkdtemp(base)) failed("cannot make a directory", base);
    snprintf(store_dir, sizeof store_dir, "%s/store", base);
    log_set_level(LOG_ERROR + 1); /* failures are what this is about */
    printf("first seed %" PRIu64 "\n", seed);
    for (;; seed++) {
        progress all;
        write_script(&s, seed);
        snprintf(again, sizeof again, "SEED=%" PRIu64, seed);
        asked = 0;
        run(env_posix(), &s, seed, &all);
        long allocations = asked;
        if (all.durable != BATCHES) failed("the workload fails without a refusal", chr_message());
        remove_stores();
        for (long at = only ? only : 1; at <= (only ? only : allocations); at++)
            for (int k = 0; k < 2; k++, done++) {
                if (!only && (n ? done >= n : time(NULL) >= end)) goto out;
                refuse(&s, seed, at, k == 1);
            }
        if (only) break;
    }
out:
    remove_stores();
    rmdir(base);
    printf("%" PRIu64 " allocations refused, nothing acknowledged was lost\n", done);
    return 0;
}
