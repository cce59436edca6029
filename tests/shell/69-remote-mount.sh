#!/usr/bin/env bash
# limit: 240
# A server's keys as files on another machine: everyday use, coherence with other doors and between two mounts, TLS and a password,
# a server that is killed and comes again, and other machines as network namespaces.
. "$(dirname "$0")/lib.sh"
need_fuse
FAR=$TMP/far OTHER=$TMP/other
mkdir "$FAR" "$OTHER"
own_mount "$FAR"
own_mount "$OTHER"

mount_far() {   # PATH ADDRESS [ARGS ...]
    local path=$1 address=$2
    shift 2
    background "$CHRONOS" mount -f "$address" "$path" "$@" 2>>"$LOG"
    wait_until 60 is_mounted "$path"
}
unmount() {   # PATH PID
    fusermount3 -u "$1" 2>/dev/null || as_root umount "$1"
    wait "$2" || fail "the process of a mount ended with status $?"
}

# ---- what cannot be mounted ----
assert_refused "is 'chronos serve' running there" "$CHRONOS" mount 127.0.0.1:1 "$FAR"
assert_refused 'timeout cannot be' "$CHRONOS" mount 127.0.0.1:1 "$FAR" -o timeout=0
assert_refused 'on this machine' "$CHRONOS" mount 127.0.0.1:1 "$FAR" -o max_size=1GiB
assert_refused 'is a directory' "$CHRONOS" mount "$TMP" "$FAR" -o tls
assert_refused 'are for' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --mount "$MNT" --mount-options tls

# ---- everyday use ----
start_mounted
redis set greeting hello >/dev/null
assert_status 0 "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR"   # goes to the background
assert_eq "$(cat "$FAR/greeting")" hello
cp -r "$ROOT/examples" "$FAR/examples"
diff -r "$ROOT/examples" "$FAR/examples"
diff -r "$ROOT/examples" "$MNT/examples"
mv "$FAR/examples" "$FAR/moved"
diff -r "$ROOT/examples" "$FAR/moved"
assert_eq "$(redis get moved/notes.c)" "$(cat "$ROOT/examples/notes.c")" "what TCP has of a file that was written from afar"
for ((i = 0; i < 300; i++)); do echo "$i" >"$FAR/moved/n$i"; done
assert_eq "$(cat "$FAR"/moved/n* | sort -n | tail -n 1) $(find "$FAR/moved" -name 'n[0-9]*' | wc -l)" '299 300'
dd if=/dev/urandom of="$TMP/big" bs=1M count=20 2>/dev/null
cp "$TMP/big" "$FAR/big"
cmp "$TMP/big" "$FAR/big"
cmp "$TMP/big" "$MNT/big"
(exec 7<>"$FAR/big"; rm "$FAR/big"; cmp "$TMP/big" /proc/self/fd/7) # open and unlinked, too big for memory
nothing_is_left() { [ -z "$(redis --scan --pattern '.chronos*')" ]; }
wait_until 30 nothing_is_left   # close returns before the kernel has told the file system of it
ln -s greeting "$FAR/link"
assert_eq "$(cat "$FAR/link" "$MNT/link")" hellohello
echo more >>"$FAR/greeting"
assert_eq "$(redis get greeting)" hellomore
truncate -s 3 "$FAR/greeting"
assert_eq "$(redis get greeting)" hel
if [ "$(id -u)" -eq 0 ]; then chown 1234 "$FAR/greeting"; assert_eq "$(stat -c %u "$MNT/greeting")" 1234; fi
assert_eq "$(stat -c '%s %a %Y' "$FAR/greeting")" "$(stat -c '%s %a %Y' "$MNT/greeting")"
assert_eq "$(ls -A "$FAR")" "$(ls -A "$MNT")" "the root"
assert_eq "$(cd "$FAR/.chronos" && echo *)" 'compact config stats'
assert_contains "$(cat "$FAR/.chronos/config")" "server 127.0.0.1:$PORT"
assert_contains "$(cat "$FAR/.chronos/stats")" keys_estimate
assert_status 1 rmdir "$FAR/moved"
rm -r "$FAR/moved"
assert_eq "$(redis countrange moved moved0)" 0
df "$FAR" >/dev/null
fusermount3 -u "$FAR" 2>/dev/null || as_root umount "$FAR"

