"""A tenant's Valkey through REST: made, used, changed while it runs, moved, gone; one outlives its primary."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from redis.sentinel import Sentinel

from tests.e2e.client import eventually
from tests.e2e.fleet import ELSEWHERE, VALKEY, Platform, kill_run, on_host

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def shard(platform: Platform) -> dict[str, Any]:
    """A shard of three Valkey hosts."""
    return furnished(platform, "valkey-a", VALKEY)


@pytest.fixture(scope="module")
def elsewhere(platform: Platform) -> dict[str, Any]:
    """Another, of one."""
    return furnished(platform, "valkey-b", ELSEWHERE)


def furnished(platform: Platform, name: str, hosts: dict[str, str]) -> dict[str, Any]:
    client = platform.client
    made = client.create("shards", cluster_id=platform.shards["web-a"]["cluster_id"], name=name, role="valkey")
    nodes = [client.create("nodes", shard_id=made["id"], name=host, address=address) for host, address in hosts.items()]
    for node in nodes:
        client.until("nodes", node, "active", 600)
    converged(platform, made)  # takes away what an earlier run left
    return made


def converged(platform: Platform, shard: dict[str, Any]) -> None:
    """Converge a whole shard."""
    (job,) = platform.client.call("POST", f"/shards/{shard['id']}/converge", 202)["jobs"]
    ended = eventually(lambda: platform.client.ended(job), 120)
    assert ended["state"] == "successful"


@pytest.fixture
def instance(platform: Platform, shard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An instance of a tenant that has nothing else; both are removed afterwards with what is below them."""
    yield from lent(platform, shard)


