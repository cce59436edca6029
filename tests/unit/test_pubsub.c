/* Publishing and subscribing, and notifications of changed keys from every door. */
#include "serving.h"

#include <pthread.h>

static void subscribers_get_what_is_published(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    assert_reply(sub, "SUBSCRIBE one two", "[str:subscribe str:one int:1]");
    assert_next(sub, "[str:subscribe str:two int:2]");
    assert_reply(sub, "SUBSCRIBE one", "[str:subscribe str:one int:2]");
    assert_reply(sub, "PSUBSCRIBE t*", "[str:psubscribe str:t* int:3]");
    TALK(c, { "PUBLISH one hello", "int:1" }, { "PUBLISH two you", "int:2" }, { "PUBLISH none x", "int:0" },
         { "PUBSUB CHANNELS", "[str:one str:two]" }, { "PUBSUB CHANNELS o*", "[str:one]" },
         { "PUBSUB NUMPAT", "int:1" }, { "PUBSUB NUMSUB one none", "[str:one int:1 str:none int:0]" });
    assert_next(sub, "[str:message str:one str:hello]");
    assert_next(sub, "[str:message str:two str:you]");
    assert_next(sub, "[str:pmessage str:t* str:two str:you]");
    assert_reply(
        sub, "GET x",
        "err:ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
        "in this context");
    assert_reply(sub, "PING", "[str:pong str:]");
    assert_reply(sub, "PING x", "[str:pong str:x]");
    assert_reply(sub, "UNSUBSCRIBE two", "[str:unsubscribe str:two int:2]");
    assert_reply(sub, "UNSUBSCRIBE", "[str:unsubscribe str:one int:1]");
    assert_reply(sub, "UNSUBSCRIBE", "[str:unsubscribe nil int:1]");
    assert_reply(sub, "PUNSUBSCRIBE", "[str:punsubscribe str:t* int:0]");
    assert_reply(sub, "GET x", "nil");
    assert_reply(c, "PUBLISH two x", "int:0");
    assert_reply(sub, "SUBSCRIBE one", "[str:subscribe str:one int:1]");
    assert_reply(sub, "RESET", "ok:RESET");
    assert_reply(c, "PUBLISH one x", "int:0");
    TALK(c, { "MULTI", "ok:OK" }, { "SUBSCRIBE a", "err:ERR Command not allowed inside a transaction" });
    redisFree(c);
    redisFree(sub);
}

static void a_subscriber_that_goes_is_forgotten(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    assert_reply(sub, "SUBSCRIBE one", "[str:subscribe str:one int:1]");
    redisFree(sub);
    for (int i = 0; i < 1000; i++) {
        redisReply *r = redisCommand(c, "PUBLISH one x");
        bool        gone = r->integer == 0;
        freeReplyObject(r);
        if (gone) break;
        assert_true(i < 999);
        usleep(10000);
    }
    assert_reply(c, "PUBSUB CHANNELS", "[]");
    redisFree(c);
}

/* In RESP3 and the line protocol subscribers may do everything else, too. */
static void pushes_come_between_replies(void **state)
{
    redisContext *c = client(*state);
    char          text[256] = "";
    int           fd = dial(*state);
    say(fd, "HELLO 3\r\n");
    assert_true(recv(fd, text, sizeof text, 0) > 0);
    say(fd, "SUBSCRIBE a\r\nGET x\r\n");
    assert_int_equal(recv(fd, text, strlen(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n_\r\n"), MSG_WAITALL), 33);
    assert_reply(c, "PUBLISH a b", "int:1");
    say(fd, "QUIT\r\n");
    char   all[256] = "";
    size_t n = 0;
    for (ssize_t got; (got = recv(fd, all + n, sizeof all - 1 - n, 0)) > 0;) n += (size_t)got;
    close(fd);
    assert_non_null(strstr(all, "+OK\r\n"));

    fd = dial(*state);
    say(fd, "PSUBSCRIBE *\n");
    assert_int_equal(recv(fd, text, strlen("psubscribe\n*\n1\n"), MSG_WAITALL), 15);
    assert_reply(c, "PUBLISH a b", "int:1");
    assert_int_equal(recv(fd, text, strlen("pmessage\n*\na\nb\n"), MSG_WAITALL), 15);
    assert_memory_equal(text, "pmessage\n*\na\nb\n", 15);
    close(fd);
    redisFree(c);
}

static void changes_from_every_door_are_notified(void **state)
{
    const fixture *f = *state;
    redisContext  *c = client(f), *sub = client(f);
    TALK(c, { "CONFIG GET notify-keyspace-events", "[str:notify-keyspace-events str:]" },
         { "CONFIG SET notify-keyspace-events KEA", "ok:OK" },
         { "CONFIG GET notify-keyspace-events", "[str:notify-keyspace-events str:AKE]" },
         { "CONFIG SET notify-keyspace-events ?",
           "err:ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class "
           "character. Use 'Ag$lshzxeKEtmdn'." });
    assert_reply(sub, "PSUBSCRIBE __key*__:*", "[str:psubscribe str:__key*__:* int:1]");
    assert_reply(c, "SET k v", "ok:OK");
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyspace@0__:k str:set]");
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyevent@0__:set str:k]");
    assert_int_equal(chr_delete(f->s, chr_str("k")), CHR_OK);
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyspace@0__:k str:del]");
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyevent@0__:del str:k]");
    TALK(c, { "CONFIG SET notify-keyspace-events Kg", "ok:OK" }, { "SET k v", "ok:OK" }, { "DEL k", "int:1" });
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyspace@0__:k str:del]");
    assert_is_reply(redisCommand(c, "CONFIG SET notify-keyspace-events %s", ""), "CONFIG SET", "ok:OK");
    TALK(c, { "SET k v", "ok:OK" }, { "PUBLISH __keyend__:x y", "int:1" });
    assert_next(sub, "[str:pmessage str:__key*__:* str:__keyend__:x str:y]");
    redisFree(c);
    redisFree(sub);
}

