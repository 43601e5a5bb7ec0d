"""A tenant's Valkey through REST: made, used, changed while it runs, suspended, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.e2e.client import eventually
from tests.e2e.conftest import VALKEY, Platform, on_host

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def shard(platform: Platform) -> dict[str, Any]:
    """A shard of one Valkey host."""
    client = platform.client
    made = client.create("shards", cluster_id=platform.shards["web-a"]["cluster_id"], name="valkey-a", role="valkey")
    for host, address in VALKEY.items():
        client.until("nodes", client.create("nodes", shard_id=made["id"], name=host, address=address), "active", 600)
    return made


@pytest.fixture
def instance(platform: Platform, shard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An instance of a tenant that has nothing else; both are removed afterwards with what is below them."""
    client = platform.client
    tenant = client.make("tenants", brand_id=platform.brand["id"], shard_id=platform.shards["web-a"]["id"])
    made = client.make("valkey-instances", tenant_id=tenant["id"])
    assert made["shard_id"] == shard["id"]
    yield made
    for user in client.call("GET", f"/valkey-users?instance_id={made['id']}")["items"]:
        client.delete("valkey-users", user)
    client.call("DELETE", f"/valkey-instances/{made['id']}?confirm={made['name']}", 202)
    client.gone("valkey-instances", made)
    for host in VALKEY:
        assert on_host(host, "getent", "passwd", tenant["name"], check=False) == ""
    client.delete("tenants", tenant)


def user_of(platform: Platform, instance: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], str]:
    """Make a user; return it and its password."""
    body = {"instance_id": instance["id"], "suffix": "app", **fields}
    answer = platform.client.call("POST", "/valkey-users", 202, json=body)
    return platform.client.until("valkey-users", answer["resource"], "active"), answer["secret"]


def connect(instance: dict[str, Any], user: dict[str, Any], password: str) -> Any:
    """Return a client as a site on another host would have it."""
    (address,) = VALKEY.values()
    return redis.Redis(address, instance["port"], username=user["name"], password=password, socket_timeout=5)


def refuses(client: Any) -> bool:
    try:
        client.ping()
    except (redis.AuthenticationError, redis.ConnectionError):
        return True
    return False


def test_what_is_stored_outlives_changes_and_a_suspension(platform: Platform, instance: dict[str, Any]) -> None:
    client = platform.client
    user, password = user_of(platform, instance)
    site = connect(instance, user, password)
    assert site.set("greeting", "hello") and site.client_id()
    before = site.info("server")["process_id"]

    change = {"memory_mb": 96, "eviction": "allkeys-lru", "persistence": "aof"}
    client.call("PATCH", f"/valkey-instances/{instance['id']}", 202, json=change)
    client.until("valkey-instances", instance, "active")
    assert site.info("memory")["maxmemory"] == 96 * 1024 * 1024 and site.info("persistence")["aof_enabled"] == 1
    assert site.info("server")["process_id"] == before

    tenant = client.get("tenants", {"id": instance["tenant_id"]})
    client.call("POST", f"/tenants/{tenant['id']}/suspend", 202)
    client.until("tenants", tenant, "suspended")
    assert eventually(lambda: refuses(connect(instance, user, password)), 10)
    client.call("POST", f"/tenants/{tenant['id']}/unsuspend", 202)
    client.until("tenants", tenant, "active")
    assert connect(instance, user, password).get("greeting") == b"hello"


def test_a_rotated_password_is_worth_nothing(platform: Platform, instance: dict[str, Any]) -> None:
    user, old = user_of(platform, instance)
    listener = connect(instance, user, old)
    assert listener.ping()
    new = platform.client.call("POST", f"/valkey-users/{user['id']}/rotate", 202)["secret"]
    platform.client.until("valkey-users", user, "active")
    assert refuses(connect(instance, user, old)) and connect(instance, user, new).ping()
    for job in platform.client.call("GET", "/jobs?limit=5")["items"]:
        output = platform.client.http.get(f"/jobs/{job['id']}/output").text
        assert old not in output and new not in output


def test_rules_that_valkey_does_not_know_fail_alone(platform: Platform, instance: dict[str, Any]) -> None:
    body = {"instance_id": instance["id"], "suffix": "odd", "access": "custom", "rules": "~app:* +nosuch"}
    odd = platform.client.create("valkey-users", **body)
    user, password = user_of(platform, instance, access="custom", rules="~app:* +get +set")
    seen = platform.client.until("valkey-users", odd, "failed")
    assert "kv1" in seen["status_message"] and "nosuch" in seen["status_message"]
    site = connect(instance, user, password)
    assert site.set("app:x", "1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        site.set("other", "1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        site.config_get("dir")
