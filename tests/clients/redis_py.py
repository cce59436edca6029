"""The everyday uses of python3-redis. usage: redis_py.py PORT TLS_PORT CA-FILE DIR; DIR is where to ask for a restart of the server."""
import os
import sys
import threading
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

port, tls_port, ca, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
r = redis.Redis(port=port, decode_responses=True)
THREADS, TURNS = 8, 50


def on_threads(work):
    failures = []

    def run(i):
        try:
            work(i)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def strings_and_keys():
    assert r.set("k", "v") is True and r.get("k") == "v" and r.get("none") is None
    assert r.set("k", "w", nx=True) is None and r.set("k", "w", xx=True, get=True) == "v"
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "none", "b") == ["1", None, "2"]
    assert r.incr("n", 5) == 5 and r.decr("n") == 4 and r.incrbyfloat("f", 0.5) == 0.5
    assert r.append("k", "!") == 2 and r.strlen("k") == 2 and r.getrange("k", 0, 0) == "w"
    assert r.setbit("bits", 7, 1) == 0 and r.bitcount("bits") == 1 and r.bitpos("bits", 1) == 7
    assert r.setex("gone", 100, "x") and 0 < r.ttl("gone") <= 100 and r.persist("gone") and r.ttl("gone") == -1
    assert r.expire("gone", 50) and r.getex("gone", persist=True) == "x" and r.getdel("gone") == "x"
    assert r.exists("a", "b", "none") == 2 and r.type("a") == "string" and r.rename("a", "c") and r.delete("b", "c") == 2
    raw = redis.Redis(port=port)
    raw.set(b"\x00\xff\r\n", bytes(range(256)))
    assert raw.get(b"\x00\xff\r\n") == bytes(range(256))
    raw.restore("copy", 0, raw.dump(b"\x00\xff\r\n"))
    assert raw.get("copy") == bytes(range(256))
    try:
        r.incr("k")
        raise AssertionError("a word was added to")
    except redis.ResponseError as e:
        assert str(e) == "value is not an integer or out of range", e
    assert r.dbsize() > 0 and r.info()["redis_version"] and r.config_get("maxclients")["maxclients"]
    assert any(c["name"] == "me" for c in (r.client_setname("me"), r.client_list())[1]) and r.time()[0] > 0


def pools():
    pool = redis.BlockingConnectionPool(port=port, max_connections=3, timeout=30)
    shared = redis.Redis(connection_pool=pool)
    on_threads(lambda i: [shared.incr("pooled") for _ in range(TURNS)])
    assert int(shared.get("pooled")) == THREADS * TURNS


def pipelines_and_transactions():
    with r.pipeline(transaction=False) as p:
        for i in range(1000):
            p.set("p%d" % i, i)
            p.get("p%d" % i)
        assert p.execute() == [x for i in range(1000) for x in (True, str(i))]
    with r.pipeline() as p:
        assert p.set("t", 1).incr("t").get("t").execute() == [True, 2, "2"]

    def add(p):
        value = int(p.get("watched") or 0)
        p.multi()
        p.set("watched", value + 1)

    on_threads(lambda i: [r.transaction(add, "watched") for _ in range(TURNS)])
    assert int(r.get("watched")) == THREADS * TURNS
    with r.pipeline() as p:
        p.watch("t")
        redis.Redis(port=port).set("t", "other")
        p.multi()
        p.set("t", "mine")
        try:
            p.execute()
            raise AssertionError("a change that was watched for was not seen")
        except redis.WatchError:
            pass
    assert r.get("t") == "other"


def publishing():
    r.config_set("notify-keyspace-events", "KEA")
    s = r.pubsub()
    s.subscribe("news")
    s.psubscribe("__keyspace@0__:seen*")
    heard = []
    while len(heard) < 2:
        heard.append(s.get_message(timeout=30)["type"])
    assert heard == ["subscribe", "psubscribe"], heard
    assert r.publish("news", "hello") == 1
    r.set("seen1", "x")
    messages = [s.get_message(timeout=30) for _ in range(2)]
    assert [(m["type"], m["data"]) for m in messages] == [("message", "hello"), ("pmessage", "set")], messages
    s.close()
    got = threading.Event()
    s = r.pubsub()
    s.subscribe(later=lambda m: got.set())
    worker = s.run_in_thread(sleep_time=0.01)
    while not got.wait(0.05):
        r.publish("later", "x")
    worker.stop()
    worker.join()
    r.config_set("notify-keyspace-events", "")


def scanning():
    r.mset({"scan:%04d" % i: i for i in range(2500)})
    assert sorted(r.scan_iter("scan:*", count=100)) == ["scan:%04d" % i for i in range(2500)]
    assert sum(1 for _ in r.scan_iter("scan:*", _type="hash")) == 0


def restarts():
    again = redis.Redis(port=port, retry=Retry(ConstantBackoff(0.1), 300), retry_on_error=[redis.ConnectionError])
    again.set("kept", "yes")
    listener = again.pubsub()
    listener.subscribe("after")
    assert listener.get_message(timeout=30)["type"] == "subscribe"
    open(os.path.join(place, "restart"), "w", encoding="ascii").close()
    while not os.path.exists(os.path.join(place, "restarted")):
        time.sleep(0.05)
    assert again.get("kept") == b"yes"

    def hear(seconds):
        try:
            return listener.get_message(timeout=seconds)
        except redis.ConnectionError:   # once; the next call connects and subscribes again
            return None

    while again.publish("after", "x") == 0:
        hear(0.1)
    while not (m := hear(30)) or m["type"] != "message":
        pass


def encrypted():
    tls = redis.Redis(port=tls_port, ssl=True, ssl_ca_certs=ca)
    assert tls.set("tls", "x" * 100000) and tls.get("tls") == b"x" * 100000
    try:
        redis.Redis(port=tls_port, ssl=True).ping()
        raise AssertionError("a certificate that nobody vouches for was accepted")
    except redis.ConnectionError:
        pass


for use in strings_and_keys, pools, pipelines_and_transactions, publishing, scanning, encrypted, restarts:
    r.flushall()
    use()
    print(use.__name__)
