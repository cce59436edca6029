#!/usr/bin/env bash
# limit: 180
# One byte of a table is flipped. A key in that block answers an error that names file and offset, never a wrong value; the
# other keys still answer; `chronos check` exits with 1 and names it; `check --repair` saves the others.
. "$(dirname "$0")/lib.sh"
start_mounted
KEYS=2000

# Values that do not compress can be found in the file.
cat >"$TMP/keys.py" <<'END'
import random


def key(i):
    return "key/%04d" % i


def value(i):
    return random.Random(i).randbytes(1000)
END
python() { PORT=$PORT DIR=$DIR MNT=$MNT PYTHONPATH=$ROOT/tests/shell:$TMP PYTHONDONTWRITEBYTECODE=1 python3 "$@"; }

python - $KEYS <<'END'
import sys
from resp import Client
from keys import key, value
redis = Client()
assert set(redis.pipeline([("SET", key(i), value(i)) for i in range(int(sys.argv[1]))])) == {b"OK"}
END
redis compact >/dev/null
stop_server

# Flips the byte in the middle of key 1234's value, and prints file and offset.
read -r file offset < <(python - <<'END'
import glob, os
from keys import value
for name in sorted(glob.glob(os.environ["DIR"] + "/*.sst")):
    with open(name, "r+b") as table:
        at = table.read().find(value(1234)[:500])
        if at >= 0:
            at += 250
            table.seek(at)
            byte = table.read(1)[0]
            table.seek(at)
            table.write(bytes([byte ^ 0x10]))
            print(os.path.basename(name), at)
            break
END
) || fail "the value of key 1234 is in no table"
echo "flipped the byte at offset $offset of $file"

restart_server
python - $KEYS "$file" "$offset" <<'END'
import errno, os, re, sys
from resp import Client, Error
from keys import key, value
count, file, offset = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
redis, wrong, blocks = Client(), [], set()
for i in range(count):
    try:
        assert redis("GET", key(i)) == value(i), "key %d has a wrong value" % i
    except Error as error:
        wrong.append(i)
        where = re.search(r"%s\D+(\d+)" % re.escape(file), str(error))
        assert where, "the error does not name file and offset: %s" % error
        blocks.add(int(where[1]))
assert 1234 in wrong, "key 1234 is answered though its block is damaged"
assert len(blocks) == 1, "several blocks are said to be damaged: %s" % blocks
block = blocks.pop()
assert block <= offset < block + 65536, "the block is said to be at %d" % block
assert len(wrong) <= 64, "%d keys fail because of one block" % len(wrong)
print("%d keys fail, %d answer; the block begins at %d" % (len(wrong), count - len(wrong), block))
for i in wrong:
    try:
        with open("%s/%s" % (os.environ["MNT"], key(i)), "rb") as f:
            f.read()
        raise AssertionError("the mount shows key %d" % i)
    except OSError as error:
        assert error.errno == errno.EIO, error
for i in set(range(0, count, 50)) - set(wrong):
    with open("%s/%s" % (os.environ["MNT"], key(i)), "rb") as f:
        assert f.read() == value(i)
open(os.environ["DIR"] + "/../wrong", "w").write("%d\n" % len(wrong))
END
assert_eq "$(redis set new works)" OK "a write beside the damage"
stop_server

assert_status 1 "$CHRONOS" check "$DIR"
assert_contains "$OUT" "$file" "what check found"
grep -Eq "${file}[^0-9]+[0-9]+" <<<"$OUT" || fail "check names no offset: $OUT"

# A copy with any byte flipped anywhere in the table: check finds it, and no key has a wrong value.
cp -r "$DIR" "$TMP/damaged"
python - "$DIR/$file" "$offset" <<'END'
import sys
with open(sys.argv[1], "r+b") as table:
    table.seek(int(sys.argv[2]))
    byte = table.read(1)[0]
    table.seek(int(sys.argv[2]))
    table.write(bytes([byte ^ 0x10]))
END
assert_status 0 "$CHRONOS" check "$DIR"
size=$(stat -c %s "$DIR/$file")
seed=${SEED:-$RANDOM}
echo "SEED=$seed"
for at in 0 $((size - 1)) $((size - 9)) $((size - 100)) $(shuf -i 0-$((size - 1)) -n 12 --random-source=<(yes "$seed")); do
    cp "$DIR/$file" "$TMP/sound"
    python -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$DIR/$file" "$at"
    assert_status 1 "$CHRONOS" check "$DIR"
    assert_contains "$OUT" "$file" "what check found with the byte at $at flipped"
    cp "$TMP/sound" "$DIR/$file"
done
assert_status 0 "$CHRONOS" check "$DIR"

# Repair keeps what it removes, and every key that could be read.
assert_status 0 "$CHRONOS" check --repair "$TMP/damaged"
[ -n "$(ls -A "$TMP/damaged/lost")" ] || fail "check --repair kept nothing in lost/"
DIR=$TMP/damaged
start_server
python - $KEYS "$(cat "$TMP/wrong")" <<'END'
import sys
from resp import Client
from keys import key, value
count, wrong = int(sys.argv[1]), int(sys.argv[2])
found = Client()("MGET", *[key(i) for i in range(count)])
assert all(got in (None, value(i)) for i, got in enumerate(found)), "a wrong value after the repair"
assert found.count(None) <= wrong, "the repair lost %d keys, and only %d were damaged" % (found.count(None), wrong)
END
assert_eq "$(redis get new)" works "after the repair"
