#!/usr/bin/env bash
# sanitized: yes
# Sparse files: terabytes of nothing take no room and no time, holes are found and punched, also in what is unwritten or unlinked.
# Big files that are unlinked and go on being written.
. "$(dirname "$0")/lib.sh"
start_mounted

# Programs that look for holes
truncate -s 400M "$MNT/sparse"
printf data | dd of="$MNT/sparse" bs=1 seek=300000000 conv=notrunc status=none
cp --sparse=always "$MNT/sparse" "$MNT/copy"
cmp "$MNT/sparse" "$MNT/copy"
fallocate -d "$MNT/copy"
fallocate -p -o 299999999 -l 2 "$MNT/copy"
assert_eq "$(dd if="$MNT/copy" bs=1 skip=299999999 count=6 status=none | od -An -c | tr -d ' ')" '\0\0ata\0'
[ "$(du -s "$DIR" | cut -f 1)" -lt 100000 ] || fail "holes take room: $(du -s "$DIR")"

python - <<'END'
import ctypes, errno, os

os.chdir(os.environ["MNT"])
libc = ctypes.CDLL(None, use_errno=True)
KEEP, PUNCH, COLLAPSE, ZERO = 1, 2, 8, 16
CHUNK, TB = 65536, 1 << 40


def fails(error, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == error, "%s%r: %s instead of %s" % (call.__name__, args, e, errno.errorcode[error])
    else:
        raise AssertionError("%s%r does not fail" % (call.__name__, args))


def fallocate(f, mode, offset, length):
    if libc.fallocate(f, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def runs(f):
    """All that is not a hole, as (from, to)."""
    found, at, size = [], 0, os.fstat(f).st_size
    while at < size:
        try:
            start = os.lseek(f, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            break
        at = os.lseek(f, start, os.SEEK_HOLE)
        found.append((start, at))
    return found


# Terabytes
f = os.open("big", os.O_CREAT | os.O_RDWR)
os.ftruncate(f, 100 * TB)
assert runs(f) == [] and os.fstat(f).st_size == 100 * TB
os.pwrite(f, b"x" * CHUNK, 50 * TB)
assert runs(f) == [(50 * TB, 50 * TB + CHUNK)]
os.fsync(f)
assert runs(f) == [(50 * TB, 50 * TB + CHUNK)]
os.pwrite(f, b"end", 100 * TB)
assert runs(f) == [(50 * TB, 50 * TB + CHUNK), (100 * TB, 100 * TB + 3)]
fallocate(f, KEEP | PUNCH, 1, 90 * TB)
assert runs(f) == [(100 * TB, 100 * TB + 3)]
assert os.pread(f, 10, 50 * TB - 5) == bytes(10) and os.pread(f, 10, 100 * TB - 1) == b"\0end"
fails(errno.EFBIG, os.ftruncate, f, 129 * TB)
fails(errno.EFBIG, os.pwrite, f, b"x", 128 * TB)
fails(errno.ENXIO, os.lseek, f, 100 * TB + 3, os.SEEK_HOLE)
fails(errno.ENXIO, os.lseek, f, 200 * TB, os.SEEK_DATA)
os.close(f)
os.unlink("big")

# fallocate in all its ways, on what is written, unwritten and unlinked
text = bytes(range(1, 201)) * 2000
for state in "unwritten", "written", "unlinked", "unlinked when written":
    f = os.open("f", os.O_CREAT | os.O_RDWR | os.O_TRUNC)
    want = bytearray(text)
    os.write(f, text)
    if state.endswith("written") and state != "unwritten":
        os.fsync(f)
    if state.startswith("unlinked"):
        os.unlink("f")

    def same():
        size = os.fstat(f).st_size
        assert size == len(want), (state, size, len(want))
        assert os.pread(f, size + 1, 0) == want, state

    for at, length in ((0, 10), (100, 1), (CHUNK - 5, 10), (2 * CHUNK, CHUNK), (200000, 150000), (399990, 1000)):
        fallocate(f, KEEP | PUNCH, at, length)
        want[at:at + length] = bytes(min(length, len(want) - at))
        same()
        os.pwrite(f, b"again", at + 2)
        want[at + 2:at + 7] = b"again"
        same()
    fallocate(f, KEEP, 0, 10 * CHUNK)
    same()
    fallocate(f, ZERO | KEEP, 399000, 5000)
    want[399000:] = bytes(len(want) - 399000)
    same()
    fallocate(f, ZERO, 399500, 5000)
    want += bytes(404500 - len(want))
    same()
    fallocate(f, 0, 0, 500000)
    want += bytes(500000 - len(want))
    same()
    fails(errno.EOPNOTSUPP, fallocate, f, COLLAPSE, 0, CHUNK)
    fails(errno.ENOSPC, fallocate, f, 0, 0, 100 * TB)
    fails(errno.EFBIG, fallocate, f, KEEP | PUNCH, 0, 1 << 48)
    same()
    os.close(f)

# copy_file_range, also within a file and beyond what one request does
size = 40 << 20
with open("from", "wb") as f:
    f.write(os.urandom(1 << 20) * 40)
a, b = os.open("from", os.O_RDWR), os.open("to", os.O_CREAT | os.O_RDWR)
os.pwrite(a, b"unwritten", 1000)
done = 0
while done < size:
    n = os.copy_file_range(a, b, size - done, done, done + 7)
    assert n > 0
    done += n
assert os.copy_file_range(a, b, 100, size, 0) == 0
assert os.pread(b, size + 10, 0) == bytes(7) + os.pread(a, size, 0)
assert os.copy_file_range(a, a, 4096, 0, 8192) == 4096
assert os.pread(a, 4096, 0) == os.pread(a, 4096, 8192)
fails(errno.EINVAL, os.copy_file_range, a, a, 4096, 0, 1)
os.close(a), os.close(b)
END

# An unlinked file may be bigger than memory should be, and leaves nothing behind, neither when it is closed nor when the server ends
before=$(server_peak_mib)
python - <<'END'
import os

os.chdir(os.environ["MNT"])
piece = os.urandom(1 << 20)
f = os.open("scratch", os.O_CREAT | os.O_RDWR)
os.unlink("scratch")
for i in range(400):
    os.pwrite(f, piece, i << 20)
for i in range(0, 400, 7):
    assert os.pread(f, 1 << 20, i << 20) == piece
os.setxattr(f, "user.x", b"1")
assert os.fstat(f).st_size == 400 << 20 and os.fstat(f).st_nlink == 0 and os.getxattr(f, "user.x") == b"1"
os.close(f)

# One that is in the store already, replaced by a rename
for name in "old", "new":
    with open(name, "wb") as f:
        f.write(name.encode() + piece * 20)
with open("old", "rb") as f:
    os.rename("new", "old")
    assert f.read(3) == b"old" and len(f.read()) == 20 << 20
    with open("old", "rb") as g:
        assert g.read(3) == b"new"
END
sanitized || [ $(($(server_peak_mib) - before)) -lt 300 ] || fail "an unlinked file took $(server_peak_mib) MiB"
assert_eq "$(redis --scan --pattern '.chronos*')" '' "what is left of unlinked files"
exec 5<>"$MNT/old"
rm "$MNT/old"
assert_contains "$(redis --scan --pattern '.chronos*')" '.chronos/unlinked/' "where an unlinked file lives"
stop_server
assert_not_contains "$(cat "$LOG")" 'fuse:' "the log of a server that ended while a file was open"
exec 5>&-
assert_eq "$("$CHRONOS" ls --dir "$DIR" .chronos 2>&1)" '' "what is left of unlinked files after the end"
