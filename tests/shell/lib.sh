# shellcheck shell=bash
# What the shell tests share. A test sources this first:
#
#   . "$(dirname "$0")/lib.sh"
#
# and has then: TMP (a directory of its own, removed at the end), DIR (data directory), MNT (an empty directory to mount at),
# LOG (what servers write to stderr). After start_server: PORT and SERVER_PID. The test fails with the first command that fails,
# unless its status is asked for. However it ends, what it started is killed by its process id, what it mounted is
# unmounted, and TMP is removed; if it got to its end, the server must first stop cleanly, with exit status 0.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
CHRONOS=$BUILD/chronos
READY_LIMIT=60   # seconds a server may take to start; sanitized builds are slow
STOP_LIMIT=60    # and to stop

[ -x "$CHRONOS" ] || { echo "there is no $CHRONOS; run 'make'" >&2; exit 1; }

TMP=$(mktemp -d)
DIR=$TMP/data
MNT=$TMP/mnt
LOG=$TMP/server.log
PORT=0
SERVER_PID=
server_args=()
pids=()           # of everything else that was started, see background
mounts=()         # of everything that was mounted other than at MNT, see own_mount
mkdir "$MNT"
export LC_ALL=C.UTF-8

# ---- what a test says ----

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

assert_eq() {   # ACTUAL EXPECTED [WHAT]
    [ "$1" = "$2" ] || fail "${3:-a comparison}"$'\n'"expected: $(printf '%q' "$2" | head -c 2000)"$'\n'"found:    $(
        printf '%q' "$1" | head -c 2000)"
}

assert_contains() {   # TEXT PART [WHAT]
    [[ $1 == *"$2"* ]] || fail "${3:-a text} does not contain '$2': $(head -c 2000 <<<"$1")"
}

assert_not_contains() {
    [[ $1 != *"$2"* ]] || fail "${3:-a text} contains '$2': $(head -c 2000 <<<"$1")"
}

# Runs COMMAND, whose exit status must be STATUS. Its output is in OUT, its stderr in ERR.
assert_status() {   # STATUS COMMAND ...
    local want=$1 status=0
    shift
    "$@" >"$TMP/out" 2>"$TMP/err" </dev/null || status=$?
    OUT=$(tr -d '\0' <"$TMP/out")
    ERR=$(tr -d '\0' <"$TMP/err")
    [ "$status" -eq "$want" ] || fail "exit status $status instead of $want: $*"$'\n'"$OUT"$'\n'"$ERR"
}

# COMMAND must be refused: exit status 2, nothing on stdout, one sentence on stderr that contains PART.
assert_refused() {   # PART COMMAND ...
    local part=$1
    shift
    assert_status 2 timeout 30 "$@"
    assert_eq "$OUT" '' "stdout of a refused command"
    assert_eq "$(grep -c . <<<"$ERR")" 1 "the number of lines that it takes to refuse: $ERR;"
    assert_contains "$ERR" "$part" "the sentence of refusal"
}

# Waits until COMMAND succeeds.
wait_until() {   # SECONDS COMMAND ...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# Runs COMMAND beside the test; its process id is in BACKGROUND_PID, and it is killed at the end.
background() {
    "$@" &
    BACKGROUND_PID=$!
    pids+=("$BACKGROUND_PID")
}

# The path is unmounted at the end.
own_mount() { mounts+=("$1"); }

# Runs COMMAND as root; fails with words if that cannot be.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n true 2>/dev/null || fail "this test needs root: run it as root, or allow sudo without a password"
        sudo -n "$@"
    fi
}

# ---- the server ----

# Dead mounts count too.
is_mounted() { grep -qF " $1 " /proc/self/mounts; }

need_fuse() {
    [ -e /dev/fuse ] || fail "there is no /dev/fuse here, and without it nothing can be mounted ('modprobe fuse'; in a \
container: --device /dev/fuse --cap-add SYS_ADMIN)"
}

