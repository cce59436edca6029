#!/usr/bin/env bash
# limit: 300
# Thousands of real files, symlinks included, go in and come out as they were: cp, tar and rsync.
. "$(dirname "$0")/lib.sh"
start_mounted

SOURCE=/usr/share/doc
# Slim installations have hardly any documents; then the headers and Python's library serve.
[ "$(find $SOURCE -type f | wc -l)" -ge 2000 ] || SOURCE=/usr/include
# A hard link cannot be made in the mount, as on FAT; cp -a would fail on one.
[ "$(find $SOURCE -type f -links +1 | wc -l)" -eq 0 ] || fail "there are hard links in $SOURCE"

list() {
    (cd "$1" && find . -type d -printf '%P d %m %U:%G %T@\n' -o -printf '%P %y %m %U:%G %s %T@ %l\n' | sort)
}

cp -a "$SOURCE" "$MNT/doc"
# Without following links: relative ones that lead out of the tree dangle in any copy.
diff -r --no-dereference "$SOURCE" "$MNT/doc" || fail "cp -a: the copy differs"
diff <(list "$SOURCE") <(list "$MNT/doc") | head -20 >"$TMP/list"
[ ! -s "$TMP/list" ] || fail "cp -a: types, permissions, sizes, times or links differ: $(cat "$TMP/list")"
files=$(find "$MNT/doc" -type f | wc -l)
links=$(find "$MNT/doc" -type l | wc -l)
echo "$files files, $links symlinks"
[ "$files" -ge 1000 ] && [ "$links" -ge 1 ] || fail "that was hardly a test"
assert_eq "$(redis dbsize)" $((files + links)) "DBSIZE: files and symlinks are keys, directories are not"

# The same from the disk and without any cache of the kernel's.
restart_server
diff -r --no-dereference "$SOURCE" "$MNT/doc" || fail "the copy differs after a restart"

mkdir "$TMP/elsewhere"
tar -C "$MNT" -c doc | tar -C "$TMP/elsewhere" -x
diff -r --no-dereference "$MNT/doc" "$TMP/elsewhere/doc" || fail "tar: the copy differs"

rsync -a "$SOURCE/" "$MNT/synced/"
assert_eq "$(rsync -a --itemize-changes "$SOURCE/" "$MNT/synced/")" '' "what the second rsync copied"
diff -r --no-dereference "$SOURCE" "$MNT/synced" || fail "rsync: the copy differs"
rsync -a "$MNT/synced/" "$TMP/back/"
assert_eq "$(rsync -a --itemize-changes "$MNT/synced/" "$TMP/back/")" '' "what the second rsync out of the mount copied"

rm -r "$MNT/doc" "$MNT/synced"
assert_eq "$(ls -A "$MNT")" '' "after rm -r"
assert_eq "$(redis dbsize)" 0 "DBSIZE after rm -r"
