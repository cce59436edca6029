#!/usr/bin/env bash
# sanitized: yes
# What Redis does not have or does in another way: RANDOMKEY, DUMP and RESTORE, ranges; and what big values cost.
. "$(dirname "$0")/lib.sh"
start_server

python - <<'EOF'
import resp

c = resp.Client()

def refused(*words):
    try:
        return "accepted: %r" % c(*words)
    except resp.Error as e:
        return str(e)

# ---- RANDOMKEY draws keys that are there, and those of one kind alike ----
assert c("RANDOMKEY") is None
odd = {b"", b"a", b"a\0", b"a\0b", b"ab", b"\xff", b"\xff\x01", b"\xff\xff"}
even = {b"key:%03d" % i for i in range(40)}
names = odd | even
for name in names:
    c("SET", name, "x")
drawn = set(c.pipeline([["RANDOMKEY"]] * 20000))
assert even | {b"", b"\xff"} <= drawn <= names, (names - drawn, drawn - names)
c("FLUSHALL")

# ---- what DUMP gives, RESTORE takes, whole or not at all ----
for size in (0, 1, 65536, 65537, 3000000):
    value = bytes(i * 7 % 256 for i in range(size))
    c("SET", "from", value, "EX", 1000)
    dump = c("DUMP", "from")
    assert c("RESTORE", "to", 0, dump, "REPLACE") == b"OK"
    assert c("GET", "to") == value
    assert c("TTL", "to") == -1
    for at in (0, size // 2, size, size + 1, size + 5, size + 9):
        broken = bytearray(dump)
        broken[at] ^= 4
        assert refused("RESTORE", "to", 0, bytes(broken), "REPLACE") == "ERR DUMP payload version or checksum are wrong"
    assert refused("RESTORE", "to", 0, dump[:-1], "REPLACE") == "ERR DUMP payload version or checksum are wrong"
    assert refused("RESTORE", "to", 0, dump) == "BUSYKEY Target key name already exists."
    assert c("GET", "to") == value
assert c("DUMP", "absent") is None
assert c("RESTORE", "to", 1000000, dump, "REPLACE") == b"OK"
assert 0 < c("PTTL", "to") <= 1000000
assert c("RESTORE", "to", 4000000000000, dump, "REPLACE", "ABSTTL") == b"OK"
assert c("PEXPIRETIME", "to") == 4000000000000
assert c("RESTORE", "to", 1, dump, "REPLACE", "ABSTTL") == b"OK"
assert c("EXISTS", "to") == 0

# ---- COPY of a value in chunks, with its expiry ----
c("SET", "from", value, "PXAT", 4000000000000)
assert c("COPY", "from", "copy") == 1
c("SETRANGE", "from", 1000000, "changed")
assert c("GET", "copy") == value
assert c("PEXPIRETIME", "copy") == 4000000000000
EOF

SERVER_PID=$SERVER_PID python - <<'EOF'
import os
import resp

# ---- a big value is changed where it is changed, and no more ----
c = resp.Client()
c("FLUSHALL")
BIG = 400 * 1024 * 1024   # mostly a hole, so it costs nothing until something makes it whole

def peak():
    return next(int(line.split()[1]) for line in open("/proc/%s/status" % os.environ["SERVER_PID"]) if line.startswith("VmHWM"))

before = peak()
assert c("SETRANGE", "big", BIG - 3, "end") == BIG
assert c("SETBIT", "big", BIG * 4, 1) == 0
assert c("BITFIELD", "big", "SET", "u16", BIG * 4 + 524280, 0xabcd, "GET", "u16", BIG * 4 + 524280) == [0, 0xabcd]   # over two chunks
assert c("APPEND", "big", "!") == BIG + 1
assert c("GETRANGE", "big", -5, -1) == b"\0end!"
assert c("GETRANGE", "big", BIG // 2, BIG // 2) == b"\x80"
assert c("GETBIT", "big", BIG * 4) == 1
assert c("BITPOS", "big", 1) == BIG * 4
assert c("BITPOS", "big", 1, BIG - 3) == (BIG - 3) * 8 + 1
assert c("BITCOUNT", "big") == 1 + bin(0xabcd).count("1") + sum(bin(x).count("1") for x in b"end!")
assert c("BITCOUNT", "big", BIG * 4, BIG * 4 + 7, "BIT") == 1
assert c("STRLEN", "big") == BIG + 1
grown = (peak() - before) // 1024
assert grown < 100, "%d MiB of memory for changes of a few bytes" % grown
EOF

most_mib=256
! sanitized || most_mib=900
MOST_MIB=$most_mib SERVER_PID=$SERVER_PID python - <<'EOF'
import os
import resp

# ---- ranges: start <= key < end, in the order of bytes ----
c = resp.Client()
c("FLUSHALL")
data = {k: b"v" + k for k in [b"", b"\0", b"a", b"a\0", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c", b"\xfe", b"\xff", b"\xff\x01", b"\xff\xff"]}
data[b"big"] = b"x" * 300000
c("MSET", *[x for pair in data.items() for x in pair])

def expected(chosen, limit=None, reverse=False, keys=True, values=True):
    chosen = sorted(chosen, reverse=reverse)[:limit]
    return [x for k in chosen for x in ([k] if keys else []) + ([data[k]] if values else [])]

bounds = [b"", b"\0", b"a", b"a\0", b"aa", b"b", b"b\xff", b"bb", b"c", b"z", b"\xff", b"\xff\0", b"\xff\xff", b"\xff\xff\xff"]
for start in bounds:
    for end in bounds:
        inside = [k for k in data if k >= start and (end == b"" or k < end)]
        assert c("RANGE", start, end) == expected(inside), (start, end)
        assert c("RANGE", start, end, "REV", "KEYS") == expected(inside, reverse=True, values=False)
        assert c("RANGE", start, end, "VALUES", "LIMIT", 3) == expected(inside, limit=3, keys=False)
        assert c("RANGE", start, end, "LIMIT", 2, "REV") == expected(inside, limit=2, reverse=True)
        assert c("COUNTRANGE", start, end) == len(inside)
for prefix in bounds:
    inside = [k for k in data if k.startswith(prefix)]
    assert c("PREFIX", prefix) == expected(inside), prefix
    assert c("PREFIX", prefix, "REV", "LIMIT", 1, "KEYS") == expected(inside, limit=1, reverse=True, values=False)
assert c("RANGE", "", "", "LIMIT", 0) == []

def refused(*words):
    try:
        return "accepted: %r" % c(*words)
    except resp.Error as e:
        return str(e)

assert refused("RANGE", "a") == "ERR wrong number of arguments for 'range' command"
assert refused("RANGE", "a", "b", "KEYS", "VALUES") == "ERR syntax error"
assert refused("RANGE", "a", "b", "LIMIT") == "ERR syntax error"
assert refused("PREFIX", "a", "LIMIT", "x") == "ERR value is not an integer or out of range"
assert refused("PREFIX", "a", "LIMIT", -1) == "ERR LIMIT must not be negative"

c("SET", "gone", "x", "PXAT", 1)
assert c("COUNTRANGE", "gone", "gonf") == 0
assert c("DELRANGE", "a\0", "b\xff") == b"OK"
left = [k for k in data if not b"a\0" <= k < b"b\xff"]
assert c("RANGE", "", "") == expected(left)
assert c("DELRANGE", "c", "") == b"OK"
assert c("RANGE", "", "") == expected([k for k in left if k < b"c"])
c("FLUSHALL")

# ---- a reply much bigger than what the server keeps of it in memory; who does not read it costs nothing ----
VALUE = b"x" * 100000
for i in range(0, 3000, 100):
    c.pipeline([["SET", "many:%04d" % n, VALUE] for n in range(i, i + 100)])

def peak():
    return next(int(line.split()[1]) for line in open("/proc/%s/status" % os.environ["SERVER_PID"]) if line.startswith("VmHWM"))

assert c("COUNTRANGE", "many:", "many;") == 3000
before = peak()
slow = [resp.Client() for _ in range(4)]
for s in slow:
    s.send(["PREFIX", "many:"], ["PING"])
for s in slow[:2]:
    s.close()
for s in slow[2:]:
    size = int(s.input.readline()[1:])
    assert size == 6000
    c("DELRANGE", "many:", "many;")   # what is listed is of the moment of the command
    for i in range(3000):
        assert s.reply() == b"many:%04d" % i
        assert s.reply() == VALUE
    assert s.reply() == b"PONG"
grown = (peak() - before) // 1024
assert grown < int(os.environ["MOST_MIB"]), "%d MiB of memory for replies of 1200 MB" % grown   # the block cache is part of it
assert c("DBSIZE") == 0
EOF

# In the line protocol, one item a line.
line 'SET fruit:apple red' 'SET fruit:pear green and yellow' 'SET tree oak' >/dev/null
assert_eq "$(line 'PREFIX fruit:')" $'fruit:apple\nred\nfruit:pear\ngreen and yellow' "PREFIX in the line protocol"
assert_eq "$(line 'RANGE a z REV KEYS LIMIT 2')" $'tree\nfruit:pear' "RANGE in the line protocol"
