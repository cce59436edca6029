/* Reading the log back. The rules (FORMAT.md, "Recovery of the log"):
 *
 * Batches have consecutive sequence numbers across segments, so that what is missing shows. Where the expected
 * record is not intact, everything behind it is searched for intact records of the same incarnation. A record says
 * up to which seq the log was durable when it was made; if one of those later records says so of the missing one,
 * then acknowledged data is damaged: CHR_CORRUPT, with file and offset. Otherwise the rest is what a crash
 * leaves of unsynced writes, and is cut off there. */
#include "base/log.h"
#include "engine/batch_pack.h"
#include "engine/names.h"
#include "engine/wal.h"
#include "engine/wal_format.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct segment_bytes {
    file_path  path;
    buf        contents;
    wal_header header;
} segment_bytes;

typedef struct replay {
    uint64_t       next_seq; /* expected of the next batch */
    wal_replay_fn *fn;
    void          *arg;
    uint64_t       batches;
} replay;

static chr_status load(env *e, const char *dir, uint64_t no, segment_bytes *s)
{
    s->path = path_of(dir, FILE_LOG, no);
    s->contents = (buf){ 0 };
    chr_status st = env_read_file(e, s->path.text, &s->contents);
    if (!chr_ok(st)) return st;
    if (!wal_header_decode(buf_slice(&s->contents), &s->header) || s->header.no != no)
        return chr_corrupt(s->path.text, 0, "the header of the log segment is damaged");
    return CHR_OK;
}

/* Hands a batch over as it was before it was packed for the log. */
static chr_status hand_over(const wal_record *r, const segment_bytes *s, uint64_t offset, wal_replay_fn *fn, void *arg)
{
    buf        room = { 0 };
    slice      plain;
    uint32_t   count;
    chr_status st = batch_unpack(r->payload, &room, &plain, &count);
    if (st == CHR_CORRUPT || (chr_ok(st) && (count != r->count || count == 0)))
        st = chr_corrupt(s->path.text, offset, "a batch is malformed although its checksum is right");
    else if (chr_ok(st))
        st = fn(arg, r->first_seq, r->count, plain);
    chr_buf_free(&room);
    return st;
}

/* Replays intact, consecutive records. On return *offset is behind the last one, and *seal is the payload of the
 * segment's seal, if it was reached. */
static chr_status replay_segment(replay *rp, const segment_bytes *s, uint64_t *offset, bool *sealed,
                                 uint64_t *sealed_next)
{
    wal_record r;
    *offset = WAL_HEADER_BYTES;
    *sealed = false;
    while (wal_record_decode(buf_slice(&s->contents), *offset, s->header.incarnation, rp->next_seq, &r)) {
        if (r.first_seq != rp->next_seq)
            return chr_corrupt(s->path.text, *offset, "writes %llu to %llu are missing from the log",
                               (unsigned long long)rp->next_seq, (unsigned long long)r.first_seq - 1);
        if (r.type == WAL_SEAL) {
            *sealed = true;
            *sealed_next = r.payload.len == 8 ? get_u64(r.payload.data) : 0;
            *offset += wal_record_size(r.payload.len);
            return CHR_OK;
        }
        chr_status st = hand_over(&r, s, *offset, rp->fn, rp->arg);
        if (!chr_ok(st)) return st;
        rp->next_seq += r.count;
        rp->batches++;
        *offset += wal_record_size(r.payload.len);
    }
    return CHR_OK;
}

/* Looks for an intact record behind `offset` that knows `seq` to have been durable. *last: the end of the last intact
 * one, whatever it knows. */
static bool knows_durable(const segment_bytes *s, uint64_t offset, uint64_t seq, uint64_t *last)
{
    bool       knows = false;
    wal_record r;
    *last = offset;
    while (offset < s->contents.len) {
        if (!wal_record_decode(buf_slice(&s->contents), offset, s->header.incarnation, seq, &r)) {
            offset += WAL_ALIGN;
            continue;
        }
        knows = knows || r.synced_seq >= seq;
        offset += wal_record_size(r.payload.len);
        *last = offset;
    }
    return knows;
}

