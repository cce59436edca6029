#!/usr/bin/env python3
"""The server against kill -9, with real processes.

`chronos serve --mount` is loaded through TCP (pipelined commands on several connections), through the mount, and through both
in turn, killed at a random moment, and started again on what is left; sometimes it is killed while it starts, too.

Each worker has keys or a directory of its own and does one thing after the other, so what a crash may leave is a prefix of what the
worker issued, at least as long as what was acknowledged to it. All its keys together, and its directories, must be what exactly
one such prefix makes of them: nothing acknowledged is lost, nothing comes back, no file and no batch is there by half. What TCP
lists and answers, and what the mount lists and reads, must be the same.

Snapshots are made, by both doors, while nothing else happens and under load, and some are dropped. One that was acknowledged is there after
every kill; it shows, of each worker, what one prefix makes, and goes on showing just that.

usage: kill.py CHRONOS [SECONDS]     SEED= of everything but the timing, N= kills to do instead of SECONDS
A failure prints the seed, and keeps beside the program, in log/, the directory that the last kill left.
"""
import ctypes
import os
import random
import select
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

READY_LIMIT = 60       # seconds; sanitized builds are slow
HANG_LIMIT = 60
LOAD_MIN, LOAD_MAX = 0.05, 1.0
KILLED_EARLY = 6       # one start in so many is killed before it can be ready
FRESH_EVERY = 40       # rounds; then the directory is a new one
DIRECTORY = object()   # the state of a path that is a directory; a file's is its bytes, and None is nothing
PR_SET_PDEATHSIG = 1


class Wrong(Exception):
    """What should not be."""


def describe(value):
    if value is None:
        return "nothing"
    if value is DIRECTORY:
        return "a directory"
    return "%d bytes, %r" % (len(value), value[:60])


# ---- what may be left ----

class History:
    """What a worker issued, as changes of a state, and how much of it was acknowledged."""

    def __init__(self, state):
        self.first = dict(state)   # before the first operation
        self.last = dict(state)    # after all that were issued
        self.changes = {}          # name: [(number of the operation, the state after it)], in order
        self.names = []            # of operations, for messages
        self.acknowledged = 0

    def issue(self, name, changed):
        self.names.append(name)
        for key, value in changed.items():
            self.changes.setdefault(key, []).append((len(self.names), value))
            if value is None:
                self.last.pop(key, None)
            else:
                self.last[key] = value

    def states_of(self, key):
        """(first operation, last operation, state) for each stretch in which a prefix may end."""
        steps = [(0, self.first.get(key))] + self.changes.get(key, [])
        ends = [number - 1 for number, _ in steps[1:]] + [len(self.names)]
        return [(max(number, self.acknowledged), end, value) for (number, value), end in zip(steps, ends)
                if end >= self.acknowledged and end >= number]

    def check(self, found):
        """`found` must be what one prefix makes of the first state."""
        fitting = set(range(self.acknowledged, len(self.names) + 1))
        for key in sorted(set(found) | set(self.first) | set(self.changes)):
            states = self.states_of(key)
            fits = set()
            for low, high, value in states:
                if value == found.get(key):
                    fits.update(range(low, high + 1))
            if not fits & fitting:
                raise Wrong("%r is %s\n  of %d operations %d were acknowledged%s; it may be:\n%s" % (
                    key, describe(found.get(key)), len(self.names), self.acknowledged,
                    "" if not fits else ", this is its state after %d to %d, and other keys are as after %d to %d" % (
                        min(fits), max(fits), min(fitting), max(fitting)),
                    "".join("  after %d to %d: %s\n" % (low, high, describe(value)) for low, high, value in states) +
                    "".join("  operation %d: %s\n" % (number, self.names[number - 1])
                            for number, _ in self.changes.get(key, [])[-8:])))
            fitting &= fits


# ---- workers ----

