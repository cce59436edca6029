/* A deterministic in-memory disk for tests. It models what POSIX allows: what was not synced may be lost, kept or
 * torn at any 512-byte sector, in any order; a created, renamed or removed name is durable only after its
 * directory is synced; a sync may fail once and drop the dirty data; the n-th call may fail. Same seed, same run.
 *
 * Threads: safe, under one lock; deterministic only as far as its callers' order of calls is. */
#ifndef CHR_ENV_SIM_H
#define CHR_ENV_SIM_H

#include "env/env.h"

env *env_sim_new(uint64_t seed);
void env_sim_free(env *e); /* every file closed before */

typedef enum sim_fault { SIM_NONE, SIM_EIO, SIM_ENOSPC, SIM_SHORT_WRITE, SIM_SYNC_LIES } sim_fault;
/* The call of number `call` (see env_sim_calls) fails so; with `persistent`, all mutating calls after it too.
 * SIM_SYNC_LIES: that sync fails, drops the dirty data, and the next one reports success. */
void env_sim_fail_at(env *e, uint64_t call, sim_fault fault, bool persistent);
/* Calls so far that change something or sync (open with ENV_CREATE, pwrite, sync, allocate, truncate, rename,
 * link, unlink, mkdir, rmdir, sync_dir). */
uint64_t env_sim_calls(env *e);
/* From call number `call` on nothing reaches the disk any more: each such call fails with CHR_IO. */
void env_sim_halt_at(env *e, uint64_t call);

/* What is on the disk after a power cut now: a new disk, to be freed apart. `loss` says how unkind. Locks are
 * released. The old disk stays usable. */
typedef enum sim_loss { SIM_LOSE_ALL, SIM_KEEP_ALL, SIM_LOSE_SOME, SIM_TEAR } sim_loss;
env *env_sim_crash(env *e, uint64_t seed, sim_loss loss);

/* For corruption tests. */
chr_status env_sim_flip(env *e, const char *path, uint64_t offset, uint8_t mask);
void       env_sim_set_space(env *e, uint64_t total_bytes); /* writing beyond it fails with CHR_NO_SPACE */
void       env_sim_set_wall(env *e, uint64_t wall_ns);      /* both clocks advance by 1 us a call */

#endif
