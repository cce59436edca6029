#!/usr/bin/env bash
# sanitized: yes
# With --users nothing is served without a password; and the password is in no log, process list, history or file.
. "$(dirname "$0")/lib.sh"

secret=Open-Sesame-73
printf 'default:%s\nreader:%s:readonly\n' "$(openssl passwd -6 "$secret")" "$(openssl passwd -6 other)" >"$TMP/users"
chmod 644 "$TMP/users"
assert_refused 'chmod 600' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --users "$TMP/users"
assert_refused 'No such file' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --users "$TMP/nowhere"
[ ! -e "$DIR" ] || fail "a refused server has made its directory"
chmod 600 "$TMP/users"
start_server --users "$TMP/users"

assert_contains "$(redis get k)" NOAUTH
assert_contains "$(line 'SET k v')" NOAUTH
assert_eq "$(line "AUTH $secret" 'SET k v' 'GET k')" $'OK\nOK\nv'
export REDISCLI_AUTH=$secret
assert_eq "$(redis get k)" v
unset REDISCLI_AUTH
assert_eq "$(printf 'AUTH reader other\nGET k\nSET k w\n' | redis | grep . | sed 's/ .*//' | tr '\n' ' ')" 'OK v NOPERM '
printf 'AUTH default %s\nACL SETUSER new on >%s-new ~* +@all\n' "$secret" "$secret" | redis >/dev/null
export HOME=$TMP
printf 'AUTH %s\nGET k\n' "$secret" | "$CHRONOS" cli -p "$PORT" >/dev/null
restart_server
assert_eq "$(line "AUTH new $secret-new" 'GET k')" $'OK\nv'

assert_not_contains "$(cat "$LOG")" "$secret" "the log"
assert_not_contains "$(cat "$TMP/users")" "$secret" "the file of users"
assert_not_contains "$(tr '\0' ' ' <"/proc/$SERVER_PID/cmdline")" "$secret" "the command line"
assert_not_contains "$(cat "$TMP/.chronos_history" 2>/dev/null || true)" "$secret" "the history"
! grep -rq "$secret" "$DIR" || fail "the password is in the data directory"
