/* Every byte of every file of a small store, changed in turn.
 *
 * The seeded workload of workload.h leaves a store with tables, a log and a manifest on the simulated disk. One byte of one file of a copy
 * is changed, by one bit or by all; then the copy is opened and everything is read. Each answer must be right, or an error
 * that names a file and an offset; where there is an error, the check of a closed store must find it too.
 *
 * usage: crash_corruption [SECONDS]     SEED= the first seed, N= changes to do instead of SECONDS
 * A failure prints the seed, the file and the offset; SEED=, FILE= and OFFSET= run that one again. */
#include "tests/crash/workload.h"

enum { FILES_MAX = 200 };

typedef struct victims {
    char     names[FILES_MAX][64];
    uint64_t bytes[FILES_MAX];
    size_t   n;
} victims;

static chr_status add_victim(void *arg, const char *name)
{
    victims *v = arg;
    if (strcmp(name, "LOCK") != 0 && v->n < FILES_MAX) snprintf(v->names[v->n++], sizeof v->names[0], "%s", name);
    return CHR_OK;
}

/* Whether a status is damage that is told properly. */
static bool is_told(chr_status st)
{
    if (st != CHR_CORRUPT) return false;
    if (!strstr(chr_message(), store_dir) || !strstr(chr_message(), " at offset "))
        failed("the damage is told without file or offset", chr_message());
    return true;
}

/* Reads everything. True: some answer was an error. */
static bool read_all(db *d, const model *m)
{
    bool     told = false;
    buf      value = { 0 };
    db_iter *it;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        key_name(key, i);
        chr_status st = db_get(d, NULL, chr_str(key), copy_value, &value, NULL);
        if (st != CHR_OK && st != CHR_NOT_FOUND) {
            if (!is_told(st)) failed("a get fails with another error", chr_message());
            told = true;
            continue;
        }
        if ((st == CHR_OK) != m->there[i])
            failed(m->there[i] ? "a key is missing, silently" : "a deleted key is back", key);
        if (st == CHR_OK && !value_is(buf_slice(&value), m->value[i])) failed("a value is wrong", key);
    }
    chr_buf_free(&value);
    for (int backward = 0; backward < 2; backward++) {
        if (db_iter_new(d, NULL, chr_str("key"), chr_bytes(NULL, 0), &it) != CHR_OK)
            failed("no iterator", chr_message());
        (backward ? db_iter_last : db_iter_first)(it);
        for (unsigned k = 0; k < KEYS; k++) {
            unsigned i = backward ? KEYS - 1 - k : k;
            char     key[16];
            key_name(key, i);
            if (!m->there[i]) continue;
            if (!db_iter_valid(it)) break;
            if (!slice_equal(db_iter_key(it), chr_str(key))) failed("iterating passes over a key", key);
            slice      shown;
            chr_status read = db_iter_value(it, &shown);
            if (read != CHR_OK) {
                if (!is_told(read)) failed("iterating fails with another error", chr_message());
                told = true;
            } else if (!value_is(shown, m->value[i])) {
                failed("iterating shows a wrong value", key);
            }
            (backward ? db_iter_prev : db_iter_next)(it);
        }
        chr_status st = db_iter_status(it);
        if (st != CHR_OK && !is_told(st)) failed("iterating fails with another error", chr_message());
        if (st != CHR_OK) told = true;
        db_iter_free(it);
    }
    return told;
}

static void count_problem(void *arg, const char *sentence)
{
    (void)sentence;
    ++*(int *)arg;
}

static void corrupt(env *base, uint64_t seed, const model *m, const char *name, uint64_t offset, uint8_t mask)
{
    char       path[128];
    db        *d;
    int        problems = 0;
    env       *e = env_sim_crash(base, seed, SIM_KEEP_ALL), *closed = env_sim_crash(base, seed, SIM_KEEP_ALL);
    db_options o = options_of(e, seed);
    snprintf(path, sizeof path, "%s/%s", store_dir, name);
    snprintf(again, sizeof again, "SEED=%" PRIu64 " FILE=%s OFFSET=%" PRIu64 "   mask %02x", seed, name, offset, mask);
    if (!e || !closed) failed("no memory", "env_sim_crash");
    if (env_sim_flip(e, path, offset, mask) != CHR_OK || env_sim_flip(closed, path, offset, mask) != CHR_OK)
        failed("cannot change the byte", chr_message());
    chr_status st = db_open(&o, &d);
    bool       told = st != CHR_OK;
    if (told && !is_told(st)) failed("opening fails with another error", chr_message());
    if (!told) {
        told = read_all(d, m);
        (void)db_close(d);
    }
    if (told && (db_check(closed, store_dir, count_problem, &problems) != CHR_CORRUPT || problems == 0))
        failed("the check does not find what reading does", path);
    env_sim_free(e);
    env_sim_free(closed);
}

int main(int argc, char **argv)
{
    uint64_t      seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t      seed = number_of("SEED", 1), n = number_of("N", 0), done = 0;
    const char   *only = getenv("FILE");
    uint64_t      only_at = number_of("OFFSET", 0);
    time_t        end = time(NULL) + (time_t)seconds;
    static script s;
    log_set_level(LOG_ERROR + 1); /* damage is what this is about */
    printf("first seed %" PRIu64 "\n", seed);
    for (;; seed++) {
        write_script(&s, seed);
        env           *e = env_sim_new(seed);
        progress       all;
        model          m;
        static victims v;
        if (!e) failed("no memory", "env_sim_new");
        run(e, &s, seed, &all);
        model_of(&m, &s, BATCHES);
        v.n = 0;
        if (all.durable != BATCHES || env_list(e, store_dir, add_victim, &v) != CHR_OK)
            failed("the workload fails", chr_message());
        for (size_t i = 0; i < v.n; i++) {
            char path[128];
            buf  contents = { 0 };
            snprintf(path, sizeof path, "%s/%s", store_dir, v.names[i]);
            if (env_read_file(e, path, &contents) != CHR_OK) failed("cannot read a file", path);
            /* What nobody has ever written need not be damaged. */
            while (contents.len > 0 && contents.data[contents.len - 1] == 0) contents.len--;
            for (uint64_t at = 0; at < contents.len; at++) {
                if (only && (strcmp(only, v.names[i]) != 0 || at != only_at)) continue;
                if (!only && (n ? done >= n : time(NULL) >= end)) {
                    chr_buf_free(&contents);
                    env_sim_free(e);
                    goto out;
                }
                corrupt(e, seed, &m, v.names[i], at, (uint8_t)(1u << (at + seed) % 8));
                corrupt(e, seed, &m, v.names[i], at, 0xff);
                done += 2;
            }
            chr_buf_free(&contents);
        }
        env_sim_free(e);
        if (only) break;
    }
out:
    printf("%" PRIu64 " bytes changed: no wrong answer\n", done);
    return 0;
}
