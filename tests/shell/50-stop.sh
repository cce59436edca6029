#!/usr/bin/env bash
# sanitized: yes
# A server ends cleanly however it is asked to, and what it has acknowledged is there afterwards.
. "$(dirname "$0")/lib.sh"

# SIGTERM while clients write and a file is open.
start_mounted
exec 7>"$MNT/open"
printf 'not closed yet' >&7
background python -c '
import sys
from resp import Client
redis, n = Client(), 0
try:
    while redis("SET", "n", n + 1) == b"OK":
        n += 1
except (EOFError, ConnectionError):
    pass
open(sys.argv[1], "w").write(str(n))' "$TMP/n"
writer=$BACKGROUND_PID
n_is_there() { [ "$(redis exists n)" = 1 ]; }
wait_until 30 n_is_there
sleep 0.5
stop_server
exec 7>&- || true
wait "$writer"
acknowledged=$(cat "$TMP/n")
assert_status 0 "$CHRONOS" check "$DIR"
start_mounted
found=$(redis get n)
[ "$found" -ge "$acknowledged" ] || fail "$acknowledged was acknowledged, $found is there"
assert_eq "$(cat "$MNT/open")" 'not closed yet' "what was written through a file that was still open"

# SIGINT, as Ctrl-C sends it
kill -INT "$SERVER_PID"
status=0
wait "$SERVER_PID" || status=$?
SERVER_PID=
assert_eq "$status" 0 "the exit status after SIGINT"
is_mounted "$MNT" && fail "still mounted after SIGINT"

# SHUTDOWN over TCP
start_mounted
redis shutdown >/dev/null 2>&1 || true
status=0
wait "$SERVER_PID" || status=$?
SERVER_PID=
assert_eq "$status" 0 "the exit status after SHUTDOWN"
is_mounted "$MNT" && fail "still mounted after SHUTDOWN"
start_server
assert_eq "$(redis get n)" "$found"

# umount from outside ends the mount, not the server.
stop_server
start_mounted
fusermount3 -u "$MNT"
assert_eq "$(redis get n)" "$found" "after umount"
