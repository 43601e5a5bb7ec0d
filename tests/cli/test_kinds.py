"""The commands of kinds, made from what the server describes."""

from __future__ import annotations


def test_a_resource_from_creation_to_the_end(cli, worker):
    region = cli.make("regions", name="eu-1")
    assert region["status"] == "active"
    cli.make("clusters", name="eu-1a", region="eu-1")
    cli.make("shards", name="web-a", role="web", cluster="eu-1a")
    result = cli.json("nodes", "create", "--name", "web1", "--address", "10.0.0.11", "--shard", "web-a", "--wait")
    assert result["resource"]["status"] == "active"
    row = cli.json("nodes", "show", "web1")
    assert row["id"] == result["resource"]["id"]
