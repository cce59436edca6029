/* Users, passwords, and what each may do. */
#include "serving.h"

#include "net/rights.h"
#include "net/users.h"

#include <sys/stat.h>

static void write_users(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

#define HASH "$6$abcdefgh$"

/* Rules that are words, as ACL SETUSER takes them. */
static chr_status set_user(users *u, const char *name, const char *rules)
{
    slice  each[16];
    size_t n = 0, wrong;
    for (const char *at = rules; *at; n++) {
        size_t len = strcspn(at, " ");
        each[n] = chr_bytes(at, len);
        at += len + (at[len] == ' ');
    }
    return users_set(u, chr_str(name), each, n, &wrong);
}

static bool lets_in(users *u, const char *name, const char *password)
{
    identity who;
    bool     in = users_check(u, chr_str(name), chr_str(password), &who);
    identity_drop(&who);
    return in;
}
static char users_path[300];

static int setup_users(void **state)
{
    if (setup(state)) return -1;
    fixture *f = *state;
    users   *u;
    server_stop(f->srv);
    snprintf(users_path, sizeof users_path, "%s/users", f->dir);
    write_users(users_path, "# users\ndefault:\nadmin:\n", 0600);
    assert_int_equal(users_open(users_path, &u), CHR_OK);
    assert_int_equal(set_user(u, "admin", "on >secret"), CHR_OK);
    assert_int_equal(set_user(u, "default", "on >secret -@write -@admin"), CHR_OK);
    users_free(u);
    server_options net = { .listen = { "127.0.0.1:0" }, .threads = 2, .users = users_path };
    assert_int_equal(server_start(f->s, &net, &f->srv), CHR_OK);
    f->port = atoi(strrchr(server_address(f->srv, 0, &(bool){ false }), ':') + 1);
    return 0;
}

static void nothing_is_done_without_a_password(void **state)
{
    redisContext *c = client(*state);
    const char   *noauth = "err:NOAUTH Authentication required.";
    const char   *wrong = "err:WRONGPASS invalid username-password pair or user is disabled.";
    TALK(c, { "PING", noauth }, { "GET a", noauth }, { "MULTI", noauth }, { "SHUTDOWN", noauth },
         { "CLIENT LIST", noauth }, { "AUTH wrong", wrong }, { "AUTH admin wrong", wrong },
         { "AUTH nobody secret", wrong }, { "GET a", noauth }, { "HELLO 2 AUTH admin wrong", wrong },
         { "AUTH a b c", "err:ERR syntax error" }, { "GET a", noauth }, { "AUTH admin secret", "ok:OK" },
         { "ACL WHOAMI", "str:admin" }, { "SET a 1", "ok:OK" }, { "RESET", "ok:RESET" }, { "GET a", noauth });
    redisReply *r = redisCommand(c, "HELLO 2");
    assert_memory_equal(r->str, "NOAUTH HELLO", 12);
    freeReplyObject(r);
    r = redisCommand(c, "HELLO 2 AUTH admin secret");
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    freeReplyObject(r);
    assert_reply(c, "GET a", "str:1");
    redisFree(c);
}

static void a_user_who_may_only_read_only_reads(void **state)
{
    redisContext *c = client(*state);
    TALK(c, { "AUTH secret", "ok:OK" }, { "ACL WHOAMI", "str:default" }, { "GET a", "nil" },
         { "SET a 1", "err:NOPERM this user has no permissions to run the 'set' command" },
         { "CONFIG GET x", "err:NOPERM this user has no permissions to run the 'config|get' command" },
         { "ACL SETUSER default +@all", "err:NOPERM this user has no permissions to run the 'acl|setuser' command" },
         { "CLIENT KILL ID 1", "err:NOPERM this user has no permissions to run the 'client|kill' command" },
         { "MULTI", "ok:OK" }, { "GET a", "ok:QUEUED" }, { "EXEC", "[nil]" }, { "MULTI", "ok:OK" },
         { "DEL a", "err:NOPERM this user has no permissions to run the 'del' command" },
         { "EXEC", "err:EXECABORT Transaction discarded because of previous errors." });
    redisFree(c);
}

static void users_are_made_and_changed(void **state)
{
    redisContext *c = client(*state), *other = client(*state);
    users        *u;
    TALK(c, { "AUTH admin secret", "ok:OK" }, { "ACL USERS", "[str:default str:admin]" },
         { "ACL SETUSER eve on >one +@all ~*", "ok:OK" }, { "ACL SETUSER eve -@write", "ok:OK" },
         { "ACL LIST",
           "[str:user default on #(hidden) ~* &* +@all -@write -@admin str:user admin on #(hidden) ~* &* +@all "
           "str:user eve on #(hidden) ~* resetchannels +@all -@write]" },
         { "ACL GETUSER nobody", "nil" },
         { "ACL GETUSER eve",
           "[str:flags [str:on] str:passwords [str:(hidden)] str:commands str:+@all -@write str:keys str:~* "
           "str:channels str: str:selectors []]" },
         { "ACL SETUSER eve one", "err:ERR Error in ACL SETUSER modifier '(redacted)': Syntax error" },
         { "ACL SETUSER eve on >two +@nosuch",
           "err:ERR Error in ACL SETUSER modifier '+@nosuch': Unknown command or category name in ACL" },
         { "ACL SETUSER a:b on", "err:ERR Usernames can't contain spaces, colons or null characters" });
    assert_reply(other, "AUTH eve one", "ok:OK");
    assert_reply(c, "ACL SETUSER eve off", "ok:OK");
    assert_reply(other, "AUTH eve one", "err:WRONGPASS invalid username-password pair or user is disabled.");
    /* It is in the file, and the password is not. */
    assert_int_equal(users_open(users_path, &u), CHR_OK);
    assert_false(lets_in(u, "eve", "one"));
    assert_int_equal(set_user(u, "eve", "on"), CHR_OK);
    assert_true(lets_in(u, "eve", "one"));
    users_free(u);
    char   text[4096] = "";
    FILE  *f = fopen(users_path, "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    assert_true(n > 0);
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "one"));
    redisFree(c);
    redisFree(other);
}

