/* INFO. The names are those of Redis, where there is such a thing here, since tools know them; what is only here is in the section
 * Engine. What is not known is not said, except for a few zeroes that tools cannot do without. */
#include "net/memory.h"
#include "net/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { SECONDS_A_DAY = 24 * 60 * 60 };

static void put_number(buf *b, const char *name, uint64_t n) { buf_printf(b, "%s:%" PRIu64 "\r\n", name, n); }

/* And the same for people. */
static void put_bytes(buf *b, const char *name, uint64_t bytes)
{
    char human[32];
    memory_human(bytes, human);
    buf_printf(b, "%s:%" PRIu64 "\r\n%s_human:%s\r\n", name, bytes, name, human);
}

static void info_server(request *r, buf *b)
{
    const server  *s = r->server;
    struct utsname os = { 0 };
    int64_t        now_us = store_now_ns(r->store) / 1000, up = (store_now_ms(r->store) - s->started_ms) / 1000;
    (void)uname(&os);
    buf_printf(b,
               "chronos_version:%s\r\nredis_version:7.0.0\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
               "redis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\nmultiplexing_api:epoll\r\nprocess_id:%d\r\n"
               "run_id:%s\r\ntcp_port:%s\r\nserver_time_usec:%" PRId64 "\r\nuptime_in_seconds:%" PRId64
               "\r\nuptime_in_days:%" PRId64 "\r\nreactors:%u\r\n",
               CHR_VERSION, os.sysname, os.release, os.machine, 8 * sizeof(void *), (int)getpid(), s->run_id,
               server_port(s), now_us, up, up / SECONDS_A_DAY, s->n_reactors);
    if (s->options.mount_point) buf_printf(b, "mount_point:%s\r\n", s->options.mount_point);
}

static void info_clients(request *r, buf *b)
{
    put_number(b, "connected_clients", r->server->clients);
    put_number(b, "cluster_connections", 0);
    put_number(b, "maxclients", r->server->settings.max_clients);
    put_number(b, "blocked_clients", 0);
    put_number(b, "tracking_clients", r->server->tracking.count);
    put_number(b, "monitor_clients", r->server->monitors.count);
    put_number(b, "rejected_connections", r->server->rejected);
}

static void info_memory(request *r, buf *b)
{
    memory_use use = memory_now();
    chr_stats  s;
    chr_get_stats(r->store, &s);
    uint64_t data = s.memtable_bytes + s.cache_bytes;
    put_bytes(b, "used_memory", use.allocated);
    put_bytes(b, "used_memory_rss", use.resident);
    put_bytes(b, "used_memory_peak", use.peak);
    put_number(b, "used_memory_dataset", data);
    put_number(b, "used_memory_overhead", use.allocated > data ? use.allocated - data : 0);
    put_number(b, "used_memory_lua", 0);
    put_bytes(b, "total_system_memory", use.machine);
    put_bytes(b, "maxmemory", 0);
    buf_printf(b, "maxmemory_policy:noeviction\r\nmem_fragmentation_ratio:%.2f\r\nmem_allocator:libc\r\n",
               use.allocated ? (double)use.resident / (double)use.allocated : 1.0);
}

static void info_persistence(request *r, buf *b)
{
    chr_status  st = db_failure(store_db(r->store));
    const char *status = st == CHR_OK ? "ok" : "err";
    buf_printf(
        b,
        "loading:0\r\nasync_loading:0\r\nread_only:%d\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
        "rdb_last_save_time:%" PRId64 "\r\nrdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\n"
        "rdb_current_bgsave_time_sec:-1\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n"
        "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\n"
        "aof_last_write_status:%s\r\n",
        st != CHR_OK, r->server->saved_ms / 1000, status);
    if (st != CHR_OK) buf_printf(b, "failure:%s\r\n", chr_message());
}

static void info_stats(request *r, buf *b)
{
    server         *s = r->server;
    const tracking *t = &s->tracking;
    put_number(b, "total_connections_received", s->connections);
    put_number(b, "total_commands_processed", calls_sum(s));
    put_number(b, "instantaneous_ops_per_sec", calls_per_second(s));
    put_number(b, "total_net_input_bytes", calls_total_of(s, TOTAL_IN));
    put_number(b, "total_net_output_bytes", calls_total_of(s, TOTAL_OUT));
    put_number(b, "rejected_connections", s->rejected);
    put_number(b, "sync_full", 0);
    put_number(b, "sync_partial_ok", 0);
    put_number(b, "sync_partial_err", 0);
    put_number(b, "evicted_keys", 0);
    put_number(b, "keyspace_hits", calls_total_of(s, TOTAL_HITS));
    put_number(b, "keyspace_misses", calls_total_of(s, TOTAL_MISSES));
    put_number(b, "pubsub_channels", s->pubsub.counts[TOPIC_CHANNEL]);
    put_number(b, "pubsub_patterns", s->pubsub.counts[TOPIC_PATTERN]);
    put_number(b, "latest_fork_usec", 0);
    put_number(b, "tracking_total_keys", t->keys);
    put_number(b, "tracking_total_items", t->readers);
    put_number(b, "tracking_total_prefixes", t->prefixes);
    put_number(b, "total_error_replies", calls_errors(s));
}

