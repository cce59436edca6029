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

# Nor is it shown to those who watch the server, whichever way it is said.
PW=$secret python - <<'PY'
import os
import resp

secret = os.environ["PW"]
admin, watcher, other = resp.Client(), resp.Client(), resp.Client()
for c in (admin, watcher):
    assert c("AUTH", secret) == b"OK"
assert admin("CONFIG", "SET", "slowlog-log-slower-than", "0") == b"OK"
assert watcher("MONITOR") == b"OK"

said = [
    ["AUTH", secret + "-wrong"], ["AUTH", secret + "-name", "x"], ["AUTH", "new", secret + "-wrong"], ["AUTH", "a", secret, "c"],
    ["HELLO", "3", "AUTH", "new", secret + "-wrong"], ["HELLO", "2", "SETNAME", "x", "AUTH", "default", secret],
    ["ACL", "SETUSER", "new", ">" + secret + "-new"], ["ACL", "SETUSER", "new", "<" + secret], ["ACL", "SETUSER", "new", secret],
    ["ACL", "SETUSER", "new", "#" + secret], ["ACL", "SETUSERR", "new", ">" + secret], ["ACL", "DRYRUN", "new", "AUTH", secret],
    ["ACL", "DRYRUN", "new", "HELLO", "3", "AUTH", "new", secret], ["CONFIG", "SET", "requirepass", secret],
    ["MULTI"], ["AUTH", secret], ["ACL", "SETUSER", "new", ">" + secret], ["EXEC"],
]
replies = []
for words in said:
    try:
        replies.append(other(*words))
    except resp.Error as e:
        replies.append(str(e))
assert any(str(r).startswith("WRONGPASS") for r in replies)
assert secret not in repr(replies), replies
seen = [admin("SLOWLOG", "GET", "-1"), admin("ACL", "LOG", "100"), admin("ACL", "LIST"), admin("CLIENT", "LIST"), admin("INFO", "everything")]
assert b"(unknown)" in seen[1][-2] or any(b"(unknown)" in e for e in seen[1]), seen[1]
assert any(b"auth" == entry[3][0].lower() for entry in seen[0]), seen[0]
admin("ECHO", "the end")
while True:
    line = watcher.reply()
    seen.append(line)
    if b"the end" in line:
        break
assert len(seen) > 6, seen
assert secret not in repr(seen), [s for s in seen if secret in repr(s)]
PY
assert_not_contains "$(cat "$LOG")" "$secret" "the log"
assert_not_contains "$(cat "$TMP/users")" "$secret" "the file of users"
