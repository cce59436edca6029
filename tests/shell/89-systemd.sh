#!/usr/bin/env bash
# sanitized: yes
# Several addresses; sockets that systemd passes; what the server tells it. Python plays systemd.
. "$(dirname "$0")/lib.sh"

wait_ready() { wait_until "$READY_LIMIT" grep -q '^chronos: ready on ' "$TMP/ready"; }

# ---- several addresses ----
"$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --listen "unix:$TMP/a.sock" --listen=127.0.0.1:0 >"$TMP/ready" 2>>"$LOG" </dev/null &
SERVER_PID=$!
wait_ready
read -r first second < <(sed -n "s,^chronos: ready on 127.0.0.1:\([0-9]*\)\, unix:$TMP/a.sock\, 127.0.0.1:\([0-9]*\)\$,\1 \2,p" "$TMP/ready")
[ -n "$second" ] && [ "$first" != "$second" ] || fail "the line of readiness: $(cat "$TMP/ready")"
assert_eq "$(redis-cli -p "$first" set k v)" OK
assert_eq "$(redis-cli -p "$second" get k)" v
assert_eq "$(redis-cli -s "$TMP/a.sock" get k)" v
assert_contains "$(redis-cli -p "$second" client list)" "laddr=127.0.0.1:$second "
assert_contains "$(redis-cli -s "$TMP/a.sock" client info)" "laddr=unix:$TMP/a.sock "
assert_eq "$(redis-cli -p "$second" config get port | tail -n 1)" "$first"
stop_server
[ ! -e "$TMP/a.sock" ] || fail "the socket file is still there"
many=()
for ((i = 0; i < 9; i++)); do many+=(--listen 127.0.0.1:0); done
assert_refused 'at most 8 times' "$CHRONOS" serve --dir "$DIR" "${many[@]}"
assert_refused 'allow-remote' "$CHRONOS" serve --dir "$DIR" --listen 127.0.0.1:0 --listen 0.0.0.0:0
assert_status 2 "$CHRONOS" serve --dir "$DIR" --listen "unix:$TMP/b.sock" --listen "127.0.0.1:$first" --listen "127.0.0.1:$first"
assert_contains "$ERR" 'is in use'
[ ! -e "$TMP/b.sock" ] || fail "a refused server has left its socket file"

# ---- sockets that are passed, and datagrams about how the server is ----
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
cat >"$TMP/systemd.py" <<'END_OF_PYTHON'
import atexit, os, signal, socket, ssl, sys

chronos, work, scheme = sys.argv[1:]
tcp = socket.create_server(("127.0.0.1", 0))
secure = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX)
unix.bind(work + "/passed.sock")
unix.listen()
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.settimeout(60)
name = "\0chronos-test-%d" % os.getpid() if scheme == "abstract" else work + "/notify.sock"
told.bind(name)


def become(sockets, names):
    def passing():
        for i, s in enumerate(sockets):
            os.dup2(s.fileno(), 100 + i)
        for i in range(len(sockets)):
            os.dup2(100 + i, 3 + i)  # inheritable
            os.close(100 + i)
        os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
        os.environ.update(NOTIFY_SOCKET=name.replace("\0", "@"), WATCHDOG_USEC="300000", WATCHDOG_PID=str(os.getpid()))
        os.execv(chronos, [chronos, "serve", "--dir", work + "/passed", "--tls-cert", work + "/cert.pem", "--tls-key", work + "/key.pem"])

    pid = os.fork()
    if pid == 0:
        passing()
    running.append(pid)
    return pid


running = []


def end(pid):
    running.remove(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@atexit.register
def kill_what_is_left():
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def ask(s, text):
    s.sendall(text)
    return s.makefile("rb").readline()


# A client that comes before the server is there is served by it.
early = socket.create_connection(tcp.getsockname(), 60)
early.sendall(b"PING\r\n")
pid = become([tcp, unix, secure], "plain:plain:tls")
assert told.recv(100) == b"READY=1"
assert early.makefile("rb").readline() == b"+PONG\r\n"
local = socket.socket(socket.AF_UNIX)
local.connect(work + "/passed.sock")
assert ask(local, b"SET k v\n") == b"OK\n"
context = ssl.create_default_context(cafile=work + "/cert.pem")
with context.wrap_socket(socket.create_connection(secure.getsockname(), 60), server_hostname="localhost") as s:
    assert ask(s, b"GET k\r\n") == b"$1\r\n"
for _ in range(3):
    assert told.recv(100) == b"WATCHDOG=1"
os.kill(pid, signal.SIGTERM)
last = told.recv(100)
while last == b"WATCHDOG=1":
    last = told.recv(100)
assert last == b"STOPPING=1", last
assert end(pid) == 0
assert os.path.exists(work + "/passed.sock"), "a socket that was passed belongs to systemd"

# What is no listening socket.
plain = socket.socket()
pid = become([plain], "")
assert end(pid) == 2
END_OF_PYTHON
for scheme in path abstract; do
    rm -f "$TMP/passed.sock" "$TMP/notify.sock"
    timeout 100 python3 "$TMP/systemd.py" "$CHRONOS" "$TMP" $scheme >"$TMP/said" 2>"$TMP/err" || fail "with a $scheme: $(cat "$TMP/err")"
    assert_contains "$(head -n 1 "$TMP/said")" ", unix:$TMP/passed.sock, TLS on 127.0.0.1:"
    assert_contains "$(cat "$TMP/err")" 'is no stream socket that listens'
done

# What is meant for another process is left alone, and so is a socket that nobody reads.
NOTIFY_SOCKET=$TMP/nobody LISTEN_FDS=1 LISTEN_PID=1 WATCHDOG_USEC=300000 WATCHDOG_PID=1 start_server
assert_eq "$(redis ping)" PONG
assert_contains "$(cat "$LOG")" 'systemd could not be told'
