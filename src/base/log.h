/* Log lines for operators, on standard error: time, level, part, what happened, key=value ...
 *     2026-11-23T13:44:03.123Z info wal: opened file=000012.log size=4096
 * One write(2) a line, so that lines of several threads do not mix. Any thread. */
#ifndef CHR_BASE_LOG_H
#define CHR_BASE_LOG_H

typedef enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NOTHING } log_level;

void log_set_level(log_level least); /* LOG_WARN at first: a library keeps quiet */
/* `format` may be "" for no details. */
void log_line(log_level level, const char *part, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
