#!/usr/bin/env bash
# limit: 180
# git lives in the mount: clone, status, commit, fsck, gc, push.
. "$(dirname "$0")/lib.sh"
start_mounted

export HOME=$TMP GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A \
       GIT_COMMITTER_EMAIL=a@example.org
git config --global init.defaultBranch main
git config --global safe.directory '*'

# A local repository with a few commits: the sources of this project.
mkdir "$TMP/origin"
cp -r "$ROOT/src" "$ROOT/net" "$ROOT/fs" "$TMP/origin"
ln -s src/chronos.h "$TMP/origin/link"
cd "$TMP/origin"
git init -q
for folder in src net fs .; do
    git add -A "$folder"
    git commit -q -m "add $folder"
done
cd "$TMP"

git clone -q "$TMP/origin" "$MNT/clone"
diff -r --no-dereference -x .git "$TMP/origin" "$MNT/clone" || fail "the clone differs"
clone() { git -C "$MNT/clone" "$@"; }
assert_eq "$(clone status --porcelain)" '' "git status of a fresh clone"

echo change >>"$MNT/clone/src/chronos.h"
echo new >"$MNT/clone/new file"
chmod +x "$MNT/clone/new file"
assert_eq "$(clone status --porcelain)" $' M src/chronos.h\n?? "new file"' "git status after a change"
clone checkout -q -b topic
clone add -A
clone commit -q -m 'a commit in the mount'
assert_eq "$(clone status --porcelain)" '' "git status after the commit"
clone fsck --strict --no-progress || fail "git fsck"
clone checkout -q main
[ ! -e "$MNT/clone/new file" ] || fail "git checkout left a file behind"
clone -c gc.pruneExpire=now gc -q
clone fsck --full --no-progress || fail "git fsck after gc"
clone push -q origin topic
assert_eq "$(git -C "$TMP/origin" log -1 --format=%s topic)" 'a commit in the mount' "what was pushed"

kill_server
restart_server
clone fsck --full --no-progress || fail "git fsck after the server was killed"
assert_eq "$(clone log -1 --format=%s topic)" 'a commit in the mount'
assert_eq "$(clone status --porcelain)" '' "git status after the server was killed"
