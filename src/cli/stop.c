#include "cli/stop.h"

#include <unistd.h>

enum { EXIT_INTERRUPTED = 130 }; /* what shells show for SIGINT */

static const char *signal_name(int number)
{
    return number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP";
}

static void *listen_for_signals(void *arg)
{
    stop *s = arg;
    int   interrupts = 0;
    for (;;) {
        int number;
        if (sigwait(&s->signals, &number) != 0) continue;
        if (number == SIGINT && ++interrupts == 2) {
            static const char text[] = "chronos: interrupted twice, so leaving at once\n";
            (void)!write(STDERR_FILENO, text, sizeof text - 1);
            _exit(EXIT_INTERRUPTED);
        }
        stop_ask(s, signal_name(number));
    }
    return NULL;
}

chr_status stop_begin(stop *s)
{
    struct sigaction hangup;
    s->why = NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->asked, NULL);
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGTERM);
    sigaddset(&s->signals, SIGINT);
    /* Under nohup it stays ignored. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&s->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);

    int error = pthread_create(&s->listener, NULL, listen_for_signals, s);
    return error ? chr_errno(error, "start a thread", "for signals") : CHR_OK;
}

void stop_ask(stop *s, const char *why)
{
    pthread_mutex_lock(&s->lock);
    if (!s->why) s->why = why;
    pthread_cond_signal(&s->asked);
    pthread_mutex_unlock(&s->lock);
}

const char *stop_wait(stop *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->why) pthread_cond_wait(&s->asked, &s->lock);
    const char *why = s->why;
    pthread_mutex_unlock(&s->lock);
    return why;
}

void stop_end(stop *s)
{
    pthread_cancel(s->listener); /* it waits in sigwait, which is where a cancel takes effect */
    pthread_join(s->listener, NULL);
    pthread_cond_destroy(&s->asked);
    pthread_mutex_destroy(&s->lock);
}
