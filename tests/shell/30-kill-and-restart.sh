#!/usr/bin/env bash
# limit: 300
# 1,000,000 keys are loaded, and the server is killed with -9 in the middle of a second load. Started again, it opens in under
# 3 s, and every key that was acknowledged is there.
. "$(dirname "$0")/lib.sh"
KEYS=1000000
OPEN_LIMIT_MS=3000
start_server

cat >"$TMP/load.py" <<'END'
"""usage: load.py GENERATION KEYS COUNT-FILE: sets key i to its value of this generation, in order, a thousand in flight. The
number of acknowledged ones is in COUNT-FILE, always."""
import sys
from collections import deque
from resp import Client, Error, encode
from values import key, value

generation, keys, counted = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "w")
redis = Client()
acknowledged = 0
try:
    for start in range(0, keys + 1000, 500):
        if start < keys:
            redis.socket.sendall(b"".join(encode((b"SET", key(i), value(generation, i))) for i in range(start, start + 500)))
        while acknowledged < min(start - 500, keys):
            reply = redis.reply()
            assert reply == b"OK", reply
            acknowledged += 1
        counted.seek(0)
        counted.write("%d\n" % acknowledged)
        counted.flush()
except (EOFError, ConnectionError):
    # What had arrived before the server died counts as well.
    counted.seek(0)
    counted.write("%d\n" % acknowledged)
    counted.flush()
    sys.exit(3)
END
cat >"$TMP/values.py" <<'END'
def key(i):
    return b"key:%012d" % i


def value(generation, i):
    return (b"%d:%d;" % (generation, i) + b"%016x" % (i * 0x9E3779B97F4A7C15 % 2**64) * 6)[:100]
END
cat >"$TMP/verify.py" <<'END'
"""usage: verify.py KEYS ACKNOWLEDGED: below ACKNOWLEDGED each key has its value of generation 2, above that of 1 or 2."""
import sys
from resp import Client
from values import key, value

keys, acknowledged = int(sys.argv[1]), int(sys.argv[2])
redis = Client()
later = 0
for start in range(0, keys, 1000):
    found = redis("MGET", *[key(i) for i in range(start, start + 1000)])
    for i, got in enumerate(found, start):
        if got == value(2, i):
            later += i >= acknowledged
        else:
            assert i >= acknowledged, "key %d was acknowledged, and is lost: %r" % (i, got)
            assert got == value(1, i), "key %d has neither of its values: %r" % (i, got)
print("all there; of those not acknowledged, %d had been applied" % later)
END
export PYTHONPATH=$TMP
python() { PORT=$PORT PYTHONPATH=$ROOT/tests/shell:$TMP PYTHONDONTWRITEBYTECODE=1 python3 "$@"; }

python "$TMP/load.py" 1 $KEYS "$TMP/count.1"
assert_eq "$(cat "$TMP/count.1")" $KEYS "acknowledged by the first load"
assert_eq "$(redis dbsize)" $KEYS

background python "$TMP/load.py" 2 $KEYS "$TMP/count.2"
loader=$BACKGROUND_PID
half_way() { [ "$(cat "$TMP/count.2" 2>/dev/null || echo 0)" -ge $((KEYS * 4 / 10)) ]; }
wait_until 120 half_way
kill_server
status=0
wait "$loader" || status=$?
assert_eq $status 3 "the exit status of the loader whose server was killed"
acknowledged=$(cat "$TMP/count.2")
echo "killed when $acknowledged of $KEYS had been acknowledged"
[ "$acknowledged" -lt $KEYS ] || fail "the second load was over before the server was killed"

from=$(date +%s%N)
restart_server
opening=$((($(date +%s%N) - from) / 1000000))
echo "opening took $opening ms"
[ $opening -lt $OPEN_LIMIT_MS ] || fail "opening took $opening ms"
python "$TMP/verify.py" $KEYS "$acknowledged"
assert_eq "$(redis dbsize)" $KEYS "DBSIZE after the crash"

# And after a proper end.
restart_server
python "$TMP/verify.py" $KEYS "$acknowledged"
stop_server
assert_status 0 "$CHRONOS" check "$DIR"
