#include "cli/commands.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define COUNT_OF(table) (sizeof(table) / sizeof *(table))

#define DIR_DEFAULT "./chronos-data"
#define DIR_OPTION(values)                                                                                             \
    {                                                                                                                  \
        .name = "dir", .kind = OPTION_TEXT, .argument = "DIR", .standard = DIR_DEFAULT,                                \
        .field = offsetof(values, dir), .help = "The data directory."                                                  \
    }

/* `at`: where the values have their peer_options. */
#define REMOTE_OPTIONS(at)                                                                                             \
    { .name = "host",                                                                                                  \
      .letter = 'h',                                                                                                   \
      .kind = OPTION_TEXT,                                                                                             \
      .argument = "HOST",                                                                                              \
      .standard = "127.0.0.1",                                                                                         \
      .field = (at) + offsetof(peer_options, host),                                                                    \
      .help = "The server's name or address, or unix:PATH." },                                                         \
        { .name = "port",                                                                                              \
          .letter = 'p',                                                                                               \
          .kind = OPTION_COUNT,                                                                                        \
          .argument = "PORT",                                                                                          \
          .standard = "8080",                                                                                          \
          .field = (at) + offsetof(peer_options, port),                                                                \
          .min = 1,                                                                                                    \
          .max = UINT16_MAX,                                                                                           \
          .help = "The server's port." },                                                                              \
        { .name = "user",                                                                                              \
          .kind = OPTION_TEXT,                                                                                         \
          .argument = "NAME",                                                                                          \
          .field = (at) + offsetof(peer_options, user),                                                                \
          .help = "Who to tell the server one is; the password is asked for, unless a file has it." },                 \
        { .name = "password-file",                                                                                     \
          .kind = OPTION_TEXT,                                                                                         \
          .argument = "FILE",                                                                                          \
          .field = (at) + offsetof(peer_options, password_file),                                                       \
          .help = "The file whose first line is the password, of the user default if no other is named." },            \
        { .name = "tls",                                                                                               \
          .kind = OPTION_FLAG,                                                                                         \
          .field = (at) + offsetof(peer_options, tls),                                                                 \
          .help = "The port speaks TLS; the server's certificate must be good for HOST." },                            \
    {                                                                                                                  \
        .name = "tls-ca", .kind = OPTION_TEXT, .argument = "FILE", .field = (at) + offsetof(peer_options, tls_ca),     \
        .help = "Certificates, in PEM, that may vouch for the server, instead of the system's; includes --tls."        \
    }

