#include "cli/pager.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHELL_NOT_FOUND = 127 };

static bool fits(slice text)
{
    struct winsize size = { 0 };
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2 || size.ws_col < 2) return true;
    size_t rows = 0, column = 0;
    for (size_t i = 0; i < text.len && rows < size.ws_row; i++) {
        bool end = text.data[i] == '\n';
        column = end ? 0 : column + 1;
        if (end || column > size.ws_col) rows++;
        if (column > size.ws_col) column = 1;
    }
    return rows < size.ws_row;
}

bool pager_show(slice text)
{
    const char *program = getenv("PAGER");
    if (!program) program = "less";
    if (!*program || fits(text)) return false;
    fflush(stdout);
    /* It may be left before it has read all; and Ctrl-C is for it. */
    void (*on_pipe)(int) = signal(SIGPIPE, SIG_IGN);
    void (*on_int)(int) = signal(SIGINT, SIG_IGN);
    FILE *pager = popen(program, "we");
    bool  shown = pager != NULL;
    if (pager) {
        (void)fwrite(text.data, 1, text.len, pager);
        int status = pclose(pager);
        shown = !(WIFEXITED(status) && WEXITSTATUS(status) == SHELL_NOT_FOUND);
    }
    signal(SIGPIPE, on_pipe);
    signal(SIGINT, on_int);
    return shown;
}
