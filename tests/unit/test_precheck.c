/* What is looked at before anything is created or changed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/precheck.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test runs in an empty directory of its own. */
static int enter(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char       *path = NULL;
    if (asprintf(&path, "%s/chronos-test-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0 || !mkdtemp(path)) return -1;
    *state = path;
    return chdir(path);
}

static int leave(void **state)
{
    static const char *const files[] = { "data/LOCK", "data/notes.txt", "data/CURRENT", "mnt/file", "file", "link" };
    static const char *const dirs[] = { "data/lost+found", "data/mnt", "data", "mnt/data", "mnt" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) rmdir(dirs[i]);
    int result = chdir("/") < 0 ? -1 : rmdir(*state);
    free(*state);
    return result;
}

static void make_dir(const char *path) { assert_int_equal(mkdir(path, 0700), 0); }

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void refused(chr_status st, const char *part_of_sentence)
{
    assert_int_equal(st, CHR_INVALID);
    if (!strstr(chr_message(), part_of_sentence)) print_error("%s\n", chr_message());
    assert_non_null(strstr(chr_message(), part_of_sentence));
}

static void a_store_may_be_made_in_a_new_or_an_empty_directory(void **state)
{
    (void)state;
    assert_int_equal(precheck_store("data", true), CHR_OK);
    assert_int_equal(precheck_store("./data/", true), CHR_OK);
    assert_int_equal(access("data", F_OK), -1); /* looking creates nothing */
    make_dir("data");
    assert_int_equal(precheck_store("data", true), CHR_OK);
    make_dir("data/lost+found");
    assert_int_equal(precheck_store("data", true), CHR_OK);
}

static void a_store_is_recognised_beside_other_files(void **state)
{
    (void)state;
    make_dir("data");
    make_file("data/notes.txt");
    refused(precheck_store("data", true), "data holds other files and no store");
    make_file("data/LOCK");
    assert_int_equal(precheck_store("data", true), CHR_OK);
    assert_int_equal(precheck_store("data", false), CHR_OK);
}

static void what_is_only_read_must_be_there(void **state)
{
    (void)state;
    refused(precheck_store("data", false), "there is no data directory data; say where it is with --dir");
    make_dir("data");
    refused(precheck_store("data", false), "there is no store in data");
}

static void a_data_directory_that_cannot_be_is_refused(void **state)
{
    (void)state;
    make_file("file");
    refused(precheck_store("file", true), "it is a file");
    refused(precheck_store("no/such/data", true), "no/such: No such file or directory; create that first");
    refused(precheck_store("file/data", true), "Not a directory");
    char longer[8192];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    refused(precheck_store(longer, true), "too long (8191 bytes)");
}

static void a_mount_point_is_an_empty_directory(void **state)
{
    (void)state;
    refused(precheck_mount_point("mnt", "data"), "the mount point mnt does not exist; create it with 'mkdir mnt'");
    make_dir("mnt");
    assert_int_equal(precheck_mount_point("mnt", "data"), CHR_OK);
    make_file("mnt/file");
    refused(precheck_mount_point("mnt", "data"), "cannot mount at mnt: it is not empty");
    refused(precheck_mount_point("mnt/file", "data"), "it is not a directory");
}

static void mount_point_and_data_directory_are_kept_apart(void **state)
{
    (void)state;
    make_dir("mnt");
    refused(precheck_mount_point("mnt", "mnt"), "the data directory mnt lies in it");
    refused(precheck_mount_point("mnt", "mnt/data"),
            "the data directory mnt/data lies in it"); /* though not made yet */
    refused(precheck_mount_point("/", "data"), "the data directory data lies in it");
    refused(precheck_mount_point("data/a/mnt", "./data"), "it lies in the data directory ./data");
    make_dir("data");
    make_dir("data/mnt");
    assert_int_equal(symlink("data/mnt", "link"), 0);
    refused(precheck_mount_point("link", "data"), "it lies in the data directory data");
    refused(precheck_mount_point("data/mnt", "data"), "it lies in the data directory data");
    assert_int_equal(precheck_mount_point("mnt", "mnt2"), CHR_OK); /* a name that only begins alike */
}

static void a_port_in_use_is_refused(void **state)
{
    (void)state;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          len = sizeof in;
    char               address[64];
    int                s = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s >= 0);
    assert_int_equal(bind(s, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&in, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(in.sin_port));
    refused(precheck_listen(address, false), "another program uses that port; choose another with --listen");
    close(s);
    assert_int_equal(precheck_listen(address, false), CHR_OK);
}

static void only_loopback_is_listened_on_unless_asked_for(void **state)
{
    (void)state;
    assert_int_equal(precheck_listen("127.0.0.1:0", false), CHR_OK);
    assert_int_equal(precheck_listen("127.1.2.3:0", false), CHR_OK);
    assert_int_equal(precheck_listen("localhost:0", false), CHR_OK);
    refused(precheck_listen("0.0.0.0:0", false), "nothing is encrypted; add --allow-remote");
    refused(precheck_listen(":0", false), "add --allow-remote");
    refused(precheck_listen("[::]:0", false), "add --allow-remote");
    assert_int_equal(precheck_listen("0.0.0.0:0", true), CHR_OK);
    refused(precheck_listen("192.0.2.1:0", true), "this machine has no such address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_may_be_made_in_a_new_or_an_empty_directory, enter, leave),
        cmocka_unit_test_setup_teardown(a_store_is_recognised_beside_other_files, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_only_read_must_be_there, enter, leave),
        cmocka_unit_test_setup_teardown(a_data_directory_that_cannot_be_is_refused, enter, leave),
        cmocka_unit_test_setup_teardown(a_mount_point_is_an_empty_directory, enter, leave),
        cmocka_unit_test_setup_teardown(mount_point_and_data_directory_are_kept_apart, enter, leave),
        cmocka_unit_test_setup_teardown(a_port_in_use_is_refused, enter, leave),
        cmocka_unit_test_setup_teardown(only_loopback_is_listened_on_unless_asked_for, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
