"""A db shard of two servers that the tests of failover and of moves share: making one takes a minute."""

from __future__ import annotations

from typing import Any

from tests.e2e.client import Client, eventually
from tests.e2e.fleet import DB, ROOT, Platform, playbook

MOLECULE = ROOT / "collections/ansible_collections/hostreeve/hosting/extensions/molecule"
#: A program for hosts that writes, and tells what became of what was acknowledged.
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
