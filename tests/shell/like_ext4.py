"""The same random system calls on two directories, which must do the same: the mount, and one on the local file system.

usage: like_ext4.py tree SEED SECONDS FIRST SECOND    calls on trees, ends with comparing them
       like_ext4.py same FIRST SECOND                 only compares
       like_ext4.py file SEED SECONDS PATH            one file against what is known of it, with mappings, as fsx does

Compared are return values, errno, contents, and of metadata type, mode, owner, links and size; not what SEMANTICS.md says differs (access
times, the size and links of directories, where exactly holes begin)."""
import collections
import ctypes
import errno
import mmap
import os
import random
import stat
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
LONG = ctypes.c_long
AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2
KEEP, PUNCH, ZERO = 1, 2, 16
XATTRS = ["user.one", "user.two", "trusted.three", "security.four", "user.five"]
FDS_MAX = 12
OTHER = 1000    # root lets this user and group do some of the calls
FAR = 18 << 20    # beyond what an unlinked file may take in memory
PAGE = mmap.PAGESIZE


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def fallocate(f, mode, offset, length):
    return checked(libc.fallocate(f, mode, LONG(offset), LONG(length)))


def renameat2(a, b, flags):
    return checked(libc.renameat2(AT_FDCWD, a.encode(), AT_FDCWD, b.encode(), flags))


def pattern(rng, length):
    """Random enough to be recognized, and quick to make."""
    piece = rng.randbytes(min(length, 997))
    return (piece * (length // 997 + 1))[:length]


def metadata(s):
    seen = [oct(s.st_mode), s.st_uid, s.st_gid]
    return seen if stat.S_ISDIR(s.st_mode) else seen + [s.st_nlink, s.st_size]


def describe(path):
    """All that two directories are to have in common, as {relative path: facts}."""
    found = {}
    for dir, dirs, files in os.walk(path):
        for name in dirs + files:
            full = os.path.join(dir, name)
            s = os.lstat(full)
            facts = metadata(s)
            if stat.S_ISLNK(s.st_mode):
                facts.append(os.readlink(full))
            else:
                facts.append(sorted((x, os.getxattr(full, x)) for x in os.listxattr(full)))
            if stat.S_ISREG(s.st_mode):
                f = os.open(full, os.O_RDONLY)
                os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)    # what is read comes from the file system
                data = bytearray()
                while piece := os.pread(f, 1 << 20, len(data)):
                    data += piece
                os.close(f)
                facts.append(bytes(data))
            found[os.path.relpath(full, path)] = facts
    return found


def brief(value, length=400):
    text = repr(value)
    return text if len(text) <= length else text[:length] + "... (%d)" % len(text)


def first_difference(a, b):
    """Of two facts: where they part."""
    for x, y in zip(a, b):
        if x != y:
            if isinstance(x, bytes) and isinstance(y, bytes):
                at = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), min(len(x), len(y)))
                return "%d bytes and %d bytes, which differ at %d: %r, %r" % (len(x), len(y), at, x[at:at + 20],
                                                                            y[at:at + 20])
            return "%s, %s" % (brief(x), brief(y))
    return "%s, %s" % (brief(a), brief(b))


def compare_trees(first, second):
    a, b = describe(first), describe(second)
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            return "%s is only in %s" % (name, first if name in a else second)
        if a[name] != b[name]:
            return "%s: %s" % (name, first_difference(a[name], b[name]))
    return None


