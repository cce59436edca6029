"""Clients that behave badly, in every way that came to mind, while one behaves well, gets right answers, and says how long they took.
Afterwards the server has its idle memory again, and does nothing.

usage: unbreakable.py SERVER_PID [SEED]     PORT of the server, and FRAMES to mutate (50000), in the environment
"""
import os
import random
import resource
import socket
import sys
import threading
import time

from resp import Client, encode

PID = int(sys.argv[1])
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().getrandbits(32)
FRAMES = int(os.environ.get("FRAMES", "50000"))
PORT = int(os.environ["PORT"])
MIB = 1 << 20
# What allocators, page tables and buffers of connections that are gone may keep, beside what the store holds: less than a
# tenth of what is sent, and the same after the second time as after the first.
IDLE_MORE = 64 * MIB
TICKS_IDLE = 30   # of 200 in 2 seconds, of a server that nobody asks for anything: a thread that spins takes 200
RNG = random.Random(SEED)


def rss():
    with open("/proc/%d/statm" % PID, encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def peak():
    with open("/proc/%d/status" % PID, encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def ticks():
    with open("/proc/%d/stat" % PID, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def connect():
    s = socket.create_connection(("127.0.0.1", PORT), 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_to_end(s):
    got = b""
    try:
        while data := s.recv(1 << 16):
            got += data
    except ConnectionError:
        pass
    return got


class Bystander(threading.Thread):
    """Goes on as if nothing were."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()
        self.took = []
        self.failure = None

    def run(self):
        try:
            c = Client()
            for i in range(1 << 60):
                if self.over.is_set():
                    break
                key, value = "by%d" % (i % 100), b"%d" % i
                begin = time.monotonic()
                assert c("SET", key, value) == b"OK" and c("GET", key) == value
                self.took.append(time.monotonic() - begin)
                time.sleep(0.001)
            c.close()
        except BaseException as e:  # pylint: disable=broad-except
            self.failure = e

    def finish(self, what):
        self.over.set()
        self.join()
        if self.failure:
            raise AssertionError("while %s: the client that behaves well got %r" % (what, self.failure))
        self.took.sort()
        print("%-50s %6d requests of another client: half within %.2f ms, all within %.1f ms" % (
            what, len(self.took), 1000 * self.took[len(self.took) // 2], 1000 * self.took[-1]), flush=True)


REQUESTS = [
    ("SET", "k", "value"), ("GET", "k"), ("MSET", "a", "1", "b", "2"), ("INCR", "n"), ("SET", "x", "y", "EX", "100", "GET"),
    ("RANGE", "a", "z", "LIMIT", "3"), ("SCAN", "0", "COUNT", "5"), ("GETRANGE", "k", "1", "-2"), ("BITFIELD", "f", "GET", "u8", "0"),
    ("MULTI",), ("EXEC",), ("DISCARD",), ("WATCH", "k"), ("SUBSCRIBE", "c"), ("UNSUBSCRIBE",), ("HELLO", "3"), ("CLIENT", "LIST"),
    ("COMMAND", "DOCS", "get"), ("INFO",), ("LCS", "k", "a"), ("RESTORE", "r", "0", "\x00\x01"), ("ACL", "CAT"), ("OBJECT", "ENCODING", "k"),
    ("CLIENT", "TRACKING", "ON"), ("FS", "LOOKUP", "0" * 32, "1", "k"), ("FSCOMMIT", "0" * 32, "\x01" * 40),
]


def split_at_every_byte():
    asked = [("SET", "k", "v\r\n"), ("GET", "k"), ("MSET", "a", "1", "b", ""), ("MGET", "a", "b", "none"), ("NOSUCH", "x"), ("INCR", "k")]
    for whole in b"".join(map(encode, asked)), b"set k v\r\nget k\r\nset \"a b\" 'c d'\nget \"a b\"\r\nnosuch x\n":
        s = connect()
        s.sendall(whole + b"QUIT\r\n")
        expected = read_to_end(s)
        for at in range(1, len(whole)):
            s = connect()
            s.sendall(whole[:at])
            if at % 8 == 0:
                time.sleep(0.001)   # or both parts might arrive as one
            s.sendall(whole[at:] + b"QUIT\r\n")
            got = read_to_end(s)
            assert got == expected, "split at %d: %r instead of %r" % (at, got, expected)
        s = connect()
        for byte in whole + b"QUIT\r\n":
            s.sendall(bytes([byte]))
        assert read_to_end(s) == expected


def mutate(frame):
    frame = bytearray(frame)
    for _ in range(RNG.randint(0, 3)):
        at = RNG.randrange(len(frame) + 1)
        how = RNG.randrange(5)
        if how == 0 and at < len(frame):
            frame[at] = RNG.randrange(256)
        elif how == 1:
            frame[at:at] = RNG.randbytes(RNG.randint(1, 8))
        elif how == 2:
            del frame[at:at + RNG.randint(1, 8)]
        elif how == 3:
            frame[at:at] = RNG.choice((b"\r\n", b"*", b"$-1\r\n", b"$0\r\n\r\n", b"*-1\r\n", b"99999999999", b"-", b"\0", b'"'))
        elif at < len(frame):
            frame[at] ^= 1 << RNG.randrange(8)
    return bytes(frame)


def send_mutated_frames():
    left = FRAMES
    while left > 0:
        n = min(left, RNG.randint(1, 8))
        frames = b"".join(mutate(encode(RNG.choice(REQUESTS))) if RNG.random() < 0.9 else RNG.randbytes(RNG.randint(1, 100))
                          for _ in range(n))
        left -= n
        s = connect()
        try:
            s.sendall(frames)
            s.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass   # the server has closed it because of what came first
        read_to_end(s)
        s.close()


def say_nothing_or_little():
    silent, slow = [connect() for _ in range(300)], [connect() for _ in range(50)]
    whole = encode(("SET", "slow", "x" * 20))
    for byte in whole:
        for s in slow:
            s.sendall(bytes([byte]))
        time.sleep(0.05)
    for s in slow:
        assert s.recv(100) == b"+OK\r\n"
    for s in silent + slow:
        s.close()


def vanish_in_mid_value():
    for i in range(60):
        s = connect()
        s.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$50000000\r\n" + b"x" * (i % 6 * MIB))
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")   # a reset instead of an end
        s.close()
    assert Client()("EXISTS", "half") == 0


def announce_too_much():
    for frame in (b"*1\r\n$9223372036854775807\r\n", b"*9223372036854775807\r\n", b"*2\r\n$3\r\nGET\r\n$18446744073709551615\r\n",
                  b"*1048577\r\n", b"*2\r\n$3\r\nGET\r\n$-5\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n", b"x" * (17 * MIB)):
        s = connect()
        try:
            s.sendall(frame)
        except ConnectionError:
            pass
        got = read_to_end(s)
        assert got.lstrip(b"-").startswith(b"ERR "), "to %r... the answer was %r" % (frame[:40], got)
    many = [connect() for _ in range(100)]   # each announces what it may, and that is not set aside in advance
    before = rss()
    for s in many:
        s.sendall(b"*2\r\n$4\r\nECHO\r\n$536870000\r\nx")
    time.sleep(0.5)
    assert rss() < before + 200 * MIB, "memory is set aside for what was only announced"
    for s in many:
        s.close()


def never_read_replies():
    c = Client()
    assert c("SET", "big", b"x" * MIB) == b"OK"
    before = rss()
    many = [connect() for _ in range(20)]
    for s in many:
        s.setblocking(False)
        try:
            for _ in range(200):
                s.send(encode(("GET", "big")) * 20)
        except (BlockingIOError, ConnectionError):
            pass
    for _ in range(20):
        time.sleep(0.1)
        assert rss() < before + 20 * 8 * MIB + IDLE_MORE, "replies that nobody reads fill the memory"
    for s in many:
        s.close()
    assert c("DEL", "big") == 1


def open_ten_thousand():
    most = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    many = []
    for _ in range(most):
        s = socket.socket()
        s.connect(("127.0.0.1", PORT))
        many.append(s)
    many[-1].sendall(b"PING\r\n")
    assert many[-1].recv(100), "the last of %d connections is not answered" % most
    for s in many:
        s.close()
    c = Client()
    while len(c("CLIENT", "LIST").splitlines()) > 10:
        time.sleep(0.05)
    print("  %d connections" % most)


def pipeline_a_million():
    n, s = 1000000, connect()
    sender = threading.Thread(target=lambda: [s.sendall(b"*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n" * 1000) for _ in range(n // 1000)])
    sender.start()
    replies = s.makefile("rb", 1 << 20)
    for i in range(1, n + 1):
        line = replies.readline()
        assert line == b":%d\r\n" % i, "reply %d is %r" % (i, line)
    sender.join()
    s.close()


def half_a_gibibyte():
    size, part = 512 * MIB, RNG.randbytes(MIB)
    s = connect()
    s.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % size)
    for i in range(size // MIB):
        s.sendall(part[i:] + part[:i])
    s.sendall(b"\r\n")
    assert s.recv(100) == b"+OK\r\n"
    c = Client()
    assert c("STRLEN", "huge") == size
    s.sendall(encode(("GET", "huge")))
    got = s.makefile("rb", MIB)
    assert got.readline() == b"$%d\r\n" % size
    for i in range(size // MIB):
        assert got.read(MIB) == part[i:] + part[:i], "MiB %d is not what was sent" % i
    assert got.read(2) == b"\r\n"
    print("  the server had %d MiB at most" % (peak() // MIB))
    assert c("DEL", "huge") == 1
    s.close()


def settle(limit, what):
    end = time.monotonic() + 60
    while rss() > limit:
        assert time.monotonic() < end, "after %s it has %d MiB instead of %d at most" % (what, rss() // MIB, limit // MIB)
        time.sleep(0.1)


def main():
    print("SEED=%d" % SEED)
    c = Client()
    for i in range(1000):
        c("SET", "warm%d" % i, "x" * 1000)
    time.sleep(3)
    idle = rss()
    # What the store itself may take up for what they write: memtables and cache, as the test starts it.
    store = int(os.environ["STORE_MIB"]) * MIB
    for use in (split_at_every_byte, send_mutated_frames, say_nothing_or_little, vanish_in_mid_value, announce_too_much,
                never_read_replies, open_ten_thousand, pipeline_a_million, half_a_gibibyte):
        bystander = Bystander()
        bystander.start()
        try:
            use()
        finally:
            bystander.finish(use.__name__.replace("_", " "))
        settle(idle + store + IDLE_MORE, use.__name__)
    assert c("PING") == b"PONG"
    time.sleep(2)
    before = ticks()
    time.sleep(2)
    assert ticks() - before < TICKS_IDLE, "the server is busy though nobody asks it for anything"
    print("%d MiB at first, %d MiB in the end" % (idle // MIB, rss() // MIB))


main()
