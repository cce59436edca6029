/* The option parser, and that table, --help and manual page say the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/words.h"
#include "cli/commands.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 64 };

/* What a command line came to. */
typedef struct parsed {
    chr_status     st;
    command_values values;
    bool           help;
    size_t         operands;
    char          *word[WORDS_MAX + 1]; /* the operands come first */
    char           text[512];
} parsed;

/* Parses `line`, split at spaces; a lone '' is an empty word. */
static parsed parse(const command *c, const char *line)
{
    static char room[512]; /* the values point into it until the next call */
    parsed      p = { 0 };
    int         argc = 0;
    char       *save = NULL;
    snprintf(room, sizeof room, "%s", line);
    for (char *w = strtok_r(room, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        assert_true(argc < WORDS_MAX);
        p.word[argc++] = strcmp(w, "''") == 0 ? w + 2 : w;
    }
    p.st = options_parse(c, argc, p.word, &p.values, &p.help, &p.operands);
    if (!chr_ok(p.st)) snprintf(p.text, sizeof p.text, "%s", chr_message());
    return p;
}

/* Appends text; the NUL behind it is not counted. */
static void append_all(buf *to, const char *text)
{
    assert_true(buf_append(to, text, strlen(text) + 1));
    to->len--;
}

static void refused(command_id id, const char *line, const char *part_of_sentence)
{
    parsed p = parse(&commands[id], line);
    if (p.st != CHR_INVALID || !strstr(p.text, part_of_sentence)) print_error("'%s' gave: %s\n", line, p.text);
    assert_int_equal(p.st, CHR_INVALID);
    assert_non_null(strstr(p.text, part_of_sentence));
    assert_null(strchr(p.text, '\n'));
}

static void every_default_is_one_that_the_parser_takes(void **state)
{
    (void)state;
    parsed p = parse(&commands[COMMAND_SERVE], "");
    assert_int_equal(p.st, CHR_OK);
    assert_string_equal(p.values.serve.dir, "./chronos-data");
    assert_string_equal(p.values.serve.listen.at[0], "127.0.0.1:8080");
    assert_null(p.values.serve.mount);
    assert_int_equal(p.values.serve.sync.mode, CHR_SYNC_ALWAYS);
    assert_int_equal(p.values.serve.threads, 0);
    assert_int_equal(p.values.serve.cache_bytes, chr_options_default().cache_bytes);
    assert_int_equal(p.values.serve.memtable_bytes, chr_options_default().memtable_bytes);
    assert_false(p.values.serve.allow_remote);
    assert_int_equal(parse(&commands[COMMAND_CLI], "").values.cli.server.port, 8080);
    assert_string_equal(parse(&commands[COMMAND_CHECK], "").values.check.dir, "./chronos-data");
}

static void an_argument_may_follow_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    parsed p = parse(&commands[COMMAND_SERVE], "--dir=a --listen [::1]:0 --cache=1GiB --memtable 64k --allow-remote");
    assert_int_equal(p.st, CHR_OK);
    assert_string_equal(p.values.serve.dir, "a");
    assert_string_equal(p.values.serve.listen.at[0], "[::1]:0");
    assert_int_equal(p.values.serve.cache_bytes, 1u << 30);
    assert_int_equal(p.values.serve.memtable_bytes, 64u << 10);
    assert_true(p.values.serve.allow_remote);
}

static void letters_take_their_argument_attached_or_behind(void **state)
{
    (void)state;
    parsed p = parse(&commands[COMMAND_CLI], "-p7000 -h there");
    assert_int_equal(p.st, CHR_OK);
    assert_int_equal(p.values.cli.server.port, 7000);
    assert_string_equal(p.values.cli.server.host, "there");

    p = parse(&commands[COMMAND_MOUNT], "-fo ro,allow_other dir path -o x");
    assert_int_equal(p.st, CHR_OK);
    assert_true(p.values.mount.foreground);
    assert_int_equal(p.values.mount.words.count, 3);
    assert_true(slice_equal(p.values.mount.words.word[0], chr_str("ro")));
    assert_true(slice_equal(p.values.mount.words.word[1], chr_str("allow_other")));
    assert_true(slice_equal(p.values.mount.words.word[2], chr_str("x")));
    assert_int_equal(p.operands, 2);
    assert_string_equal(p.word[0], "dir");
    assert_string_equal(p.word[1], "path");
}

