#!/usr/bin/env bash
# sanitized: yes
# Attributes, as on any file system: owners and set-id bits, times, special files, extended attributes, locks.
. "$(dirname "$0")/lib.sh"
start_mounted
chmod 711 "$TMP"

python - <<'END'
import ctypes, errno, fcntl, os, stat, time

os.chdir(os.environ["MNT"])
os.umask(0o022)
libc = ctypes.CDLL(None, use_errno=True)


def fails(error, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == error, "%s%r: %s instead of %s" % (call.__name__, args, e, errno.errorcode[error])
    else:
        raise AssertionError("%s%r does not fail" % (call.__name__, args))


def write(name, text):
    with open(name, "w") as f:
        f.write(text)


def mode(name):
    return stat.S_IMODE(os.lstat(name).st_mode)


# The root keeps what it is given while it is mounted, so that rsync -a has nothing to complain of
os.chmod(".", 0o1777)
os.utime(".", ns=(-1_500_000_000, -500_000_000))
s = os.stat(".")
assert stat.S_IMODE(s.st_mode) == 0o1777 and (s.st_atime_ns, s.st_mtime_ns) == (-1_500_000_000, -500_000_000)

# A directory's time moves with its names
os.mkdir("dir")
os.utime("dir", (1, 1))
for change in (lambda: write("dir/f", "1"), lambda: os.rename("dir/f", "dir/g"), lambda: os.unlink("dir/g"),
               lambda: os.mkdir("dir/d"), lambda: os.rmdir("dir/d"), lambda: os.symlink("x", "dir/l")):
    change()
    assert os.stat("dir").st_mtime > 1
    os.utime("dir", (1, 1))
    assert os.stat("dir").st_mtime == 1

# UTIME_NOW and UTIME_OMIT
NOW, OMIT = 0x3FFFFFFF, 0x3FFFFFFE


def utimens(name, a, m):
    times = (ctypes.c_long * 4)(*a, *m)
    assert libc.utimensat(-100, name.encode(), times, 0) == 0, ctypes.get_errno()


write("t", "x")
utimens("t", (5, 6), (7, 8))
utimens("t", (0, OMIT), (9, 10))
s = os.stat("t")
assert (s.st_atime_ns, s.st_mtime_ns) == (5_000_000_006, 9_000_000_010)
utimens("t", (0, NOW), (0, OMIT))
s = os.stat("t")
assert s.st_mtime_ns == 9_000_000_010 and abs(s.st_atime - time.time()) < 600

# A directory that is gone is still what it was for those who stand in it, and cannot come back
os.mkdir("gone", 0o750)
held = os.open("gone", os.O_RDONLY)
os.rmdir("gone")
assert stat.S_IMODE(os.fstat(held).st_mode) == 0o750 and os.fstat(held).st_nlink == 0
os.fchmod(held, 0o700)
assert stat.S_IMODE(os.fstat(held).st_mode) == 0o700 and not os.path.exists("gone")
os.close(held)

# Special files
os.mkfifo("fifo", 0o640)
os.mknod("socket", 0o600 | stat.S_IFSOCK)
os.mknod("plain", 0o604 | stat.S_IFREG)
assert stat.S_ISFIFO(os.stat("fifo").st_mode) and mode("fifo") == 0o640
assert stat.S_ISSOCK(os.stat("socket").st_mode) and stat.S_ISREG(os.stat("plain").st_mode)
fails(errno.EEXIST, os.mkfifo, "plain")
for type in stat.S_IFCHR, stat.S_IFBLK:
    if os.geteuid() == 0:
        os.mknod("device", 0o604 | type, os.makedev(1234, 56789))
        os.rename("device", "moved")
        s = os.stat("moved")
        assert s.st_mode == type | 0o604 and s.st_rdev == os.makedev(1234, 56789) and s.st_size == 0
    else:
        fails(errno.EPERM, os.mknod, "device", 0o600 | type, os.makedev(1, 3))
reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
os.write(os.open("fifo", os.O_WRONLY), b"through")
assert os.read(reader, 100) == b"through"
fails(errno.EOPNOTSUPP, os.open, ".", os.O_TMPFILE | os.O_RDWR)
direct = os.open("plain", os.O_RDWR | os.O_DIRECT)
assert os.pwrite(direct, b"direct", 0) == 6 and os.pread(direct, 6, 0) == b"direct"
os.close(direct)

# Extended attributes
for name in ("user.a", "security.b", "trusted.c"):
    if name.startswith("user.") or os.geteuid() == 0:
        os.setxattr("t", name, b"")
        assert os.getxattr("t", name) == b""
        os.setxattr("t", name, b"12345")
        buffer = ctypes.create_string_buffer(3)
        assert libc.getxattr(b"t", name.encode(), buffer, 3) == -1 and ctypes.get_errno() == errno.ERANGE
        assert libc.getxattr(b"t", name.encode(), None, 0) == 5
assert libc.listxattr(b"t", ctypes.create_string_buffer(3), 3) == -1 and ctypes.get_errno() == errno.ERANGE
fails(errno.EEXIST, os.setxattr, "t", "user.a", b"", os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, "t", "user.z", b"", os.XATTR_REPLACE)
fails(errno.ENODATA, os.removexattr, "t", "user.z")
fails(errno.EOPNOTSUPP, os.setxattr, "t", "system.x", b"")
fails(errno.E2BIG, os.setxattr, "t", "user.a", bytes(65537))
fails(errno.ENOSPC, lambda: [os.setxattr("plain", "user.%d" % i, bytes(65536)) for i in range(5)])
os.setxattr("dir", "user.d", b"of a directory")
assert os.getxattr("dir", "user.d") == b"of a directory" and "user.d" in os.listxattr("dir")
with open("t") as f:
    os.unlink("t")
    assert os.getxattr(f.fileno(), "user.a") == b"12345"
for gone in (lambda: os.unlink("pipe"), lambda: os.rename("instead", "pipe")):    # whom the kernel opens by itself
    os.mkfifo("pipe"), os.setxattr("pipe", "security.p", b"p"), os.close(os.open("instead", os.O_CREAT))
    pipe = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    gone()
    assert os.getxattr(pipe, "security.p") == b"p" and stat.S_ISFIFO(os.fstat(pipe).st_mode)
    os.close(pipe)
os.unlink("pipe")
os.mkdir("gone"), os.setxattr("gone", "user.before", b"b")
gone = os.open("gone", os.O_DIRECTORY)
os.rmdir("gone"), os.setxattr(gone, "user.after", b"a")
assert sorted(os.listxattr(gone)) == ["user.after", "user.before"] and os.getxattr(gone, "user.before") == b"b"
os.close(gone)
fresh = os.open("fresh", os.O_CREAT | os.O_RDWR)
os.setxattr(fresh, "user.a", b"before close")
os.close(fresh)
assert os.getxattr("fresh", "user.a") == b"before close"
fresh = os.open("fresh2", os.O_CREAT | os.O_RDWR)
fails(errno.ENOSPC, lambda: [os.setxattr(fresh, "user.%d" % i, bytes(65536)) for i in range(5)])
os.close(fresh)
assert len(os.listxattr("fresh2")) == 3

# Locks
with open("plain", "r+") as a, open("plain", "r+") as b:
    fcntl.flock(a, fcntl.LOCK_EX)
    fails(errno.EWOULDBLOCK, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(a, fcntl.LOCK_UN)
    fcntl.lockf(a, fcntl.LOCK_EX, 2, 2)
    child = os.fork()
    if child == 0:
        with open("plain", "r+") as c:
            fcntl.lockf(c, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)
            fails(errno.EAGAIN, fcntl.lockf, c, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
END

[ "$(id -u)" -eq 0 ] || exit 0
restart_server
assert_eq "$(stat -c '%F %t:%T' "$MNT/moved")" 'block special file 4d2:ddd5' "a device after a restart"
assert_eq "$(redis get moved)" 1234:56789
# Other users: set-id bits, groups handed down, sticky directories
stop_server
background "$CHRONOS" mount -f -o allow_other "$DIR" "$MNT" 2>>"$LOG"
wait_until 60 is_mounted "$MNT"
python - <<'END'
import errno, os, stat

os.chdir(os.environ["MNT"])
os.umask(0)


def mode(name):
    return stat.S_IMODE(os.lstat(name).st_mode)


def as_user(uid, call):
    """The errno with which it fails, or 0."""
    child = os.fork()
    if child == 0:
        os.setgroups([]), os.setgid(uid), os.setuid(uid)
        try:
            call()
        except OSError as e:
            os._exit(e.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write(name, text=b"x", flags=os.O_WRONLY | os.O_CREAT):
    f = os.open(name, flags, 0o666)
    os.write(f, text)
    os.close(f)


os.chmod(".", 0o777)
write("set")
os.chmod("set", 0o6777)
write("set")
assert mode("set") == 0o6777    # root may
assert as_user(1000, lambda: write("set")) == 0
assert mode("set") == 0o777
os.chmod("set", 0o6777)
assert as_user(1000, lambda: os.truncate("set", 0)) == 0
assert mode("set") == 0o777
os.chmod("set", 0o6777)
assert as_user(1000, lambda: write("set", flags=os.O_WRONLY | os.O_TRUNC)) == 0
assert mode("set") == 0o777
os.setxattr("set", "trusted.x", b""), os.setxattr("set", "user.x", b"")
assert sorted(os.listxattr("set")) == ["trusted.x", "user.x"]
assert as_user(1000, lambda: os._exit(len(os.listxattr("set")))) == 1
os.chmod("set", 0o6755), os.chown("set", 1000, 1000)
assert mode("set") == 0o755
assert as_user(1001, lambda: write("set")) == errno.EACCES
assert as_user(1001, lambda: os.chmod("set", 0o777)) == errno.EPERM
assert as_user(1001, lambda: os.utime("set")) == errno.EACCES

os.mkdir("group"), os.chown("group", 0, 50), os.chmod("group", 0o2777)
assert as_user(1000, lambda: (write("group/file"), os.mkdir("group/dir", 0o755), os.mkfifo("group/fifo"),
                              os.symlink("x", "group/link"))) == 0
for name in "file", "dir", "fifo", "link":
    assert os.lstat("group/" + name).st_gid == 50 and os.lstat("group/" + name).st_uid == 1000
assert mode("group/dir") == 0o2755

os.mkdir("sticky"), os.chmod("sticky", 0o1777)
assert as_user(1000, lambda: write("sticky/file")) == 0
assert as_user(1001, lambda: os.unlink("sticky/file")) == errno.EPERM
assert as_user(1001, lambda: os.rename("sticky/file", "sticky/other")) == errno.EPERM
assert as_user(1000, lambda: os.unlink("sticky/file")) == 0
os.mkdir("closed", 0o700)
assert as_user(1000, lambda: os.listdir("closed")) == errno.EACCES
assert as_user(1000, lambda: os._exit(os.access("closed", os.R_OK))) == 0
assert as_user(1000, lambda: os._exit(os.access("sticky", os.R_OK | os.W_OK | os.X_OK))) == 1
END
kill -TERM "$BACKGROUND_PID"
wait "$BACKGROUND_PID"
