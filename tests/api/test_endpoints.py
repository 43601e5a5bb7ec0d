"""Where the clients of databases connect to, and what the load balancers are told so that they get there."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.kind import registry
from api.core.state import EXTENSION
from api.jobs.hosts import role_variables
from api.jobs.models import Delivery


@pytest.fixture
def balanced(world):
    """Give the cluster two addresses; the first one is the older."""
    for address in ("192.0.2.9", "2001:db8::9"):
        world.admin.make("lb-addresses", cluster_id=world["cluster"], address=address)


def told(world):
    """Return what the load balancers of the cluster are told about databases."""
    with world.session() as session:
        shard = session.get_one(registry["shard"].model, uuid.UUID(world["lb"]))
        return role_variables(session, shard)["lb_tcp"]


def endpoint(world, id_):
    return world.admin.get(f"/databases/{id_}").json["endpoint"]


def test_without_a_load_balancer_clients_ask_the_primary(world):
    with world.session() as session:
        session.execute(sa.delete(registry["lb_address"].model))
        session.commit()
    address = world.rows["db1"]["address"]
    expected = {"host": address, "port": 3306, "hosts": [address]}
    assert endpoint(world, world["acme-database"]) == expected
    moved = world.admin.post(f"/nodes/{world['db2']}/promote")
    assert moved.status_code == 202
    assert endpoint(world, world["acme-database"])["host"] == world.rows["db2"]["address"]


def test_with_a_load_balancer_the_address_stays(world, balanced):
    with world.session() as session:
        addresses = session.scalars(
            sa.select(registry["lb_address"].model.address)
            .where(registry["lb_address"].model.cluster_id == uuid.UUID(world["cluster"]))
            .order_by(registry["lb_address"].model.created_at)
        ).all()
    before = endpoint(world, world["acme-database"])
    assert before == {"host": addresses[0], "port": 30000, "hosts": list(addresses)}
    assert "2001:db8::9" in addresses
    world.admin.post(f"/nodes/{world['db2']}/promote")
    assert endpoint(world, world["acme-database"]) == before


def test_a_shard_without_hosts_is_nowhere(world):
    cluster = world.admin.make("clusters", name="eu-1z", region_id=world["region"])
    shard = world.admin.make("shards", name="db-z", role="db", cluster_id=cluster["id"])
    made = world.admin.make("databases", tenant_id=world["acme-tenant"], shard_id=shard["id"])
    assert made["endpoint"] is None
    assert endpoint(world, made["id"]) is None


def test_every_answer_holds_it_and_nobody_writes_it(world, balanced):
    rest = world.rest["acme"]
    made = rest.post("/databases", {"tenant_id": world["acme-tenant"]}).json["resource"]
    path = f"/databases/{made['id']}"
    assert made["endpoint"]["port"] == 30000
    changed = rest.patch(path, {"label": "x"}).json["resource"]
    listed = [row for row in rest.get("/databases?limit=200").json["items"] if row["id"] == made["id"]]
    assert changed["endpoint"] == made["endpoint"] == rest.get(path).json["endpoint"] == listed[0]["endpoint"]
    for refused in (
        rest.patch(path, {"endpoint": made["endpoint"]}),
        rest.post("/databases", {"tenant_id": world["acme-tenant"], "endpoint": None}),
    ):
        assert refused.status_code == 422 and refused.json["error"]["details"]["json"] == {"endpoint": ["is read-only"]}


def test_a_page_costs_as_many_statements_as_a_row(world, balanced):
    statements = []
    engine = world.app.extensions[EXTENSION].reader
    sa.event.listen(engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
    counts = []
    for _ in range(2):
        statements.clear()
        world.admin.get("/databases?limit=200")
        counts.append(len(statements))
        for _ in range(5):
            world.admin.make("databases", tenant_id=world["acme-tenant"])
    assert counts[0] == counts[1] > 0


def test_ports_are_one_for_each_shard_of_a_cluster(world):
    admin = world.admin
    assert admin.get(f"/shards/{world['db']}").json["client_port"] == 30000
    assert admin.get(f"/shards/{world['web']}").json["client_port"] is None
    second = admin.make("shards", name="db-b", role="db", cluster_id=world["cluster"])
    assert second["client_port"] == 30001
    elsewhere = admin.make("clusters", name="eu-1y", region_id=world["region"])
    assert admin.make("shards", name="db-y", role="db", cluster_id=elsewhere["id"])["client_port"] == 30000
    assert admin.delete(f"/shards/{second['id']}").status_code == 202
    assert admin.make("shards", name="db-c", role="db", cluster_id=world["cluster"])["client_port"] == 30001
    refused = admin.patch(f"/shards/{world['db']}", {"client_port": 30005})
    assert refused.status_code == 422


def test_what_load_balancers_are_told(world):
    addresses = {name: world.rows[name]["address"] for name in ("db1", "db2")}
    front = {"name": "db-a", "port": 30000, "proxy": True, "check": {"port": 9105, "path": "/primary"}}
    nodes = [{"name": name, "address": addresses[name], "port": 3306} for name in ("db1", "db2")]
    assert told(world) == [{**front, "nodes": nodes}]
    moved = world.admin.post(f"/nodes/{world['db2']}/promote").json
    assert {job["shard_id"] for job in moved["jobs"]} == {world["db"], world["lb"]}
    assert told(world) == [{**front, "nodes": nodes[::-1]}]
    assert world.admin.delete(f"/nodes/{world['db1']}").status_code == 202
    assert told(world) == [{**front, "nodes": [nodes[1]]}]


def test_servers_believe_the_load_balancers(world):
    assert trusted(world) == [world.rows["lb1"]["address"]]
    gone = world.admin.delete(f"/nodes/{world['lb1']}").json
    assert world["db"] in {job["shard_id"] for job in gone["jobs"]}
    assert trusted(world) == []


def trusted(world):
    with world.session() as session:
        shard = session.get_one(registry["shard"].model, uuid.UUID(world["db"]))
        return role_variables(session, shard)["db_trusted_proxies"]


def test_load_balancers_hear_of_a_server_that_leaves(world):
    gone = world.admin.delete(f"/nodes/{world['db2']}").json
    assert world["lb"] in {job["shard_id"] for job in gone["jobs"]}
    with world.session() as session:
        owing = set(
            session.scalars(
                sa.select(Delivery.shard_id).where(
                    Delivery.kind == "node", Delivery.resource_id == uuid.UUID(world["db2"])
                )
            )
        )
    assert owing == {uuid.UUID(world["db"]), uuid.UUID(world["lb"])}
