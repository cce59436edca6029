#!/usr/bin/env bash
# sanitized: yes
# LATENCY notes what takes longer than it should, and answers as Redis does.
. "$(dirname "$0")/lib.sh"
start_redis
start_server

cat >"$TMP/same.py" <<'END'
import os
import time
from resp import Client, Error

ANSWERED = [
    ("CONFIG", "GET", "latency-monitor-threshold"), ("LATENCY", "LATEST"), ("LATENCY", "HISTORY", "command"), ("LATENCY", "RESET"),
    ("LATENCY",), ("LATENCY", "WHAT"), ("LATENCY", "HISTORY"), ("LATENCY", "HISTOGRAM", "nosuch"), ("LATENCY", "HISTOGRAM", "strlen"),
    ("CONFIG", "SET", "latency-monitor-threshold", -1), ("CONFIG", "SET", "latency-monitor-threshold", "x"),
]
# Powers of two, in nanoseconds, each with what two digits cannot tell from it.
BOUNDS = {(2**i + 2**(i - 7) - 1) // 1000 for i in range(10, 40)}


def seen(client):
    answers = []
    for words in ANSWERED:
        client.send(words)
        reply = client.reply()
        answers.append((words, str(reply) if isinstance(reply, Error) else reply))
    assert client("CONFIG", "SET", "latency-monitor-threshold", 20) == b"OK"
    client("PING")
    assert client("LATENCY", "LATEST") == []
    client("DEBUG", "SLEEP", "0.05")
    [(event, at, last, longest)] = client("LATENCY", "LATEST")
    assert event == b"command" and abs(time.time() - at) < 100 and 50 <= last == longest, (event, at, last, longest)
    assert client("LATENCY", "HISTORY", "command") == [[at, last]]
    assert b"command" in client("LATENCY", "DOCTOR")
    assert client("LATENCY", "RESET", "fork") == 0 and client("LATENCY", "RESET", "command") == 1
    assert client("LATENCY", "LATEST") == []
    client("SET", "a", 1)
    client("SET", "a", 2)
    name, (calls, n, title, histogram) = client("LATENCY", "HISTOGRAM", "set")
    assert (name, calls, n, title) == (b"set", b"calls", 2, b"histogram_usec"), (name, calls, n, title)
    assert histogram[-1] == 2 and set(histogram[::2]) <= BOUNDS, histogram
    return answers


redis, chronos = seen(Client(path=os.environ["REDIS"])), seen(Client())
for one, other in zip(redis, chronos):
    assert one == other, "Redis: %r\nChronos: %r" % (one, other)
END
python "$TMP/same.py"
