"""Moves of a db shard's primary over REST: who may ask, what is refused and why, and what is queued."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.db import unit_of_work
from api.jobs.finish import Ending, finish
from api.jobs.models import Delivery, Job
from api.jobs.steer import cancel, locked
from api.kinds.node import Node
from api.launch.claim import claim
from api.launch.models import Launch
from api.watch.models import ShardHealth

VERBS = ("switchover", "failover")


@pytest.fixture
def made(world):
    """The db shard's nodes have become servers."""
    with world.session() as session, session.begin():
        session.execute(
            sa.update(Node.__table__).where(Node.shard_id == uuid.UUID(world["db"])).values(status="active")
        )
    return world


def launch_of(world, response):
    assert response.status_code == 202, response.text
    (job,) = response.json["jobs"]
    assert job["shard_id"] is None and response.json["resource"]["id"] == world["db"]
    with world.session() as session:
        return session.get(Launch, uuid.UUID(job["id"]))


def health(world, *replies, **values):
    """Write what the watch saw: (name, running, lag)."""
    nodes = [
        {"node_id": world[name], "name": name, "address": "", "is_primary": False, "answered_at": None,
         "answer": {"replication": {"running": running, "lag": lag}}}
        for name, running, lag in replies
    ]  # fmt: skip
    with world.session() as session, session.begin():
        moment = session.scalar(sa.select(sa.func.max(Job.created_at)))
        session.add(ShardHealth(shard_id=uuid.UUID(world["db"]), nodes=nodes, looked_at=moment, **values))


def test_a_switchover(made):
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/switchover", {}))
    assert (launch.operation, launch.playbook, launch.check) == ("switchover", "switchover.yml", False)
    assert launch.variables == {"db_new_primary": "db2"} and launch.requested_by == "admin"
    assert launch.shards == [made["db"]]
    with made.session() as session:
        (audit,) = session.scalars(sa.select(Audit).where(Audit.action == "switchover")).all()
    assert audit.after == {"new_primary": "db2", "node": "", "check": False} and audit.actor_name == "admin"


def test_a_failover(made):
    body = {"node_id": made["db2"], "accept_loss": True}
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/failover", body))
    assert (launch.operation, launch.playbook) == ("failover", "failover.yml")
    assert launch.variables == {"db_dead_primary": "db1", "db_accept_loss": True, "db_new_primary": "db2"}


def test_a_replica_that_holds_too_much_is_rebuilt(made):
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/rebuild", {"node_id": made["db2"]}))
    assert (launch.operation, launch.playbook, launch.check) == ("rebuild", "rebuild.yml", False)
    assert launch.variables == {"db_rebuild_node": "db2"}
    # One at a time, and never the primary.
    assert made.admin.post(f"/shards/{made['db']}/switchover", {}).status_code == 409
    with made.session() as session:
        before = session.scalar(sa.select(Node.generation).where(Node.name == "db2"))
    with unit_of_work(made.session, lambda _: None) as session:
        cancel(session, locked(session, launch.job_id), "somebody")
    with made.session() as session:
        assert session.scalar(sa.select(Node.generation).where(Node.name == "db2")) == before
    refused = made.admin.post(f"/shards/{made['db']}/rebuild", {"node_id": made["db1"]})
    assert refused.status_code == 409 and "primary" in refused.json["error"]["message"]
    assert made.admin.post(f"/shards/{made['db']}/rebuild", {}).status_code == 422


def test_a_rebuilt_replica_is_converged(made):
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/rebuild", {"node_id": made["db2"]}))
    with unit_of_work(made.session, lambda _: None) as session:
        # What it had refused: what others wish of it, too.
        here = sa.select(Node.id).where(Node.name == "db2").scalar_subquery()
        session.execute(sa.update(Delivery).where(Delivery.node_id == here).values(state="failed", message="x"))
        assert session.scalar(sa.select(sa.func.count()).select_from(Delivery).where(Delivery.node_id == here)) > 1
        row = session.get(Launch, launch.job_id)
        taken = claim(session, row, ["db1", "db2"], "worker", 60)
    with unit_of_work(made.session, lambda _: None) as session:
        assert finish(session, taken, Ending())
    assert made.admin.get(f"/nodes/{made['db2']}").json["status"] == "pending"
    with made.session() as session:
        assert set(session.scalars(sa.select(Delivery.state).where(Delivery.node_id == here))) == {"pending"}


