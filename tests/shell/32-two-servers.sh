#!/usr/bin/env bash
# A directory belongs to one process: the second one is told the first one's pid, and harms nothing.
. "$(dirname "$0")/lib.sh"
start_server
redis set k v >/dev/null

assert_refused "$SERVER_PID" "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0
assert_refused "$SERVER_PID" "$CHRONOS" serve --dir "$TMP/../$(basename "$TMP")/data" --listen 127.0.0.1:0
assert_refused "$SERVER_PID" "$CHRONOS" set --dir "$DIR" k other
assert_refused "$SERVER_PID" "$CHRONOS" get --dir "$DIR" k
assert_refused "$SERVER_PID" "$CHRONOS" check "$DIR"
assert_eq "$(redis get k)" v "the first server goes on"

# The lock goes with the process, however it ends.
kill_server
assert_status 0 "$CHRONOS" get --dir "$DIR" k
assert_eq "$OUT" v
restart_server
assert_eq "$(redis get k)" v
