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

# Whatever was done last before the kill counts when its call has returned: of a file that was closed, also if it was too big to
# be kept in memory until then, and of a name that was truncated.
head -c 9M /dev/urandom >"$TMP/big"
dd if="$TMP/big" of="$MNT/big" bs=1M status=none
kill_server
restart_server
cmp "$TMP/big" "$MNT/big"
truncate -s 4 "$MNT/f8"
kill_server
restart_server
assert_eq "$(cat "$MNT/f8")" file "a file that was truncated by its name"
mkfifo "$MNT/fifo"
kill_server
restart_server
[ -p "$MNT/fifo" ] || fail "the FIFO is gone"

# `chronos mount` takes over too.
kill_server
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT"
assert_eq "$(cat "$MNT/f7")" "file 7"
fusermount3 -u "$MNT"
