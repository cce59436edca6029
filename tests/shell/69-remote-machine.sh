#!/usr/bin/env bash
# limit: 120
# A mount on another machine, which is a network namespace here: over a wire that is encrypted, with a password; and the wire breaks.
. "$(dirname "$0")/lib.sh"
need_fuse
FAR=$TMP/far
mkdir "$FAR"
own_mount "$FAR"
chmod 711 "$TMP"

# The namespace and its wire are gone when this process is.
as_root unshare --net sleep 300 &
pids+=("$!")
holder=
find_holder() { holder=$(pgrep -n -f '^sleep 300$') && [ "$(as_root readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
wait_until 20 find_holder
pids+=("$holder")
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
there=("${sudo[@]}" nsenter -t "$holder" -n)
wire=chr$$ net=10.$((RANDOM % 100 + 100)).$((RANDOM % 250))
as_root ip link add "$wire" type veth peer name far0 netns "$holder"
as_root ip addr add "$net.1/24" dev "$wire"
as_root ip link set "$wire" up
"${there[@]}" ip addr add "$net.2/24" dev far0
"${there[@]}" ip link set far0 up

secret=Open-Sesame-69
printf 'someone:%s\n' "$(openssl passwd -6 "$secret")" >"$TMP/users"
printf 'someone:%s\n' "$secret" >"$TMP/auth"
chmod 600 "$TMP/users" "$TMP/auth"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$net.1" -addext "subjectAltName=IP:$net.1" \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
start_server --users "$TMP/users" --tls "$net.1:0" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem" --allow-remote
tls_port=$(sed -n 's/.*, TLS on [0-9.]*:\([0-9]*\)$/\1/p' "$TMP/ready")
redis() { redis-cli -p "$PORT" --user someone --pass "$secret" --no-auth-warning "$@"; }
redis set greeting hello >/dev/null

# Without the way there, there is no server.
assert_refused 'annot' "${there[@]}" "$CHRONOS" mount "127.0.0.1:$PORT" "$FAR"
"${there[@]}" "$CHRONOS" mount -f "$net.1:$tls_port" "$FAR" -o "allow_other,timeout=1,tls-ca=$TMP/cert.pem,auth=$TMP/auth" 2>>"$LOG" &
pids+=("$!")
wait_until 30 is_mounted "$FAR"
assert_eq "$(cat "$FAR/greeting")" hello
redis set greeting changed >/dev/null
assert_eq "$(cat "$FAR/greeting")" changed
as_root sh -c "echo written >'$FAR/there'"
assert_eq "$(redis get there)" written

# The wire breaks: changes are acknowledged all the same, after the time that the mount has to answer; the mount says EIO, and heals.
as_root ip link set "$wire" down
assert_eq "$(redis set greeting alone)" OK
assert_status 1 cat "$FAR/there"
assert_contains "$ERR" 'Input/output error'
as_root ip link set "$wire" up
wait_until 40 cat "$FAR/there"
assert_eq "$(cat "$FAR/greeting")" alone
as_root sh -c "echo again >'$FAR/there'"
assert_eq "$(redis get there)" again
as_root umount "$FAR"
