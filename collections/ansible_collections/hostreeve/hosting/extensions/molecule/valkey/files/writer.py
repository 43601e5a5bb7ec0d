"""Writes to a highly available instance as a customer's client does, and counts what was acknowledged and is lost.

Reads {"sentinels": [[address, port], …], "name", "user", "password", "seconds"} as JSON; prints {"acknowledged",
"lost", "refused", "pause" (longest, in seconds), "primary"}. A write counts as acknowledged when a replica has it.
"""

import json
import sys
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

wish = json.load(sys.stdin)
who = {"username": wish["user"], "password": wish["password"], "socket_timeout": 1, "socket_connect_timeout": 1}
sentinel = Sentinel([tuple(one) for one in wish["sentinels"]], sentinel_kwargs=who, **who)
acknowledged, refused, pause = [], 0, 0.0
end = time.monotonic() + wish["seconds"]
client, last, number = None, time.monotonic(), 0
while time.monotonic() < end:
    number += 1
    try:
        client = client or sentinel.master_for(wish["name"]).client()
        if client.set(f"n:{number}", number) and client.wait(1, 500) >= 1:
            acknowledged.append(number)
            pause, last = max(pause, time.monotonic() - last), time.monotonic()
    except RedisError:
        client, refused = None, refused + 1
        time.sleep(0.05)
    time.sleep(0.002)
pause = max(pause, time.monotonic() - last)
primary = sentinel.master_for(wish["name"])
lost = sum(value is None for value in primary.mget([f"n:{number}" for number in acknowledged]))
counts = {"acknowledged": len(acknowledged), "lost": lost, "refused": refused, "pause": round(pause, 1)}
print(json.dumps({**counts, "primary": sentinel.discover_master(wish["name"])[0]}))
