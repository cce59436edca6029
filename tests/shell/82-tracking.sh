#!/usr/bin/env bash
# sanitized: yes
# CLIENT TRACKING answers and invalidates as Redis does, and hears of changes through every door.
. "$(dirname "$0")/lib.sh"
start_redis
start_mounted --threads 2

cat >"$TMP/same.py" <<'END'
import os
from resp import Client, Error, Push

T = ("CLIENT", "TRACKING")
INFO = ("CLIENT", "TRACKINGINFO")
READ = [("GET", "a"), ("MGET", "b", "c"), ("STRLEN", "d"), ("EXISTS", "e", "f"), ("TTL", "g"), ("GET", "")]
WRITE = [("SET", "a", 1), ("SET", "a", 2), ("MSET", "b", 1, "c", 2), ("DEL", "d"), ("APPEND", "e", "x"), ("DEL", "f"),
         ("SET", "g", 1, "EX", 1000), ("PERSIST", "g"), ("RENAME", "a", "h"), ("SET", "", 1), ("SET", "unread", 1)]
SETUP = [("FLUSHALL",), ("MSET", "a", 0, "d", 0, "e", 0, "g", 0, "pre:1", 0, "pre:2", 0, "n", 0)]

# Each is: the protocol; what the tracker says; what another says; what the tracker says after that.
SCENES = [
    (3, [T + ("ON",)] + READ, WRITE, [INFO, ("CLIENT", "GETREDIR")]),
    (2, [T + ("ON",)] + READ, WRITE, [INFO]),
    (3, [T + ("ON",)] + READ + [("SET", "a", 5), ("GET", "a"), ("INCR", "a")], [("SET", "a", 1)], []),
    (3, [T + ("ON", "NOLOOP")] + READ + [("SET", "a", 5), ("GET", "a"), ("INCR", "a"), ("GET", "a")], [("SET", "a", 1)], [INFO]),
    (3, [T + ("ON", "BCAST")] + READ, WRITE, [INFO]),
    (3, [T + ("ON", "BCAST", "PREFIX", "pre:", "PREFIX", "n", "NOLOOP"), ("SET", "pre:own", 1)],
     [("SET", "pre:1", 1), ("SET", "pro", 1), ("DEL", "pre:2"), ("SET", "n", 1), ("INCR", "n")], [INFO]),
    (3, [T + ("ON", "OPTIN"), ("GET", "a"), ("CLIENT", "CACHING", "YES"), INFO, ("GET", "g"), INFO, ("GET", "e")],
     [("SET", "a", 1), ("SET", "g", 1), ("SET", "e", 1)], [INFO]),
    (3, [T + ("ON", "OPTOUT"), ("GET", "a"), ("CLIENT", "CACHING", "NO"), INFO, ("GET", "g"), ("GET", "e")],
     [("SET", "a", 1), ("SET", "g", 1), ("SET", "e", 1)], [INFO]),
    (3, [T + ("ON", "OPTIN"), ("CLIENT", "CACHING", "YES"), ("MULTI",), ("GET", "a"), ("GET", "g"), ("EXEC",), ("GET", "e")],
     [("SET", "a", 1), ("SET", "g", 1), ("SET", "e", 1)], [INFO]),
    (3, [T + ("ON",), ("MULTI",), ("GET", "a"), ("EXEC",)], [("SET", "a", 1)], []),
    (3, [T + ("ON",), ("GET", "a"), T + ("OFF",), ("GET", "g"), INFO], [("SET", "a", 1), ("SET", "g", 1)], [T + ("ON",), INFO]),
    (3, [T + ("ON",), ("GET", "a"), ("RESET",), ("HELLO", 3), INFO], [("SET", "a", 1)], []),
    (3, [T + ("ON",), ("GET", "a"), ("GET", "n")], [("FLUSHALL",), ("SET", "a", 1)], [("GET", "a")]),
    (3, [T + ("ON", "BCAST", "PREFIX", "x")], [("FLUSHALL",)], []),
    (3, [T + ("ON",), ("GET", "a"), ("WATCH", "n"), ("UNWATCH",)], [("MULTI",), ("SET", "a", 1), ("SET", "n", 2), ("DEL", "a"), ("EXEC",)], []),
    (3, [T, T + ("MAYBE",), T + ("ON", "WHAT"), T + ("ON", "REDIRECT"), T + ("ON", "REDIRECT", "x"), T + ("ON", "REDIRECT", 99999),
         T + ("ON", "PREFIX", "a"), T + ("ON", "BCAST", "OPTIN"), T + ("ON", "OPTIN", "OPTOUT"), ("CLIENT", "CACHING", "YES"),
         T + ("ON", "BCAST", "PREFIX", "ab", "PREFIX", "a"), T + ("ON", "BCAST", "PREFIX", "ab"), T + ("ON", "BCAST", "PREFIX", "a"),
         T + ("ON", "BCAST", "PREFIX", "b"), INFO, T + ("ON",), T + ("OFF",), T + ("ON", "OPTIN"), T + ("ON", "OPTOUT"),
         ("CLIENT", "CACHING", "NO"), ("CLIENT", "CACHING", "X"), ("CLIENT", "GETREDIR"), T + ("OFF",), ("CLIENT", "GETREDIR"),
         T + ("ON",), ("CLIENT", "CACHING", "YES"), ("CONFIG", "GET", "tracking-table-max-keys")], [], [INFO]),
]


