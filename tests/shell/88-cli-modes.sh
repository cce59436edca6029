#!/usr/bin/env bash
# `chronos cli`: JSON, pipes, surveys, and at a terminal history, completion, hints and the pager.
. "$(dirname "$0")/lib.sh"
export HOME=$TMP
unset PAGER
start_server
cli() { "$CHRONOS" cli -p "$PORT" "$@"; }
redis mset user:1 a user:20 bb user:21 ccc 'two words' dddd >/dev/null

# ---- formats ----
assert_eq "$(cli --json mget user:1 nobody 'two words')" '["a",null,"dddd"]'
assert_eq "$(cli --json strlen user:21)" 3
assert_eq "$(printf 'set b "\\xff"\nget b\nnosuch\n' | cli --json 2>/dev/null | sed 3q)" '"OK"
{"base64":"/w=="}
{"error":"ERR unknown command '"'nosuch', with args beginning with: "'"}'
redis del b >/dev/null
assert_refused 'exclude each other' "$CHRONOS" cli --json --raw ping
assert_refused 'exclude each other' "$CHRONOS" cli --stat ping

# ---- a pipe: all of it, in order, whatever its size; errors are counted, and named by their line ----
seq 50000 | sed 's/.*/set n& &\nget n&/' >"$TMP/commands"
cli <"$TMP/commands" >"$TMP/replies" 2>"$TMP/err"
seq 50000 | sed 's/^/OK\n/' | cmp - "$TMP/replies" || fail "the replies to 100,000 commands are others"
assert_eq "$(cat "$TMP/err")" '' "what is said when all is well"
assert_eq "$(cli exists n1 n50000)" 2
status=0
printf 'ping\nnosuch\n\nget\nping' | cli >"$TMP/replies" 2>"$TMP/err" || status=$?
assert_eq "$status $(grep -c PONG "$TMP/replies")" '1 2'
assert_eq "$(cat "$TMP/err")" 'chronos: 4 commands, 2 errors, the first in line 2'
assert_eq "$(printf 'ping\nquit\nping\n' | cli)" $'PONG\nOK\nPONG' "a connection that ends in between"
status=0
printf 'ping\nclient kill type normal skipme no\nping\n' | cli >"$TMP/replies" 2>"$TMP/err" || status=$?
assert_eq "$status" 2 "the exit status when the connection is lost"
assert_contains "$(cat "$TMP/err")" 'before its answer to line '
status=0
printf 'client reply skip\nping\n' | timeout 60 "$CHRONOS" cli -p "$PORT" >"$TMP/replies" 2>"$TMP/err" || status=$?
assert_eq "$status $(cat "$TMP/replies")" '1 PONG' "without the command that would make the next one wait for ever"
assert_contains "$(cat "$TMP/err")" 'CLIENT REPLY skip would leave nothing to show'
background "$CHRONOS" cli -p "$PORT" subscribe news >"$TMP/heard"
subscriber=$BACKGROUND_PID
wait_until 30 grep -q subscribe "$TMP/heard"
redis publish news hello >/dev/null
wait_until 30 grep -q hello "$TMP/heard"
kill "$subscriber"

# ---- surveys ----
redis flushall >/dev/null
redis mset small a big "$(head -c 5000 /dev/zero | tr '\0' x)" $'odd\nkey' ccc >/dev/null
assert_eq "$(cli --bigkeys)" '3 keys: 15 B of keys, 4.9 KiB of values, 1.6 KiB on average
4.9 KiB     big
3 B         odd\nkey
1 B         small'
for ((i = 0; i < 30; i++)); do echo "set key$i $i"; done | cli >/dev/null
assert_eq "$(cli --bigkeys | wc -l)" 11 "the lines about many keys"
background "$CHRONOS" cli -p "$PORT" --stat >"$TMP/stat"
wait_until 30 grep -Eq '^[0-9.kM]+  *[0-9.]+ [KMGT]iB  *[0-9]+  *[0-9.k]+  *[0-9.k]+$' "$TMP/stat"
assert_contains "$(head -n 1 "$TMP/stat")" 'commands/s'
kill "$BACKGROUND_PID"
redis flushall >/dev/null
redis mset user:1 a user:20 bb user:21 ccc 'user two' dddd >/dev/null

# ---- a terminal of 12 lines ----
terminal() {   # INPUT ...   each typed a moment after the last
    local keys
    # shellcheck disable=SC2059  # the inputs are formats
    for keys in "$@"; do sleep 0.4; printf "$keys"; done |
        TERM=vt100 script -qec "stty rows 12 cols 80; '$CHRONOS' cli ${options-} -p $PORT" /dev/null >"$TMP/screen"
    tr -d '\r\0' <"$TMP/screen" >"$TMP/typed"
}
terminal 'strlen us\t\t' '21\n' 'multi\n' 'get user:1\t' '\t\n' 'exec\n' 'OBJECT ENC\tuser:1\n' 'quit\n'
screen=$(cat "$TMP/typed")
assert_contains "$screen" $'user:1   user:20  user:21  \n' "the keys to choose from, those in need of quotes left out"
assert_contains "$screen" $'\n(integer) 3\n' "completion of a key"
assert_contains "$screen" $'\n1) "a"\n' "completion within a transaction leaves it alone"
assert_contains "$screen" $'\n"embstr"\n' "completion of a subcommand"
PAGER='' terminal 'setex ' '\025' 'quit\n'
assert_contains "$(cat "$TMP/typed")" 'key seconds value' "the hint"

# Passwords are not kept.
terminal 'auth ann secret1\n' '  "ACL"  setuser ann >secret2\n' 'hello 2 auth ann secret3\n' 'auth "secret4\n' 'acl whoami\n' 'get user:1\n' 'quit\n'
assert_not_contains "$(cat "$HOME/.chronos_history")" secret "the history"
assert_contains "$(cat "$HOME/.chronos_history")" 'whoami' "the history"
chmod 644 "$HOME/.chronos_history"
terminal 'quit\n'
assert_eq "$(stat -c %a "$HOME/.chronos_history")" 600

PAGER="cat >'$TMP/paged'" terminal 'get user:20\n' 'help\n' 'get user:21\n' 'quit\n'
assert_contains "$(cat "$TMP/paged")" $'bitmap:\n' "the long reply"
assert_not_contains "$(cat "$TMP/typed")" $'bitmap:' "the screen"
assert_contains "$(cat "$TMP/typed")" '"ccc"'
PAGER=no-such-pager terminal 'help\n' 'quit\n'
assert_contains "$(cat "$TMP/typed")" $'bitmap:\n' "without its pager"
options=--raw terminal 'get user:20\n' 'quit\n'
assert_contains "$(cat "$TMP/typed")" $'\nbb\n'
