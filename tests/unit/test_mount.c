/* A mount in this process, used as any program would, beside the store's own interface. Needs /dev/fuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef struct fixture {
    char   dir[256], data[300], mnt[300];
    store *s;
    mount *m;
} fixture;

static int setup(void **state)
{
    fixture      *f = calloc(1, sizeof *f);
    const char   *tmp = getenv("TMPDIR");
    store_options o = { .chr = chr_options_default() };
    assert_non_null(f);
    o.chr.sync = CHR_SYNC_NONE;
    snprintf(f->dir, sizeof f->dir, "%s/chronos-mount-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->data, sizeof f->data, "%s/data", f->dir);
    snprintf(f->mnt, sizeof f->mnt, "%s/mnt", f->dir);
    assert_int_equal(mkdir(f->mnt, 0755), 0);
    assert_int_equal(store_open(f->data, &o, &f->s), CHR_OK);
    mount_options options = { .mount_point = f->mnt };
    if (mount_start(f->s, &options, &f->m) != CHR_OK) fail_msg("%s", chr_message());
    assert_int_equal(chdir(f->mnt), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(chdir("/"), 0);
    mount_stop(f->m);
    assert_int_equal(chr_close(f->s), CHR_OK);
    DIR *d = opendir(f->data);
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));)
        if (x->d_name[0] != '.') (void)unlinkat(dirfd(d), x->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(f->data) | rmdir(f->mnt) | rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void assert_file(const char *path, const char *expected)
{
    char text[256] = "";
    int  fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_msg("%s: %s", path, strerror(errno));
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

static void set_key(const fixture *f, const char *key, const char *value)
{
    uint64_t seq;
    assert_int_equal(store_put(f->s, chr_str(key), NULL, chr_str(value), &seq), CHR_OK);
    assert_int_equal(store_wait(f->s, seq), CHR_OK);
}

static void assert_key(const fixture *f, const char *key, const char *expected)
{
    buf        value = { 0 };
    chr_status st = store_get(f->s, NULL, chr_str(key), &value, NULL, NULL);
    if (!expected) {
        assert_int_equal(st, CHR_NOT_FOUND);
    } else {
        assert_int_equal(st, CHR_OK);
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.data, expected, value.len);
    }
    chr_buf_free(&value);
}

static void what_one_door_writes_the_other_reads(void **state)
{
    fixture *f = *state;
    set_key(f, "greeting", "hello");
    assert_file("greeting", "hello");
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof text, "value %d", i);
        set_key(f, "greeting", text);
        assert_file("greeting", text);
    }
    write_file("greeting", "world\n");
    assert_key(f, "greeting", "world\n");
    assert_int_equal(access("a/b", F_OK), -1);
    set_key(f, "a/b", "1");
    assert_file("a/b", "1");
    set_key(f, "a", "value of a");
    assert_file("a/%=self", "value of a");
}

static void a_file_reaches_the_store_whole_when_it_is_closed(void **state)
{
    fixture *f = *state;
    int      fd = open("new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "half ", 5), 5);
    assert_key(f, "new", NULL);
    assert_file("new", "half ");
    assert_int_equal(write(fd, "whole", 5), 5);
    assert_int_equal(close(fd), 0);
    assert_key(f, "new", "half whole");
}

static void an_unlinked_file_lives_on_while_it_is_open(void **state)
{
    fixture *f = *state;
    char     text[16] = "";
    write_file("gone", "still here");
    int fd = open("gone", O_RDWR | O_CLOEXEC);
    assert_int_equal(unlink("gone"), 0);
    assert_key(f, "gone", NULL);
    assert_int_equal(access("gone", F_OK), -1);
    assert_int_equal(pread(fd, text, sizeof text, 0), 10);
    assert_string_equal(text, "still here");
    assert_int_equal(pwrite(fd, "S", 1, 0), 1);
    assert_int_equal(close(fd), 0);
    assert_key(f, "gone", NULL);
}

static void directories_come_and_go_as_posix_says(void **state)
{
    fixture *f = *state;
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(mkdir("d", 0755), -1);
    assert_int_equal(errno, EEXIST);
    write_file("d/x", "1");
    assert_int_equal(rmdir("d"), -1);
    assert_int_equal(errno, ENOTEMPTY);
    assert_int_equal(rename("d", "e"), 0);
    assert_key(f, "e/x", "1");
    assert_key(f, "d/x", NULL);
    assert_file("e/x", "1");
    assert_int_equal(rename("e", "e/inside"), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(unlink("e/x"), 0);
    assert_int_equal(rmdir("e"), 0);
    set_key(f, "implicit/only", "1");
    assert_int_equal(unlink("implicit/only"), 0);
    assert_int_equal(rmdir("implicit"), 0); /* it stayed when its last file went */
}

