"""A database's primary moves while it is written to: as asked for through REST, and by itself when it was killed."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from tests.e2e.client import Client, eventually
from tests.e2e.databases import LEDGER, Shard
from tests.e2e.fleet import DB, on_host, reach

pytestmark = pytest.mark.fleet


class Writer:
    """Writes from a host until it is told to end, and then tells what became of what was acknowledged."""

    def __init__(self, shard: Shard, host: str) -> None:
        asked = {
            "hosts": list(DB.values()),
            "user": shard.user["name"],
            "password": shard.password,
            "threads": 4,
            "rest": 0.01,
        }
        asked |= {"database": shard.database["name"], "seconds": 900, "until_closed": True}
        self._process = subprocess.Popen(
            reach(host, "python3", "-c", LEDGER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        self._rows = f"SELECT COUNT(*) > 50 FROM `{shard.database['name']}`.ledger"
        eventually(lambda: on_host(host, "mariadb", "-NBe", self._rows, check=False).strip() == "1", 60)

    def ledger(self) -> dict[str, Any]:
        """Let it write for two more seconds, and return its ledger."""
        time.sleep(2)
        said, _ = self._process.communicate(timeout=60)
        found: dict[str, Any] = json.loads(said)
        return found


def takes_writes(host: str) -> bool:
    return on_host(host, "mariadb", "-NBe", "SELECT @@GLOBAL.read_only", check=False).strip() == "0"


def test_a_primary_moves_under_load_and_nothing_is_lost(db_shard: Shard) -> None:
    eventually(db_shard.is_healthy, 120)
    assert db_shard.primary() == "db1" and takes_writes("db1") and not takes_writes("db2")
    plan = db_shard.move("switchover", check=True)["data"]["db_plan"]
    assert plan == {"old_primary": "db1", "new_primary": "db2", "followers": ["db1"], "do_not_answer": []}
    assert db_shard.primary() == "db1" and takes_writes("db1")

    writer = Writer(db_shard, "db1")
    assert db_shard.move("switchover")["data"]["db_primary"] == "db2"
    assert db_shard.primary() == "db2" and takes_writes("db2") and not takes_writes("db1")
    ledger = writer.ledger()
    print("switchover:", ledger)
    assert ledger["lost"] == [] and ledger["acknowledged"] > 40 and ledger["host"] == DB["db2"]
    eventually(db_shard.is_healthy, 120)


def test_a_killed_primary_is_replaced_by_itself(db_shard: Shard) -> None:
    client = db_shard.client
    for node in db_shard.nodes.values():
        client.until("nodes", node, "active", 300)
    client.call("PATCH", db_shard.path, 202, json={"automatic_failover": True, "failover_after": 10})
    eventually(db_shard.is_healthy, 120)
    assert db_shard.primary() == "db2"
    writer = Writer(db_shard, "db1")
    on_host("db2", "sh", "-c", "systemctl mask --runtime mariadb && systemctl kill --signal=KILL mariadb")
    eventually(lambda: db_shard.primary() == "db1", 300)
    ledger = writer.ledger()
    print("automatic failover:", ledger)
    assert ledger["lost"] == [] and ledger["acknowledged"] > 40 and ledger["host"] == DB["db1"]
    (launch, *_) = client.call("GET", "/launches?operation=failover")["items"]
    assert launch["requested_by"] == "watch" and launch["state"] == "successful"
    (decision, *_) = client.call("GET", f"/audit?resource_id={db_shard.row['id']}&action=failover")["items"]
    assert decision["actor_name"] == "watch" and decision["after"]["replicas"] == {"db1": "it does not greet"}

    # The old one returns, takes no writes, and is taken back; not what it had told nobody, though.
    on_host("db2", "sh", "-c", "systemctl unmask --runtime mariadb && systemctl start mariadb")
    again = eventually(lambda: settled(client, db_shard.nodes["db1"]), 300)
    assert takes_writes("db1") and not takes_writes("db2")
    if again["status"] == "failed":
        db_shard.move("rebuild", node_id=db_shard.nodes["db2"]["id"])
        assert "mysql.aside-" in on_host("db2", "ls", "/var/lib")
        on_host("db2", "sh", "-c", "rm -r /var/lib/mysql.aside-*")
        client.until("nodes", db_shard.nodes["db2"], "active", 300)
    eventually(db_shard.is_healthy, 120)
    assert takes_writes("db1") and not takes_writes("db2")
    # Somebody else would have to die first: once is enough.
    client.call("PATCH", db_shard.path, 202, json={"automatic_failover": False})
    assert len(client.call("GET", "/launches?operation=failover")["items"]) == 1


def settled(client: Client, node: dict[str, Any]) -> dict[str, Any] | None:
    """Return a node that is active, or refused for what a server holds; what failed before is tried again."""
    seen = client.get("nodes", node)
    refused = seen["status"] == "failed" and "transactions that the primary lacks" in seen["status_message"]
    if seen["status"] == "failed" and not refused:
        client.call("POST", f"/nodes/{node['id']}/retry", 202)
    return seen if seen["status"] == "active" or refused else None
