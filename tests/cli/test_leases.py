"""``hostctl leases``: who holds a host, and taking it away."""

from __future__ import annotations

import uuid


def test_hosts_of_a_run_in_a_terminal_are_seen_and_freed(cli):
    region = cli.make("regions", name="eu-1")
    cluster = cli.make("clusters", name="eu-1a", region=region["id"])
    shard = cli.make("shards", name="web-a", role="web", cluster=cluster["id"])
    for name in ("web1", "web2"):
        cli.make("nodes", name=name, shard=shard["id"], address=f"{name}.example.net")
    assert cli.json("leases", "list") == {"items": []}
    body = {"hosts": ["web1", "web2"], "owner": "anna@desk", "reason": "site.yml"}
    taken = cli.http.post("/leases", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
    assert taken.status_code == 201, taken.text
    held = cli.json("leases", "list")["items"]
    assert {(row["host"], row["owner"]) for row in held} == {("web1", "anna@desk"), ("web2", "anna@desk")}
    assert "anna@desk (site.yml" in cli("leases", "list").stdout
    assert cli("leases", "break", "web9", "--yes").returncode == 3
    done = cli("leases", "break", "web1", "--yes")
    assert (done.returncode, done.stdout) == (0, "freed: web1, web2\n")
    assert cli.json("leases", "list") == {"items": []}