static void operands_may_stand_before_options_and_two_dashes_end_the_options(void **state)
{
    (void)state;
    parsed p = parse(&commands[COMMAND_SET], "key --dir d -- -value");
    assert_int_equal(p.st, CHR_OK);
    assert_string_equal(p.values.key.dir, "d");
    assert_int_equal(p.operands, 2);
    assert_string_equal(p.word[0], "key");
    assert_string_equal(p.word[1], "-value");

    p = parse(&commands[COMMAND_SET], "key -");
    assert_int_equal(p.st, CHR_OK);
    assert_string_equal(p.word[1], "-");

    p = parse(&commands[COMMAND_GET], "''");
    assert_int_equal(p.st, CHR_OK);
    assert_int_equal(p.operands, 1);
    assert_string_equal(p.word[0], "");
}

static void what_follows_the_command_of_cli_is_left_alone(void **state)
{
    (void)state;
    parsed p = parse(&commands[COMMAND_CLI], "-p 1 set key -h --help --");
    assert_int_equal(p.st, CHR_OK);
    assert_false(p.help);
    assert_int_equal(p.operands, 5);
    assert_string_equal(p.word[2], "-h");
    assert_string_equal(p.word[4], "--");
    assert_string_equal(p.values.cli.server.host, "127.0.0.1");
}

static void help_is_found_and_needs_no_operands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        parsed p = parse(&commands[i], "--help");
        assert_int_equal(p.st, CHR_OK);
        assert_true(p.help);
    }
    assert_true(parse(&commands[COMMAND_GET], "-h").help);
    assert_int_equal(parse(&commands[COMMAND_CLI], "-h").st, CHR_INVALID); /* there it is the host */
}

static void a_mistake_gets_one_sentence_that_says_what_to_do(void **state)
{
    (void)state;
    refused(COMMAND_SERVE, "--listn 1:1", "unknown option '--listn'; did you mean --listen?");
    refused(COMMAND_SERVE, "--mem 1MiB", "did you mean --memtable?");
    refused(COMMAND_SERVE, "--alow_remote", "did you mean --allow-remote?");
    refused(COMMAND_SERVE, "--frobnicate", "'chronos serve --help' lists the options");
    refused(COMMAND_SERVE, "-x", "unknown option '-x'");
    refused(COMMAND_SERVE, "--dir", "--dir needs an argument, DIR");
    refused(COMMAND_SERVE, "--dir=", "--dir, DIR, is empty");
    refused(COMMAND_SERVE, "--allow-remote=1", "--allow-remote takes no argument");
    refused(COMMAND_SERVE, "--cache 64XB", "--cache cannot be '64XB'; give a number with an optional unit");
    refused(COMMAND_SERVE, "--cache -1", "--cache cannot be '-1'");
    refused(COMMAND_SERVE, "--cache 99999999999999999999", "--cache cannot be '99999999999999999999'");
    refused(COMMAND_SERVE, "--cache 20000000TiB", "--cache cannot be '20000000TiB'");
    refused(COMMAND_SERVE, "--memtable 1KiB", "it goes from 64KiB to 1GiB");
    refused(COMMAND_SERVE, "--threads 1025", "it goes from 0 to 1024");
    refused(COMMAND_SERVE, "--threads 4KiB", "--threads cannot be '4KiB'; give a number, such as 4");
    refused(COMMAND_SERVE, "--sync often", "'always', 'none', or a time");
    refused(COMMAND_SERVE, "--sync 0ms", "a time goes from 1ms to 60min");
    refused(COMMAND_SERVE, "--sync 2h", "--sync cannot be '2h'");
    refused(COMMAND_SERVE, "--listen 8080", "--listen cannot be '8080'; give an address with a port");
    refused(COMMAND_SERVE, "--listen a:65536", "--listen cannot be 'a:65536'");
    refused(COMMAND_SERVE, "--listen ::1:80", "[::1]:8080");
    refused(COMMAND_SERVE, "data", "'data' is too much");
    refused(COMMAND_GET, "", "it is used as 'chronos get KEY'");
    refused(COMMAND_GET, "a b", "'b' is too much");
    refused(COMMAND_GET, "-key", "'--' goes before a word that begins with '-'");
    refused(COMMAND_CLI, "-p 0", "--port cannot be 0; it goes from 1 to 65535");
    refused(COMMAND_MOUNT, "dir path -o", "-o needs an argument, OPTIONS");
}

static void too_many_words_of_a_list_are_refused(void **state)
{
    (void)state;
    buf line = { 0 };
    append_all(&line, "a b -o ");
    for (int i = 0; i < OPTION_WORDS_MAX; i++) append_all(&line, "ro,");
    assert_int_equal(parse(&commands[COMMAND_MOUNT], line.data).st, CHR_OK);
    append_all(&line, "ro");
    refused(COMMAND_MOUNT, line.data, "-o takes at most 32 words");
    chr_buf_free(&line);
}

