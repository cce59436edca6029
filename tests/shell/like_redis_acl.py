"""Makes the same users in Redis and in Chronos, by random rules, and compares what they may do and what both say about it.

usage: like_redis_acl.py REDIS_SOCKET SEED     PORT of Chronos is in the environment; both let everybody in as default

Where Chronos is stricter on purpose (FLUSHALL, RANDOMKEY) or has something else (one password), it is left out; see `OWN`. `%RW~*` is
allkeys here, also for what comes behind it.
"""
import random
import sys

import resp

redis = resp.Client(path=sys.argv[1])
chronos = resp.Client()
rng = random.Random(int(sys.argv[2]))


def say(client, *words):
    try:
        return client(*words)
    except resp.Error as e:
        return "error: %s" % e


def both(*words, fix=lambda reply: reply):
    theirs, ours = fix(say(redis, *words)), fix(say(chronos, *words))
    assert theirs == ours, "%r\nRedis:   %r\nChronos: %r" % (words, theirs, ours)
    return ours


# ---- categories ----

names = sorted(say(chronos, "COMMAND", "LIST"))
known = {name for name, info in zip(names, say(redis, "COMMAND", "INFO", *names)) if info}
assert len(known) > 80
both("ACL", "CAT")
for name in sorted(known):
    theirs, ours = (say(c, "COMMAND", "INFO", name)[0] for c in (redis, chronos))
    assert sorted(theirs[6]) == sorted(ours[6]), (name, theirs[6], ours[6])
    assert theirs[3:6] == ours[3:6], (name, theirs, ours)
here = set()
for category in say(chronos, "ACL", "CAT"):
    here |= set(say(chronos, "ACL", "CAT", category))
there = {n for category in say(redis, "ACL", "CAT") for n in say(redis, "ACL", "CAT", category)}
assert len(here & there) > 120, len(here & there)
for category in say(chronos, "ACL", "CAT"):
    theirs, ours = (set(say(c, "ACL", "CAT", category)) & here & there for c in (redis, chronos))
    assert theirs == ours, (category, theirs ^ ours)
for name in sorted(n for n in here & there if b"|" in n):
    theirs, ours = (say(c, "COMMAND", "INFO", name)[0] for c in (redis, chronos))
    assert (theirs[1], sorted(theirs[6])) == (ours[1], sorted(ours[6])), (name, theirs[:7], ours)
both("ACL", "CAT", "nosuch")
both("ACL", "CAT", "a", "b")

# ---- errors, and what is told of users ----


def about(reply):
    """GETUSER without what is kept of passwords, and without the flag that everybody has here."""
    if not isinstance(reply, list):
        return reply
    fields = dict(zip(reply[::2], reply[1::2]))
    fields[b"flags"] = [f for f in fields[b"flags"] if f != b"sanitize-payload"]
    fields[b"passwords"] = len(fields[b"passwords"])
    fields[b"commands"] = sorted(fields[b"commands"].split())  # Redis makes them anew, in an order of its own
    return fields


def listed(reply):
    return sorted(sorted(w for w in line.split() if w != b"sanitize-payload" and w[:1] != b"#") for line in reply)


for rules in (
    ["reset", "on", ">secret", "~foo*", "%R~r*", "%W~w*", "&ch*", "+@all", "-@dangerous"], ["%rw~both", "%WR~two"], ["resetkeys"], ["allkeys"],
    ["~more"], ["%R~more"], ["%Q~x"], ["resetkeys", "%~x"], ["%R~x", "%W~x"], ["~with space"], ["~"], ["&"], ["&one", "&one"],
    ["allchannels"], ["&more"], ["resetchannels"], ["+nosuch"], ["-nosuch"], ["+@nosuch"], ["-@"], ["+"], ["-"], ["+client|nosuch"],
    ["+config|get|x"], ["off"], ["nopass"], ["resetpass"], ["reset"], ["+GET", "ON", "AllKeys"], ["nocommands"], ["allcommands"],
    ["-@all", "+@bitmap"], ["+@all", "-config|get"], ["-@all", "+client|id", "+client|info"], ["-@all", "+client", "-client|kill"],
    ["-@all", "+get", "~"], ["on", "~x", "+nosuch"], ["reset", "%RW~*"], ["resetkeys", "%R~*"], ["%W~*"], [],
):
    both("ACL", "SETUSER", "a", *rules)
    both("ACL", "GETUSER", "a", fix=about)
    both("ACL", "LIST", fix=listed)
