#!/usr/bin/env bash
# sanitized: yes
# Subscribers of either protocol get what is published, and hear of what the mount changes.
. "$(dirname "$0")/lib.sh"
start_mounted

redis config set notify-keyspace-events KEA >/dev/null
background redis-cli -p "$PORT" psubscribe 'news' '__keyevent@0__:*' >"$TMP/heard"
wait_until 30 grep -q '__keyevent' "$TMP/heard"
mkfifo "$TMP/in"
exec 3<>"$TMP/in"
nc 127.0.0.1 "$PORT" <&3 >"$TMP/lines" &
pids+=("$!")
echo 'SUBSCRIBE news' >&3
wait_until 30 grep -q subscribe "$TMP/lines"

assert_eq "$(redis publish news hello)" 2 "the number of subscribers"
wait_until 30 grep -q hello "$TMP/heard"
wait_until 30 grep -q hello "$TMP/lines"
assert_eq "$(tail -n 3 "$TMP/lines")" $'message\nnews\nhello'

echo text >"$MNT/file"
wait_until 30 grep -q '^__keyevent@0__:set' "$TMP/heard"
mv "$MNT/file" "$MNT/moved"
wait_until 30 grep -q '^__keyevent@0__:del' "$TMP/heard"
wait_until 30 grep -q '^moved' "$TMP/heard"
exec 3>&-
