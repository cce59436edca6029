#include "cli/background.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* There is one stderr, so there is one of these. */
static pthread_t forwarder;
static bool      entered;

/* Passes lines on until the other end is closed. */
static void *forward_lines(void *arg)
{
    FILE  *lines = arg;
    char  *line = NULL;
    size_t room = 0;
    openlog("chronos", LOG_PID, LOG_DAEMON);
    while (getline(&line, &room, lines) >= 0) {
        /* "TIME LEVEL part: ..."; whatever else comes was not expected to. */
        const char *level = strchr(line, ' ');
        bool        info = level && (strncmp(level, " info ", 6) == 0 || strncmp(level, " debug ", 7) == 0);
        bool        fault = level && strncmp(level, " error ", 7) == 0;
        line[strcspn(line, "\n")] = 0;
        syslog(info ? LOG_INFO : fault ? LOG_ERR : LOG_WARNING, "%s", line);
    }
    free(line);
    closelog();
    fclose(lines);
    return NULL;
}

chr_status background_enter(void)
{
    int   pipes[2];
    int   error;
    FILE *lines;
    int   null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return chr_errno(errno, "open", "/dev/null");
    if (chdir("/") < 0 || pipe2(pipes, O_CLOEXEC) < 0) {
        error = errno;
        goto close_null;
    }
    lines = fdopen(pipes[0], "r");
    if (!lines) {
        error = errno;
        close(pipes[0]);
        goto close_writing;
    }
    error = pthread_create(&forwarder, NULL, forward_lines, lines);
    if (error) {
        fclose(lines);
        goto close_writing;
    }
    (void)setsid();
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[1]);
    close(null);
    entered = true;
    return CHR_OK;
close_writing:
    close(pipes[1]);
close_null:
    close(null);
    return chr_errno(error, "leave", "the terminal");
}

void background_leave(void)
{
    if (!entered) return;
    dup2(STDIN_FILENO, STDERR_FILENO); /* closes the writing end */
    pthread_join(forwarder, NULL);
}
