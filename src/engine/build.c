#include "engine/build.h"

#include "base/log.h"
#include "engine/names.h"

#include <stdlib.h>

typedef struct output {
    build_job     *job;
    uint64_t       file_no;
    env_file      *file;
    table_builder *builder;   /* NULL: none under way */
    buf            lower;     /* range tombstones of this table begin here */
    bool           has_lower; /* false: from the first */
    size_t         next_del;  /* first fragment that may reach into this table */
    uint64_t       values;    /* bytes in blob files that this table refers to */
} output;

/* Index of the oldest snapshot that can see `seq`; n_snapshots: none, only readers of now. */
static size_t stripe_of(const build_job *job, uint64_t seq)
{
    size_t low = 0, high = job->n_snapshots;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (job->snapshots[mid] < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool covered_in_stripe(const build_job *job, slice key, uint64_t seq, size_t stripe)
{
    if (!job->dels) return false;
    uint64_t newest = stripe < job->n_snapshots ? job->snapshots[stripe] : SEQ_MAX;
    return rangedel_covers(job->dels, key, newest) > seq;
}

/* Whether a level below may hold something in [start, end]. */
static bool something_below(const build_job *job, slice start, slice end, bool end_exclusive)
{
    if (!job->below) return true;
    for (uint32_t i = job->level + 1; i < LEVELS; i++) {
        const level *l = &job->below->levels[i];
        size_t       k = level_find(l, start);
        if (k < l->count && table_overlaps(table_ref_info(l->tables[k]), start, end, end_exclusive)) return true;
    }
    return false;
}

/* ---- tables ---- */

static chr_status output_begin(output *o)
{
    db *d = o->job->db;
    o->file_no = db_new_file_no(d);
    file_path     path = path_of(d->dir, FILE_TABLE, o->file_no);
    table_options options = db_table_options(d, o->job->level);
    chr_status    st = env_open(d->env, path.text, ENV_CREATE, &o->file);
    o->values = 0;
    if (!chr_ok(st)) return st;
    st = table_builder_new(o->file, o->file_no, &options, &o->builder);
    if (chr_ok(st)) return CHR_OK;
    env_close(o->file);
    o->file = NULL;
    (void)env_unlink(d->env, path.text);
    return st;
}

static void output_abandon(output *o)
{
    if (!o->builder) return;
    file_path path = path_of(o->job->db->dir, FILE_TABLE, o->file_no);
    table_builder_free(o->builder);
    o->builder = NULL;
    env_close(o->file);
    o->file = NULL;
    (void)env_unlink(o->job->db->env, path.text);
}

/* Of each stripe the newest tombstone counts. In the oldest stripe everything it hid in the inputs is gone, so
 * without anything below it has done its work. */
static chr_status add_fragment(output *o, const range_fragment *f, slice start, slice end)
{
    const build_job *job = o->job;
    size_t           last_stripe = SIZE_MAX;
    chr_status       st;
    for (size_t i = 0; i < f->n_seqs; i++) {
        size_t stripe = stripe_of(job, f->seqs[i]);
        if (stripe == last_stripe) continue;
        last_stripe = stripe;
        if (stripe == 0 && !something_below(job, start, end, true)) continue;
        if (!o->builder && !chr_ok(st = output_begin(o))) return st;
        if (!chr_ok(st = table_builder_add_range(o->builder, (range_tombstone){ start, end, f->seqs[i] }))) return st;
    }
    return CHR_OK;
}

/* The part of the range tombstones that lies before `upper` (NULL data: all the rest) and was not yet written. */
static chr_status add_fragments(output *o, slice upper)
{
    const rangedel *dels = o->job->dels;
    size_t          n = dels ? rangedel_count(dels) : 0;
    for (size_t i = o->next_del; i < n; i++) {
        range_fragment f = rangedel_at(dels, i);
        slice          start = f.start, end = f.end;
        if (o->has_lower && slice_compare(start, buf_slice(&o->lower)) < 0) start = buf_slice(&o->lower);
        if (upper.data && slice_compare(start, upper) >= 0) break;
        bool beyond = upper.data && slice_compare(end, upper) > 0;
        if (beyond) end = upper;
        if (slice_compare(start, end) < 0) {
            chr_status st = add_fragment(o, &f, start, end);
            if (!chr_ok(st)) return st;
        }
        if (beyond) break; /* the next table has the rest of it */
        o->next_del = i + 1;
    }
    return CHR_OK;
}

static bool keep_result(build_job *job, table_ref *t)
{
    if (job->n_out == job->cap_out) {
        size_t      cap = job->cap_out ? 2 * job->cap_out : 8;
        table_ref **more = realloc(job->out, cap * sizeof *more);
        if (!more) return false;
        job->out = more;
        job->cap_out = cap;
    }
    job->out[job->n_out++] = t;
    return true;
}

/* Ends the table under way; the next one begins at `upper` (NULL data: there is none). */
static chr_status output_end(output *o, slice upper)
{
    db        *d = o->job->db;
    chr_status st = add_fragments(o, upper);
    if (chr_ok(st) && upper.data) {
        if (!buf_set(&o->lower, upper)) st = chr_nomem();
        o->has_lower = true;
    }
    if (!chr_ok(st)) return st;
    if (!o->builder) return CHR_OK;

    table_info info = { 0 };
    table_ref *t;
    if (!chr_ok(st = table_builder_finish(o->builder, &info))) return st;
    if (!chr_ok(st = env_sync(o->file))) goto free_info;
    env_close(o->file);
    o->file = NULL;
    table_builder_free(o->builder);
    o->builder = NULL;
    st = table_ref_open(d->env, d->dir, o->file_no, d->cache, &info, &t);
    if (!chr_ok(st)) {
        file_path path = path_of(d->dir, FILE_TABLE, o->file_no);
        (void)env_unlink(d->env, path.text);
        goto free_info;
    }
    if (!keep_result(o->job, t)) {
        st = chr_nomem();
        atomic_store(&t->obsolete, true);
        table_ref_drop(t);
        goto free_info;
    }
    o->job->bytes_out += info.file_bytes;
free_info:
    table_info_free(&info);
    return st;
}

/* ---- the stream ---- */

typedef struct keep {
    buf      key; /* whose versions are passing */
    bool     has_key;
    size_t   stripe;   /* of the version that passed last; SIZE_MAX: none of this key */
    uint64_t kept_for; /* the newest snapshot that shows it, if readers of now do not; else 0 */
} keep;

/* The first stripe after its own in which an entry is hidden; n_snapshots + 1: not even readers of now miss it. `newer`: of the next
 * newer version, SIZE_MAX if there is none. */
static size_t hidden_from(const build_job *job, const entry *e, size_t stripe, size_t newer)
{
    size_t   end = newer == SIZE_MAX ? job->n_snapshots + 1 : newer;
    uint64_t seq = trailer_seq(e->trailer);
    if (stripe == job->n_snapshots || !covered_in_stripe(job, e->key, seq, job->n_snapshots)) return end;
    for (size_t i = stripe + 1; i < end; i++)
        if (covered_in_stripe(job, e->key, seq, i)) return i;
    return end;
}

/* Whether an entry must stay; it may turn a put into a tombstone. */
static bool must_stay(build_job *job, keep *k, entry *e, uint64_t now_ns)
{
    uint64_t seq = trailer_seq(e->trailer);
    size_t   stripe = stripe_of(job, seq);
    size_t   newer = k->stripe;
    k->stripe = stripe;
    if (stripe == newer || covered_in_stripe(job, e->key, seq, stripe)) return false;
    size_t end = hidden_from(job, e, stripe, newer);
    k->kept_for = end > job->n_snapshots ? 0 : job->snapshots[end - 1];

    bool newest = stripe == job->n_snapshots;
    if (trailer_kind(e->trailer) == KIND_PUT && newest && job->may_expire && job->db->options.drop &&
        job->db->options.drop(job->db->options.drop_arg, e->key, e->value, now_ns)) {
        e->trailer = trailer_of(seq, KIND_DELETE);
        e->value = chr_bytes(NULL, 0);
    }
    /* A tombstone may go when no older version is left for it to hide: none in the inputs (they follow in the same stripe and
     * are shadowed, if it is the oldest stripe) and none below. */
    bool oldest = stripe == 0;
    return trailer_kind(e->trailer) != KIND_DELETE || !oldest || something_below(job, e->key, e->key, false);
}

enum {
    CANCEL_CHECK_ENTRIES = 4096,
    VALUES_PER_TABLE = 8, /* times cut_bytes: more would make the steps of garbage collection too big */
};

static bool is_full(const output *o)
{
    return table_builder_bytes(o->builder) >= o->job->cut_bytes || o->values / VALUES_PER_TABLE >= o->job->cut_bytes;
}

static chr_status build(build_job *job, output *o)
{
    keep       k = { .stripe = SIZE_MAX };
    uint64_t   now_ns = env_wall_ns(job->db->env), n = 0;
    chr_status st = CHR_OK;
    for (iter_first(job->in); job->in->valid; iter_next(job->in)) {
        entry e = job->in->at;
        if (job->cancel && ++n % CANCEL_CHECK_ENTRIES == 0 && atomic_load_explicit(job->cancel, memory_order_relaxed)) {
            st = chr_fail(CHR_CLOSING, "the store is being closed");
            break;
        }
        if (!k.has_key || !slice_equal(e.key, buf_slice(&k.key))) {
            if (!buf_set(&k.key, e.key)) {
                st = chr_nomem();
                break;
            }
            k.has_key = true;
            k.stripe = SIZE_MAX;
            /* All versions of a key stay in one table. */
            if (o->builder && is_full(o) && !chr_ok(st = output_end(o, buf_slice(&k.key)))) break;
        }
        if (!must_stay(job, &k, &e, now_ns)) continue;
        if (!o->builder && !chr_ok(st = output_begin(o))) break;
        if (!chr_ok(st = blob_build_place(&job->blobs, &e))) break;
        if (trailer_kind(e.trailer) == KIND_BLOB) o->values += job->blobs.placed_bytes;
        if (!chr_ok(st = table_builder_add(o->builder, e.key, e.trailer, e.value))) break;
        if (!k.kept_for) continue;
        uint64_t bytes = e.key.len + e.value.len + (trailer_kind(e.trailer) == KIND_BLOB ? job->blobs.placed_bytes : 0);
        if (!chr_ok(st = table_builder_kept(o->builder, k.kept_for, bytes))) break;
    }
    if (chr_ok(st) && job->in->status != CHR_OK)
        st = chr_fail(job->in->status, "%.*s", (int)job->in->error.len, job->in->error.data ? job->in->error.data : "");
    chr_buf_free(&k.key);
    return st;
}

void build_drop_results(build_job *job, bool remove_files)
{
    for (size_t i = 0; i < job->n_out; i++) {
        if (remove_files) atomic_store(&job->out[i]->obsolete, true);
        table_ref_drop(job->out[i]);
    }
    free(job->out);
    job->out = NULL;
    job->n_out = job->cap_out = 0;
    blob_build_free(&job->blobs, remove_files);
}

chr_status build_keep_results(build_job *job, version_edit *edit)
{
    blob_build *b = &job->blobs;
    bool        good = true;
    while (job->n_out > 0 && (good = edit_add_table(edit, job->level, job->out[job->n_out - 1]))) job->n_out--;
    while (good && b->n_out > 0 && (good = edit_add_blob(edit, b->out[b->n_out - 1]))) b->n_out--;
    build_drop_results(job, !good);
    if (good) return CHR_OK;
    edit_release(edit, true);
    return chr_nomem();
}

chr_status build_tables(build_job *job)
{
    output o = { .job = job };
    job->blobs.db = job->db;
    job->blobs.level = job->level;
    job->blobs.cut_bytes = job->cut_bytes;
    chr_status st = build(job, &o);
    if (chr_ok(st)) st = output_end(&o, chr_bytes(NULL, 0));
    if (chr_ok(st)) st = blob_build_finish(&job->blobs);
    /* Names must be durable before the manifest names them. */
    if (chr_ok(st) && job->n_out > 0) st = env_sync_dir(job->db->env, job->db->dir);
    if (chr_ok(st)) {
        job->bytes_out += job->blobs.bytes_out;
    } else {
        output_abandon(&o);
        build_drop_results(job, true);
    }
    chr_buf_free(&o.lower);
    return st;
}
