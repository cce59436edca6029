#!/usr/bin/env bash
# sanitized: yes
# chronos stats --watch on a terminal: frames with rates and units, no wider than the window; q, Ctrl-C, a signal and the loss of the
# server end it, and each time the terminal is as it was.
. "$(dirname "$0")/lib.sh"
start_server
assert_refused 'needs a terminal' "$CHRONOS" stats --watch -p "$PORT"

cat >"$TMP/watch.py" <<'END_PYTHON'
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, threading, time
from resp import Client

LIMIT = 60
ENTER, LEAVE, HOME = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l", b"\x1b[H"
program, port = sys.argv[1], os.environ["PORT"]


class Watch:
    """The program on a terminal, of which both ends stay open here."""

    def __init__(self, rows=30, columns=100):
        self.fd, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.was = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [program, "stats", "--watch", "-p", port], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=LIMIT):
        """False: there was nothing to read."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.fd, 65536)
        return True

    def frames(self):
        return self.seen.split(HOME)[1:]

    def wait(self, what):
        """Reads until `what` says yes to a whole frame, and returns it as lines."""
        end = time.monotonic() + LIMIT
        while True:
            for frame in self.frames():
                if frame.endswith(b"\x1b[J") and what(lines_of(frame)):
                    return lines_of(frame)
            assert self.read() and time.monotonic() < end, "no such frame: %r" % self.seen[-1000:]

    def finish(self, status, why=""):
        """It ends now with `status`, and says one line with `why`, or nothing."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.read(0.05)
        while self.read(0):
            pass
        assert self.process.returncode == status, (self.process.returncode, self.seen[-500:])
        assert termios.tcgetattr(self.slave) == self.was, "the terminal is not as it was"
        assert self.seen.count(ENTER) == self.seen.count(LEAVE) == 1, "the screen was not left: %r" % self.seen[-500:]
        rest = self.seen.split(LEAVE)[1].decode()
        assert (why in rest and rest.count("\n") == 1) if why else not rest, "at the end it said %r" % rest
        os.close(self.fd)
        os.close(self.slave)


def lines_of(frame):
    return [line.decode() for line in re.sub(rb"\x1b\[[KJ]", b"", frame).split(b"\r\n")]


def value_of(lines, label):
    return next((line[15:] for line in lines if line.startswith(label.ljust(15))), "")


stopping = threading.Event()


def load():
    redis = Client()
    while not stopping.is_set():
        redis.pipeline([("SET", "k%d" % i, b"v" * 1000) for i in range(100)])


loader = threading.Thread(target=load)
loader.start()
try:
    watch = Watch()
    lines = watch.wait(lambda l: re.match(r"[0-9.]+k?/s ", value_of(l, "requests")))
    assert lines[0].startswith("chronos ") and "port %s, up " % port in lines[0], lines[0]
    lines = watch.wait(lambda l: re.match(r"[0-9.]+ [KM]iB/s +log [0-9.]+ [KM]iB/s", value_of(l, "written")))
    lines = watch.wait(lambda l: re.match(r"set [0-9.]+k?/s", value_of(l, "commands")))
    lines = watch.wait(lambda l: re.match(r"about [1-9]", value_of(l, "keys")))
    assert re.match(r"[0-9.]+ MiB ", value_of(lines, "memory")), lines
    count = len(watch.frames())
    while len(watch.frames()) < count + 2:   # it goes on
        watch.read()
    print("\n".join(lines_of(watch.frames()[-2])))
    watch.resize(5, 20)
    watch.wait(lambda l: len(l) == 5 and all(len(line) <= 20 for line in l))
    watch.resize(30, 100)
    os.write(watch.fd, b"xq")
    watch.finish(0)
finally:
    stopping.set()
    loader.join()

watch = Watch()
lines = watch.wait(lambda l: value_of(l, "commands") == "none" and "/s" in value_of(l, "requests"))
os.write(watch.fd, b"\x03")   # Ctrl-C
watch.finish(0)

watch = Watch(3, 40)
assert all(len(line) <= 40 for line in watch.wait(lambda l: len(l) == 3))
watch.process.terminate()
watch.finish(0)

watch = Watch()
watch.wait(lambda l: True)
os.kill(int(os.environ["SERVER_PID"]), signal.SIGKILL)
watch.finish(2, "chronos: lost the connection to the server")
END_PYTHON
SERVER_PID=$SERVER_PID PORT=$PORT PYTHONPATH=$ROOT/tests/shell PYTHONDONTWRITEBYTECODE=1 python3 "$TMP/watch.py" "$CHRONOS"
wait "$SERVER_PID" 2>/dev/null || true   # killed
SERVER_PID=
