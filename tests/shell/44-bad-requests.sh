#!/usr/bin/env bash
# sanitized: yes
# Keys too long, values too big, frames that are none, commands that are none: an error reply each, and nothing is changed.
. "$(dirname "$0")/lib.sh"
start_mounted
redis set k v >/dev/null

python - <<'END'
import os
from resp import Client, Error, encode

good = Client()
KEY_MAX, VALUE_MAX = 65535, 512 << 20


def refused(what, part, *words):
    good.send(words)
    reply = good.reply()
    assert isinstance(reply, Error), "%s: answered %r" % (what, reply)
    assert part.lower() in str(reply).lower(), "%s: '%s' does not say '%s'" % (what, reply, part)
    assert "\n" not in str(reply) and len(str(reply)) < 500
    assert good("DBSIZE") == 1 and good("GET", "k") == b"v", "%s changed something" % what


# Keys
assert good("SET", b"x" * KEY_MAX, "v") == b"OK"
assert good("DEL", b"x" * KEY_MAX) == 1
long = b"x" * (KEY_MAX + 1)
for command in ("SET", long, "v"), ("MSET", "a", "1", long, "2"), ("APPEND", long, "v"), ("INCR", long), ("RENAME", "k", long):
    refused("a key too long in " + command[0], "key", *command)
for command in ("GET", long), ("DEL", long), ("EXISTS", long), ("TTL", long):
    good.send(command)
    reply = good.reply()
    assert isinstance(reply, Error) or reply in (None, 0, -2), "%s of a key too long: %r" % (command[0], reply)

# Commands
refused("an unknown command", "unknown command", "NOSUCH", "a", "b")
refused("wrong arity", "wrong number of arguments for 'get' command", "GET")
refused("wrong arity", "wrong number of arguments for 'mset' command", "MSET", "a")
refused("a wrong option", "syntax error", "SET", "k", "other", "SOMETIMES")
refused("NX and XX", "syntax error", "SET", "k", "other", "NX", "XX")
refused("an expiry that is none", "invalid expire time", "SET", "k", "other", "EX", "0")
refused("an expiry that is none", "not an integer", "SET", "k", "other", "EX", "soon")
refused("INCR of a text", "not an integer or out of range", "INCR", "k")
refused("another database", "out of range", "SELECT", "1")
refused("RENAME of nothing", "no such key", "RENAME", "nobody", "k")

# Values: announced as too big, they are refused before they are sent.
for frame in (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (VALUE_MAX + 1), ):
    c = Client(timeout=20)
    c.socket.sendall(frame)
    reply = c.reply()
    assert isinstance(reply, Error), reply
    assert good("GET", "k") == b"v"
    c.close()

# A file can grow beyond what a value may be over TCP; then TCP says so.
with open(os.environ["MNT"] + "/big", "wb") as f:
    f.truncate(VALUE_MAX)
for words in ("APPEND", "big", "x"), :
    good.send(words)
    reply = good.reply()
    assert isinstance(reply, Error), "APPEND to a full value: %r" % reply
assert good("STRLEN", "big") == VALUE_MAX
with open(os.environ["MNT"] + "/big", "r+b") as f:
    f.truncate(VALUE_MAX + 1)
good.send(("GET", "big"))
reply = good.reply()
assert isinstance(reply, Error), "GET of a value over the limit is no error"
assert good("PING") == b"PONG"
os.remove(os.environ["MNT"] + "/big")

# Frames that are none: an error, and the connection is closed; nobody else notices.
frames = [
    b"*3\r\n$3\r\nSET\r\n$-5\r\nk\r\n", b"*3\r\n$3\r\nSET\r\n$x\r\n", b"*1\r\n+PING\r\n", b"*2\r\n$3\r\nGET\r\nk\r\n",
    b"*99999999999\r\n", b"*2000000000\r\n$4\r\nPING\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$99999999999999999999\r\n",
    b"*1\r\n$4\r\nPINGxx", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nother--", b"*1 \r\n$4\r\nPING\r\n",
]
for frame in frames:
    c = Client(timeout=20)
    c.socket.sendall(frame)
    try:
        reply = c.reply()
        assert isinstance(reply, Error), "%r was answered with %r" % (frame, reply)
        assert "Protocol error" in str(reply), "%r was answered with '%s'" % (frame, reply)
        while True:
            c.reply()
    except (EOFError, ConnectionError):
        pass
    c.close()
    assert good("DBSIZE") == 1 and good("GET", "k") == b"v", "%r changed something" % frame

# An endless line, and an endless inline command, are not read without end.
for prefix in b"SET k ", b"GET ", b"*1\r\n$":
    c = Client(timeout=20)
    try:
        c.socket.sendall(prefix)
        for _ in range(600):
            c.socket.sendall(b"1" * (1 << 20))
        raise AssertionError("600 MiB without an end of line were taken")
    except (ConnectionError, TimeoutError):
        pass
    c.close()
assert good("DBSIZE") == 1 and good("GET", "k") == b"v"
END

# The line protocol
long=$(head -c 65536 /dev/zero | tr '\0' x)
assert_contains "$(line "SET $long v")" ERR "a key too long in the line protocol"
assert_contains "$(line "SET")" "ERR wrong number of arguments for 'set' command"
assert_eq "$(line 'GET k')" v

# The mount
assert_status 1 touch "$MNT/$(head -c 256 /dev/zero | tr '\0' x)"
assert_contains "$ERR" 'File name too long'
assert_status 1 truncate -s 200T "$MNT/k"
assert_contains "$ERR" 'File too large'
assert_status 1 ln "$MNT/k" "$MNT/hard"
assert_contains "$ERR" 'Operation not permitted'
assert_status 1 touch "$MNT/%=wrong"
assert_contains "$ERR" 'Invalid argument'
assert_eq "$(cat "$MNT/k")" v
assert_eq "$(redis dbsize)" 1
peak=$(server_peak_mib)
sanitized || [ "$peak" -lt 400 ] || fail "hostile requests made the server use $peak MiB"
