#!/usr/bin/env bash
# sanitized: yes
# Random commands are answered as Redis 7 answers them.
. "$(dirname "$0")/lib.sh"

start_redis
start_server

for seed in 1 2 3 4; do
    python "$ROOT/tests/shell/like_redis.py" "$REDIS" $seed 5000 || fail "an answer differs (seed $seed)"
done