static const option_spec serve_specs[] = {
    { .name = "dir",
      .kind = OPTION_TEXT,
      .argument = "DIR",
      .standard = DIR_DEFAULT,
      .field = offsetof(serve_options, dir),
      .help = "The data directory; created if it is not there." },
    { .name = "listen",
      .kind = OPTION_ADDRESSES,
      .argument = "ADDR:PORT",
      .standard = "127.0.0.1:8080",
      .field = offsetof(serve_options, listen),
      .help =
          "Where to serve clients; may be given several times. Port 0 picks a free one; unix:PATH is a socket file." },
    { .name = "mount",
      .kind = OPTION_TEXT,
      .argument = "PATH",
      .field = offsetof(serve_options, mount),
      .help = "Also show the keys as files in this empty directory." },
    { .name = "mount-options",
      .kind = OPTION_WORDS,
      .argument = "OPTIONS",
      .field = offsetof(serve_options, mount_words),
      .help = "Options of that mount, as of 'chronos mount -o'." },
    { .name = "sync",
      .kind = OPTION_SYNC,
      .argument = "WHEN",
      .standard = "always",
      .field = offsetof(serve_options, sync),
      .help = "When a write is safe from a power cut: always (before it is acknowledged), a time such as 100ms "
              "(at most that much later), or none (when the kernel likes)." },
    { .name = "threads",
      .kind = OPTION_COUNT,
      .argument = "N",
      .standard = "0",
      .field = offsetof(serve_options, threads),
      .max = 1024,
      .help = "Threads that serve clients; 0 means one for each processor." },
    { .name = "cache",
      .kind = OPTION_SIZE,
      .argument = "SIZE",
      .standard = "128MiB",
      .field = offsetof(serve_options, cache_bytes),
      .min = MIB(1),
      .max = GIB(1024),
      .help = "Memory for what is read often: blocks, and a quarter for single small values." },
    { .name = "memtable",
      .kind = OPTION_SIZE,
      .argument = "SIZE",
      .standard = "32MiB",
      .field = offsetof(serve_options, memtable_bytes),
      .min = KIB(64),
      .max = GIB(1),
      .help = "Memory for new writes before they go to a table." },
    { .name = "tls",
      .kind = OPTION_ADDRESS,
      .argument = "ADDR:PORT",
      .field = offsetof(serve_options, tls),
      .help = "Also serve clients by TLS, on a port of its own." },
    { .name = "tls-cert",
      .kind = OPTION_TEXT,
      .argument = "FILE",
      .field = offsetof(serve_options, tls_cert),
      .help = "The certificate of the server for TLS, in PEM, with those that vouch for it." },
    { .name = "tls-key",
      .kind = OPTION_TEXT,
      .argument = "FILE",
      .field = offsetof(serve_options, tls_key),
      .help = "The key of the certificate, in PEM." },
    { .name = "users",
      .kind = OPTION_TEXT,
      .argument = "FILE",
      .field = offsetof(serve_options, users),
      .help = "Serve only those whom this file lets in; a line in it is NAME:HASH, or \"user NAME RULES\" with rules "
              "of ACL SETUSER." },
    { .name = "allow-remote",
      .kind = OPTION_FLAG,
      .field = offsetof(serve_options, allow_remote),
      .help = "Listen beyond this machine although nothing is encrypted: without --users whoever reaches the port "
              "reads and writes everything." },
};

static const option_spec mount_specs[] = {
    { .letter = 'o',
      .kind = OPTION_WORDS,
      .argument = "OPTIONS",
      .field = offsetof(mount_command_options, words),
      .help =
          "Mount options, separated by commas: ro (read-only), rw, allow_other (other users may use the mount), "
          "uid=N, gid=N, umask=OCTAL, prefix=KEYS, cache=strict or auto, snapshot=NAME, max_size=SIZE; of a server: "
          "timeout=SECONDS, auth=FILE (with NAME:PASSWORD), tls, tls-ca=FILE." },
    { .name = "foreground",
      .letter = 'f',
      .kind = OPTION_FLAG,
      .field = offsetof(mount_command_options, foreground),
      .help = "Stay in the foreground, log to stderr, and unmount at SIGINT or SIGTERM." },
};

static const option_spec helper_specs[] = {
    { .letter = 'o',
      .kind = OPTION_WORDS,
      .argument = "OPTIONS",
      .field = offsetof(mount_helper_options, words),
      .help = "Mount options, as of 'chronos mount'." },
    { .letter = 'f',
      .kind = OPTION_FLAG,
      .field = offsetof(mount_helper_options, fake),
      .help = "Check the options, but mount nothing." },
    { .letter = 's',
      .kind = OPTION_FLAG,
      .field = offsetof(mount_helper_options, sloppy),
      .help = "Ignore unknown mount options." },
    { .letter = 'n',
      .kind = OPTION_FLAG,
      .field = offsetof(mount_helper_options, no_mtab),
      .help = "Accepted; there is no /etc/mtab to leave alone." },
    { .letter = 'v', .kind = OPTION_FLAG, .field = offsetof(mount_helper_options, verbose), .help = "Accepted." },
    { .letter = 't',
      .kind = OPTION_TEXT,
      .argument = "TYPE",
      .field = offsetof(mount_helper_options, type),
      .help = "Accepted." },
};

