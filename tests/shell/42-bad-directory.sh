#!/usr/bin/env bash
# A data directory that cannot be one gets one sentence, exit status 2, and is left as it was.
. "$(dirname "$0")/lib.sh"

echo text >"$TMP/file"
assert_refused "$TMP/file" "$CHRONOS" serve --listen 127.0.0.1:0 --dir "$TMP/file"
assert_eq "$(cat "$TMP/file")" text
assert_refused "$TMP/no/such" "$CHRONOS" serve --listen 127.0.0.1:0 --dir "$TMP/no/such"
[ ! -e "$TMP/no" ] || fail "$TMP/no was created"
assert_refused "$TMP/file/below" "$CHRONOS" serve --listen 127.0.0.1:0 --dir "$TMP/file/below"

# A directory with somebody's files is not taken.
mkdir "$TMP/home"
echo mine >"$TMP/home/letter"
assert_refused "$TMP/home" "$CHRONOS" serve --listen 127.0.0.1:0 --dir "$TMP/home"
assert_eq "$(ls -A "$TMP/home")" letter

# No permission: as somebody else if this is root, whom permissions do not stop.
chmod 711 "$TMP"
mkdir -m 755 "$TMP/theirs"
mkdir -m 700 "$TMP/secret"
as_nobody() { "$@"; }
program=$CHRONOS
if [ "$(id -u)" -eq 0 ]; then
    cp "$CHRONOS" "$TMP/chronos"     # which they can reach
    program=$TMP/chronos
    as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
else
    chmod 555 "$TMP/theirs"
    chmod 000 "$TMP/secret"
fi
refused_to_nobody() {   # PART DIR
    local part=$1 status=0
    as_nobody timeout 30 "$program" serve --listen 127.0.0.1:0 --dir "$2" >"$TMP/out" 2>"$TMP/err" </dev/null || status=$?
    assert_eq "$status" 2 "the exit status without permission"
    assert_eq "$(cat "$TMP/out")" ''
    assert_eq "$(wc -l <"$TMP/err")" 1 "the number of lines about a lack of permission"
    assert_contains "$(cat "$TMP/err")" "$part"
    assert_contains "$(cat "$TMP/err")" 'Permission denied'
}
refused_to_nobody "$TMP/theirs" "$TMP/theirs"
refused_to_nobody "$TMP/theirs/new" "$TMP/theirs/new"
refused_to_nobody "$TMP/secret" "$TMP/secret"
[ "$(id -u)" -eq 0 ] || chmod 755 "$TMP/theirs" "$TMP/secret"
assert_eq "$(find "$TMP/theirs" "$TMP/secret" -mindepth 1)" '' "what was left in a forbidden directory"

# A read-only file system stops root too.
mkdir "$TMP/ro"
as_root mount -t tmpfs -o ro none "$TMP/ro" || fail "cannot mount a read-only file system for this test"
own_mount "$TMP/ro"
assert_refused "$TMP/ro/data" "$CHRONOS" serve --listen 127.0.0.1:0 --dir "$TMP/ro/data"
assert_contains "$ERR" 'Read-only file system'
