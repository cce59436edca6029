#include "cli/commands.h"
#include "cli/precheck.h"
#include "cli/show.h"
#include "engine/db.h"

#include <stdio.h>

static void print_finding(void *arg, const char *sentence)
{
    (void)arg;
    printf("%s\n", sentence);
    fflush(stdout);
}

static int check(const char *dir)
{
    chr_status st = db_check(env_posix(), dir, print_finding, NULL);
    if (chr_ok(st)) {
        printf("%s: everything was read, and there is no damage\n", dir);
        return EXIT_DONE;
    }
    if (st != CHR_CORRUPT) return complain("%s", chr_message());
    complain(
        "%s is damaged; 'chronos check --repair %s' saves what can be read, and a backup from before may hold more",
        dir, dir);
    return EXIT_NEGATIVE;
}

static int repair(const char *dir)
{
    chr_status st = db_repair(env_posix(), dir, print_finding, NULL);
    return chr_ok(st) ? check(dir) : complain("%s", chr_message());
}

int check_run(const command_values *values, size_t count, char **operand)
{
    const char *dir = count ? operand[0] : values->check.dir;
    chr_status  st = precheck_store(dir, false);
    if (!chr_ok(st)) return complain("%s", chr_message());
    return values->check.repair ? repair(dir) : check(dir);
}