static const option_spec cli_specs[] = {
    REMOTE_OPTIONS(offsetof(cli_options, server)),
    { .name = "raw",
      .kind = OPTION_FLAG,
      .field = offsetof(cli_options, raw),
      .help = "Show replies as bytes, one item a line, as they are written to a file or a pipe, on a terminal too." },
    { .name = "json",
      .kind = OPTION_FLAG,
      .field = offsetof(cli_options, json),
      .help = "Show each reply as a line of JSON." },
    { .name = "bigkeys",
      .kind = OPTION_FLAG,
      .field = offsetof(cli_options, bigkeys),
      .help = "Walk all keys, and tell how many there are and which have the biggest values." },
    { .name = "stat",
      .kind = OPTION_FLAG,
      .field = offsetof(cli_options, stat),
      .help = "Tell each second, in a line, what the server does, until Ctrl-C." },
};
static const option_spec backup_specs[] = { REMOTE_OPTIONS(0) };

#define SNAPSHOT_OPTION                                                                                                \
    {                                                                                                                  \
        .name = "snapshot", .kind = OPTION_TEXT, .argument = "NAME", .field = offsetof(key_options, snapshot),         \
        .help = "What this snapshot shows, instead of what there is now."                                              \
    }

static const option_spec key_specs[] = { DIR_OPTION(key_options) };
static const option_spec get_specs[] = { DIR_OPTION(key_options), SNAPSHOT_OPTION };

static const option_spec ls_specs[] = {
    DIR_OPTION(key_options),
    { .name = "long",
      .letter = 'l',
      .kind = OPTION_FLAG,
      .field = offsetof(key_options, details),
      .help = "Show permissions, size in bytes, time of change and time of expiry before each key." },
    SNAPSHOT_OPTION,
};

static const option_spec stats_specs[] = {
    DIR_OPTION(stats_options),
    { .name = "watch",
      .letter = 'w',
      .kind = OPTION_FLAG,
      .field = offsetof(stats_options, watch),
      .help = "Show what a running server does, drawn anew each second, until q or Ctrl-C." },
    REMOTE_OPTIONS(offsetof(stats_options, server)),
};

static const option_spec check_specs[] = {
    { .name = "dir",
      .kind = OPTION_TEXT,
      .argument = "DIR",
      .standard = DIR_DEFAULT,
      .field = offsetof(check_options, dir),
      .help = "The data directory, unless it is given without --dir." },
    { .name = "repair",
      .kind = OPTION_FLAG,
      .field = offsetof(check_options, repair),
      .help = "Save everything that can be read, and move what is damaged to DIR/lost." },
};

