#!/usr/bin/env bash
# make install puts a program, a library, its header, pkg-config file and manual page in place, and uninstall takes them away; a
# stranger's C program builds against them, shared and static, and only chr_* is visible.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
make -s BUILD="$BUILD" DESTDIR="$TMP/root" PREFIX=/opt/chronos install >"$TMP/log" 2>&1 || fail "make install: $(cat "$TMP/log")"
want='opt/chronos/bin/chronos opt/chronos/include/chronos.h opt/chronos/lib/libchronos.a opt/chronos/lib/libchronos.so
opt/chronos/lib/libchronos.so.0 opt/chronos/lib/pkgconfig/chronos.pc opt/chronos/share/man/man1/chronos.1 sbin/mount.chronos'
# shellcheck disable=SC2086
assert_eq "$(cd "$TMP/root" && find . ! -type d -printf '%P\n' | sort)" "$(printf '%s\n' $want)" "what is installed"
assert_eq "$(readlink "$TMP/root/sbin/mount.chronos")" /opt/chronos/bin/chronos
assert_status 0 "$TMP/root/opt/chronos/bin/chronos" version

others() { grep -vE '^chr_' || true; }
assert_eq "$(nm -D --defined-only --format=posix "$TMP/root/opt/chronos/lib/libchronos.so" | cut -d' ' -f1 | others)" '' \
    "symbols of libchronos.so besides chr_*"
assert_eq "$(nm -g --defined-only --format=posix "$TMP/root/opt/chronos/lib/libchronos.a" | grep -v ':$' | cut -d' ' -f1 | others)" '' \
    "symbols of libchronos.a besides chr_*"
assert_contains "$(readelf -d "$TMP/root/opt/chronos/lib/libchronos.so")" 'soname: [libchronos.so.0]'

export PKG_CONFIG_PATH=$TMP/root/opt/chronos/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$TMP/root
assert_eq "$(pkg-config --modversion chronos)" "$("$CHRONOS" version | cut -d' ' -f2)"
# shellcheck disable=SC2046
gcc -std=c11 -Wall -Wextra -Werror -o "$TMP/shared" examples/notes.c $(pkg-config --cflags --libs chronos)
LD_LIBRARY_PATH=$TMP/root/opt/chronos/lib "$TMP/shared" "$TMP/notes" add 'from the shared library'
gcc -std=c11 -o "$TMP/static" examples/notes.c -I"$TMP/root/opt/chronos/include" "$TMP/root/opt/chronos/lib/libchronos.a" -llz4 -lzstd -pthread
assert_contains "$("$TMP/static" "$TMP/notes" list)" 'from the shared library' "what the static library reads"
echo '#include <chronos.h>' >"$TMP/cpp.cc"
echo 'int main() { return chr_status_name(CHR_OK) == nullptr; }' >>"$TMP/cpp.cc"
if command -v g++ >/dev/null; then g++ -Wall -Wextra -Werror -fsyntax-only -I"$TMP/root/opt/chronos/include" "$TMP/cpp.cc"; fi

make -s BUILD="$BUILD" DESTDIR="$TMP/root" PREFIX=/opt/chronos uninstall >"$TMP/log" 2>&1 || fail "make uninstall: $(cat "$TMP/log")"
assert_eq "$(find "$TMP/root" ! -type d)" '' "what uninstall leaves"
