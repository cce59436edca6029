#!/usr/bin/env bash
# sanitized: yes
# MONITOR shows what Redis shows, no passwords, from all reactors; one that does not read is closed, and costs little memory.
. "$(dirname "$0")/lib.sh"
start_redis
start_server --threads 2

cat >"$TMP/same.py" <<'END'
import os
import re
from resp import Client, Error

SAID = [
    ("SET", b"a\x00\xff\\", b'line\nquote"tab\ttick\x07'), ("get", "key"), ("mset", "a", 1, "b", ""), ("nosuch", "command"),
    ("GET",), ("MULTI",), ("INCR", "n"), ("GET", "n"), ("EXEC",), ("EXEC",), ("multi",), ("set", "x", 1), ("DISCARD",),
    ("AUTH", "secret-1"), ("AUTH", "user", "secret-2"), ("HELLO", 3, "AUTH", "user", "secret-3"),
    ("ACL", "SETUSER", "bob", ">secret-4"), ("CONFIG", "SET", "requirepass", "secret-5"), ("CLIENT", "ID"), ("CLIENT", "LIST"),
    ("CLIENT", "SETNAME", "me"), ("SLOWLOG", "LEN"), ("DEBUG", "SLEEP", 0), ("INFO", "server"), ("SCAN", 0), ("STRLEN", "a"),
    ("WATCH", "w"), ("SET", "w", 1), ("MULTI",), ("SET", "w", 2), ("EXEC",), ("PING", "end"),
]


def seen(connect):
    watcher, clients = connect(), [connect() for _ in range(3)]
    assert watcher("MONITOR") == b"OK"
    for words in SAID:
        clients[0].send(words)
        clients[0].reply()
    for client in clients[1:]:
        assert client("PING", "another") == b"another"
    lines = []
    while sum(b"another" in line for line in lines) < 2:
        lines.append(watcher.reply())
    for line in lines:
        assert re.match(rb"[0-9]{10}\.[0-9]{6} \[0 [^ ]+\] ", line), line
        assert b"secret" not in line, line
    return [re.sub(rb"^[0-9.]+ \[0 [^ ]+\]", b"", line) for line in lines]


redis, chronos = seen(lambda: Client(path=os.environ["REDIS"])), seen(Client)
for one, other in zip(redis, chronos):
    assert one == other, "Redis: %r\nChronos: %r" % (one, other)
assert len(redis) == len(chronos) and len(redis) > 20, len(redis)

# RESET ends it; a client that asks for it twice sees everything once.
c, other = Client(), Client()
assert c("MONITOR") == b"OK" and c("MONITOR") == b"OK"
assert b" flags=O " in other("CLIENT", "LIST")
other("ECHO", "once")
assert c.reply().endswith(b'"ECHO" "once"')
c.send(("RESET",))
assert c.reply() == b"RESET"
other("ECHO", "unheard")
assert c("PING") == b"PONG"

# One that does not read.
idle = Client()
assert idle("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0") == b"OK"
assert idle("MONITOR") == b"OK"
for _ in range(400):
    other("SET", "big", b"\0" * 20000)
while True:
    try:
        assert not isinstance(idle.reply(), Error)
    except (EOFError, ConnectionError):
        break
END
python "$TMP/same.py"
sanitized || [ "$(server_peak_mib)" -lt 200 ] || fail "the server has used $(server_peak_mib) MiB"

# As lines, for people.
mkfifo "$TMP/in"
exec 3<>"$TMP/in"
nc 127.0.0.1 "$PORT" <&3 >"$TMP/lines" &
pids+=("$!")
echo MONITOR >&3
wait_until 30 grep -q OK "$TMP/lines"
redis set for people >/dev/null
wait_until 30 grep -qE '^[0-9.]+ \[0 127.0.0.1:[0-9]+\] "set" "for" "people"$' "$TMP/lines"
exec 3>&-
