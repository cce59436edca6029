/* chronos: finds the subcommand, has its options parsed, and runs it. Called as mount.chronos it is mount(8)'s helper. */
#include "base/words.h"
#include "cli/commands.h"
#include "cli/show.h"

#include <libgen.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static command_fn *const runners[COMMAND_COUNT] = {
    [COMMAND_SERVE] = serve_run,   [COMMAND_MOUNT] = mount_run,     [COMMAND_CLI] = cli_run,
    [COMMAND_GET] = get_run,       [COMMAND_SET] = set_run,         [COMMAND_DEL] = del_run,
    [COMMAND_LS] = ls_run,         [COMMAND_STATS] = stats_run,     [COMMAND_CHECK] = check_run,
    [COMMAND_BACKUP] = backup_run, [COMMAND_RESTORE] = restore_run,
};

static int print_help(FILE *to, int status)
{
    fputs(
        "Usage: chronos COMMAND [OPTIONS] [ARGUMENTS]\n\n"
        "Chronos is a durable key-value store that speaks to Redis clients and to nc, and can be mounted as files.\n\n"
        "Commands:\n",
        to);
    for (size_t i = 0; i < COMMAND_COUNT; i++) fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("  help     show this text, or that of a command: chronos help COMMAND\n"
          "  version  show the version\n\n"
          "'chronos COMMAND --help' lists the options of a command; 'man chronos' tells all.\n",
          to);
    return status;
}

static int print_version(void)
{
    printf("chronos %s\n", CHR_VERSION);
    return EXIT_DONE;
}

static int print_command_help(const command *c)
{
    buf text = { 0 };
    int status;
    if (!options_help(c, &text))
        status = complain("not enough memory");
    else
        status = print_bytes(buf_slice(&text));
    chr_buf_free(&text);
    return status;
}

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static int complain_of_command(const char *name)
{
    const char *near = nearest_word(name, &commands[0].name, COMMAND_COUNT, sizeof *commands);
    if (near) return complain("there is no command '%s'; did you mean '%s'?", name, near);
    return complain("there is no command '%s'; 'chronos help' lists them", name);
}

/* Each connection and each table is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* `argv` begins behind the command's name. */
static int run(const command *c, command_fn *fn, int argc, char **argv)
{
    command_values values;
    bool           help;
    size_t         operands;
    memset(&values, 0, sizeof values);
    if (!chr_ok(options_parse(c, argc, argv, &values, &help, &operands))) {
        fprintf(stderr, "%s\n", chr_message());
        return EXIT_FAILED;
    }
    return help ? print_command_help(c) : fn(&values, operands, argv);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    raise_descriptor_limit();
    if (argc > 0 && strcmp(basename(argv[0]), "mount.chronos") == 0)
        return run(&mount_helper, mount_helper_run, argc - 1, argv + 1);
    if (argc < 2) return print_help(stderr, EXIT_FAILED);

    const char *name = argv[1];
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) return print_version();
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        if (argc < 3) return print_help(stdout, EXIT_DONE);
        const command *about = find_command(argv[2]);
        return about ? print_command_help(about) : complain_of_command(argv[2]);
    }
    const command *c = find_command(name);
    if (!c) return complain_of_command(name);
    return run(c, runners[c - commands], argc - 2, argv + 2);
}
