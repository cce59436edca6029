#!/usr/bin/env bash
# limit: 180
# A database in the mount survives the server's death: what sqlite was told is committed is there, and the file is sound.
. "$(dirname "$0")/lib.sh"
start_mounted
DB=$MNT/test.db
sql() { sqlite3 -bail -cmd '.timeout 10000' "$DB" "$@"; }

{
    echo 'CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE INDEX t_name ON t (name); BEGIN;'
    for ((i = 1; i <= 10000; i++)); do echo "INSERT INTO t VALUES ($i, 'row number $i');"; done
    echo 'COMMIT;'
} >"$TMP/fill.sql"
sql <"$TMP/fill.sql"
assert_eq "$(sql 'PRAGMA integrity_check;')" ok
assert_eq "$(sql 'SELECT count(*), sum(id) FROM t;')" '10000|50005000'

kill_server
restart_server
assert_eq "$(sql 'PRAGMA integrity_check;')" ok "integrity after kill -9"
assert_eq "$(sql 'SELECT count(*), sum(id) FROM t;')" '10000|50005000' "rows after kill -9"
assert_eq "$(sql "SELECT id FROM t WHERE name = 'row number 7777';")" 7777

# Killed while transactions are being committed: those that sqlite has reported are there, and no half of one.
for round in 1 2 3; do
    sql "CREATE TABLE IF NOT EXISTS r$round (n INTEGER);"
    (
        for ((i = 1; i <= 100000; i++)); do
            sql "BEGIN; INSERT INTO r$round VALUES ($i); INSERT INTO r$round VALUES (-$i); COMMIT;" || break
            echo $i >>"$TMP/committed.$round"
        done
    ) 2>/dev/null &
    writer=$!
    pids+=("$writer")
    wait_until 60 test -s "$TMP/committed.$round"
    sleep 1.$round
    kill_server
    wait "$writer" || true
    committed=$(tail -n 1 "$TMP/committed.$round")
    restart_server
    assert_eq "$(sql 'PRAGMA integrity_check;')" ok "integrity, round $round"
    assert_eq "$(sql "SELECT sum(n) FROM r$round;")" 0 "halves of transactions, round $round"
    found=$(sql "SELECT max(n) FROM r$round;")
    echo "round $round: $committed transactions reported, $found found"
    [ "$found" -ge "$committed" ] || fail "round $round: $committed transactions were reported, $found are there"
    [ "$found" -le $((committed + 1)) ] || fail "round $round: more transactions than were made"
done
