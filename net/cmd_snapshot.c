/* SNAPSHOT: snapshots with names, on a worker. */
#include "net/command.h"

static void list(request *r)
{
    db        *d = store_db(r->store);
    named_list l;
    chr_status st = db_snapshots_take(d, &l);
    if (st != CHR_OK) {
        reply_status(r, st);
        return;
    }
    reply_array(r, l.n);
    for (size_t i = 0; i < l.n; i++) reply_key(r, buf_slice(&l.at[i].name));
    db_snapshots_give_back(d, &l);
}

const subcommand snapshot_subcommands[] = { { "create", 3, CMD_ADMIN, 0, 0 },
                                            { "drop", 3, CMD_ADMIN, 0, 0 },
                                            { "help", 2, 0, 0, 0 },
                                            { "list", 2, CMD_ADMIN, 0, 0 },
                                            { NULL, 0, 0, 0, 0 } };

void cmd_snapshot(request *r)
{
    static const char *const help[] = {
        "CREATE <name>",
        "    Keep what there is now under a name, until it is dropped.",
        "DROP <name>",
        "    Let go of a snapshot.",
        "LIST",
        "    Return the names of all snapshots.",
        NULL,
    };
    enum { CREATE, DROP, HELP, LIST };
    chr_status st = CHR_OK;
    switch (find_subcommand(r)) {
    case CREATE: st = db_snapshot_keep(store_db(r->store), r->args[2]); break;
    case DROP: st = db_snapshot_drop(store_db(r->store), r->args[2]); break;
    case HELP: reply_help(r, help); return;
    case LIST: list(r); return;
    default: return; /* answered */
    }
    if (st == CHR_OK)
        reply_ok(r);
    else
        reply_status(r, st);
}