const command commands[COMMAND_COUNT] = {
    [COMMAND_SERVE] = { .name = "serve",
                        .operands = "",
                        .summary = "run the server, and the mount beside it if asked",
                        .text = "Opens the store in a directory and serves it to Redis clients and to nc, and as "
                                "files if a mount point is given. Prints one line when it is ready. SIGTERM and "
                                "SIGINT stop it cleanly; a second SIGINT stops it at once.",
                        .options = serve_specs,
                        .options_count = COUNT_OF(serve_specs) },
    [COMMAND_MOUNT] = { .name = "mount",
                        .operands = "DIR|HOST:PORT PATH",
                        .summary = "show a data directory, or what a server has, as files",
                        .text = "Opens the store in DIR, or asks the server HOST:PORT (or unix:SOCKET), and shows its "
                                "keys as files in the empty directory PATH, in a process of its own. Returns when the "
                                "files are there; 'umount PATH' or "
                                "'fusermount3 -u PATH' ends it.",
                        .options = mount_specs,
                        .options_count = COUNT_OF(mount_specs),
                        .operands_min = 2,
                        .operands_max = 2 },
    [COMMAND_CLI] = { .name = "cli",
                      .operands = "[COMMAND ...]",
                      .summary = "talk to a running server",
                      .text = "Sends COMMAND to a running server and prints the reply. Without COMMAND, "
                              "reads commands line by line: from the terminal with history, completion and hints, "
                              "or from a pipe without waiting for each reply; it then exits with 1 if one was an "
                              "error. Words in double quotes may hold spaces and escapes such as \\n and \\x00.",
                      .options = cli_specs,
                      .options_count = COUNT_OF(cli_specs),
                      .operands_max = OPERANDS_ANY,
                      .operands_end_options = true },
    [COMMAND_GET] = { .name = "get",
                      .operands = "KEY",
                      .summary = "print the value of a key",
                      .text = "Prints the value of KEY, byte for byte, from a data directory that no server uses "
                              "at the moment. Nothing is added, except a newline on a terminal.",
                      .options = get_specs,
                      .options_count = COUNT_OF(get_specs),
                      .operands_min = 1,
                      .operands_max = 1 },
    [COMMAND_SET] = { .name = "set",
                      .operands = "KEY [VALUE]",
                      .summary = "set a key to a value, or to what stdin holds",
                      .text = "Sets KEY to VALUE in a data directory that no server uses at the moment. Without "
                              "VALUE, or if it is -, the value is read from stdin to its end, byte for byte. The "
                              "directory is created if it is not there.",
                      .options = key_specs,
                      .options_count = COUNT_OF(key_specs),
                      .operands_min = 1,
                      .operands_max = 2 },
    [COMMAND_DEL] = { .name = "del",
                      .operands = "KEY ...",
                      .summary = "delete keys",
                      .text = "Deletes all the given keys at once from a data directory that no server uses at "
                              "the moment. Names those that were not there, and then exits with 1.",
                      .options = key_specs,
                      .options_count = COUNT_OF(key_specs),
                      .operands_min = 1,
                      .operands_max = OPERANDS_ANY },
    [COMMAND_LS] = { .name = "ls",
                     .operands = "[PREFIX]",
                     .summary = "list keys",
                     .text = "Lists the keys, or those that begin with PREFIX, one a line in byte order, of a "
                             "data directory that no server uses at the moment. Control characters and "
                             "what is not UTF-8 are shown as \\n or \\x00, a backslash as two.",
                     .options = ls_specs,
                     .options_count = COUNT_OF(ls_specs),
                     .operands_max = 1 },
    [COMMAND_STATS] = { .name = "stats",
                        .operands = "",
                        .summary = "show sizes and figures of a store",
                        .text = "Shows what a data directory holds, level by level, while no server uses it. A "
                                "running server tells more: 'chronos cli info', or --watch, to which alone --host and "
                                "--port matter.",
                        .options = stats_specs,
                        .options_count = COUNT_OF(stats_specs) },
    [COMMAND_CHECK] = { .name = "check",
                        .operands = "[DIR]",
                        .summary = "look for damage, and repair it if asked",
                        .text = "Reads and checks every byte of a data directory that no server uses at the "
                                "moment, and names each damage with file and offset. Exits with 0 if there is "
                                "none, with 1 if there is.",
                        .options = check_specs,
                        .options_count = COUNT_OF(check_specs),
                        .operands_max = 1 },
    [COMMAND_BACKUP] = { .name = "backup",
                         .operands = "DIR DEST",
                         .summary = "copy a store, also while a server uses it",
                         .text = "Makes DEST a copy of the store in DIR as it is at one moment, and checks every byte "
                                 "of it. A server that uses DIR is asked for that moment. Tables are hard links where "
                                 "possible; of an earlier backup in DEST, those that are still needed are kept. DEST "
                                 "is replaced at once when all is on disk, and is a store like any other. Without "
                                 "options the server is looked for where it is by default; CHRONOS_AUTH=NAME:PASSWORD "
                                 "in the environment is for a server that asks for a password.",
                         .options = backup_specs,
                         .options_count = COUNT_OF(backup_specs),
                         .operands_min = 2,
                         .operands_max = 2 },
    [COMMAND_RESTORE] = { .name = "restore",
                          .operands = "BACKUP DIR",
                          .summary = "make a store from a backup",
                          .text = "Makes DIR, which must be new or empty, a store with what BACKUP holds, and checks "
                                  "every byte of it. BACKUP stays as it is.",
                          .operands_min = 2,
                          .operands_max = 2 },
};

const command mount_helper = { .name = "mount",
                               .operands = "DIR PATH",
                               .summary = "",
                               .text = "What mount(8) runs for 'mount -t chronos DIR PATH' and for a line in "
                                       "/etc/fstab.",
                               .options = helper_specs,
                               .options_count = COUNT_OF(helper_specs),
                               .operands_min = 2,
                               .operands_max = 2 };
