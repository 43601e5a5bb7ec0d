"""``hostctl shards switchover``, ``failover`` and ``health``."""

from __future__ import annotations

import pytest


@pytest.fixture
def shard(cli):
    region = cli.make("regions", name="eu-1")
    cluster = cli.make("clusters", name="eu-1a", region=region["id"])
    made = cli.make("shards", name="db-a", role="db", cluster=cluster["id"])
    for number in (1, 2):
        cli.run("nodes", "create", "--name", f"db{number}", "--address", f"10.0.0.4{number}", "--shard", "db-a")
    return made


def test_moves_are_asked_for_and_refused(cli, shard):
    # Nobody has made a server of them.
    refused = cli.run("shards", "switchover", "db-a", "--no-wait", code=4).stderr
    assert "No replica of the shard is healthy" in refused
    refused = cli.run("shards", "failover", "db-a", "--node", "db2", "--no-wait", code=4).stderr
    assert "has not become a server" in refused
    cli.run("nodes", "update", "db2", "--ssh-port", "2022")
    plan = cli.json("shards", "switchover", "db-a", "--node", "db2", "--check", "--no-wait")
    assert plan["resource"]["name"] == "db-a" and plan["jobs"][0]["state"] == "queued"
    assert plan["jobs"][0]["id"] in cli.run("shards", "failover", "db-a", "--no-wait", code=4).stderr
    cli.run("jobs", "cancel", plan["jobs"][0]["id"])
    cli.run("shards", "failover", "db-a", "--accept-loss", "--no-wait")
    launch = cli.json("launches", "list", "--operation", "failover")[0]
    assert (
        launch["variables"] == {"db_dead_primary": "db1", "db_accept_loss": True} and launch["operation"] == "failover"
    )


def test_health_before_anybody_looked(cli, shard):
    cli.run("shards", "health", "db-a", code=3)
    shown = cli.json("shards", "update", "db-a", "--automatic-failover", "--failover-after", "30")
    assert shown["resource"]["automatic_failover"] is True and shown["resource"]["failover_after"] == 30
