/* The manifest: edits add up to a version, a torn one was never in force, a damaged one is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/manifest.h"
#include "engine/manifest_format.h"
#include "engine/names.h"
#include "env/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define DIR "/m"

typedef struct fixture {
    env       *e;
    cache     *c;
    version   *empty;
    table_ref *tables[3]; /* numbers 10, 11, 12 with keys a, b, c */
} fixture;

static table_ref *make_table(fixture *f, uint64_t no, const char *key)
{
    file_path      path = path_of(DIR, FILE_TABLE, no);
    table_options  options = { .block_bytes = 512, .filter_bits = 10 };
    env_file      *file;
    table_builder *b;
    table_info     info = { 0 };
    table_ref     *t;
    assert_int_equal(env_open(f->e, path.text, ENV_CREATE, &file), CHR_OK);
    assert_int_equal(table_builder_new(file, no, &options, &b), CHR_OK);
    assert_int_equal(table_builder_add(b, chr_str(key), trailer_of(no, KIND_PUT), chr_str("v")), CHR_OK);
    assert_int_equal(table_builder_finish(b, &info), CHR_OK);
    table_builder_free(b);
    env_close(file);
    assert_int_equal(table_ref_open(f->e, DIR, no, f->c, &info, &t), CHR_OK);
    table_info_free(&info);
    return t;
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->e = env_sim_new(3);
    f->c = cache_new(1 << 16);
    f->empty = version_new();
    assert_non_null(f->c);
    assert_non_null(f->empty);
    assert_int_equal(env_mkdir(f->e, DIR), CHR_OK);
    assert_int_equal(env_sync_dir(f->e, "/"), CHR_OK);
    for (int i = 0; i < 3; i++) f->tables[i] = make_table(f, 10 + (uint64_t)i, (const char *[]){ "a", "b", "c" }[i]);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 3; i++) table_ref_drop(f->tables[i]);
    version_drop(f->empty);
    cache_free(f->c);
    env_sim_free(f->e);
    free(f);
    return 0;
}

/* Reads as "LEVEL:NUMBER LEVEL:NUMBER ..." */
static chr_status describe(void *arg, uint32_t at_level, const table_info *info)
{
    assert_true(buf_printf(arg, "%u:%llu ", at_level, (unsigned long long)info->file_no));
    return CHR_OK;
}

static void edit(manifest *m, table_ref *add, uint32_t to, uint64_t remove_no, uint32_t from, uint64_t log_no)
{
    version_edit e = { .log_no = log_no, .flushed_seq = log_no * 10 };
    if (add) assert_true(edit_add_table(&e, to, add));
    if (remove_no) assert_true(edit_remove_table(&e, from, remove_no));
    assert_int_equal(manifest_append(m, &e), CHR_OK);
    edit_free(&e);
}

static manifest *three_edits(fixture *f)
{
    manifest *m;
    assert_int_equal(manifest_create(f->e, DIR, 1, f->empty, 2, 0, &(named_list){ 0 }, &m), CHR_OK);
    edit(m, f->tables[0], 0, 0, 0, 3);
    edit(m, f->tables[1], 0, 0, 0, 4);
    edit(m, f->tables[2], 6, 10, 0, 0);
    return m;
}

static void edits_add_up(void **state)
{
    fixture       *f = *state;
    manifest_state s;
    buf            text = { 0 };
    manifest_free(three_edits(f));
    assert_int_equal(manifest_read(f->e, DIR, &s, describe, &text), CHR_OK);
    assert_true(buf_append_byte(&text, 0));
    assert_non_null(strstr(text.data, "0:11"));
    assert_non_null(strstr(text.data, "6:12"));
    assert_null(strstr(text.data, ":10"));
    assert_int_equal(s.log_no, 4);
    assert_int_equal(s.flushed_seq, 40);
    assert_true(s.next_file_no > 12);
    chr_buf_free(&text);
}

