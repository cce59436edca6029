/* Why and when a serving process ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/stop.h"

#include <sys/wait.h>
#include <unistd.h>

static void a_signal_is_a_reason(void **state)
{
    (void)state;
    static const struct {
        int         number;
        const char *why;
    } signals[] = { { SIGTERM, "SIGTERM" }, { SIGINT, "SIGINT" }, { SIGHUP, "SIGHUP" } };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        stop s;
        assert_int_equal(stop_begin(&s), CHR_OK);
        if (sigismember(&s.signals, signals[i].number))
            kill(getpid(), signals[i].number);
        else
            stop_ask(&s, signals[i].why); /* run under nohup */
        assert_string_equal(stop_wait(&s), signals[i].why);
        stop_end(&s);
    }
}

static void the_first_reason_counts_and_stays(void **state)
{
    (void)state;
    stop s;
    assert_int_equal(stop_begin(&s), CHR_OK);
    stop_ask(&s, "unmounted");
    stop_ask(&s, "SHUTDOWN");
    assert_string_equal(stop_wait(&s), "unmounted");
    assert_string_equal(stop_wait(&s), "unmounted");
    stop_end(&s);
}

static void a_broken_pipe_is_no_reason(void **state)
{
    (void)state;
    stop s;
    int  pipes[2];
    assert_int_equal(stop_begin(&s), CHR_OK);
    assert_int_equal(pipe(pipes), 0);
    close(pipes[0]);
    assert_int_equal(write(pipes[1], "x", 1), -1);
    close(pipes[1]);
    stop_end(&s);
}

/* The exit status of a child that gets `first`, is busy stopping, and gets SIGINT. */
static int interrupted_after(int first, int more)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        stop s;
        if (!chr_ok(stop_begin(&s))) _exit(99);
        kill(getpid(), first);
        (void)stop_wait(&s);
        for (int i = 0; i < more; i++) {
            kill(getpid(), SIGINT);
            usleep(200000);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_second_interrupt_ends_the_process_at_once(void **state)
{
    (void)state;
    assert_int_equal(interrupted_after(SIGINT, 1), 130);
    assert_int_equal(interrupted_after(SIGTERM, 1), 0); /* the first interrupt */
    assert_int_equal(interrupted_after(SIGTERM, 2), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_a_reason),
        cmocka_unit_test(the_first_reason_counts_and_stays),
        cmocka_unit_test(a_broken_pipe_is_no_reason),
        cmocka_unit_test(a_second_interrupt_ends_the_process_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
