/* The words of -o: what each of them sets, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/mount_words.h"

static chr_status read_words(const char *text, bool sloppy, mount_options *to)
{
    word_list words = { .count = 0 };
    *to = (mount_options){ 0 };
    while (*text) {
        size_t len = strcspn(text, ",");
        words.word[words.count++] = chr_bytes(text, len);
        text += len + (text[len] == ',');
    }
    return mount_words_read(&words, sloppy, to);
}

static void assert_refused(const char *text, const char *part)
{
    mount_options o;
    assert_int_equal(read_words(text, false, &o), CHR_INVALID);
    if (!strstr(chr_message(), part)) fail_msg("'%s' is not in: %s", part, chr_message());
}

static void test_values(void **state)
{
    (void)state;
    mount_options o;
    assert_int_equal(read_words("ro,allow_other,uid=1000,gid=0,umask=027,prefix=a/b,cache=strict,noexec", false, &o),
                     CHR_OK);
    assert_true(o.read_only && o.allow_other && o.has_uid && o.has_gid && o.has_umask && o.strict && o.no_exec);
    assert_int_equal(o.uid, 1000);
    assert_int_equal(o.gid, 0);
    assert_int_equal(o.umask, 027);
    assert_true(slice_equal(o.prefix, chr_str("a/b")));
    assert_int_equal(read_words("prefix=a=b", false, &o), CHR_OK);
    assert_true(slice_equal(o.prefix, chr_str("a=b")));
    assert_int_equal(read_words("uid=4294967294", false, &o), CHR_OK);
    assert_int_equal(o.uid, UINT32_MAX - 1);
    assert_int_equal(read_words("snapshot=before,rw,max_size=2KiB", false, &o), CHR_OK);
    assert_true(slice_equal(o.snapshot, chr_str("before")) && o.read_only);
    assert_int_equal(o.max_size, 2048);
}

static void test_later_words_win(void **state)
{
    (void)state;
    mount_options o;
    assert_int_equal(read_words("ro,rw,noexec,exec,suid,dev,nosuid,nodev,cache=strict,cache=auto,uid=1,uid=2", false,
                                &o),
                     CHR_OK);
    assert_false(o.read_only || o.no_exec || o.suid || o.dev || o.strict);
    assert_int_equal(o.uid, 2);
    assert_int_equal(read_words("suid,dev", false, &o), CHR_OK);
    assert_true(o.suid && o.dev);
}

static void test_words_for_others(void **state)
{
    (void)state;
    mount_options       o;
    const mount_options none = { 0 };
    assert_int_equal(read_words("defaults,noauto,nofail,_netdev,user,user=me,noatime,relatime,strictatime,lazytime,"
                                "x-systemd.automount,x-systemd.requires=a.service,default_permissions,rw,comment=x",
                                false, &o),
                     CHR_OK);
    assert_memory_equal(&o, &none, sizeof o);
}

static void test_refusals(void **state)
{
    (void)state;
    mount_options o;
    assert_refused("allow_others", "did you mean 'allow_other'");
    assert_refused("sync", "unknown mount option 'sync'");
    assert_refused("remount", "unknown mount option 'remount'");
    assert_refused("uid", "uid=VALUE");
    assert_refused("ro=1", "takes no value");
    assert_refused("uid=", "uid cannot be ''");
    assert_refused("uid=root", "uid cannot be 'root'");
    assert_refused("uid=-1", "uid cannot be '-1'");
    assert_refused("gid=4294967295", "gid cannot be");
    assert_refused("umask=1000", "umask cannot be '1000'");
    assert_refused("umask=8", "umask cannot be '8'");
    assert_refused("cache=none", "strict or auto");
    assert_refused("prefix=", "prefix has 0 bytes");
    assert_refused("snapshot=", "1 to 255 bytes");
    assert_refused("snapshot=a/b", "without '/'");
    assert_refused("max_size=0", "max_size cannot be '0'");
    assert_refused("max_size=2X", "max_size cannot be '2X'");
    assert_int_equal(read_words("allow_others,ro", true, &o), CHR_OK);
    assert_true(o.read_only);
    assert_int_equal(read_words("uid=root", true, &o), CHR_INVALID); /* sloppy is about names */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_later_words_win),
        cmocka_unit_test(test_words_for_others),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
