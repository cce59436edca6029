#!/usr/bin/env bash
# limit: 420
# A file of 1 GiB, written in blocks of 4 KiB and of 1 MiB, comes back with the same checksum, also after a restart, and the
# server's memory stays under 400 MiB.
. "$(dirname "$0")/lib.sh"
start_mounted
LIMIT_MIB=400

memory_stays_small() {
    local peak
    peak=$(server_peak_mib)
    echo "$1: the server has used $peak MiB at most"
    [ "$peak" -lt $LIMIT_MIB ] || fail "$1: the server has used $peak MiB"
}

# Bytes that cannot be compressed, the same in each run.
noise() { python3 -c '
import random, sys
block = random.Random(1).randbytes(1 << 20)
for i in range(1024):
    sys.stdout.buffer.write(i.to_bytes(8, "big") + block[8 + i * 64 % 4096:] + block[8:8 + i * 64 % 4096])'; }
noise >"$TMP/source"
[ "$(stat -c %s "$TMP/source")" -eq $((1 << 30)) ] || fail "the source is not 1 GiB"
want=$(sha256sum <"$TMP/source")

dd if="$TMP/source" of="$MNT/small-blocks" bs=4k status=none
memory_stays_small "dd with blocks of 4 KiB"
dd if="$TMP/source" of="$MNT/big-blocks" bs=1M conv=fsync status=none
memory_stays_small "dd with blocks of 1 MiB"
rm "$TMP/source"
assert_eq "$(dd if="$MNT/small-blocks" bs=1M status=none | sha256sum)" "$want" "written in 4 KiB"
assert_eq "$(dd if="$MNT/big-blocks" bs=4k status=none | sha256sum)" "$want" "written in 1 MiB, read in 4 KiB"
memory_stays_small "reading back"

restart_server
assert_eq "$(sha256sum <"$MNT/small-blocks")" "$want" "written in 4 KiB, after a restart"
assert_eq "$(sha256sum <"$MNT/big-blocks")" "$want" "written in 1 MiB, after a restart"
memory_stays_small "reading back after a restart"

# A small write in the middle changes what it should, and nothing else.
printf 'HERE' | dd of="$MNT/big-blocks" bs=1 seek=$((512 << 20)) conv=notrunc status=none
assert_eq "$(cmp -l "$MNT/small-blocks" "$MNT/big-blocks" | wc -l)" 4 "the number of bytes that differ"
truncate -s $((300 << 20)) "$MNT/small-blocks"
assert_eq "$(redis strlen small-blocks)" $((300 << 20))
rm "$MNT/small-blocks" "$MNT/big-blocks"
assert_eq "$(redis dbsize)" 0
memory_stays_small "all of it"
