/* A server in this process, with hiredis and bare sockets as its clients. */
#include "serving.h"

#include <pthread.h>
#include <time.h>

static void commands_answer_what_redis_answers(void **state)
{
    redisContext            *c = client(*state);
    static const char *const talk[][2] = {
        { "PING", "ok:PONG" },
        { "ECHO hi", "str:hi" },
        { "GET nobody", "nil" },
        { "SET k 10", "ok:OK" },
        { "SET k 11 NX", "nil" },
        { "SET k 11 XX GET", "str:10" },
        { "SET k 5 EX 0", "err:ERR invalid expire time in 'set' command" },
        { "SET k 5 NX XX", "err:ERR syntax error" },
        { "SET k 5 EX x", "err:ERR value is not an integer or out of range" },
        { "GET k", "str:11" },
        { "INCR k", "int:12" },
        { "DECRBY k 2", "int:10" },
        { "INCRBY k 9223372036854775807", "err:ERR increment or decrement would overflow" },
        { "APPEND k x", "int:3" },
        { "INCR k", "err:ERR value is not an integer or out of range" },
        { "STRLEN k", "int:3" },
        { "MSET a 1 b 2", "ok:OK" },
        { "MSET a 1 b", "err:ERR wrong number of arguments for 'mset' command" },
        { "EXISTS a b a nobody", "int:3" },
        { "TYPE a", "ok:string" },
        { "TYPE nobody", "ok:none" },
        { "TTL a", "int:-1" },
        { "TTL nobody", "int:-2" },
        { "EXPIRE a 100", "int:1" },
        { "EXPIRE a 50 GT", "int:0" },
        { "TTL a", "int:100" },
        { "PERSIST a", "int:1" },
        { "PERSIST a", "int:0" },
        { "EXPIRE nobody 5", "int:0" },
        { "RENAME a c", "ok:OK" },
        { "RENAME a c", "err:ERR no such key" },
        { "GET c", "str:1" },
        { "DEL c b nobody", "int:2" },
        { "DBSIZE", "int:1" },
        { "KEYS *", "[str:k]" },
        { "GET", "err:ERR wrong number of arguments for 'get' command" },
        { "NOSUCH a b", "err:ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' " },
        { "SELECT 0", "ok:OK" },
        { "SELECT 1", "err:ERR DB index is out of range" },
        { "FLUSHALL", "ok:OK" },
        { "DBSIZE", "int:0" },
        { "COMPACT", "ok:OK" },
    };
    for (size_t i = 0; i < sizeof talk / sizeof *talk; i++) assert_reply(c, talk[i][0], talk[i][1]);
    redisFree(c);
}

static void a_pipeline_is_answered_in_order(void **state)
{
    enum { N = 5000 };
    redisContext *c = client(*state);
    for (int i = 0; i < N; i++) {
        redisAppendCommand(c, "SET key:%d value:%d", i % 100, i);
        redisAppendCommand(c, "GET key:%d", i % 100);
        redisAppendCommand(c, "INCR counter");
    }
    for (int i = 0; i < N; i++) {
        redisReply *r;
        char        expected[32];
        snprintf(expected, sizeof expected, "value:%d", i);
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_string_equal(r->str, "OK");
        freeReplyObject(r);
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_string_equal(r->str, expected);
        freeReplyObject(r);
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_int_equal(r->integer, i + 1);
        freeReplyObject(r);
    }
    redisFree(c);
}

