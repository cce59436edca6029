#!/usr/bin/env bash
# sanitized: yes
# backup and restore, of stores with a server and without: what was there at one moment, complete or not at all, next to nothing
# is copied twice, and damage does not get in.
. "$(dirname "$0")/lib.sh"
other=$TMP/other   # another file system
mkdir "$other"
own_mount "$other"
as_root mount -t tmpfs -o size=200m tmpfs "$other"
chr() { "$CHRONOS" "$@"; }
backup() { chr backup -p "$PORT" "$DIR" "$@"; }
fill() {   # PREFIX COUNT: values that do not compress, so that they make tables of some size
    python - "$1" "$2" <<'END_PYTHON'
import os, random, sys
from resp import Client
values = random.Random(sys.argv[1])
assert set(Client().pipeline([("SET", "%s:%05d" % (sys.argv[1], i), values.randbytes(1000)) for i in range(int(sys.argv[2]))])) == {b"OK"}
END_PYTHON
}
dump() { chr ls --dir "$1" --long | md5sum; }
copied() { sed -n 's/.* \([0-9]*\) copied$/\1/p' <<<"$1"; }
kept() { sed -n 's/.* \([0-9]*\) kept.*/\1/p' <<<"$1"; }
linked() { sed -n 's/.* \([0-9]*\) linked.*/\1/p' <<<"$1"; }
flip() {   # FILE OFFSET: one byte there becomes another
    python - "$@" <<'END_PYTHON'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 0x10]))
END_PYTHON
}
one_table() { find "$1" -name '*.sst' | sort | head -n 1; }

# A running server, onto the same file system: links, and nothing of the checkpoint stays behind.
start_server --memtable 1MiB
fill a 3000
redis compact >/dev/null   # nothing is left to be merged while tables are counted
redis set greeting hello >/dev/null
said=$(backup "$TMP/b1/")
[ "$(linked "$said")" -ge 2 ] && [ "$(copied "$said")" = 0 ] || fail "not linked: $said"
redis set greeting later >/dev/null
assert_eq "$(ls -A "$DIR/checkpoints")" .backup.lock "what a backup leaves behind"
[ ! -e "$TMP/b1.partial" ] || fail "the half backup is still there"
assert_contains "$(cat "$TMP/b1/BACKUP")" "A backup of $DIR, made at " "the note"
assert_status 0 "$CHRONOS" check "$TMP/b1"
assert_eq "$(chr get --dir "$TMP/b1" greeting)" hello

# Onto another file system: copied once, and kept from then on. The old backup was replaced.
said=$(backup "$other/b")
tables=$(copied "$said")
[ "$tables" -ge 2 ] && [ "$(linked "$said")" = 0 ] || fail "not copied: $said"
before=$(stat -c %i "$(one_table "$other/b")")
said=$(backup "$other/b")
[ "$(kept "$said")" = "$tables" ] && [ "$(copied "$said")" = 0 ] || fail "not kept: $said"
assert_eq "$(stat -c %i "$(one_table "$other/b")")" "$before" "a table that was kept"
fill b 500
said=$(backup "$other/b")
[ "$(kept "$said")" -ge 1 ] && [ "$(copied "$said")" -ge 1 ] || fail "not incremental: $said"
assert_eq "$(chr get --dir "$other/b" greeting)" later
assert_eq "$(chr ls --dir "$other/b" | wc -l)" 3501

# A table of the same number and size with other bytes is copied again: here it is damaged in the backup.
table=$(one_table "$other/b")
flip "$table" 5000
assert_status 1 "$CHRONOS" check "$other/b"
said=$(backup "$other/b")
[ "$(copied "$said")" -ge 1 ] || fail "a damaged table was kept: $said"
assert_status 0 "$CHRONOS" check "$other/b"

# While it is written to: all of a transaction or nothing of it.
cat >"$TMP/pairs.py" <<'END_PYTHON'
from resp import Client
redis, i = Client(), 0
while True:
    i += 1
    redis("MSET", "left", i, "right", i)
END_PYTHON
redis mset left 0 right 0 >/dev/null
background env PORT="$PORT" PYTHONPATH="$ROOT/tests/shell" python3 "$TMP/pairs.py"
is_written_to() { [ "$(redis get left)" -gt 0 ]; }
wait_until 60 is_written_to
for ((i = 0; i < 5; i++)); do
    backup "$other/b" >/dev/null
    left=$(chr get --dir "$other/b" left)
    assert_eq "$left" "$(chr get --dir "$other/b" right)" "a batch in a backup"
done
[ "$left" -gt 0 ] || fail "the backup does not show what was written meanwhile"
kill -KILL "$BACKGROUND_PID"
wait "$BACKGROUND_PID" 2>/dev/null || true

# A backup that is killed at any moment leaves a whole one, and the next one is not in its way.
seed=${SEED:-$RANDOM}
echo "SEED=$seed"
RANDOM=$seed
last=none
for ((i = 0; i < 12; i++)); do
    redis set round "$i" >/dev/null
    background "$CHRONOS" backup -p "$PORT" "$DIR" "$other/b" >/dev/null
    sleep "0.0$((RANDOM % 90 + 10))"
    kill -KILL "$BACKGROUND_PID" 2>/dev/null || true
    wait "$BACKGROUND_PID" 2>/dev/null || true
    assert_status 0 "$CHRONOS" check "$other/b"
    found=$(chr get --dir "$other/b" round 2>/dev/null || echo none)
    [ "$found" = "$i" ] || [ "$found" = "$last" ] || fail "the backup is of round $found in round $i, after $last"
    echo "killed a backup in round $i, and there is that of $found"
    last=$found
done
backup "$other/b" >/dev/null
assert_eq "$(chr get --dir "$other/b" round)" 11
[ ! -e "$other/b.partial" ] || fail "the half backup is still there"

