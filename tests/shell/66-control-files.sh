#!/usr/bin/env bash
# What lies in .chronos of a mount: figures, settings, compaction, and the log of changes.
. "$(dirname "$0")/lib.sh"
start_mounted
cd "$MNT/.chronos"
assert_eq "$(find . -type f -printf '%P\n' | sort | tr '\n' ' ')" 'compact config log metrics stats ' "the control files"
field() { sed -n "s/^$1 //p" "$2"; }

# ---- metrics: HELP and TYPE before each, a known type, and figures that follow what is done ----
cat metrics >"$TMP/metrics"
assert_eq "$(grep -cvE '^(# HELP chronos_[a-z_]+ .+|# TYPE chronos_[a-z_]+ (counter|gauge)|chronos_[a-z_]+(\{level="[0-7]"\})? [0-9]+)$' "$TMP/metrics" || true)" 0 \
    "lines of metrics that are none"
assert_eq "$(awk '/^# HELP/ { help = $3 } /^# TYPE/ { if ($3 != help) print; type = $3; if (($4 == "counter") != ($3 ~ /_total$/)) print }
    !/^#/ { split($1, n, "{"); if (n[1] != type) print; seen++ } END { if (seen < 30) print "too few" }' "$TMP/metrics")" '' "metrics out of order"
before=$(field chronos_user_written_bytes_total metrics)
redis set some value >/dev/null
after=$(field chronos_user_written_bytes_total metrics)
[ "$after" -gt "$before" ] || fail "user_written_bytes went from $before to $after by a SET"
if command -v promtool >/dev/null; then promtool check metrics <"$TMP/metrics" || fail "promtool"; fi

# ---- config ----
assert_eq "$(field mount config)" "$MNT"
assert_eq "$(field port config)" "$PORT"
assert_eq "$(field dir config)" "$DIR"
echo 'timeout 77' >config
assert_eq "$(field timeout config)" 77
assert_eq "$(redis config get timeout | tail -n 1)" 77 "over TCP"
printf 'timeout 78\nmaxclients 500\n' >config
assert_eq "$(field timeout config) $(field maxclients config)" '78 500'
refused() { printf '%s\n' "$1" >config; }
for line in 'port 1' 'timeout many' 'timeout' 'nothing 1' 'mount-cache strict' ''; do
    assert_status 1 refused "$line"
    assert_contains "$ERR" 'Invalid argument' "'$line'"
done
assert_eq "$(field timeout config)" 78 "after what was refused"
write_metrics() { echo 1 >"$MNT/.chronos/metrics"; }
if [ "$(id -u)" -eq 0 ]; then assert_status 1 write_metrics; fi

# ---- compact ----
redis debug populate 1 >/dev/null 2>&1 || true
before=$(field chronos_compactions_total metrics)
flushes=$(field chronos_flushes_total metrics)
assert_eq "$(cat compact)" 0
echo 1 >compact
compacted() { [ "$(cat compact)" = 0 ] && [ "$(field chronos_flushes_total metrics)" -gt "$flushes" ]; }
wait_until 60 compacted
compact_with() { echo "$1" >"$MNT/.chronos/compact"; }
assert_status 1 compact_with 2
assert_contains "$ERR" 'Invalid argument'

# ---- log: begins when it is first looked at; then every door is in it; cat ends, tail -f goes on ----
assert_eq "$(cut -d' ' -f2- log)" 'begin changes are recorded from here on'
redis set greeting hello >/dev/null
echo file >"$TMP/source"
cp "$TMP/source" "$MNT/file"   # one close; the shell closes twice what it redirects
redis del greeting >/dev/null
mkdir "$MNT/dir"
rmdir "$MNT/dir"
redis set $'odd\nkey\\' x >/dev/null
assert_eq "$(tail -n +2 log | cut -d' ' -f2- | tr '\n' ';')" \
    'set greeting;set file;del greeting;setdir dir;deldir dir;set odd\x0akey\\;' "the log of changes"
assert_eq "$(grep -cvE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z [a-z-]+ .+$' log || true)" 0 "lines without a time"
cp log "$TMP/copy"
cmp log "$TMP/copy"
background tail -n 1 -s 0.1 -f log >"$TMP/tail" 2>"$TMP/tail.err"
tail_pid=$BACKGROUND_PID
wait_until 20 grep -q 'odd' "$TMP/tail"
redis set followed x >/dev/null
wait_until 20 grep -q ' set followed$' "$TMP/tail"

# ---- more than is kept: readers are told, those under way too, and memory does not grow with it ----
exec 9<log
read -r -u 9 first
assert_contains "$first" ' begin '
long=$(printf '%0500d' 0)
for ((i = 0; i < 4000; i++)); do printf 'SET %s%d x\r\n' "$long" $((i % 10)); done >"$TMP/sets"
nc -N -w 30 127.0.0.1 "$PORT" <"$TMP/sets" >/dev/null
assert_contains "$(sed 1q log)" 'bytes of older changes are lost' "the first line of a log that has lost some"
cat log >"$TMP/kept"   # its size is that of all lines ever
[ "$(wc -c <"$TMP/kept")" -le 1100000 ] || fail "the log has $(wc -c <"$TMP/kept") bytes"
cat <&9 >"$TMP/rest"
exec 9<&-
assert_eq "$(grep -c 'bytes of older changes are lost' "$TMP/rest")" 1 "what a slow reader is told"
redis set afterwards x >/dev/null
wait_until 20 grep -q ' set afterwards$' "$TMP/tail"
kill "$tail_pid"
assert_eq "$(cat "$TMP/tail.err")" '' "what tail -f complains of"

# ---- without a server: the mount's settings, which cannot be changed ----
cd "$TMP"
stop_server
assert_status 0 "$CHRONOS" mount "$DIR" "$MNT" -o prefix=dir,cache=strict
config=$MNT/.chronos/config
assert_eq "$(field dir "$config") $(field mount-prefix "$config") $(field mount-cache "$config")" "$DIR dir strict"
set_timeout() { echo 'timeout 5' >"$config"; }
assert_status 1 set_timeout
cat "$MNT/.chronos/log" >/dev/null
cp "$TMP/source" "$MNT/inside"
assert_eq "$(tail -n +2 "$MNT/.chronos/log" | cut -d' ' -f2-)" 'set dir/inside'
fusermount3 -u "$MNT"
gone() { "$CHRONOS" ls --dir "$DIR"; }
wait_until 20 gone
