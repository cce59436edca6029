#!/usr/bin/env bash
# sanitized: yes
# SLOWLOG keeps what Redis keeps: the same commands, cut in the same way, without passwords.
. "$(dirname "$0")/lib.sh"
start_redis
start_server

cat >"$TMP/same.py" <<'END'
import os
import time
from resp import Client, Error

SAID = [
    ("SET", "long", "x" * 128), ("SET", "longer", "x" * 130), ("SET", "longest", "y" * 100000), ("MGET",) + tuple(range(31)),
    ("MGET",) + tuple(range(32)), ("MGET",) + tuple("k" * 200 for _ in range(50)), ("GET",), ("nosuch",), ("MULTI",), ("INCR", "n"),
    ("EXEC",), ("AUTH", "secret-1"), ("AUTH", "user", "secret-2"), ("HELLO", 2, "AUTH", "user", "secret-3"),
    ("ACL", "SETUSER", "bob", ">secret-4", "on"), ("CLIENT", "SETNAME", "me"), ("SCAN", 0), ("GET", b"\0\xff"),
    ("CONFIG", "GET", "slowlog-*"), ("SLOWLOG", "LEN"),
]
ANSWERED = [
    ("SLOWLOG", "GET", -2), ("SLOWLOG", "GET", "x"), ("SLOWLOG", "GET", 1, 2), ("SLOWLOG", "NO"), ("SLOWLOG",), ("SLOWLOG", "HELP"),
    ("SLOWLOG", "GET", 0), ("CONFIG", "SET", "slowlog-max-len", -1), ("CONFIG", "SET", "slowlog-log-slower-than", -2),
    ("CONFIG", "SET", "slowlog-log-slower-than", "x"), ("CONFIG", "GET", "slowlog-max-len"),
    ("CONFIG", "GET", "slowlog-log-slower-than"), ("CONFIG", "SET", "slowlog-log-slower-than", -1), ("SLOWLOG", "RESET"),
    ("SET", "fast", 1), ("SLOWLOG", "LEN"), ("CONFIG", "SET", "slowlog-log-slower-than", 0), ("CONFIG", "SET", "slowlog-max-len", 3),
    ("PING",), ("PING",), ("PING",), ("PING",), ("SLOWLOG", "LEN"), ("CONFIG", "SET", "slowlog-max-len", 0), ("SLOWLOG", "LEN"),
]


def seen(client):
    assert client("CONFIG", "SET", "slowlog-max-len", 100) == b"OK"
    assert client("CONFIG", "SET", "slowlog-log-slower-than", 0) == b"OK"
    for words in SAID:
        client.send(words)
        client.reply()
    entries = client("SLOWLOG", "GET", 50)
    assert [e[0] for e in entries] == sorted((e[0] for e in entries), reverse=True)
    for number, at, took, args, address, name in entries:
        assert abs(time.time() - at) < 100 and took >= 0 and b":" in address, (at, took, address)
        assert b"secret" not in b" ".join(args), args
    answers = []
    for words in ANSWERED:
        client.send(words)
        reply = client.reply()
        answers.append((words, str(reply) if isinstance(reply, Error) else reply))
    return [(e[3], e[5]) for e in entries], answers


redis, chronos = seen(Client(path=os.environ["REDIS"])), seen(Client())
for a, b in zip(redis, chronos):
    for one, other in zip(a, b):
        assert one == other, "Redis: %r\nChronos: %r" % (one, other)
    assert len(a) == len(b), (len(a), len(b))

# On a worker, and by its time: Redis's default is 10 ms.
c = Client()
assert c("CONFIG", "SET", "slowlog-max-len", 128, "slowlog-log-slower-than", 10000) == b"OK"
assert c("SLOWLOG", "RESET") == b"OK"
c("DEBUG", "SLEEP", "0.02")
(number, _, took, args, _, _) = c("SLOWLOG", "GET", 1)[0]
assert args == [b"DEBUG", b"SLEEP", b"0.02"] and took >= 20000, (args, took)
END
python "$TMP/same.py"
