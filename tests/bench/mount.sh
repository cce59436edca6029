# shellcheck shell=bash
# The mount beside what one would use instead: the disk itself (which has no requests to answer), libfuse's example passthrough_ll over
# that disk, and a FUSE file system that does nothing (bench_nullfs). Sourced by run, which has ROUNDS and FILES.

# FILE_STEPS are those of bench_files.
FILE_STEPS='create stat restat read reread list rename remove'
PLACES='mount disk pass null'

place_dir() {
    case $1 in mount) echo "$MNT" ;; disk) echo "$TMP/disk" ;; *) echo "$TMP/$1" ;; esac
}

start_places() {
    mkdir -p "$TMP"/{disk,below,pass,null}
    own_mount "$TMP/pass"
    own_mount "$TMP/null"
    local example=/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c
    # shellcheck disable=SC2046
    [ -x "$TMP/passthrough_ll" ] || gcc -O2 -w -o "$TMP/passthrough_ll" "$example" $(pkg-config --cflags --libs fuse3) ||
        fail "cannot build $example, which belongs to Debian's libfuse3-dev"
    start_mounted --sync 1s
    start_passthrough
    background "$BUILD/tests/bench/bench_nullfs" "$TMP/null"
    wait_until 10 is_mounted "$TMP/null"
}

start_passthrough() {
    background "$TMP/passthrough_ll" -f -o source="$TMP/below" "$TMP/pass"
    wait_until 10 is_mounted "$TMP/pass"
}

stop_places() {
    stop_server
    fusermount3 -u "$TMP/pass"
    fusermount3 -u "$TMP/null"
    wait
    rm -rf --one-file-system "${TMP:?}"/{disk,below,data}
}

# Nothing of the files is in memory any more, neither in the kernel's nor in the store's.
forget_all() {
    stop_server
    fusermount3 -u "$TMP/pass"
    sync
    as_root sh -c 'echo 3 >/proc/sys/vm/drop_caches'
    restart_server
    start_passthrough
}

requests() { awk '$1 == "chronos_mount_requests_total" { print $2 }' "$MNT/.chronos/metrics"; }

note() { echo "$@" >>"$TMP/rates"; }   # PLACE STEP RATE

# STEP of FILES files at PLACE. Of the mount, the requests for each file are noted too.
small_files() {   # PLACE SUBDIRECTORY STEP FILES
    local place=$1 dir before
    dir=$(place_dir "$place")/$2
    mkdir -p "$dir"
    [ "$place" != mount ] || before=$(requests)
    "$BUILD/tests/bench/bench_files" "$dir" "$4" 100 "$3"
    [ "$place" != mount ] || note requests "$3" "$(bc -l <<<"($(requests) - $before) / $4")"
}

small_files_alone() {
    local round place step
    for ((round = 0; round < ROUNDS; round++)); do
        for place in $PLACES; do
            for step in $FILE_STEPS; do
                note "$place" "$(small_files "$place" "round$round" "$step" "$FILES")"
            done
        done
        for place in mount disk; do
            note "$place" "$(small_files "$place" "synced$round" sync $((FILES / 10)))"
            "$BUILD/tests/bench/bench_files" "$(place_dir $place)/synced$round" $((FILES / 10)) 100 remove >/dev/null
        done
    done
}

two_clients() {
    local round place step dir other
    for ((round = 0; round < ROUNDS; round++)); do
        for place in mount null; do
            dir=$(place_dir $place)
            mkdir "$dir/a$round" "$dir/b$round"
            for step in create stat read remove; do
                "$BUILD/tests/bench/bench_files" "$dir/a$round" "$FILES" 100 $step >"$TMP/one" &
                other=$!
                "$BUILD/tests/bench/bench_files" "$dir/b$round" "$FILES" 100 $step >"$TMP/two"
                wait $other
                note $place "2x$step" "$(cat "$TMP/one" "$TMP/two" | awk '{ sum += $2 } END { print sum }')"
            done
        done
    done
}

cold_reads() {
    local round place
    for place in mount pass; do small_files $place cold create "$FILES" >/dev/null; done
    for ((round = 0; round < ROUNDS; round++)); do
        forget_all
        for place in mount pass; do note $place cold "$(small_files $place cold read "$FILES" | cut -d ' ' -f 2)"; done
    done
}

throughput() { dd "$@" 2>&1 | awk '/copied/ { for (i = 1; i < NF; i++) if ($i == "s,") print $1 / 1048576 / $(i - 1) }'; }

big_file() {
    local place dir
    head -c "$((BIG_MIB << 20))" /dev/urandom >"$TMP/noise"
    for place in mount pass; do
        dir=$(place_dir $place)
        note $place 'write, MiB/s' "$(throughput if="$TMP/noise" of="$dir/big" bs=1M conv=fsync)"
    done
    rm "$TMP/noise"
    forget_all
    for place in mount pass; do
        dir=$(place_dir $place)
        note $place 'read, MiB/s' "$(throughput if="$dir/big" of=/dev/null bs=1M)"
        rm "$dir/big"
    done
}

