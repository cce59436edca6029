#include "base/words.h"

#include "base/bytes.h"

enum { WORD_MAX = 64 };

/* How many letters must be inserted, removed, replaced or swapped with a neighbour. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t row[3][WORD_MAX + 1] = { { 0 } };
    if (n > WORD_MAX || m > WORD_MAX) return WORD_MAX;
    for (size_t j = 0; j <= m; j++) row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *above2 = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *nearest_word(const char *wrong, const char *const *words, size_t count, size_t stride)
{
    const char *best = NULL;
    size_t      distance = WORD_MAX;
    for (size_t i = 0; i < count; i++) {
        const char *word = *(const char *const *)((const char *)words + i * stride);
        if (!word || !*word) continue;
        size_t d = edit_distance(wrong, word);
        bool   begins = strlen(wrong) >= 2 && strncmp(wrong, word, strlen(wrong)) == 0;
        if (begins && d > 1) d = 1;
        if (d < distance && d <= 1 + strlen(word) / 5) { /* more slips than that make another word */
            best = word;
            distance = d;
        }
    }
    return best;
}
