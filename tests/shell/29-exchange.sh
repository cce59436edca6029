#!/usr/bin/env bash
# Exchanging and renaming directories while others look, and while the server is killed: there is the old tree or the new one, whole.
# Processes that append to one file at the same time.
. "$(dirname "$0")/lib.sh"
start_mounted
cd /

cat >"$TMP/exchange.py" <<'END'
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
mnt = os.environ["MNT"]
left, right = os.path.join(mnt, "left").encode(), os.path.join(mnt, "right").encode()
done = 0
while libc.renameat2(-100, left, -100, right, 2) == 0:
    done += 1
    with open(sys.argv[1], "w") as f:
        f.write(str(done))
END

# All files of a directory say the same, and those of the other the other.
look() {
    python - <<'END'
import os

seen = []
for dir in "left", "right":
    path = os.path.join(os.environ["MNT"], dir)
    names = sorted(name for name in os.listdir(path) if name != "deep") + ["deep/file"]
    texts = {open(os.path.join(path, name)).read() for name in names}
    assert len(texts) == 1, (dir, texts)
    text = texts.pop()
    assert len(names) == (201 if text == "many" else 4), (dir, text, names)
    assert os.getxattr(path, "user.name") == text.encode()
    seen.append(text)
assert sorted(seen) == ["few", "many"], seen
END
}

make() {   # DIRECTORY FILES TEXT
    mkdir -p "$MNT/$1/deep"
    local i
    for ((i = 0; i < $2; i++)); do printf %s "$3" >"$MNT/$1/$i"; done
    printf %s "$3" >"$MNT/$1/deep/file"
    python -c 'import os, sys; os.setxattr(sys.argv[1], "user.name", sys.argv[2].encode())' "$MNT/$1" "$3"
}
make left 200 many
make right 3 few
look

for round in 1 2 3; do
    rm -f "$TMP/done"
    background python "$TMP/exchange.py" "$TMP/done"
    exchanger=$BACKGROUND_PID
    wait_until 60 grep -q '[0-9][0-9]' "$TMP/done"
    sleep "0.$((RANDOM % 900 + 100))"
    kill_server
    wait "$exchanger" || true
    restart_server
    look
    echo "round $round: killed after $(cat "$TMP/done") exchanges"
done

# Who reads a file under a name that is exchanged all the time finds one or the other.
python - <<'END'
import ctypes, os

os.chdir(os.environ["MNT"])
libc = ctypes.CDLL(None, use_errno=True)
texts = b"a" * 100000, b"b" * 50
for name, text in zip("ab", texts):
    with open(name, "wb") as f:
        f.write(text)
child = os.fork()
if child == 0:
    for _ in range(2000):
        assert libc.renameat2(-100, b"a", -100, b"b", 2) == 0
    os._exit(0)
reads = 0
while os.waitpid(child, os.WNOHANG) == (0, 0):
    for name in "ab":
        with open(name, "rb") as f:
            text = f.read()
        assert text in texts, (name, len(text))
        reads += 1
assert reads > 0

# Appending
def append(who):
    f = os.open("log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    for i in range(500):
        os.write(f, b"%d %d %s\n" % (who, i, b"x" * (i % 300)))
    os._exit(0)


children = []
for who in range(4):
    children.append(os.fork())
    if children[-1] == 0:
        append(who)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
next = [0] * 4
with open("log", "rb") as f:
    for line in f:
        who, i, rest = line.split(b" ")
        assert int(i) == next[int(who)] and rest == b"x" * (int(i) % 300) + b"\n", line
        next[int(who)] += 1
assert next == [500] * 4
END
