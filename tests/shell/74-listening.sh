#!/usr/bin/env bash
# sanitized: yes
# The server listens on a socket file, and on IPv6.
. "$(dirname "$0")/lib.sh"

socket=$TMP/chronos.sock
serve_at() {   # ADDRESS
    : >"$TMP/ready"
    "$CHRONOS" serve --dir "$DIR" --listen "$1" >"$TMP/ready" 2>>"$LOG" </dev/null &
    SERVER_PID=$!
    wait_until "$READY_LIMIT" grep -q '^chronos: ready on ' "$TMP/ready"
}

serve_at "unix:$socket"
assert_eq "$(cat "$TMP/ready")" "chronos: ready on unix:$socket"
assert_eq "$(redis-cli -s "$socket" set k v)" OK
assert_eq "$(printf 'GET k\n' | nc -N -U "$socket")" v
assert_eq "$(redis-cli -s "$socket" config get port | tail -n 1)" 0
assert_contains "$(redis-cli -s "$socket" client info)" ' addr=unix:0 '
assert_refused 'is there already' "$CHRONOS" serve --dir "$TMP/other" --listen "unix:$socket"
echo mine >"$TMP/file"
assert_refused 'is there already' "$CHRONOS" serve --dir "$TMP/other" --listen "unix:$TMP/file"
assert_eq "$(cat "$TMP/file")" mine
kill_server
[ -S "$socket" ] || fail "the socket file has gone without a server to remove it"
serve_at "unix:$socket"
assert_eq "$(redis-cli -s "$socket" get k)" v
stop_server
[ ! -e "$socket" ] || fail "the socket file is still there"
assert_refused 'up to 107 bytes' "$CHRONOS" serve --dir "$TMP/other" --listen "unix:$(head -c 200 /dev/zero | tr '\0' x)"
[ ! -e "$TMP/other" ] || fail "a refused server has made its directory"

if [ -e /proc/net/if_inet6 ] && grep -q ' lo$' /proc/net/if_inet6; then
    serve_at '[::1]:0'
    port=$(sed -n 's/^chronos: ready on \[::1\]:\([0-9]*\)$/\1/p' "$TMP/ready")
    assert_eq "$(redis-cli -h ::1 -p "$port" get k)" v
    assert_contains "$(redis-cli -h ::1 -p "$port" client info)" ' addr=::1:'
    stop_server
fi