/* The server may do many of one kind at once, and it must not show. */
static void commands_of_a_kind_are_answered_as_if_alone(void **state)
{
    enum { N = 300, CHUNKED = 137, TOO_LONG = 70000, BIG = 200000 };
    redisContext *c = client(*state);
    char         *big = calloc(1, BIG);
    assert_non_null(big);
    memset(big, 'b', BIG);
    for (int i = 0; i < N; i++) {
        if (i == CHUNKED)
            redisAppendCommand(c, "SET key:%d %b", i, big, (size_t)BIG);
        else
            redisAppendCommand(c, "SET key:%d %d", i, i);
        if (i == CHUNKED / 2) redisAppendCommand(c, "SET %b no", big, (size_t)TOO_LONG);
        redisAppendCommand(c, "SET same %d", i);
    }
    for (int i = 0; i < N; i++) redisAppendCommand(c, "GET key:%d", i);
    redisAppendCommand(c, "GET same");
    redisAppendCommand(c, "GET nobody");
    redisAppendCommand(c, "GET a b");
    for (int i = 0; i < N; i++) {
        assert_next(c, "ok:OK");
        if (i == CHUNKED / 2) {
            redisReply *r;
            assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
            assert_int_equal(r->type, REDIS_REPLY_ERROR);
            freeReplyObject(r);
        }
        assert_next(c, "ok:OK");
    }
    for (int i = 0; i < N; i++) {
        redisReply *r;
        char        expected[32];
        snprintf(expected, sizeof expected, "%d", i);
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_int_equal(r->type, REDIS_REPLY_STRING);
        if (i == CHUNKED) {
            assert_int_equal(r->len, BIG);
            assert_memory_equal(r->str, big, BIG);
        } else {
            assert_string_equal(r->str, expected);
        }
        freeReplyObject(r);
    }
    assert_next(c, "str:299");
    assert_next(c, "nil");
    assert_next(c, "err:ERR wrong number of arguments for 'get' command");
    free(big);
    redisFree(c);
}

/* Commands behind a reply that fills the buffer run when it has been sent, perhaps with nothing else to wake the reactor. */
static void what_waited_for_room_is_acknowledged_too(void **state)
{
    enum { ROUNDS = 200, BYTES = 60000, GETS = 20 };
    redisContext *c = client(*state);
    char         *value = calloc(1, BYTES);
    assert_non_null(value);
    struct timeval limit = { .tv_sec = 60 };
    int            room = 4 << 20; /* so that all can be sent at once */
    assert_int_equal(redisSetTimeout(c, limit), REDIS_OK);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    freeReplyObject(redisCommand(c, "SET full %b", value, (size_t)BYTES));
    for (int i = 0; i < ROUNDS; i++) {
        redisAppendCommand(c, "SET a %d", i);
        for (int k = 0; k < GETS; k++) redisAppendCommand(c, "GET full");
        redisAppendCommand(c, "SET b %d", i);
        for (int k = 0; k < GETS + 2; k++) {
            redisReply *r = NULL;
            if (redisGetReply(c, (void **)&r) != REDIS_OK) fail_msg("round %d, reply %d: %s", i, k, c->errstr);
            assert_int_equal(r->type, k > 0 && k <= GETS ? REDIS_REPLY_STRING : REDIS_REPLY_STATUS);
            freeReplyObject(r);
        }
    }
    free(value);
    redisFree(c);
}

static void values_in_chunks_go_in_and_out(void **state)
{
    enum { BYTES = 9 * 1000 * 1000 };
    redisContext *c = client(*state);
    char         *value = malloc(BYTES);
    assert_non_null(value);
    for (size_t i = 0; i < BYTES; i++) value[i] = (char)(i * 7 + i / 1000);
    redisReply *r = redisCommand(c, "SET big %b", value, (size_t)BYTES);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
    r = redisCommand(c, "GET big");
    assert_int_equal(r->len, BYTES);
    assert_memory_equal(r->str, value, BYTES);
    freeReplyObject(r);
    assert_reply(c, "STRLEN big", "int:9000000");
    assert_reply(c, "DEL big", "int:1");
    free(value);
    redisFree(c);
}

/* SCAN sees every key that is there all the time, while others come and go. */
static void a_scan_misses_nothing_while_keys_come_and_go(void **state)
{
    enum { N = 500 };
    redisContext *c = client(*state), *other = client(*state);
    bool          seen[N] = { 0 };
    char          cursor[32] = "0";
    for (int i = 0; i < N; i++) freeReplyObject(redisCommand(c, "SET stay:%03d x", i));
    do {
        redisReply *r = redisCommand(c, "SCAN %s COUNT 7 MATCH stay:*", cursor);
        assert_int_equal(r->elements, 2);
        snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        for (size_t i = 0; i < r->element[1]->elements; i++) {
            int at = atoi(r->element[1]->element[i]->str + 5);
            if (strchr(r->element[1]->element[i]->str + 5, 'x')) continue;
            assert_false(seen[at]);
            seen[at] = true;
        }
        freeReplyObject(r);
        freeReplyObject(redisCommand(other, "SET stay:%03dx y", (int)(random() % N)));
        freeReplyObject(redisCommand(other, "DEL stay:%03dx", (int)(random() % N)));
    } while (strcmp(cursor, "0") != 0);
    for (int i = 0; i < N; i++) assert_true(seen[i]);
    assert_reply(c, "SCAN 77777", "err:ERR invalid cursor");
    redisFree(c);
    redisFree(other);
}

