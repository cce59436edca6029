#!/usr/bin/env bash
# What `chronos mount` and mount.chronos make of their arguments, and how the process in the background lives.
. "$(dirname "$0")/lib.sh"
need_fuse
cd "$TMP"
holder() { tr -dc 0-9 <"$DIR/LOCK"; }   # the process that has the store
gone() { ! kill -0 "$1" 2>/dev/null; }

# ---- relative paths, though the process works in /; it leaves no pipe open that a caller would wait for ----
assert_eq "$(timeout 60 "$CHRONOS" mount data mnt 2>&1)" '' "what a mount that succeeds says"
is_mounted "$MNT" || fail "chronos mount returned, and nothing is mounted"
pid=$(holder)
pids+=("$pid")
echo hello >mnt/greeting
assert_eq "$(readlink "/proc/$pid/cwd")" / "the working directory of the mount's process"
mkdir second
assert_refused "in use by process $pid" "$CHRONOS" mount data second
assert_refused "in use by process $pid" "$CHRONOS" mount -f data second
kill -TERM "$pid"
wait_until 20 gone "$pid"
if is_mounted "$MNT"; then fail "still mounted after SIGTERM"; fi
assert_eq "$("$CHRONOS" get --dir "$DIR" greeting)" hello "what was written through the mount"

# ---- mount(8)'s helper ----
ln -s "$CHRONOS" mount.chronos
assert_refused "unknown mount option 'allow_others'; did you mean 'allow_other'?" ./mount.chronos data mnt -o rw,allow_others
assert_refused "unknown mount option 'sync'; there are ro, rw, allow_other, uid=," ./mount.chronos data mnt -o sync
assert_refused "there is no data directory nothing" ./mount.chronos nothing mnt -o ro
assert_status 0 ./mount.chronos data mnt -f -s -n -v -t chronos -o sync
if is_mounted "$MNT"; then fail "mount.chronos -f mounted"; fi

# ---- HOST:PORT is a server, unless a directory has such a name ----
assert_refused "is 'chronos serve' running there" "$CHRONOS" mount localhost:8080 mnt
[ ! -e localhost:8080 ] || fail "the name of a server was taken for a directory"
mkdir localhost:8080
assert_status 0 "$CHRONOS" mount localhost:8080 mnt
pid=$(tr -dc 0-9 <localhost:8080/LOCK)
fusermount3 -u "$MNT"
wait_until 20 gone "$pid"

# ---- in the foreground ----
background "$CHRONOS" mount -f data mnt 2>>"$LOG"
wait_until 20 is_mounted "$MNT"
assert_eq "$(cat mnt/greeting)" hello
kill -INT "$BACKGROUND_PID"   # bash has background commands ignore it, and the program takes it all the same
status=0
wait "$BACKGROUND_PID" || status=$?
assert_eq "$status" 0 "the exit status after SIGINT"
if is_mounted "$MNT"; then fail "still mounted after SIGINT"; fi