class Party:
    """A client, what it was answered, and what it was told without having asked."""

    def __init__(self, connect, protocol):
        self.client, self.answers, self.told = connect(), [], []
        self.client("HELLO", protocol)

    def say(self, words):
        self.client.send(words)
        reply = self.client.reply()
        while isinstance(reply, Push):
            self.told.append(list(reply))
            reply = self.client.reply()
        if words == INFO and isinstance(reply, dict):
            reply[b"prefixes"].sort()
        if words[0] != "HELLO":
            self.answers.append((words, str(reply) if isinstance(reply, Error) else reply))
        return reply

    def listen(self):
        """What has been told so far comes before the second PONG. Redis may tell of several keys at once, in any order."""
        before = len(self.told)
        self.say(("PING",))
        self.say(("PING",))
        told, self.told[before:] = self.told[before:], []
        each = [[kind, [key]] for kind, keys in told if isinstance(keys, list) for key in keys]
        self.told += [message for message in told if not isinstance(message[1], list)] + sorted(each)


def play(connect, scene):
    protocol, first, other, then = scene
    writer, tracker = Party(connect, 3), Party(connect, protocol)
    for words in SETUP:
        writer.say(words)
    for words in first:
        tracker.say(words)
    tracker.listen()
    for words in other:
        writer.say(words)
        tracker.listen()
    for words in then:
        tracker.say(words)
    tracker.listen()
    tracker.client.close()
    return tracker.answers, tracker.told


def redirected(connect, protocol):
    writer, tracker, target = Party(connect, 3), Party(connect, 3), connect()
    number = target("CLIENT", "ID")
    if protocol == 3:
        target("HELLO", 3)
    target.send(("SUBSCRIBE", "__redis__:invalidate"))
    heard = [target.reply()]
    for words in SETUP + [("SET", "k", 1)]:
        writer.say(words)
    assert tracker.say(T + ("ON", "REDIRECT", number)) == b"OK"
    assert tracker.say(("CLIENT", "GETREDIR")) == number
    tracker.say(("GET", "a"))
    writer.say(("SET", "a", 1))
    heard.append(target.reply())
    tracker.say(("GET", "a"))
    writer.say(("FLUSHALL",))
    heard.append(target.reply())
    tracker.say(("GET", "k"))
    target.close()
    while b"id=%d " % number in writer.say(("CLIENT", "LIST")):
        pass
    writer.say(("SET", "k", 2))
    tracker.listen()
    assert tracker.told and all(told == [b"tracking-redir-broken", number] for told in tracker.told), tracker.told
    info = tracker.say(INFO)
    assert info.pop(b"redirect") == number
    return heard, info


