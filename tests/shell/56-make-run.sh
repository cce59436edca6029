#!/usr/bin/env bash
# make run: builds, serves, mounts, stays in the foreground, and Ctrl-C stops it cleanly.
. "$(dirname "$0")/lib.sh"
need_fuse
cd "$ROOT"
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# In a session of its own, so that SIGINT goes to all of it, as a terminal sends it; bash makes its background jobs ignore that.
background python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.setsid()
os.execvp(sys.argv[1], sys.argv[1:])' make run BUILD="$BUILD" DIR="$DIR" PORT="$free" MOUNT="$MNT" >"$TMP/out" 2>"$LOG" </dev/null
session=$BACKGROUND_PID
pids+=("-$session")
wait_until 120 grep -q "ready on 127.0.0.1:$free, mounted at $MNT" "$TMP/out"
PORT=$free
assert_eq "$(redis set k v)" OK
assert_eq "$(cat "$MNT/k")" v
server=$(pgrep -f "^$BUILD/chronos serve --dir $DIR ")
kill -INT -- "-$session"
server_is_gone() { ! kill -0 "$server" 2>/dev/null; }
wait_until 30 server_is_gone
! is_mounted "$MNT" || fail "still mounted after Ctrl-C"
assert_eq "$("$CHRONOS" get --dir "$DIR" k)" v

for target in run test test-asan test-tsan fuzz bench lint format install uninstall clean; do
    assert_contains "$(make help)" "make $target " "make help"
done
