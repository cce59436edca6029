#!/usr/bin/env bash
# sanitized: yes
# A key is a file and a file is a key, at once and byte for byte.
. "$(dirname "$0")/lib.sh"
start_mounted

assert_eq "$(redis set greeting hello)" OK
cat "$MNT/greeting" >"$TMP/got"
printf hello | cmp - "$TMP/got" || fail "cat adds to a value or takes from it"

echo world >"$MNT/greeting"
assert_eq "$(redis --no-raw get greeting)" '"world\n"'
assert_eq "$(redis strlen greeting)" 6

mkdir -p "$MNT/etc/app"
echo 1 >"$MNT/etc/app/debug"
assert_eq "$(redis --no-raw get etc/app/debug)" '"1\n"'
assert_eq "$(redis keys '*' | sort | tr '\n' ' ')" 'etc/app/debug greeting ' "directories are no keys"

redis set a/b/c deep >/dev/null
assert_eq "$(cat "$MNT/a/b/c")" deep "a key that makes directories"
assert_eq "$(find "$MNT" -type d | sed "s,^$MNT,.," | sort | tr '\n' ' ')" '. ./a ./a/b ./etc ./etc/app '
redis del a/b/c >/dev/null
[ ! -e "$MNT/a" ] || fail "a directory stays though no key lies below it and nobody made it"

rm "$MNT/greeting"
assert_eq "$(redis exists greeting)" 0 "a removed file"
assert_status 1 cat "$MNT/greeting"

printf 'GET etc/app/debug\n' | nc -q1 127.0.0.1 "$PORT" >"$TMP/got"
printf '1\n\n' | cmp - "$TMP/got" || fail "the line protocol shows another value"

restart_server
assert_eq "$(cat "$MNT/etc/app/debug")" 1 "after a restart"
