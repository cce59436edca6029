/* Lines from a person: words, incomplete, or refused; the parser never reads beyond them and never stands still. */
#include "net/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arguments   args = { 0 };
    slice       in = chr_bytes(data, size);
    const char *error = NULL;
    for (;;) {
        size_t       used = 0, sum = 0;
        parse_result p = parse_line(in, &args, &used, &error);
        if (p == PARSE_BAD) assert(error && *error);
        if (p == PARSE_MORE) assert(used > in.len || in.len == 0);
        if (p != PARSE_COMMAND) break;
        assert(used > 0 && used <= in.len);
        for (size_t i = 0; i < args.n; i++)
            for (size_t k = 0; k < args.at[i].len; k++) sum += (unsigned char)args.at[i].data[k];
        (void)sum;
        in = slice_from(in, used);
        if (in.len == 0) break;
    }
    arguments_free(&args);
    return 0;
}
