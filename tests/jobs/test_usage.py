"""Usage without Ansible: when it is read, what is believed of what hosts tell, and how long it is kept."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.db import now
from api.jobs.finish import Ending, finish
from api.jobs.models import READ, Job, Lease
from api.jobs.retention import forget_reads
from api.kinds.shard import Shard
from api.launch.claim import claim
from api.launch.models import Launch
from api.operations import core, usage
from api.usage import store
from api.usage.models import DAILY, EVERY, HOURLY, Point
from worker import sweeper
from worker.context import Context

MANY = 2**63 - 1


def told(host: str, report: Any, module: str = "hostreeve.hosting.db_usage") -> dict[str, Any]:
    """Return the event of a module's result."""
    data = {"host": host, "task_action": module, "resolved_action": module, "res": {"usage": report}}
    return {"event": "runner_on_ok", "event_data": data}


@pytest.fixture
def stocked(engine):
    """Shards of databases and instances, with what a tenant has there: {name: id}."""
    for role, hosts in (("db", ["db1", "db2"]), ("valkey", ["kv1"])):
        shard = engine.ids[f"{role}-a"] = engine.add(
            "shard", name=f"{role}-a", role=role, cluster_id=engine.ids["cluster"]
        )
        for number, name in enumerate(hosts):
            address = f"10.0.1.{number + 10 * len(role)}"
            engine.ids[name] = engine.add("node", name=name, address=address, shard_id=shard)
    # Another shard of the same role, whose names nobody else's hosts may tell of.
    engine.ids["db-b"] = engine.add("shard", name="db-b", role="db", cluster_id=engine.ids["cluster"])
    engine.ids["other"] = engine.add("node", name="other", address="10.0.2.1", shard_id=engine.ids["db-b"])
    tenant = {"brand_id": engine.ids["brand"], "tenant_id": engine.ids["tenant"]}
    found = {}
    for name, shard in (("one", "db-a"), ("two", "db-a"), ("foreign", "db-b")):
        id_ = engine.add("database", shard_id=engine.ids[shard], **tenant)
        found[name] = engine.row("database", id_)
    found["user"] = engine.row(
        "database_user",
        engine.add(
            "database_user",
            brand_id=engine.ids["brand"],
            database_id=found["one"].id,
            suffix="app",
            password="p" * 20,
        ),
    )
    found["cache"] = engine.row("valkey_instance", engine.add("valkey_instance", **tenant))
    engine.settle_all()
    return found


def due_now(engine, *names):
    with engine.maker.begin() as session:
        session.execute(sa.update(Shard).values(usage_at=None))
        mine = Shard.id.in_([engine.ids[name] for name in names])
        session.execute(sa.update(Shard).where(mine).values(usage_at=Shard.created_at))


def keep(engine, shard, reports):
    with engine.transaction() as session:
        return store.keep(session, engine.ids[shard], reports)


def points(engine):
    rows = engine.all(sa.select(Point).order_by(Point.at))
    return {row.resource_id: (row.state, row.numbers) for row in rows}


def test_what_is_believed_of_hosts(engine, stocked):
    one, two, foreign = (stocked[name] for name in ("one", "two", "foreign"))
    good = {"state": "up", "disk_bytes": 4096, "rows": 0}
    lies = {
        "state": "up",
        "disk_bytes": MANY,
        "data_bytes": MANY + 1,
        "index_bytes": -1,
        "tables": True,
        "rows": "7",
        "connections": 1.5,
        "queries": None,
        "made_up": 1,
        "busy_ms": [1],
    }
    hostile = [
        None,
        7,
        [],
        {"databases": []},
        {"databases": {"db_0000000000": good, foreign.name: good, "' or 1=1 --": good, "": good}},
        {"databases": {one.name: None}, "users": {one.name: good}},
        {"databases": {one.name: {"state": "up"}}},
        {"databases": {one.name: {**good, "state": "perfect"}}},
        {"databases": {one.name: {**good, "state": ["up"]}}},
        {"instances": {stocked["cache"].name: good}},
    ]
    for report in hostile:
        assert keep(engine, "db-a", {"db1": report}) == 0
    # Hosts of other shards have no say here, whatever they call themselves.
    assert keep(engine, "db-a", {"other": {"databases": {one.name: good}}}) == 0
    assert keep(engine, "valkey-a", {"kv1": {"databases": {one.name: good}}}) == 0
    assert points(engine) == {}
    report = {
        "databases": {one.name: good, two.name: lies},
        "users": {stocked["user"].name: {"state": "up", "active": 2}},
    }
    assert keep(engine, "db-a", {"db1": report}) == 3
    assert points(engine) == {
        one.id: ("up", {"disk_bytes": 4096, "rows": 0}),
        two.id: ("up", {"disk_bytes": MANY}),
        stocked["user"].id: ("up", {"active": 2}),
    }