static void a_listing_shows_each_name_once(void **state)
{
    fixture *f = *state;
    int      found = 0, fd = open("pending", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    set_key(f, "k1", "");
    set_key(f, "sub/a", "");
    set_key(f, "sub/b", "");
    set_key(f, "..", "dots");
    assert_int_equal(mkdir("made", 0755), 0);
    DIR *d = opendir(".");
    for (struct dirent *x; (x = readdir(d));) {
        static const char *const names[] = { "pending", "k1", "sub", "made", "%=%2E%2E" };
        for (size_t i = 0; i < 5; i++) found += strcmp(x->d_name, names[i]) == 0 ? 1 << (4 * i) : 0;
    }
    closedir(d);
    close(fd);
    assert_int_equal(found, 0x11111);
}

static void files_may_be_sparse_and_cut_and_patched(void **state)
{
    (void)state;
    char text[8] = "xxxxxxx";
    int  fd = open("sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(fd, "end", 3, 1 << 20), 3);
    assert_int_equal(pread(fd, text, 4, 1000), 4);
    assert_memory_equal(text, "\0\0\0\0", 4);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(pwrite(fd, "mid", 3, 70000), 3);
    assert_int_equal(ftruncate(fd, 70002), 0);
    assert_int_equal(ftruncate(fd, 70010), 0);
    assert_int_equal(close(fd), 0);
    fd = open("sparse", O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, 0, SEEK_END), 70010);
    assert_int_equal(pread(fd, text, 5, 70000), 5);
    assert_memory_equal(text, "mi\0\0\0", 5);
    close(fd);
}

static void attributes_are_kept(void **state)
{
    (void)state;
    struct stat           s;
    const struct timespec times[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
    char                  value[16];
    write_file("f", "x");
    assert_int_equal(chmod("f", 0751), 0);
    assert_int_equal(utimensat(AT_FDCWD, "f", times, 0), 0);
    assert_int_equal(setxattr("f", "user.colour", "blue", 4, 0), 0);
    assert_int_equal(rename("f", "g"), 0);
    assert_int_equal(stat("g", &s), 0);
    assert_int_equal(s.st_mode, S_IFREG | 0751);
    assert_int_equal(s.st_mtim.tv_nsec, 987654321);
    assert_int_equal(getxattr("g", "user.colour", value, sizeof value), 4);
    assert_memory_equal(value, "blue", 4);
    assert_int_equal(removexattr("g", "user.colour"), 0);
    assert_int_equal(getxattr("g", "user.colour", value, sizeof value), -1);
    assert_int_equal(errno, ENODATA);
    assert_int_equal(symlink("g", "link"), 0);
    assert_file("link", "x");
    assert_int_equal(link("g", "hard"), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(open("%=wrong", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), -1);
    assert_int_equal(errno, EINVAL);
}

static void delete_key(const fixture *f, const char *key)
{
    slice    k = chr_str(key);
    uint64_t seq;
    txn     *t = txn_begin(f->s, &k, 1);
    assert_non_null(t);
    assert_int_equal(txn_delete(t, OBJECT_KEY, k, NULL), CHR_OK);
    assert_int_equal(txn_commit(t, &seq), CHR_OK);
    assert_int_equal(store_wait(f->s, seq), CHR_OK);
}

static void set_expiring(const fixture *f, const char *key, const char *value, int64_t milliseconds)
{
    slice       k = chr_str(key);
    object_meta meta = object_meta_default(f->s, 0);
    uint64_t    seq;
    meta.expire_ms = (uint64_t)(store_now_ms(f->s) + milliseconds);
    assert_int_equal(store_put(f->s, k, &meta, chr_str(value), &seq), CHR_OK);
    assert_int_equal(store_wait(f->s, seq), CHR_OK);
}

/* Deleting a key through another door while it is written: as if before, or after, but never the one half of each. */
static void a_key_may_go_while_its_file_is_written(void **state)
{
    fixture *f = *state;
    for (int expires = 0; expires <= 1; expires++)
        for (int whole = 0; whole <= 1; whole++) {
            set_key(f, "k", "old value");
            int fd = open("k", O_RDWR | O_CLOEXEC | (whole ? O_TRUNC : 0));
            assert_true(fd >= 0);
            assert_int_equal(pwrite(fd, "new", 3, whole ? 0 : 9), 3);
            if (expires) set_expiring(f, "k", "old value", 1);
            if (expires)
                while (store_stat(f->s, NULL, OBJECT_KEY, chr_str("k"), NULL, NULL) != CHR_NOT_FOUND) usleep(10000);
            else
                delete_key(f, "k");
            assert_int_equal(close(fd), 0);
            assert_key(f, "k", whole ? "new" : NULL);
            if (whole)
                assert_file("k", "new");
            else
                assert_int_equal(access("k", F_OK), -1);
        }
    /* Written only after it went: there is nothing of the old value. */
    set_key(f, "k", "old value");
    int fd = open("k", O_WRONLY | O_CLOEXEC);
    delete_key(f, "k");
    assert_int_equal(pwrite(fd, "new", 3, 0), 3);
    assert_int_equal(close(fd), 0);
    assert_key(f, "k", "new");
}

static void what_is_appended_goes_to_the_end_wherever_that_is_now(void **state)
{
    fixture *f = *state;
    set_key(f, "log", "1234");
    int fd = open("log", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "a", 1), 1);
    assert_int_equal(fsync(fd), 0);
    set_key(f, "log", "1234a567890");
    assert_int_equal(write(fd, "b", 1), 1);
    assert_int_equal(fsync(fd), 0);
    assert_key(f, "log", "1234a567890b");
    set_key(f, "log", "short");
    assert_int_equal(write(fd, "c", 1), 1);
    assert_int_equal(fsync(fd), 0);
    assert_key(f, "log", "shortc");
    delete_key(f, "log");
    assert_int_equal(write(fd, "d", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_key(f, "log", "d");
}

static int exchange(const char *a, const char *b) { return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); }

static void two_names_may_be_exchanged(void **state)
{
    fixture    *f = *state;
    struct stat before, after;
    write_file("a", "of a");
    write_file("b", "of b");
    assert_int_equal(stat("a", &before), 0);
    assert_int_equal(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(exchange("a", "b"), 0);
    assert_file("a", "of b");
    assert_file("b", "of a");
    assert_key(f, "a", "of b");
    assert_int_equal(stat("b", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE), 0);
    assert_int_equal(exchange("a", "c"), -1);
    assert_int_equal(errno, ENOENT);

    /* Directories, with what is below only one of them or both, and a file with a directory. */
    assert_int_equal(mkdir("d", 0700) | mkdir("e", 0711) | mkdir("e/sub", 0755), 0);
    write_file("d/both", "d");
    write_file("e/both", "e");
    write_file("d/one", "1");
    write_file("e/sub/deep", "2");
    set_key(f, "d", "value of d");
    assert_file("d/%=self", "value of d");
    int fd = open("d/both", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "D", 1, 0), 1);
    assert_int_equal(exchange("d", "e/sub"), 0);
    assert_file("e/sub/both", "D");
    assert_int_equal(exchange("d", "e/sub"), 0);
    assert_int_equal(exchange("d", "e"), 0);
    assert_int_equal(stat("d", &after), 0);
    assert_int_equal(after.st_mode, S_IFDIR | 0711);
    assert_file("d/both", "e");
    assert_file("d/sub/deep", "2");
    assert_file("e/both", "D");
    assert_file("e/%=self", "value of d");
    assert_key(f, "d/one", NULL);
    assert_key(f, "e/one", "1");
    assert_key(f, "d", NULL);
    assert_int_equal(pwrite(fd, "!", 1, 1), 1);
    assert_int_equal(close(fd), 0);
    assert_key(f, "e/both", "D!");
    assert_int_equal(exchange("d/sub", "d"), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(exchange("e", "c"), 0);
    assert_file("e", "of b");
    assert_file("c/one", "1");
    assert_file("c/%=self", "value of d");
    assert_key(f, "c", "value of d");
    set_key(f, "c/one", "set since");
    assert_file("c/one", "set since");
    assert_int_equal(rename("c", "renamed"), 0);
    assert_file("renamed/%=self", "value of d");
}

static void a_mount_point_must_be_an_empty_directory(void **state)
{
    fixture      *f = *state;
    mount        *m;
    mount_options options = { .mount_point = f->data };
    assert_int_equal(mount_start(f->s, &options, &m), CHR_INVALID);
    assert_non_null(strstr(chr_message(), "not empty"));
    options.mount_point = "/nowhere/at/all";
    assert_int_equal(mount_start(f->s, &options, &m), CHR_INVALID);
    assert_non_null(strstr(chr_message(), "does not exist"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_one_door_writes_the_other_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_reaches_the_store_whole_when_it_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unlinked_file_lives_on_while_it_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_come_and_go_as_posix_says, setup, teardown),
        cmocka_unit_test_setup_teardown(a_listing_shows_each_name_once, setup, teardown),
        cmocka_unit_test_setup_teardown(files_may_be_sparse_and_cut_and_patched, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_may_go_while_its_file_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_appended_goes_to_the_end_wherever_that_is_now, setup, teardown),
        cmocka_unit_test_setup_teardown(two_names_may_be_exchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mount_point_must_be_an_empty_directory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