class Trees:
    def __init__(self, seed, roots):
        self.rng = random.Random(seed)
        self.roots = roots
        self.fds = []    # pairs
        self.log = collections.deque(maxlen=40)
        self.calls = collections.Counter()
        self.succeeded = collections.Counter()
        self.is_root = os.geteuid() == 0
        self.calls_at = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}

    # ---- what calls are made with ----

    def path(self):
        """Relative. There are few names, so that most exist at some time, as a file, a directory, or anything else."""
        depth = self.rng.choice((1, 1, 2, 2, 3))
        return "/".join(self.rng.choice("abcde") for _ in range(depth))

    def offset(self):
        r = self.rng.random()
        if r < 0.03:
            return self.rng.randrange(FAR)
        if r < 0.4:
            return max(0, self.rng.choice((0, 4096, 65536, 131072)) + self.rng.randrange(-3, 4))
        return self.rng.randrange(200000)

    def length(self):
        r = self.rng.random()
        if r < 0.01:
            return 9 << 20
        return self.rng.randrange(100) if r < 0.5 else self.rng.randrange(150000)

    def mode(self):
        return self.rng.choice((0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o666, 0o000))

    # ---- doing it on both sides ----

    def fail(self, what):
        print("like_ext4: the last calls:")
        for line in self.log:
            print("   ", line)
        sys.exit("like_ext4: " + what)

    def both(self, text, call):
        """call(side) on either; what they return or the errno must be the same. Returns that, or None for an error."""
        results = []
        if as_other := self.is_root and self.rng.random() < 0.3:
            text = "%s as user %d" % (text, OTHER)
        for side in (0, 1):
            if as_other:
                os.setegid(OTHER), os.seteuid(OTHER)
            try:
                results.append(("returns", call(side)))
            except OSError as e:
                results.append(("fails with", errno.errorcode[e.errno]))
            finally:
                if as_other:
                    os.seteuid(0), os.setegid(0)
        self.log.append("%s %s %s" % (text, results[1][0], brief(results[1][1], 60)))
        if results[0] != results[1]:
            self.fail("%s: in the mount it %s %s, elsewhere it %s %s" % (
                text, results[0][0], brief(results[0][1]), results[1][0], brief(results[1][1])))
        ok = results[0][0] == "returns"
        name = text.split("(")[0]
        self.calls[name] += 1
        self.succeeded[name] += ok
        return results[0][1] if ok else None

    def on_path(self, name, call):
        path = self.path()
        return self.both("%s(%s)" % (name, path), lambda side: call(os.path.join(self.roots[side], path)))

    def on_fd(self, name, call):
        if not self.fds:
            return self.do_open()
        pair = self.rng.choice(self.fds)
        result = self.both("%s(%d)" % (name, pair[0]), lambda side: call(pair[side]))
        self.both("fstat(%d)" % pair[0], lambda side: metadata(os.fstat(pair[side])))
        return result

    # ---- the calls ----

    def do_open(self):
        if len(self.fds) >= FDS_MAX:
            return self.do_close()
        flags = os.O_NONBLOCK | self.rng.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR))
        for flag, chance in ((os.O_CREAT, 0.7), (os.O_EXCL, 0.1), (os.O_TRUNC, 0.15), (os.O_APPEND, 0.2),
                             (os.O_DIRECTORY, 0.05), (os.O_NOFOLLOW, 0.1), (os.O_SYNC, 0.03)):
            if self.rng.random() < chance:
                flags |= flag
        if flags & os.O_DIRECTORY:
            flags &= ~os.O_CREAT
        path, mode, pair = self.path(), self.mode(), [None, None]

        def call(side):
            pair[side] = os.open(os.path.join(self.roots[side], path), flags, mode)

        if self.both("open(%s, %#o, %#o)" % (path, flags, mode), call) is None and pair[0] is not None:
            self.fds.append(pair)
            self.both("fstat(%d)" % pair[0], lambda side: metadata(os.fstat(pair[side])))

    def do_close(self):
        if self.fds:
            pair = self.fds.pop(self.rng.randrange(len(self.fds)))
            self.both("close(%d)" % pair[0], lambda side: os.close(pair[side]))

    def do_read(self):
        length = self.length()
        self.on_fd("read(%d bytes)" % length, lambda f: os.read(f, length))

    def do_pread(self):
        offset, length = self.offset(), self.length()
        self.on_fd("pread(%d bytes at %d)" % (length, offset), lambda f: os.pread(f, length, offset))

    def do_write(self):
        data = pattern(self.rng, self.length())
        self.on_fd("write(%d bytes)" % len(data), lambda f: os.write(f, data))

    def do_pwrite(self):
        data, offset = pattern(self.rng, self.length()), self.offset()
        self.on_fd("pwrite(%d bytes at %d)" % (len(data), offset), lambda f: os.pwrite(f, data, offset))

    def do_lseek(self):
        whence, offset = self.rng.choice((0, 1, 2)), self.offset() * self.rng.choice((1, 1, -1))

        def call(f):    # a position in a directory is the file system's own affair
            if stat.S_ISREG(os.fstat(f).st_mode):
                return os.lseek(f, offset, whence)

        self.on_fd("lseek(%d, %d)" % (offset, whence), call)

    def do_seek_data(self):
        """Where holes begin may differ; what is said to be one has to be zeroes."""
        offset, whence = self.offset(), self.rng.choice((os.SEEK_DATA, os.SEEK_HOLE))

        def call(f):
            s = os.fstat(f)
            if not stat.S_ISREG(s.st_mode):
                return None
            here = os.lseek(f, 0, os.SEEK_CUR)
            try:
                at = os.lseek(f, offset, whence)
            except OSError as e:
                if e.errno != errno.ENXIO or offset >= s.st_size:
                    raise
                at = s.st_size
            os.lseek(f, here, os.SEEK_SET)
            try:
                if whence == os.SEEK_DATA:
                    hole = os.pread(f, min(at - offset, 1 << 20), offset)
                    assert at >= offset
                else:
                    hole = os.pread(f, 1, at)
                return hole.strip(b"\0")
            except OSError as e:
                return e.errno    # open for writing only

        self.on_fd("seek_data(%d, %d)" % (offset, whence), call)

    def do_ftruncate(self):
        size = self.offset()
        self.on_fd("ftruncate(to %d)" % size, lambda f: os.ftruncate(f, size))

    def do_truncate(self):
        size = self.offset()
        self.on_path("truncate(to %d)" % size, lambda path: os.truncate(path, size))

    def do_fallocate(self):
        mode = self.rng.choice((0, KEEP, PUNCH | KEEP, PUNCH | KEEP, PUNCH, ZERO, ZERO | KEEP))
        offset, length = self.offset(), self.rng.choice((self.length(), self.length(), 0, 65536, 131072))
        self.on_fd("fallocate(mode %d, %d at %d)" % (mode, length, offset),
                   lambda f: fallocate(f, mode, offset, length))

    def do_copy_file_range(self):
        if len(self.fds) < 2:
            return self.do_open()
        a, b = self.rng.sample(self.fds, 2)
        length, off_a, off_b = self.length(), self.offset(), self.offset()
        self.both("copy_file_range(%d, %d, %d bytes, %d, %d)" % (a[0], b[0], length, off_a, off_b),
                  lambda side: os.copy_file_range(a[side], b[side], length, off_a, off_b))
        self.both("fstat(%d)" % b[0], lambda side: metadata(os.fstat(b[side])))

    def do_mmap(self):
        data, share = pattern(self.rng, self.rng.randrange(1, 20000)), self.rng.random()

        def call(f):
            size = os.fstat(f).st_size
            if size == 0 or not stat.S_ISREG(os.fstat(f).st_mode):
                return None
            at = int(share * size)
            with mmap.mmap(f, size) as m:
                part = data[:size - at]
                m[at:at + len(part)] = part
                return m[max(0, at - 100):at + len(part) + 100]

        self.on_fd("mmap", call)

    def do_fsync(self):
        call = self.rng.choice((os.fsync, os.fdatasync))
        self.on_fd("fsync", call)

    def do_unlink(self):
        self.on_path("unlink", os.unlink)

    def do_mkdir(self):
        mode = self.mode()
        self.on_path("mkdir(%#o)" % mode, lambda path: os.mkdir(path, mode))

    def do_rmdir(self):
        self.on_path("rmdir", os.rmdir)

    def do_rename(self):
        a, b, flags = self.path(), self.path(), self.rng.choice((0, 0, NOREPLACE, EXCHANGE))
        self.both("renameat2(%s, %s, %d)" % (a, b, flags),
                  lambda side: renameat2(os.path.join(self.roots[side], a), os.path.join(self.roots[side], b), flags))

    def do_symlink(self):
        target = self.path()
        self.on_path("symlink(to %s)" % target, lambda path: os.symlink(target, path))

    def do_readlink(self):
        self.on_path("readlink", os.readlink)

    def do_mknod(self):
        mode = self.mode() | self.rng.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG))
        self.on_path("mknod(%#o)" % mode, lambda path: os.mknod(path, mode))

    def do_stat(self):
        call = self.rng.choice((os.stat, os.lstat))
        self.on_path("stat", lambda path: metadata(call(path)))

    def do_access(self):
        mode = self.rng.randrange(8)
        self.on_path("access(%d)" % mode, lambda path: os.access(path, mode))

    def do_chmod(self):
        mode = self.mode()
        if self.rng.random() < 0.5:
            self.on_path("chmod(%#o)" % mode, lambda path: os.chmod(path, mode))
        else:
            self.on_fd("fchmod(%#o)" % mode, lambda f: os.fchmod(f, mode))

    def do_chown(self):
        uid, gid = self.rng.choice((0, -1, 1000)), self.rng.choice((0, -1, 50))
        if self.is_root:
            self.on_path("lchown(%d, %d)" % (uid, gid), lambda path: os.lchown(path, uid, gid))

    def do_utime(self):
        a, m = self.rng.randrange(-1 << 31, 1 << 32), self.rng.randrange(1 << 32)

        def call(path):
            os.utime(path, ns=(a * 10**9 + 1, m * 10**9 + 2))
            s = os.stat(path)
            return s.st_atime_ns, s.st_mtime_ns

        self.on_path("utime(%d, %d)" % (a, m), call)

    def do_listdir(self):
        self.on_path("listdir", lambda path: sorted(os.listdir(path)))

    def do_setxattr(self):
        name, value, flags = self.rng.choice(XATTRS), self.rng.randbytes(self.rng.randrange(50)), self.rng.randrange(3)
        if self.rng.random() < 0.5:
            self.on_path("setxattr(%s, %d)" % (name, flags),
                         lambda path: os.setxattr(path, name, value, flags, follow_symlinks=False))
        else:
            self.on_fd("fsetxattr(%s, %d)" % (name, flags), lambda f: os.setxattr(f, name, value, flags))

    def do_getxattr(self):
        name = self.rng.choice(XATTRS)
        self.on_fd("fgetxattr(%s)" % name, lambda f: os.getxattr(f, name))
        self.on_path("getxattr(%s)" % name, lambda path: os.getxattr(path, name))

    def do_listxattr(self):
        self.on_fd("flistxattr", lambda f: sorted(os.listxattr(f)))
        self.on_path("listxattr", lambda path: sorted(os.listxattr(path)))

    def do_removexattr(self):
        name = self.rng.choice(XATTRS)
        self.on_path("removexattr(%s)" % name, lambda path: os.removexattr(path, name))

    def run(self, seconds):
        os.umask(0)
        if self.is_root:
            os.setgroups([])
            for root in self.roots:
                os.chmod(root, 0o777)
        often = ["open"] * 8 + ["close"] * 4 + ["write", "pwrite", "read", "pread", "rename", "unlink", "mkdir"] * 3
        calls = sorted(self.calls_at) + often
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.calls_at[self.rng.choice(calls)]()
            count += 1
            if count % 300 == 0 and (difference := compare_trees(*self.roots)):
                self.fail(difference)
        while self.fds:
            self.do_close()
        if difference := compare_trees(*self.roots):
            self.fail(difference)
        never = sorted(name for name in self.calls if not self.succeeded[name])
        print("%d calls, of %d kinds; %d succeeded; never: %s" % (sum(self.calls.values()), len(self.calls), sum(
            self.succeeded.values()), ", ".join(never) or "none"))