static void *sleep_there(void *arg)
{
    redisContext *c = client(arg);
    assert_reply(c, "DEBUG SLEEP 2", "ok:OK");
    redisFree(c);
    return NULL;
}

static void one_clients_long_request_delays_nobody(void **state)
{
    pthread_t     t;
    redisContext *c = client(*state);
    time_t        begin = time(NULL);
    assert_int_equal(pthread_create(&t, NULL, sleep_there, *state), 0);
    for (int i = 0; i < 2000; i++) assert_reply(c, "GET nobody", "nil");
    pthread_join(t, NULL);
    assert_true(time(NULL) - begin < 30);
    redisFree(c);
}

/* ---- bare sockets ---- */

static void a_person_with_nc_gets_plain_text(void **state)
{
    int fd = dial(*state);
    say(fd, "SET user:101 {\"name\": \"Venom\"}\nGET user:101\nPING\nGET nobody\nDEL user:101\nDEL user:101\nINCR "
            "n\nCOMPACT\nEXISTS");
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "OK\n{\"name\": \"Venom\"}\nPONG\nNULL\nOK_DELETED\nNULL\n1\nOK_COMPACTED\n"
                     "ERR wrong number of arguments for 'exists' command\n");
}

static void the_first_line_decides_about_the_protocol(void **state)
{
    int fd = dial(*state);
    say(fd, "PING\r\n");
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "+PONG\r\n");
    fd = dial(*state);
    say(fd, "*1\r\n$4\r\nPING\r\nPING\n");
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "+PONG\r\n+PONG\r\n");
}

static void resp3_says_null_and_maps_in_its_own_way(void **state)
{
    int fd = dial(*state);
    say(fd, "*2\r\n$5\r\nHELLO\r\n$1\r\n4\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n");
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "-NOPROTO unsupported protocol version\r\n$-1\r\n");
    fd = dial(*state);
    say(fd, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n*1\r\n$4\r\nQUIT\r\n");
    char   text[1024] = "";
    size_t n = 0;
    for (ssize_t got; (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0;) n += (size_t)got;
    assert_int_equal(text[0], '%');
    assert_non_null(strstr(text, "_\r\n+OK\r\n"));
    close(fd);
}

static void a_malformed_frame_is_answered_and_ends_the_connection(void **state)
{
    int fd = dial(*state);
    say(fd, "*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n");
    assert_hears(fd, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
}

static void frames_may_come_a_byte_at_a_time(void **state)
{
    const char *frame = "*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$2\r\nok\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n";
    int         fd = dial(*state);
    for (const char *p = frame; *p; p++) {
        assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
        if ((p - frame) % 8 == 0) usleep(500);
    }
    shutdown(fd, SHUT_WR);
    assert_hears(fd, "+OK\r\n$2\r\nok\r\n");
}

static void a_client_that_announces_much_and_sends_nothing_costs_nothing(void **state)
{
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = dial(*state);
        say(fds[i], "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc");
    }
    redisContext *c = client(*state);
    assert_reply(c, "PING", "ok:PONG");
    redisFree(c);
    for (int i = 0; i < 20; i++) close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commands_answer_what_redis_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pipeline_is_answered_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(commands_of_a_kind_are_answered_as_if_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waited_for_room_is_acknowledged_too, setup, teardown),
        cmocka_unit_test_setup_teardown(values_in_chunks_go_in_and_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scan_misses_nothing_while_keys_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(one_clients_long_request_delays_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_person_with_nc_gets_plain_text, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_line_decides_about_the_protocol, setup, teardown),
        cmocka_unit_test_setup_teardown(resp3_says_null_and_maps_in_its_own_way, setup, teardown),
        cmocka_unit_test_setup_teardown(a_malformed_frame_is_answered_and_ends_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_may_come_a_byte_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_announces_much_and_sends_nothing_costs_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