# Starts `chronos serve` with DIR, a free port (the same as before if there was one) and ARGS, and waits until it is ready.
start_server() {   # ARGS ...
    server_args=("$@")
    : >"$TMP/ready"
    "$CHRONOS" serve --dir "$DIR" --listen "127.0.0.1:$PORT" "$@" >"$TMP/ready" 2>>"$LOG" </dev/null &
    SERVER_PID=$!
    local end=$((SECONDS + READY_LIMIT))
    until grep -q '^chronos: ready on ' "$TMP/ready"; do
        kill -0 "$SERVER_PID" 2>/dev/null || {
            local status=0
            wait "$SERVER_PID" || status=$?
            SERVER_PID=
            fail "the server ended with status $status before it was ready"
        }
        [ $SECONDS -lt $end ] || fail "the server was not ready after $READY_LIMIT s"
        sleep 0.02
    done
    PORT=$(sed -n 's/^chronos: ready on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$TMP/ready")
    [ -n "$PORT" ] || fail "the line of readiness names no port: $(cat "$TMP/ready")"
}

# The same with a mount at MNT.
start_mounted() {   # ARGS ...
    need_fuse
    start_server --mount "$MNT" "$@"
    assert_eq "$(cat "$TMP/ready")" "chronos: ready on 127.0.0.1:$PORT, mounted at $MNT" "the line of readiness"
    is_mounted "$MNT" || fail "$MNT is not mounted, though the server is ready"
}

# Ends the server as a user would: SIGTERM, exit status 0, nothing mounted any more.
stop_server() { try_to_stop || exit 1; }

try_to_stop() {
    local pid=$SERVER_PID status=0 end=$((SECONDS + STOP_LIMIT))
    kill -TERM "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do
        [ $SECONDS -lt $end ] || { echo "FAILED: no end within $STOP_LIMIT s of SIGTERM" >&2; return 1; }
        sleep 0.05
    done
    SERVER_PID=
    wait "$pid" || status=$?
    [ $status -eq 0 ] || { echo "FAILED: the server ended with status $status" >&2; return 1; }
    ! is_mounted "$MNT" || { echo "FAILED: $MNT is still mounted though the server has stopped" >&2; return 1; }
}

# Ends the server as the kernel would when it is out of memory. A mount stays behind, dead.
kill_server() {
    local pid=$SERVER_PID
    SERVER_PID=
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
}

# With the arguments that it had.
restart_server() {
    [ -z "$SERVER_PID" ] || stop_server
    start_server "${server_args[@]}"
}

# A redis-server to compare with, at the socket REDIS; ends the test if it is not the version that answers are compared with.
start_redis() {
    local version
    command -v redis-server >/dev/null || fail "there is no redis-server to compare with; run '.ci/deps test'"
    version=$(redis-server --version | sed -n 's/.* v=\([0-9]*\.[0-9]*\)\..*/\1/p')
    if [ "$version" != 7.0 ]; then
        echo "not compared: the answers are those of Redis 7.0, and this is redis-server ${version:-of an unknown version}"
        exit 0
    fi
    export REDIS=$TMP/redis.sock
    background redis-server --port 0 --databases 1 --unixsocket "$REDIS" --save '' --appendonly no --dir "$TMP" \
        --loglevel warning --enable-debug-command yes
    wait_until 30 redis-cli -s "$REDIS" ping
}

# ---- clients ----

redis() { redis-cli -p "$PORT" "$@"; }              # replies as plain text
line() { printf '%s\n' "$@" | nc -N -w 30 127.0.0.1 "$PORT"; }   # each argument a line of the line protocol

# Python with tests/shell/resp.py at hand; PORT, DIR, MNT and TMP are in the environment.
python() { PORT=$PORT DIR=$DIR MNT=$MNT TMP=$TMP PYTHONPATH=$ROOT/tests/shell PYTHONDONTWRITEBYTECODE=1 python3 "$@"; }

# Whether the program is built with a sanitizer, which needs memory of its own.
sanitized() { grep -qE '__(asan|tsan)_init' "$CHRONOS"; }

# The most memory that the server has used so far, in MiB.
server_peak_mib() { awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$SERVER_PID/status"; }

# ---- the end ----

lib_cleanup() {
    local status=$? path pid
    trap - EXIT
    set +e
    if [ $status -eq 0 ] && [ -n "$SERVER_PID" ]; then try_to_stop || status=1; fi
    for pid in $SERVER_PID "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    wait 2>/dev/null
    for path in "$MNT" "${mounts[@]}"; do
        ! is_mounted "$path" || fusermount3 -uz "$path" 2>/dev/null || as_root umount -l "$path"
    done
    if [ $status -ne 0 ] && [ -s "$LOG" ]; then
        echo "--- the server's log (end):" >&2
        tail -n 40 "$LOG" >&2
    fi
    rm -rf --one-file-system "$TMP"
    exit $status
}
trap lib_cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