static void info_replication(request *r, buf *b)
{
    buf_printf(b,
               "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:%s\r\n"
               "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\n"
               "repl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n",
               r->server->run_id);
}

static void info_cpu(request *r, buf *b)
{
    struct rusage own = { 0 };
    (void)r;
    (void)getrusage(RUSAGE_SELF, &own);
    buf_printf(b,
               "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\nused_cpu_sys_children:0.000000\r\n"
               "used_cpu_user_children:0.000000\r\n",
               (long)own.ru_stime.tv_sec, (long)own.ru_stime.tv_usec, (long)own.ru_utime.tv_sec,
               (long)own.ru_utime.tv_usec);
}

static void info_engine(request *r, buf *b)
{
    buf text = { 0 };
    if (chr_property(r->store, "stats", &text) == CHR_OK)
        for (size_t i = 0; i < text.len; i++) {
            if (text.data[i] == '\n') buf_append_byte(b, '\r');
            buf_append_byte(b, (uint8_t)text.data[i]);
        }
    chr_buf_free(&text);
}

static void info_commandstats(request *r, buf *b)
{
    for (size_t i = 0; i < command_count; i++) {
        call_stats of = calls_of(r->server, &command_table[i]);
        uint64_t   n = calls_total(&of);
        if (!n && !of.rejected) continue;
        buf_printf(b,
                   "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=%" PRIu64
                   ",failed_calls=%" PRIu64 "\r\n",
                   command_table[i].name, n, of.ns / 1000, n ? (double)of.ns / 1000 / (double)n : 0.0,
                   (uint64_t)of.rejected, (uint64_t)of.failed);
    }
}

static double share_us(const call_stats *of, double share) { return (double)calls_share_ns(of, share) / 1000; }

static void info_latencystats(request *r, buf *b)
{
    for (size_t i = 0; i < command_count; i++) {
        call_stats of = calls_of(r->server, &command_table[i]);
        if (!calls_total(&of)) continue;
        buf_printf(b, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n", command_table[i].name,
                   share_us(&of, 0.5), share_us(&of, 0.99), share_us(&of, 0.999));
    }
}

static void put_error(void *arg, const error_count *e)
{
    buf_printf(arg, "errorstat_%s:count=%" PRIu64 "\r\n", e->code, e->count);
}
static void info_errorstats(request *r, buf *b) { calls_each_error(r->server, put_error, b); }

static void info_cluster(request *r, buf *b)
{
    (void)r;
    put_number(b, "cluster_enabled", 0);
}

/* Counting would take long; see DBSIZE. */
static void info_keyspace(request *r, buf *b)
{
    chr_stats s;
    chr_get_stats(r->store, &s);
    if (s.keys_estimate) buf_printf(b, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", s.keys_estimate);
}

typedef struct section {
    const char *name, *title;
    void (*print)(request *, buf *);
    bool usual;
} section;

static const section sections[] = {
    { "server", "Server", info_server, true },
    { "clients", "Clients", info_clients, true },
    { "memory", "Memory", info_memory, true },
    { "persistence", "Persistence", info_persistence, true },
    { "stats", "Stats", info_stats, true },
    { "replication", "Replication", info_replication, true },
    { "cpu", "CPU", info_cpu, true },
    { "engine", "Engine", info_engine, true },
    { "commandstats", "Commandstats", info_commandstats, false },
    { "errorstats", "Errorstats", info_errorstats, true },
    { "latencystats", "Latencystats", info_latencystats, false },
    { "cluster", "Cluster", info_cluster, true },
    { "keyspace", "Keyspace", info_keyspace, true },
};

static bool is_wanted(const request *r, const section *s)
{
    if (r->n == 1) return s->usual;
    for (size_t i = 1; i < r->n; i++)
        if (argument_is(r->args[i], s->name) || argument_is(r->args[i], "all") ||
            argument_is(r->args[i], "everything") || (argument_is(r->args[i], "default") && s->usual))
            return true;
    return false;
}

void cmd_info(request *r)
{
    buf text = { 0 };
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!is_wanted(r, &sections[i])) continue;
        buf_printf(&text, "%s# %s\r\n", text.len ? "\r\n" : "", sections[i].title);
        sections[i].print(r, &text);
    }
    reply_verbatim(r, chr_bytes(text.data ? text.data : "", text.len));
    chr_buf_free(&text);
}
