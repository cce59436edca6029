#!/usr/bin/env bash
# limit: 240
# Whatever clients do, the server goes on serving others, and has its idle memory again afterwards.
. "$(dirname "$0")/lib.sh"
start_server --sync 1s --memtable 8MiB --cache 16MiB
redis config set maxclients 12000 >/dev/null
STORE_MIB=64 python "$ROOT/tests/shell/unbreakable.py" "$SERVER_PID" ${SEED:+"$SEED"}
stop_server