static void who_is_deleted_is_gone(void **state)
{
    redisContext *c = client(*state), *eve = client(*state), *other = client(*state);
    users        *u;
    TALK(c, { "AUTH admin secret", "ok:OK" }, { "ACL SETUSER eve on >one +ping", "ok:OK" });
    TALK(eve, { "AUTH eve one", "ok:OK" }, { "PING", "ok:PONG" });
    TALK(other, { "AUTH secret", "ok:OK" },
         { "ACL DELUSER eve", "err:NOPERM this user has no permissions to run the 'acl|deluser' command" });
    TALK(c, { "ACL DELUSER default", "err:ERR The 'default' user cannot be removed" },
         { "ACL DELUSER nobody eve", "int:1" }, { "ACL DELUSER eve", "int:0" },
         { "ACL USERS", "[str:default str:admin]" });
    char    rest[16];
    ssize_t got = recv(eve->fd, rest, sizeof rest, 0);
    assert_true(got <= 0);
    redisFree(eve);
    eve = client(*state);
    assert_reply(eve, "AUTH eve one", "err:WRONGPASS invalid username-password pair or user is disabled.");
    assert_reply(other, "PING", "ok:PONG");
    assert_int_equal(users_open(users_path, &u), CHR_OK);
    assert_false(users_has(u, chr_str("eve")));
    assert_true(users_has(u, chr_str("admin")));
    users_free(u);
    /* Who deletes itself hears of it. */
    assert_reply(c, "ACL DELUSER admin", "int:1");
    assert_null(redisCommand(c, "PING"));
    redisFree(c);
    redisFree(eve);
    redisFree(other);
}

#define NO_KEY "err:NOPERM this user has no permissions to access one of the keys used as arguments"
#define NO_COMMAND(name) "err:NOPERM this user has no permissions to run the '" name "' command"

/* SETs and GETs that come together are run together; each is looked at all the same. */
static void a_pipeline_is_no_way_around(void **state)
{
    redisContext *c = client(*state), *eve = client(*state);
    enum { N = 200 };
    TALK(c, { "AUTH admin secret", "ok:OK" }, { "MSET no:1 secret mine:x 1", "ok:OK" },
         { "ACL SETUSER eve on >one ~mine:* +set +get", "ok:OK" });
    assert_reply(eve, "AUTH eve one", "ok:OK");
    for (int i = 0; i < N; i++) redisAppendCommand(eve, "SET %s:%d v", i % 3 ? "mine" : "no", i % 5);
    for (int i = 0; i < N; i++) redisAppendCommand(eve, "GET %s:1", i % 4 ? "mine" : "no");
    for (int i = 0; i < N; i++) assert_next(eve, i % 3 ? "ok:OK" : NO_KEY);
    for (int i = 0; i < N; i++) assert_next(eve, i % 4 ? "str:v" : NO_KEY);
    TALK(c, { "GET no:1", "str:secret" }, { "EXISTS no:0 no:2 no:3 no:4", "int:0" });
    redisFree(c);
    redisFree(eve);
}

