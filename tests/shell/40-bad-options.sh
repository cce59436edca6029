#!/usr/bin/env bash
# Arguments that make no sense get one clear sentence and exit status 2, and change nothing.
. "$(dirname "$0")/lib.sh"
cd "$TMP"

assert_refused "--colour" "$CHRONOS" serve --dir "$DIR" --colour red
assert_refused "did you mean --listen" "$CHRONOS" serve --dir "$DIR" --lisen 127.0.0.1:0
assert_refused "-x" "$CHRONOS" serve -x
assert_refused "--dir" "$CHRONOS" serve --dir
assert_refused "--dir" "$CHRONOS" serve --dir=
assert_refused "--sync" "$CHRONOS" serve --dir "$DIR" --sync sometimes
assert_refused "--sync" "$CHRONOS" serve --dir "$DIR" --sync 0
assert_refused "--sync" "$CHRONOS" serve --dir "$DIR" --sync -5ms
assert_refused "--cache" "$CHRONOS" serve --dir "$DIR" --cache lots
assert_refused "--cache" "$CHRONOS" serve --dir "$DIR" --cache 99999999999999999999GiB
assert_refused "--memtable" "$CHRONOS" serve --dir "$DIR" --memtable 1
assert_refused "--threads" "$CHRONOS" serve --dir "$DIR" --threads 5000
assert_refused "--listen" "$CHRONOS" serve --dir "$DIR" --listen nonsense
assert_refused "--listen" "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:99999
assert_refused "'too'" "$CHRONOS" serve --dir "$DIR" too many words
assert_refused "did you mean 'serve'" "$CHRONOS" serv
assert_refused "frobnicate" "$CHRONOS" frobnicate
assert_refused "KEY" "$CHRONOS" get --dir "$DIR"
assert_refused "'b'" "$CHRONOS" get --dir "$DIR" a b
assert_refused "nosuchoption" "$CHRONOS" mount -o nosuchoption "$DIR" "$MNT"
assert_refused "HOST:PORT PATH" "$CHRONOS" mount "$DIR"
assert_refused "--port" "$CHRONOS" cli -p 99999 ping
assert_refused "there is no data directory" "$CHRONOS" get --dir "$DIR" k
assert_refused "there is no data directory" "$CHRONOS" check "$DIR"
assert_refused "there is no data directory" "$CHRONOS" ls --dir "$DIR"
[ ! -e "$DIR" ] || fail "$DIR was created though the arguments were wrong"
[ ! -e chronos-data ] || fail "./chronos-data was created though the arguments were wrong"
assert_eq "$(ls -A "$MNT")" ''

# No arguments at all: how it is used, on stderr, and 2. Help that was asked for: on stdout, and 0.
assert_status 2 "$CHRONOS"
assert_contains "$ERR" 'Usage: chronos COMMAND'
assert_status 0 "$CHRONOS" help
assert_contains "$OUT" 'Usage: chronos COMMAND'
for command in serve mount cli get set del ls stats check; do
    assert_contains "$("$CHRONOS" help)" "  $command " "chronos help"
    assert_status 0 "$CHRONOS" "$command" --help
    assert_contains "$OUT" "Usage: chronos $command" "chronos $command --help"
    assert_eq "$ERR" '' "stderr of chronos $command --help"
done
