"""Valkey instances and users: where they are placed, what their hosts are told, what a tenant's suspension reaches."""

from __future__ import annotations

import hashlib
import uuid

import pytest
import sqlalchemy as sa

from api.core.kind import registry
from api.jobs.document import inventory_of
from api.jobs.models import Delivery


def shard_of(world, role="valkey", **fields):
    return world.admin.make("shards", **{"cluster_id": world["cluster"], "role": role, **fields})


def node_of(world, shard, name, **fields):
    number = 100 + len(world.admin.get("/nodes").json["items"])
    body = {"name": name, "address": f"10.9.0.{number}", "shard_id": shard["id"], **fields}
    return world.admin.make("nodes", **body)


@pytest.fixture
def three(world):
    """A shard of three nodes."""
    shard = shard_of(world, name="kv-three")
    return shard, [node_of(world, shard, f"three{number}") for number in (1, 2, 3)]


def document(world, shard_id):
    """Return the groups and variables of a shard's first host, as a terminal run gets them."""
    with world.session() as session:
        shard = session.get(registry["shard"].model, uuid.UUID(shard_id))
        body = inventory_of(session, [shard])
    host = next(iter(body["hosts"].values()))
    found = dict(host["vars"])
    for group in body["groups"].values():
        found.update(group.get("vars", {}))
    return host["groups"], found


def test_a_new_instance_is_placed_on_the_least_filled_shard_of_the_tenants_cluster(world):
    far = world.admin.make("clusters", name="eu-1b", region_id=world["region"])
    shard_of(world, name="kv-far", cluster_id=far["id"])
    shard_of(world, name="kv-empty")  # nobody to carry anything
    near = shard_of(world, name="kv-near")
    node_of(world, near, "near1")
    made = [world.admin.make("valkey-instances", tenant_id=world["acme-cached"]) for _ in range(3)]
    # The two brands' own are on the first shard.
    assert [row["shard_id"] for row in made[:2]] == [near["id"]] * 2
    assert made[2]["shard_id"] in (near["id"], world["valkey"])
    assert [row["port"] for row in made[:2]] == [20000, 20001]


def test_ports_are_given_again_but_never_twice(world):
    ports = [world.admin.make("valkey-instances", tenant_id=world["acme-cached"])["port"] for _ in range(3)]
    assert ports == [20002, 20003, 20004]
    with world.session() as session:
        session.execute(
            sa.update(registry["valkey_instance"].model.__table__).where(sa.text("port = 20003")).values(port=20009)
        )
        session.commit()
    assert world.admin.make("valkey-instances", tenant_id=world["acme-cached"])["port"] == 20003


def test_a_shard_of_another_role_is_refused(world):
    refused = world.admin.post("/valkey-instances", {"tenant_id": world["acme-cached"], "shard_id": world["web"]})
    assert refused.status_code == 422 and refused.json["error"]["details"]["json"]["shard_id"]


def test_without_a_shard_there_is_a_reason(world):
    with world.session() as session:
        session.execute(
            sa.update(registry["shard"].model.__table__).where(sa.text("role = 'valkey'")).values(role="lb")
        )
        session.commit()
    refused = world.admin.post("/valkey-instances", {"tenant_id": world["acme-cached"]})
    assert refused.status_code == 409 and refused.json["error"]["details"]["json"]["shard_id"]


def test_a_user_is_named_after_its_instance(world):
    name = world.rows["acme-valkey"]["name"]
    made = world.admin.make("valkey-users", instance_id=world["acme-valkey"], suffix="app")
    assert made["name"] == f"{name}_app"
    twice = world.admin.post("/valkey-users", {"instance_id": world["acme-valkey"], "suffix": "app"})
    assert twice.status_code == 409


