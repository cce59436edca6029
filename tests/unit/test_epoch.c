/* Epochs: nothing is released under a reader, everything in the end, and threads may come and go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/epoch.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool memory_is_out;

/* Stands in for libc's, which is where the slots of threads come from. */
void *aligned_alloc(size_t align, size_t size)
{
    void *p = NULL;
    return !atomic_load(&memory_is_out) && posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void count_release(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static void what_nobody_reads_is_released_at_once(void **state)
{
    (void)state;
    epoch     *e = epoch_new();
    atomic_int released = 0;
    assert_non_null(e);
    epoch_enter(e);
    epoch_exit(e);
    assert_true(epoch_retire(e, count_release, &released));
    assert_int_equal(released, 1);
    epoch_free(e);
    assert_int_equal(released, 1);
}

typedef struct reader_thread {
    epoch    *e;
    sem_t     inside, leave;
    pthread_t thread;
} reader_thread;

static void *read_until_told(void *arg)
{
    reader_thread *r = arg;
    epoch_enter(r->e);
    epoch_enter(r->e);
    epoch_exit(r->e); /* still inside once */
    sem_post(&r->inside);
    sem_wait(&r->leave);
    epoch_exit(r->e);
    return NULL;
}

static void begin_reading(reader_thread *r, epoch *e)
{
    r->e = e;
    sem_init(&r->inside, 0, 0);
    sem_init(&r->leave, 0, 0);
    assert_int_equal(pthread_create(&r->thread, NULL, read_until_told, r), 0);
    sem_wait(&r->inside);
}

static void end_reading(reader_thread *r)
{
    sem_post(&r->leave);
    pthread_join(r->thread, NULL);
    sem_destroy(&r->inside);
    sem_destroy(&r->leave);
}

static void a_reader_holds_back_what_was_retired_after_it_entered(void **state)
{
    (void)state;
    epoch        *e = epoch_new();
    atomic_int    first = 0, second = 0, third = 0;
    reader_thread early, late;
    assert_true(epoch_retire(e, count_release, &first));
    assert_int_equal(first, 1);
    begin_reading(&early, e);
    assert_true(epoch_retire(e, count_release, &second));
    begin_reading(&late, e);
    assert_true(epoch_retire(e, count_release, &third));
    epoch_collect(e);
    assert_int_equal(second, 0);
    end_reading(&early);
    epoch_collect(e);
    assert_int_equal(second, 1); /* the late reader came after it was out of sight */
    assert_int_equal(third, 0);
    end_reading(&late);
    epoch_collect(e);
    assert_int_equal(third, 1);
    epoch_free(e);
}

static void what_is_still_waiting_is_released_when_the_epoch_is_freed(void **state)
{
    (void)state;
    epoch        *e = epoch_new();
    atomic_int    released = 0;
    reader_thread r;
    begin_reading(&r, e);
    for (int i = 0; i < 10; i++) assert_true(epoch_retire(e, count_release, &released));
    end_reading(&r);
    assert_int_equal(released, 0);
    epoch_free(e);
    assert_int_equal(released, 10);
}

static void epochs_do_not_wait_for_each_others_readers(void **state)
{
    (void)state;
    epoch        *a = epoch_new(), *b = epoch_new();
    atomic_int    released = 0;
    reader_thread r;
    begin_reading(&r, a);
    epoch_enter(a);
    assert_true(epoch_retire(b, count_release, &released));
    assert_int_equal(released, 1);
    epoch_enter(b);
    epoch_exit(a);
    epoch_exit(b);
    end_reading(&r);
    epoch_free(a);
    epoch_free(b);
}

/* A thread that has used an epoch meets other epochs, perhaps at the same address. */
static void a_thread_outlives_many_epochs(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        epoch     *e = epoch_new(), *f = epoch_new();
        atomic_int released = 0;
        epoch_enter(e);
        epoch_enter(f);
        epoch_exit(e);
        assert_true(epoch_retire(e, count_release, &released));
        assert_int_equal(released, 1);
        epoch_free(e);
        epoch_exit(f);
        epoch_free(f);
    }
}

static void *enter_and_leave(void *arg)
{
    epoch_enter(arg);
    epoch_exit(arg);
    return NULL;
}

static void threads_may_come_and_go_by_the_thousand(void **state)
{
    (void)state;
    epoch     *e = epoch_new();
    atomic_int released = 0;
    for (int i = 0; i < 3000; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, enter_and_leave, e), 0);
        pthread_join(t, NULL);
    }
    assert_true(epoch_retire(e, count_release, &released));
    assert_int_equal(released, 1);
    epoch_free(e);
}

