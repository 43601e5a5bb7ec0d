"""What Valkey instances cost: 200 of them onto one host, and again, unchanged; and their memory."""

from __future__ import annotations

import hashlib
import json
import statistics
from typing import Any

from tests.bench import fleet
from tests.bench.table import Row, at_most, seconds

INSTANCES = 200
ROUNDS = 3
CONVERGE = "playbooks/converge.yml"
HASH = hashlib.sha256(b"bench").hexdigest()


def lists(count: int) -> dict[str, Any]:
    """Return the variables of a host with so many instances of a tenant each, with a user each."""
    names = [f"{one:010d}" for one in range(count)]
    return {
        "valkey_tenants": [{"name": f"t_{name}", "uid": 200_001 + one} for one, name in enumerate(names)],
        "valkey_instances": [
            {"name": f"kv_{name}", "tenant": f"t_{name}", "port": 20_000 + one, "memory_mb": 16}
            for one, name in enumerate(names)
        ],
        "valkey_users": [
            {"name": f"kv_{name}_app", "instance": f"kv_{name}", "password_sha256": HASH} for name in names
        ],
        "valkey_purge": True,
    }


def converge(count: int) -> fleet.Run:
    """Run the converge half."""
    return fleet.play("-i", fleet.inventory("instances", {"valkey1": lists(count)}), CONVERGE)


def memory(count: int) -> float:
    """Return the median memory of an instance in MiB; stop the bench unless so many run."""
    found = fleet.python("valkey1", "pss.py")
    if len(found) != count:
        raise SystemExit(f"valkey1 runs {len(found)} instances instead of {count}")
    return float(statistics.median(found)) / (1 << 20)


def unchanged() -> float:
    """Return the median seconds of a converge that finds everything as it should be."""

    def once() -> float:
        run = converge(INSTANCES)
        assert run.counts["changed"] == 0, "the converge is not idempotent"
        return run.seconds

    return fleet.median(once, ROUNDS)


def usage() -> float:
    """Return the median seconds of a look at what all instances use."""
    path = fleet.inventory("instances", {"valkey1": {"usage_show": False}})
    return fleet.median(lambda: fleet.play("-i", path, "playbooks/usage.yml").seconds, ROUNDS)


def rows() -> list[Row]:
    """Measure, and return the rows."""
    fleet.say("playbooks/site.yml makes valkey1")
    fleet.play("-i", fleet.inventory("prepare-valkey", {"valkey1": {}}), "playbooks/site.yml")
    converge(0)
    ping = fleet.ping("valkey1")
    fleet.say(f"{INSTANCES} instances of bare units, and of a tenant each by the role")
    plain = fleet.python("valkey1", "plain_valkeys.py", json.dumps(INSTANCES))
    plain_memory = memory(INSTANCES)
    fleet.python("valkey1", "plain_valkeys.py", json.dumps("clear"))
    first = converge(INSTANCES)
    assert first.counts["changed"] == 1
    mine = memory(INSTANCES)
    fleet.say("the same again, unchanged, and a look at what they use")
    again, looked = unchanged(), usage()
    converge(0)
    return [
        Row(
            f"{INSTANCES} Valkey instances, each with a tenant and a user, against bare units",
            seconds(first.seconds),
            seconds(plain),
            first.seconds / plain,
            at_most(5),
        ),
        Row("… again, unchanged", seconds(again), f"{seconds(ping)} ping", again / ping, at_most(3)),
        Row(
            "… memory of an idle one (PSS)",
            f"{mine:.1f} MiB",
            f"{plain_memory:.1f} MiB",
            mine / plain_memory,
            at_most(2),
        ),
        Row("… a look at what all use", seconds(looked), f"{seconds(ping)} ping", looked / ping, at_most(3)),
    ]
