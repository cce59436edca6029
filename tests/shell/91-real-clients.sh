#!/usr/bin/env bash
# limit: 180
# The clients that people use, each in its everyday uses: pools, pipelines, transactions with WATCH, channels, scans, TLS, RESP3, and a
# server that is restarted meanwhile. Those of Node come from the npm registry, as tests/clients/package-lock.json has them.
. "$(dirname "$0")/lib.sh"
CLIENTS=$BUILD/clients
mkdir -p "$CLIENTS"
if ! cmp -s "$ROOT/tests/clients/package-lock.json" "$CLIENTS/package-lock.json" || [ ! -d "$CLIENTS/node_modules" ]; then
    cp "$ROOT"/tests/clients/package.json "$CLIENTS"
    cp "$ROOT"/tests/clients/package-lock.json "$CLIENTS/package-lock.json.new"
    (cd "$CLIENTS" && cp package-lock.json.new package-lock.json && npm ci --no-audit --no-fund --ignore-scripts) >"$TMP/npm" 2>&1 || {
        rm -rf "$CLIENTS"
        cat "$TMP/npm"
        fail "npm could not fetch the clients; they come from https://registry.npmjs.org"
    }
fi
cp "$ROOT"/tests/clients/*.mjs "$CLIENTS"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_server --tls "127.0.0.1:$port" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"

run_client() {   # COMMAND ...; restarts the server when the client asks for it
    rm -f "$TMP/restart" "$TMP/restarted"
    "$@" "$PORT" "$port" "$TMP/cert.pem" "$TMP" >"$TMP/client" 2>&1 &
    local client=$! status=0
    pids+=("$client")
    while kill -0 "$client" 2>/dev/null; do
        if [ -e "$TMP/restart" ] && [ ! -e "$TMP/restarted" ]; then
            restart_server
            : >"$TMP/restarted"
        fi
        sleep 0.05
    done
    wait "$client" || status=$?
    cat "$TMP/client"
    [ $status -eq 0 ] || fail "$1 $2 ended with status $status"
    [ -e "$TMP/restarted" ] || fail "$1 $2 did not come to the restart of the server"
}

# Debian's module is for Debian's Python.
run_client /usr/bin/python3 "$ROOT/tests/clients/redis_py.py"
run_client node "$CLIENTS/node_redis.mjs"
run_client node "$CLIENTS/ioredis.mjs"

# hiredis, by redis-cli: RESP3 over TLS, and the server's pushes of what was cached.
tls=(redis-cli -3 --tls --cacert "$TMP/cert.pem" -h localhost -p "$port")
assert_eq "$("${tls[@]}" set k v)" OK
pushed=$(printf '%s\n' 'client tracking on' 'get k' 'set k w' 'get k' | "${tls[@]}" --show-pushes yes | tr '\n' ' ')
assert_contains "$pushed" 'invalidate'
assert_contains "$pushed" ' w '