random_blocks() {
    local place step rate
    for step in randwrite randread; do
        for place in mount disk; do
            rate=$(fio --name=x --filename="$(place_dir $place)/blocks" --size=256m --bs=4k --rw=$step --fdatasync=1 --time_based \
                --runtime=5 --output-format=terse --terse-version=3 | awk -F ';' -v w=$step '{ print w == "randread" ? $8 : $49 }')
            note $place "$step, IO/s" "$rate"
        done
    done
}

seconds() {   # COMMAND ...: how long it takes
    local from
    from=$(date +%s.%N)
    "$@" >/dev/null 2>&1 || true   # grep finds nothing
    bc -l <<<"$(date +%s.%N) - $from"
}

# What a programmer does with a tree of TREE_FILES files. Noted is files per second.
source_tree() {
    local place dir step
    mkdir "$TMP/tree"
    python3 - "$TMP/tree" "$TREE_FILES" <<'END_PYTHON'
import os, random, sys
rng = random.Random(1)
words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randrange(2, 12))) for _ in range(2000)]
for i in range(int(sys.argv[2])):
    dir = "%s/d%d/e%d" % (sys.argv[1], i // 400, i // 20 % 20)
    os.makedirs(dir, exist_ok=True)
    with open("%s/f%d.c" % (dir, i), "w") as f:
        f.write(" ".join(rng.choices(words, k=rng.randrange(20, 600))))
END_PYTHON
    tar -C "$TMP" -cf "$TMP/tree.tar" tree
    for place in mount pass; do
        dir=$(place_dir $place)
        note $place untar "$(files_per_second tar -C "$dir" -xf "$TMP/tree.tar")"
        git -C "$dir/tree" init -q
        git -C "$dir/tree" add .
        git -C "$dir/tree" -c user.name=x -c user.email=x@y commit -qm all
        note $place 'git status' "$(files_per_second git -C "$dir/tree" status)"
        note $place 'grep -r' "$(files_per_second grep -r --exclude-dir=.git 'no such words' "$dir/tree")"
        rm -rf "$dir/tree/.git"
        note $place 'rm -r' "$(files_per_second rm -r "$dir/tree")"
    done
    rm -r "$TMP/tree" "$TMP/tree.tar"
}
files_per_second() { bc -l <<<"$TREE_FILES / $(seconds "$@")"; }

# How much room MANY_FILES files of 100 bytes take: on disk, and of the server's memory once all of them have been listed.
many_files() {
    local place
    for place in mount disk; do small_files $place many create "$MANY_FILES" >/dev/null; done
    small_files mount many list "$MANY_FILES" >/dev/null
    echo "memory of the server with $MANY_FILES files listed: $(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$SERVER_PID/status") MiB"
    sync
    redis compact >/dev/null
    echo "disk use of $MANY_FILES files of 100 bytes: $(du -sm "$DIR" | cut -f 1) MiB in the store, of which logs" \
        "$(du -cm "$DIR"/*.log | tail -n 1 | cut -f 1); $(du -sm "$TMP/disk/many" | cut -f 1) MiB on the disk"
}

show() {   # STEP PLACE ...: medians, one line
    local step=$1 place
    shift
    printf '%-18s' "$step"
    for place in $PLACES requests; do
        if [[ " $* " == *" $place "* ]]; then
            printf ' %10.*f' "$([ "$place" = requests ] && echo 1 || echo 0)" \
                "$(awk -v p="$place" -v s="$step" '$1 == p && index($0, p " " s " ") == 1 { print $NF }' "$TMP/rates" | median)"
        else
            printf ' %10s' -
        fi
    done
    echo
}

bench_mount() {
    local step
    echo "== the mount, the disk itself, passthrough_ll over it, and a FUSE file system that does nothing: operations (of files) per second"
    echo "   $FILES files of 100 bytes; a file of $BIG_MIB MiB; a tree of $TREE_FILES files"
    start_places
    small_files_alone
    two_clients
    cold_reads
    source_tree
    big_file
    random_blocks
    printf '%-18s %10s %10s %10s %10s %10s\n' '' mount disk passthr. nullfs requests
    for step in $FILE_STEPS; do show "$step" mount disk pass null requests; done
    show sync mount disk requests
    show cold mount pass
    for step in 2xcreate 2xstat 2xread 2xremove; do show $step mount null; done
    for step in untar 'git status' 'grep -r' 'rm -r'; do show "$step" mount pass; done
    for step in 'write, MiB/s' 'read, MiB/s'; do show "$step" mount pass; done
    for step in 'randwrite, IO/s' 'randread, IO/s'; do show "$step" mount disk; done
    many_files
    stop_places
}
