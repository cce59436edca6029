#!/usr/bin/env bash
# The mount of a server that was killed is dead; the next server recognises it and takes it over. What was closed before is there.
. "$(dirname "$0")/lib.sh"
start_mounted --sync none
for ((i = 0; i < 300; i++)); do echo "file $i" >"$MNT/f$i"; done
mkdir "$MNT/empty"
kill_server
is_mounted "$MNT" || fail "the test is wrong: nothing is left behind"
! stat "$MNT" >/dev/null 2>&1 || fail "the test is wrong: the mount is not dead"

restart_server
for ((i = 0; i < 300; i++)); do assert_eq "$(cat "$MNT/f$i")" "file $i"; done
[ -d "$MNT/empty" ] || fail "the directory is gone"
assert_eq "$(grep -cF " $MNT " /proc/self/mounts)" 1 "the number of mounts at the mount point"

# `chronos mount` takes over too.
kill_server
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT"
assert_eq "$(cat "$MNT/f7")" "file 7"
fusermount3 -u "$MNT"