static void sizes_and_times_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t    bytes;
    } sizes[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "10B", 10 },
        { "1K", 1024 },
        { "1KiB", 1024 },
        { "2kB", 2000 },
        { "2KB", 2000 },
        { "64MiB", 64u << 20 },
        { "64mib", 64u << 20 },
        { "3M", 3u << 20 },
        { "1GB", 1000000000 },
        { "2G", 2ull << 30 },
        { "1TiB", 1ull << 40 },
        { "5TB", 5000000000000 },
        { "18446744073709551615", UINT64_MAX },
    };
    uint64_t n;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_true(parse_size(sizes[i].text, &n));
        assert_int_equal(n, sizes[i].bytes);
    }
    static const char *const not_sizes[] = {
        "", "MiB", "1.5G", "1 K", " 1", "+1", "0x10", "1PiB", "1s", "1KB2", "18446744073709551616", "16777216TiB"
    };
    for (size_t i = 0; i < sizeof not_sizes / sizeof *not_sizes; i++) assert_false(parse_size(not_sizes[i], &n));

    assert_true(parse_time_ms("100", &n) && n == 100);
    assert_true(parse_time_ms("100ms", &n) && n == 100);
    assert_true(parse_time_ms("2s", &n) && n == 2000);
    assert_true(parse_time_ms("3min", &n) && n == 180000);
    assert_false(parse_time_ms("3m", &n)); /* minutes, or milliseconds? */
    assert_false(parse_time_ms("1KiB", &n));

    parsed p = parse(&commands[COMMAND_SERVE], "--sync 2s");
    assert_int_equal(p.values.serve.sync.mode, CHR_SYNC_INTERVAL);
    assert_int_equal(p.values.serve.sync.interval_ms, 2000);
    assert_int_equal(parse(&commands[COMMAND_SERVE], "--sync none").values.serve.sync.mode, CHR_SYNC_NONE);
}

static void an_address_is_split_at_its_last_colon(void **state)
{
    (void)state;
    char     host[16];
    uint16_t port;
    assert_true(parse_address("127.0.0.1:8080", host, sizeof host, &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 8080);
    assert_true(parse_address("[::1]:65535", host, sizeof host, &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 65535);
    assert_true(parse_address(":0", host, sizeof host, &port));
    assert_string_equal(host, "");
    assert_false(parse_address("localhost", host, sizeof host, &port));
    assert_false(parse_address("localhost:", host, sizeof host, &port));
    assert_false(parse_address("localhost:http", host, sizeof host, &port));
    assert_false(parse_address("a.name.that.is.too.long:80", host, sizeof host, &port));
}

static void the_nearest_word_is_found_only_if_it_is_near(void **state)
{
    (void)state;
    const char *name = nearest_word("serv", &commands[0].name, COMMAND_COUNT, sizeof *commands);
    assert_string_equal(name, "serve");
    assert_string_equal(nearest_word("chekc", &commands[0].name, COMMAND_COUNT, sizeof *commands), "check");
    assert_string_equal(nearest_word("gte", &commands[0].name, COMMAND_COUNT, sizeof *commands), "get");
    assert_null(nearest_word("frobnicate", &commands[0].name, COMMAND_COUNT, sizeof *commands));
    char *longer = malloc(100000);
    assert_non_null(longer);
    memset(longer, 'x', 99999);
    longer[99999] = 0;
    assert_null(nearest_word(longer, &commands[0].name, COMMAND_COUNT, sizeof *commands));
    free(longer);
}

/* ---- --help and the manual page ---- */

/* Runs of white space become one space. */
static void squeeze(buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        bool space = text->data[i] == ' ' || text->data[i] == '\n';
        if (!space)
            text->data[n++] = text->data[i];
        else if (n && text->data[n - 1] != ' ')
            text->data[n++] = ' ';
    }
    text->len = n;
    assert_true(buf_append_byte(text, 0));
}

/* An option's sentence with its default, as both show it. */
static void append_sentence(buf *to, const option_spec *o)
{
    append_all(to, o->help);
    if (o->standard) assert_true(buf_printf(to, " (default %s)", o->standard));
}

static void help_shows_every_option_in_80_columns(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const command *c = &commands[i];
        buf            help = { 0 };
        assert_true(options_help(c, &help));
        assert_true(buf_append_byte(&help, 0));
        for (const char *line = help.data; *line;) {
            size_t len = strcspn(line, "\n");
            assert_true(len <= 80);
            line += len + (line[len] == '\n');
        }
        help.len = strlen(help.data);
        squeeze(&help);
        for (size_t k = 0; k < c->options_count; k++) {
            const option_spec *o = &c->options[k];
            buf                expect = { 0 };
            if (o->letter) assert_true(buf_printf(&expect, "-%c%s", o->letter, o->name ? ", " : ""));
            if (o->name) assert_true(buf_printf(&expect, "--%s", o->name));
            if (o->argument) assert_true(buf_printf(&expect, " %s", o->argument));
            append_all(&expect, " ");
            append_sentence(&expect, o);
            squeeze(&expect);
            assert_non_null(strstr(help.data, expect.data));
            chr_buf_free(&expect);
        }
        chr_buf_free(&help);
    }
}

