"""Requests at the same time: nothing is lost, nothing is done twice, nothing is decided on old knowledge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.jobs.models import Job
from tests.api.conftest import SHARDS


@pytest.fixture
def together():
    """Call functions at the same time and return their answers in order."""
    with ThreadPoolExecutor(8) as pool:
        yield lambda *calls: [future.result() for future in [pool.submit(call) for call in calls]]


def test_uids_are_different(world, together):
    answers = together(*[lambda: world.rest["acme"].post("/tenants", {"brand_id": world["acme"]})] * 16)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["resource"]["uid"] for answer in answers}) == 16
    # All of them wait for the same run.
    assert len({job["id"] for answer in answers for job in answer.json["jobs"]}) == 1


def test_changes_of_one_row(world, together):
    path = f"/tenants/{world['acme-tenant']}"
    answers = together(*(lambda n=n: world.admin.patch(path, {"memory_mb": 600 + n}) for n in range(8)))
    done = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409} and done
    assert world.admin.get(path).json["generation"] == 1 + len(done)
    tag = f'"{world.admin.get(path).json["revision"]}"'
    answers = together(*(lambda n=n: world.admin.patch(path, {"memory_mb": 700 + n}, If_Match=tag) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [202, 412, 412, 412, 412, 412]


def test_one_idempotency_key(world, together):
    body = {"brand_id": world["acme"], "label": "once"}
    answers = together(*[lambda: world.admin.post("/tenants", body, Idempotency_Key="one")] * 8)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    with world.session() as session:
        assert (
            len(session.scalars(sa.select(Audit).where(Audit.trace_id == answers[0].headers["X-Trace-Id"])).all()) < 2
        )


def test_one_name(world, together):
    body = {"fqdn": "one.acme.example", "webroot_id": world["acme-webroot"]}
    answers = together(*[lambda: world.admin.post("/fqdns", body)] * 8)
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7


def test_a_zone_and_a_name_inside_it(world, together):
    """Of two brands only one gets the domain, whoever comes first."""
    for n in range(6):
        zone = {"name": f"race{n}.test", "brand_id": world["acme"]}
        name = {"fqdn": f"www.race{n}.test", "webroot_id": world["other-webroot"]}
        answers = together(
            lambda zone=zone: world.rest["acme"].post("/zones", zone),
            lambda name=name: world.rest["other"].post("/fqdns", name),
        )
        assert sorted(answer.status_code for answer in answers) == [202, 422], [a.text for a in answers]


def test_a_parent_is_not_deleted_under_its_child(world, together):
    for n in range(6):
        tenant = world.admin.make("tenants", brand_id=world["acme"])["id"]
        create, delete = together(
            lambda tenant=tenant: world.admin.post("/webroots", {"tenant_id": tenant}),
            lambda tenant=tenant: world.admin.delete(f"/tenants/{tenant}"),
        )
        assert sorted([create.status_code, delete.status_code]) == [202, 409], (n, create.text, delete.text)


def test_conflicting_records(world, together):
    zone = world["acme-zone"]
    for n in range(4):
        one = {"zone_id": zone, "name": f"c{n}", "type": "CNAME", "content": "a.example"}
        two = {"zone_id": zone, "name": f"c{n}", "type": "A", "content": "192.0.2.30"}
        answers = together(
            lambda one=one: world.admin.post("/records", one), lambda two=two: world.admin.post("/records", two)
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409]


def test_a_name_and_a_new_address(world, together):
    """Whoever comes first, the name has every address of its cluster in the end."""
    for n in range(4):
        name = {"fqdn": f"late{n}.acme.example", "webroot_id": world["acme-webroot"]}
        address = {"address": f"198.51.100.{n + 1}", "cluster_id": world["cluster"]}
        answers = together(
            lambda name=name: world.admin.post("/fqdns", name),
            lambda address=address: world.admin.post("/lb-addresses", address),
        )
        assert [answer.status_code for answer in answers] == [202, 202]
        found = world.admin.get(f"/records?name=late{n}&zone_id={world['acme-zone']}").json["items"]
        assert len(found) == n + 2, n


def test_one_job_per_shard_waits(world, together):
    bodies = [{"fqdn": f"n{n}.acme.example", "webroot_id": world["acme-webroot"]} for n in range(40)]
    answers = together(*(lambda body=body: world.rest["acme"].post("/fqdns", body) for body in bodies))
    assert {answer.status_code for answer in answers} == {202}
    with world.session() as session:
        queued = session.scalar(sa.select(sa.func.count()).select_from(Job).where(Job.state == "queued"))
    assert queued == len(SHARDS)