@pytest.mark.parametrize(
    ("fields", "field"), [({"access": "custom"}, "rules"), ({"access": "all", "rules": "+get"}, "rules")]
)
def test_rules_and_access_go_together(world, fields, field):
    body = {"instance_id": world["acme-valkey"], "suffix": "app", **fields}
    refused = world.admin.post("/valkey-users", body)
    assert refused.status_code == 422 and field in refused.json["error"]["details"]["json"]
    made = world.admin.make("valkey-users", **{**body, "access": "custom", "rules": "+get"})
    refused = world.admin.patch(f"/valkey-users/{made['id']}", {"access": "all"})
    assert refused.status_code == 422
    assert world.admin.patch(f"/valkey-users/{made['id']}", {"access": "all", "rules": ""}).status_code == 202


def test_a_host_is_told_of_its_own_tenants_and_of_hashes_only(world):
    answer = world.admin.post("/valkey-users", {"instance_id": world["acme-valkey"], "suffix": "app"}).json
    groups, found = document(world, world["valkey"])
    assert groups[0] == "valkey" and "web_trusted_proxies" not in found
    assert {row["id"] for row in found["valkey_tenants"]} == {world["acme-cached"], world["other-cached"]}
    assert {row["id"] for row in found["valkey_instances"]} == {world["acme-valkey"], world["other-valkey"]}
    (user,) = found["valkey_users"]
    assert user["password_sha256"] == hashlib.sha256(answer["secret"].encode()).hexdigest()
    assert answer["secret"] not in str(found)


def test_a_web_host_knows_nothing_of_valkey(world):
    _, found = document(world, world["lb"])
    assert not [name for name in found if name.startswith("valkey")]


def test_suspending_a_tenant_reaches_its_instances_and_their_users(world):
    user = world.admin.make("valkey-users", instance_id=world["acme-valkey"], suffix="app")
    with world.session() as session:
        session.execute(sa.delete(Delivery))
        session.commit()
    answer = world.admin.post(f"/tenants/{world['acme-cached']}/suspend")
    assert {job["shard_id"] for job in answer.json["jobs"]} == {world["web"], world["valkey"]}
    with world.session() as session:
        owed = session.execute(sa.select(Delivery.kind, Delivery.resource_id, Delivery.shard_id)).all()
    on_valkey = {(kind, str(id_)) for kind, id_, shard in owed if str(shard) == world["valkey"]}
    assert on_valkey == {
        ("tenant", world["acme-cached"]),
        ("valkey_instance", world["acme-valkey"]),
        ("valkey_user", user["id"]),
    }
    _, found = document(world, world["valkey"])
    states = {row["id"]: row["state"] for row in found["valkey_tenants"]}
    assert states == {world["acme-cached"]: "suspended", world["other-cached"]: "present"}


def test_a_tenant_without_instances_concerns_no_valkey_host(world):
    answer = world.admin.post(f"/tenants/{world['acme-tenant']}/suspend")
    assert world["valkey"] not in {job["shard_id"] for job in answer.json["jobs"]}


def test_an_instance_keeps_its_tenant_and_its_users_keep_it(world):
    world.admin.make("valkey-users", instance_id=world["acme-valkey"], suffix="app")
    name = world.rows["acme-valkey"]["name"]
    refused = world.admin.delete(f"/valkey-instances/{world['acme-valkey']}?confirm={name}")
    assert refused.status_code == 409 and refused.json["error"]["details"]["has"] == ["valkey-users"]
    refused = world.admin.delete(f"/tenants/{world['acme-cached']}")
    assert refused.status_code == 409 and refused.json["error"]["details"]["has"] == ["valkey-instances"]


def test_an_instance_lives_on_the_node_with_the_least_memory_given_away(world, three):
    shard, nodes = three
    sizes = (64, 32, 16, 16, 64, 16)
    made = [
        world.admin.make(
            "valkey-instances", tenant_id=world["acme-cached"], shard_id=shard["id"], memory_mb=size, label=f"n{index}"
        )
        for index, size in enumerate(sizes)
    ]
    names = {node["id"]: node["name"] for node in nodes}
    assert [names[row["node_id"]][-1] for row in made] == ["1", "2", "3", "3", "2", "3"]
    _, found = document(world, shard["id"])
    assert {row["name"]: row["node"] for row in found["valkey_instances"]} == {
        row["name"]: names[row["node_id"]] for row in made
    }
    assert [row["name"] for row in found["valkey_nodes"]] == ["three1", "three2", "three3"]
    assert "replication_password" not in str(found)


