#!/usr/bin/env bash
# `chronos mount` and mount.chronos: a process of its own, which ends when it is unmounted or told to; and the ends of a server
# that the other tests do not use.
. "$(dirname "$0")/lib.sh"
need_fuse
cd "$TMP"
holder() { tr -dc 0-9 <"$DIR/LOCK"; }   # the process that has the store, or had it last
gone() { ! kill -0 "$1" 2>/dev/null; }
unmount() { fusermount3 -u "$MNT"; }

# ---- in the background ----
assert_status 0 "$CHRONOS" mount data mnt   # relative, though the process works in /
assert_eq "$OUT$ERR" '' "what a mount that succeeds says"
is_mounted "$MNT" || fail "chronos mount returned, and nothing is mounted"
pid=$(holder)
pids+=("$pid")
echo hello >mnt/greeting
assert_eq "$(cat mnt/greeting)" hello
assert_eq "$(readlink "/proc/$pid/cwd")" / "the working directory of the mount's process"
assert_refused "$pid" "$CHRONOS" mount "$DIR" "$(mktemp -d)"
assert_refused "$pid" "$CHRONOS" get --dir "$DIR" greeting
unmount
wait_until 20 gone "$pid"
assert_eq "$("$CHRONOS" get --dir "$DIR" greeting)" hello "what was written through the mount"

# ---- read-only, as mount(8) would call it ----
ln -s "$CHRONOS" mount.chronos
before=$(cd data && sha256sum -- *)
assert_status 0 ./mount.chronos data mnt -o ro,nosuid,nodev,_netdev,x-systemd.automount
pid=$(holder)
assert_eq "$(cat mnt/greeting)" hello
if (echo no >mnt/greeting) 2>err; then fail "a read-only mount was written to"; fi
assert_contains "$(cat err)" 'Read-only file system'
unmount
wait_until 20 "$CHRONOS" get --dir "$DIR" greeting
(cd data && sha256sum --quiet -c - <<<"$(grep -v LOCK <<<"$before")") || fail "a read-only mount changed the data directory"
assert_refused "unknown mount option 'allow_others'; did you mean 'allow_other'?" ./mount.chronos data mnt -o rw,allow_others
assert_refused "unknown mount option 'sync'" ./mount.chronos data mnt -o sync
assert_refused "there is no data directory nothing" ./mount.chronos nothing mnt -o ro
assert_status 0 ./mount.chronos data mnt -f -s -o sync
if is_mounted "$MNT"; then fail "mount.chronos -f mounted"; fi
assert_refused "mounting from a running server (localhost:8080) is not available yet" "$CHRONOS" mount localhost:8080 mnt
[ ! -e localhost:8080 ] || fail "the name of a server was taken for a directory"

# ---- in the foreground ----
for signal in TERM INT HUP; do
    background env -u _ setsid "$CHRONOS" mount --foreground data mnt 2>>"$LOG"
    wait_until 20 is_mounted "$MNT"
    assert_eq "$(cat mnt/greeting)" hello
    kill "-$signal" "$(holder)"
    status=0
    wait "$BACKGROUND_PID" || status=$?
    assert_eq "$status" 0 "the exit status after SIG$signal"
    if is_mounted "$MNT"; then fail "still mounted after SIG$signal"; fi
done

# ---- a server that is unmounted from outside serves on; SHUTDOWN ends it ----
start_mounted
unmount
assert_eq "$(redis get greeting)" hello
redis shutdown >/dev/null 2>&1 || true
status=0
wait "$SERVER_PID" || status=$?
SERVER_PID=
assert_eq "$status" 0 "the exit status after SHUTDOWN"
assert_eq "$("$CHRONOS" get --dir "$DIR" greeting)" hello
