#!/usr/bin/env python3
"""A server is killed with -9 at random moments, again and again, while clients write to it over TCP and through its mount.

usage: kill.py CHRONOS [SECONDS]     SEED= of the random choices, N= kills to do instead of SECONDS

Each writer owns some keys and changes them one after another, so it knows what each of its changes makes of them. After every
kill the server is started again on the same directory and mount point, and what it then has of a writer's keys, seen over TCP and as
files, must be what some number of the writer's changes make: at least all that were acknowledged, none left out in between."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "shell"))
sys.dont_write_bytecode = True
from resp import Client, Error  # noqa: E402

READY_LIMIT = 60
PIPELINE = 8
KEYS = 20
BIG = 150000    # more than a chunk
MODES = "always", "1s", "none"    # a process that is killed loses nothing in any of them


class Failure(Exception):
    pass


class Writer(threading.Thread):
    """Issues changes until the server dies. `changes`: what each did, a dict of key to new value or None."""

    def __init__(self, name, seed, state, server):
        super().__init__(name=name, daemon=True)
        self.random = random.Random(seed)
        self.state = dict(state)      # before the first change
        self.now = dict(state)        # after the last one issued
        self.changes = []
        self.acknowledged = 0
        self.server = server
        self.problem = None

    def run(self):
        try:
            self.work()
        except (OSError, EOFError, ValueError):
            if not self.server.dying:
                self.problem = "%s: the server went away by itself: %r" % (self.name, sys.exc_info()[1])
        except Exception as error:    # noqa: B902  whatever it is, it is told
            self.problem = "%s: %r" % (self.name, error)

    def change(self, **new):
        self.changes.append(new)
        self.apply(self.now, new)

    @staticmethod
    def apply(state, new):
        for key, value in new.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value

    def value(self):
        head = b"%s %d " % (self.name.encode(), len(self.changes))
        size = self.random.choice((0, 10, 100, 3000, 70000, BIG)) if self.random.random() < 0.2 else 50
        return head + bytes([self.random.randrange(256)]) * size

    def check(self, found):
        """`found` must be what the first n changes make, for some n. The writer goes on from there."""
        state = dict(self.state)
        for new in self.changes[:self.acknowledged]:
            self.apply(state, new)
        at = self.acknowledged
        while state != found:
            if at == len(self.changes):
                raise Failure("%s: %d changes acknowledged of %d; %s" % (
                    self.name, self.acknowledged, len(self.changes), self.explain(found)))
            self.apply(state, self.changes[at])
            at += 1
        return found

    def explain(self, found):
        state = dict(self.state)
        for new in self.changes[:self.acknowledged]:
            self.apply(state, new)
        for key in sorted(set(state) | set(found)):
            if state.get(key) != found.get(key):
                return "%s should be %.60r (or later), and is %.60r" % (key, state.get(key), found.get(key))
        return "what is there matches no moment"


class TcpWriter(Writer):
    def request(self):
        key = "%s/%d" % (self.name, self.random.randrange(KEYS))
        what = self.random.random()
        if what < 0.55:
            value = self.value()
            self.change(**{key: value})
            return "SET", key, value
        if what < 0.7:
            self.change(**{key: None})
            return "DEL", key
        if what < 0.8:
            other = "%s/%d" % (self.name, self.random.randrange(KEYS))
            value = self.value()
            self.change(**{key: value, other: value})
            return "MSET", key, value, other, value
        if what < 0.9:
            self.change(**{key: self.now.get(key, b"") + b"+%d" % len(self.changes)})
            return "APPEND", key, b"+%d" % (len(self.changes) - 1)
        count = "%s/count" % self.name
        self.change(**{count: b"%d" % (int(self.now.get(count, b"0")) + 1)})
        return "INCR", count

    def work(self):
        client = Client(self.server.port)
        while True:
            requests = [self.request() for _ in range(self.random.randint(1, PIPELINE))]
            client.send(*requests)
            for _ in requests:
                reply = client.reply()
                if isinstance(reply, Error):
                    raise AssertionError("an error reply: %s" % reply)
                self.acknowledged += 1


class FileWriter(Writer):
    def path(self, key):
        return os.path.join(self.server.mount, key)

    def work(self):
        os.makedirs(self.path(self.name), exist_ok=True)
        while True:
            key = "%s/%d" % (self.name, self.random.randrange(KEYS))
            what = self.random.random()
            if what < 0.7:
                self.write(key)
            elif what < 0.85 and key in self.now:
                self.change(**{key: None})
                os.unlink(self.path(key))
            elif key in self.now:
                other = "%s/%d" % (self.name, self.random.randrange(KEYS))
                if other != key:
                    self.change(**{other: self.now[key], key: None})
                    os.rename(self.path(key), self.path(other))
            self.acknowledged = len(self.changes)

    def write(self, key):
        value = self.value()
        if len(value) > 65536:
            value = value[:65536]   # what is longer is not written in one piece
        if key not in self.now:
            self.change(**{key: b""})   # there from the moment it is created
        self.change(**{key: value})
        with open(self.path(key), "wb", buffering=0) as file:
            file.write(value)
            if self.random.random() < 0.1:
                os.fsync(file.fileno())


class Server:
    def __init__(self, program, directory):
        self.program = program
        self.data = os.path.join(directory, "data")
        self.mount = os.path.join(directory, "mnt")
        self.log = os.path.join(directory, "log")
        self.port = 0
        self.process = None
        self.dying = False
        os.mkdir(self.mount)

    def start(self, mode):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--dir", self.data, "--mount", self.mount, "--listen", "127.0.0.1:%d" % self.port,
                 "--sync", mode, "--memtable", "1MiB", "--cache", "4MiB"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        end = time.monotonic() + READY_LIMIT
        line = self.process.stdout.readline().decode()
        if not line.startswith("chronos: ready on ") or time.monotonic() > end:
            raise Failure("the server did not start again: %r" % line)
        self.port = int(line.split(",")[0].rsplit(":", 1)[1])
        self.dying = False

    def kill(self):
        self.dying = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        if self.process.wait(60) != 0:
            raise Failure("the server ended with status %d" % self.process.returncode)
        self.process.stdout.close()

    def clean_up(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with open("/proc/self/mounts") as mounts:
            mounted = any(line.split()[1] == self.mount for line in mounts)
        if mounted:
            subprocess.run(["fusermount3", "-uz", self.mount], check=False)


def seen_by_tcp(server, name):
    client = Client(server.port)
    keys = client("KEYS", name + "/*")
    values = client("MGET", *keys) if keys else []
    client.close()
    if None in values:
        raise Failure("%s is listed, and is not there" % keys[values.index(None)].decode())
    return {key.decode(): value for key, value in zip(keys, values)}


def seen_as_files(server, name):
    found = {}
    folder = os.path.join(server.mount, name)
    for entry in os.listdir(folder) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, entry), "rb") as file:
            found[name + "/" + entry] = file.read()
        if os.stat(os.path.join(folder, entry)).st_size != len(found[name + "/" + entry]):
            raise Failure("%s/%s has another size than its contents" % (name, entry))
    return found


def one_round(server, kinds, states, seed):
    choice = random.Random(seed)
    writers = [kind(name, choice.random(), states[name], server) for name, kind in kinds.items()]
    for writer in writers:
        writer.start()
    time.sleep(choice.choice((0.02, 0.1, 0.3, 0.6)) * (0.5 + choice.random()))
    server.kill()
    for writer in writers:
        writer.join(60)
        if writer.is_alive():
            raise Failure("%s hangs though the server is dead" % writer.name)
        if writer.problem:
            raise Failure(writer.problem)
    server.start(choice.choice(MODES))
    for writer in writers:
        found = writer.check(seen_by_tcp(server, writer.name))
        if seen_as_files(server, writer.name) != found:
            raise Failure("%s: the mount and TCP do not show the same" % writer.name)
        states[writer.name] = found
    return sum(writer.acknowledged for writer in writers)


def main():
    if len(sys.argv) not in (2, 3):
        print("usage: kill.py CHRONOS [SECONDS]", file=sys.stderr)
        return 2
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    limit = int(os.environ.get("N", "0"))
    first = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    if not os.path.exists("/dev/fuse"):
        print("FAILED: there is no /dev/fuse here, and without it nothing can be mounted")
        return 1
    directory = tempfile.mkdtemp()
    server = Server(sys.argv[1], directory)
    kinds = {"t0": TcpWriter, "t1": TcpWriter, "m0": FileWriter, "m1": FileWriter}
    states = {name: {} for name in kinds}
    kills = acknowledged = 0
    end = time.monotonic() + seconds
    print("SEED=%d" % first)
    try:
        server.start(MODES[0])
        while kills < limit if limit else time.monotonic() < end:
            acknowledged += one_round(server, kinds, states, first + kills)
            kills += 1
        server.stop()
    except Failure as failure:
        print("FAILED after %d kills: %s\n  again with: SEED=%d N=%d (moments differ from run to run)" % (
            kills, failure, first, kills + 1))
        with open(server.log, errors="replace") as log:
            print("--- the server's log (end):\n" + "".join(log.readlines()[-40:]))
        return 1
    finally:
        server.clean_up()
        shutil.rmtree(directory, ignore_errors=True)
    print("%d kills, %d changes acknowledged: all of them were there" % (kills, acknowledged))
    return 0


sys.exit(main())