@pytest.mark.parametrize("verb", VERBS)
def test_check_mode_says_what_it_would_do(made, verb):
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/{verb}", {"check": True}))
    assert launch.check is True and launch.operation == verb


def test_the_replica_with_the_least_lag_is_chosen(made):
    made.rows["db3"] = made.admin.make("nodes", name="db3", address="10.9.0.3", shard_id=made["db"])
    with made.session() as session, session.begin():
        session.execute(sa.update(Node.__table__).where(Node.name == "db3").values(status="active"))
    health(made, ("db2", True, 9), ("db3", True, 2))
    launch = launch_of(made, made.admin.post(f"/shards/{made['db']}/switchover", {}))
    assert launch.variables == {"db_new_primary": "db3"}


def test_no_healthy_replica(made):
    health(made, ("db2", False, None))
    refused = made.admin.post(f"/shards/{made['db']}/switchover", {})
    assert refused.status_code == 409 and "healthy" in refused.json["error"]["message"]
    # A person may know better; the playbook sees for itself.
    assert made.admin.post(f"/shards/{made['db']}/switchover", {"node_id": made["db2"]}).status_code == 202


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("shard", "node", "reason"),
    [
        ("web", None, "Only a db shard"),
        ("db", "db1", "is the shard's primary"),
        ("db", "web1", "not a replica of this shard"),
        ("db", "region", "not a replica of this shard"),
    ],
)
def test_what_cannot_be_moved(made, verb, shard, node, reason):
    refused = made.admin.post(f"/shards/{made[shard]}/{verb}", {"node_id": node and made[node]})
    assert refused.status_code == 409 and reason in refused.json["error"]["message"]
    with made.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Launch)) == 0


@pytest.mark.parametrize("verb", VERBS)
def test_one_move_at_a_time(made, verb):
    first = made.admin.post(f"/shards/{made['db']}/switchover", {}).json["jobs"][0]["id"]
    refused = made.admin.post(f"/shards/{made['db']}/{verb}", {})
    assert refused.status_code == 409 and first in refused.json["error"]["message"]
    assert made.admin.post(f"/jobs/{first}/cancel").status_code == 202
    assert made.admin.post(f"/shards/{made['db']}/{verb}", {}).status_code == 202


def test_a_shard_of_one_node_and_one_that_is_not_made_yet(world):
    lone = world.admin.make("shards", name="db-b", role="db", cluster_id=world["cluster"])
    world.admin.make("nodes", name="db9", address="10.9.0.9", shard_id=lone["id"])
    refused = world.admin.post(f"/shards/{lone['id']}/failover", {})
    assert refused.status_code == 409 and "no second node" in refused.json["error"]["message"]
    refused = world.admin.post(f"/shards/{world['db']}/switchover", {"node_id": world["db2"]})
    assert refused.status_code == 409 and "has not become a server" in refused.json["error"]["message"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "body",
    [
        [],
        {"node": "db2"},
        {"node_id": "db2"},
        {"node_id": "{{ 1 }}"},
        {"check": "yes"},
        {"check": None},
        {"accept_loss": 1},
        {"db_must_be_dead": False},
    ],
)
def test_bodies_are_strict(made, verb, body):
    assert made.admin.post(f"/shards/{made['db']}/{verb}", body).status_code == 422


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_key_moves_once(made, verb):
    path = f"/shards/{made['db']}/{verb}"
    first = made.admin.post(path, {}, Idempotency_Key="k1")
    again = made.admin.post(path, {}, Idempotency_Key="k1")
    assert again.status_code == 202 and again.json == first.json
    with made.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Launch)) == 1


def test_health_is_read(made):
    path = f"/shards/{made['db']}/health"
    assert made.admin.get(path).status_code == 404
    health(made, state="degraded", problems=["db2 lags 31 s"])
    found = made.admin.get(path).json
    assert found["state"] == "degraded" and found["problems"] == ["db2 lags 31 s"] and found["halted"] == ""
    assert made.admin.get(f"/shards/{made['web']}/health").status_code == 404
    assert "next_at" not in found and made.rest["acme"].get(path).status_code == 403


def test_only_db_shards_fail_over(made):
    path = f"/shards/{made['web']}"
    refused = made.admin.patch(path, {"automatic_failover": True})
    assert refused.status_code == 422 and "db" in str(refused.json["error"]["details"])
    assert made.admin.patch(f"/shards/{made['db']}", {"automatic_failover": True}).status_code == 202
    assert made.admin.patch(f"/shards/{made['db']}", {"failover_after": 5}).status_code == 422
