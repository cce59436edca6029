#!/usr/bin/env bash
# A mount point that is not there, not a directory, not empty, or in the data directory: one sentence, exit status 2, no change.
. "$(dirname "$0")/lib.sh"
need_fuse
echo text >"$TMP/file"
mkdir "$TMP/full"
echo mine >"$TMP/full/letter"

refused() {   # PART MOUNT-POINT
    assert_refused "$1" "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --mount "$2"
    assert_contains "$ERR" "$2"
    [ ! -e "$DIR" ] || fail "$DIR was created though the mount point was wrong"
    assert_refused "$1" "$CHRONOS" mount "$DIR" "$2"
    [ ! -e "$DIR" ] || fail "$DIR was created though the mount point was wrong (chronos mount)"
}
refused 'does not exist' "$TMP/nowhere"
refused 'not a directory' "$TMP/file"
refused 'not empty' "$TMP/full"
refused 'it lies in the data directory' "$DIR/mnt"
[ ! -e "$TMP/nowhere" ] || fail "the mount point was created"
assert_eq "$(cat "$TMP/file") $(ls -A "$TMP/full")" 'text letter'

# In use by another mount of ours.
start_mounted
redis set k v >/dev/null
assert_refused "$MNT" "$CHRONOS" serve --dir "$TMP/other" --listen 127.0.0.1:0 --mount "$MNT"
[ ! -e "$TMP/other" ] || fail "$TMP/other was created though its mount point was in use"
assert_eq "$(cat "$MNT/k")" v "the one who has the mount point goes on"