for words in (
    "ACL", "ACL NOSUCH", "ACL GETUSER", "ACL GETUSER nobody", "ACL USERS", "ACL WHOAMI", "ACL WHOAMI x", "ACL DELUSER", "ACL DELUSER default",
    "ACL DELUSER nobody", "ACL HELP", "ACL HELP x", "ACL LOG x", "ACL LOG 1 2", "ACL LOG RESET", "ACL LOG", "ACL LOG -1", "ACL GENPASS 0",
    "ACL GENPASS 1 2", "ACL SETUSER", "ACL DRYRUN a", "ACL DRYRUN nobody get x", "ACL DRYRUN a nosuch", "ACL DRYRUN a get", "ACL DRYRUN a get x",
    "ACL DRYRUN a client nosuch", "ACL DRYRUN a client", "ACL DRYRUN a object encoding", "ACL DRYRUN a auth x", "ACL DRYRUN a acl list",
    "COMMAND LIST FILTERBY ACLCAT nosuch",
):
    both(*words.split(), fix=sorted if words == "ACL USERS" else lambda reply: reply)

# ---- what random users may do ----

# The empty key and channel are left out: in Redis "*" does not match them.
OWN = {b"flushall", b"flushdb", b"randomkey"}
KEYS = ["a", "app:1", "app:22", "rw", "x", "wow", "a*b"]
CHANNELS = ["news", "news.1", "n*", "news.*"]
RULES = (
    ["%s@%s" % (sign, c.decode()) for sign in "+-" for c in say(chronos, "ACL", "CAT")] + ["+@all", "-@all"] * 6
    + ["%s%s" % (sign, n.decode()) for sign in "+-" for n in sorted(here & there)]
    + ["%s%s" % (how, p) for how in ("~", "%R~", "%W~", "%RW~") for p in ("app:*", "a", "?", "[rx]*", "w*w", "app:[0-9]", "a\\*b", "*", "") if how + p not in ("%RW~*", "%W~*")] * 3
    + ["&" + p for p in ("news", "news.*", "n*", "*", "")] * 5 + ["allkeys", "resetkeys", "allchannels", "resetchannels", "on", "off", "reset"]
    + ["+nosuch", "~a b", "%X~a", "+@nosuch"]
)


def arguments(info):
    """A call of the command that fits its arity, with keys where its keys are."""
    arity, first, last, step = info[1], info[3], info[4], info[5]
    n = abs(arity) + (rng.randrange(3) if arity < 0 else 0)
    if first and last == 2:
        n = max(n, 3)
    words = [rng.choice(CHANNELS) if b"sub" in info[0] or info[0] == b"publish" else rng.choice(["1", "GET", "SET", "x", "EX"]) for _ in range(n)]
    if step == 2 and (n - 1) % 2:
        words.append("1")
    end = last if last >= 0 else len(words) + last
    for i in range(first, end + 1) if first else ():
        words[i] = rng.choice(KEYS)
    return words


infos = {n: say(redis, "COMMAND", "INFO", n)[0] for n in here & there}
calls = []
for name, info in sorted(infos.items()):
    if name in OWN or name.split(b"|")[0] in say(redis, "ACL", "CAT") or info[0] in (b"save",):
        continue
    calls.append((name.split(b"|"), info))