static void who_may_not_use_a_key_does_not_hear_of_it(void **state)
{
    redisContext *c = client(*state), *eve = client(*state);
    TALK(c, { "AUTH admin secret", "ok:OK" }, { "MSET a:1 x a:2 x b:1 x b:2 x", "ok:OK" },
         { "ACL SETUSER eve on >one ~a:* %%R~b:2 +@all", "ok:OK" });
    TALK(eve, { "AUTH eve one", "ok:OK" }, { "KEYS *", "[str:a:1 str:a:2 str:b:2]" },
         { "SCAN 0 COUNT 100", "[str:0 [str:a:1 str:a:2 str:b:2]]" }, { "SCAN 0 MATCH b:*", "[str:0 [str:b:2]]" },
         { "RANGE a: a;", "[str:a:1 str:x str:a:2 str:x]" }, { "RANGE a: z", NO_KEY }, { "PREFIX b:", NO_KEY },
         { "COUNTRANGE a b", NO_KEY }, { "DELRANGE b:2 b:3", NO_KEY }, { "RANDOMKEY", NO_KEY }, { "FLUSHALL", NO_KEY },
         { "DELRANGE a: a:2", "ok:OK" });
    TALK(eve, { "CLIENT TRACKING ON BCAST", NO_KEY }, { "CLIENT TRACKING ON BCAST PREFIX b:", NO_KEY },
         { "CLIENT TRACKING ON BCAST PREFIX a:", "ok:OK" });
    redisFree(c);
    redisFree(eve);
}

static void a_change_is_felt_at_once(void **state)
{
    redisContext *c = client(*state), *eve = client(*state), *listener = client(*state), *other = client(*state);
    TALK(c, { "AUTH admin secret", "ok:OK" }, { "ACL SETUSER eve on >one ~* &a* &b +@all", "ok:OK" });
    TALK(eve, { "AUTH eve one", "ok:OK" }, { "SET k 1", "ok:OK" }, { "MULTI", "ok:OK" }, { "GET k", "ok:QUEUED" },
         { "SET k 2", "ok:QUEUED" });
    TALK(listener, { "AUTH eve one", "ok:OK" }, { "SUBSCRIBE b", "[str:subscribe str:b int:1]" });
    TALK(other, { "AUTH eve one", "ok:OK" }, { "SUBSCRIBE abc", "[str:subscribe str:abc int:1]" });
    TALK(c, { "ACL SETUSER eve -set resetchannels &a*", "ok:OK" });
    TALK(eve,
         { "EXEC",
           "[str:1 err:NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC "
           "call. This command is no longer allowed for the following reason: no permission to execute the "
           "command or subcommand]" },
         { "SET k 2", NO_COMMAND("set") }, { "GET k", "str:1" });
    void *r = NULL;
    assert_int_equal(redisGetReply(listener, &r), REDIS_ERR); /* it may not listen to b any more, and is closed */
    TALK(c, { "PUBLISH abc x", "int:1" });
    assert_next(other, "[str:message str:abc str:x]");
    TALK(c, { "CLIENT KILL USER nobody", "err:ERR No such user 'nobody'" }, { "CLIENT KILL USER default", "int:0" },
         { "CLIENT KILL USER admin SKIPME no ID 99999", "int:0" });
    /* Whoever is here may stay when the user is locked out, as in Redis, and then not come again. */
    TALK(c, { "ACL SETUSER eve off", "ok:OK" });
    assert_reply(eve, "GET k", "str:1");
    assert_reply(eve, "AUTH eve one", "err:WRONGPASS invalid username-password pair or user is disabled.");
    assert_reply(eve, "GET k", "str:1");
    redisFree(c);
    redisFree(eve);
    redisFree(listener);
    redisFree(other);
}

static void the_file_is_read_again(void **state)
{
    redisContext *c = client(*state), *eve = client(*state);
    users        *u;
    TALK(c, { "AUTH admin secret", "ok:OK" },
         { "ACL SETUSER eve on >one ~a*b %%R~c &x +@read -get +client|id", "ok:OK" },
         { "ACL SETUSER default on nopass -@all +ping", "ok:OK" });
    assert_reply(eve, "AUTH eve one", "ok:OK");
    /* What was written is what there is. */
    assert_int_equal(users_open(users_path, &u), CHR_OK);
    assert_true(lets_in(u, "eve", "one"));
    rights *its = users_rights(u, chr_str("eve"));
    buf     text = { 0 };
    assert_true(its && rights_put(its, &text) && buf_append_byte(&text, 0));
    assert_string_equal(text.data, "~a*b %R~c resetchannels &x -@all +@read -get +client|id");
    chr_buf_free(&text);
    rights_drop(its);
    users_free(u);
    /* Who needs no password is let in as that. */
    redisContext *nobody = client(*state);
    TALK(nobody, { "PING", "ok:PONG" }, { "GET a", NO_COMMAND("get") }, { "ACL WHOAMI", NO_COMMAND("acl|whoami") },
         { "AUTH default whatever", "ok:OK" }, { "RESET", "ok:RESET" }, { "PING", "ok:PONG" });
    redisFree(nobody);
    TALK(c, { "ACL SAVE", "ok:OK" }, { "ACL LOAD", "ok:OK" });
    assert_reply(eve, "STRLEN c", "int:0");
    /* A bad file changes nothing; a good one is all there is. */
    write_users(users_path, "user eve on nopass ~* +nosuch\n", 0600);
    redisReply *r = redisCommand(c, "ACL LOAD");
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(r->str, "line 1 of"));
    assert_non_null(strstr(r->str, "Unknown command or category name in ACL"));
    freeReplyObject(r);
    assert_reply(c, "ACL USERS", "[str:default str:admin str:eve]");
    write_users(users_path, "user admin on nopass ~* &* +@all\n\n# nobody else\n", 0600);
    TALK(c, { "ACL LOAD", "ok:OK" }, { "ACL LIST", "[str:user admin on nopass ~* &* +@all]" });
    assert_null(redisCommand(eve, "STRLEN c"));
    redisFree(c);
    redisFree(eve);
}

