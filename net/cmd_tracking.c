/* CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR. */
#include "net/clients.h"
#include "net/server_internal.h"

#include <stdlib.h>

typedef struct wish {
    unsigned flags;
    int64_t  redirect;
    slice   *prefixes;
    size_t   n_prefixes;
} wish;

static bool parse_redirect(request *r, slice id, wish *w)
{
    if (w->redirect) {
        reply_error(r, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!argument_integer(r, id, &w->redirect)) return false;
    if (w->redirect > 0 && clients_find(r->server, (uint64_t)w->redirect)) return true;
    reply_error(r, "ERR The client ID you want redirect to does not exist");
    return false;
}

static bool parse(request *r, wish *w)
{
    static const struct {
        const char *name;
        unsigned    flag;
    } flags[] = { { "bcast", TRACK_BCAST },
                  { "optin", TRACK_OPTIN },
                  { "optout", TRACK_OPTOUT },
                  { "noloop", TRACK_NOLOOP } };
    enum { FLAGS = sizeof flags / sizeof *flags };
    for (size_t i = 3; i < r->n; i++) {
        size_t f = 0;
        while (f < FLAGS && !argument_is(r->args[i], flags[f].name)) f++;
        if (f < FLAGS) {
            w->flags |= flags[f].flag;
        } else if (argument_is(r->args[i], "redirect") && i + 1 < r->n) {
            if (!parse_redirect(r, r->args[++i], w)) return false;
        } else if (argument_is(r->args[i], "prefix") && i + 1 < r->n) {
            w->prefixes[w->n_prefixes++] = r->args[++i];
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static void reply_overlap(request *r, slice prefix, const char *with_what, slice with)
{
    reply_error(r, "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must not overlap.",
                (int)(prefix.len < 256 ? prefix.len : 256), prefix.data, with_what,
                (int)(with.len < 256 ? with.len : 256), with.data ? with.data : "");
}

static bool prefixes_fit(request *r, const wish *w)
{
    for (size_t i = 0; i < w->n_prefixes; i++) {
        buf  with = { 0 };
        bool overlaps = tracking_overlaps(&r->server->tracking, r->session, w->prefixes[i], &with);
        if (overlaps) reply_overlap(r, w->prefixes[i], "an existing", buf_slice(&with));
        chr_buf_free(&with);
        if (overlaps) return false;
        for (size_t k = i + 1; k < w->n_prefixes; k++)
            if (slice_has_prefix(w->prefixes[i], w->prefixes[k]) || slice_has_prefix(w->prefixes[k], w->prefixes[i])) {
                reply_overlap(r, w->prefixes[i], "another provided", w->prefixes[k]);
                return false;
            }
    }
    return true;
}

static bool fits(request *r, const wish *w)
{
    unsigned    has = atomic_load(&r->session->tracking);
    const char *error = NULL;
    if (!(w->flags & TRACK_BCAST) && w->n_prefixes)
        error = "PREFIX option requires BCAST mode to be enabled";
    else if (has && (has ^ w->flags) & TRACK_BCAST)
        error = "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
                "with a different mode.";
    else if (w->flags & TRACK_BCAST && w->flags & (TRACK_OPTIN | TRACK_OPTOUT))
        error = "OPTIN and OPTOUT are not compatible with BCAST";
    else if (w->flags & TRACK_OPTIN && w->flags & TRACK_OPTOUT)
        error = "You can't specify both OPTIN mode and OPTOUT mode";
    else if ((w->flags & TRACK_OPTIN && has & TRACK_OPTOUT) || (w->flags & TRACK_OPTOUT && has & TRACK_OPTIN))
        error = "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
                "with a different mode.";
    if (error) reply_error(r, "ERR %s", error);
    return !error && prefixes_fit(r, w);
}

/* BCAST tells of keys that were not asked for. */
static bool may_hear(request *r, const wish *w)
{
    const rights *x = r->session->user.rights;
    for (size_t i = 0; x && i < w->n_prefixes; i++)
        if (!rights_to_prefix(x, w->prefixes[i], 0)) {
            acl_log_denied(r, MAY_NOT_USE_KEY, w->prefixes[i]);
            reply_error(r, "NOPERM this user has no permissions to access one of the keys used as arguments");
            return false;
        }
    return true;
}

static void track(request *r, wish *w)
{
    if (w->flags & TRACK_BCAST && !w->n_prefixes && !(atomic_load(&r->session->tracking) & TRACK_BCAST))
        w->prefixes[w->n_prefixes++] = chr_str("");
    if (!may_hear(r, w)) return;
    chr_status st =
        tracking_on(&r->server->tracking, r->session, w->flags, (uint64_t)w->redirect, w->prefixes, w->n_prefixes);
    if (st == CHR_OK)
        reply_ok(r);
    else if (st == CHR_NOT_FOUND)
        reply_error(r, "ERR The client ID you want redirect to does not exist");
    else
        reply_status(r, st);
}

void client_tracking(request *r)
{
    wish w = { .prefixes = malloc((r->n + 1) * sizeof(slice)) };
    bool on = argument_is(r->args[2], "on");
    if (!w.prefixes) {
        reply_status(r, CHR_NO_MEMORY);
    } else if (!parse(r, &w)) { /* answered */
    } else if (on && fits(r, &w)) {
        if (atomic_load(&r->session->queued) >= 0)
            reply_error(r, "ERR CLIENT TRACKING is not allowed inside a transaction");
        else if (!request_defer(r)) /* it may have to wait for others */
            track(r, &w);
    } else if (argument_is(r->args[2], "off")) {
        tracking_off(&r->server->tracking, r->session);
        reply_ok(r);
    } else if (!on) {
        reply_error(r, "ERR syntax error");
    }
    free(w.prefixes);
}

void client_caching(request *r)
{
    unsigned has = atomic_load(&r->session->tracking);
    bool     yes = argument_is(r->args[2], "yes");
    if (!has) {
        reply_error(r, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
                       "mode enabled");
    } else if (!yes && !argument_is(r->args[2], "no")) {
        reply_error(r, "ERR syntax error");
    } else if (!(has & (yes ? TRACK_OPTIN : TRACK_OPTOUT))) {
        reply_error(r, "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.", yes ? "YES" : "NO",
                    yes ? "OPTIN" : "OPTOUT");
    } else {
        r->session->caching = true;
        reply_ok(r);
    }
}

void client_getredir(request *r)
{
    reply_integer(r, atomic_load(&r->session->tracking) ? (int64_t)r->session->tracking_redirect : -1);
}

static void reply_prefix(void *arg, slice prefix) { reply_value(arg, prefix); }

void client_trackinginfo(request *r)
{
    unsigned    has = atomic_load(&r->session->tracking);
    tracking   *t = &r->server->tracking;
    const char *names[8];
    size_t      n = 0;
    names[n++] = has ? "on" : "off";
    if (has & TRACK_BCAST) names[n++] = "bcast";
    if (has & TRACK_OPTIN) names[n++] = "optin";
    if (has & TRACK_OPTIN && r->session->caching) names[n++] = "caching-yes";
    if (has & TRACK_OPTOUT) names[n++] = "optout";
    if (has & TRACK_OPTOUT && r->session->caching) names[n++] = "caching-no";
    if (has & TRACK_NOLOOP) names[n++] = "noloop";
    if (has & TRACK_BROKEN) names[n++] = "broken_redirect";
    reply_map(r, 3);
    reply_value(r, chr_str("flags"));
    reply_set(r, n);
    for (size_t i = 0; i < n; i++) reply_value(r, chr_str(names[i]));
    reply_value(r, chr_str("redirect"));
    client_getredir(r);
    reply_value(r, chr_str("prefixes"));
    reply_array(r, tracking_each_prefix(t, r->session, NULL, NULL));
    (void)tracking_each_prefix(t, r->session, reply_prefix, r);
}
