#!/usr/bin/env bash
# sanitized: yes
# Who stops reading in the middle of a RANGE is closed after a while, with a line in the log; others are not.
. "$(dirname "$0")/lib.sh"
start_server

python - <<'END'
import select
import time

from resp import Client

c, stalled, idle = Client(), Client(), Client()
value = b"x" * 60000
for i in range(0, 1024, 64):   # more than a socket and the server take up
    assert c(*["MSET"] + [x for j in range(i, i + 64) for x in ("k%04d" % j, value)]) == b"OK"
assert idle("PING") == b"PONG"
number = stalled("CLIENT", "ID")
stalled.send(("RANGE", "", ""))
assert select.select([stalled.socket], [], [], 60)[0], "RANGE is not answered"
assert c("CONFIG", "SET", "reply-timeout", 0) == b"OK"   # no limit
assert c("CONFIG", "GET", "reply-timeout") == [b"reply-timeout", b"0"]
assert c("CONFIG", "SET", "reply-timeout", 1) == b"OK"
while b"id=%d " % number in c("CLIENT", "LIST"):   # a test that waits in vain is ended by tests/run
    time.sleep(0.05)
got = 0
try:
    while data := stalled.socket.recv(1 << 20):
        got += len(data)
except ConnectionError:
    pass
assert 0 < got < 1024 * len(value), "all of the reply came"
assert idle("PING") == b"PONG", "a client that asked for nothing was closed"
assert len(c("RANGE", "", "")) == 2048, "one that reads does not get all"
END
assert_contains "$(cat "$LOG")" 'stalled reader closed' "the log"
assert_contains "$(cat "$LOG")" 'command=range' "the log"
