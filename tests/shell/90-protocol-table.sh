#!/usr/bin/env bash
# The tables of commands in net/PROTOCOL.md are what the table of commands says.
. "$(dirname "$0")/lib.sh"

"$BUILD/tools/commands_md" "$ROOT/net/PROTOCOL.md" >"$TMP/PROTOCOL.md"
diff "$ROOT/net/PROTOCOL.md" "$TMP/PROTOCOL.md" || fail "net/PROTOCOL.md is not what net/command_table.c says; run 'make protocol'"
sed 's/Gets a value/Gets nothing/' "$ROOT/net/PROTOCOL.md" >"$TMP/changed.md"
"$BUILD/tools/commands_md" "$TMP/changed.md" | diff "$ROOT/net/PROTOCOL.md" - || fail "what was changed by hand is kept"
! "$BUILD/tools/commands_md" /dev/null 2>"$TMP/err" || fail "a document without the marks is taken"
