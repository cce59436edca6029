#!/usr/bin/env bash
# Each example does what it says.
. "$(dirname "$0")/lib.sh"
cd "$TMP"
EXAMPLES=$ROOT/examples

# The C program
gcc -std=c11 -Wall -Wextra -Werror -I"$ROOT/src" -o notes "$EXAMPLES/notes.c" "$BUILD/libchronos.a" -llz4 -lzstd -pthread
./notes book add 'buy milk'
./notes book add 'call home'
assert_eq "$(./notes book list)" $'1  buy milk\n2  call home' notes
./notes book drop 1
assert_eq "$(./notes book list)" '2  call home' "notes after one was dropped"
assert_eq "$("$CHRONOS" ls --dir book)" $'last note\nnote/00000002' "the keys of notes"
assert_status 1 ./notes book drop 7
assert_contains "$ERR" 'no note 7'
assert_status 2 ./notes

start_mounted
export CHRONOS_PORT=$PORT CHRONOS_MOUNT=$MNT

# Shell scripts
assert_status 0 bash "$EXAMPLES/counter.sh" visits
assert_eq "$OUT" 1
assert_eq "$(bash "$EXAMPLES/counter.sh" visits)" 2 counter.sh
mkdir photos
echo one >photos/a.txt
echo two >photos/b.txt
bash "$EXAMPLES/backup.sh" photos >/dev/null
assert_eq "$(cat "$MNT/backup/photos/b.txt")" two backup.sh
assert_eq "$(redis get backup/photos/a.txt)" one backup.sh
echo three >photos/b.txt
bash "$EXAMPLES/backup.sh" photos >/dev/null
assert_eq "$(redis get backup/photos/b.txt)" three "backup.sh, the second time"

# Python and Node
assert_eq "$(python3 "$EXAMPLES/client.py")" $'hello from python\n3' client.py
assert_eq "$(redis get greeting)" 'hello from python'
assert_eq "$(node "$EXAMPLES/client.js")" $'hello from node\n[ \'1\', \'2\', null ]' client.js
assert_eq "$(redis get greeting)" 'hello from node'

# The systemd unit and the line for /etc/fstab
if command -v systemd-analyze >/dev/null; then
    sed "s,/usr/local/bin/chronos,$CHRONOS," "$EXAMPLES/chronos.service" >chronos.service
    cp "$EXAMPLES/chronos.socket" .
    systemd-analyze verify --man=no ./chronos.socket ./chronos.service >said 2>&1 || fail "systemd-analyze: $(cat said)"
fi
options=$(sed -n 's/^ExecStart=[^ ]*chronos serve \(.*\)$/\1/p' "$EXAMPLES/chronos.service")
[ -n "$options" ] || fail "the unit starts no server"
stop_server
start_server --mount "$MNT" --sync 100ms
grep -oE -- '--[a-z-]+' <<<"$options" | while read -r option; do
    assert_contains "$("$CHRONOS" serve --help)" "$option " "the options that the unit uses"
done
findmnt --verify --tab-file "$EXAMPLES/fstab" >verify 2>&1 || grep -q '0 parse errors' verify || fail "fstab: $(cat verify)"
read -r source target type words _ < <(grep -v '^#' "$EXAMPLES/fstab")
assert_eq "$type" chronos "the type in the fstab line"
ln -s "$CHRONOS" mount.chronos
stop_server
assert_status 0 ./mount.chronos -f "${source:+$DIR}" "${target:+$MNT}" -o "$words"
assert_status 0 ./mount.chronos "$DIR" "$MNT" -o "$words"
assert_eq "$(cat "$MNT/greeting")" 'hello from node' "through the fstab line's options"
fusermount3 -u "$MNT"
