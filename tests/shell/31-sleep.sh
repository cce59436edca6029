#!/usr/bin/env bash
# sanitized: yes
# DEBUG SLEEP 5 on one connection, while others do 10,000 GETs unhindered, on whatever threads they are.
. "$(dirname "$0")/lib.sh"
start_server
redis set k v >/dev/null

python - <<'END'
import time
from resp import Client

CONNECTIONS, GETS = 16, 10000
sleeper, others = Client(), [Client() for _ in range(CONNECTIONS)]
begun = time.monotonic()
sleeper.send(("DEBUG", "SLEEP", 5))
time.sleep(0.1)
slowest = 0
for i in range(GETS):
    at = time.monotonic()
    assert others[i % CONNECTIONS]("GET", "k") == b"v"
    slowest = max(slowest, time.monotonic() - at)
took = time.monotonic() - begun
print("%d GETs took %.2f s, the slowest %.1f ms" % (GETS, took, slowest * 1e3))
assert took < 4.5, "the GETs were not done before the sleep was over"
assert slowest < 1, "a GET waited for %.1f s" % slowest
assert sleeper.reply() == b"OK"
slept = time.monotonic() - begun
assert 5 <= slept < 8, "DEBUG SLEEP 5 took %.1f s" % slept
END