/* The manual page, which lies in the source tree that this file was compiled from. */
static char *read_manual(void)
{
    char here[] = __FILE__, path[4096];
    snprintf(path, sizeof path, "%s/../../src/cli/chronos.1", dirname(here));
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("cannot open %s; run this test from the top of the source tree", path);
    char  *text = NULL;
    size_t len = 0;
    assert_true(getdelim(&text, &len, 0, f) > 0);
    fclose(f);
    return text;
}

/* The list of options of a command, as the manual page must have it. */
static void append_manual_list(buf *to, const command *c)
{
    append_all(to, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < c->options_count; i++) {
        const option_spec *o = &c->options[i];
        append_all(to, ".It");
        if (o->letter) assert_true(buf_printf(to, " Fl %c%s", o->letter, o->name ? " ," : ""));
        if (o->name) assert_true(buf_printf(to, " Fl -%s", o->name));
        if (o->argument) assert_true(buf_printf(to, " Ar %s", o->argument));
        append_all(to, "\n");
        append_sentence(to, o);
        append_all(to, "\n");
    }
    append_all(to, ".El\n");
}

static void the_manual_page_lists_exactly_the_options_of_help(void **state)
{
    (void)state;
    char  *manual = read_manual();
    char  *commands_begin = strstr(manual, ".Sh COMMANDS\n");
    size_t sections = 0;
    assert_non_null(commands_begin);
    for (const char *p = commands_begin; (p = strstr(p, "\n.Ss ")); p++) sections++;
    assert_int_equal(sections, COMMAND_COUNT);

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        buf  expect = { 0 }, section = { 0 };
        char title[64];
        snprintf(title, sizeof title, "\n.Ss %s\n", commands[i].name);
        const char *begin = strstr(commands_begin, title);
        assert_non_null(begin);
        const char *end = begin + strlen(title);
        while (*end && strncmp(end, "\n.Ss ", 5) != 0 && strncmp(end, "\n.Sh ", 5) != 0) end++;
        const char *list = memmem(begin, (size_t)(end - begin), ".Bl ", 4);
        if (commands[i].options_count == 0) {
            assert_null(list);
            continue;
        }
        assert_non_null(list);

        append_manual_list(&expect, &commands[i]);
        assert_true(buf_append(&section, list, (size_t)(end - list) + 1));
        squeeze(&expect);
        squeeze(&section);
        if (strcmp(section.data, expect.data) != 0)
            print_error("in section %s the manual page wants:\n", commands[i].name);
        assert_string_equal(section.data, expect.data);
        chr_buf_free(&expect);
        chr_buf_free(&section);
    }
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_one_that_the_parser_takes),
        cmocka_unit_test(an_argument_may_follow_a_space_or_an_equals_sign),
        cmocka_unit_test(letters_take_their_argument_attached_or_behind),
        cmocka_unit_test(operands_may_stand_before_options_and_two_dashes_end_the_options),
        cmocka_unit_test(what_follows_the_command_of_cli_is_left_alone),
        cmocka_unit_test(help_is_found_and_needs_no_operands),
        cmocka_unit_test(a_mistake_gets_one_sentence_that_says_what_to_do),
        cmocka_unit_test(too_many_words_of_a_list_are_refused),
        cmocka_unit_test(sizes_and_times_have_units),
        cmocka_unit_test(an_address_is_split_at_its_last_colon),
        cmocka_unit_test(the_nearest_word_is_found_only_if_it_is_near),
        cmocka_unit_test(help_shows_every_option_in_80_columns),
        cmocka_unit_test(the_manual_page_lists_exactly_the_options_of_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