# ---- two of them, and all doors at once ----
mount_far "$FAR" "127.0.0.1:$PORT"
far_pid=$BACKGROUND_PID
mount_far "$OTHER" "127.0.0.1:$PORT"
other_pid=$BACKGROUND_PID
FAR=$FAR OTHER=$OTHER python - <<'END'
import os
from resp import Client

far, other, near = os.environ["FAR"], os.environ["OTHER"], os.environ["MNT"]
redis = Client()
for i in range(300):
    value = b"%d " % i * (1 + i * 37 % 900)
    redis("SET", "f", value)
    for mount in far, other, near:
        with open(mount + "/f", "rb") as f:
            got = f.read()
        assert got == value, "change %d in %s: read %r... for %r..." % (i, mount, got[:40], value[:40])
        assert os.stat(mount + "/f").st_size == len(value)
for i in range(100):
    name = "d%d/new" % i
    assert not os.path.exists("%s/%s" % (far, name))
    redis("SET", name, i)
    with open("%s/%s" % (far, name)) as f:
        assert f.read() == str(i)
    redis("DEL", name)
    assert not os.path.exists("%s/%s" % (far, name)), "a deleted key is still a file"
with open(far + "/f", "rb") as f:
    for i in range(100):
        redis("SET", "f", "open %d" % i)
        f.seek(0)
        assert f.read() == b"open %d" % i, "an open file shows an old value"

# What close has returned for is what all other doors show.
for i in range(200):
    with open(far + "/back", "w") as f:
        f.write("far %d" % i)
    with open(other + "/back") as f:
        assert f.read() == "far %d" % i
    assert redis("GET", "back") == b"far %d" % i
    with open(other + "/back", "w") as f:
        f.write("other %d" % i)
    with open(far + "/back") as f:
        assert f.read() == "other %d" % i

# Both change parts of one file, and nothing is lost.
with open(far + "/both", "wb") as f:
    f.write(b"-" * 200)
for i in range(100):
    for mount, at in (far, i), (other, 100 + i):
        with open(mount + "/both", "r+b", 0) as f:
            f.seek(at)
            f.write(b"x")
assert redis("GET", "both") == b"x" * 200
END
unmount "$OTHER" "$other_pid"

# ---- the server is killed, and comes again: nothing is lost that was answered for, and what was not is written later ----
unmount "$FAR" "$far_pid"
mount_far "$FAR" "127.0.0.1:$PORT" -o timeout=30
far_pid=$BACKGROUND_PID
echo acknowledged >"$FAR/before"
cat "$FAR/greeting" >/dev/null
FAR=$FAR python - <<'END' >"$TMP/written" &
import os
for i in range(2000):
    path = "%s/w%d" % (os.environ["FAR"], i % 50)
    with open(path, "w") as f:
        f.write("%d" % i)
    print(i, flush=True)
END
writer=$!
pids+=("$writer")
for ((i = 0; i < 3; i++)); do
    sleep 0.4
    kill_server
    fusermount3 -uz "$MNT" 2>/dev/null || as_root umount -l "$MNT"
    sleep 0.3
    start_server "${server_args[@]}"
done
wait "$writer" || fail "a writer did not survive the server's restarts"
assert_eq "$(tail -n 1 "$TMP/written")" 1999
for ((i = 1950; i < 2000; i++)); do assert_eq "$(redis get "w$((i % 50))")" $i "w$((i % 50))"; done
assert_eq "$(cat "$FAR/before")" acknowledged
unmount "$FAR" "$far_pid"

# A short time-out: errors while it is away; what was written meanwhile is there when it has come again.
mount_far "$FAR" "127.0.0.1:$PORT" -o timeout=1
far_pid=$BACKGROUND_PID
printf old >"$FAR/late"
exec 8>"$FAR/late"
printf new >&8
stop_server
assert_status 1 cat "$FAR/before"
assert_contains "$ERR" 'Input/output error'
assert_status 2 ls "$FAR"
assert_status 1 sh -c "exec 8>&-; rm '$FAR/before'"
exec 8>&- || true   # says EIO, which the shell may pass on
start_server "${server_args[@]}"
is_new() { [ "$(redis get late)" = new ]; }
wait_until 30 is_new
wait_until 30 test -e "$FAR/before"
redis set greeting 'after all that' >/dev/null
assert_eq "$(cat "$FAR/greeting")" 'after all that'
unmount "$FAR" "$far_pid"

