/* Prints PROTOCOL.md with its tables of commands made anew from net/command_table.c, for `make protocol` and the test that nobody has
 * forgotten it. What lies between the two marks is replaced. */
#include "net/command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char begin_mark[] = "<!-- The tables of commands are made by 'make protocol' from command_table.c. -->\n";
static const char end_mark[] = "<!-- Here they end. -->\n";

/* A bar would end the cell. */
static void print_cell(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) printf(text[i] == '|' ? "\\|" : "%c", text[i]);
}

static void print_command(const command *c)
{
    printf("| ");
    for (const char *at = c->arguments; at;) {
        const char *from = at;
        size_t      len = command_call(c, &at);
        printf("%s`", from == c->arguments ? "" : " ");
        for (const char *p = c->name; *p; p++) putchar(toupper((unsigned char)*p));
        if (len) putchar(' ');
        print_cell(from, len);
        putchar('`');
    }
    printf(" | ");
    print_cell(c->summary, strlen(c->summary));
    if (*c->notes) putchar(' ');
    print_cell(c->notes, strlen(c->notes));
    printf(" |\n");
}

static void print_tables(void)
{
    for (size_t i = 0; i < COMMAND_GROUPS; i++) {
        printf("\n### %c%s\n\n| command | what it does |\n|---|---|\n", toupper((unsigned char)*command_groups[i]),
               command_groups[i] + 1);
        for (const command *c = command_table; c < command_table + command_count; c++)
            if (command_group(c) == command_groups[i]) print_command(c);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    char  *line = NULL;
    size_t room = 0;
    bool   within = false;
    int    marks = 0;
    FILE  *document = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!document) {
        fprintf(stderr, "usage: commands_md PROTOCOL.md\n");
        return EXIT_FAILURE;
    }
    while (getline(&line, &room, document) >= 0) {
        bool begins = strcmp(line, begin_mark) == 0, ends = strcmp(line, end_mark) == 0;
        marks += begins || ends;
        if (ends) within = false;
        if (!within) fputs(line, stdout);
        if (begins) {
            within = true;
            print_tables();
        }
    }
    free(line);
    fclose(document);
    if (marks != 2 || within || fflush(stdout) != 0) {
        fprintf(stderr,
                "commands_md: %s has not the two marks that the tables lie between, or this cannot be written\n",
                argv[1]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