static void *stay_until_epoch_is_gone(void *arg)
{
    reader_thread *r = arg;
    enter_and_leave(r->e);
    sem_post(&r->inside);
    sem_wait(&r->leave);
    return NULL;
}

static void a_thread_may_end_after_the_epoch_it_used(void **state)
{
    (void)state;
    reader_thread r = { .e = epoch_new() };
    sem_init(&r.inside, 0, 0);
    sem_init(&r.leave, 0, 0);
    assert_int_equal(pthread_create(&r.thread, NULL, stay_until_epoch_is_gone, &r), 0);
    sem_wait(&r.inside);
    epoch_free(r.e);
    end_reading(&r);
}

static void a_reader_for_whom_there_was_no_memory_is_waited_for_all_the_same(void **state)
{
    (void)state;
    epoch        *e = epoch_new();
    atomic_int    released = 0;
    reader_thread r;
    atomic_store(&memory_is_out, true);
    begin_reading(&r, e);
    atomic_store(&memory_is_out, false);
    assert_true(epoch_retire(e, count_release, &released));
    assert_int_equal(released, 0);
    end_reading(&r);
    epoch_collect(e);
    assert_int_equal(released, 1);
    epoch_free(e);
}

/* ---- many threads ---- */

enum { SWAPS = 4000, READERS = 3, SHORT_LIVED = 200, BOX_WORDS = 16 };

typedef struct box {
    uint64_t     word[BOX_WORDS]; /* all the same */
    atomic_long *alive;
} box;

typedef struct stress {
    epoch         *e;
    _Atomic(box *) current;
    atomic_bool    stop;
    atomic_long    alive;
    atomic_int     failures;
} stress;

static box *new_box(stress *s, uint64_t n)
{
    box *b = malloc(sizeof *b);
    if (!b) abort();
    for (size_t i = 0; i < BOX_WORDS; i++) b->word[i] = n;
    b->alive = &s->alive;
    atomic_fetch_add(b->alive, 1);
    return b;
}

static void release_box(void *arg)
{
    box *b = arg;
    atomic_fetch_sub(b->alive, 1);
    memset(b->word, 0xdb, sizeof b->word);
    free(b);
}

static void look(stress *s)
{
    epoch_enter(s->e);
    const box *b = atomic_load(&s->current);
    for (size_t i = 0; i < BOX_WORDS; i++)
        if (b->word[i] != b->word[0] || b->word[0] > SWAPS) atomic_fetch_add(&s->failures, 1);
    epoch_exit(s->e);
}

static void *look_all_the_time(void *arg)
{
    stress *s = arg;
    while (!atomic_load(&s->stop)) look(s);
    return NULL;
}

static void *look_a_little(void *arg)
{
    for (int i = 0; i < 50; i++) look(arg);
    return NULL;
}

static void *spawn_short_lived(void *arg)
{
    for (int i = 0; i < SHORT_LIVED; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, look_a_little, arg) != 0) abort();
        pthread_join(t, NULL);
    }
    return NULL;
}

static void nothing_is_released_under_a_reader(void **state)
{
    (void)state;
    stress    s = { .e = epoch_new() };
    pthread_t readers[READERS], spawner;
    atomic_store(&s.current, new_box(&s, 0));
    for (size_t i = 0; i < READERS; i++) assert_int_equal(pthread_create(&readers[i], NULL, look_all_the_time, &s), 0);
    assert_int_equal(pthread_create(&spawner, NULL, spawn_short_lived, &s), 0);
    for (uint64_t n = 1; n <= SWAPS; n++) {
        box *old = atomic_exchange(&s.current, new_box(&s, n));
        assert_true(epoch_retire(s.e, release_box, old));
        if (n % 64 == 0) look(&s);
    }
    pthread_join(spawner, NULL);
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    assert_int_equal(s.failures, 0);
    epoch_collect(s.e);
    assert_int_equal(s.alive, 1);
    release_box(atomic_load(&s.current));
    epoch_free(s.e);
    assert_int_equal(s.alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_reads_is_released_at_once),
        cmocka_unit_test(a_reader_holds_back_what_was_retired_after_it_entered),
        cmocka_unit_test(what_is_still_waiting_is_released_when_the_epoch_is_freed),
        cmocka_unit_test(epochs_do_not_wait_for_each_others_readers),
        cmocka_unit_test(a_thread_outlives_many_epochs),
        cmocka_unit_test(threads_may_come_and_go_by_the_thousand),
        cmocka_unit_test(a_thread_may_end_after_the_epoch_it_used),
        cmocka_unit_test(a_reader_for_whom_there_was_no_memory_is_waited_for_all_the_same),
        cmocka_unit_test(nothing_is_released_under_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
