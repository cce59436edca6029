/* Somebody who was let in: a part of each connection. Belongs to whoever runs the connection's commands. */
#ifndef CHR_NET_IDENTITY_H
#define CHR_NET_IDENTITY_H

#include <stdint.h>

enum { USER_NAME_MAX = 63 };

typedef struct identity {
    char           name[USER_NAME_MAX + 1]; /* "": nobody */
    uint64_t       serial;                  /* of the user; another one with the same name has another */
    uint64_t       edition;                 /* of the users, that `rights` are of; see users_refresh */
    struct rights *rights;                  /* a reference; NULL: nobody */
} identity;

#endif