/* As Redis names them; in a transaction, and of other doors, they are set and del. */
static void changes_have_the_names_of_redis(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    assert_reply(c, "CONFIG SET notify-keyspace-events KA", "ok:OK");
    assert_reply(sub, "PSUBSCRIBE *", "[str:psubscribe str:* int:1]");
    static const struct {
        const char *command, *answer, *events[3];
    } steps[] = {
        { "SET k 1", "ok:OK", { "k:set" } },
        { "APPEND k 2", "int:2", { "k:append" } },
        { "SETRANGE k 0 3", "int:2", { "k:setrange" } },
        { "INCR k", "int:33", { "k:incrby" } },
        { "DECRBY k 3", "int:30", { "k:incrby" } },
        { "INCRBYFLOAT k 1", "str:31", { "k:incrbyfloat" } },
        { "SETBIT k 7 1", "int:1", { NULL } },
        { "SETBIT k 6 0", "int:1", { "k:setbit" } },
        { "EXPIRE k 100", "int:1", { "k:expire" } },
        { "EXPIRE k 100 NX", "int:0", { NULL } },
        { "PERSIST k", "int:1", { "k:persist" } },
        { "COPY k l", "int:1", { "l:copy_to" } },
        { "RENAME k m", "ok:OK", { "k:rename_from", "m:rename_to" } },
        { "EXPIRE m -1", "int:1", { "m:del" } },
        { "MULTI", "ok:OK", { NULL } },
        { "APPEND l x", "ok:QUEUED", { NULL } },
        { "EXEC", "[int:3]", { "l:set" } },
        { "GETDEL l", "str:11x", { "l:del" } },
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_reply(c, steps[i].command, steps[i].answer);
        for (size_t j = 0; steps[i].events[j]; j++) {
            char        wanted[200];
            const char *event = steps[i].events[j];
            snprintf(wanted, sizeof wanted, "[str:pmessage str:* str:__keyspace@0__:%.1s str:%s]", event, event + 2);
            assert_next(sub, wanted);
        }
    }
    assert_reply(c, "CONFIG SET notify-keyspace-events Kg", "ok:OK");
    TALK(c, { "SET k v", "ok:OK" }, { "APPEND k w", "int:2" }, { "EXPIRE k 100", "int:1" });
    assert_next(sub, "[str:pmessage str:* str:__keyspace@0__:k str:expire]");
    redisFree(c);
    redisFree(sub);
}

enum { PUBLISHERS = 3, MESSAGES = 2000 };

static void *publish_many(void *arg)
{
    redisContext *c = client(arg);
    for (int i = 0; i < MESSAGES; i++) freeReplyObject(redisCommand(c, "PUBLISH many %d", i));
    redisFree(c);
    return NULL;
}

static void nothing_is_lost_between_many(void **state)
{
    pthread_t     t[PUBLISHERS];
    redisContext *subs[4];
    for (int i = 0; i < 4; i++) {
        subs[i] = client(*state);
        assert_reply(subs[i], i % 2 ? "PSUBSCRIBE m*" : "SUBSCRIBE many",
                     i % 2 ? "[str:psubscribe str:m* int:1]" : "[str:subscribe str:many int:1]");
    }
    for (int i = 0; i < PUBLISHERS; i++) assert_int_equal(pthread_create(&t[i], NULL, publish_many, *state), 0);
    for (int i = 0; i < 4; i++) {
        long sum = 0;
        for (int k = 0; k < PUBLISHERS * MESSAGES; k++) {
            void *r = NULL;
            assert_int_equal(redisGetReply(subs[i], &r), REDIS_OK);
            sum += atol(((redisReply *)r)->element[((redisReply *)r)->elements - 1]->str);
            freeReplyObject(r);
        }
        assert_int_equal(sum, (long)PUBLISHERS * MESSAGES * (MESSAGES - 1) / 2);
    }
    for (int i = 0; i < PUBLISHERS; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) redisFree(subs[i]);
}

static void a_subscriber_that_does_not_read_is_closed(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    char         *big = malloc(1 << 20);
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    TALK(c, { "CONFIG SET client-output-buffer-limit normal", "err:ERR CONFIG SET failed (possibly related to argument "
                                                              "'client-output-buffer-limit') - write pubsub, the hard "
                                                              "limit, the soft limit and its seconds, such as 'pubsub "
                                                              "32mb 8mb 60'" });
    assert_is_reply(redisCommand(c, "CONFIG SET client-output-buffer-limit %s", "pubsub 4mb 2mb 60"), "CONFIG SET",
                    "ok:OK");
    assert_reply(c, "CONFIG GET client-output-buffer-limit",
                 "[str:client-output-buffer-limit str:pubsub 4194304 2097152 60]");
    assert_reply(sub, "SUBSCRIBE a", "[str:subscribe str:a int:1]");
    for (int i = 0;; i++) {
        redisReply *r = redisCommand(c, "PUBLISH a %b", big, (size_t)(1 << 20));
        bool        gone = r->integer == 0;
        freeReplyObject(r);
        if (gone) break;
        assert_true(i < 1000);
    }
    free(big);
    redisFree(c);
    redisFree(sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(subscribers_get_what_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(a_subscriber_that_goes_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(pushes_come_between_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_from_every_door_are_notified, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_have_the_names_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_lost_between_many, setup, teardown),
        cmocka_unit_test_setup_teardown(a_subscriber_that_does_not_read_is_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