class File:
    """One file against a bytearray."""

    def __init__(self, seed, path):
        self.rng = random.Random(seed)
        self.path = path
        self.want = bytearray()
        self.f = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC)
        self.log = collections.deque(maxlen=40)
        self.limit = self.rng.choice((30000, 300000, 1000000))

    def fail(self, what):
        print("like_ext4: the last calls:")
        for line in self.log:
            print("   ", line)
        sys.exit("like_ext4: " + what)

    def grow(self, size):
        if size > len(self.want):
            self.want += bytes(size - len(self.want))

    def range(self):
        offset = self.rng.randrange(self.limit)
        return offset, self.rng.randrange(1, 1 + self.rng.choice((100, 10000, self.limit)))

    def check(self, offset, found, how):
        want = bytes(self.want[offset:offset + len(found)])
        if found != want:
            at = next(i for i in range(len(found)) if i >= len(want) or found[i] != want[i])
            self.fail("%s: at %d there is %r instead of %r" % (how, offset + at, found[at:at + 16], want[at:at + 16]))

    def step(self):
        offset, length = self.range()
        kind = self.rng.choice(("read", "write", "mapped read", "mapped write", "truncate", "punch", "zero", "allocate",
                                "copy", "reopen", "fsync", "append"))
        self.log.append("%s: %d bytes at %d, of %d" % (kind, length, offset, len(self.want)))
        mapped = min(length, len(self.want) - offset)
        if kind == "read":
            found = os.pread(self.f, length, offset)
            if len(found) != max(0, min(length, len(self.want) - offset)):
                self.fail("read: %d bytes" % len(found))
            self.check(offset, found, kind)
        elif kind in ("write", "append"):
            offset = len(self.want) if kind == "append" and len(self.want) < self.limit else offset
            data = pattern(self.rng, length)
            os.pwrite(self.f, data, offset)
            self.grow(offset + length)
            self.want[offset:offset + length] = data
        elif kind.startswith("mapped"):
            if mapped <= 0:
                return
            start = offset // PAGE * PAGE
            with mmap.mmap(self.f, offset + mapped - start, offset=start) as m:
                if kind == "mapped read":
                    self.check(offset, m[offset - start:], kind)
                else:
                    data = pattern(self.rng, mapped)
                    m[offset - start:] = data
                    self.want[offset:offset + mapped] = data
                    if self.rng.random() < 0.3:
                        m.flush()
        elif kind == "truncate":
            os.ftruncate(self.f, offset)
            del self.want[offset:]
            self.grow(offset)
        elif kind in ("punch", "zero", "allocate"):
            keep = kind == "punch" or self.rng.random() < 0.5
            fallocate(self.f, {"punch": PUNCH, "zero": ZERO, "allocate": 0}[kind] | (KEEP if keep else 0), offset, length)
            if kind != "allocate" and mapped > 0:
                self.want[offset:offset + mapped] = bytes(mapped)
            if not keep:
                self.grow(offset + length)
        elif kind == "copy":
            to = self.rng.randrange(self.limit)
            if to < offset + length and offset < to + length:
                return
            n = os.copy_file_range(self.f, self.f, length, offset, to)
            if n != max(0, mapped):
                self.fail("copy_file_range: %d of %d bytes" % (n, mapped))
            part = self.want[offset:offset + n]
            if n:
                self.grow(to + n)
                self.want[to:to + n] = part
        elif kind == "reopen":
            os.close(self.f)
            self.f = os.open(self.path, os.O_RDWR)
        elif kind == "fsync":
            os.fsync(self.f)
            os.posix_fadvise(self.f, 0, 0, os.POSIX_FADV_DONTNEED)
        size = os.fstat(self.f).st_size
        if size != len(self.want):
            self.fail("%s: the size is %d instead of %d" % (kind, size, len(self.want)))

    def run(self, end):
        count = 0
        while time.monotonic() < end and count < 3000:
            self.step()
            count += 1
            if count % 100 == 0:
                self.check(0, os.pread(self.f, len(self.want), 0), "whole file")
        os.close(self.f)
        with open(self.path, "rb") as f:
            self.check(0, f.read(), "at the end")
        os.unlink(self.path)
        return count


def main():
    what = sys.argv[1]
    if what == "tree":
        Trees(int(sys.argv[2]), sys.argv[4:6]).run(float(sys.argv[3]))
    elif what == "same":
        if difference := compare_trees(*sys.argv[2:4]):
            sys.exit("like_ext4: " + difference)
    elif what == "file":
        seed, end, count, rounds = int(sys.argv[2]), time.monotonic() + float(sys.argv[3]), 0, 0
        while time.monotonic() < end:
            count += File(seed + rounds, sys.argv[4]).run(end)
            rounds += 1
        print("%d calls on %d files, with seeds from %d" % (count, rounds, seed))


if __name__ == "__main__":
    main()
