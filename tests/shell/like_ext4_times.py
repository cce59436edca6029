"""Which calls move which times of what: in the mount the same as on the local file system. Access times do not count.

usage: like_ext4_times.py FIRST SECOND    two empty directories"""
import errno
import os
import sys
import time

from like_ext4 import EXCHANGE, KEEP, PUNCH, ZERO, fallocate, renameat2

# Name, call (f: a descriptor of "f"), and what to look at, in a directory with f, g, a link l, and directories sub and empty.
TIMES = [
    ("write", lambda f: os.write(f, b"x"), "f"),
    ("write nothing", lambda f: os.write(f, b""), "f"),
    ("ftruncate", lambda f: os.ftruncate(f, 3), "f"),
    ("ftruncate to the same", lambda f: os.ftruncate(f, 5), "f"),
    ("truncate to the same", lambda f: os.truncate("f", 5), "f"),
    ("open with O_TRUNC", lambda f: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)), "f"),
    ("chmod", lambda f: os.chmod("f", 0o600), "f"),
    ("chmod to the same", lambda f: os.fchmod(f, 0o644), "f"),
    ("chown to nobody else", lambda f: os.chown("f", -1, -1), "f"),
    ("setxattr", lambda f: os.setxattr("f", "user.x", b"1"), "f"),
    ("setxattr of a directory", lambda f: os.setxattr("sub", "user.x", b"1"), ". sub"),
    ("utime", lambda f: os.utime("f", (5, 5)), "f"),
    ("punch", lambda f: fallocate(f, PUNCH | KEEP, 0, 3), "f"),
    ("zero", lambda f: fallocate(f, ZERO, 0, 30), "f"),
    ("zero, keep", lambda f: fallocate(f, ZERO | KEEP, 0, 30), "f"),
    ("allocate", lambda f: fallocate(f, 0, 0, 300), "f"),
    ("allocate, keep", lambda f: fallocate(f, KEEP, 0, 300), "f"),
    ("allocate what there is", lambda f: fallocate(f, 0, 0, 3), "f"),
    ("rename", lambda f: os.rename("f", "h"), ". h"),
    ("rename onto another", lambda f: os.rename("f", "g"), ". g"),
    ("rename onto itself", lambda f: os.rename("f", "f"), ". f"),
    ("rename a directory", lambda f: os.rename("sub", "h"), ". h"),
    ("exchange", lambda f: renameat2("f", "g", EXCHANGE), ". f g"),
    ("exchange with a directory", lambda f: renameat2("f", "sub", EXCHANGE), ". f sub"),
    ("move below", lambda f: os.rename("f", "sub/f"), ". sub sub/f"),
    ("unlink", lambda f: os.unlink("f"), "."),
    ("unlink nothing", lambda f: os.unlink("nothing"), "."),
    ("mkdir", lambda f: os.mkdir("new"), ". sub"),
    ("mkdir below", lambda f: os.mkdir("sub/new"), ". sub"),
    ("rmdir", lambda f: os.rmdir("empty"), "."),
    ("create", lambda f: open("new", "w").close(), "."),
    ("open what there is", lambda f: open("g", "a").close(), ". g"),
    ("symlink", lambda f: os.symlink("x", "new"), "."),
    ("mkfifo", lambda f: os.mkfifo("new"), "."),
    ("copy_file_range", lambda f: os.copy_file_range(os.open("g", os.O_RDONLY), f, 5, 0, 0), "f g"),
    ("read", lambda f: os.read(f, 3), "f"),
    ("fsync", os.fsync, "f"),
]
TICK = 0.02    # longer than a file system's clock takes to move on


def moved_times(root, call, watched):
    """What the call moves of each that is watched: m, c, or nothing."""
    os.chdir(root)
    for name in "f", "g":
        with open(name, "w") as file:
            file.write("hello")
    os.symlink("f", "l"), os.mkdir("sub"), os.mkdir("empty")
    for name in "f", "g", "sub", ".":
        os.utime(name, (1, 1))
    inodes, before = {}, {}
    for name in "f", "g", "sub", ".":
        s = os.stat(name)
        inodes[s.st_ino], before[s.st_ino] = name, s
    time.sleep(TICK)
    f = os.open("f", os.O_RDWR)
    try:
        call(f)
        result = ["done"]
    except OSError as e:
        result = [errno.errorcode[e.errno]]
    os.close(f)
    for name in watched.split():
        s = os.stat(name)
        was = before[s.st_ino]
        result.append("%s (%s): %s%s" % (name, inodes[s.st_ino], "m" if s.st_mtime_ns != was.st_mtime_ns else "",
                                         "c" if s.st_ctime_ns != was.st_ctime_ns else ""))
    return result


def compare_times(first, second):
    for i, (name, call, watched) in enumerate(TIMES):
        found = []
        for root in first, second:
            os.mkdir(os.path.join(root, str(i)))
            found.append(moved_times(os.path.join(root, str(i)), call, watched))
        if found[0] != found[1]:
            return "%s: in the mount %s, elsewhere %s" % (name, *found)
    return None


if difference := compare_times(*sys.argv[1:3]):
    sys.exit("like_ext4_times: " + difference)
