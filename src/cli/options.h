/* The option parser of all subcommands. One table (commands.c) says what there is; parsing, --help and the error sentences
 * come from it, and a test holds the manual page against it. */
#ifndef CHR_CLI_OPTIONS_H
#define CHR_CLI_OPTIONS_H

#include "base/bytes.h"

enum { OPTION_WORDS_MAX = 32, OPERANDS_ANY = 1 << 30 };

typedef struct sync_setting {
    chr_sync_mode mode;
    uint32_t      interval_ms; /* for CHR_SYNC_INTERVAL */
} sync_setting;

typedef struct word_list {
    slice  word[OPTION_WORDS_MAX]; /* borrowed from the command line */
    size_t count;
} word_list;

enum { ADDRESSES_MAX = 8 };
typedef struct address_list {
    const char *at[ADDRESSES_MAX]; /* borrowed */
    size_t      count;
    bool        given; /* not the default */
} address_list;

/* What an option's argument is, and the type of the field that takes it. */
typedef enum option_kind {
    OPTION_FLAG,      /* none; bool */
    OPTION_TEXT,      /* anything but nothing: a path, a host; const char *, borrowed from the command line */
    OPTION_COUNT,     /* 0, 8; uint64_t */
    OPTION_SIZE,      /* 4096, 64KiB, 2GiB; uint64_t, bytes */
    OPTION_SYNC,      /* always, none, or a time: 100, 100ms, 2s; sync_setting */
    OPTION_ADDRESS,   /* ADDR:PORT, [::1]:8080; const char *, borrowed */
    OPTION_ADDRESSES, /* the same, several times; address_list */
    OPTION_WORDS,     /* a,b,c; may be given several times; word_list */
} option_kind;

typedef struct option_spec {
    const char *name;   /* without the dashes; NULL: has only a letter */
    char        letter; /* 0: has only a name */
    option_kind kind;
    const char *argument; /* as --help shows it: "DIR"; NULL for a flag */
    const char *standard; /* the default, written as a user would; NULL: none, the field is zero */
    size_t      field;    /* offset in the command's struct of values */
    uint64_t    min, max; /* of a count or a size */
    const char *help;     /* a sentence */
} option_spec;

typedef struct command {
    const char        *name;
    const char        *operands; /* as --help shows them: "KEY [VALUE]" */
    const char        *summary;  /* one line for the list of commands */
    const char        *text;     /* the paragraph that --help begins with */
    const option_spec *options;
    size_t             options_count;
    size_t             operands_min, operands_max;
    bool               operands_end_options; /* what follows the first operand belongs to it, dashes included */
} command;

/* Fills `values` (the struct of this command, zeroed by the caller) with defaults and then the options of `argv`, which
 * begins behind the command's name, and moves the operands to the front of `argv`. *help: --help was among them, and
 * nothing else was looked at. CHR_INVALID: the message says what is wrong and what to do. */
chr_status options_parse(const command *c, int argc, char **argv, void *values, bool *help, size_t *operands);

/* The text of --help, and its one-line beginning. False: no memory. */
bool options_help(const command *c, buf *text);
bool options_usage(const command *c, buf *text);

/* Numbers with units. False: it is not one, or does not fit. */
bool parse_size(const char *text, uint64_t *bytes); /* B, K = KiB, M, G, T: 1024; kB, MB, GB, TB: 1000 */
bool parse_time_ms(const char *text, uint64_t *ms); /* ms (also without a unit), s, min */
/* Splits "ADDR:PORT" or "[ADDR]:PORT"; `host` gets ADDR without brackets, "" for all addresses. */
bool parse_address(const char *text, char *host, size_t host_size, uint16_t *port);

#endif
