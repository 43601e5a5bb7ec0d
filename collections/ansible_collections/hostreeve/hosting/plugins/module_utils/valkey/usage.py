# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Valkey instances use. One that does not answer is told as such, and keeps nobody waiting but itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hostreeve.hosting.plugins.module_utils.files import on_disk
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError

#: Field → name in INFO. Counted since the instance started: evicted, hits, misses, commands, rejected.
FIELDS = {
    "memory_bytes": "used_memory",
    "memory_most_bytes": "maxmemory",
    "rss_bytes": "used_memory_rss",
    "evicted": "evicted_keys",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "commands": "total_commands_processed",
    "commands_per_second": "instantaneous_ops_per_sec",
    "connections": "connected_clients",
    "rejected": "rejected_connections",
}
#: Digits of a number that is believed; more come only from a process that is no Valkey.
DIGITS = 18
#: Instances that are asked at a time.
AT_ONCE = 32


def read(host):
    """Return {instance: {state, field: number}} of a Host; ``msg`` says why one is down.

    One that has moved away is left out: the host that has it tells of it.
    """
    names = sorted(host.instances.keys() - host.moved)
    running = host.running
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(names, pool.map(lambda name: _one(host, name, name in running), names), strict=True))
    for name, fields in found.items():
        fields["disk_bytes"] = sum(size for _, size in on_disk(host.data_path(name)))
    return found


def _one(host, name, runs):
    if not runs:
        if os.path.lexists(host.wants_path(name)):
            return {"state": "down", "msg": "does not run"}
        return {"state": "suspended"}
    try:
        with host.admin(name) as client:
            return parse(client.info("default"))
    except (ValkeyError, OSError, ValueError) as error:
        return {"state": "down", "msg": str(error)[:300]}


def parse(info):
    """Return the fields in an instance's INFO; ValueError if it is none."""
    found = {field: _number(info.get(name, "")) for field, name in FIELDS.items()}
    # This look is one of the connections.
    found["connections"] = max(found["connections"] - 1, 0)
    spaces = [value for name, value in info.items() if name[:2] == "db" and name[2:].isdigit()]
    found["keys"] = sum(_number(value.partition(",")[0].removeprefix("keys=")) for value in spaces)
    return {"state": "replica" if info.get("role") == "slave" else "up", **found}


def _number(text):
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise ValueError("the answer has not the form of one of Valkey's")
    return int(text)
