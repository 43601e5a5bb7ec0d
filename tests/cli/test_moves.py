"""``hostctl databases move`` and ``hostctl moves``."""

from __future__ import annotations


def test_a_move_is_asked_for_and_seen(cli, server):
    region = cli.make("regions", name="eu-1")
    cluster = cli.make("clusters", name="eu-1a", region=region["id"])
    cli.make("shards", name="web-a", role="web", cluster=cluster["id"])
    for name, address in (("db-a", "10.0.0.1"), ("db-b", "10.0.0.2")):
        shard = cli.make("shards", name=name, role="db", cluster=cluster["id"])
        if name == "db-b":
            cli.make("nodes", name="db2", address=address, shard=shard["id"])
    names = [text for number in (1, 2) for text in ("--nameservers", f"ns{number}.acme.example")]
    mail = "hostmaster@acme.example"
    brand = cli.json(
        "brands", "create", "--name", "acme", "--base-domain", "acme.example", "--hostmaster", mail, *names
    )
    tenant = cli.make("tenants", brand=brand["resource"]["id"])
    database = cli.make("databases", tenant=tenant["id"], shard="db-a")
    assert "has no node yet" in cli.run("databases", "move", database["name"], "--shard", "db-b", code=4).stderr
    cli.run("databases", "move", database["name"], "--shard", "nowhere", code=3)
    cli.run("databases", "move", database["name"], code=2)
    assert cli.json("moves", "list") == []
    assert cli.json("databases", "show", database["name"])["shard_id"] == database["shard_id"]
