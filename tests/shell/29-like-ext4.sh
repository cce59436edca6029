#!/usr/bin/env bash
# limit: 240
# sanitized: yes
# The mount does what a local file system does: the same random calls on both, also from several processes at once, and on one file,
# mapped and not.
# LIKE_SEED and LIKE_SECONDS (30, sanitized 15) in the environment; a run that fails prints the seed to repeat it with.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -eq 0 ]; then   # then some of it is done by another user
    chmod 711 "$TMP"
    background "$CHRONOS" mount -f -o allow_other "$DIR" "$MNT" 2>>"$LOG"
    wait_until 60 is_mounted "$MNT"
else
    start_mounted
fi
LIKE_SEED=${LIKE_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
if sanitized; then default=15; else default=30; fi
LIKE_SECONDS=${LIKE_SECONDS:-$default}
echo "LIKE_SEED=$LIKE_SEED"
like() { python "$ROOT/tests/shell/like_ext4.py" "$@"; }

mkdir "$MNT/times" "$TMP/times"
python "$ROOT/tests/shell/like_ext4_times.py" "$MNT/times" "$TMP/times"
mkdir "$MNT/tree" "$TMP/tree" "$MNT/others" "$TMP/others"
like tree "$LIKE_SEED" $((LIKE_SECONDS / 3)) "$MNT/tree" "$TMP/tree"
# Several processes at once, each in a place of its own, since only then it is known what each must find.
at_once=()
for i in 1 2 3; do
    mkdir "$MNT/others/$i" "$TMP/others/$i"
    like tree $((LIKE_SEED + i)) $((LIKE_SECONDS / 3)) "$MNT/others/$i" "$TMP/others/$i" &
    at_once+=($!)
done
like file "$LIKE_SEED" $((LIKE_SECONDS / 3)) "$MNT/file" &
at_once+=($!)
for pid in "${at_once[@]}"; do wait "$pid" || fail "one of several processes at once"; done
like file $((LIKE_SEED + 1)) $((LIKE_SECONDS / 3)) "$MNT/file"

# What the kernel has not in its caches is the same
if [ -n "$SERVER_PID" ]; then
    stop_server
else
    kill -TERM "$BACKGROUND_PID"
    wait "$BACKGROUND_PID"
fi
start_mounted
like same "$MNT/tree" "$TMP/tree"
like same "$MNT/others" "$TMP/others"
# and nothing is left of what was unlinked while open.
assert_eq "$(redis --scan --pattern '.chronos*')" ''
