/* The terminal of chronos stats --watch. Signals come as bytes of a descriptor, so that the terminal is put right
 * whatever ends it. */
#include "cli/watch.h"

#include "cli/remote.h"
#include "cli/show.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 1000, ANSWER_TIMEOUT_S = 10, COLUMNS = 80, ROWS = 24 };

#define SCREEN_ENTER "\x1b[?1049h\x1b[?25l" /* the other screen, no cursor */
#define SCREEN_LEAVE "\x1b[?25h\x1b[?1049l"
#define SCREEN_HOME "\x1b[H"
#define LINE_END "\x1b[K" /* clears what an earlier line has left */
#define SCREEN_REST "\x1b[J"

typedef struct terminal {
    struct termios was;
    int            signals; /* a descriptor */
} terminal;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool terminal_begin(terminal *t)
{
    sigset_t       signals;
    struct termios raw;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGWINCH);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0 || (t->signals = signalfd(-1, &signals, SFD_CLOEXEC)) < 0) {
        complain("cannot wait for signals: %s", strerror(errno));
        return false;
    }
    if (tcgetattr(STDIN_FILENO, &t->was) == 0) {
        raw = t->was;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* a shell would get the terminal as it is now */
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0 && print_bytes(chr_str(SCREEN_ENTER)) == EXIT_DONE)
            return true;
    }
    complain("cannot use the terminal: %s", strerror(errno));
    close(t->signals);
    return false;
}

static void terminal_end(const terminal *t)
{
    (void)print_bytes(chr_str(SCREEN_LEAVE));
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->was);
    close(t->signals);
}

/* As many lines and columns of `frame` as fit. */
static chr_status draw(slice frame)
{
    struct winsize size = { 0 };
    buf            screen = { 0 };
    bool           ok = buf_append(&screen, SCREEN_HOME, sizeof SCREEN_HOME - 1);
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    if (size.ws_row == 0 || size.ws_col == 0) size = (struct winsize){ .ws_row = ROWS, .ws_col = COLUMNS };
    for (unsigned row = 0; row < size.ws_row && frame.len && ok; row++) {
        const char *end = memchr(frame.data, '\n', frame.len);
        size_t      len = end ? (size_t)(end - frame.data) : frame.len;
        ok = (row == 0 || buf_append_byte(&screen, '\n')) &&
             buf_append(&screen, frame.data, len < size.ws_col ? len : size.ws_col) &&
             buf_append(&screen, LINE_END, sizeof LINE_END - 1);
        frame = slice_from(frame, len + (end != NULL));
    }
    ok = ok && buf_append(&screen, SCREEN_REST, sizeof SCREEN_REST - 1);
    chr_status st = !ok                                            ? chr_nomem()
                    : print_bytes(buf_slice(&screen)) == EXIT_DONE ? CHR_OK
                                                                   : chr_fail(CHR_IO, "the terminal is gone");
    chr_buf_free(&screen);
    return st;
}

/* Whether to end. Returns early for a window of another size. */
static bool wait_for_key(const terminal *t, int64_t until_ms, bool *resized)
{
    *resized = false;
    for (int64_t left; (left = until_ms - now_ms()) > 0 && !*resized;) {
        struct signalfd_siginfo about;
        char                    key = 0;
        struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = t->signals, .events = POLLIN } };
        if (poll(p, 2, (int)left) < 0) return true;
        if (p[0].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')) return true;
        if (!p[1].revents || read(t->signals, &about, sizeof about) != sizeof about) continue;
        if (about.ssi_signo != SIGWINCH) return true;
        *resized = true;
    }
    return false;
}

/* Until the user has enough, or something fails. */
static chr_status watch(redisContext *c, const peer_options *server, const terminal *t)
{
    redisReply *before = NULL, *now = NULL;
    buf         frame = { 0 };
    int64_t     asked = 0, last = 0;
    chr_status  st = CHR_OK;
    for (bool end = false; chr_ok(st) && !end;) {
        last = asked;
        asked = now_ms();
        freeReplyObject(before);
        before = now;
        st = remote_text(c, "INFO", "everything", &now);
        if (!chr_ok(st)) break;
        if (!watch_frame(&frame, server, before ? before->str : NULL, now->str, (double)(asked - last) / 1000))
            st = chr_nomem();
        for (bool resized = true; chr_ok(st) && resized && !end;) {
            st = draw(buf_slice(&frame));
            if (chr_ok(st)) end = wait_for_key(t, asked + PERIOD_MS, &resized);
        }
    }
    freeReplyObject(before);
    freeReplyObject(now);
    chr_buf_free(&frame);
    return st;
}

int watch_server(const peer_options *server)
{
    terminal t;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return complain("--watch needs a terminal; 'chronos cli info' prints the figures once");
    redisContext *c = remote_connect(server);
    if (!c) return EXIT_FAILED;
    (void)redisSetTimeout(c, (struct timeval){ .tv_sec = ANSWER_TIMEOUT_S });
    bool       begun = terminal_begin(&t);
    chr_status st = begun ? watch(c, server, &t) : CHR_IO;
    if (begun) terminal_end(&t);
    redisFree(c);
    if (!begun) return EXIT_FAILED;
    return chr_ok(st) ? EXIT_DONE : complain("%s", chr_message());
}