# Big values lie in files of their own, which are copied, kept and checked like tables.
head -c 300000 /dev/urandom >"$TMP/big"
redis -x set big <"$TMP/big" >/dev/null
backup "$other/b" >/dev/null
blob=$(find "$other/b" -name '*.blob' | sort | head -n 1)
[ -n "$blob" ] || fail "no file of big values is in the backup"
chr get --dir "$other/b" big | cmp - "$TMP/big" || fail "the big value is not as it was"
flip "$blob" 5000
assert_status 1 "$CHRONOS" check "$other/b"
said=$(backup "$other/b")
[ "$(copied "$said")" -ge 1 ] || fail "a damaged file of big values was kept: $said"
assert_status 0 "$CHRONOS" check "$other/b"

# Restored, and gone on with; its backup into the same place does not mix up the two stores, which number their tables alike.
said=$(chr restore "$other/b" "$TMP/restored")
[ ! -e "$TMP/restored/BACKUP" ] || fail "a restored store says that it is a backup"
assert_eq "$(dump "$TMP/restored")" "$(dump "$other/b")" "the restored keys"
chr set --dir "$TMP/restored" only here
fill c 300
backup "$other/b" >/dev/null
chr backup "$TMP/restored" "$other/b" >/dev/null
assert_eq "$(dump "$TMP/restored")" "$(dump "$other/b")" "the backup of the restored store"
mkdir "$TMP/empty"
chr restore "$TMP/b1" "$TMP/empty" >/dev/null
assert_eq "$(chr get --dir "$TMP/empty" greeting)" hello
chr set --dir "$TMP/empty" greeting changed
assert_eq "$(chr get --dir "$TMP/b1" greeting)" hello "a backup after a change of what was restored from it"

# Refused, and nothing is touched.
assert_refused 'choose a new directory' "$CHRONOS" restore "$TMP/b1" "$TMP/restored"
assert_refused 'is no backup' "$CHRONOS" backup "$DIR" "$TMP/restored"
assert_refused 'is no directory' "$CHRONOS" backup "$DIR" "$LOG"
assert_refused 'its own backup' "$CHRONOS" backup "$other/b" "$other/b"
assert_refused 'no data directory' "$CHRONOS" backup "$TMP/nowhere" "$TMP/b3"
assert_refused 'No such file' "$CHRONOS" backup -p "$PORT" "$DIR" "$TMP/nowhere/b3"
assert_refused "is 'chronos serve' running there" "$CHRONOS" backup -p 1 "$DIR" "$TMP/b3"
assert_eq "$(redis save named)" OK
assert_status 0 "$CHRONOS" check "$DIR/checkpoints/named"
for name in ../outside a/b . '' .. "$(printf 'x%.0s' {1..64})"; do
    assert_contains "$(redis save "$name")" 'ERR the name of a checkpoint is' "SAVE '$name'"
done
"$CHRONOS" serve --dir "$TMP/restored" --listen 127.0.0.1:0 >"$TMP/second" 2>>"$LOG" &
pids+=("$!")
wait_until 60 grep -q ready "$TMP/second"
assert_refused 'the server that answers is another' \
    "$CHRONOS" backup -p "$(sed -n 's/.*:\([0-9]*\)$/\1/p' "$TMP/second")" "$DIR" "$TMP/b3"
[ -z "$(ls "$TMP/restored/checkpoints")" ] || fail "a server was asked for a checkpoint of another store"

# A server with passwords.
stop_server
printf 'default:%s\n' "$(openssl passwd -6 secret)" >"$TMP/users"
chmod 600 "$TMP/users"
start_server --users "$TMP/users"
assert_refused NOAUTH "$CHRONOS" backup -p "$PORT" "$DIR" "$TMP/b3"
assert_refused 'refused CHRONOS_AUTH' env CHRONOS_AUTH=default:wrong "$CHRONOS" backup -p "$PORT" "$DIR" "$TMP/b3"
assert_refused 'is not NAME:PASSWORD' env CHRONOS_AUTH=secret "$CHRONOS" backup -p "$PORT" "$DIR" "$TMP/b3"
assert_status 0 env CHRONOS_AUTH=default:secret "$CHRONOS" backup -p "$PORT" "$DIR" "$TMP/b3"
assert_eq "$(CHRONOS_AUTH=default:secret chr cli -p "$PORT" get greeting)" later "chronos cli with CHRONOS_AUTH"

# Killed, so that all is in its log: a backup of a store without a server; then one of which a table is damaged.
CHRONOS_AUTH=default:secret chr cli -p "$PORT" set greeting last >/dev/null
kill_server
assert_status 0 "$CHRONOS" backup "$DIR" "$TMP/b3"
assert_eq "$(chr get --dir "$TMP/b3" greeting)" last
was=$(dump "$TMP/b3")
chr backup "$DIR" "$other/b" >/dev/null
table=$(basename "$(one_table "$other/b")")
flip "$DIR/$table" 5000
for dest in "$other/b" "$TMP/new"; do
    assert_status 2 "$CHRONOS" backup "$DIR" "$dest"
    assert_contains "$ERR" "$table" "what is said of a damaged store"
    [ ! -e "$dest.partial" ] || fail "the half backup is still there"
done
assert_eq "$(dump "$other/b")" "$was" "the backup on another disk after damage to the store"
assert_status 0 "$CHRONOS" check "$other/b"
[ ! -e "$TMP/new" ] || fail "there is a backup of a damaged store"
flip "$other/b/$table" 5000
assert_status 2 "$CHRONOS" restore "$other/b" "$TMP/new"
[ ! -e "$TMP/new" ] && [ ! -e "$TMP/new.partial" ] || fail "a damaged backup was restored"
