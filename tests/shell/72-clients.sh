#!/usr/bin/env bash
# sanitized: yes
# Connections are listed, closed and limited; half a request does not hold a connection for ever.
. "$(dirname "$0")/lib.sh"
start_server

background redis-cli -p "$PORT" subscribe news >"$TMP/heard"
wait_until 30 grep -q news "$TMP/heard"
assert_contains "$(redis client list)" ' flags=P db=0 sub=1 '
assert_eq "$(redis client kill type pubsub)" 1

assert_eq "$(redis config set request-timeout 1)" OK
python - <<'END'
import select
from resp import Client, Error

c, slow, many = Client(), Client(), []
assert c("CONFIG", "SET", "request-timeout", 1) == b"OK"
slow.socket.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nab")
assert slow.socket.recv(1) == b"", "half a request was answered"
assert c("PING") == b"PONG"
assert c("CONFIG", "SET", "maxclients", 5) == b"OK"
for _ in range(5):
    many.append(Client())
told = select.select([client.socket for client in many], [], [], 30)[0]   # whoever happened to be the last
assert len(told) == 1, told
refused = next(client for client in many if client.socket is told[0]).reply()
assert isinstance(refused, Error) and str(refused) == "ERR max number of clients reached", refused
END
