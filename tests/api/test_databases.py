"""Databases: where they are placed, what their servers are told, and what a tenant's suspension does to them."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import password_hash

from api.core.kind import registry
from api.jobs.document import inventory_of
from api.jobs.models import Delivery


@pytest.fixture
def user(world):
    return world.admin.make(
        "database-users", database_id=world["acme-database"], suffix="app", password="a' secret one \\"
    )


def told(world):
    """Return what a terminal run tells the hosts of the db shard."""
    with world.session() as session:
        shard = session.get_one(registry["shard"].model, uuid.UUID(world["db"]))
        document = inventory_of(session, [shard])
    return document["hosts"], document["groups"]["shard_db_a"]["vars"]


def test_a_database_is_placed_near_its_tenant(world):
    admin = world.admin
    assert world.rows["acme-database"]["shard_id"] == world["db"]
    cluster = admin.make("clusters", name="eu-1b", region_id=world["region"])
    other = admin.make("shards", name="db-b", role="db", cluster_id=cluster["id"])
    for _ in range(2):
        placed = admin.make("databases", tenant_id=world["acme-tenant"])
        assert placed["shard_id"] == world["db"], "another cluster has less, but is farther away"
    own = admin.make("shards", name="web-b", role="web", cluster_id=cluster["id"])
    tenant = admin.make("tenants", brand_id=world["acme"], shard_id=own["id"])
    assert admin.make("databases", tenant_id=tenant["id"])["shard_id"] == other["id"]
    named = {"tenant_id": tenant["id"], "shard_id": world["db"]}
    assert admin.make("databases", **named)["shard_id"] == world["db"]
    wrong = admin.post("/databases", {**named, "shard_id": world["web"]})
    assert wrong.status_code == 422 and list(wrong.json["error"]["details"]["json"]) == ["shard_id"]


def test_without_a_shard_in_the_region_there_is_no_place(world):
    admin = world.admin
    region = admin.make("regions", name="us-1")
    cluster = admin.make("clusters", name="us-1a", region_id=region["id"])
    shard = admin.make("shards", name="web-us", role="web", cluster_id=cluster["id"])
    tenant = admin.make("tenants", brand_id=world["acme"], shard_id=shard["id"])
    refused = admin.post("/databases", {"tenant_id": tenant["id"]})
    assert refused.status_code == 409 and list(refused.json["error"]["details"]["json"]) == ["shard_id"]


def test_names(world, user):
    database = world.rows["acme-database"]["name"]
    assert user["name"] == f"{database}_app"
    plain = world.admin.post("/database-users", {"database_id": world["acme-database"]})
    assert plain.json["resource"]["name"] == database
    assert plain.json["resource"]["hosts"] == ["%"] and plain.json["resource"]["privileges"] == "all"
    twice = world.admin.post("/database-users", {"database_id": world["acme-database"]})
    assert twice.status_code == 409 and list(twice.json["error"]["details"]["json"]) == ["suffix"]


def test_the_collation_belongs_to_the_character_set(world):
    path = f"/databases/{world['acme-database']}"
    assert world.admin.get(path).json["collation"] == "utf8mb4_unicode_ci"
    refused = world.admin.patch(path, {"charset": "latin1"})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["collation"]
    ascii_ = world.admin.make("databases", tenant_id=world["acme-tenant"], charset="ascii")
    assert ascii_["collation"] == "ascii_general_ci"


def test_what_the_servers_are_told(world, user):
    hosts, variables = told(world)
    assert {name: host["groups"] for name, host in hosts.items()} == {
        "db1": ["db", "shard_db_a"],
        "db2": ["db", "shard_db_a"],
    }
    assert variables["db_primary"] == "db1"
    assert [node["name"] for node in variables["db_nodes"]] == ["db1", "db2"]
    assert len(variables["db_replication_password"]) == 32
    name = world.rows["acme-database"]["name"]
    assert {"id": world["acme-database"], "state": "present", "name": name, "charset": "utf8mb4",
            "collation": "utf8mb4_unicode_ci"} in variables["db_databases"]  # fmt: skip
    (sent,) = [entry for entry in variables["db_users"] if entry["id"] == user["id"]]
    assert sent == {
        "id": user["id"],
        "state": "present",
        "name": user["name"],
        "database": name,
        "privileges": "all",
        "hosts": ["%"],
        "password_hash": password_hash("a' secret one \\"),
    }
    assert "a' secret one" not in str(told(world))


def test_the_replication_password_is_nobodys_business(world):
    shard = world.admin.get(f"/shards/{world['db']}").json
    assert "replication_password" not in shard
    refused = world.admin.patch(f"/shards/{world['db']}", {"replication_password": "x" * 20})
    assert refused.status_code == 422
    _, variables = told(world)
    assert variables["db_replication_password"] not in world.admin.get("/audit").text


def test_suspending_a_tenant_locks_its_users(world, user):
    path = f"/tenants/{world['acme-tenant']}"
    suspended = world.admin.post(f"{path}/suspend").json
    assert world["db"] in {job["shard_id"] for job in suspended["jobs"]}
    with world.session() as session:
        owed = session.scalars(sa.select(Delivery.node_id).where(Delivery.resource_id == uuid.UUID(user["id"]))).all()
    assert len(owed) == 2
    (sent,) = [entry for entry in told(world)[1]["db_users"] if entry["id"] == user["id"]]
    assert sent["state"] == "suspended"
    made = world.admin.make("database-users", database_id=world["acme-database"], suffix="late")
    assert {entry["state"] for entry in told(world)[1]["db_users"] if entry["id"] == made["id"]} == {"suspended"}
    world.admin.post(f"{path}/unsuspend")
    (sent,) = [entry for entry in told(world)[1]["db_users"] if entry["id"] == user["id"]]
    assert sent["state"] == "present"


def test_a_database_with_users_stays(world, user):
    path = f"/databases/{world['acme-database']}?confirm={world.rows['acme-database']['name']}"
    refused = world.admin.delete(path)
    assert refused.status_code == 409 and refused.json["error"]["details"]["has"] == ["database-users"]
    assert world.admin.delete(f"/database-users/{user['id']}").status_code == 202
    assert world.admin.delete(path).status_code == 202
    variables = told(world)[1]
    states = {entry["id"]: entry["state"] for entry in [*variables["db_databases"], *variables["db_users"]]}
    assert states[world["acme-database"]] == states[user["id"]] == "absent"


def test_the_platform_follows_a_primary_that_moved(world):
    moved = world.admin.post(f"/nodes/{world['db2']}/promote").json
    assert moved["resource"]["is_primary"] is True
    assert {job["shard_id"] for job in moved["jobs"]} == {world["db"], world["lb"]}
    assert world.admin.get(f"/nodes/{world['db1']}").json["is_primary"] is False
    assert told(world)[1]["db_primary"] == "db2"
    with world.session() as session:
        owing = sa.select(Delivery.node_id).where(
            Delivery.kind == "node", Delivery.resource_id == uuid.UUID(world["db2"])
        )
        assert set(session.scalars(owing)) == {uuid.UUID(world[name]) for name in ("db1", "db2", "lb1")}
    assert world.admin.post(f"/nodes/{world['db2']}/promote").json["jobs"] == []
    assert world.admin.post(f"/nodes/{world['dns2']}/promote").status_code == 409


def test_the_first_node_of_a_shard_is_its_primary(world):
    admin = world.admin
    assert [world.rows[name]["is_primary"] for name in ("db1", "db2")] == [True, False]
    again = admin.post("/nodes", {"name": "db3", "address": "10.9.0.3", "shard_id": world["db"], "is_primary": True})
    assert again.status_code == 409
    kept = admin.delete(f"/nodes/{world['db1']}")
    assert kept.status_code == 409 and "primary" in kept.json["error"]["message"]
    assert admin.delete(f"/nodes/{world['db2']}").status_code == 202
    assert admin.delete(f"/nodes/{world['db1']}").status_code == 202
