#!/usr/bin/env bash
# `chronos cli`: one command, a pipe, and a terminal.
. "$(dirname "$0")/lib.sh"
export HOME=$TMP
start_server
cli() { "$CHRONOS" cli -p "$PORT" "$@"; }

# ---- one command: plain text for programs, exit status 1 on an error reply ----
assert_eq "$(cli set greeting 'hello  world')" OK
assert_eq "$(cli get greeting)" 'hello  world'
assert_eq "$(cli --host 127.0.0.1 mget greeting nobody greeting)" $'hello  world\n\nhello  world' "a list, one item a line"
assert_eq "$(cli append greeting '!')" 13 "an integer"
assert_eq "$(cli set --help --version)" OK "words of the command that look like options"
assert_eq "$(cli get --help)" --version
assert_status 1 cli nosuchcommand
assert_contains "$OUT" "ERR unknown command 'nosuchcommand'"
assert_status 1 cli get
assert_contains "$OUT" "ERR wrong number of arguments for 'get' command"
assert_contains "$(cli info server)" version

# ---- a pipe: a command a line, words quoted as in redis-cli ----
printf '%s\n' 'set a "two words\n\x00\xff"' 'strlen a' '' "set b 'single \"quotes\"'" 'get b' | cli >"$TMP/piped"
assert_eq "$(cat "$TMP/piped")" $'OK\n12\nOK\nsingle "quotes"'
cli get a | od -An -tx1 | tr -d ' \n' >"$TMP/bytes"
assert_eq "$(cat "$TMP/bytes")" 74776f20776f7264730a00ff0a "a value byte for byte, and a newline"
status=0
printf 'set c 1\nnosuchcommand\nincr c\n' | cli >"$TMP/piped" || status=$?
assert_eq "$status" 1 "the exit status after an error in a pipe"
assert_eq "$(sed -n '1p;3p' "$TMP/piped")" $'OK\n2' "the commands before and after an error"
status=0
printf 'set d "not closed\n' | cli >"$TMP/piped" 2>"$TMP/err" || status=$?
assert_eq "$status $(wc -c <"$TMP/piped")" "1 0" "what an open quote leads to"
assert_contains "$(cat "$TMP/err")" "a quote is not closed"
assert_eq "$(cli exists d)" 0 "nothing was sent"

# ---- a terminal: types and quotes, history, completion; script(1) makes one ----
terminal() {   # INPUT ...   each typed a moment after the last
    local keys
    # shellcheck disable=SC2059  # the inputs are formats
    for keys in "$@"; do sleep 0.4; printf "$keys"; done |
        TERM=vt100 script -qec "'$CHRONOS' cli -p $PORT" /dev/null >"$TMP/screen"
    tr -d '\r' <"$TMP/screen" >"$TMP/typed"
}
terminal 'get b\n' 'get nobody\n' 'mget a c\n' 'strlen b\n' 'nosuchcommand\n' 'STRL\t greeting\n' 'quit\n'
screen=$(cat "$TMP/typed")
assert_contains "$screen" "127.0.0.1:$PORT> " "the prompt"
assert_contains "$screen" $'\n"single \\"quotes\\""\n'
assert_contains "$screen" $'\n(nil)\n'
assert_contains "$screen" $'\n1) "two words\\n\\x00\\xff"\n2) "2"\n'
assert_contains "$screen" $'\n(integer) 15\n'
assert_contains "$screen" $'\n(error) ERR unknown command '
assert_contains "$screen" $'\n(integer) 13\n' "completion of STRL to STRLEN"

# The next session knows the lines of the last: arrow up twice is 'STRLEN greeting' (before it: quit).
assert_eq "$(stat -c %a "$HOME/.chronos_history")" 600 "permissions of the history, which holds values"
cli set greeting short >"$TMP/out"
terminal '\033[A\033[A\n' '\004'
assert_contains "$(cat "$TMP/typed")" $'\n(integer) 5\n' "the line before the last one of the last session"

# ---- a server that was restarted in the meantime is connected to anew ----
mkfifo "$TMP/commands"
# shellcheck disable=SC2016  # the inner shell opens the pipe, which waits for its other end
background bash -c 'exec "$0" cli -p "$1" <"$2" >"$3"' "$CHRONOS" "$PORT" "$TMP/commands" "$TMP/piped"
exec 8>"$TMP/commands"
answers() { [ "$(wc -l <"$TMP/piped")" -eq "$1" ]; }
echo 'get c' >&8
wait_until 20 answers 1
restart_server 8>&-   # or it would hold the pipe open
echo 'get c' >&8
wait_until 20 answers 2
exec 8>&-
wait "$BACKGROUND_PID"
assert_eq "$(cat "$TMP/piped")" $'2\n2'

# ---- no server ----
stop_server
assert_status 2 cli get a
assert_eq "$OUT" ''
assert_contains "$ERR" "cannot connect to 127.0.0.1 port $PORT: Connection refused; is 'chronos serve' running there?"
assert_status 2 cli -p 70000 ping
assert_contains "$ERR" "--port cannot be 70000"