@pytest.fixture
def vital(platform: Platform, shard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, highly available."""
    yield from lent(platform, shard, highly_available=True)


def lent(platform: Platform, shard: dict[str, Any], **fields: Any) -> Iterator[dict[str, Any]]:
    client = platform.client
    tenant = client.make("tenants", brand_id=platform.brand["id"], shard_id=platform.shards["web-a"]["id"])
    made = client.make("valkey-instances", tenant_id=tenant["id"], shard_id=shard["id"], **fields)
    yield made
    for user in client.call("GET", f"/valkey-users?instance_id={made['id']}")["items"]:
        client.delete("valkey-users", user)
    client.call("DELETE", f"/valkey-instances/{made['id']}?confirm={made['name']}", 202)
    client.gone("valkey-instances", made)
    for host in (*VALKEY, *ELSEWHERE):
        for user in (tenant["name"], made["name"]):
            assert on_host(host, "getent", "passwd", user, check=False) == ""
    client.delete("tenants", tenant)


def user_of(platform: Platform, instance: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], str]:
    """Make a user; return it and its password."""
    body = {"instance_id": instance["id"], "suffix": "app", **fields}
    answer = platform.client.call("POST", "/valkey-users", 202, json=body)
    return platform.client.until("valkey-users", answer["resource"], "active"), answer["secret"]


def connect(instance: dict[str, Any], user: dict[str, Any], password: str) -> Any:
    """Return a client as a site on another host would have it."""
    at = instance["endpoint"]
    return redis.Redis(at["host"], at["port"], username=user["name"], password=password, socket_timeout=5)


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
    elsewhere = [host for host, address in VALKEY.items() if address != site.get_connection_kwargs()["host"]]
    assert not any(instance["name"] in on_host(host, "ls", "/srv/valkey") for host in elsewhere)

    # Whoever changes how often it is read has it read at once.
    client.call("PATCH", f"/shards/{instance['shard_id']}", 202, json={"usage_every": 1440})
    used = eventually(lambda: client.call("GET", f"/valkey-instances/{instance['id']}/usage")["items"])[0]
    assert used["state"] == "up" and used["numbers"]["keys"] == 1
    assert used["numbers"]["memory_most_bytes"] == 96 * 1024 * 1024
    sums = client.call("GET", f"/tenants/{instance['tenant_id']}/usage")["valkey_instances"]
    assert sums["measured"] == 1 and sums["numbers"] == used["numbers"]

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
    home = platform.client.get("nodes", {"id": instance["node_id"]})
    assert home["name"] in seen["status_message"] and "nosuch" in seen["status_message"]
    site = connect(instance, user, password)
    assert site.set("app:x", "1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        site.set("other", "1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        site.config_get("dir")


class Writer(threading.Thread):
    """Writes until it is told to stop, where the platform says, and remembers what was acknowledged."""

    def __init__(self, platform: Platform, instance: dict[str, Any], user: dict[str, Any], password: str) -> None:
        super().__init__(daemon=True)
        self.platform, self.instance, self.user, self.password = platform, instance, user, password
        self.acknowledged: list[int] = []
        self.longest, self.enough = 0.0, threading.Event()

    def run(self) -> None:
        site, number, last = None, 0, time.monotonic()
        while not self.enough.is_set():
            number += 1
            try:
                site = site or connect(self.where(), self.user, self.password)
                site.set(f"ledger:{number}", number)
            except (redis.RedisError, httpx.HTTPError):
                # Nobody said that it was not written, so it is no loss either way. The address may be another by now.
                site = None
                time.sleep(0.2)
                continue
            self.acknowledged.append(number)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            time.sleep(0.002)

    def where(self) -> dict[str, Any]:
        return self.platform.client.get("valkey-instances", self.instance)

    def writes(self) -> bool:
        """Tell whether something is acknowledged from now on."""
        before = len(self.acknowledged)
        return bool(eventually(lambda: len(self.acknowledged) > before, 30))


def test_an_instance_moves_while_it_is_written_to_and_a_killed_run_costs_nothing(
    platform: Platform, shard: dict[str, Any], elsewhere: dict[str, Any], instance: dict[str, Any]
) -> None:
    client, name = platform.client, instance["name"]
    user, password = user_of(platform, instance)
    before = client.get("valkey-instances", instance)["endpoint"]
    assert before["host"] in VALKEY.values()
    first = connect(instance, user, password)
    with first.pipeline(transaction=False) as pipe:
        for number in range(2000):
            pipe.set(f"key:{number}", f"value:{number}", ex=3600 + number)
        assert all(pipe.execute())
    writer = Writer(platform, instance, user, password)
    writer.start()
    assert writer.writes()

    # The run is killed while writes wait: they go on by themselves, where they were.
    asked = {"shard_id": elsewhere["id"], "lock_seconds": 20}
    move = client.call("POST", f"/valkey-instances/{instance['id']}/move", 202, json=asked)["resource"]

    def locked() -> bool:
        now = client.call("GET", f"/moves/{move['id']}")
        assert now["state"] == "copying", now
        return now["progress"].get("phase") == "locking"

    eventually(locked, 120, 0.02)
    kill_run(move["job_id"])
    eventually(lambda: client.call("GET", f"/moves/{move['id']}")["state"] == "failed", 60)
    client.until("valkey-instances", instance, "active")
    assert client.get("valkey-instances", instance)["endpoint"] == before and writer.writes()

    again = client.call("POST", f"/moves/{move['id']}/retry", 202)["resource"]
    client.call("DELETE", f"/valkey-instances/{instance['id']}?confirm={name}", 409)
    assert eventually(lambda: client.ended({"id": again["job_id"]}), 180)["state"] == "successful"
    done = client.call("GET", f"/moves/{move['id']}")
    assert done["state"] == "switched" and done["result"]["by"] == "replication", done
    assert done["result"]["keys"] > 2000 and done["result"]["expiring"] == 2000
    moved = client.until("valkey-instances", instance, "active")
    client.until("valkey-users", user, "active")
    assert moved["shard_id"] == elsewhere["id"] and moved["endpoint"]["host"] in ELSEWHERE.values()
    assert writer.writes()
    writer.enough.set()
    writer.join(30)
    print(f"acknowledged {len(writer.acknowledged)}, longest wait {writer.longest:.1f} s, move {done['result']}")

    def whole(at: dict[str, Any]) -> bool:
        site = connect(at, user, password)
        lost = [one for one in writer.acknowledged if not site.exists(f"ledger:{one}")]
        kept = [site.get(f"key:{number}") for number in (0, 1999)] == [b"value:0", b"value:1999"]
        return lost == [] and kept and 5000 < site.ttl("key:1999") <= 5599

    assert len(writer.acknowledged) > 100 and whole(moved)
    assert refuses(connect(instance, user, password)), "nobody answers where it was"

    # What stays behind needs no port, and is replaced when the instance comes back.
    (home,) = [host for host, address in VALKEY.items() if address == before["host"]]
    other = client.make("valkey-instances", tenant_id=instance["tenant_id"], shard_id=shard["id"])
    assert other["endpoint"] == before and name in on_host(home, "ls", "/srv/valkey")
    client.call("DELETE", f"/valkey-instances/{other['id']}?confirm={other['name']}", 202)
    client.gone("valkey-instances", other)
    back = client.call("POST", f"/valkey-instances/{instance['id']}/move", 202, json={"shard_id": shard["id"]})
    assert eventually(lambda: client.ended(back["jobs"][0]), 180)["state"] == "successful"
    client.until("valkey-users", user, "active")
    returned = client.until("valkey-instances", instance, "active")
    assert returned["endpoint"] == before and whole(returned)
    assert client.call("GET", f"/moves/{move['id']}")["state"] == "confirmed"
    assert name in on_host(home, "ls", "/srv/valkey/.removed")

    job = client.call("POST", f"/moves/{back['resource']['id']}/confirm", 202)["jobs"][0]
    assert eventually(lambda: client.ended(job), 60)["state"] == "successful"
    (far,) = ELSEWHERE
    assert name not in on_host(far, "ls", "/srv/valkey", "/etc/hostreeve/valkey")
    assert name in on_host(far, "ls", "/srv/valkey/.removed") and whole(returned)


def test_a_highly_available_instance_outlives_its_primary(
    platform: Platform, shard: dict[str, Any], vital: dict[str, Any]
) -> None:
    user, password = user_of(platform, vital)
    who = {"username": user["name"], "password": password, "socket_timeout": 2}
    sentinel = Sentinel([(address, vital["port"] - 10_000) for address in VALKEY.values()], sentinel_kwargs=who, **who)
    primary = sentinel.master_for(vital["name"])
    assert eventually(lambda: replicated(primary), 30)
    # What a Sentinel has not seen yet it cannot promote, and each must know the others.
    assert eventually(lambda: all(knows(each, vital["name"]) for each in sentinel.sentinels), 60)
    first = sentinel.discover_master(vital["name"])[0]
    host = next(name for name, address in VALKEY.items() if address == first)
    units = [f"hostreeve-valkey{part}@{vital['name']}" for part in ("", "-sentinel")]
    on_host(host, "systemctl", "mask", "--runtime", *units)
    on_host(host, "systemctl", "kill", "--signal=KILL", *units)

    assert eventually(lambda: taken_over(sentinel, vital, first), 60)
    assert primary.get("before") == b"1"
    on_host(host, "systemctl", "unmask", "--runtime", *units)
    converged(platform, shard)
    assert eventually(lambda: len(sentinel.discover_slaves(vital["name"])) == 2, 30)
    assert sentinel.discover_master(vital["name"])[0] != first and primary.get("after") == b"1"


def replicated(primary: Any) -> bool:
    """Tell whether a write comes to both replicas; while there are none the primary refuses it."""
    try:
        return bool(primary.set("before", "1") and primary.wait(2, 1000) == 2)
    except redis.RedisError:
        return False


def knows(sentinel: Any, name: str) -> bool:
    """Tell whether a Sentinel has found both replicas and both other Sentinels."""
    try:
        state = sentinel.sentinel_masters()[name]
    except (redis.RedisError, KeyError):
        return False
    return (int(state["num-slaves"]), int(state["num-other-sentinels"])) == (2, 2)


def taken_over(sentinel: Any, instance: dict[str, Any], first: str) -> bool:
    """Tell whether another node than the first takes writes."""
    try:
        primary = sentinel.master_for(instance["name"])
        return bool(sentinel.discover_master(instance["name"])[0] != first and primary.set("after", "1"))
    except redis.RedisError:
        return False
