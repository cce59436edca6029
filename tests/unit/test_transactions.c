/* MULTI, EXEC, DISCARD, WATCH, UNWATCH, and what the steps of a transaction see and take back. */
#include "serving.h"

#include <pthread.h>

static void queued_commands_run_at_exec(void **state)
{
    redisContext *c = client(*state), *other = client(*state);
    TALK(c, { "MULTI", "ok:OK" }, { "SET a 1", "ok:QUEUED" }, { "INCR a", "ok:QUEUED" }, { "GET a", "ok:QUEUED" },
         { "APPEND a x", "ok:QUEUED" }, { "STRLEN a", "ok:QUEUED" }, { "DEL b", "ok:QUEUED" }, { "PING", "ok:QUEUED" });
    assert_reply(other, "GET a", "nil");
    assert_reply(c, "EXEC", "[ok:OK int:2 str:2 int:2 int:2 int:0 ok:PONG]");
    assert_reply(other, "GET a", "str:2x");
    TALK(c, { "MULTI", "ok:OK" }, { "EXEC", "[]" }, { "EXEC", "err:ERR EXEC without MULTI" },
         { "DISCARD", "err:ERR DISCARD without MULTI" }, { "MULTI", "ok:OK" },
         { "MULTI", "err:ERR MULTI calls can not be nested" },
         { "WATCH a", "err:ERR WATCH inside MULTI is not allowed" }, { "DEL a", "ok:QUEUED" }, { "DISCARD", "ok:OK" },
         { "GET a", "str:2x" });
    redisFree(c);
    redisFree(other);
}

static void a_command_that_cannot_be_queued_aborts(void **state)
{
    redisContext *c = client(*state);
    TALK(c, { "MULTI", "ok:OK" }, { "SET a 1", "ok:QUEUED" },
         { "GET", "err:ERR wrong number of arguments for 'get' command" },
         { "EXEC", "err:EXECABORT Transaction discarded because of previous errors." }, { "GET a", "nil" },
         { "MULTI", "ok:OK" }, { "NOSUCH", "err:ERR unknown command 'NOSUCH', with args beginning with: " },
         { "EXEC", "err:EXECABORT Transaction discarded because of previous errors." }, { "MULTI", "ok:OK" },
         { "COMPACT", "err:ERR Command not allowed inside a transaction" },
         { "EXEC", "err:EXECABORT Transaction discarded because of previous errors." }, { "PING", "ok:PONG" });
    redisFree(c);
}

/* As in Redis, the others are done; of the one that fails nothing is left. */
static void a_command_that_fails_at_exec_takes_back_only_itself(void **state)
{
    redisContext *c = client(*state);
    char         *big = malloc(70000);
    assert_non_null(big);
    memset(big, 'x', 70000);
    TALK(c, { "SET text abc", "ok:OK" }, { "MULTI", "ok:OK" }, { "SET a 1", "ok:QUEUED" }, { "INCR text", "ok:QUEUED" },
         { "INCR a", "ok:QUEUED" });
    assert_is_reply(redisCommand(c, "MSET a 7 n 7 %b 7", big, (size_t)70000), "MSET", "ok:QUEUED");
    TALK(c, { "GET a", "ok:QUEUED" }, { "GET n", "ok:QUEUED" },
         { "EXEC",
           "[ok:OK err:ERR value is not an integer or out of range int:2 err:ERR the key has 70000 bytes; at most "
           "65535 are allowed str:2 nil]" },
         { "GET a", "str:2" }, { "GET n", "nil" });
    free(big);
    redisFree(c);
}

static void values_in_chunks_are_seen_and_changed_within(void **state)
{
    enum { BYTES = 5 * 1000 * 1000 };
    redisContext *c = client(*state);
    char         *big = malloc(BYTES);
    assert_non_null(big);
    memset(big, 'y', BYTES);
    assert_reply(c, "MULTI", "ok:OK");
    assert_is_reply(redisCommand(c, "SET big %b", big, (size_t)BYTES), "SET big", "ok:QUEUED");
    assert_is_reply(redisCommand(c, "SET mid %b", big, (size_t)100000), "SET mid", "ok:QUEUED");
    TALK(c, { "APPEND mid zz", "ok:QUEUED" }, { "APPEND big zz", "ok:QUEUED" }, { "RENAME mid other", "ok:QUEUED" },
         { "STRLEN other", "ok:QUEUED" }, { "DEL mid", "ok:QUEUED" },
         { "EXEC", "[ok:OK ok:OK int:100002 int:5000002 ok:OK int:100002 int:0]" });
    redisReply *r = redisCommand(c, "GET big");
    assert_int_equal(r->len, BYTES + 2);
    assert_memory_equal(r->str, big, BYTES);
    assert_string_equal(r->str + BYTES, "zz");
    freeReplyObject(r);
    TALK(c, { "MULTI", "ok:OK" }, { "GET big", "ok:QUEUED" }, { "FLUSHALL", "ok:QUEUED" },
         { "EXISTS big other", "ok:QUEUED" }, { "SET new 1", "ok:QUEUED" });
    r = redisCommand(c, "EXEC");
    assert_int_equal(r->elements, 4);
    assert_int_equal(r->element[0]->len, BYTES + 2);
    assert_int_equal(r->element[2]->integer, 0);
    freeReplyObject(r);
    assert_reply(c, "KEYS *", "[str:new]");
    free(big);
    redisFree(c);
}

