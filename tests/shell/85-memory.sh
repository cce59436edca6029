#!/usr/bin/env bash
# sanitized: yes
# MEMORY tells what a key takes, and what the server does.
. "$(dirname "$0")/lib.sh"
start_redis
start_server

cat >"$TMP/same.py" <<'END'
import os
from resp import Client, Error

ANSWERED = [
    ("MEMORY", "USAGE", "absent"), ("MEMORY", "USAGE"), ("MEMORY", "USAGE", "a", "SAMPLES"), ("MEMORY", "USAGE", "a", "SAMPLES", "x"),
    ("MEMORY", "USAGE", "a", "SAMPLES", -1), ("MEMORY", "USAGE", "a", "WHAT"), ("MEMORY",), ("MEMORY", "WHAT"), ("MEMORY", "PURGE"),
    ("MEMORY", "STATS", "x"),
]


def seen(client):
    answers = []
    client("SET", "a", "x")
    client("SET", "k", "x" * 1000)
    client("SET", "long", "x" * 1000000)
    for words in ANSWERED:
        client.send(words)
        reply = client.reply()
        answers.append((words, str(reply) if isinstance(reply, Error) else reply))
    small, middle, big = (client("MEMORY", "USAGE", key) for key in ("a", "k", "long"))
    assert small < 200 and 1000 < middle < 1500 and 1000000 < big < 1300000, (small, middle, big)
    assert client("MEMORY", "USAGE", "k", "SAMPLES", 0) == middle
    stats = client("MEMORY", "STATS")
    stats = dict(zip(stats[::2], stats[1::2]))
    for name in (b"peak.allocated", b"total.allocated", b"keys.count", b"dataset.bytes"):
        assert isinstance(stats[name], int), stats
    assert stats[b"keys.count"] >= 3 and client("MEMORY", "DOCTOR") and client("MEMORY", "MALLOC-STATS")
    return answers


redis, chronos = seen(Client(path=os.environ["REDIS"])), seen(Client())
for one, other in zip(redis, chronos):
    assert one == other, "Redis: %r\nChronos: %r" % (one, other)
END
python "$TMP/same.py"