static void passwords_are_drawn(void **state)
{
    redisContext *c = client(*state);
    const char *limits = "err:ERR ACL GENPASS argument must be the number of bits for the output password, a positive "
                         "number up to 4096";
    static const struct {
        const char *command;
        size_t      digits;
    } asked[] = { { "ACL GENPASS", 64 }, { "ACL GENPASS 1", 1 }, { "ACL GENPASS 5", 2 }, { "ACL GENPASS 4096", 1024 } };
    TALK(c, { "AUTH secret", "ok:OK" }, { "ACL GENPASS 0", limits }, { "ACL GENPASS 4097", limits },
         { "ACL GENPASS x", "err:ERR value is not an integer or out of range" });
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        redisReply *r = redisCommand(c, asked[i].command), *other = redisCommand(c, asked[i].command);
        assert_int_equal(r->type, REDIS_REPLY_STRING);
        assert_int_equal(r->len, asked[i].digits);
        assert_int_equal(strspn(r->str, "0123456789abcdef"), asked[i].digits);
        if (asked[i].digits >= 64) assert_string_not_equal(r->str, other->str);
        freeReplyObject(r);
        freeReplyObject(other);
    }
    redisFree(c);
}

static void files_that_will_not_do_are_refused(void **state)
{
    const fixture *f = *state;
    char           path[300];
    users         *u;
    snprintf(path, sizeof path, "%s/other", f->dir);
    assert_int_equal(users_open(path, &u), CHR_INVALID);
    write_users(path, "a:" HASH "\n", 0644);
    assert_int_equal(users_open(path, &u), CHR_INVALID);
    assert_non_null(strstr(chr_message(), "chmod 600"));
    static const char *const bad[] = { "",
                                       "# none\n",
                                       "a\n",
                                       ":x\n",
                                       "a b:x\n",
                                       "a:x:writeonly\n",
                                       "a:x\na:y\n",
                                       "user\n",
                                       "user \n",
                                       "user a:b on\n",
                                       "user a on >secret\n",
                                       "user a +nosuch\n",
                                       "user a on\nuser a on\n",
                                       "a:no hash\n",
                                       "user a on\nb\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_users(path, bad[i], 0600);
        assert_int_equal(users_open(path, &u), CHR_INVALID);
    }
    /* No hash, a locked one and one of an unknown kind let nobody in. */
    write_users(path, "a:\nb:!" HASH "\nc:secret\n", 0600);
    assert_int_equal(users_open(path, &u), CHR_OK);
    assert_false(lets_in(u, "a", ""));
    assert_false(lets_in(u, "b", "secret"));
    assert_false(lets_in(u, "c", "secret"));
    users_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_done_without_a_password, setup_users, teardown),
        cmocka_unit_test_setup_teardown(a_user_who_may_only_read_only_reads, setup_users, teardown),
        cmocka_unit_test_setup_teardown(users_are_made_and_changed, setup_users, teardown),
        cmocka_unit_test_setup_teardown(who_is_deleted_is_gone, setup_users, teardown),
        cmocka_unit_test_setup_teardown(a_pipeline_is_no_way_around, setup_users, teardown),
        cmocka_unit_test_setup_teardown(who_may_not_use_a_key_does_not_hear_of_it, setup_users, teardown),
        cmocka_unit_test_setup_teardown(a_change_is_felt_at_once, setup_users, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_read_again, setup_users, teardown),
        cmocka_unit_test_setup_teardown(passwords_are_drawn, setup_users, teardown),
        cmocka_unit_test_setup_teardown(files_that_will_not_do_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
