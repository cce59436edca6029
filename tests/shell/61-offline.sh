#!/usr/bin/env bash
# The commands that work on a data directory without a server: set, get, ls, del, stats, check.
. "$(dirname "$0")/lib.sh"
cd "$TMP"
chronos() { local command=$1; shift; "$CHRONOS" "$command" --dir "$DIR" "$@"; }
refused() { local part=$1 command=$2; shift 2; assert_refused "$part" "$CHRONOS" "$command" --dir "$DIR" "$@"; }

# ---- what only reads creates nothing ----
for words in 'get k' 'ls' 'del k' 'stats' 'check'; do
    # shellcheck disable=SC2086  # words on purpose
    refused "there is no data directory $DIR" $words
done
assert_refused "there is no data directory ./chronos-data" "$CHRONOS" get k
if [ -e "$DIR" ] || [ -e chronos-data ]; then fail "a refused command created a directory"; fi

# ---- set and get: values byte for byte ----
assert_status 0 chronos set greeting 'hello  world'
assert_eq "$OUT$ERR" '' "what set says"
assert_status 0 chronos get greeting
assert_eq "$(od -An -tx1 <"$TMP/out" | tr -d ' \n')" 68656c6c6f2020776f726c64 "a value with nothing added"
head -c 300000 /dev/urandom >bytes
chronos set random <bytes
chronos get random | cmp - bytes
chronos set random - <bytes
chronos get random | cmp - bytes
chronos set empty </dev/null
assert_status 0 chronos get empty
assert_eq "$(wc -c <"$TMP/out")" 0 "the size of an empty value"
chronos set '' 'the empty key is a key'
assert_eq "$(chronos get '')" 'the empty key is a key'
chronos set -- --dir dashes
assert_eq "$(chronos get -- --dir)" dashes
assert_status 1 chronos get nobody
assert_eq "$OUT|$ERR" "|chronos: there is no key 'nobody'"
refused "a key has at most 65535 bytes, and this one has 70000" set "$(printf '%070000d' 0)" v
assert_refused "a value has at most 512 MiB, and stdin holds more" \
    bash -c "head -c 536870913 /dev/zero | '$CHRONOS' set --dir '$DIR' big"
script -qec "'$CHRONOS' get --dir '$DIR' greeting" /dev/null | tr -d '\r' >screen
assert_eq "$(cat screen; echo .)" $'hello  world\n.' "a value on a terminal, with a newline added"

# ---- ls: in byte order, nothing that a terminal would obey ----
chronos set $'odd\n\e[31m\\' x
chronos set Größe x
chronos set $'\xff' x
assert_eq "$(chronos ls)" $'\n--dir\nGröße\nempty\ngreeting\nodd\\n\\x1b[31m\\\\\nrandom\n\\xff'
assert_eq "$(chronos ls g)" greeting "keys with a prefix"
assert_eq "$(chronos ls $'\xff')" '\xff' "a prefix that nothing can follow"
assert_eq "$(chronos ls nothing)" ''
assert_eq "$(chronos ls --long random | sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/TIME/')" \
    '-rw-r--r--     300000  TIME  never expires        random'

# ---- del: all at once, and says what was not there ----
assert_status 0 chronos del empty $'\xff'
assert_eq "$OUT$ERR" ''
assert_status 1 chronos del greeting nobody Größe
assert_eq "$ERR" "chronos: there is no key 'nobody'"
assert_eq "$(chronos ls)" $'\n--dir\nodd\\n\\x1b[31m\\\\\nrandom'

# ---- stats and check ----
assert_contains "$(chronos stats)" keys_estimate:
assert_status 0 chronos check
assert_contains "$OUT" "there is no damage"
assert_status 0 "$CHRONOS" check "$DIR"
rm "$DIR/CURRENT"
assert_status 1 "$CHRONOS" check "$DIR"
assert_contains "$OUT" CURRENT "what check found"
assert_contains "$ERR" "'chronos check --repair $DIR' saves what can be read"
assert_status 0 "$CHRONOS" check --repair "$DIR"
chronos get random | cmp - bytes

# ---- while a server runs, they say so ----
start_server
for words in 'get random' 'set random x' 'del random' 'ls' 'stats'; do
    # shellcheck disable=SC2086
    refused "$SERVER_PID" $words
    assert_contains "$ERR" "talk to it with 'chronos cli "
done
refused "$SERVER_PID" check
