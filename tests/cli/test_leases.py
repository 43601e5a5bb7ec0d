"""``hostctl leases``: who holds a host, and taking it away."""

from __future__ import annotations

import httpx


def test_hosts_of_a_run_in_a_terminal_are_seen_and_freed(cli, server):
    region = cli.make("regions", name="eu-1")
    cluster = cli.make("clusters", name="eu-1a", region=region["id"])
    shard = cli.make("shards", name="web-a", role="web", cluster=cluster["id"])
    for name, address in (("web1", "10.0.0.1"), ("web2", "10.0.0.2")):
        cli.make("nodes", name=name, shard=shard["id"], address=address)
    assert cli.json("leases", "list") == {"items": []}
    body = {"hosts": ["web1", "web2"], "owner": "anna@desk", "reason": "site.yml"}
    taken = httpx.post(f"{server.url}/leases", json=body, headers={"Authorization": f"Bearer {server.key}"})
    assert taken.status_code == 201, taken.text
    held = cli.json("leases", "list")["items"]
    assert {(row["host"], row["owner"]) for row in held} == {("web1", "anna@desk"), ("web2", "anna@desk")}
    assert "web1\tanna@desk (site.yml" in cli.run("leases", "list").stdout
    cli.run("leases", "break", "web9", "--yes", code=3)
    assert cli.run("leases", "break", "web1", "--yes").stdout == "freed: web1, web2\n"
    assert cli.json("leases", "list") == {"items": []}
