"""Routes of usage: whose points and sums a key may read, pages, and queries that are refused."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.db import now
from api.core.kind import registry
from api.jobs.models import Job
from api.kinds.database import Database
from api.operations import core
from api.usage.models import Point
from tests.api.conftest import World

BEGAN = now().replace(microsecond=0) - timedelta(hours=10)


def put(world: World, kind: str, name: str, *numbers: dict[str, int], state: str = "up") -> None:
    """Write points of a resource, an hour apart."""
    with world.session() as session, session.begin():
        for hour, values in enumerate(numbers):
            at = BEGAN + timedelta(hours=hour)
            session.add(
                Point(kind=kind, resource_id=uuid.UUID(world[name]), at=at, span=0, state=state, numbers=values)
            )


def test_points_of_a_resource(world: World) -> None:
    acme = world.rest["acme"]
    path = f"/databases/{world['acme-database']}/usage"
    assert acme.get(path).json == {"items": [], "next_cursor": None, "has_more": False}
    put(world, "database", "acme-database", *({"rows": number} for number in range(5)))
    put(world, "database", "other-database", {"rows": 99})
    found = acme.get(path).json["items"]
    assert [point["numbers"] for point in found] == [{"rows": number} for number in (4, 3, 2, 1, 0)]
    assert found[0]["state"] == "up" and datetime.fromisoformat(found[0]["at"]) == BEGAN + timedelta(hours=4)
    seen: list[int] = []
    cursor: Any = ""
    while cursor is not None:
        answer = acme.get(f"{path}?limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [point["numbers"]["rows"] for point in answer["items"]]
        cursor = answer["next_cursor"]
    assert seen == [4, 3, 2, 1, 0]

    def between(**query: int) -> list[int]:
        text = "&".join(f"{name}={(BEGAN + timedelta(hours=hour)):%Y-%m-%dT%H:%M:%SZ}" for name, hour in query.items())
        return [point["numbers"]["rows"] for point in acme.get(f"{path}?{text}").json["items"]]

    assert between(since=3) == [4, 3] and between(until=2) == [1, 0] and between(since=1, until=3) == [2, 1]


@pytest.mark.parametrize(
    ("query", "status"),
    [("since=yesterday", 422), ("since=2026-01-01T00:00:00", 422), ("until=1", 422), ("limit=0", 422),
     ("limit=201", 422), ("nosuch=1", 422), ("cursor=abc", 400), ("since=", 422),
     ("since=0001-01-01T00:00:00%2B14:00", 422)],
)  # fmt: skip
def test_bad_queries(world: World, query: str, status: int) -> None:
    for plural, name in (("databases", "acme-database"), ("valkey-instances", "acme-valkey")):
        assert world.admin.get(f"/{plural}/{world[name]}/usage?{query}").status_code == status
    assert world.admin.get(f"/tenants/{world['acme-tenant']}/usage?{query}").status_code == 422


def test_who_may_read(world: World) -> None:
    user = world.rest["acme"].make("database-users", database_id=world["acme-database"], suffix="app")
    world.rows["acme-user"] = user
    paths = [
        f"/databases/{world['acme-database']}/usage",
        f"/database-users/{world['acme-user']}/usage",
        f"/valkey-instances/{world['acme-valkey']}/usage",
        f"/tenants/{world['acme-tenant']}/usage",
    ]
    for path in paths:
        for who, status in (("admin", 200), ("acme", 200), ("other", 404), ("nothing", 403), ("anonymous", 401)):
            assert world.rest[who].get(path).status_code == status, (who, path)
        gone = path.replace(path.split("/")[2], str(uuid.uuid4()))
        assert world.admin.get(gone).status_code == 404


def test_sums_of_a_tenant(world: World) -> None:
    acme = world.rest["acme"]
    path = f"/tenants/{world['acme-tenant']}/usage"
    world.rows["second"] = acme.make("databases", tenant_id=world["acme-tenant"])
    nothing = {"count": 2, "measured": 0, "oldest": None, "numbers": {}}
    assert acme.get(path).json["databases"] == nothing
    put(world, "database", "acme-database", {"disk_bytes": 1, "rows": 7}, {"disk_bytes": 2**62})
    put(world, "database", "second", {"disk_bytes": 2**62, "queries": 3})
    put(world, "database", "other-database", {"disk_bytes": 1000})
    put(world, "valkey_instance", "acme-valkey", {"memory_bytes": 5})
    # Python adds: the sum of two such numbers has no room in a column.
    found = acme.get(path).json
    assert datetime.fromisoformat(found["databases"].pop("oldest")) == BEGAN
    numbers = {"disk_bytes": 2**63, "queries": 3}
    assert found["databases"] == {"count": 2, "measured": 2, "numbers": numbers}
    assert found["valkey_instances"]["count"] == 0
    cached = acme.get(f"/tenants/{world['acme-cached']}/usage").json
    assert cached["valkey_instances"]["numbers"] == {"memory_bytes": 5} and cached["databases"]["count"] == 0


def test_lists_show_no_looks(world: World) -> None:
    with world.session() as session, session.begin():
        shard = session.scalar(sa.select(Database.shard_id).where(Database.id == uuid.UUID(world["acme-database"])))
        session.execute(sa.delete(Job))
        job = core.begin(session, "usage", [session.get(registry["shard"].model, shard)], {}, "usage")
        id_ = str(job.id)
    assert world.admin.get("/jobs").json["items"] == [] and world.admin.get("/launches").json["items"] == []
    assert [row["id"] for row in world.admin.get("/jobs?purpose=read").json["items"]] == [id_]
    assert world.admin.get(f"/jobs/{id_}").json["purpose"] == "read"
    assert world.admin.get(f"/launches/{id_}").json["operation"] == "usage"


def test_how_often_is_said_per_shard(world: World) -> None:
    shard = world.admin.get("/shards?role=db").json["items"][0]
    path = f"/shards/{shard['id']}"
    assert shard["usage_every"] == 15 and shard["usage_at"]
    off = world.admin.patch(path, {"usage_every": 0}).json["resource"]
    assert off["usage_at"] is None
    # Whoever wishes it more often does not wait for the interval of before.
    soon = world.admin.patch(path, {"usage_every": 1}).json["resource"]
    assert datetime.fromisoformat(soon["usage_at"]) <= now()
    web = world.admin.get("/shards?role=web").json["items"][0]
    assert world.admin.patch(f"/shards/{web['id']}", {"usage_every": 5}).json["resource"]["usage_at"] is None
    assert world.admin.patch(path, {"usage_at": now().isoformat()}).status_code == 422
