#!/usr/bin/env bash
# sanitized: yes
# redis-benchmark runs clean.
. "$(dirname "$0")/lib.sh"
start_server

assert_status 0 timeout 100 redis-benchmark -p "$PORT" -t set,get -n 100000 -P 16 -r 100000 --csv
assert_eq "$ERR" '' "what redis-benchmark complains of"
assert_not_contains "${OUT,,}" error "the output of redis-benchmark"
assert_contains "$OUT" '"SET"' "the output of redis-benchmark"
assert_contains "$OUT" '"GET"' "the output of redis-benchmark"
keys=$(redis dbsize)
# 100,000 draws out of 100,000 hit 63,212 of them on average; 50,000 would be off by more than 100 standard deviations.
[ "$keys" -gt 50000 ] && [ "$keys" -le 100000 ] || fail "$keys keys after 100,000 random SETs"
assert_eq "$(redis strlen "$(redis keys 'key:00000001*' | sed -n 1p)")" 3 "the length of a value that redis-benchmark has set"
