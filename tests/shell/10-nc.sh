#!/usr/bin/env bash
# sanitized: yes
# The session of the line protocol, to the letter.
. "$(dirname "$0")/lib.sh"
start_server

# shellcheck disable=SC2016
printf 'SET user:101 {"name": "Venom", "role": "Symbiote"}\nGET user:101\nPING\nGET nobody\nDEL user:101\nCOMPACT\n' |
    nc -q1 127.0.0.1 "$PORT" >"$TMP/got"
cat >"$TMP/want" <<'END'
OK
{"name": "Venom", "role": "Symbiote"}
PONG
NULL
OK_DELETED
OK_COMPACTED
END
diff "$TMP/want" "$TMP/got" || fail "the session went otherwise"

# The value is the rest of the line, verbatim: spaces at both ends and quotes included.
assert_eq "$(line 'SET k   two  spaces "quoted" ' 'GET k')" $'OK\n  two  spaces "quoted" '
assert_eq "$(line 'DEL user:101' 'GET user:101')" $'NULL\nNULL' "what a deleted key answers"
assert_eq "$(line 'INCR n' 'INCR n' 'EXISTS n k')" $'1\n2\n2' "integers"
assert_eq "$(line 'MGET n nobody k')" $'2\nNULL\n  two  spaces "quoted" ' "a list, one item a line"
assert_contains "$(line 'NOSUCHCOMMAND a')" 'ERR unknown command' "an unknown command"
assert_contains "$(line 'GET')" "ERR wrong number of arguments for 'get' command" "a command without its argument"