def test_a_node_says_what_its_instances_may_have_together(world):
    shard = shard_of(world, name="kv-small")
    small, large = node_of(world, shard, "small1", memory_mb=100), node_of(world, shard, "small2", memory_mb=300)
    make = {"tenant_id": world["acme-cached"], "shard_id": shard["id"]}
    first = world.admin.make("valkey-instances", **make, memory_mb=128)
    assert first["node_id"] == large["id"]
    assert world.admin.make("valkey-instances", **make, memory_mb=64)["node_id"] == small["id"]
    refused = world.admin.post("/valkey-instances", {**make, "memory_mb": 200})
    assert refused.status_code == 409 and refused.json["error"]["details"]["json"]["memory_mb"]
    assert world.admin.patch(f"/valkey-instances/{first['id']}", {"memory_mb": 300}).status_code == 202
    assert world.admin.patch(f"/valkey-instances/{first['id']}", {"memory_mb": 301}).status_code == 409
    refused = world.admin.patch(f"/nodes/{world['web1']}", {"memory_mb": 100})
    assert refused.status_code == 422 and refused.json["error"]["details"]["json"]["memory_mb"]


def test_a_highly_available_instance_needs_three_nodes_and_is_on_all(world, three):
    shard, _ = three
    make = {"tenant_id": world["acme-cached"], "highly_available": True}
    refused = world.admin.post("/valkey-instances", {**make, "shard_id": world["valkey"]})
    assert refused.status_code == 409 and refused.json["error"]["details"]["json"]["shard_id"]
    made = world.admin.make("valkey-instances", **make)
    assert made["shard_id"] == shard["id"] and made["highly_available"] and "replication_password" not in made
    _, found = document(world, shard["id"])
    (item,) = found["valkey_instances"]
    assert item["highly_available"] is True and item["node"] == "three1" and len(item["replication_password"]) >= 16
    assert item["replication_password"] not in world.admin.get(f"/valkey-instances/{made['id']}").text
    assert world.admin.patch(f"/valkey-instances/{made['id']}", {"highly_available": False}).status_code == 422
    with world.session() as session:
        owed = session.scalars(sa.select(Delivery.node_id).where(Delivery.resource_id == uuid.UUID(made["id"]))).all()
    assert len(owed) == 3


def test_nodes_join_and_leave(world, three):
    shard, nodes = three
    make = {"tenant_id": world["acme-cached"], "shard_id": shard["id"]}
    alone = world.admin.make("valkey-instances", **make)
    everywhere = world.admin.make("valkey-instances", **make, highly_available=True, label="vital")
    home = {node["id"]: node for node in nodes}[alone["node_id"]]
    refused = world.admin.delete(f"/nodes/{home['id']}")
    assert refused.status_code == 409 and "Instances live" in refused.text
    other = next(node for node in nodes if node["id"] != home["id"])
    refused = world.admin.delete(f"/nodes/{other['id']}")
    assert refused.status_code == 409 and "need 3 nodes" in refused.text
    with world.session() as session:
        session.execute(sa.delete(Delivery))
        session.commit()
    node_of(world, shard, "three4")
    with world.session() as session:  # the others must know it, for a majority is another one now
        assert session.scalar(sa.select(sa.func.count()).where(Delivery.kind == "node")) == 4
    first = everywhere["node_id"]
    leaving = next(node for node in nodes if node["id"] != home["id"] and node["id"] in (first, other["id"]))
    assert world.admin.delete(f"/nodes/{leaving['id']}").status_code == 202
    _, found = document(world, shard["id"])
    assert leaving["name"] not in {row["name"] for row in found["valkey_nodes"]} | {
        row["node"] for row in found["valkey_instances"]
    }
