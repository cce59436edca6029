#!/usr/bin/env bash
# `chronos mount DIR PATH`: files without a server, in a process of its own; also as mount(8)'s helper, read-only, and twice.
. "$(dirname "$0")/lib.sh"
need_fuse
free_again() { "$CHRONOS" get --dir "$DIR" k; }   # the process has let go of the directory

assert_status 0 "$CHRONOS" mount "$DIR" "$MNT"
assert_eq "$OUT$ERR" '' "what chronos mount says when all is well"
is_mounted "$MNT" || fail "chronos mount has returned, and nothing is mounted"
echo v >"$MNT/k"
mkdir "$MNT/dir"
ln -s k "$MNT/link"
assert_eq "$(cat "$MNT/link")" v
assert_refused 'process' "$CHRONOS" get --dir "$DIR" k
fusermount3 -u "$MNT"
wait_until 20 free_again
assert_eq "$("$CHRONOS" get --dir "$DIR" k)" v

# Read-only: nothing can be changed, and nothing is.
bytes() { (cd "$DIR" && find . -type f ! -name LOCK -exec sha256sum {} + | sort); }   # LOCK holds the process id of its last owner
before=$(bytes)
assert_status 0 "$CHRONOS" mount -o ro "$DIR" "$MNT"
assert_eq "$(cat "$MNT/k")" v
assert_status 1 touch "$MNT/new"
assert_contains "$ERR" 'Read-only file system'
assert_status 1 rm "$MNT/k"
fusermount3 -u "$MNT"
wait_until 20 free_again
assert_eq "$(bytes)" "$before" "the bytes of a data directory that was mounted read-only"

# In the foreground: SIGTERM unmounts and ends it with 0.
"$CHRONOS" mount --foreground "$DIR" "$MNT" 2>>"$LOG" &
pid=$!
pids+=("$pid")
wait_until 20 is_mounted "$MNT"
wait_until 20 cat "$MNT/k"
kill -TERM $pid
status=0
wait $pid || status=$?
assert_eq $status 0 "the exit status after SIGTERM"
! is_mounted "$MNT" || fail "still mounted"

# As mount.chronos, with what mount(8) and /etc/fstab add.
ln -s "$CHRONOS" "$TMP/mount.chronos"
assert_status 0 "$TMP/mount.chronos" "$DIR" "$MNT" -o rw,nosuid,nodev,noauto,x-systemd.automount
assert_eq "$(cat "$MNT/k")" v
grep -F " $MNT " /proc/self/mounts | grep -q chronos || fail "the list of mounts does not say chronos"
fusermount3 -u "$MNT"
wait_until 20 free_again
