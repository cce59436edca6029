#!/usr/bin/env bash
# Whose files were unmounted from outside ends, and leaves alone what somebody has mounted at that path since.
. "$(dirname "$0")/lib.sh"
need_fuse
own_mount "$MNT"

mount_store() {   # NAME
    background "$CHRONOS" mount -f "$TMP/$1" "$MNT" 2>>"$LOG"
    wait_until 60 is_mounted "$MNT"
}
ended() {   # PID
    wait "$1" || fail "the process of a mount ended with status $?"
}
unmount() { fusermount3 -u "$@" "$MNT" 2>/dev/null || as_root umount "${@/-z/-l}" "$MNT"; }

for name in first second; do
    mount_store $name
    echo $name >"$MNT/name"
    unmount
    ended "$BACKGROUND_PID"
done

# As a script does it: the other is there while the first still writes out what it has.
for ((i = 0; i < 10; i++)); do
    mount_store first
    first=$BACKGROUND_PID
    echo $i >"$MNT/number"
    unmount
    mount_store second
    ended "$first"
    assert_eq "$(cat "$MNT/name")" second "what is at the path after another mount of it has ended"
    unmount
    ended "$BACKGROUND_PID"
done

# While a file is open, the mount lives on without a place, until it is told to end.
mount_store first
first=$BACKGROUND_PID
exec 7<>"$MNT/number"
unmount -z
mount_store second
assert_eq "$(cat <&7)" 9
kill -TERM "$first"
ended "$first"
exec 7>&-
assert_eq "$(cat "$MNT/name")" second "what is at the path after a mount without a place was ended"

# The kernel's connection can be ended, too. The mount is dead then, and its own to remove.
connections=$TMP/connections
mkdir "$connections"
own_mount "$connections"
if as_root mount -t fusectl none "$connections"; then
    number=$(awk -v at="$MNT" '$5 == at { split($3, n, ":"); print n[2] }' /proc/self/mountinfo)
    as_root sh -c "echo 1 >'$connections/$number/abort'"
    ended "$BACKGROUND_PID"
    ! is_mounted "$MNT" || fail "a dead mount was left behind"
else
    unmount
    ended "$BACKGROUND_PID"
fi
