#!/usr/bin/env bash
# sanitized: yes
# A transaction that was answered survives kill -9 whole, one that was not is there whole or not at all.
. "$(dirname "$0")/lib.sh"
start_server

assert_eq "$(printf 'MULTI\nSET a 1\nINCR a\nEXEC\n' | redis | tr '\n' ' ')" 'OK QUEUED QUEUED OK 2 '
assert_eq "$(line MULTI 'SET line some words' EXEC 'GET line')" $'OK\nQUEUED\nOK\nsome words'

python - "$TMP/answered" <<'END' &
import sys
from resp import Client

answered = open(sys.argv[1], "w")
c = Client()
n = 0
try:
    while True:
        n += 1
        c.pipeline([("MULTI",), ("SET", "left", n), ("SET", "big", b"%d " % n + b"x" * 100000), ("SET", "right", n), ("EXEC",)])
        answered.write("%d\n" % n)
        answered.flush()
except (EOFError, ConnectionError):
    pass
END
writer=$!
pids+=("$writer")
wait_until 30 grep -qx 50 "$TMP/answered"
kill_server
wait "$writer"
start_server

left=$(redis get left)
assert_eq "$(redis get right)" "$left" "the other half of a transaction after kill -9"
assert_eq "$(redis get big | cut -d ' ' -f 1)" "$left" "the big value of a transaction after kill -9"
[ "$left" -ge "$(tail -n 1 "$TMP/answered")" ] || fail "transaction $(tail -n 1 "$TMP/answered") was answered, but $left was found"
