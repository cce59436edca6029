#!/usr/bin/env bash
# sanitized: yes
# Who listens hears of keys that expire: notifications, caches of clients, WATCH; and of each of several writes that come together.
. "$(dirname "$0")/lib.sh"
start_server

python - <<'PY'
import resp

c, listener = resp.Client(), resp.Client()
BIG = "b" * 300000   # in chunks

def events(n):
    return [tuple(listener.reply()[2:]) for _ in range(n)]

# What has expired unheard, what is there, and what comes; but not what was kept, deleted or replaced before its time.
c("SET", "gone", "x", "PXAT", 1)
c("SET", "before", "x", "PX", 300)
c("SET", "big", BIG, "PX", 300)
assert listener("PSUBSCRIBE", "__key*__:*")[0] == b"psubscribe"
assert c("CONFIG", "SET", "notify-keyspace-events", "Ex") == b"OK"
LONG = "1500"
assert c.pipeline([
    ["SET", "after", "x", "PX", "200"], ["SET", "later", "x", "PX", LONG], ["PEXPIRE", "later", "1700"], ["SET", "kept", "x", "PX", LONG],
    ["PERSIST", "kept"], ["SET", "deleted", "x", "PX", LONG], ["DEL", "deleted"], ["SET", "replaced", "x", "PX", LONG], ["SET", "replaced", "y"],
    ["SET", b"\xff\x01", "x", "PX", "150"],
]) == [b"OK", b"OK", 1, b"OK", 1, b"OK", 1, b"OK", b"OK", b"OK"]
expected = [b"gone", b"before", b"big", b"after", b"later", b"\xff\x01"]
assert sorted(events(6)) == sorted((b"__keyevent@0__:expired", k) for k in expected)
assert c("MGET", "kept", "replaced", "later", "big") == [b"x", b"y", None, None]

# Both channels, and each write of a pipeline.
assert c("CONFIG", "SET", "notify-keyspace-events", "KEA") == b"OK"
assert c.pipeline([["SET", "k", str(i)] for i in range(5)] + [["SET", "k", "x", "PX", "50"]]) == [b"OK"] * 6
assert [e[1] for e in events(14) if e[0] == b"__keyspace@0__:k"] == [b"set"] * 6 + [b"expired"]

# Switched off and on again.
assert c("CONFIG", "SET", "notify-keyspace-events", "") == b"OK"
c("SET", "silent", "x", "PX", 1)
assert c("CONFIG", "SET", "notify-keyspace-events", "Kx") == b"OK"
c("SET", "loud", "x", "PX", 50)
seen = events(1)
while seen[-1] != (b"__keyspace@0__:loud", b"expired"):
    assert seen[-1] == (b"__keyspace@0__:silent", b"expired"), seen
    seen += events(1)
assert c("CONFIG", "SET", "notify-keyspace-events", "") == b"OK"

# Caches of clients: of what they have read, and of prefixes.
for how in ([], ["BCAST", "PREFIX", "cached:"]):
    reader = resp.Client()
    reader("HELLO", 3)
    assert reader("CLIENT", "TRACKING", "ON", *how) == b"OK"
    c("SET", "cached:1", "x", "PX", LONG)
    if how:
        assert reader.reply() == [b"invalidate", [b"cached:1"]]
    assert reader("GET", "cached:1") == b"x"
    assert reader.reply() == [b"invalidate", [b"cached:1"]]
    assert reader("GET", "cached:1") is None
    reader.close()

# WATCH.
c("SET", "watched", "x", "PX", LONG)
assert c("WATCH", "watched") == b"OK"
reader = resp.Client()
reader("HELLO", 3)
assert reader("CLIENT", "TRACKING", "ON") == b"OK"
assert reader("GET", "watched") == b"x"
assert reader.reply() == [b"invalidate", [b"watched"]]
c("MULTI")
c("SET", "watched", "y")
assert c("EXEC") is None
PY