class Worker(threading.Thread):
    def __init__(self, test, name, state):
        super().__init__(daemon=True)
        self.test = test
        self.random = random.Random("%d %d %s" % (test.seed, test.round, name))
        self.root = name
        self.history = History(state)
        self.failure = None

    def run(self):
        try:
            self.work()
        except (EOFError, OSError) as error:
            if not self.test.killed:
                self.failure = "it was cut off while the server lived: %r" % error
        except BaseException as error:   # pylint: disable=broad-except
            self.failure = "%s: %s" % (type(error).__name__, error)

    def value(self, most):
        """Bytes that are different each time, and half of which compress."""
        size = self.random.randrange(most + 1)
        return (b"%s.%d." % (self.root.encode(), self.random.getrandbits(64)) + self.random.randbytes(size // 2) +
                b"." * (size // 2))[:max(size, 1)]


class Pipeline(Worker):
    """Commands over TCP, many at once."""
    KEYS, BIG_KEYS, COUNTERS, BIG = 150, 3, 4, 400_000

    def work(self):
        client = Client(self.test.port)
        while True:
            batch = [self.operation() for _ in range(self.random.choice((1, 5, 30, 200)))]
            client.send(*[request for request, _ in batch])
            for request, expected in batch:
                reply = client.reply()
                if reply != expected:
                    raise Wrong("the reply to %s was %s instead of %s" % (
                        request[:2], reply if isinstance(reply, Error) else repr(reply)[:200], repr(expected)[:200]))
                self.history.acknowledged += 1

    def operation(self):
        """(request, the right reply)"""
        now = self.history.last
        key = "%s/%s" % (self.root, self.random.randrange(self.KEYS))
        what = self.random.choices(("set", "mset", "del", "append", "incr", "get", "big", "append big", "del big"),
                                   (30, 8, 20, 20, 10, 10, 1, 1, 0.5))[0]
        if what.endswith("big"):
            key = "%s/big%d" % (self.root, self.random.randrange(self.BIG_KEYS))
        if what in ("set", "big"):
            value = self.value(self.BIG if what == "big" else self.random.choice((10, 100, 2000)))
            return self.issue(("SET", key, value), b"OK", {key: value})
        if what == "mset":
            pairs = {"%s/%s" % (self.root, self.random.randrange(self.KEYS)): self.value(100) for _ in range(4)}
            return self.issue(("MSET", *[word for pair in pairs.items() for word in pair]), b"OK", pairs)
        if what in ("del", "del big"):
            return self.issue(("DEL", key), int(key in now), {key: None})
        if what in ("append", "append big"):
            value = now.get(key, b"") + self.value(70_000 if what == "append big" else 50)
            if len(value) > (2 * self.BIG if what == "append big" else 10_000):
                return self.issue(("DEL", key), int(key in now), {key: None})
            return self.issue(("APPEND", key, value[len(now.get(key, b"")):]), len(value), {key: value})
        if what == "incr":
            key = "%s/counter%d" % (self.root, self.random.randrange(self.COUNTERS))
            number = int(now.get(key, b"0")) + 1
            return self.issue(("INCR", key), number, {key: b"%d" % number})
        return self.issue(("GET", key), now.get(key), {})

    def issue(self, request, expected, changed):
        self.history.issue(" ".join(str(word)[:40] for word in request), changed)
        return request, expected


class Files(Worker):
    """Files and directories in the mount, one thing after the other."""
    FOLDERS, NAMES = 4, 12

    def path(self, name):
        return os.path.join(self.test.mount, name)

    def work(self):
        while True:
            name, changed, do = self.choose()
            self.history.issue(name, changed)
            do()
            self.history.acknowledged += 1

    def some_file(self, *, there=None):
        """A name of a file in a directory that is there; or, if `there`, of a file that is."""
        now = self.history.last
        if there:
            files = sorted(name for name, value in now.items() if value is not DIRECTORY)
            return self.random.choice(files) if files else None
        folders = sorted(name for name, value in now.items() if value is DIRECTORY)
        return "%s/f%d" % (self.random.choice(folders), self.random.randrange(self.NAMES))

    def choose(self):
        """(words, changes, function) of the next operation."""
        if self.root not in self.history.last:
            return self.make_directory(self.root)
        while True:
            what = self.random.choices((self.write, self.replace, self.append, self.patch, self.truncate, self.unlink,
                                        self.rename, self.folder, self.rename_folder), (30, 15, 15, 8, 5, 12, 10, 8, 4))[0]
            operation = what()
            if operation:
                return operation

    def contents(self):
        return self.value(self.random.choice((0, 30, 3000, 20_000, 20_000, 300_000)))

    def write_pieces(self, path, flags, value, sync):
        descriptor = os.open(path, flags, 0o644)
        try:
            cuts = sorted(self.random.randrange(len(value) + 1) for _ in range(self.random.randrange(4)))
            for start, end in zip([0] + cuts, cuts + [len(value)]):
                if os.write(descriptor, value[start:end]) != end - start:
                    raise Wrong("a short write to %s" % path)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self):
        name, value, sync = self.some_file(), self.contents(), self.random.random() < 0.3
        return ("write %s, %d bytes%s" % (name, len(value), ", and fsync" if sync else ""), {name: value},
                lambda: self.write_pieces(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, value, sync))

    def append(self):
        name, piece, sync = self.some_file(), self.value(2000), self.random.random() < 0.6
        if len(self.history.last.get(name, b"")) > 500_000:
            return None
        return ("append to %s%s" % (name, ", and fsync" if sync else ""),
                {name: self.history.last.get(name, b"") + piece},
                lambda: self.write_pieces(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, piece, sync))

    def replace(self):
        """As editors do; the temporary file is a part of the state like any other."""
        name, value = self.some_file(), self.contents()
        temporary = "%s/f.tmp" % name.rsplit("/", 1)[0]
        if temporary in self.history.last:
            return self.rename_to(temporary, name)
        return ("write %s, %d bytes, and fsync" % (temporary, len(value)), {temporary: value},
                lambda: self.write_pieces(self.path(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL, value, True))

    def patch(self):
        name = self.some_file(there=True)
        if not name:
            return None
        old, piece = self.history.last[name], self.value(3000)
        at = self.random.randrange(len(old) + 1000)   # also behind the end, which leaves a hole

        def do():
            descriptor = os.open(self.path(name), os.O_WRONLY)
            try:
                if os.pwrite(descriptor, piece, at) != len(piece):
                    raise Wrong("a short write to %s" % name)
            finally:
                os.close(descriptor)
        return ("write into %s at %d, %d bytes" % (name, at, len(piece)),
                {name: old[:at].ljust(at, b"\0") + piece + old[at + len(piece):]}, do)

    def truncate(self):
        name = self.some_file(there=True)
        if not name:
            return None
        old = self.history.last[name]
        size = self.random.randrange(len(old) + 500)
        return ("truncate %s to %d" % (name, size), {name: old[:size].ljust(size, b"\0")},
                lambda: os.truncate(self.path(name), size))

    def unlink(self):
        name = self.some_file(there=True)
        return name and ("unlink %s" % name, {name: None}, lambda: os.unlink(self.path(name)))

    def rename(self):
        name = self.some_file(there=True)
        return name and self.rename_to(name, self.some_file())

    def rename_to(self, name, target):
        if name == target:
            return None
        return ("rename %s to %s" % (name, target), {name: None, target: self.history.last[name]},
                lambda: os.rename(self.path(name), self.path(target)))

    def make_directory(self, name):
        return "mkdir %s" % name, {name: DIRECTORY}, lambda: os.mkdir(self.path(name))

    def folder(self):
        name = "%s/d%d" % (self.root, self.random.randrange(self.FOLDERS))
        if name not in self.history.last:
            return self.make_directory(name)
        if any(other.startswith(name + "/") for other in self.history.last):
            return None
        return "rmdir %s" % name, {name: None}, lambda: os.rmdir(self.path(name))

    def rename_folder(self):
        now = self.history.last
        name, target = ("%s/d%d" % (self.root, i) for i in self.random.sample(range(self.FOLDERS), 2))
        if name not in now or any(other.startswith(target + "/") for other in now):
            return None
        tree = [other for other in now if other == name or other.startswith(name + "/")]
        changed = {other: None for other in tree}
        changed.update({target + other[len(name):]: now[other] for other in tree})
        return "rename %s to %s" % (name, target), changed, lambda: os.rename(self.path(name), self.path(target))


class BothDoors(Files):
    """One thing after the other, now through the mount and now through TCP; the other door must show it at once."""

    def work(self):
        self.client = Client(self.test.port)
        super().work()

    def choose(self):
        if self.root not in self.history.last:
            return super().choose()
        name = self.some_file()
        value, now = self.contents(), self.history.last.get(name)
        what = self.random.randrange(6)
        if what == 0:
            return "SET %s, %d bytes" % (name, len(value)), {name: value}, lambda: self.tcp(name, b"OK", "SET", value)
        if what == 1:
            return "DEL %s" % name, {name: None}, lambda: self.tcp(name, int(now is not None), "DEL")
        if what == 2 and len(now or b"") < 500_000:
            return ("APPEND %s, %d bytes" % (name, len(value)), {name: (now or b"") + value},
                    lambda: self.tcp(name, len((now or b"") + value), "APPEND", value))
        words, changed, do = super().choose()

        def and_look():
            do()
            for key, expected in changed.items():
                if expected is not DIRECTORY and self.client("GET", key) != expected:
                    raise Wrong("after '%s', TCP shows another value of %r" % (words, key))
        return words, changed, and_look

    def tcp(self, name, expected, command, *values):
        reply = self.client(command, name, *values)
        if reply != expected:
            raise Wrong("the reply to %s %r was %r instead of %r" % (command, name, reply, expected))
        try:
            with open(self.path(name), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            found = None
        if found != self.history.last.get(name):
            raise Wrong("after '%s %s', the mount shows %s instead of %s" % (
                command, name, describe(found), describe(self.history.last.get(name))))


class Snapshots(Worker):
    """Makes some under load."""
    MOST = 2

    def __init__(self, test, workers):
        super().__init__(test, "snapshots", {})
        self.workers = workers
        self.made = []   # (name, {worker: what it had acknowledged before}, whether this was acknowledged)

    def work(self):
        client = Client(self.test.port)
        for i in range(self.MOST):
            time.sleep(self.random.random() * LOAD_MAX / 2)
            name = "load%d.%d" % (self.test.round, i)
            self.made.append([name, {worker: worker.history.acknowledged for worker in self.workers}, False])
            if client("SNAPSHOT", "CREATE", name) != b"OK":
                raise Wrong("the snapshot %s was not made" % name)
            self.made[-1][2] = True


WORKERS = (("t0", Pipeline), ("t1", Pipeline), ("t2", Pipeline), ("m0", Files), ("m1", Files), ("b0", BothDoors))


# ---- the test ----

class Test:
    def __init__(self, program, seed, kills, seconds):
        self.program, self.seed, self.kills, self.end = program, seed, kills, time.monotonic() + seconds
        self.killed, self.round, self.port = False, 0, None
        self.random = random.Random(seed)
        self.scratch = tempfile.mkdtemp()
        self.dir = os.path.join(self.scratch, "data")
        self.left = os.path.join(self.scratch, "left")   # what the last kill left
        self.mount = os.path.join(self.scratch, "mnt")
        os.mkdir(self.mount)
        self.log = open(os.path.join(self.scratch, "log"), "ab")
        self.server = None
        self.done = self.issued = self.acknowledged = self.early = self.kept = 0
        self.snapshots = {}      # name: what it shows
        self.snapshooter = None  # of the last load

    def start(self):
        """Starts the server; does not wait for it."""
        def die_with_parent():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        arguments = ["--sync", self.random.choice(("always", "always", "always", "100ms", "none")),
                     "--memtable", self.random.choice(("64KiB", "1MiB", "32MiB")), "--threads", "2"]
        self.log.write(b"--- round %d: %s\n" % (self.round, " ".join(arguments).encode()))
        self.log.flush()
        self.killed = False
        self.server = subprocess.Popen(
            [self.program, "serve", "--dir", self.dir, "--listen", "127.0.0.1:0", "--mount", self.mount, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, preexec_fn=die_with_parent)

    def wait_ready(self):
        if not select.select([self.server.stdout], [], [], READY_LIMIT)[0]:
            raise Wrong("the server was not ready after %d s" % READY_LIMIT)
        line = self.server.stdout.readline().decode()
        start, end = "chronos: ready on 127.0.0.1:", ", mounted at %s\n" % self.mount
        if not (line.startswith(start) and line.endswith(end)):
            raise Wrong("the server ended with status %s before it was ready" % self.server.wait(HANG_LIMIT)
                        if not line else "the line of readiness is %r" % line)
        self.port = int(line[len(start):-len(end)])

    def kill(self):
        if self.server.poll() is not None:
            raise Wrong("the server ended by itself, with status %d" % self.server.returncode)
        self.killed = True
        self.server.kill()
        self.server.wait(HANG_LIMIT)
        self.server.stdout.close()
        self.done += 1
        shutil.rmtree(self.left, ignore_errors=True)
        shutil.copytree(self.dir, self.left)

    def stop(self):
        self.server.terminate()
        status = self.server.wait(HANG_LIMIT)
        self.server.stdout.close()
        if status != 0:
            raise Wrong("the server ended with status %d after SIGTERM" % status)
        if self.is_mounted():
            raise Wrong("the mount is still there though the server has stopped")
        check = subprocess.run([self.program, "check", self.dir], capture_output=True, check=False)
        if check.returncode != 0:
            raise Wrong("chronos check: %s" % (check.stdout + check.stderr).decode())

    def load(self, state, seconds):
        """Loads and kills the server; returns the workers, whose histories say what may be left."""
        workers = [kind(self, name, self.part(state, name, kind)) for name, kind in WORKERS]
        self.snapshooter = Snapshots(self, workers)
        for worker in workers + [self.snapshooter]:
            worker.start()
        time.sleep(seconds)
        self.kill()
        for worker in workers + [self.snapshooter]:
            worker.join(HANG_LIMIT)
            if worker.is_alive():
                raise Wrong("%s hangs though the server is dead" % worker.root)
            if worker.failure:
                raise Wrong("%s: %s" % (worker.root, worker.failure))
        for worker in workers:
            self.issued += len(worker.history.names)
            self.acknowledged += worker.history.acknowledged
        return workers

    @staticmethod
    def part(state, root, kind):
        """What belongs to a worker. A directory that is there because keys are says nothing that the keys do not."""
        return {name: value for name, value in state.items() if (name == root or name.startswith(root + "/")) and
                (value is not DIRECTORY or issubclass(kind, Files))}

    def look(self, state, workers):
        """What is there, by both doors; it must be one of the states that `workers` allow, or else be `state`."""
        found = self.look_both()
        for name, kind in WORKERS:
            worker = next((w for w in workers if w.root == name), None)
            history = worker.history if worker else History(self.part(state, name, kind))
            try:
                history.check(self.part(found, name, kind))
            except Wrong as wrong:
                raise Wrong("worker %s, round %d: %s" % (name, self.round, wrong)) from None
        strays = [name for name in found if name.split("/")[0] not in dict(WORKERS)]
        if strays:
            raise Wrong("keys that nobody wrote: %r" % strays[:10])
        return found

    def look_both(self):
        if self.random.random() < 0.5:
            values, found = self.by_tcp(), self.by_mount()
        else:
            found, values = self.by_mount(), self.by_tcp()
        for name in sorted(set(values) | set(found)):
            if found.get(name) is not DIRECTORY and values.get(name) != found.get(name):
                raise Wrong("%r is %s by TCP, and %s in the mount" % (
                    name, describe(values.get(name)), describe(found.get(name))))
        return found

    def by_tcp(self):
        client = Client(self.port)
        keys = client("KEYS", "*")
        if client("DBSIZE") != len(keys) or len(set(keys)) != len(keys):
            raise Wrong("DBSIZE is not the number of keys, or a key is listed twice")
        values = []
        for start in range(0, len(keys), 200):
            values += client("MGET", *keys[start:start + 200])
        client.close()
        found = {key.decode(): value for key, value in zip(keys, values)}
        missing = [key for key, value in found.items() if value is None]
        if missing:
            raise Wrong("keys that are listed, but not there: %r" % missing[:10])
        return found

    def by_mount(self, top=""):
        found = {}

        def walk(name):
            for entry in os.scandir(os.path.join(self.mount, top, name)):
                path = name + "/" + entry.name if name else entry.name
                if path in found:
                    raise Wrong("%r is listed twice" % path)
                if entry.is_dir(follow_symlinks=False):
                    found[path] = DIRECTORY
                    walk(path)
                else:
                    with open(entry.path, "rb") as file:
                        found[path] = file.read()
                    if len(found[path]) != entry.stat().st_size:
                        raise Wrong("%r has %d bytes, and its size is %d" % (
                            path, len(found[path]), entry.stat().st_size))
        try:
            walk("")
        except OSError as error:
            raise Wrong("in the mount: %s" % error) from None
        return found

    SNAPSHOTS = os.path.join(".chronos", "snapshots")

    def look_at_snapshots(self):
        listed = set(os.listdir(os.path.join(self.mount, self.SNAPSHOTS)))
        if listed != {name.decode() for name in self.tcp("SNAPSHOT", "LIST")}:
            raise Wrong("the doors list other snapshots")
        for name, acknowledged, done in self.snapshooter.made if self.snapshooter else ():
            if done and name not in listed:
                raise Wrong("the snapshot %s is lost" % name)
            if name in listed:
                self.snapshots[name] = self.check_snapshot(name, acknowledged)
                self.kept += 1
        self.snapshooter = None
        if listed != set(self.snapshots):
            raise Wrong("there are the snapshots %r instead of %r" % (sorted(listed), sorted(self.snapshots)))
        for name, expected in self.snapshots.items():
            found = self.by_mount(os.path.join(self.SNAPSHOTS, name))
            for key in sorted(set(found) | set(expected)):
                if found.get(key) != expected.get(key):
                    raise Wrong("in the snapshot %s %r is %s instead of %s" % (
                        name, key, describe(found.get(key)), describe(expected.get(key))))

    def check_snapshot(self, name, acknowledged):
        """What it shows, which must be a prefix of what each worker did, with all that it had been told was done."""
        found = self.by_mount(os.path.join(self.SNAPSHOTS, name))
        for worker, least in acknowledged.items():
            history = worker.history
            last, history.acknowledged = history.acknowledged, least
            try:
                history.check(self.part(found, worker.root, type(worker)))
            except Wrong as wrong:
                raise Wrong("snapshot %s, worker %s: %s" % (name, worker.root, wrong)) from None
            finally:
                history.acknowledged = last
        return found

    def change_snapshots(self, state):
        name, by_tcp = "quiet%d.%d" % (self.round, self.done), self.random.random() < 0.5
        path = os.path.join(self.mount, self.SNAPSHOTS)
        if self.random.random() < 0.3:
            if by_tcp:
                self.tcp("SNAPSHOT", "CREATE", name)
            else:
                os.mkdir(os.path.join(path, name))
            self.snapshots[name] = dict(state)
            self.kept += 1
        while len(self.snapshots) > 3:
            name = self.random.choice(sorted(self.snapshots))
            if by_tcp:
                self.tcp("SNAPSHOT", "DROP", name)
            else:
                os.rmdir(os.path.join(path, name))
            del self.snapshots[name]

    def tcp(self, *request):
        client = Client(self.port)
        reply = client(*request)
        client.close()
        return reply

    def run(self):
        state, workers = {}, []
        while True:
            while self.done and not self.is_over() and self.random.randrange(KILLED_EARLY) == 0:
                self.start()
                time.sleep(self.random.uniform(0, 0.03))
                self.kill()
                self.early += 1
            self.start()
            self.wait_ready()
            state, workers = self.look(state, workers), []
            self.look_at_snapshots()
            self.change_snapshots(state)
            if self.is_over():
                break
            self.round += 1
            if self.round % FRESH_EVERY == 0:
                self.stop()
                shutil.rmtree(self.dir)
                self.start()
                self.wait_ready()
                state, self.snapshots = {}, {}
            workers = self.load(state, LOAD_MIN + (LOAD_MAX - LOAD_MIN) * self.random.random() ** 2)
        self.stop()

    def is_over(self):
        return self.done >= self.kills if self.kills else time.monotonic() >= self.end

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            return any(line.split(" ")[1] == self.mount for line in mounts)

    def keep(self):
        """What the last kill left, and the log, where they can be looked at."""
        kept = os.path.join(os.path.dirname(self.program), "log", "kill-%d" % self.seed)
        shutil.rmtree(kept, ignore_errors=True)
        os.makedirs(kept)
        for path in (self.left, self.log.name):
            if os.path.exists(path):
                shutil.move(path, kept)
        return kept

    def clean(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        while self.is_mounted():
            subprocess.run(["fusermount3", "-uz", self.mount], check=True)
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def leave(number, _frame):
    sys.exit(128 + number)


def main():
    if len(sys.argv) not in (2, 3):
        print("usage: kill.py CHRONOS [SECONDS]", file=sys.stderr)
        return 2
    if not os.path.exists("/dev/fuse"):
        print("FAILED: there is no /dev/fuse here, and without it nothing can be mounted")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print("SEED=%d" % seed, flush=True)
    test = Test(sys.argv[1], seed, int(os.environ.get("N") or 0), float(sys.argv[2] if len(sys.argv) > 2 else 20))
    try:
        test.run()
    except (Wrong, subprocess.TimeoutExpired, Error, EOFError, OSError) as wrong:
        kept = test.keep()
        print("FAILED after kill %d: %s" % (test.done, str(wrong) or repr(wrong)))
        with open(os.path.join(kept, "log"), encoding="utf-8", errors="replace") as log:
            print("--- the server's log (end):\n%s" % "".join(log.readlines()[-20:]))
        print("again with: SEED=%d N=%d %s (the moments of the kills differ each time)\n"
              "what the last kill left is kept in %s" % (seed, test.done + 1, " ".join(sys.argv), kept))
        return 1
    finally:
        test.clean()
    print("%d kills, %d of them while it started; %d changes acknowledged of %d, %d snapshots: what was left was right" % (
        test.done, test.early, test.acknowledged, test.issued, test.kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
