#!/usr/bin/env bash
# sanitized: yes
# What programs expect of a file system, in short: random writes, append, truncate, holes, unlink and rename while open,
# directories, links, attributes, times, limits.
. "$(dirname "$0")/lib.sh"
start_mounted

python - <<'END'
import errno, os, stat, time

os.chdir(os.environ["MNT"])


def fails(error, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == error, "%s%r: %s instead of %s" % (call.__name__, args, e, errno.errorcode[error])
    else:
        raise AssertionError("%s%r does not fail" % (call.__name__, args))


def write(name, text, mode="w"):
    with open(name, mode) as f:
        f.write(text)


def read(name):
    with open(name) as f:
        return f.read()


# Random writes, append, truncate, holes
write("f", "0123456789")
with open("f", "r+b") as f:
    f.seek(3)
    f.write(b"abc")
    f.seek(200000)
    f.write(b"end")
assert os.stat("f").st_size == 200003
with open("f", "rb") as f:
    data = f.read()
assert data == b"012abc6789" + bytes(199990) + b"end"
write("f", "+", "a")
os.truncate("f", 5)
assert read("f") == "012ab"
os.truncate("f", 8)
assert read("f") == "012ab\0\0\0"
fails(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)

# What one handle writes, another sees at once; two appenders do not overwrite each other
a, b = os.open("log", os.O_CREAT | os.O_APPEND | os.O_WRONLY), os.open("log", os.O_APPEND | os.O_WRONLY)
for i in range(100):
    os.write(a, b"a")
    os.write(b, b"b")
    assert os.stat("log").st_size == 2 * i + 2
os.close(a), os.close(b)
assert read("log") == "ab" * 100

# Unlink and rename while open
f = open("f", "r+")
os.unlink("f")
assert not os.path.exists("f")
assert f.read() == "012ab\0\0\0"
f.write("more")
f.flush()
f.seek(0)
assert f.read().endswith("more")
f.close()
assert not os.path.exists("f")
write("old", "old"), write("new", "new")
with open("new") as held:
    os.rename("old", "new")
    assert read("new") == "old" and held.read() == "new"
assert not os.path.exists("old")

# Directories
os.makedirs("d/e")
write("d/e/f", "deep")
fails(errno.ENOTEMPTY, os.rmdir, "d/e")
fails(errno.EEXIST, os.mkdir, "d")
fails(errno.ENOTDIR, os.listdir, "new")
fails(errno.EISDIR, os.open, "d", os.O_WRONLY)
fails(errno.ENOENT, os.stat, "d/nobody")
os.rename("d", "moved")
assert read("moved/e/f") == "deep" and not os.path.exists("d")
for i in range(3000):
    write("moved/%04d" % i, "")
seen = os.listdir("moved")
assert sorted(seen) == sorted(["e"] + ["%04d" % i for i in range(3000)]), "readdir leaves out or repeats"
for name in seen[1:]:
    if name != "e":
        os.unlink("moved/" + name)
for name in os.listdir("moved"):
    os.remove("moved/" + name) if name != "e" else None
os.unlink("moved/e/f")
os.rmdir("moved/e"), os.rmdir("moved")

# Symlinks, and hard links that there are not
os.symlink("new", "link")
assert os.readlink("link") == "new" and read("link") == "old"
os.symlink("nowhere", "dangling")
fails(errno.ENOENT, read, "dangling")
fails(errno.EPERM, os.link, "new", "hard")

# Attributes
os.chmod("new", 0o640)
os.utime("new", ns=(1_000_000_000_123_456_789, 2_000_000_000_987_654_321))
s = os.stat("new")
assert stat.S_IMODE(s.st_mode) == 0o640 and s.st_mtime_ns == 2_000_000_000_987_654_321
assert s.st_atime_ns == 1_000_000_000_123_456_789
os.setxattr("new", "user.colour", b"red")
assert os.getxattr("new", "user.colour") == b"red" and os.listxattr("new") == ["user.colour"]
fails(errno.EEXIST, os.setxattr, "new", "user.colour", b"blue", os.XATTR_CREATE)
os.removexattr("new", "user.colour")
fails(errno.ENODATA, os.getxattr, "new", "user.colour")
assert abs(os.stat("log").st_mtime - time.time()) < 600

# The whole
space = os.statvfs(".")
assert space.f_blocks > 0 and 0 < space.f_bavail <= space.f_blocks and space.f_namemax == 255
assert ".chronos" not in os.listdir(".")
stats = read(".chronos/stats")
assert "wal" in stats.lower() and len(stats) > 100, stats
END

# Names that stand for themselves, and keys that cannot be names: each key has one path, and each path one key.
for name in '100%.txt' 'a b' 'tab	and "quotes"' 'ünïcödé' '-x' '%' '%%' '%3D'; do
    echo "$name" >"$MNT/$name"
    assert_eq "$(redis get "$name")" "$name" "a name that stands for itself"
done
redis set 'a//b' 1 >/dev/null
assert_eq "$(cat "$MNT/a/%=/b")" 1 "an empty component"
redis set 'x/../y' 2 >/dev/null
assert_eq "$(cat "$MNT/x/%=%2E%2E/y")" 2 "a component that is .."
redis set both 3 >/dev/null
redis set both/below 4 >/dev/null
assert_eq "$(cat "$MNT/both/%=self") $(cat "$MNT/both/below")" '3 4' "a key that is a directory too"
redis set .chronos 5 >/dev/null
assert_eq "$(redis get .chronos)" 5
[ -f "$MNT/.chronos/stats" ] || fail "a key hides the control directory"
find "$MNT" -type f -exec cat {} + >/dev/null || fail "a file that is listed cannot be read"
assert_eq "$(find "$MNT" ! -type d | wc -l)" "$(redis dbsize)" "the number of files, and of keys"
