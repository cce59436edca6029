"""What connections that say nothing, and values, take of a server's memory. Prints KiB for each of CONNECTIONS idle connections, and MiB
for KEYS values of 100 bytes.

usage: net_memory.py PORT PID CONNECTIONS KEYS"""
import random
import resource
import socket
import sys
import threading
import time

port, pid, connections, keys = map(int, sys.argv[1:])
AT_ONCE = 10000


def rss_kib():
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def connect():
    return socket.create_connection(("127.0.0.1", port))


def idle_connections():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    one = connect()
    one.sendall(b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$10\r\nmaxclients\r\n$5\r\n12000\r\n")
    one.recv(100)
    before = rss_kib()
    many = [connect() for _ in range(connections)]
    for s in many:
        s.sendall(b"*1\r\n$4\r\nPING\r\n")
    for s in many:
        s.recv(100)
    time.sleep(3)   # what they needed to be answered is given back
    each = (rss_kib() - before) / connections
    for s in many:
        s.close()
    return each


def values():
    noise = random.Random(1).randbytes(1 << 20)
    s = connect()

    def drain():
        left = keys * len(b"+OK\r\n")
        while left:
            left -= len(s.recv(1 << 20))

    reader = threading.Thread(target=drain)
    reader.start()
    for at in range(0, keys, AT_ONCE):
        parts = []
        for i in range(at, min(at + AT_ONCE, keys)):
            from_ = i * 50 % (len(noise) - 50)
            parts.append(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%b%b\r\n" % (i, noise[from_:from_ + 50], b"x" * 50))
        s.sendall(b"".join(parts))
    reader.join()
    time.sleep(5)
    return rss_kib() / 1024


print("%.2f" % idle_connections())
print("%.0f" % values())