static void a_power_cut_keeps_every_edit_that_was_appended(void **state)
{
    fixture *f = *state;
    manifest_free(three_edits(f));
    for (uint64_t seed = 0; seed < 40; seed++) {
        env           *after = env_sim_crash(f->e, seed, (sim_loss)(seed % 4));
        manifest_state s;
        buf            text = { 0 };
        if (manifest_read(after, DIR, &s, describe, &text) != CHR_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, chr_message());
        assert_int_equal(s.log_no, 4);
        chr_buf_free(&text);
        env_sim_free(after);
    }
}

static void there_is_no_manifest_in_a_new_directory(void **state)
{
    fixture       *f = *state;
    manifest_state s;
    assert_int_equal(manifest_read(f->e, DIR, &s, describe, NULL), CHR_NOT_FOUND);
}

static void every_flipped_byte_is_reported_or_torn_off_the_end(void **state)
{
    fixture  *f = *state;
    manifest *m = three_edits(f);
    uint64_t  bytes = manifest_bytes(m);
    manifest_free(m);
    file_path path = path_of(DIR, FILE_MANIFEST, 1);
    buf       whole = { 0 };
    assert_int_equal(env_read_file(f->e, path.text, &whole), CHR_OK);
    assert_int_equal(whole.len, bytes);
    int torn = 0;
    for (uint64_t at = 0; at < bytes; at++) {
        manifest_state s;
        buf            text = { 0 };
        whole.data[at] = (char)(whole.data[at] ^ 0x20);
        chr_status st = manifest_parse(path.text, 1, buf_slice(&whole), &s, describe, &text);
        if (st == CHR_OK) { /* then only the last edit may be missing, and the tables that it removed are gone */
            torn++;
            assert_true(buf_append_byte(&text, 0));
            if (!strstr(text.data, "0:10") && at < MANIFEST_HEADER_BYTES)
                fail_msg("byte %llu was not noticed", (unsigned long long)at);
        } else {
            assert_int_equal(st, CHR_CORRUPT);
            assert_non_null(strstr(chr_message(), "MANIFEST-000001"));
        }
        whole.data[at] = (char)(whole.data[at] ^ 0x20);
        chr_buf_free(&text);
    }
    assert_true(torn > 0);
    chr_buf_free(&whole);
}

static void a_current_that_names_nothing_is_reported(void **state)
{
    fixture       *f = *state;
    manifest_state s;
    assert_int_equal(env_replace_file(f->e, DIR, NAME_CURRENT, chr_str("MANIFEST-000099\n")), CHR_OK);
    assert_int_equal(manifest_read(f->e, DIR, &s, describe, NULL), CHR_CORRUPT);
    assert_non_null(strstr(chr_message(), "MANIFEST-000099"));
    assert_int_equal(env_replace_file(f->e, DIR, NAME_CURRENT, chr_str("nonsense")), CHR_OK);
    assert_int_equal(manifest_read(f->e, DIR, &s, describe, NULL), CHR_CORRUPT);
}

static void names_are_read_back_only_in_their_own_spelling(void **state)
{
    (void)state;
    uint64_t no;
    assert_int_equal(name_parse("000012.log", &no), FILE_LOG);
    assert_int_equal(no, 12);
    assert_int_equal(name_parse("1234567.sst", &no), FILE_TABLE);
    assert_int_equal(name_parse("MANIFEST-000003", &no), FILE_MANIFEST);
    assert_int_equal(name_parse("12.log", &no), FILE_OTHER);
    assert_int_equal(name_parse("000012.log.tmp", &no), FILE_OTHER);
    assert_int_equal(name_parse("", &no), FILE_OTHER);
    assert_int_equal(name_parse("99999999999999999999.sst", &no), FILE_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(edits_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_power_cut_keeps_every_edit_that_was_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_no_manifest_in_a_new_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_byte_is_reported_or_torn_off_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_current_that_names_nothing_is_reported, setup, teardown),
        cmocka_unit_test(names_are_read_back_only_in_their_own_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
