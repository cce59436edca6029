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
from resp import Client, Error

c, slow, many = Client(), Client(), []
assert c("CONFIG", "SET", "request-timeout", 1) == b"OK"
slow.socket.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nab")
assert slow.socket.recv(1) == b"", "half a request was answered"
assert c("PING") == b"PONG"
assert c("CONFIG", "SET", "maxclients", 5) == b"OK"
for _ in range(5):   # with c one too many; which of them is not sure
    many.append(Client())
answers = []
for client in many:
    try:
        client.send(("PING",))
        answers.append(client.reply())
    except ConnectionError:
        answers.append(client.reply())
refused = [answer for answer in answers if isinstance(answer, Error)]
assert [str(answer) for answer in refused] == ["ERR max number of clients reached"], answers
assert answers.count(b"PONG") == 4, answers
END
