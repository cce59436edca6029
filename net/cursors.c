#include "net/cursors.h"

#include "net/parse.h"

void cursors_init(cursors *c)
{
    memset(c, 0, sizeof *c);
    c->next = 1;
    pthread_mutex_init(&c->mu, NULL);
}

void cursors_free(cursors *c)
{
    for (int i = 0; i < CURSORS; i++) chr_buf_free(&c->keys[i]);
    pthread_mutex_destroy(&c->mu);
}

uint64_t cursors_keep(cursors *c, slice key)
{
    pthread_mutex_lock(&c->mu);
    uint64_t number = c->next++;
    if (!buf_set(&c->keys[number % CURSORS], key)) number = 0;
    pthread_mutex_unlock(&c->mu);
    return number;
}

cursor_state cursors_find(cursors *c, slice number, buf *key)
{
    int64_t      n;
    cursor_state state = CURSOR_BAD;
    if (!parse_int64(number, &n) || n < 0) return CURSOR_BAD;
    if (n == 0) return CURSOR_START;
    pthread_mutex_lock(&c->mu);
    if ((uint64_t)n < c->next && (uint64_t)n + CURSORS >= c->next && buf_set(key, buf_slice(&c->keys[n % CURSORS])))
        state = CURSOR_FOUND;
    pthread_mutex_unlock(&c->mu);
    return state;
}
