"""Says the same to Redis and to Chronos, and compares what they answer, byte by byte.

usage: like_redis.py REDIS_SOCKET SEED COMMANDS     PORT of Chronos is in the environment

Odd seeds speak RESP2, even ones RESP3. The commands are random, from a seed, over few keys, so that they meet. Where an answer cannot be the same (a random key, the
order of KEYS, milliseconds that pass between the two) what must hold of both is checked instead; see `same`.
"""
import os
import random
import socket
import sys

import resp

BATCH = 100            # commands sent at once
LATE_MS = 300 * 1000   # how much later than the other one a server may get a command
FAR = 100000           # seconds until an expiry that must not come while the test runs


class Raw(resp.Client):
    """Replies as the bytes they are."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(address)
        self.input = self.socket.makefile("rb", 1 << 16)

    def reply(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection was closed")
        size = int(line[1:]) if line[:1] in b"$=*%" else 0
        if line[:1] in b"$=":
            return line + (self.input.read(size + 2) if size >= 0 else b"")
        items = 2 * size if line[:1] == b"%" else size
        return line + b"".join(self.reply() for _ in range(items))


# ---- what is said ----

rng = random.Random()
KEYS = ["k%d" % i for i in range(8)] + ["", "bin\0\xff", "a key"]
INT64 = [2**63 - 1, -2**63, 2**63, -2**63 - 1, 2**64, 2**31, 2**32, -2**32, 2**62]


def key():
    return rng.choice(KEYS).encode("latin-1")


def word():
    """Any value: numbers, texts, bytes; now and then one that Chronos keeps in chunks."""
    kind = rng.randrange(20)
    if kind < 5:
        return b"%d" % rng.randint(-20, 20)
    if kind < 6:
        return b"%d" % rng.choice(INT64)
    if kind < 9:
        return rng.choice([b"1.5", b"-0.25", b"3e2", b"1e4931", b"inf", b"nan", b"-0", b"0.1", b" 1", b"1 ", b"0x10", b"",
                           b"10.0", b"1e-300", b"007", b"+5", b"3.", b".5", b"1e5000", b"-1e5000", b"1e-6000"])
    if kind < 10:
        return rng.randbytes(rng.choice([60000, 65535, 65536, 65537, 200000]))
    if kind < 12:
        return bytes(rng.choice(b"ab") for _ in range(rng.randrange(40)))
    if kind < 15:
        return rng.choice([b"\0", b"\xff"]) * rng.randrange(1, 30)
    return rng.randbytes(rng.randrange(30))


def number():
    kind = rng.randrange(12)
    if kind < 8:
        return rng.randint(-40, 40)
    if kind < 9:
        return rng.choice(INT64)
    if kind < 10:
        return rng.randint(-70000, 70000)
    return rng.choice(["", "x", "1.5", "+1", " 1", "1 ", "01", "-0", "0x1", "9" * 30, "1\0"])


def offset():
    """Where to write. Redis allocates everything before it, so what is accepted must not be huge."""
    kind = rng.randrange(12)
    if kind < 8:
        return rng.randrange(100)
    if kind < 9:
        return rng.choice([65535, 65536, 65537, 131072, 300000])
    if kind < 10:
        return rng.choice([536870912, 536870913, 2**62, 2**63 - 1, -1, -2**63])
    return number() if rng.randrange(2) else -1


def not_soon(n):
    """A number that does not let anything expire while the test runs."""
    return -n if isinstance(n, int) and 0 < n < FAR * 1000 else n


def later():
    """Seconds until an expiry; rarely so near another one that GT and LT would depend on when the servers come to it."""
    return FAR + 10 * rng.randrange(40000)


def case(text):
    return rng.choice([text, text.lower(), text.title()])


def moment():
    """Options of expiry, and what they take."""
    unit = case(rng.choice(["EX", "PX", "EXAT", "PXAT"]))
    kind = rng.randrange(10)
    if kind < 6:
        base = 4000000000 if unit.upper().endswith("AT") else 0
        return [unit, (base + later()) * (1000 if unit.upper().startswith("PX") else 1)]
    if kind < 7:
        return [unit, rng.choice([0, -1, -FAR] + INT64 + [2**63 // 1000 + 1])]
    if kind < 8 and unit.upper().endswith("AT"):
        return [unit, rng.randint(1, 1000)]
    return [unit] if kind < 9 else [unit, not_soon(number())]


def expiry(per_second, base):
    kind = rng.randrange(8)
    if kind < 6:
        return (base + later()) * per_second
    return not_soon(number()) if kind < 7 else rng.choice([0, -1, 2**63 // 1000, -(2**63) // 1000, 2**63 // 1000 - 1])


def conditions():
    return some([["NX"], ["XX"], ["GT"], ["LT"], ["FOO"]], rng.choice([0, 1, 1, 2]))


def some(choices, most):
    """Up to `most` of the choices, each a list of words or a function that makes one."""
    picked = []
    for _ in range(rng.randrange(most + 1)):
        choice = rng.choice(choices)
        picked += choice() if callable(choice) else [case(w) if isinstance(w, str) else w for w in choice]
    return picked


def unit():
    return case(rng.choice(["BIT", "BYTE", "BIT", "BYTE", "FOO"]))


def bit_offset():
    kind = rng.randrange(12)
    if kind < 8:
        return rng.randrange(300)
    if kind < 9:
        return rng.choice([524287, 524288, 600000, 65536 * 16 - 3])
    if kind < 10:
        return rng.choice([2**32, 2**32 + 1, 2**62, 2**63 - 1, -1])
    return number() if rng.randrange(3) == 0 else "#%d" % rng.randrange(40)


def field_type():
    if rng.randrange(15) == 0:
        return rng.choice(["u64", "i65", "u0", "i0", "x8", "8", "i", "", "U8", "i-1", "i08"])
    return rng.choice(["i8", "u8", "i64", "u63", "i5", "u4", "u1", "i1", "i63", "i33", "u%d" % rng.randint(1, 63)])


def field():
    kind = rng.randrange(12)
    if kind < 3:
        return [case("OVERFLOW"), case(rng.choice(["WRAP", "SAT", "FAIL", "SAT", "FAIL", "FOO"]))]
    amount = rng.choice([number(), rng.randint(-2**63, 2**63 - 1), rng.randint(-300, 300)])
    if kind < 6:   # with numbers still more negative, Redis miscalculates and saturates at the wrong end
        return [case("SET"), field_type(), bit_offset(), max(amount, -2**62) if isinstance(amount, int) else amount]
    return [case("INCRBY"), field_type(), bit_offset(), amount] if kind < 9 else [case("GET"), field_type(), bit_offset()]


def several(make, most=4):
    return [x for _ in range(rng.randint(1, most)) for x in make()]


STRINGS = {
    "SET": lambda: [key(), word()] + some([["NX"], ["XX"], ["GET"], ["KEEPTTL"], moment, ["FOO"]], rng.choice([0, 0, 1, 3])),
    "SETNX": lambda: [key(), word()],
    "SETEX": lambda: [key(), rng.choice([later(), later(), not_soon(number())]), word()],
    "PSETEX": lambda: [key(), rng.choice([later() * 1000, later() * 1000, not_soon(number())]), word()],
    "GET": lambda: [key()],
    "GETSET": lambda: [key(), word()],
    "GETDEL": lambda: [key()],
    "GETEX": lambda: [key()] + some([moment, ["PERSIST"], ["NX"]], 2),
    "MGET": lambda: several(lambda: [key()]),
    "MSET": lambda: several(lambda: [key(), word()]),
    "MSETNX": lambda: several(lambda: [key(), word()], 2),
    "STRLEN": lambda: [key()],
    "APPEND": lambda: [key(), word()],
    "GETRANGE": lambda: [key(), number(), number()],
    "SUBSTR": lambda: [key(), number(), number()],
    "SETRANGE": lambda: [key(), offset(), word()],
    "INCR": lambda: [key()],
    "DECR": lambda: [key()],
    "INCRBY": lambda: [key(), number()],
    "DECRBY": lambda: [key(), number()],
    "INCRBYFLOAT": lambda: [key(), word()],
    "LCS": lambda: [key(), key()] + some([["LEN"], ["IDX"], ["WITHMATCHLEN"], lambda: ["MINMATCHLEN", number()], ["FOO"]], 3),
}
EXPIRY = {
    "EXPIRE": lambda: [key(), expiry(1, 0)] + conditions(),
    "PEXPIRE": lambda: [key(), expiry(1000, 0)] + conditions(),
    "EXPIREAT": lambda: [key(), expiry(1, 4000000000)] + conditions(),
    "PEXPIREAT": lambda: [key(), expiry(1000, 4000000000)] + conditions(),
    "TTL": lambda: [key()],
    "PTTL": lambda: [key()],
    "EXPIRETIME": lambda: [key()],
    "PEXPIRETIME": lambda: [key()],
    "PERSIST": lambda: [key()],
}
BITS = {
    "SETBIT": lambda: [key(), bit_offset(), rng.choice([0, 1, 1, number()])],
    "GETBIT": lambda: [key(), bit_offset()],
    "BITCOUNT": lambda: [key()] + rng.choice([[], [number()], [number(), number()], [number(), number(), unit()]]),
    "BITPOS": lambda: [key(), rng.choice([0, 1, number()])] +
    rng.choice([[], [number()], [number(), number()], [number(), number(), unit()]]),
    "BITOP": lambda: [case(rng.choice(["AND", "OR", "XOR", "NOT", "FOO"])), key()] + several(lambda: [key()], 3),
    "BITFIELD": lambda: [key()] + several(field),
    "BITFIELD_RO": lambda: [key()] + several(lambda: field() if rng.randrange(10) == 0 else ["GET", field_type(), bit_offset()]),
}
KEYSPACE = {
    "DEL": lambda: several(lambda: [key()], 2),
    "UNLINK": lambda: [key()],
    "EXISTS": lambda: several(lambda: [key()]),
    "TYPE": lambda: [key()],
    "RENAME": lambda: [key(), key()],
    "RENAMENX": lambda: [key(), key()],
    "COPY": lambda: [key(), key()] + some([["REPLACE"], ["DB", 0], lambda: ["DB", number()], ["FOO"]], rng.choice([0, 1, 2])),
    "TOUCH": lambda: several(lambda: [key()]),
    "OBJECT": lambda: rng.choice([["FREQ"], ["NOSUCH"], []]) + several(lambda: [key()], 2),
    "RESTORE": lambda: [key(), rng.choice([0, number()]), word()[:100] + b"x"] + some(
        [["REPLACE"], ["ABSTTL"], lambda: ["IDLETIME", number()], lambda: ["FREQ", number()], ["FOO"]], 2),
    "DBSIZE": lambda: [],
    "SCAN": lambda: [rng.choice([0, 0, 0, "x", "1x"])] + ["COUNT", rng.choice([1000, 1000, -1, 0, "x"])] + some(
        [["TYPE", "string"], ["TYPE", "hash"], ["MATCH", "k*"], ["FOO"], ["FOO", "x"]], 2),
    "FLUSHALL": lambda: rng.choice([["FOO"], ["SYNC", "FOO"]]),
    "KEYS": lambda: [rng.choice(["*", "k?", "[a-k]*", "k[^1]", "x*", "\\k1", ""])],
}
CONNECTION = {
    "PING": lambda: some([["hello"], [""]], 2),
    "ECHO": lambda: [word()],
    "SELECT": lambda: [rng.choice([0, 1, -1, number()])],
    "WAIT": lambda: [rng.choice([0, "x"]), rng.choice([0, 1, -1, "x", 2**63])],
    "LASTSAVE": lambda: ["x"],
    "RESET": lambda: ["x"],
    "TIME": lambda: ["x"],
    "COMMAND": lambda: rng.choice([["FOO"], ["LIST", "x"], ["COUNT", "x"], ["DOCS", "nosuch"], ["GETKEYS"],
                                    ["LIST", "FILTERBY", "MODULE", "x"], ["LIST", "FILTERBY", "PATTERN", "GeT"],
                                    ["LIST", "FILTERBY", "X", "y"], ["GETKEYS", "PING", "x"], ["GETKEYS", "FOO", "x"],
                                    ["GETKEYS", "MSET", key(), word(), key(), word()], ["GETKEYS", "GET", key(), "x"],
                                    ["GETKEYS", "BITOP", "AND", key(), key()], ["GETKEYS", "DEL", key(), key()],
                                    ["GETKEYS", "OBJECT", "HELP"], ["GETKEYS", "OBJECT", "FREQ", key()],
                                    ["GETKEYS", "RENAME", key(), key()], ["GETKEYS", "SET", key(), word(), "GET"]]),
    "CONFIG": lambda: rng.choice([["FOO"], ["GET"], ["GET", "nosuch"]]),
    "CLIENT": lambda: rng.choice([["FOO"], ["GETNAME"], ["GETNAME", "x"], ["ID", "x"], ["SETNAME"], ["SETNAME", word()[:100]]]),
    "HELLO": lambda: rng.choice([[4], ["x"], [2, "FOO"], [2, "SETNAME"], [1]]),
    "NOSUCH": lambda: several(lambda: [word()[:40]], 3),
}
GROUPS = [CONNECTION, STRINGS, EXPIRY, BITS, KEYSPACE]
ALL = {name: make for group in GROUPS for name, make in group.items()}


def command():
    name = rng.choice(sorted(ALL))
    if name in ("DEL", "UNLINK") and rng.randrange(3):   # or there would be little to find
        name = "SET"
    words = ALL[name]()
    # Redis takes any number as a cursor; and nothing must end or change the connection.
    spoil = rng.randrange(60) if name not in CONNECTION and name != "SCAN" else 2
    if any(isinstance(w, bytes) and len(w) > 65535 for w in words):
        pass   # it must not become a key
    elif spoil == 0 and words:
        words.pop(rng.randrange(len(words)))
    elif spoil == 1:
        words.insert(rng.randrange(len(words) + 1), word()[:100])
    return [case(name)] + words


# ---- what is answered ----

def ints(*replies):
    return [int(r[1:]) for r in replies if r[:1] == b":"]


def items(reply):
    """Of an array of strings."""
    parts = reply.split(b"\r\n")
    return sorted(zip(parts[1::2], parts[2::2]))


def same(words, theirs, ours):
    name = words[0].upper()
    if theirs == ours:
        return True
    if name == "KEYS":
        return items(theirs) == items(ours)
    if name == "SCAN":   # from the beginning to the end
        head = b"*2\r\n$1\r\n0\r\n"
        return theirs.startswith(head) and ours.startswith(head) and items(theirs[len(head):]) == items(ours[len(head):])
    if name == "DBSIZE":   # Redis counts what has expired and was not cleared away yet
        return ints(theirs) >= ints(ours)
    if name in ("PTTL", "TTL", "PEXPIRETIME", "EXPIRETIME"):   # of an expiry that was given as a time from then
        late = LATE_MS if name.startswith("P") else LATE_MS // 1000
        both = ints(theirs, ours)
        return len(both) == 2 and min(both) > 0 and abs(both[0] - both[1]) <= late
    return False


def before(commands, at):
    """The last ones that named a key of commands[at]."""
    keys = {w for w in commands[at][1:] if w in [k.encode("latin-1") for k in KEYS]}
    return "".join("%.200r\n" % c for c in commands[:at] if keys & set(c[1:]))[-3000:]


def compare(redis, chronos, commands):
    for at in range(0, len(commands), BATCH):
        batch = commands[at:at + BATCH]
        for server in (redis, chronos):
            server.send(*batch)
        for i, words in enumerate(batch, at):
            theirs, ours = redis.reply(), chronos.reply()
            if not same(words, theirs, ours):
                raise AssertionError("after\n%s%.600r\nRedis answers   %.600r\nChronos answers %.600r" %
                                     (before(commands, i), words, theirs, ours))


def final_state(redis, chronos):
    """Everything that is there in the end."""
    commands = [["KEYS", "*"]]
    for k in KEYS:
        k = k.encode("latin-1")
        commands += [["GET", k], ["STRLEN", k], ["EXPIRETIME", k]]
    compare(redis, chronos, commands)


def encodings(redis, chronos):
    """How Redis represents a value depends on what was done to it before; but not after SET."""
    values = [b"", b"0", b"-0", b"01", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"1" * 20, b"1.5",
              b"x" * 44, b"x" * 45, b"x" * 70000]
    for value in values:
        compare(redis, chronos, [["SET", "encoded", value], ["OBJECT", "ENCODING", "encoded"]])
    compare(redis, chronos, [["OBJECT", name, "absent"] for name in ("ENCODING", "FREQ", "IDLETIME", "REFCOUNT")])
    compare(redis, chronos, [["OBJECT", name] for name in ("ENCODING", "FREQ", "IDLETIME", "REFCOUNT")])
    compare(redis, chronos, [["OBJECT", "HELP", "x"], ["OBJECT", "FREQ", "encoded"]])


def describe(redis, chronos):
    """Arity, flags and keys of every command that is random here."""
    shown = {b"write", b"readonly", b"denyoom", b"admin", b"fast"}
    for name in sorted(set(ALL) - {"NOSUCH"}):
        theirs, ours = (s("COMMAND", "INFO", name)[0] for s in (redis, chronos))
        assert theirs[:2] + theirs[3:6] == ours[:2] + ours[3:6], (theirs[:6], ours)
        assert shown & set(theirs[2]) == set(ours[2]), (theirs[:6], ours)


def main():
    path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chronos_at = ("127.0.0.1", int(os.environ["PORT"]))
    rng.seed(seed)
    redis, chronos = Raw(path), Raw(chronos_at)
    if seed % 2 == 0:
        for server in (redis, chronos):
            server.send(["HELLO", 3])
            assert server.reply().startswith(b"%")
    compare(redis, chronos, [["FLUSHALL"]])
    compare(redis, chronos, [command() for _ in range(count)])
    final_state(redis, chronos)
    encodings(redis, chronos)
    clients = []
    for address in (path, chronos_at):
        client = resp.Client.__new__(resp.Client)
        client.__dict__ = Raw(address).__dict__
        clients.append(client)
    describe(*clients)


main()
