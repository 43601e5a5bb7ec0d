"""``GET /<kind>/{id}/history``: every job that touched a resource."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.kind import registry
from api.jobs.finish import Ending, finish
from api.jobs.models import Job
from tests.jobs.conftest import DIFF
from tests.jobs.test_routes import Rest


@pytest.fixture
def admin(engine: Any) -> Rest:
    return Rest(engine, ["*"], ["*"])


def test_what_happened_to_a_name(engine: Any, admin: Rest, fqdn: Any) -> None:
    id_ = fqdn("www.acme.example")
    path = f"/fqdns/{id_}/history"
    assert admin(path).json["items"] == []
    taken = engine.claim("web-a")
    (job,) = admin(path).json["items"]
    assert (job["id"], job["state"], job["results"], job["ended_at"]) == (str(taken.job_id), "running", [], None)
    document = engine.document(taken)
    engine.report(taken, document, "web1", changed=[id_])
    engine.report(taken, document, "web2", failed={id_: "disk full"})
    engine.end(taken)
    engine.run("lb-a")
    engine.retry("fqdn", id_)
    engine.run("web-a")
    items = admin(path).json["items"]
    again, *both = items
    # Made by one request, so their order is that of their times to the microsecond.
    balanced, first = sorted(both, key=lambda job: job["reason"])
    assert first["state"] == "failed" and first["reason"] == "resources_failed" and first["ended_at"]
    assert first["results"] == [
        {"host": "web1", "generation": 1, "changed": True, "failed": False, "message": "", "diff": DIFF},
        {"host": "web2", "generation": 1, "changed": False, "failed": True, "message": "disk full", "diff": None},
    ]
    assert [result["host"] for result in balanced["results"]] == ["lb1"]
    assert [result["host"] for result in again["results"]] == ["web2"] and again["state"] == "successful"
    found, cursor = [], ""
    for _ in range(3):
        page = admin(f"{path}?limit=1{cursor}").json
        found += page["items"]
        cursor = f"&cursor={page['next_cursor']}"
    assert found == items and not page["has_more"]
    # What others did stands in theirs.
    tenant = admin(f"/tenants/{engine.ids['tenant']}/history").json["items"]
    assert tenant and not {job["id"] for job in tenant} & {job["id"] for job in found}


def test_what_is_gone_keeps_its_history(engine: Any, admin: Rest, fqdn: Any) -> None:
    id_ = fqdn("www.acme.example")
    engine.settle_all()
    own = Rest(engine, ["fqdn:read"], [str(engine.ids["brand"])])
    assert len(own(f"/fqdns/{id_}/history").json["items"]) == 2
    engine.delete("fqdn", id_)
    engine.settle_all()
    assert engine.status("fqdn", id_) == ("gone", "")
    assert len(admin(f"/fqdns/{id_}/history").json["items"]) == 4
    assert own(f"/fqdns/{id_}/history").status_code == 404


def test_a_brand_sees_its_own(engine: Any, admin: Rest, fqdn: Any) -> None:
    id_ = fqdn("www.acme.example")
    taken = engine.claim("web-a")
    engine.end(taken, "host_failed: web1")
    own = Rest(engine, ["fqdn:read"], [str(engine.ids["brand"])])
    other = Rest(engine, ["*"], [str(uuid.uuid4())])
    assert [job["reason"] for job in own(f"/fqdns/{id_}/history").json["items"]] == [""]
    assert [job["reason"] for job in admin(f"/fqdns/{id_}/history").json["items"]] == ["host_failed: web1"]
    assert other(f"/fqdns/{id_}/history").status_code == 404
    assert own(f"/tenants/{engine.ids['tenant']}/history").status_code == 403
    assert other(f"/nodes/{engine.ids['web1']}/history").status_code == 403
    assert admin(f"/fqdns/{uuid.uuid4()}/history").status_code == 404
    assert admin(f"/fqdns/{id_}/history?state=failed").status_code == 422


def test_every_kind_has_one(engine: Any, admin: Rest) -> None:
    for kind in registry:
        row = engine.all(sa.select(kind.model).limit(1))
        if row:
            assert admin(f"/{kind.plural}/{row[0].id}/history").status_code == 200, kind.name
        assert admin(f"/{kind.plural}/{uuid.uuid4()}/history").status_code == 404
    assert engine.all(sa.select(Job))


def test_the_history_of_a_node_is_that_of_its_host(engine, fqdn):
    fqdn("www.other.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    for host in document.sent:
        engine.report(taken, document, host)
    hosts = {"web1": {"changed": 1}, "web2": {"unreachable": True, "message": "no route"}}
    with engine.transaction() as session:
        finish(session, taken, Ending(hosts=hosts))
    admin = Rest(engine, ["*"], ["*"])
    for name, expected in {"web1": (True, False, ""), "web2": (False, True, "no route")}.items():
        newest = admin(f"/nodes/{engine.ids[name]}/history").json["items"][0]
        assert newest["id"] == str(taken.job_id)
        results = [(row["host"], row["changed"], row["failed"], row["message"]) for row in newest["results"]]
        assert results == [(name, *expected)]