def test_the_host_where_it_is_up_counts(engine, stocked):
    name, id_ = stocked["one"].name, stocked["one"].id
    copy = {"databases": {name: {"state": "replica", "rows": 1}}}
    real = {"databases": {name: {"state": "up", "rows": 2}}}
    for reports in ({"db1": copy, "db2": real}, {"db1": real, "db2": copy}):
        keep(engine, "db-a", reports)
        assert points(engine)[id_] == ("up", {"rows": 2})
    keep(engine, "valkey-a", {"kv1": {"instances": {stocked["cache"].name: {"state": "suspended"}}}})
    assert points(engine)[stocked["cache"].id] == ("suspended", {})


def test_points_thin_out(engine, stocked, monkeypatch):
    start = datetime(2026, 1, 1, 22, tzinfo=UTC)
    report = {"db1": {"databases": {stocked["one"].name: {"state": "up", "rows": 1}}}}
    for minutes in (0, 15, 30, 45, 60, 75, 121, 136):
        monkeypatch.setattr(store, "read_clock", lambda _, minutes=minutes: start + timedelta(minutes=minutes))
        keep(engine, "db-a", report)
    spans = engine.all(sa.select(Point.span).order_by(Point.at))
    assert spans == [DAILY, EVERY, EVERY, EVERY, HOURLY, EVERY, DAILY, EVERY]
    for days, left in ((1, 8), (4, 3), (40, 2), (500, 0)):
        monkeypatch.setattr(store, "now", lambda days=days: start + timedelta(days=days, hours=3))
        with engine.maker.begin() as session:
            store.purge(session)
        assert len(engine.all(sa.select(Point.span))) == left


def test_when_shards_are_looked_at(engine, stocked):
    row = engine.row("shard", engine.ids["db-a"])
    assert row.usage_every == 15 and timedelta(minutes=14) < row.usage_at - row.created_at < timedelta(minutes=16)
    assert engine.row("shard", engine.ids["web-a"]).usage_at is None
    due_now(engine, "db-a", "valkey-a")
    before = engine.row("shard", engine.ids["db-a"])
    with engine.transaction() as session:
        seen = usage.due(session)
        assert set(seen) == {engine.ids["db-a"], engine.ids["valkey-a"]}
        # One run for both, and none for a second sweeper that looked at the same time.
        assert len(usage.begin(session, seen)) == 1 and usage.begin(session, seen) == []
    job = engine.all(sa.select(Job).where(Job.purpose == READ))[0]
    launch = engine.all(sa.select(Launch).where(Launch.job_id == job.id))[0]
    assert set(launch.shards) == {str(engine.ids["db-a"]), str(engine.ids["valkey-a"])}
    assert (launch.operation, launch.playbook, job.state) == ("usage", "usage.yml", "queued")
    after = engine.row("shard", engine.ids["db-a"])
    assert after.usage_at > now() and after.revision == before.revision and after.updated_at == before.updated_at
    # As long as it is under way, no other one begins.
    due_now(engine, "db-a")
    with engine.transaction() as session:
        assert usage.begin(session, usage.due(session)) == []


def test_a_shard_that_is_worked_on_is_left_alone(engine, stocked):
    due_now(engine, "db-a", "db-b")
    with engine.maker.begin() as session:
        mine = sa.update(Lease).where(Lease.host == "db2")
        session.execute(mine.values(holder=uuid.uuid4(), expires_at=now() + timedelta(seconds=60)))
        session.add(Job(shard_id=engine.ids["db-b"], state="queued"))
    with engine.maker() as session:
        assert usage.due(session) == []
    with engine.maker.begin() as session:
        session.execute(sa.update(Lease).where(Lease.host == "db2").values(holder=None))
    with engine.maker() as session:
        assert usage.due(session) == [engine.ids["db-a"]]


def test_a_run_disturbs_nobody_and_leaves_points(engine, stocked):
    due_now(engine, "db-a")
    context = Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)
    assert sweeper.look_due(context) == 1 and sweeper.look_due(context) == 0
    job = engine.all(sa.select(Job).where(Job.purpose == READ))[0]
    assert engine.published[-1] == job.id
    audits = len(engine.all(sa.select(Audit.id)))
    heard: dict[str, Any] = {}
    report = {"databases": {stocked["one"].name: {"state": "up", "rows": 5}}}
    listen = core.find("usage").listen
    for event in (
        told("db1", report),
        told("db2", {"databases": {}}, module="ansible.builtin.command"),
        {**told("db2", report), "event": "runner_on_failed"},
        {"event": "playbook_on_stats"},
    ):
        listen(heard, event)
    assert heard == {"db1": report}
    with engine.transaction() as session:
        taken = claim(session, session.get_one(Launch, job.id), set(), "worker", 60)
    with engine.transaction() as session:
        # db2 was down: what db1 said counts all the same.
        finish(session, taken, Ending(reason="host_failed: db2 (unreachable)", heard=heard))
    assert points(engine) == {stocked["one"].id: ("up", {"rows": 5})}
    assert not engine.all(sa.select(Lease.host).where(Lease.holder.is_not(None), Lease.host.in_(["db1", "db2"])))
    assert len(engine.all(sa.select(Audit.id))) == audits
    with engine.maker.begin() as session:
        assert forget_reads(session) == []
        session.execute(sa.update(Job).where(Job.id == job.id).values(ended_at=now() - timedelta(days=2)))
        assert forget_reads(session) == [job.id]
