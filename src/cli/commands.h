/* The subcommands of `chronos`: what each takes (commands.c) and the function that does it (a file for each). */
#ifndef CHR_CLI_COMMANDS_H
#define CHR_CLI_COMMANDS_H

#include "cli/options.h"

/* Exit statuses of the program. */
enum { EXIT_DONE = 0, EXIT_NEGATIVE = 1, EXIT_FAILED = 2 };

typedef struct serve_options {
    const char  *dir, *mount, *users, *tls, *tls_cert, *tls_key;
    address_list listen;
    sync_setting sync;
    uint64_t     threads, cache_bytes, memtable_bytes;
    bool         allow_remote;
    word_list    mount_words;
} serve_options;

typedef struct mount_command_options {
    word_list words; /* of -o */
    bool      foreground;
} mount_command_options;

/* As mount(8) calls its helpers. */
typedef struct mount_helper_options {
    word_list   words;
    bool        fake, sloppy, no_mtab, verbose;
    const char *type;
} mount_helper_options;

typedef struct peer_options { /* where a running server is, and who one is there; cli, backup, stats --watch */
    const char *host;
    uint64_t    port;
    const char *user, *password_file, *tls_ca; /* or NULL */
    bool        tls;
} peer_options;

typedef struct cli_options {
    peer_options server;
    bool         json, raw, bigkeys, stat;
} cli_options;

typedef struct key_options { /* get, set, del, ls */
    const char *dir;
    const char *snapshot; /* get, ls; NULL: now */
    bool        details;  /* ls */
} key_options;

typedef struct stats_options {
    const char  *dir;
    bool         watch;
    peer_options server; /* for watch */
} stats_options;

typedef struct check_options {
    const char *dir;
    bool        repair;
} check_options;

typedef union command_values {
    serve_options         serve;
    mount_command_options mount;
    mount_helper_options  helper;
    cli_options           cli;
    peer_options          remote; /* backup */
    key_options           key;
    stats_options         stats;
    check_options         check;
} command_values;

/* In the order in which they are listed. */
typedef enum command_id {
    COMMAND_SERVE,
    COMMAND_MOUNT,
    COMMAND_CLI,
    COMMAND_GET,
    COMMAND_SET,
    COMMAND_DEL,
    COMMAND_LS,
    COMMAND_STATS,
    COMMAND_CHECK,
    COMMAND_BACKUP,
    COMMAND_RESTORE,
    COMMAND_COUNT,
} command_id;
extern const command commands[COMMAND_COUNT];
extern const command mount_helper; /* mount.chronos; not listed */

/* Each returns an exit status; `operand` has `count` entries, as many as the table allows. */
typedef int command_fn(const command_values *values, size_t count, char **operand);
command_fn  serve_run, mount_run, mount_helper_run, cli_run, get_run, set_run, del_run, ls_run, stats_run, check_run,
    backup_run, restore_run;

#endif
