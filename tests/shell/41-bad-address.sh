#!/usr/bin/env bash
# A port that is taken, an address that is not here, or one that the world can reach: one sentence, exit status 2, no change.
. "$(dirname "$0")/lib.sh"
start_server
redis set k v >/dev/null
other=$TMP/other

assert_refused "127.0.0.1:$PORT" "$CHRONOS" serve --dir "$other" --listen "127.0.0.1:$PORT"
assert_contains "$ERR" 'another program uses that port'
assert_refused "192.0.2.1" "$CHRONOS" serve --dir "$other" --listen 192.0.2.1:8080 --allow-remote
assert_refused "--allow-remote" "$CHRONOS" serve --dir "$other" --listen 0.0.0.0:0
assert_refused "--allow-remote" "$CHRONOS" serve --dir "$other" --listen '[::]:0'
assert_refused "no.such.host.invalid" "$CHRONOS" serve --dir "$other" --listen no.such.host.invalid:8080
[ ! -e "$other" ] || fail "$other was created though its server could not start"
assert_eq "$(redis get k)" v "the one who has the port goes on"

# Nobody there to talk to.
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
assert_refused "port $free" "$CHRONOS" cli -p "$free" ping
