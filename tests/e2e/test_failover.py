"""A database's primary moves while it is written to: as asked for through REST, and by itself when it was killed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Client, eventually
from tests.e2e.conftest import DB, ROOT, Platform, on_host, playbook, reach

pytestmark = pytest.mark.fleet

MOLECULE = ROOT / "collections/ansible_collections/hostreeve/hosting/extensions/molecule"
LEDGER = (MOLECULE / "db/files/ledger.py").read_text()


class Shard:
    """A db shard with a database, as an operator and a site see it."""

    def __init__(self, platform: Platform) -> None:
        self.client: Client = platform.client
        cluster = platform.shards["web-a"]["cluster_id"]
        self.row = self.client.create("shards", cluster_id=cluster, name="db-a", role="db")
        # Both at once: one run makes the shard.
        made = [
            self.client.create("nodes", shard_id=self.row["id"], name=name, address=address)
            for name, address in DB.items()
        ]
        self.nodes = {node["name"]: self.client.until("nodes", node, "active", 600) for node in made}
        self.tenant = self.client.make(
            "tenants", brand_id=platform.brand["id"], shard_id=platform.shards["web-a"]["id"]
        )
        self.database = self.client.make("databases", tenant_id=self.tenant["id"])
        body = {"database_id": self.database["id"], "suffix": "app"}
        answer = self.client.call("POST", "/database-users", 202, json=body)
        self.user, self.password = answer["resource"], answer["secret"]
        self.client.until("database-users", self.user, "active")

    @property
    def path(self) -> str:
        return f"/shards/{self.row['id']}"

    def primary(self) -> str:
        """Return the primary's name, as the platform has it."""
        return next(name for name, node in self.nodes.items() if self.client.get("nodes", node)["is_primary"])

    def is_healthy(self) -> bool:
        return bool(self.client.call("GET", f"{self.path}/health")["state"] == "healthy")

    def move(self, verb: str, **body: Any) -> dict[str, Any]:
        """Ask for a move and return the launch that did it."""
        (job,) = self.client.call("POST", f"{self.path}/{verb}", 202, json=body)["jobs"]
        ended = eventually(lambda: self.client.ended(job), 300)
        assert ended["state"] == "successful", self.client.http.get(f"/jobs/{job['id']}/output").text[-3000:]
        launch: dict[str, Any] = self.client.call("GET", f"/launches/{job['id']}")
        return launch

    def remove(self) -> None:
        """Leave the hosts as they were found."""
        self.client.call("PATCH", self.path, 202, json={"automatic_failover": False})
        self.client.delete("database-users", self.user)
        self.client.call("DELETE", f"/databases/{self.database['id']}?confirm={self.database['name']}", 202)
        self.client.gone("databases", self.database)
        self.client.delete("tenants", self.tenant)
        for name in sorted(self.nodes, key=lambda name: name == self.primary()):
            self.client.call("DELETE", f"/nodes/{self.nodes[name]['id']}", 202)
            self.client.gone("nodes", self.nodes[name], 300)
        inventory = ["-i", str(MOLECULE / "inventory"), "--limit", ",".join(DB)]
        done = playbook(*inventory, str(MOLECULE / "db/cleanup.yml"))
        assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def shard(platform: Platform) -> Iterator[Shard]:
    made = Shard(platform)
    yield made
    made.remove()


class Writer:
    """Writes from a host until it is told to end, and then tells what became of what was acknowledged."""

    def __init__(self, shard: Shard, host: str) -> None:
        asked = {"hosts": list(DB.values()), "user": shard.user["name"], "password": shard.password, "threads": 4}
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


def test_a_primary_moves_under_load_and_nothing_is_lost(shard: Shard) -> None:
    eventually(shard.is_healthy, 120)
    assert shard.primary() == "db1" and takes_writes("db1") and not takes_writes("db2")
    plan = shard.move("switchover", check=True)["data"]["db_plan"]
    assert plan == {"old_primary": "db1", "new_primary": "db2", "followers": ["db1"], "do_not_answer": []}
    assert shard.primary() == "db1" and takes_writes("db1")

    writer = Writer(shard, "db1")
    assert shard.move("switchover")["data"]["db_primary"] == "db2"
    assert shard.primary() == "db2" and takes_writes("db2") and not takes_writes("db1")
    ledger = writer.ledger()
    print("switchover:", ledger)
    assert ledger["lost"] == [] and ledger["acknowledged"] > 100 and ledger["host"] == DB["db2"]
    eventually(shard.is_healthy, 120)


def test_a_killed_primary_is_replaced_by_itself(shard: Shard) -> None:
    client = shard.client
    for node in shard.nodes.values():
        client.until("nodes", node, "active", 300)
    client.call("PATCH", shard.path, 202, json={"automatic_failover": True, "failover_after": 10})
    eventually(shard.is_healthy, 120)
    assert shard.primary() == "db2"
    writer = Writer(shard, "db1")
    on_host("db2", "sh", "-c", "systemctl mask --runtime mariadb && systemctl kill --signal=KILL mariadb")
    eventually(lambda: shard.primary() == "db1", 300)
    ledger = writer.ledger()
    print("automatic failover:", ledger)
    assert ledger["lost"] == [] and ledger["acknowledged"] > 100 and ledger["host"] == DB["db1"]
    (launch, *_) = client.call("GET", "/launches?operation=failover")["items"]
    assert launch["requested_by"] == "watch" and launch["state"] == "successful"
    (decision, *_) = client.call("GET", f"/audit?resource_id={shard.row['id']}&action=failover")["items"]
    assert decision["actor_name"] == "watch" and decision["after"]["replicas"] == {"db1": "it does not greet"}

    # The old one returns, takes no writes, and is taken back; not what it had told nobody, though.
    on_host("db2", "sh", "-c", "systemctl unmask --runtime mariadb && systemctl start mariadb")
    again = eventually(lambda: settled(client, shard.nodes["db1"]), 300)
    assert takes_writes("db1") and not takes_writes("db2")
    if again["status"] == "failed":
        shard.move("rebuild", node_id=shard.nodes["db2"]["id"])
        assert "mysql.aside-" in on_host("db2", "ls", "/var/lib")
        on_host("db2", "sh", "-c", "rm -r /var/lib/mysql.aside-*")
        client.until("nodes", shard.nodes["db2"], "active", 300)
    eventually(shard.is_healthy, 120)
    assert takes_writes("db1") and not takes_writes("db2")
    # Somebody else would have to die first: once is enough.
    assert len(client.call("GET", "/launches?operation=failover")["items"]) == 1


def settled(client: Client, node: dict[str, Any]) -> dict[str, Any] | None:
    """Return a node that is active, or refused for what a server holds; what failed before is tried again."""
    seen = client.get("nodes", node)
    refused = seen["status"] == "failed" and "transactions that the primary lacks" in seen["status_message"]
    if seen["status"] == "failed" and not refused:
        client.call("POST", f"/nodes/{node['id']}/retry", 202)
    return seen if seen["status"] == "active" or refused else None
