#!/usr/bin/env bash
# The commands for a directory that no server uses, and the client for one that a server does.
. "$(dirname "$0")/lib.sh"
cd "$TMP"
chr() { "$CHRONOS" "$@"; }

assert_status 0 "$CHRONOS" set greeting hello
[ -d chronos-data ] || fail "the default directory is not ./chronos-data"
assert_eq "$(chr get greeting)" hello
chr get greeting | cmp - <(printf hello) || fail "get adds to the value"
head -c 300000 /dev/urandom >random.bin
chr set noise <random.bin
chr get noise | cmp - random.bin || fail "a value from stdin comes back otherwise"
chr set empty ''
chr get empty | cmp - /dev/null
chr set -- -dash -value
assert_eq "$(chr get -- -dash)" -value
assert_status 1 "$CHRONOS" get nobody
chr set dir/a 1
chr set dir/b 2
assert_eq "$(chr ls)" $'-dash\ndir/a\ndir/b\nempty\ngreeting\nnoise' ls
assert_eq "$(chr ls dir/)" $'dir/a\ndir/b' "ls with a prefix"
assert_contains "$(chr ls --long noise)" 300000 "ls --long"
assert_status 0 "$CHRONOS" del dir/a dir/b
assert_status 1 "$CHRONOS" del empty nobody
assert_contains "$OUT$ERR" nobody "del of a key that is not there"
assert_status 1 "$CHRONOS" get empty
assert_contains "$(chr stats)" level "stats"
assert_status 0 "$CHRONOS" check
assert_status 0 "$CHRONOS" version
assert_eq "$OUT" "chronos $(sed -n 's/^#define CHR_VERSION "\(.*\)"/\1/p' "$ROOT/src/chronos.h")"

DIR=$TMP/chronos-data
start_server
cli() { "$CHRONOS" cli -p "$PORT" "$@"; }
assert_eq "$(cli get greeting)" hello "cli"
assert_eq "$(cli set 'a key' 'a value')" OK
assert_eq "$(cli get 'a key')" 'a value'
assert_eq "$(printf 'set b "two words"\nget b\n\ndel b\nexists b\n' | cli)" $'OK\ntwo words\n1\n0' "cli reading a pipe"
assert_status 1 "$CHRONOS" cli -p "$PORT" nosuch
assert_contains "$OUT$ERR" 'unknown command'
assert_contains "$(cli info)" uptime_in_seconds "cli info"

# A checkpoint is a store of its own, and stays as it was.
assert_eq "$(redis config get dir | tail -n 1)" "$DIR" "CONFIG GET dir"
assert_eq "$(redis save)" OK
redis set greeting later >/dev/null
checkpoint=$(echo "$DIR"/checkpoints/*)
[ -d "$checkpoint" ] || fail "SAVE made no checkpoint in $DIR/checkpoints"
assert_eq "$(chr get --dir "$checkpoint" greeting)" hello "what a checkpoint holds"
assert_status 0 "$CHRONOS" check "$checkpoint"
stop_server
assert_eq "$(chr get 'a key')" 'a value'

# Durability modes all keep what they acknowledge when the process is killed.
for mode in always 100ms none; do
    start_server --sync $mode
    for ((i = 0; i < 50; i++)); do printf 'SET %s%d v\n' $mode $i; done | nc -q1 127.0.0.1 "$PORT" >"$TMP/replies"
    assert_eq "$(sort -u "$TMP/replies")" OK "--sync $mode"
    kill_server
    assert_eq "$(chr ls $mode | wc -l)" 50 "keys after kill -9 with --sync $mode"
done