# A mount that does not answer holds writers up for 2 s at most, and sees what it has missed.
mount_far "$FAR" "127.0.0.1:$PORT"
far_pid=$BACKGROUND_PID
cat "$FAR/greeting" >/dev/null
kill -STOP "$far_pid"
assert_eq "$(redis set greeting 'while it slept')" OK
kill -CONT "$far_pid"
assert_eq "$(cat "$FAR/greeting")" 'while it slept'
unmount "$FAR" "$far_pid"

# ---- the same calls as on a local file system ----
others=()
if [ "$(id -u)" -eq 0 ]; then   # then some of it is done by another user
    chmod 711 "$TMP"
    others=(-o allow_other)
fi
mount_far "$FAR" "127.0.0.1:$PORT" "${others[@]}"
far_pid=$BACKGROUND_PID
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
echo "LIKE_SEED=$seed"
mkdir "$FAR/tree" "$TMP/tree"
python "$ROOT/tests/shell/like_ext4.py" tree "$seed" 5 "$FAR/tree" "$TMP/tree"
python "$ROOT/tests/shell/like_ext4.py" file "$seed" 3 "$FAR/file"
python "$ROOT/tests/shell/like_ext4.py" same "$MNT/tree" "$TMP/tree"
unmount "$FAR" "$far_pid"
stop_server

# ---- a password, TLS, a socket file ----
secret=Open-Sesame-68
printf 'someone:%s\nreader:%s:readonly\n' "$(openssl passwd -6 "$secret")" "$(openssl passwd -6 other)" >"$TMP/users"
chmod 600 "$TMP/users"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
start_server --users "$TMP/users" --tls 127.0.0.1:0 --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"
tls_port=$(sed -n 's/.*, TLS on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$TMP/ready")
printf 'someone:%s\n' "$secret" >"$TMP/auth"
chmod 644 "$TMP/auth"
assert_refused 'give auth=FILE' "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR"
assert_refused 'chmod 600' "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR" -o "auth=$TMP/auth"
chmod 600 "$TMP/auth"
assert_refused 'refused user' env CHRONOS_AUTH=someone:wrong "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR"
assert_refused 'not to be trusted' "$CHRONOS" mount "localhost:$tls_port" "$FAR" -o "tls,auth=$TMP/auth"
assert_refused 'TLS' timeout 20 "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR" -o "tls-ca=$TMP/cert.pem,auth=$TMP/auth"
mount_far "$FAR" "localhost:$tls_port" -o "tls-ca=$TMP/cert.pem,auth=$TMP/auth"
far_pid=$BACKGROUND_PID
assert_not_contains "$(tr '\0' ' ' <"/proc/$far_pid/cmdline")" "$secret" "the command line"
cp "$TMP/big" "$FAR/over-tls"
cmp "$TMP/big" "$FAR/over-tls"
export CHRONOS_AUTH=reader:other
mount_far "$OTHER" "127.0.0.1:$PORT"
other_pid=$BACKGROUND_PID
cmp "$TMP/big" "$OTHER/over-tls"
assert_status 1 touch "$OTHER/over-tls"
assert_contains "$ERR" 'Read-only file system'
unmount "$OTHER" "$other_pid"
unset CHRONOS_AUTH
stop_server
start_server "${server_args[@]}" # its TLS port is another one now: the mount stays without
unmount "$FAR" "$far_pid"
stop_server
assert_not_contains "$(cat "$LOG")" "$secret" "the log"

background "$CHRONOS" serve --dir "$DIR" --listen "unix:$TMP/socket" 2>>"$LOG" >/dev/null
socket_server=$BACKGROUND_PID
wait_until 30 test -S "$TMP/socket"
mount_far "$FAR" "unix:$TMP/socket" -o ro,prefix=tree
far_pid=$BACKGROUND_PID
python "$ROOT/tests/shell/like_ext4.py" same "$FAR" "$TMP/tree"
unmount "$FAR" "$far_pid"
kill -TERM "$socket_server"
wait "$socket_server"
