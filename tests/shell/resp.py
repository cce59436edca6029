"""A small Redis client for the shell tests: requests may be pipelined, and what was acknowledged is counted."""
import os
import socket


class Error(Exception):
    """An error reply."""


class Push(list):
    """What RESP3 says without being asked."""


class Client:
    def __init__(self, port=None, timeout=60, path=None):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
        else:
            self.socket = socket.create_connection(("127.0.0.1", int(port or os.environ["PORT"])), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb", 1 << 16)

    def close(self):
        self.input.close()
        self.socket.close()

    def send(self, *requests):
        self.socket.sendall(b"".join(map(encode, requests)))

    def reply(self):
        """The next reply; an error is returned, not raised. EOFError: the server has closed the connection."""
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Error(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"_":
            return None
        if kind == b"=":
            return self.bulk(int(rest))[4:]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        if kind == b"~":
            return [self.reply() for _ in range(int(rest))]
        if kind == b">":
            return Push(self.reply() for _ in range(int(rest)))
        raise AssertionError("not a reply: %r" % line)

    def bulk(self, size):
        if size < 0:
            return None
        data = self.input.read(size + 2)
        if len(data) != size + 2:
            raise EOFError
        return data[:-2]

    def __call__(self, *words):
        """One request and its reply; an error reply is raised."""
        self.send(words)
        reply = self.reply()
        if isinstance(reply, Error):
            raise reply
        return reply

    def pipeline(self, requests):
        """Replies to all requests, sent at once."""
        self.send(*requests)
        return [self.reply() for _ in requests]


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)