chr_status wal_replay(env *e, const char *dir, const uint64_t *nos, size_t n, uint64_t first_seq, wal_replay_fn *fn,
                      void *arg, wal_replay_result *result)
{
    chr_status    st = CHR_OK;
    replay        rp = { .next_seq = first_seq, .fn = fn, .arg = arg };
    segment_bytes s = { .contents = { 0 } };
    uint64_t      dropped = 0, end = 0, sealed_next = 0;
    bool          sealed = false, torn = false;
    file_path     torn_path;
    uint64_t      torn_at = 0;

    for (size_t i = 0; i < n; i++) {
        chr_buf_free(&s.contents);
        if (!chr_ok(st = load(e, dir, nos[i], &s))) goto out;
        if (i > 0 && s.header.prev_no != nos[i - 1]) {
            st = chr_corrupt(s.path.text, 0, "the log segment before it, number %llu, is missing",
                             (unsigned long long)s.header.prev_no);
            goto out;
        }
        uint64_t last;
        if (torn) { /* nothing from here on may be used; but does it prove that something was lost? */
            if (knows_durable(&s, WAL_HEADER_BYTES, rp.next_seq, &last)) goto lost;
            dropped += last - WAL_HEADER_BYTES;
            continue;
        }
        if (!chr_ok(st = replay_segment(&rp, &s, &end, &sealed, &sealed_next))) goto out;
        if (sealed) {
            if (sealed_next && i + 1 == n) {
                st = chr_corrupt(s.path.text, end, "the log goes on in segment %llu, which is missing",
                                 (unsigned long long)sealed_next);
                goto out;
            }
            continue;
        }
        torn_path = s.path;
        torn_at = end;
        if (knows_durable(&s, end, rp.next_seq, &last)) goto lost;
        dropped += last - end;
        /* An unsealed segment may just lack its seal: the next one shows by going on where this one ends. */
        if (i + 1 < n) {
            segment_bytes next = { .contents = { 0 } };
            wal_record    r;
            st = load(e, dir, nos[i + 1], &next);
            torn = !chr_ok(st) ||
                   !wal_record_decode(buf_slice(&next.contents), WAL_HEADER_BYTES, next.header.incarnation, rp.next_seq,
                                      &r) ||
                   r.first_seq != rp.next_seq;
            chr_buf_free(&next.contents);
            if (!chr_ok(st)) goto out;
        }
    }
    if (dropped)
        log_line(LOG_WARN, "wal", "cut off the torn end of the log, nothing of which had been synced",
                 "file=%s offset=%llu bytes=%llu", torn_path.text, (unsigned long long)torn_at,
                 (unsigned long long)dropped);
    *result = (wal_replay_result){ rp.next_seq - 1, rp.batches, dropped, sealed };
    goto out;
lost:
    st = chr_corrupt(torn_path.text, torn_at, "write %llu was durable and is damaged", (unsigned long long)rp.next_seq);
out:
    chr_buf_free(&s.contents);
    return st;
}

chr_status wal_salvage(env *e, const char *dir, uint64_t no, wal_replay_fn *fn, void *arg)
{
    segment_bytes s;
    wal_record    r;
    chr_status    st = load(e, dir, no, &s);
    for (uint64_t offset = WAL_HEADER_BYTES; chr_ok(st) && offset < s.contents.len;) {
        if (!wal_record_decode(buf_slice(&s.contents), offset, s.header.incarnation, 0, &r)) {
            offset += WAL_ALIGN;
            continue;
        }
        if (r.type == WAL_BATCH) st = hand_over(&r, &s, offset, fn, arg);
        offset += wal_record_size(r.payload.len);
    }
    chr_buf_free(&s.contents);
    return st;
}

chr_status wal_parse_segment(const char *path, slice contents, uint64_t no, uint64_t first_seq, wal_replay_fn *fn,
                             void *arg)
{
    segment_bytes s = { .contents = { (char *)(uintptr_t)contents.data, contents.len, contents.len } };
    replay        rp = { .next_seq = first_seq, .fn = fn, .arg = arg };
    uint64_t      end, sealed_next, last;
    bool          sealed;
    snprintf(s.path.text, sizeof s.path.text, "%s", path);
    if (!wal_header_decode(contents, &s.header) || s.header.no != no)
        return chr_corrupt(path, 0, "the header of the log segment is damaged");
    chr_status st = replay_segment(&rp, &s, &end, &sealed, &sealed_next);
    if (chr_ok(st) && !sealed && knows_durable(&s, end, rp.next_seq, &last))
        st = chr_corrupt(path, end, "write %llu was durable and is damaged", (unsigned long long)rp.next_seq);
    return st;
}
