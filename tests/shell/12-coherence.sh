#!/usr/bin/env bash
# sanitized: yes
# cat keeps being right when the key changes over TCP between reads, whatever the kernel has cached: 1,000 times.
. "$(dirname "$0")/lib.sh"
start_mounted

python - <<'END'
import os
import subprocess
from resp import Client

mnt = os.environ["MNT"]
redis = Client()
redis("SET", "f", "0")
for i in range(1, 1001):
    value = b"%d " % i * (1 + i * 37 % 900)      # longer and shorter than before
    redis("SET", "f", value)
    if i % 10 == 0:
        got = subprocess.run(["cat", mnt + "/f"], check=True, stdout=subprocess.PIPE).stdout
    else:
        with open(mnt + "/f", "rb") as f:
            got = f.read()
    assert got == value, "change %d: read %r... for %r..." % (i, got[:40], value[:40])
    assert os.stat(mnt + "/f").st_size == len(value), "change %d: the size is stale" % i

# One that stays open sees changes too, and so does a name that was looked for in vain.
with open(mnt + "/f", "rb") as f:
    for i in range(1000):
        redis("SET", "f", "open %d" % i)
        f.seek(0)
        assert f.read() == b"open %d" % i, "an open file shows an old value"
for i in range(1000):
    name = "d%d/new" % i
    assert not os.path.exists("%s/%s" % (mnt, name))
    redis("SET", name, i)
    with open("%s/%s" % (mnt, name)) as f:
        assert f.read() == str(i)
    redis("DEL", name)
    assert not os.path.exists("%s/%s" % (mnt, name)), "a deleted key is still a file"
END

# And the other way: what was written here is what TCP answers.
for ((i = 0; i < 200; i++)); do
    printf '%d' $i >"$MNT/back"
    assert_eq "$(redis get back)" $i
done
