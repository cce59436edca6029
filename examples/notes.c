/* A list of notes in a store of its own, through the C API:
 *
 *   notes DIR add TEXT     notes DIR list     notes DIR drop NUMBER
 *
 * Notes are keys note/00000001, note/00000002, ...; the next number is kept beside them and changes in the same batch, so
 * that no crash can leave one without the other. */
#include <chronos.h>

#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what)
{
    fprintf(stderr, "notes: %s: %s\n", what, chr_message());
    return 2;
}

static chr_slice note_key(char text[32], unsigned long number)
{
    snprintf(text, 32, "note/%08lu", number);
    return chr_str(text);
}

static int add(chr_store *store, const char *text)
{
    char          key[32], count[32];
    unsigned long number = 1;
    chr_buf       last = { 0 };
    chr_status    st = chr_get(store, chr_str("last note"), &last);
    if (st == CHR_OK)
        number = strtoul(last.data, NULL, 10) + 1; /* it was put with its terminating NUL byte, see below */
    chr_buf_free(&last);
    if (st != CHR_OK && st != CHR_NOT_FOUND) return failed("cannot add the note");

    chr_batch *batch = chr_batch_new();
    if (!batch) return failed("cannot add the note");
    snprintf(count, sizeof count, "%lu", number);
    st = chr_batch_put(batch, note_key(key, number), chr_str(text));
    if (st == CHR_OK) st = chr_batch_put(batch, chr_str("last note"), chr_bytes(count, strlen(count) + 1));
    if (st == CHR_OK) st = chr_write(store, batch);
    chr_batch_free(batch);
    return st == CHR_OK ? 0 : failed("cannot add the note");
}

static int list(chr_store *store)
{
    chr_iter *it;
    if (chr_iter_new(store, NULL, chr_str("note/"), chr_str("note0"), &it) != CHR_OK) return failed("cannot list");
    chr_status st = CHR_OK;
    for (chr_iter_first(it); chr_iter_valid(it) && st == CHR_OK; chr_iter_next(it)) {
        char      key[32];
        chr_slice name = chr_iter_key(it), text;
        snprintf(key, sizeof key, "%.*s", (int)name.len, name.data); /* a key does not end in a NUL byte */
        st = chr_iter_value(it, &text);
        if (st == CHR_OK) printf("%lu  %.*s\n", strtoul(key + 5, NULL, 10), (int)text.len, text.data);
    }
    if (st == CHR_OK) st = chr_iter_status(it);
    chr_iter_free(it);
    return st == CHR_OK ? 0 : failed("cannot list");
}

static int drop(chr_store *store, const char *number)
{
    char       key[32];
    chr_buf    text = { 0 };
    chr_slice  note = note_key(key, strtoul(number, NULL, 10));
    chr_status st = chr_get(store, note, &text);
    chr_buf_free(&text);
    if (st == CHR_NOT_FOUND) {
        fprintf(stderr, "notes: there is no note %s\n", number);
        return 1;
    }
    if (st == CHR_OK) st = chr_delete(store, note);
    return st == CHR_OK ? 0 : failed("cannot drop the note");
}

int main(int argc, char **argv)
{
    chr_store *store;
    int        status = 2;
    if (argc < 3) {
        fprintf(stderr, "usage: notes DIR add TEXT | notes DIR list | notes DIR drop NUMBER\n");
        return 2;
    }
    if (chr_open(argv[1], NULL, &store) != CHR_OK) return failed("cannot open");
    if (strcmp(argv[2], "add") == 0 && argc == 4)
        status = add(store, argv[3]);
    else if (strcmp(argv[2], "list") == 0)
        status = list(store);
    else if (strcmp(argv[2], "drop") == 0 && argc == 4)
        status = drop(store, argv[3]);
    if (chr_close(store) != CHR_OK) return failed("cannot close");
    return status;
}
