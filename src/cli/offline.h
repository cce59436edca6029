/* Opening and closing a store for the subcommands that work without a server. */
#ifndef CHR_CLI_OFFLINE_H
#define CHR_CLI_OFFLINE_H

#include "object/store.h"

/* Says why a store could not be opened, and returns EXIT_FAILED. */
int complain_of_opening(chr_status st, const char *dir);
/* `write`: to change it; it is created if need be. Otherwise not a byte of it changes. False: it has complained; if a server
 * runs there, it said to use `chronos cli INSTEAD`. */
bool offline_open(const char *dir, bool write, const char *instead, store **out);
/* `name` NULL: none, which is now. False: it has complained. */
bool offline_snapshot(store *s, const char *name, store_snapshot **out);
/* Complains and returns EXIT_FAILED if closing does not end well, otherwise `status`. */
int offline_close(store *s, int status);
/* The longest key is CHR_KEY_MAX. False: it has complained. */
bool offline_key_fits(slice key);

#endif
