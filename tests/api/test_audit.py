"""The audit: complete, redacted, append-only."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from api.core import audit


def test_who_did_what(world):
    acme = world.rest["acme"]
    row = acme.make("tenants", brand_id=world["acme"])
    acme.patch(f"/tenants/{row['id']}", {"memory_mb": 2048})
    acme.post(f"/tenants/{row['id']}/suspend")
    acme.delete(f"/tenants/{row['id']}")
    found = acme.get(f"/audit?resource_id={row['id']}&sort=at").json["items"]
    assert [(e["action"], e["kind"], e["actor_name"], e["result"]) for e in found] == [
        (action, "tenant", "acme", "accepted") for action in ("create", "update", "suspend", "delete")
    ]
    created, changed, suspended, deleted = found
    assert created["before"] is None and created["after"]["name"] == row["name"]
    assert changed["before"] == {"memory_mb": 512, "generation": 1}
    assert changed["after"] == {"memory_mb": 2048, "generation": 2}
    assert suspended["after"] == {"suspended": True, "generation": 3}
    assert deleted["after"] is None and deleted["before"]["memory_mb"] == 2048
    assert all(e["job_ids"] and e["trace_id"] and e["remote_addr"] == "127.0.0.1" for e in found)
    assert all(e["brand_id"] == world["acme"] and e["duration_ms"] >= 0 for e in found)


def test_brands_see_their_own(world):
    brands = {e["brand_id"] for e in world.rest["acme"].get("/audit?limit=200").json["items"]}
    assert brands == {world["acme"]}
    assert None in {e["brand_id"] for e in world.admin.get("/audit?limit=200").json["items"]}
    assert world.rest["acme"].get(f"/audit?brand_id={world['other']}").json["items"] == []


def test_filters_and_paging(world):
    assert {e["kind"] for e in world.admin.get("/audit?kind=zone").json["items"]} == {"zone"}
    assert world.admin.get("/audit?action=delete").json["items"] == []
    found, cursor = [], None
    while cursor is not None or not found:
        page = world.admin.get("/audit?limit=7" + (f"&cursor={cursor}" if cursor else "")).json
        found, cursor = found + page["items"], page["next_cursor"]
    assert len({e["id"] for e in found}) == len(found) > 20
    assert [e["at"] for e in found] == sorted((e["at"] for e in found), reverse=True)
    assert world.admin.get("/audit?actor=x").status_code == 422


@pytest.mark.parametrize("statement", ["update audit set actor_name = 'nobody'", "delete from audit"])
def test_it_takes_no_changes(world, statement):
    with world.session() as session, pytest.raises(sa.exc.DatabaseError, match="append-only"):
        session.execute(sa.text(statement))


def test_runs_are_recorded_outside_requests(world):
    """What the worker calls: no request, no key."""
    import uuid

    with world.session() as session, session.begin():
        row = audit.record(
            session, actor="worker", action="run", kind="job", resource_id=uuid.uuid4(), before=None, after={"ok": 1},
            result="successful", duration_ms=1200, job_ids=[],
        )  # fmt: skip
    entry = world.admin.get(f"/audit?resource_id={row.resource_id}").json["items"][0]
    assert entry["actor_id"] is None and entry["actor_name"] == "worker" and entry["result"] == "successful"


def test_a_refused_mutation_leaves_nothing(world):
    before = world.admin.get("/audit?limit=200").json
    world.admin.post("/fqdns", {"fqdn": "www.acme.example", "webroot_id": world["acme-webroot"]})
    assert world.admin.get("/audit?limit=200").json == before
