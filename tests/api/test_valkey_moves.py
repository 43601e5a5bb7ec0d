"""Valkey instances that move, without hosts: where they go, and where their clients find them."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.db import unit_of_work
from api.core.kind import registry
from api.core.state import EXTENSION
from api.jobs.finish import Ending, finish
from api.jobs.models import Delivery
from api.launch.claim import claim
from api.launch.documents import document_of_launch
from api.launch.models import Launch

DONE = {"keys": 3, "bytes": 100, "by": "replication"}


@pytest.fixture
def settled(world):
    """A second valkey shard of two nodes, on which the first port is taken; everything is carried."""
    target = world.admin.make("shards", name="valkey-b", role="valkey", cluster_id=world["cluster"])
    world.rows["valkey-b"] = target
    for number in (1, 2):
        name = f"kv-b{number}"
        world.rows[name] = world.admin.make(
            "nodes", name=name, address=f"10.0.0.8{number}", shard_id=target["id"], memory_mb=200
        )
    other = world.admin.make("valkey-instances", tenant_id=world["other-cached"], shard_id=target["id"], memory_mb=100)
    world.rows["taken"] = other
    settle(world)
    return world


def settle(world):
    """Let everything be carried."""
    with world.session() as session, session.begin():
        session.execute(sa.delete(Delivery))
        for kind in registry:
            session.execute(sa.update(kind.model.__table__).values(status="active", status_message=""))


def instance(world, name="acme-valkey"):
    return world.admin.get(f"/valkey-instances/{world[name]}").json


def ask(world, **body):
    return world.admin.post(f"/valkey-instances/{world['acme-valkey']}/move", {"shard_id": world["valkey-b"], **body})


def end(world, job_id, data=None):
    maker = world.app.extensions[EXTENSION].maker
    with unit_of_work(maker, lambda _: None) as session:
        launch = session.get_one(Launch, uuid.UUID(job_id))
        taken = claim(session, launch, document_of_launch(session, launch)["hosts"], "worker", 60)
    with unit_of_work(maker, lambda _: None) as session:
        assert finish(session, taken, Ending(data=data or {}))


def test_it_goes_to_the_node_with_room_and_its_port_may_change(settled):
    before = instance(settled)
    address = settled.rows["kv1"]["address"]
    assert before["endpoint"] == {"host": address, "port": before["port"], "hosts": [address], "sentinel_port": None}
    assert instance(settled, "taken")["port"] == before["port"], "or the test shows nothing"
    answer = ask(settled)
    assert answer.status_code == 202, answer.text
    move = answer.json["resource"]
    free = next(name for name in ("kv-b1", "kv-b2") if settled[name] != settled.rows["taken"]["node_id"])
    with settled.session() as session:
        variables = session.get_one(Launch, uuid.UUID(move["job_id"])).variables
    assert variables == {
        "move_instance": before["name"],
        "move_source": "kv1",
        "move_target": free,
        "move_step": "copy",
        "move_lock_seconds": 60,
    }
    assert instance(settled)["endpoint"] == before["endpoint"], "it is in service where it was"
    end(settled, move["job_id"], {"move": DONE})
    after, address = instance(settled), settled.rows[free]["address"]
    assert (after["shard_id"], after["node_id"]) == (settled["valkey-b"], settled[free])
    assert after["port"] == before["port"] + 1
    assert after["endpoint"] == {"host": address, "port": after["port"], "hosts": [address], "sentinel_port": None}
    # What stayed behind is on the node where it was, whoever is there now.
    confirmed = settled.admin.post(f"/moves/{move['id']}/confirm")
    assert confirmed.status_code == 202, confirmed.text
    with settled.session() as session:
        launch = session.get_one(Launch, uuid.UUID(confirmed.json["resource"]["drop_job_id"]))
        assert launch.variables == {"move_instance": before["name"], "move_source": "kv1", "move_step": "confirm"}


def test_it_keeps_its_port_where_that_is_free(settled):
    with settled.session() as session, session.begin():
        model = registry["valkey_instance"].model
        session.execute(sa.update(model).where(model.id == uuid.UUID(settled["taken"])).values(port=20500))
    before = instance(settled)
    end(settled, ask(settled).json["resource"]["job_id"], {"move": DONE})
    assert instance(settled)["port"] == before["port"]


@pytest.mark.parametrize("back_home", [True, False])
def test_moving_back_replaces_what_stayed_on_the_same_node_only(settled, back_home):
    """Where it was meanwhile filled up, it goes to another node, and what stayed behind is still to be confirmed."""
    admin = settled.admin
    if not back_home:
        shard = instance(settled)["shard_id"]
        admin.make("valkey-instances", tenant_id=settled["other-cached"], shard_id=shard, memory_mb=100)
        admin.make("nodes", name="kv2", address="10.0.0.79", shard_id=shard, memory_mb=4096)
        settle(settled)
    first = ask(settled).json["resource"]
    end(settled, first["job_id"], {"move": DONE})
    settle(settled)
    back = ask(settled, shard_id=first["source_id"]).json["resource"]
    end(settled, back["job_id"], {"move": DONE})
    now = admin.get(f"/moves/{first['id']}").json
    home = settled.rows["kv1"]["address"]
    assert (back["target_address"] == home) is back_home
    assert now["state"] == ("confirmed" if back_home else "switched")
    if not back_home:
        job = admin.post(f"/moves/{first['id']}/confirm").json["resource"]["drop_job_id"]
        with settled.session() as session:
            assert session.get_one(Launch, uuid.UUID(job)).variables["move_source"] == "kv1"


def test_a_copy_goes_with_its_node(settled):
    """Or the instance could never be deleted: who moves all away from a host often has no host any more."""
    admin, move = settled.admin, ask(settled).json["resource"]
    end(settled, move["job_id"], {"move": DONE})
    settle(settled)
    path = f"/valkey-instances/{settled['acme-valkey']}?confirm={instance(settled)['name']}"
    assert admin.delete(path).status_code == 409
    with settled.session() as session, session.begin():
        node, model = registry["node"].model, registry["valkey_instance"].model
        gone = uuid.UUID(settled["kv1"])
        session.execute(sa.update(model).where(model.node_id == gone).values(node_id=uuid.UUID(settled["kv-b1"])))
        session.execute(sa.delete(node).where(node.id == gone))
    answer = admin.post(f"/moves/{move['id']}/confirm")
    assert (answer.status_code, answer.json["jobs"], answer.json["resource"]["state"]) == (202, [], "confirmed")
    assert "went with its node" in answer.json["resource"]["message"]
    for user in admin.get(f"/valkey-users?instance_id={settled['acme-valkey']}").json["items"]:
        admin.delete(f"/valkey-users/{user['id']}")
    assert admin.delete(path).status_code == 202


def test_no_room(settled):
    with settled.session() as session, session.begin():
        model = registry["node"].model
        session.execute(sa.update(model).where(model.name.like("kv-b%")).values(memory_mb=32))
    refused = ask(settled)
    assert refused.status_code == 409 and "memory" in refused.json["error"]["message"]


def test_what_is_on_its_way_has_its_memory(settled):
    """Or a second one would be sent where the first one fills what is left, and could not live there."""
    admin, (one, other) = settled.admin, (settled.rows["acme-valkey"], settled.rows["taken"])
    free = next(name for name in ("kv-b1", "kv-b2") if settled[name] != other["node_id"])
    with settled.session() as session, session.begin():
        model = registry["valkey_instance"].model
        session.execute(sa.update(model).where(model.id == uuid.UUID(one["id"])).values(memory_mb=150))
    move = ask(settled).json["resource"]
    assert move["target_address"] == settled.rows[free]["address"]
    # 200 MiB each: 100 are left beside the one that lives there, 50 beside the one that comes.
    make = {"tenant_id": settled["other-cached"], "shard_id": settled["valkey-b"]}
    small = admin.make("valkey-instances", **make, memory_mb=16)
    assert small["node_id"] == other["node_id"]
    refused = admin.post("/valkey-instances", {**make, "memory_mb": 100})
    assert refused.status_code == 409 and "memory" in refused.text
    # Not beside itself: it is tried again where it is given that already.
    settle(settled)
    end(settled, move["job_id"])
    settle(settled)
    again = admin.post(f"/moves/{move['id']}/retry")
    assert (again.status_code, again.json["resource"]["target_address"]) == (202, move["target_address"]), again.text


def test_the_node_where_one_is_on_its_way_stays(settled):
    move = ask(settled).json["resource"]
    free = next(name for name in ("kv-b1", "kv-b2") if settled.rows[name]["address"] == move["target_address"])
    refused = settled.admin.delete(f"/nodes/{settled[free]}")
    assert refused.status_code == 409 and "moving to this node" in refused.text
    end(settled, move["job_id"])
    assert settled.admin.delete(f"/nodes/{settled[free]}").status_code == 202


def test_without_the_node_that_has_the_copy_it_stays_where_it_is(settled):
    """The other node of the shard has no copy: there it would begin with nothing."""
    before, move = instance(settled), ask(settled).json["resource"]
    with settled.session() as session, session.begin():
        node = registry["node"].model
        there = sa.update(node).where(node.address == move["target_address"])
        session.execute(there.values(address="10.0.0.99"))
    end(settled, move["job_id"], {"move": DONE})
    now, after = settled.admin.get(f"/moves/{move['id']}").json, instance(settled)
    assert now["state"] == "failed" and "is gone" in now["message"]
    assert [after[one] for one in ("shard_id", "node_id", "port")] == [
        before[one] for one in ("shard_id", "node_id", "port")
    ]
    with settled.session() as session:
        owed = sa.select(Delivery.node_id).where(Delivery.resource_id == uuid.UUID(before["id"]))
        assert session.scalars(owed).all() == [uuid.UUID(before["node_id"])], "the source opens it again"


def test_a_highly_available_one_stays(settled):
    with settled.session() as session, session.begin():
        model = registry["valkey_instance"].model
        chosen = sa.update(model).where(model.id == uuid.UUID(settled["acme-valkey"]))
        session.execute(chosen.values(highly_available=True))
    refused = ask(settled)
    assert refused.status_code == 409 and "highly available" in refused.json["error"]["message"]
    shown = instance(settled)
    assert shown["endpoint"]["sentinel_port"] == shown["port"] - 10_000
