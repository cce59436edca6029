#!/usr/bin/env bash
# sanitized: yes
# What Redis does not have or does in another way: RANDOMKEY, DUMP and RESTORE.
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
