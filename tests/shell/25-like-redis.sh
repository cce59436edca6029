#!/usr/bin/env bash
# sanitized: yes
# Random commands are answered as Redis 7 answers them.
. "$(dirname "$0")/lib.sh"

command -v redis-server >/dev/null || fail "there is no redis-server to compare with; run '.ci/deps test'"
version=$(redis-server --version | sed -n 's/.* v=\([0-9]*\.[0-9]*\)\..*/\1/p')
if [ "$version" != 7.0 ]; then
    echo "not compared: the answers are those of Redis 7.0, and this is redis-server ${version:-of an unknown version}"
    exit 0
fi

background redis-server --port 0 --databases 1 --unixsocket "$TMP/redis.sock" --save '' --appendonly no --dir "$TMP" --loglevel warning
wait_until 30 redis-cli -s "$TMP/redis.sock" ping
start_server

for seed in 1 2 3 4; do
    python "$ROOT/tests/shell/like_redis.py" "$TMP/redis.sock" $seed 5000 || fail "an answer differs (seed $seed)"
done
