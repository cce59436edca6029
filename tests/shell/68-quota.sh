#!/usr/bin/env bash
# max_size: the mount refuses what the store would grow over (EDQUOT), and takes it again after deletions.
. "$(dirname "$0")/lib.sh"
MIB=1048576
start_mounted --mount-options max_size=12MiB
df_bytes() { df --output="$1" -B1 "$MNT" | tail -n 1 | tr -d ' '; }
over() {   # COMMAND ...
    assert_status 1 "$@"
    assert_contains "$ERR" 'Disk quota exceeded' "$*"
}
fill() { head -c "$1" /dev/urandom >"$2"; }

assert_eq "$(df_bytes size)" $((12 * MIB))
assert_contains "$(cat "$MNT/.chronos/config")" "mount-max-size $((12 * MIB))"
[ "$(df_bytes avail)" -gt $((10 * MIB)) ] || fail "an empty store has only $(df_bytes avail) bytes left"

# ---- it takes what fits, however often it is overwritten ----
echo kept >"$MNT/kept"
mkdir "$MNT/dir"
fill $((8 * MIB)) "$MNT/dir/big"
for i in 1 2 3 4 5 6; do fill $MIB "$MNT/again" || fail "the store did not take it again, time $i"; done
cp "$MNT/again" "$TMP/again"

# ---- what does not fit is refused and changes nothing ----
fill $((6 * MIB)) "$TMP/source"
over dd if="$TMP/source" of="$MNT/new" bs=6M iflag=fullblock status=none
assert_eq "$(stat -c %s "$MNT/new")" "$(redis strlen new)"
rm -f "$MNT/new"
over dd if="$TMP/source" of="$MNT/again" bs=6M iflag=fullblock conv=notrunc oflag=seek_bytes seek=$MIB status=none
[ "$(head -c $MIB "$MNT/again" | cmp - "$TMP/again" && echo yes)" = yes ] || fail "the file has changed before the refused bytes"
truncate -s $MIB "$MNT/again"
cmp "$MNT/again" "$TMP/again"
over fallocate -l 6MiB "$MNT/again"
cmp "$MNT/again" "$TMP/again"

# ---- other doors are not limited; over the limit nothing can be made, but deleted, moved and read ----
redis -x set over <"$TMP/source" >/dev/null
write_to() { echo x >"$1"; }
over mkdir "$MNT/dir2"
over ln -s x "$MNT/link"
over mkfifo "$MNT/fifo"
over touch "$MNT/empty"
over write_to "$MNT/kept2"
over setfattr -n user.x -v 1 "$MNT/kept"
over cp "$MNT/kept" "$MNT/kept2"
assert_eq "$(ls "$MNT")" $'again\ndir\nkept\nover'
assert_eq "$(cat "$MNT/kept")" kept
assert_eq "$(df_bytes avail)" 0
mv "$MNT/kept" "$MNT/moved"
truncate -s 100 "$MNT/again"
chmod 600 "$MNT/moved"
rm -r "$MNT/dir" "$MNT/over"
# By itself, and soon: each refusal looks whether a compaction would help.
wait_until 60 fill $((5 * MIB)) "$MNT/new"
wait_until 60 mkdir "$MNT/dir"
assert_eq "$(redis strlen new)" $((5 * MIB))
stop_server

for word in max_size= max_size=0 max_size=much max_size; do
    assert_refused max_size "$CHRONOS" mount "$DIR" "$MNT" -o "$word"
done
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o max_size=1kB
over write_to "$MNT/more"
assert_eq "$(df_bytes avail)" 0
rm "$MNT/new"
