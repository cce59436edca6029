#include "cli/offline.h"

#include "cli/commands.h"
#include "cli/precheck.h"
#include "cli/show.h"

int complain_of_opening(chr_status st, const char *dir)
{
    if (st == CHR_CORRUPT && !strstr(chr_message(), "chronos check"))
        return complain("%s; 'chronos check %s' tells more", chr_message(), dir);
    return complain("%s", chr_message());
}

bool offline_open(const char *dir, bool write, const char *instead, store **out)
{
    chr_options options = chr_options_default();
    options.create_if_missing = write;
    options.read_only = !write;

    chr_status st = precheck_store(dir, write);
    if (chr_ok(st)) st = chr_open(dir, &options, out);
    if (chr_ok(st)) return true;
    if (st == CHR_LOCKED)
        complain("%s; talk to it with 'chronos cli %s'", chr_message(), instead);
    else
        complain_of_opening(st, dir);
    return false;
}

bool offline_snapshot(store *s, const char *name, store_snapshot **out)
{
    *out = NULL;
    if (!name || chr_ok(store_snapshot_open(s, chr_str(name), out))) return true;
    complain("%s", chr_message());
    return false;
}

int offline_close(store *s, int status)
{
    chr_status st = chr_close(s);
    return chr_ok(st) ? status : complain("%s", chr_message());
}

bool offline_key_fits(slice key)
{
    if (key.len <= CHR_KEY_MAX) return true;
    complain("a key has at most %u bytes, and this one has %zu", CHR_KEY_MAX, key.len);
    return false;
}
