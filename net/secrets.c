#include "net/secrets.h"

static bool names_a_password(slice setting)
{
    static const char *const parts[] = { "pass", "auth" };
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (size_t i = 0; i + strlen(parts[p]) <= setting.len; i++)
            if (argument_is(chr_bytes(setting.data + i, strlen(parts[p])), parts[p])) return true;
    return false;
}

static bool is_secret(const request *r, size_t i)
{
    if (i == 0) return false;
    if (r->command->run == cmd_auth) return true;
    if (r->command->run == cmd_hello)
        return (i >= 3 && argument_is(r->args[i - 1], "auth")) || (i >= 4 && argument_is(r->args[i - 2], "auth"));
    if (r->command->run == cmd_acl) return i >= 2; /* of SETUSER, of what DRYRUN tries, or misspelt */
    return r->command->run == cmd_config && i >= 3 && names_a_password(r->args[i - 1]);
}

slice secrets_shown(const request *r, size_t i) { return is_secret(r, i) ? chr_str("(redacted)") : r->args[i]; }
