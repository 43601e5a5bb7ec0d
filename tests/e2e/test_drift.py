"""A file that somebody edited on a host by hand: found, named, and repaired, or offered and applied once approved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import browse, eventually
from tests.e2e.fleet import WEB, Platform, on_host

pytestmark = pytest.mark.fleet

SITES = "/etc/nginx/hostreeve/sites"
#: A file of the role itself.
CONFIG = "/etc/nginx/nginx.conf"


@pytest.fixture
def shard(platform: Platform) -> Iterator[dict[str, Any]]:
    """The web shard, by whose policy nothing but the test searches."""
    found = platform.shards["web-a"]
    yield found
    platform.client.call("PATCH", f"/shards/{found['id']}", 202, json={"drift_policy": "report"})


def ended(platform: Platform, job: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = eventually(lambda: platform.client.ended(job), 180)
    return done


def search(platform: Platform, shard: dict[str, Any]) -> list[dict[str, Any]]:
    """Search the shard; return what was found."""
    job = platform.client.call("POST", f"/shards/{shard['id']}/check", 202)["jobs"][0]
    done = ended(platform, job)
    assert done["state"] == "successful", done
    return drift(platform, shard)


def drift(platform: Platform, shard: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.client.call("GET", f"/drift?shard_id={shard['id']}&limit=200")["items"]
    return found


def policy(platform: Platform, shard: dict[str, Any], value: str) -> None:
    """Set the policy, and wait for the search that follows by itself."""
    before = {job["id"] for job in checks(platform, shard)}
    platform.client.call("PATCH", f"/shards/{shard['id']}", 202, json={"drift_policy": value})
    new = eventually(lambda: [job for job in checks(platform, shard) if job["id"] not in before], 30)
    assert ended(platform, new[0])["state"] == "successful"


def checks(platform: Platform, shard: dict[str, Any]) -> list[dict[str, Any]]:
    jobs = platform.client.call("GET", f"/jobs?shard_id={shard['id']}")["items"]
    return [job for job in jobs if job["purpose"] == "check"]


def edit(name: str) -> str:
    """Let a name's server block say something else; return it as it was."""
    path = f"{SITES}/{name}.conf"
    before = on_host("web1", "cat", path)
    on_host("web1", "sed", "-i", f"s/server_name {name}/server_name edited.acme.test/", path)
    assert on_host("web1", "cat", path) != before
    on_host("web1", "nginx", "-s", "reload")
    return before


def test_an_edited_server_block_is_found_named_and_repaired(
    platform: Platform, site: dict[str, Any], shard: dict[str, Any]
) -> None:
    client, name = platform.client, "drift.acme.test"
    fqdn = client.make("fqdns", webroot_id=site["id"], fqdn=name)
    assert search(platform, shard) == []
    before = edit(name)
    on_host("web1", "sh", "-c", f"echo '# by hand' >> {CONFIG}")
    found = {(row["host"], row["kind"], row["name"]): row for row in search(platform, shard)}
    assert set(found) == {("web1", "fqdn", name), ("web1", "", "web: Write the configuration")}
    row = found["web1", "fqdn", name]
    assert row["resource_id"] == fqdn["id"]
    assert any("edited.acme.test" in one["before"] and name in one["after"] for one in row["diff"])
    # It was only looked at.
    assert on_host("web1", "cat", f"{SITES}/{name}.conf") != before
    assert client.get("fqdns", fqdn)["status"] == "active"
    policy(platform, shard, "repair")
    eventually(lambda: drift(platform, shard) == [], 180)
    assert on_host("web1", "cat", f"{SITES}/{name}.conf") == before
    assert "by hand" not in on_host("web1", "cat", CONFIG)
    eventually(lambda: browse(WEB["web1"], name).status_code == 200, 10)
    assert search(platform, shard) == []


def test_it_is_offered_approved_and_applied(platform: Platform, site: dict[str, Any], shard: dict[str, Any]) -> None:
    client, name = platform.client, "offered.acme.test"
    client.make("fqdns", webroot_id=site["id"], fqdn=name)
    before = edit(name)
    policy(platform, shard, "ask")
    offered = client.call("GET", f"/plans?shard_id={shard['id']}&state=ready&origin=drift")["items"]
    assert len(offered) == 1
    plan = client.call("GET", f"/plans/{offered[0]['id']}")
    assert [(change["host"], change["name"]) for change in plan["changes"] if change["kind"]] == [("web1", name)]
    assert on_host("web1", "cat", f"{SITES}/{name}.conf") != before
    client.call("POST", f"/plans/{plan['id']}/apply", 409)
    client.call("POST", f"/plans/{plan['id']}/approve", 202, json={"comment": "as it was"})
    job = client.call("POST", f"/plans/{plan['id']}/apply", 202)["jobs"][0]
    done = ended(platform, job)
    assert (done["state"], done["purpose"]) == ("successful", "apply"), done
    assert client.call("GET", f"/plans/{plan['id']}")["state"] == "applied"
    assert on_host("web1", "cat", f"{SITES}/{name}.conf") == before and drift(platform, shard) == []
    # Once more by hand, after the approval: what would be done is not what was approved.
    edit(name)
    plan = client.call("POST", f"/shards/{shard['id']}/plan", 202)
    assert ended(platform, plan["jobs"][0])["state"] == "successful"
    client.call("POST", f"/plans/{plan['resource']['id']}/approve", 202, json={})
    on_host("web1", "rm", f"{SITES}/{name}.conf")
    job = client.call("POST", f"/plans/{plan['resource']['id']}/apply", 202)["jobs"][0]
    assert ended(platform, job)["reason"].startswith("plan_refused: prediction moved")
    stale = client.call("GET", f"/plans/{plan['resource']['id']}")
    assert (stale["state"], stale["moved"]) == ("stale", ["prediction"])
    job = client.call("POST", f"/shards/{shard['id']}/converge", 202)["jobs"][0]
    assert ended(platform, job)["state"] == "successful"
    assert on_host("web1", "cat", f"{SITES}/{name}.conf") == before
