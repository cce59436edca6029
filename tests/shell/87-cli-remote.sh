#!/usr/bin/env bash
# `chronos cli` by TLS, and its passwords: from the environment, a file or the terminal, never on a command line.
. "$(dirname "$0")/lib.sh"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
(umask 077 && printf 'default:%s\nann:%s:readonly\n' "$(openssl passwd -6 secret)" "$(openssl passwd -6 "ann's")" >"$TMP/users")
start_server --users "$TMP/users" --tls 127.0.0.1:0 --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"
tls_port=$(sed -n 's/.*, TLS on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$TMP/ready")
cli() { "$CHRONOS" cli -p "$PORT" "$@"; }

# ---- passwords ----
printf 'secret\n' >"$TMP/password"
printf "ann's" >"$TMP/of-ann"
assert_status 1 cli get k
assert_contains "$OUT" NOAUTH
assert_eq "$(cli --password-file "$TMP/password" set k v)" OK
assert_eq "$(cli --user ann --password-file "$TMP/of-ann" get k)" v
assert_eq "$(CHRONOS_AUTH=default:wrong cli --user ann --password-file "$TMP/of-ann" acl whoami)" ann "options before the environment"
assert_eq "$(CHRONOS_AUTH=default:secret cli get k)" v
assert_refused "refused $TMP/of-ann" "$CHRONOS" cli -p "$PORT" --password-file "$TMP/of-ann" get k
assert_refused 'No such file' "$CHRONOS" cli -p "$PORT" --password-file "$TMP/nothing" get k
: >"$TMP/empty"
assert_refused 'it is empty' "$CHRONOS" cli -p "$PORT" --password-file "$TMP/empty" get k
assert_refused 'give --password-file' setsid "$CHRONOS" cli -p "$PORT" --user ann get k
{ sleep 1; printf "ann's\n"; sleep 1; } |
    TERM=vt100 script -qec "'$CHRONOS' cli -p $PORT --user ann acl whoami" /dev/null | tr -d '\r' >"$TMP/screen"
assert_eq "$(tail -n 1 "$TMP/screen")" '"ann"' "the password typed"
assert_not_contains "$(tail -n +2 "$TMP/screen")" "ann's" "what is shown of it"

# ---- TLS ----
secure() { "$CHRONOS" cli --password-file "$TMP/password" -h localhost -p "$tls_port" "$@"; }
assert_eq "$(secure --tls-ca "$TMP/cert.pem" get k)" v
assert_eq "$(SSL_CERT_FILE=$TMP/cert.pem secure --tls get k)" v
head -c 3000000 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$TMP/big"
{ printf 'set big '; cat "$TMP/big"; printf '\nget big\n'; } | secure --tls-ca "$TMP/cert.pem" | tail -n 1 | cmp - <(cat "$TMP/big"; echo) ||
    fail "6 MB come back otherwise"
assert_refused 'not to be trusted' "$CHRONOS" cli --tls -h localhost -p "$tls_port" ping
assert_refused 'not to be trusted: IP address mismatch' "$CHRONOS" cli --tls-ca "$TMP/cert.pem" -p "$tls_port" ping
assert_refused 'does not speak TLS' "$CHRONOS" cli --tls-ca "$TMP/cert.pem" -p "$PORT" ping
assert_refused 'that vouch for the server' "$CHRONOS" cli --tls-ca "$TMP/nothing" -p "$tls_port" ping
stop_server
