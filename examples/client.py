#!/usr/bin/env python3
"""Talks to Chronos with nothing but Python's own library. With the package redis (python3-redis) it is
redis.Redis(port=8080), and everything below comes with it."""
import os
import socket


class Chronos:
    def __init__(self, host="127.0.0.1", port=8080):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.input = self.socket.makefile("rb")

    def __call__(self, *words):
        """Sends a command, and returns its reply: bytes, int, list or None."""
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self.reply()

    def reply(self):
        line = self.input.readline()
        if not line:
            raise ConnectionError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.input.read(size + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest


if __name__ == "__main__":
    chronos = Chronos(os.environ.get("CHRONOS_HOST", "127.0.0.1"), int(os.environ.get("CHRONOS_PORT", "8080")))
    chronos("SET", "greeting", "hello from python")
    print(chronos("GET", "greeting").decode())
    chronos("DEL", "python:count")
    for _ in range(3):
        count = chronos("INCR", "python:count")
    print(count)
