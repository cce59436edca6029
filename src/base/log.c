#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static _Atomic(log_level) least_level = LOG_WARN;

void log_set_level(log_level least) { atomic_store_explicit(&least_level, least, memory_order_relaxed); }

static size_t clamp(int written, size_t room)
{
    if (written < 0) return 0;
    return (size_t)written < room ? (size_t)written : room - 1;
}

void log_line(log_level level, const char *part, const char *what, const char *format, ...)
{
    static const char *const names[] = { "debug", "info", "warning", "error" };
    if (level < atomic_load_explicit(&least_level, memory_order_relaxed) || level >= LOG_NOTHING) return;

    char            line[LINE_MAX_BYTES];
    struct timespec now;
    struct tm       utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    n += clamp(snprintf(line + n, sizeof line - n, ".%03ldZ %s %s: %s ", now.tv_nsec / 1000000, names[level], part,
                        what),
               sizeof line - n);
    va_list args;
    va_start(args, format);
    n += clamp(vsnprintf(line + n, sizeof line - n, format, args), sizeof line - n);
    va_end(args);
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\n' || line[i] == '\r') line[i] = ' '; /* one line stays one line */
    while (n > 0 && line[n - 1] == ' ') n--;
    line[n++] = '\n';
    /* Nobody can be told that telling failed. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
