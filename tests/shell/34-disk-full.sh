#!/usr/bin/env bash
# limit: 240
# On a full disk writes answer an error and reads go on; nothing that was acknowledged is lost; writes resume when there is space.
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir "$TMP/disk"
truncate -s 160M "$TMP/image"
mkfs.ext4 -q -m 0 "$TMP/image"
as_root mount -o loop "$TMP/image" "$TMP/disk" ||
    fail "cannot mount a file system of its own for this test: it needs a free loop device and the right to mount"
own_mount "$TMP/disk"
as_root chown "$(id -u):$(id -g)" "$TMP/disk"
DIR=$TMP/disk/data
cat >"$TMP/disk.py" <<'END'
"""usage: disk.py fill | resume | verify. The keys that were acknowledged are listed in TMP/acknowledged."""
import os, random, sys, time
from resp import Client, Error

redis = Client()
path = os.environ["TMP"] + "/acknowledged"


def value(name):
    chance = random.Random(name)
    return chance.randbytes(chance.choice((200, 20000)))


def names():
    return open(path).read().split() if os.path.exists(path) else []


def put(name, log):
    try:
        assert redis("SET", name, value(name)) == b"OK"
    except Error as error:
        return str(error)
    log.write(name + "\n")
    log.flush()
    return None


def verify():
    for name in names():
        assert redis("GET", name) == value(name), "%s was acknowledged, and is lost" % name


if sys.argv[1] == "fill":
    first = len(names())
    with open(path, "a") as log:
        failures = 0
        for i in range(first, first + 50000):
            error = put("k%06d" % i, log)
            failures = failures + 1 if error else 0
            if error and failures == 1:
                said = error
            if failures == 100:      # it is really full: compaction makes no space either
                break
            if error:
                time.sleep(0.01)
        else:
            raise AssertionError("the disk never got full")
    print("%d keys fit; then: %s" % (len(names()), said))
    assert "space" in said.lower() or "full" in said.lower(), "the error does not say why: %s" % said
    verify()
    assert redis("PING") == b"PONG"
elif sys.argv[1] == "resume":
    end = time.monotonic() + 30
    with open(path, "a") as log:
        done = 0
        while done < 100:
            error = put("after%d-%06d" % (len(names()), done), log)
            done += not error
            assert time.monotonic() < end, "there is space, but writes still fail: %s" % error
            if error:
                time.sleep(0.1)
    verify()
else:
    verify()
    print("%d keys are there" % len(names()))
END

# With the log written as usual, and by way of mapped memory.
for mode in always none; do
    echo "sync mode: $mode"
    rm -rf "$DIR" "$TMP/acknowledged"
    fallocate -l 64M "$TMP/disk/ballast"
    start_mounted --sync $mode --memtable 4MiB --cache 8MiB
    python "$TMP/disk.py" fill
    status=0
    head -c 20000 /dev/urandom >"$MNT/file" 2>"$TMP/err" || status=$?
    [ $status -ne 0 ] || fail "a file could be written on a full disk"
    assert_contains "$(cat "$TMP/err")" 'No space left on device' "what a writer in the mount is told"
    cmp -n 20000 "$MNT/k000000" <(redis --raw get k000000) || fail "the mount cannot be read while the disk is full"

    rm "$TMP/disk/ballast"
    python "$TMP/disk.py" resume
    echo back >"$MNT/file"
    assert_eq "$(redis get file)" back "a file written after space was freed"

    # Full again, and killed: it comes back with everything, at once or as soon as there is space.
    fallocate -l 32M "$TMP/disk/ballast"
    python "$TMP/disk.py" fill
    kill_server
    fusermount3 -uz "$MNT"
    if timeout 60 "$CHRONOS" check "$DIR" >"$TMP/out" 2>&1; then :; else fail "check after the crash: $(cat "$TMP/out")"; fi
    rm -f "$TMP/disk/ballast"
    restart_server
    python "$TMP/disk.py" verify
    python "$TMP/disk.py" resume
    restart_server
    python "$TMP/disk.py" verify
    stop_server
done
