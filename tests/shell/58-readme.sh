#!/usr/bin/env bash
# README is true to the letter: its shell blocks are run, and print what it says; its C program is compiled; its links lead somewhere.
. "$(dirname "$0")/lib.sh"
need_fuse

# As in a fresh clone, but with what is built already: data and mount are made here, not in the project.
mkdir "$TMP/clone"
cd "$TMP/clone"
ln -s "$ROOT"/* "$ROOT/.ci" .
rm -f build chronos-data mnt examples
cp -r "$ROOT/examples" .   # a link would be copied as a link
ln -s "$BUILD" build
MNT=$TMP/clone/mnt
readme() { python3 "$ROOT/tests/shell/readme.py" "$1" "$ROOT/README.md" "${@:2}"; }

readme links | while read -r link; do [ -e "$ROOT/$link" ] || fail "README links to $link, which is not there"; done

grep -qx 'make run' "$ROOT/README.md" || fail "README does not say 'make run'"
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
background env PORT="$free" BUILD=build setsid make run >"$TMP/out" 2>"$LOG" </dev/null
pids+=("-$BACKGROUND_PID")
wait_until 120 grep -q "ready on 127.0.0.1:$free, mounted at mnt" "$TMP/out"
SERVER_PID=$(pgrep -f "^build/chronos serve --dir chronos-data --listen 127.0.0.1:$free ")

readme c >hello.c
[ -s hello.c ] || fail "README has no C program"
gcc -std=c11 -Wall -Wextra -Werror -fsyntax-only -Isrc hello.c
readme script "$free" >session.sh
[ "$(grep -c '^expect ' session.sh)" -ge 8 ] || fail "README shows hardly anything"
bash session.sh

# Ctrl-C
kill -INT "$SERVER_PID"
gone() { ! kill -0 "$SERVER_PID" 2>/dev/null; }
wait_until 30 gone
SERVER_PID=
! is_mounted "$MNT" || fail "still mounted after Ctrl-C"
