/* What CLIENT shows and does, and the limits on clients. */
#include "serving.h"

#include <pthread.h>

static char *text_of(redisContext *c, const char *command)
{
    redisReply *r = redisCommand(c, command);
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    char *text = strdup(r->str);
    freeReplyObject(r);
    return text;
}

static void assert_shows(redisContext *c, const char *command, const char *part)
{
    char *text = text_of(c, command);
    if (!strstr(text, part)) fail_msg("%s: no '%s' in %s", command, part, text);
    free(text);
}

static long long id_of(redisContext *c)
{
    redisReply *r = redisCommand(c, "CLIENT ID");
    long long   id = r->integer;
    freeReplyObject(r);
    return id;
}

static void assert_closed(redisContext *c)
{
    void *r = NULL;
    assert_int_equal(redisGetReply(c, &r), REDIS_ERR);
    redisFree(c);
}

static void connections_are_listed(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    TALK(c, { "CLIENT SETNAME me", "ok:OK" }, { "CLIENT GETNAME", "str:me" },
         { "CLIENT LIST TYPE odd", "err:ERR Unknown client type 'odd'" },
         { "CLIENT LIST ID x", "err:ERR Invalid client ID" });
    assert_reply(sub, "SUBSCRIBE a b", "[str:subscribe str:a int:1]");
    assert_next(sub, "[str:subscribe str:b int:2]");
    assert_shows(c, "CLIENT INFO", " name=me ");
    assert_shows(c, "CLIENT INFO", " flags=N db=0 sub=0 psub=0 multi=-1 cmd=client ");
    assert_shows(c, "CLIENT LIST", " name=me ");
    assert_shows(c, "CLIENT LIST", " flags=P db=0 sub=2 psub=0 multi=-1 cmd=subscribe ");
    char *text = text_of(c, "CLIENT LIST TYPE pubsub");
    assert_null(strstr(text, "name=me"));
    assert_non_null(strstr(text, "sub=2"));
    free(text);
    redisFree(c);
    redisFree(sub);
}

static void connections_are_closed_on_demand(void **state)
{
    redisContext *c = client(*state), *one = client(*state), *two = client(*state);
    char          command[64];
    snprintf(command, sizeof command, "CLIENT KILL ID %lld", id_of(one));
    assert_reply(c, command, "int:1");
    assert_closed(one);
    assert_reply(two, "SUBSCRIBE a", "[str:subscribe str:a int:1]");
    TALK(c, { "CLIENT KILL TYPE pubsub", "int:1" }, { "CLIENT KILL 1.2.3.4:5", "err:ERR No such client" },
         { "CLIENT KILL ID 0", "err:ERR client-id should be greater than 0" }, { "CLIENT KILL TYPE normal", "int:0" },
         { "CLIENT KILL TYPE normal SKIPME no", "int:1" });
    assert_closed(two);
    assert_closed(c);
}

static void replies_are_left_out_on_demand(void **state)
{
    int fd = dial(*state);
    say(fd, "CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY OFF\r\nSET a 2\r\nDBSIZE\r\nCLIENT REPLY ON\r\nGET "
            "a\r\nQUIT\r\n");
    assert_hears(fd, "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n+OK\r\n");
}

static void *set_while_paused(void *arg)
{
    redisContext *c = client(arg);
    assert_reply(c, "SET k paused", "ok:OK");
    redisFree(c);
    return NULL;
}

static void a_pause_holds_back_writes(void **state)
{
    pthread_t     t;
    redisContext *c = client(*state);
    TALK(c, { "SET k v", "ok:OK" }, { "CLIENT PAUSE x", "err:ERR timeout is not an integer or out of range" },
         { "CLIENT PAUSE 5 SOME", "err:ERR CLIENT PAUSE mode must be WRITE or ALL" },
         { "CLIENT PAUSE 1000000 WRITE", "ok:OK" });
    assert_int_equal(pthread_create(&t, NULL, set_while_paused, *state), 0);
    for (int i = 0; i < 20; i++) {
        assert_reply(c, "GET k", "str:v");
        usleep(10000);
    }
    assert_reply(c, "CLIENT UNPAUSE", "ok:OK");
    pthread_join(t, NULL);
    assert_reply(c, "GET k", "str:paused");
    /* It ends by itself, too. */
    assert_reply(c, "CLIENT PAUSE 50", "ok:OK");
    assert_reply(c, "GET k", "str:paused");
    redisFree(c);
}

static void settings_are_set_together_or_not_at_all(void **state)
{
    redisContext *c = client(*state);
    TALK(c,
         { "CONFIG SET timeout 5 maxclients 0",
           "err:ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and "
           "4294967295 inclusive" },
         { "CONFIG GET timeout", "[str:timeout str:0]" }, { "CONFIG SET timeout 5 maxclients 7", "ok:OK" },
         { "CONFIG GET maxclients", "[str:maxclients str:7]" }, { "CONFIG GET timeout", "[str:timeout str:5]" },
         { "CONFIG SET port 1",
           "err:ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config" },
         { "CONFIG SET odd 1", "err:ERR Unknown option or number of arguments for CONFIG SET - 'odd'" },
         { "CONFIG SET timeout x", "err:ERR CONFIG SET failed (possibly related to argument 'timeout') - argument "
                                   "couldn't be parsed into an integer" });
    redisFree(c);
}

static void there_are_no_more_clients_than_allowed(void **state)
{
    redisContext *c = client(*state);
    assert_reply(c, "CONFIG SET maxclients 1", "ok:OK");
    int fd = dial(*state);
    assert_hears(fd, "-ERR max number of clients reached\r\n");
    assert_reply(c, "CONFIG SET maxclients 2", "ok:OK");
    redisContext *other = client(*state);
    assert_reply(other, "PING", "ok:PONG");
    redisFree(other);
    redisFree(c);
}

/* The end comes when its time has come; those that are not concerned stay. */
static void the_idle_and_the_slow_are_closed(void **state)
{
    redisContext *c = client(*state), *sub = client(*state);
    char          byte;
    assert_reply(sub, "SUBSCRIBE a", "[str:subscribe str:a int:1]");
    int idle = dial(*state), slow = dial(*state);
    assert_reply(c, "CONFIG SET request-timeout 1", "ok:OK");
    say(slow, "*2\r\n$3\r\nGET\r\n$5\r\nab");
    for (; recv(slow, &byte, 1, MSG_DONTWAIT) != 0; usleep(20000)) say(idle, "PING\r\n");
    assert_reply(c, "CONFIG SET request-timeout 0 timeout 1", "ok:OK");
    for (ssize_t got; (got = recv(idle, &byte, 1, MSG_DONTWAIT)) != 0;) {
        assert_reply(c, "PING", "ok:PONG");
        if (got < 0) usleep(20000);
    }
    assert_reply(c, "PING", "ok:PONG");
    assert_reply(sub, "PING", "[str:pong str:]");
    close(idle);
    close(slow);
    redisFree(c);
    redisFree(sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_are_closed_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(replies_are_left_out_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pause_holds_back_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_are_set_together_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_no_more_clients_than_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_idle_and_the_slow_are_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
