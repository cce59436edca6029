#include "net/glob.h"

slice glob_prefix(slice pattern)
{
    size_t n = 0;
    while (n < pattern.len && !memchr("*?[\\", pattern.data[n], 4)) n++;
    return chr_bytes(pattern.data, n);
}

/* One element of the pattern at *p against one byte; *p moves behind it. */
static bool element_matches(slice pattern, size_t *p, unsigned char c)
{
    unsigned char first = (unsigned char)pattern.data[(*p)++];
    if (first == '?') return true;
    if (first == '\\' && *p < pattern.len) return (unsigned char)pattern.data[(*p)++] == c;
    if (first != '[') return first == c;

    bool negate = *p < pattern.len && pattern.data[*p] == '^', found = false;
    *p += negate;
    while (*p < pattern.len && pattern.data[*p] != ']') {
        if (pattern.data[*p] == '\\' && *p + 1 < pattern.len) ++*p;
        unsigned char low = (unsigned char)pattern.data[(*p)++], high = low;
        if (*p + 1 < pattern.len && pattern.data[*p] == '-' && pattern.data[*p + 1] != ']') {
            high = (unsigned char)pattern.data[*p + 1];
            *p += 2;
        }
        if (low > high) {
            unsigned char swap = low;
            low = high;
            high = swap;
        }
        found = found || (c >= low && c <= high);
    }
    *p += *p < pattern.len; /* the closing bracket, if there is one */
    return found != negate;
}

/* Only the last star can matter: what an earlier one could take more of, the last one can too. */
bool glob_match(slice pattern, slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.len) {
        size_t next = p;
        if (p < pattern.len && pattern.data[p] == '*') {
            star = ++p;
            star_text = t;
        } else if (p < pattern.len && element_matches(pattern, &next, (unsigned char)text.data[t])) {
            p = next;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') p++;
    return p == pattern.len;
}
