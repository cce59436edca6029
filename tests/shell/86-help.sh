#!/usr/bin/env bash
# sanitized: yes
# HELP, and the nearest command to a wrong one.
. "$(dirname "$0")/lib.sh"
start_server

help=$(line HELP)
assert_contains "$help" $'string:\n  APPEND ' "the list of commands by group"
for name in $(redis command list); do
    grep -qw -- "${name^^}" <<<"$help" || fail "HELP does not list $name"
done
assert_eq "$(line 'HELP getset')" $'GETSET key value\n  Sets a value, and tells the old one. SET with GET in older words.
  Example: GETSET greeting bye'
assert_contains "$(line 'HELP object')" $'OBJECT ENCODING key\nOBJECT FREQ key\nOBJECT HELP\n' "a line for each subcommand"
assert_contains "$(line 'help Bitmap')" $'GETBIT key offset\n  Tells a bit.\n' "HELP of a group"
[ "$(line HELP 'HELP server' | wc -L)" -le 100 ] || fail "a line of HELP is too long"
assert_eq "$("$CHRONOS" cli -p "$PORT" help getset | head -n 1)" 'GETSET key value' "HELP by RESP"

# A slip is answered with what was meant; programs get the words of Redis.
assert_eq "$(line 'GTE k')" "ERR unknown command 'GTE'; did you mean GET?"
assert_eq "$(line 'HELP exipre')" "ERR unknown command 'exipre'; did you mean EXPIRE?"
assert_eq "$(line 'frobnicate k v')" "ERR unknown command 'frobnicate'; HELP lists those that there are"
assert_eq "$(line "get$(head -c 100 /dev/zero | tr '\0' x)" PING | tail -n 1)" PONG "after a name of any length"
assert_eq "$(redis gte k v)" "ERR unknown command 'gte', with args beginning with: 'k' 'v' "