asked = allowed = 0
for user in range(60):
    both("ACL", "SETUSER", "r", "reset")
    if rng.randrange(2):
        both("ACL", "SETUSER", "r", "+@all", rng.choice(["~*", "~app:*"]))
    for _ in range(rng.randrange(1, 12)):
        both("ACL", "SETUSER", "r", rng.choice(RULES), fix=lambda reply: reply)
    both("ACL", "GETUSER", "r", fix=lambda reply: {k: v for k, v in about(reply).items() if k != b"commands"})
    for parts, info in rng.sample(calls, 80):
        words = arguments(info)
        words[: len(parts)] = parts
        asked += 1
        allowed += both("ACL", "DRYRUN", "r", *words) == b"OK"
assert asked / 20 < allowed < asked, (asked, allowed)

# ---- and what they are answered when they try ----

for c in (redis, chronos):
    assert say(c, "ACL", "SETUSER", "t", "reset", "on", ">pw", "~mine:*", "%R~see:*", "&mine.*", "+@all", "-@dangerous", "-echo") == b"OK"
    assert say(c, "ACL", "LOG", "RESET") == b"OK"
theirs, ours = resp.Client(path=sys.argv[1]), resp.Client()
for words in (
    "AUTH t pw", "GET mine:1", "SET mine:1 x", "SET see:1 x", "GET see:1", "GET other", "MGET mine:1 other", "COPY see:1 mine:2", "COPY mine:1 see:2",
    "RENAME see:1 mine:3", "SET see:1 x GET", "BITFIELD see:1 GET u8 0", "BITFIELD see:1 SET u8 0 1", "GETEX see:1", "EXISTS see:1 mine:1", "STRLEN see:1",
    "ECHO x", "CONFIG GET x", "CONFIG NOSUCH", "KEYS *", "CLIENT LIST", "CLIENT GETNAME", "PUBLISH mine.1 x", "PUBLISH other x", "ACL WHOAMI", "ACL LIST",
    "OBJECT REFCOUNT other", "WATCH other", "MULTI", "GET mine:2", "GET other", "EXEC", "MULTI", "SET mine:9 1", "CONFIG GET x", "EXEC", "NOSUCH", "GET",
    "AUTH t wrong", "AUTH nobody x", "AUTH a b c", "HELLO 2 AUTH t wrong", "PUBSUB NUMSUB x", "SUBSCRIBE other", "PSUBSCRIBE mine.*", "PUNSUBSCRIBE",
    "PSUBSCRIBE mine.1*", "SUBSCRIBE mine.1 mine.2",
):
    t, o = (say(c, *words.split()) for c in (theirs, ours))
    assert t == o, (words, t, o)


def log(client):
    fields = [dict(zip(e[::2], e[1::2])) for e in say(client, "ACL", "LOG", 100)]
    for f in fields:
        assert float(f.pop(b"age-seconds")) < 600
        assert b" user=" in f.pop(b"client-info")
        if f[b"username"] in (b"nobody", b"(unknown)"):
            f[b"username"] = b"nobody"
    return fields


assert log(redis) == log(chronos), (log(redis), log(chronos))
theirs.close()
ours.close()

# What was queued is looked at again when it is run.
theirs, ours = resp.Client(path=sys.argv[1]), resp.Client()
for c in (theirs, ours):
    for words in ("AUTH t pw", "MULTI", "SET mine:1 y", "GET mine:1", "PUBLISH mine.1 x", "STRLEN see:1"):
        c(*words.split())
both("ACL", "SETUSER", "t", "resetkeys", "~see:*", "resetchannels", "-get")
theirs.send(["EXEC"])
ours.send(["EXEC"])
t, o = theirs.reply(), ours.reply()
assert [str(x) for x in t] == [str(x) for x in o] and len(o) == 4, (t, o)
assert say(theirs, "GET", "mine:1") == say(ours, "GET", "mine:1")
both("ACL", "DELUSER", "a", "r", "t", "nobody")
