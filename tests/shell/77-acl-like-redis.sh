#!/usr/bin/env bash
# sanitized: yes
# Users may do what Redis 7 lets them do by the same rules, and are told the same.
. "$(dirname "$0")/lib.sh"

start_redis
echo 'user default on nopass ~* &* +@all' >"$TMP/users"
chmod 600 "$TMP/users"
start_server --users "$TMP/users"

for seed in 1 2; do
    python "$ROOT/tests/shell/like_redis_acl.py" "$REDIS" $seed || fail "something differs (seed $seed)"
done
