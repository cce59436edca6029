#!/usr/bin/env bash
# sanitized: yes
# TLS on a port of its own: big values, pipelines, subscribers; who does not speak it gets nothing.
. "$(dirname "$0")/lib.sh"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
openssl genrsa -out "$TMP/other.pem" 2048 2>/dev/null
with=(--tls 127.0.0.1:0 --tls-cert "$TMP/cert.pem")
assert_refused '--tls-key' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 "${with[@]}"
assert_refused 'as the key' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 "${with[@]}" --tls-key "$TMP/other.pem"
assert_refused 'as the certificate' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --tls 127.0.0.1:0 \
               --tls-cert "$TMP/key.pem" --tls-key "$TMP/key.pem"
assert_refused 'allow-remote' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --tls 0.0.0.0:0 --tls-cert "$TMP/cert.pem" \
               --tls-key "$TMP/key.pem"
[ ! -e "$DIR" ] || fail "a refused server has made its directory"
start_server "${with[@]}" --tls-key "$TMP/key.pem"
TLS_PORT=$(sed -n 's/.*, TLS on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$TMP/ready")
export TLS_PORT

assert_eq "$(redis-cli --tls --cacert "$TMP/cert.pem" -p "$TLS_PORT" set k v)" OK
assert_eq "$(redis get k)" v

python - <<'END'
import os, socket, ssl
from resp import Client, encode

context = ssl.create_default_context(cafile=os.environ["TMP"] + "/cert.pem")


class Secure(Client):
    def __init__(self):
        plain = socket.create_connection(("127.0.0.1", int(os.environ["TLS_PORT"])), 60)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.input = self.socket.makefile("rb", 1 << 16)


c = Secure()
big = os.urandom(9 << 20)
assert c("SET", "big", big) == b"OK"
assert c("GET", "big") == big
assert Client()("GET", "big") == big

# A pipeline whose replies do not fit into any buffer, read late.
requests = [("GET", "big"), ("PING",)] * 6
c.send(*requests)
for _ in range(6):
    assert c.reply() == big and c.reply() == b"PONG"

# Requests in one record and over several ones.
many = b"".join(encode(("INCR", "n")) for _ in range(5000))
c.socket.sendall(many)
for i in range(5000):
    assert c.reply() == i + 1
for i in range(len(encode(("PING",)))):
    c.socket.sendall(encode(("PING",))[i : i + 1])
assert c.reply() == b"PONG"

sub = Secure()
assert sub("SUBSCRIBE", "a") == [b"subscribe", b"a", 1]
assert c("PUBLISH", "a", "x" * 100000) == 1
assert sub.reply() == [b"message", b"a", b"x" * 100000]

assert c("QUIT") == b"OK"
assert c.socket.recv(1) == b""

# Plain text on the TLS port is not answered, and half a handshake is not waited for without end.
plain = socket.create_connection(("127.0.0.1", int(os.environ["TLS_PORT"])), 60)
plain.sendall(b"GET k\r\nGET k\r\n")
try:
    data = plain.recv(100)
except ConnectionResetError:
    data = b""
assert not data.startswith(b"$") and b"v" not in data, data
assert Client()("CONFIG", "SET", "request-timeout", 1) == b"OK"
silent = socket.create_connection(("127.0.0.1", int(os.environ["TLS_PORT"])), 60)
assert silent.recv(1) == b""
assert sub("PING") == [b"pong", b""]
END
