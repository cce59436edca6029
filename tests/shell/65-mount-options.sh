#!/usr/bin/env bash
# What -o does, as `chronos mount`, `chronos serve --mount-options`, mount(8), an fstab line and a systemd mount unit say it.
. "$(dirname "$0")/lib.sh"
need_fuse
cd "$TMP"
MINE=$(id -u):$(id -g)
free_again() { ! is_mounted "$MNT" && "$CHRONOS" ls --dir "$DIR"; }   # the process has let go of the directory
unmount() {
    as_root umount "$MNT"
    wait_until 20 free_again
}
facts() { stat -c '%u:%g %a' "$1"; }

for key in a app/one app/sub/two app/.chronos apple other; do "$CHRONOS" set --dir "$DIR" "$key" "value of $key"; done

# ---- owner and permissions of what has none of its own ----
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o uid=1234,gid=4321,umask=027
assert_eq "$(facts "$MNT/a")" '1234:4321 640' "a key without attributes"
assert_eq "$(facts "$MNT/app")" '1234:4321 750' "a directory that its keys make"
assert_eq "$(facts "$MNT")" '1234:4321 750' "the root"
if [ "$(id -u)" -eq 0 ]; then
    (umask 022 && echo new >"$MNT/mine")
    assert_eq "$(facts "$MNT/mine")" "$MINE 644" "a file that was made through the mount"
    chmod 600 "$MNT/a"
    assert_eq "$(facts "$MNT/a")" '1234:4321 600' "after chmod"
    rm "$MNT/mine"
fi
unmount

# ---- prefix: a part of the keys, as the root ----
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o prefix=app
assert_eq "$(cd "$MNT" && find . -mindepth 1 | sort)" $'./%=%2Echronos\n./one\n./sub\n./sub/two' "the tree below app/"
assert_eq "$(cat "$MNT/%=%2Echronos")" 'value of app/.chronos'
assert_contains "$(cat "$MNT/.chronos/stats")" keys_estimate
echo 3 >"$MNT/three"
mv "$MNT/sub" "$MNT/moved"
unmount
assert_eq "$("$CHRONOS" ls --dir "$DIR" | tr '\n' ' ')" 'a app/.chronos app/moved/two app/one app/three apple other ' "the keys thereafter"

# ---- a server's mount: read-only beside clients that write, the same prefix, and what they change is seen ----
assert_refused 'give --mount PATH too' "$CHRONOS" serve --dir "$DIR" --mount-options ro
assert_refused "unknown mount option 'readonly'" "$CHRONOS" serve --dir "$DIR" --mount "$MNT" --mount-options readonly
start_mounted --mount-options ro,prefix=app/
assert_eq "$(cat "$MNT/one")" 'value of app/one'
redis set app/one changed >/dev/null
redis set a elsewhere >/dev/null
assert_eq "$(cat "$MNT/one")" changed "after SET"
redis set app/sub/deep x >/dev/null
assert_eq "$(ls "$MNT/sub")" deep "a directory that SET made"
for change in "touch $MNT/new" "rm $MNT/one" "mkdir $MNT/dir" "mv $MNT/one $MNT/two" "chmod 600 $MNT/one" "truncate -s 0 $MNT/one" "ln -s a $MNT/link"; do
    # shellcheck disable=SC2086
    assert_status 1 $change
    assert_contains "$ERR" 'Read-only file system' "$change"
done
stop_server

# ---- cache=strict: no page is kept, so each read is a request, and a shared mapping cannot be ----
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o cache=strict
assert_eq "$(cat "$MNT/app/one" "$MNT/app/one")" changedchanged
mapped() { python3 -c 'import mmap, os, sys; mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)' "$1"; }
assert_status 1 mapped "$MNT/app/one"
cp "$CHRONOS" "$MNT/program"
cmp "$CHRONOS" "$MNT/program"
rm "$MNT/program"
unmount

# ---- mount(8) and /etc/fstab: the helper is in /sbin only for as long as this takes, unless it is there anyway ----
helper=/sbin/mount.chronos
remove_helper() { [ ! -L "$helper" ] || [ "$(readlink "$helper")" != "$CHRONOS" ] || as_root rm "$helper"; }
trap 'remove_helper; lib_cleanup' EXIT
[ -e "$helper" ] || as_root ln -s "$CHRONOS" "$helper"
if [ "$(readlink "$helper")" = "$CHRONOS" ]; then   # not some other build
    as_root mount -t chronos "$DIR" "$MNT" -o ro,noexec,noatime,allow_other,umask=022
    is_mounted "$MNT" || fail "mount(8) returned, and nothing is mounted"
    assert_contains "$(grep -F " $MNT " /proc/self/mounts)" noexec
    assert_eq "$(cat "$MNT/apple")" 'value of apple'
    unmount
    assert_status 2 as_root mount -t chronos "$DIR" "$MNT" -o bogus
    assert_contains "$ERR" "unknown mount option 'bogus'"
    assert_status 2 as_root mount -t chronos "$TMP/nothing" "$MNT" -o ro
    if is_mounted "$MNT"; then fail "mounted in spite of an error"; fi

    read -r _ _ type words dump pass < <(grep -v '^#' "$ROOT/examples/fstab")
    printf '%s %s %s %s %s %s\n' "$DIR" "$MNT" "$type" "$words" "$dump" "$pass" >fstab
    as_root mount -T fstab "$MNT"
    assert_eq "$(cat "$MNT/apple")" 'value of apple' "through the fstab line"
    unmount
fi

# ---- the mount unit: its name is its path, and its options are known ----
unit=$ROOT/examples/mnt-chronos.mount
setting() { sed -n "s/^$1=//p" "$unit"; }
assert_eq "$(setting Type) $(setting Where)" 'chronos /mnt/chronos'
if command -v systemd-analyze >/dev/null; then
    assert_eq "$(systemd-escape --path --suffix=mount "$(setting Where)")" "${unit##*/}" "the name of the unit"
    systemd-analyze verify --man=no "$unit" >said 2>&1 || fail "systemd-analyze: $(cat said)"
fi
ln -s "$CHRONOS" mount.chronos
assert_status 0 ./mount.chronos "$DIR" "$MNT" -o "$(setting Options)"
assert_eq "$(cat "$MNT/apple")" 'value of apple' "through the unit's options"
unmount