def redis():
    return Client(path=os.environ["REDIS"])


for scene in SCENES:
    one, other = play(redis, scene), play(Client, scene)
    for (a, b) in zip(one, other):
        for (c, d) in zip(a, b):
            assert c == d, "in %r\nRedis: %r\nChronos: %r" % (scene, c, d)
        assert a == b, "in %r\nRedis: %r\nChronos: %r" % (scene, a, b)
for protocol in (2, 3):
    one, other = redirected(redis, protocol), redirected(Client, protocol)
    assert one == other, "redirected, RESP%d:\nRedis: %r\nChronos: %r" % (protocol, one, other)

# Through the other door, by ranges, and by way of a worker, since a value is long.
t, w = Party(Client, 3), Party(Client, 3)
t.say(T + ("ON",))
w.say(("MSET", "file", "1", "dir/x", "2", "dir/y", "3", "other", "4", "long", "x" * 200000))
for name in ("file", "dir/x", "dir/y", "other", "long"):
    t.say(("GET", name))
with open(os.environ["MNT"] + "/file", "w") as f:
    f.write("changed")
os.rename(os.environ["MNT"] + "/dir", os.environ["MNT"] + "/renamed")
w.say(("DELRANGE", "o", "p"))
w.say(("SETRANGE", "long", 100000, "y"))
t.listen()
assert sorted(told[1][0] for told in t.told) == [b"dir/x", b"dir/y", b"file", b"long", b"other"], t.told

# No more keys are remembered than that; those that are forgotten are said to be invalid.
t, w = Party(Client, 3), Party(Client, 3)
w.say(("CONFIG", "SET", "tracking-table-max-keys", 10))
t.say(T + ("ON",))
for i in range(30):
    t.say(("GET", "many:%d" % i))
t.listen()
assert len({told[1][0] for told in t.told}) == 20, t.told
info = dict(line.split(":") for line in w.say(("INFO", "stats")).decode().split("\r\n") if ":" in line)
assert info["tracking_total_keys"] == "10" and info["tracking_total_items"] == "10", info
w.say(("CONFIG", "SET", "tracking-table-max-keys", 1000000))
END
python "$TMP/same.py"

# Nothing is lost: in each round a key is written and read at about the same time, by clients of several reactors. What the reader then
# believes, if it was not told otherwise, is what is there.
cat >"$TMP/race.py" <<'END'
import random
import time
from resp import Client, Push

ROUNDS = 6000
writers, reader = [Client() for _ in range(4)], Client()
reader("HELLO", 3)
reader("CLIENT", "TRACKING", "ON")
told = raced = 0
random.seed(1)
for i in range(ROUNDS):
    writer, key, invalid = writers[i % 4], "race:%d" % (i % 8), False
    new = (b"%d" % i).ljust(100000 if i % 8 == 7 else 0)   # a long one is read by a worker
    first, second = (writer, ("SET", key, new)), (reader, ("GET", key))
    if i % 2:
        first, second = second, first
    first[0].send(first[1])
    until = time.perf_counter() + random.random() * 100e-6
    while time.perf_counter() < until:
        pass
    second[0].send(second[1])
    assert writer.reply() == b"OK"
    value, pongs = None, 0
    reader.send(("PING",))
    while pongs < 2:
        reply = reader.reply()
        if isinstance(reply, Push):
            # What comes before the value is of what was read earlier.
            invalid = invalid or (value is not None and key.encode() in reply[1])
            told += 1
        elif reply == b"PONG":
            pongs += 1
            if pongs == 1:
                reader.send(("PING",))
        else:
            value = reply or b""
    raced += invalid
    assert invalid or value == new, "round %d: %r was not said to be invalid" % (i, value[:20])
assert told and raced, (told, raced)
END
python "$TMP/race.py"