static void watched_keys_decide(void **state)
{
    redisContext *c = client(*state), *other = client(*state);
    assert_reply(c, "SET k 1", "ok:OK");
    /* Unchanged, also by a compaction */
    TALK(c, { "WATCH k none", "ok:OK" }, { "COMPACT", "ok:OK" }, { "MULTI", "ok:OK" }, { "INCR k", "ok:QUEUED" },
         { "EXEC", "[int:2]" });
    /* Changed by somebody else */
    TALK(c, { "WATCH k", "ok:OK" }, { "MULTI", "ok:OK" }, { "INCR k", "ok:QUEUED" });
    assert_reply(other, "SET k 2", "ok:OK");
    TALK(c, { "EXEC", "nil" }, { "GET k", "str:2" });
    /* Made, deleted, expired */
    TALK(c, { "WATCH none", "ok:OK" }, { "SET none 1", "ok:OK" }, { "MULTI", "ok:OK" }, { "EXEC", "nil" });
    TALK(c, { "WATCH none", "ok:OK" }, { "DEL none", "int:1" }, { "MULTI", "ok:OK" }, { "EXEC", "nil" });
    TALK(c, { "WATCH k", "ok:OK" }, { "PEXPIRE k 1000000", "int:1" }, { "MULTI", "ok:OK" }, { "EXEC", "nil" });
    /* Forgotten */
    TALK(c, { "WATCH k", "ok:OK" }, { "SET k 3", "ok:OK" }, { "UNWATCH", "ok:OK" }, { "MULTI", "ok:OK" },
         { "GET k", "ok:QUEUED" }, { "EXEC", "[str:3]" });
    TALK(c, { "WATCH k", "ok:OK" }, { "SET k 4", "ok:OK" }, { "MULTI", "ok:OK" }, { "DISCARD", "ok:OK" },
         { "MULTI", "ok:OK" }, { "GET k", "ok:QUEUED" }, { "EXEC", "[str:4]" });
    redisFree(c);
    redisFree(other);
}

enum { CLIENTS = 4, ROUNDS = 200 };

/* Adds to a counter by GET and SET; only WATCH keeps the others' additions. */
static void *add_up(void *arg)
{
    redisContext *c = client(arg);
    for (int done = 0; done < ROUNDS;) {
        freeReplyObject(redisCommand(c, "WATCH counter"));
        redisReply *r = redisCommand(c, "GET counter");
        long        v = r->str ? atol(r->str) : 0;
        freeReplyObject(r);
        freeReplyObject(redisCommand(c, "MULTI"));
        freeReplyObject(redisCommand(c, "SET counter %d", (int)v + 1));
        freeReplyObject(redisCommand(c, "SET twin %d", (int)v + 1));
        r = redisCommand(c, "EXEC");
        done += r->type == REDIS_REPLY_ARRAY;
        freeReplyObject(r);
    }
    redisFree(c);
    return NULL;
}

static void no_addition_is_lost_between_many(void **state)
{
    pthread_t     t[CLIENTS];
    redisContext *c = client(*state);
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(pthread_create(&t[i], NULL, add_up, *state), 0);
    for (int i = 0; i < 200; i++) {
        TALK(c, { "MULTI", "ok:OK" }, { "GET counter", "ok:QUEUED" }, { "GET twin", "ok:QUEUED" });
        redisReply *r = redisCommand(c, "EXEC");
        assert_int_equal(r->elements, 2);
        if (r->element[0]->str) assert_string_equal(r->element[0]->str, r->element[1]->str);
        freeReplyObject(r);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(t[i], NULL);
    assert_reply(c, "GET counter", "str:800");
    redisFree(c);
}

static void keys_are_listed_only_before_changes(void **state)
{
    redisContext *c = client(*state);
    TALK(c, { "SET a 1", "ok:OK" }, { "MULTI", "ok:OK" }, { "DBSIZE", "ok:QUEUED" }, { "SET b 1", "ok:QUEUED" },
         { "DBSIZE", "ok:QUEUED" },
         { "EXEC",
           "[int:1 ok:OK err:ERR keys cannot be listed behind changes in the same transaction; list them before]" },
         { "DBSIZE", "int:2" });
    redisFree(c);
}

static void lines_can_be_transactions_too(void **state)
{
    int fd = dial(*state);
    say(fd, "MULTI\nSET a the value\nGET a\nEXEC\nRESET\nEXEC\n");
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "OK\nQUEUED\nQUEUED\nOK\nthe value\nRESET\nERR EXEC without MULTI\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queued_commands_run_at_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_that_cannot_be_queued_aborts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_that_fails_at_exec_takes_back_only_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(values_in_chunks_are_seen_and_changed_within, setup, teardown),
        cmocka_unit_test_setup_teardown(watched_keys_decide, setup, teardown),
        cmocka_unit_test_setup_teardown(no_addition_is_lost_between_many, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_listed_only_before_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_can_be_transactions_too, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
