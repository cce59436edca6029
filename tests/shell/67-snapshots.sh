#!/usr/bin/env bash
# sanitized: yes
# Snapshots with names: .chronos/snapshots, SNAPSHOT over TCP, -o snapshot=, --snapshot; they outlive the server, and do not change.
. "$(dirname "$0")/lib.sh"
start_mounted
SNAPSHOTS=$MNT/.chronos/snapshots
same() { diff -r --no-dereference "$1" "$2" >"$TMP/diff" 2>&1 || fail "$1 and $2 differ: $(head -c 1000 "$TMP/diff")"; }

# ---- a tree of all kinds of things, and a copy of it outside ----
cp -r "$ROOT/fs" "$MNT/fs"
mkdir -p "$MNT/empty/inner" "$MNT/sub/dir"
echo one >"$MNT/sub/dir/a"
ln -s sub/dir/a "$MNT/link"
head -c 300000 /dev/urandom >"$MNT/big"
chmod 640 "$MNT/sub/dir/a"
setfattr -n user.colour -v blue -- "$MNT/sub/dir/a"
printf '%s\n' value | redis -x set self >/dev/null
redis set self/below 1 >/dev/null
redis set a//b 2 >/dev/null
redis set soon gone PX 400 >/dev/null
exec 7>"$MNT/open"
printf 'not closed' >&7
mkdir "$SNAPSHOTS/before"
assert_eq "$(cat "$SNAPSHOTS/before/open")" 'not closed' "what was written and not closed"
assert_eq "$(cat "$SNAPSHOTS/before/soon")" gone
cp -a "$SNAPSHOTS/before" "$TMP/copy"
same "$TMP/copy" "$MNT"
exec 7>&-

# ---- what changes does not change there, and the kernel keeps nothing wrong ----
look() { same "$TMP/copy" "$SNAPSHOTS/before"; }
look
rm -r "$MNT/fs" "$MNT/sub/dir/a"
echo two >"$MNT/big"
redis set self other >/dev/null
redis set 'a//b' other >/dev/null
redis del self/below >/dev/null
mv "$MNT/empty" "$MNT/sub/moved"
rm "$MNT/link"
sleep 0.5   # until what expires has expired
assert_eq "$(redis exists soon)" 0
look
assert_eq "$(cat "$SNAPSHOTS/before/soon")" gone "what had not expired then"
assert_eq "$(stat -c %a "$SNAPSHOTS/before/sub/dir/a")" 640
assert_eq "$(getfattr --absolute-names --only-values -n user.colour "$SNAPSHOTS/before/sub/dir/a")" blue
mkdir "$SNAPSHOTS/after"
same "$SNAPSHOTS/after" "$MNT"
assert_eq "$(ls "$SNAPSHOTS")" $'after\nbefore'
inodes=$(find "$MNT" "$SNAPSHOTS/before" "$SNAPSHOTS/after" -printf '%i\n' | sort)
assert_eq "$(uniq -d <<<"$inodes")" '' "inode numbers that are there twice"

# ---- nothing can be written there ----
read_only() {
    assert_status 1 "$@"
    assert_contains "$ERR" 'Read-only file system' "$*"
}
cd "$SNAPSHOTS/before"
write_to() { echo x >"$1"; }
append_to() { echo x >>"$1"; }
read_only write_to big
read_only append_to big
read_only write_to new
read_only rm big
read_only mkdir new
read_only rmdir empty/inner
read_only mv big small
read_only mv big "$MNT/here"
read_only mv "$MNT/big" .
read_only ln -s x y
read_only ln big hard
read_only mkfifo fifo
read_only touch big
read_only chmod 600 big
read_only chmod 700 .
read_only truncate -s 0 big
read_only setfattr -n user.x -v 1 big
read_only setfattr -x user.colour sub/dir/a
cd "$ROOT"
look

# ---- names ----
assert_status 1 mkdir "$SNAPSHOTS/before"
assert_contains "$ERR" 'File exists'
assert_status 1 rmdir "$SNAPSHOTS/nothing"
assert_contains "$ERR" 'No such file or directory'
assert_status 1 mkdir "$SNAPSHOTS/$(printf 'n%.0s' {1..300})"
assert_contains "$ERR" 'File name too long'
assert_status 1 mv "$SNAPSHOTS/before" "$SNAPSHOTS/other"

# ---- over TCP, and both doors agree at once ----
assert_eq "$(redis snapshot list | tr '\n' ' ')" 'after before '
assert_eq "$(redis snapshot create by-tcp)" OK
assert_contains "$(redis snapshot create by-tcp)" "ERR there is a snapshot 'by-tcp' already"
assert_contains "$(redis snapshot create a/b)" "without '/'"
assert_contains "$(redis snapshot drop nothing)" "ERR there is no snapshot 'nothing'"
assert_contains "$(redis snapshot help)" 'CREATE <name>'
assert_eq "$(line 'SNAPSHOT LIST')" $'after\nbefore\nby-tcp'
same "$SNAPSHOTS/by-tcp" "$MNT"
redis set sub/new 1 >/dev/null
assert_eq "$(ls "$SNAPSHOTS/by-tcp/sub")" "$(ls "$SNAPSHOTS/after/sub")"
assert_status 2 ls "$SNAPSHOTS/again"
assert_eq "$(redis snapshot create again)" OK
assert_eq "$(cat "$SNAPSHOTS/again/sub/new")" 1 "a name that the kernel knew not to be there"
exec 8<"$SNAPSHOTS/again/sub/new"
assert_eq "$(redis snapshot drop again)" OK
assert_status 2 ls "$SNAPSHOTS/again"
redis del sub/new >/dev/null
redis compact >/dev/null
assert_eq "$(cat <&8)" 1 "a file that was open when its snapshot was dropped"
exec 8<&-
redis set sub/new 2 >/dev/null
assert_eq "$(redis snapshot create again)" OK
assert_eq "$(cat "$SNAPSHOTS/again/sub/new")" 2 "a name that comes again"

