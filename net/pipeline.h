/* Commands that stand one behind the other in a connection's input and are cheaper together than one by one: plain SETs become one
 * transaction (one lock, one record of the log), and what GETs need of memory is fetched for all of them at once. Each gets the
 * answer that it would have got alone. Belongs to the reactor's thread. */
#ifndef CHR_NET_PIPELINE_H
#define CHR_NET_PIPELINE_H

#include "net/conn.h"

/* Runs the command of the request, which may be run, and those like it that have come right behind it. False: it is not of those
 * kinds, and nothing was done. */
bool pipeline_run(conn *c, request *r);

#endif
