/* What people are told of the commands: complete, and true. */
#include "serving.h"

#include "net/command.h"

#include <hiredis/sds.h>
#include <strings.h>

static void every_command_is_explained(void **state)
{
    (void)state;
    for (const command *c = command_table; c < command_table + command_count; c++) {
        size_t len = strlen(c->summary);
        if (len == 0 || c->summary[len - 1] != '.') fail_msg("the summary of %s is no sentence", c->name);
        assert_non_null(c->arguments);
        assert_non_null(c->notes);
        bool known = false;
        for (size_t i = 0; i < COMMAND_GROUPS; i++) known = known || command_group(c) == command_groups[i];
        assert_true(known);
        if (c > command_table && strcmp(c[-1].name, c->name) >= 0) fail_msg("%s is not in the order", c->name);
        if (c->arity != -1 && (c->arity == 1) != (*c->arguments == 0))
            fail_msg("what is said of %s's arguments does not fit their number", c->name);
    }
}

/* One way to call it for each, and the example is one of them. */
static void every_subcommand_is_named_once(void **state)
{
    (void)state;
    for (const command *c = command_table; c < command_table + command_count; c++) {
        const subcommand *sub = subcommands_of(c);
        size_t            calls = 0, subs = 0;
        for (const char *at = c->arguments; at; calls++) {
            slice call = chr_str(at);
            call.len = command_call(c, &at);
            if (!sub) continue;
            const char *space = memchr(call.data, ' ', call.len);
            slice       name = chr_bytes(call.data, space ? (size_t)(space - call.data) : call.len);
            if (!subcommand_find(c, name)) fail_msg("%s has no subcommand %.*s", c->name, (int)name.len, name.data);
        }
        for (; sub && sub[subs].name; subs++) continue;
        if (sub && calls != subs) fail_msg("%s has %zu subcommands and names %zu", c->name, subs, calls);
        if (!sub) assert_int_equal(calls, 1);
    }
}

static void every_example_can_be_run(void **state)
{
    redisContext *c = client(*state);
    for (const command *of = command_table; of < command_table + command_count; of++) {
        /* These end the connection or the session of this test; their examples have no arguments. */
        if (of->flags & CMD_SUBSCRIBED || of->run == cmd_shutdown || of->run == cmd_monitor) continue;
        if (of->run == cmd_hello || of->run == cmd_auth || of->run == cmd_acl)
            continue;                                  /* RESP3; without users, no rights */
        if (strncmp(of->name, "fs", 2) == 0) continue; /* what mounts say; nobody types that */
        int  n;
        sds  line = sdscatprintf(sdsempty(), "%s %s", of->name, of->example);
        sds *words = sdssplitargs(line, &n);
        assert_non_null(words);
        redisReply *r = redisCommandArgv(c, n, (const char **)words, NULL);
        assert_non_null(r);
        if (r->type == REDIS_REPLY_ERROR &&
            (strstr(r->str, "syntax") || strstr(r->str, "wrong number") || strstr(r->str, "unknown") ||
             strstr(r->str, "not an integer") || strstr(r->str, "not a valid")))
            fail_msg("%s: %s", line, r->str);
        freeReplyObject(r);
        sdsfreesplitres(words, n);
        sdsfree(line);
    }
    redisFree(c);
}

static void programs_get_docs(void **state)
{
    redisContext *c = client(*state);
    redisReply   *r = redisCommand(c, "COMMAND DOCS getset nosuch");
    assert_non_null(r);
    assert_int_equal(r->elements, 2);
    assert_string_equal(r->element[0]->str, "getset");
    static const char *const fields[][2] = {
        { "summary", "Sets a value, and tells the old one." },
        { "group", "string" },
        { "syntax", "key value" },
        { "example", "greeting bye" },
        { "notes", "SET with GET in older words." },
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        bool found = false;
        for (size_t k = 0; k + 1 < r->element[1]->elements; k += 2) {
            if (strcmp(r->element[1]->element[k]->str, fields[i][0]) != 0) continue;
            assert_string_equal(r->element[1]->element[k + 1]->str, fields[i][1]);
            found = true;
        }
        assert_true(found);
    }
    freeReplyObject(r);
    redisFree(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_explained),
        cmocka_unit_test(every_subcommand_is_named_once),
        cmocka_unit_test_setup_teardown(every_example_can_be_run, setup, teardown),
        cmocka_unit_test_setup_teardown(programs_get_docs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