# ---- a writer beside: each snapshot shows all up to some write, and nothing behind it ----
python - <<'END' &
import os, socket
s = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
f = s.makefile("rb")
i = 0
while not os.path.exists(os.environ["TMP"] + "/enough"):
    i += 1
    s.sendall(b"MSET first %d last %d\nSET n%06d x\n" % (i, i, i))
    assert f.readline() == b"OK\n" and f.readline() == b"OK\n"
END
writer=$!
pids+=("$writer")
wait_until 20 test -e "$MNT/n000010"
for i in 1 2 3 4 5; do mkdir "$SNAPSHOTS/beside$i"; done
touch "$TMP/enough"
wait "$writer"
for i in 1 2 3 4 5; do
    first=$(cat "$SNAPSHOTS/beside$i/first") last=$(cat "$SNAPSHOTS/beside$i/last")
    assert_eq "$last" "$first" "two keys that are always the same"
    found=$(find "$SNAPSHOTS/beside$i" -maxdepth 1 -name 'n[0-9]*' | wc -l)
    [ "$found" -eq "$first" ] || [ "$found" -eq $((first - 1)) ] || fail "$found keys beside number $first"
    rmdir "$SNAPSHOTS/beside$i"
done

# ---- they outlive the server, killed or not ----
mkdir "$SNAPSHOTS/last"
cp -a "$SNAPSHOTS/last" "$TMP/last"
redis set big three >/dev/null
kill_server
restart_server
look
same "$TMP/last" "$SNAPSHOTS/last"
assert_eq "$(cat "$MNT/big")" three
restart_server
look
same "$TMP/last" "$SNAPSHOTS/last"
rmdir "$SNAPSHOTS/last"
kill_server
restart_server
assert_status 2 ls "$SNAPSHOTS/last"

# ---- what only a snapshot shows takes room until it is dropped, and then no more ----
echo 1 >"$MNT/.chronos/compact"
bytes() { redis info engine | tr -d '\r' | sed -n 's/^disk_bytes://p'; }
for name in $(redis snapshot list); do [ "$name" = before ] || rmdir "$SNAPSHOTS/$name"; done
head -c 20000000 /dev/urandom >"$MNT/bulk"
mkdir "$SNAPSHOTS/bulky"
cp "$MNT/bulk" "$TMP/bulk"
rm "$MNT/bulk"
redis compact >/dev/null
[ "$(bytes)" -gt 20000000 ] || fail "the snapshot's values take only $(bytes) bytes"
cmp "$TMP/bulk" "$SNAPSHOTS/bulky/bulk"
rmdir "$SNAPSHOTS/bulky"
freed() { [ "$(bytes)" -lt 10000000 ]; }
wait_until 60 freed   # by itself
look
stop_server

# ---- without a server: the commands, and a mount of a snapshot; check and backup ----
assert_status 0 "$CHRONOS" check "$DIR"
assert_eq "$("$CHRONOS" get --dir "$DIR" --snapshot before self)" value
assert_eq "$("$CHRONOS" get --dir "$DIR" self)" other
assert_eq "$("$CHRONOS" ls --dir "$DIR" --snapshot before a//)" a//b
assert_contains "$("$CHRONOS" ls --dir "$DIR" --snapshot before)" soon
assert_refused "there is no snapshot 'x'" "$CHRONOS" ls --dir "$DIR" --snapshot x
assert_refused "there is no snapshot 'x'" "$CHRONOS" mount "$DIR" "$MNT" -o snapshot=x
assert_refused "the name of a snapshot" "$CHRONOS" mount "$DIR" "$MNT" -o snapshot=a/b
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o snapshot=before,rw
same "$TMP/copy" "$MNT"
same "$TMP/copy" "$SNAPSHOTS/before"
read_only write_to "$MNT/new"
read_only mkdir "$SNAPSHOTS/new"
assert_contains "$(cat "$MNT/.chronos/config")" 'mount-snapshot before'
fusermount3 -u "$MNT"
unused() { "$CHRONOS" check "$DIR"; }
wait_until 20 unused
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o snapshot=before,prefix=sub
same "$TMP/copy/sub" "$MNT"
fusermount3 -u "$MNT"
wait_until 20 unused
assert_status 0 "$CHRONOS" backup "$DIR" "$TMP/backup"
assert_status 0 "$CHRONOS" restore "$TMP/backup" "$TMP/restored"
assert_eq "$("$CHRONOS" get --dir "$TMP/restored" --snapshot before self)" value
start_mounted --mount-options snapshot=before
redis set self third >/dev/null
same "$TMP/copy" "$MNT"
