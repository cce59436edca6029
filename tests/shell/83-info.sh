#!/usr/bin/env bash
# sanitized: yes
# INFO has what tools look for, and counts what was done; CONFIG RESETSTAT begins anew.
. "$(dirname "$0")/lib.sh"
start_redis
start_server --threads 2

cat >"$TMP/info.py" <<'END'
import os
from resp import Client

# What redis-cli --stat, redis_exporter, redis-py and RedisInsight read; of what Redis says, and that there is here.
FIELDS = """redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds uptime_in_days connected_clients
    blocked_clients maxclients tracking_clients used_memory used_memory_human used_memory_rss used_memory_peak
    used_memory_peak_human used_memory_overhead used_memory_dataset used_memory_lua total_system_memory maxmemory
    maxmemory_human maxmemory_policy mem_fragmentation_ratio mem_allocator loading rdb_changes_since_last_save
    rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec
    aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec
    aof_last_bgrewrite_status aof_last_write_status total_connections_received total_commands_processed
    instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes rejected_connections evicted_keys keyspace_hits
    keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec total_error_replies role connected_slaves
    master_repl_offset master_replid used_cpu_sys used_cpu_user cluster_enabled db0""".split()

SAID = [("SET", "a", 1), ("GET", "a"), ("GET", "b"), ("MGET", "a", "b", "c"), ("STRLEN", "a"), ("EXISTS", "b"), ("INCR", "x"),
        ("APPEND", "text", "x"), ("INCR", "text"), ("GET",), ("nosuch",), ("MULTI",), ("SET", "m", 1), ("EXEC",), ("EXEC",),
        ("GETRANGE", "none", 0, 1)]
COMMANDS = ("set", "get", "mget", "strlen", "exists", "incr", "append", "multi", "exec", "getrange")


def info(client, *sections):
    lines = client("INFO", *sections).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if line and line[0] != "#")


def numbers(line):
    return {name: float(value) for name, value in (part.split("=") for part in line.split(","))}


def counted(client):
    assert client("CONFIG", "RESETSTAT") == b"OK"
    for words in SAID:
        client.send(words)
        client.reply()
    found = info(client, "everything")
    result = {name: found[name] for name in ("keyspace_hits", "keyspace_misses", "total_error_replies", "errorstat_ERR")}
    for name in COMMANDS:
        stat = numbers(found["cmdstat_" + name])
        shares = numbers(found["latency_percentiles_usec_" + name])
        assert 0 < shares["p50"] <= shares["p99"] <= shares["p99.9"], (name, shares)
        result[name] = [stat[which] for which in ("calls", "rejected_calls", "failed_calls")]
    result["processed"] = found["total_commands_processed"]
    return result


chronos, redis = Client(), Client(path=os.environ["REDIS"])
for client in (redis, chronos):
    client("SET", "key", 1)
    missing = [name for name in FIELDS if name not in info(client)]
    assert not missing, missing
here, there = counted(chronos), counted(redis)
assert here == there, "Redis: %r\nChronos: %r" % (there, here)

# From all reactors and the workers.
assert chronos("CONFIG", "RESETSTAT") == b"OK"
clients = [Client() for _ in range(16)]
for client in clients:
    for _ in range(10):
        client("ECHO", "x")
        client("DBSIZE")
found = info(chronos, "commandstats", "clients", "stats")
assert numbers(found["cmdstat_echo"])["calls"] == numbers(found["cmdstat_dbsize"])["calls"] == 160, found
assert found["connected_clients"] == "17", found
assert int(found["total_net_input_bytes"]) >= 16 * 10 * len("*1\r\n$6\r\nDBSIZE\r\n"), found
before = int(found["total_net_output_bytes"])
chronos("ECHO", "y" * 100000)
assert int(info(chronos)["total_net_output_bytes"]) >= before + 100000
END
python "$TMP/info.py"

background stdbuf -oL redis-cli -p "$PORT" --stat -i 1 >"$TMP/stat"
wait_until 30 grep -qE '^[0-9]+ +[0-9.]+[BKMG] +[0-9]+ ' "$TMP/stat"
