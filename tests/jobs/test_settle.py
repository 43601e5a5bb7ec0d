"""Reports settle what hosts owed: truthfully, host by host, and never what they do not know of."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.kind import registry
from api.jobs.dispatch import ensure_job
from api.jobs.document import Sent
from api.jobs.models import Job, JobResource, Lease
from api.jobs.report import Unfit, public, read
from api.jobs.settle import Run, settle_report

Make = Callable[[str], uuid.UUID]


def test_active_means_that_every_host_said_so(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1", changed=[id_])
    assert engine.status("fqdn", id_)[0] == "provisioning"
    engine.report(taken, document, "web2")
    assert engine.status("fqdn", id_) == ("active", "")
    engine.end(taken)
    job = engine.all(sa.select(Job).where(Job.id == taken.job_id))[0]
    assert (job.state, job.reason, job.changed, job.failed) == ("successful", "", 1, 0)
    assert engine.all(sa.select(Lease).where(Lease.holder == taken.job_id)) == []
    runs = engine.all(sa.select(Audit).where(Audit.action == "run").order_by(Audit.at.desc()).limit(1))
    assert (runs[0].result, runs[0].job_ids) == ("successful", [str(taken.job_id)])


def test_reports_of_two_jobs_at_once_leave_nothing_behind(engine: Any, fqdn: Make) -> None:
    """Each must see that the other is done, or the resource stays provisioning for ever."""
    for number in range(5):
        id_ = fqdn(f"n{number}.other.example")
        parts = []
        for shard in ("web-a", "lb-a"):
            taken = engine.claim(shard)
            document = engine.document(taken)
            parts += [(taken, document, host) for host in document.sent]
        barrier = threading.Barrier(len(parts))

        def report(part: Any, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            engine.report(*part)

        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(report, parts))
        assert engine.status("fqdn", id_) == ("active", "")
        for taken in {part[0].job_id: part[0] for part in parts}.values():
            engine.end(taken)


def test_a_failure_names_host_and_reason_and_alone_fails(engine: Any, fqdn: Make) -> None:
    bad, good = fqdn("bad.other.example"), fqdn("good.other.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1")
    engine.report(taken, document, "web2", failed={bad: "nginx: [emerg] host not found in /etc/nginx/x/y.conf:3"})
    engine.end(taken, "")
    assert engine.status("fqdn", good) == ("active", "")
    status, message = engine.status("fqdn", bad)
    assert (status, message) == ("failed", "web2: nginx: [emerg] host not found in …/y.conf:3")
    job = engine.all(sa.select(Job).where(Job.id == taken.job_id))[0]
    assert (job.state, job.reason, job.failed) == ("failed", "resources_failed", 1)
    rows = engine.all(sa.select(JobResource).where(JobResource.job_id == taken.job_id, JobResource.failed))
    assert [(row.host, row.resource_id) for row in rows] == [("web2", bad)]


def test_a_report_never_answers_for_a_newer_wish(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.change("fqdn", id_)
    for host in ("web1", "web2"):
        engine.report(taken, document, host, failed={id_: "an old complaint"})
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("pending", "")
    assert {delivery.state for delivery in engine.deliveries(resource_id=id_)} == {"pending"}
    engine.settle_all()
    assert engine.status("fqdn", id_) == ("active", "")


def test_a_report_of_another_job_changes_nothing(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    stranger = Run(uuid.uuid4(), taken.shard_id, False)
    with engine.transaction() as session:
        settle_report(session, stranger, "web1", document.sent["web1"], read(document.sent["web1"], {}, 3))
    assert len(engine.deliveries(resource_id=id_, state="running")) == 2


def test_a_report_that_does_not_add_up_is_not_believed() -> None:
    sent = Sent(uuid.uuid4(), {"a": "fqdn", "b": "fqdn", "z": "zone", "r": "record"}, {"r": "z"})
    assert read(sent, {}, 4).failed == {}
    for resources, unchanged in (
        ({}, 3),
        ({}, 5),
        ({"a": {"changed": True}}, 4),
        (None, 4),
        ({}, None),
        ({}, True),
        ({"a": 1}, 3),
    ):
        with pytest.raises(Unfit):
            read(sent, resources, unchanged)
    # What a purge removed was not sent; it counts for nothing.
    assert read(sent, {"stranger": {"changed": True, "failed": False, "msg": "removed"}}, 4).changed == {}
    assert read(sent, {"z": {"failed": True, "msg": "no"}}, 3).failed == {"z": "no", "r": "no"}


def test_messages_are_fit_for_owners() -> None:
    assert public('open() "/home/t_abc/x/y" failed\n(13)') == 'open() "…/y" failed (13)'
    assert len(public("x" * 10_000)) == 500


def test_deletion_goes_children_first(engine: Any, fqdn: Make) -> None:
    ids = engine.ids
    id_ = fqdn("www.other.example")
    engine.settle_all()
    for kind, row in (("fqdn", id_), ("webroot", ids["webroot"]), ("tenant", ids["tenant"])):
        engine.delete(kind, row)
        assert engine.status(kind, row)[0] == "deleting"
    engine.run("web-a")
    # The balancer has not let go of the name, so nothing above it goes either.
    assert engine.status("fqdn", id_)[0] == engine.status("tenant", ids["tenant"])[0] == "deleting"
    engine.run("lb-a")
    for kind, row in (("fqdn", id_), ("webroot", ids["webroot"]), ("tenant", ids["tenant"])):
        assert engine.status(kind, row) == ("gone", "")
    ended = engine.all(sa.select(Audit.kind).where(Audit.action == "deleted"))
    assert {"fqdn", "webroot", "tenant"} <= set(ended)


def test_a_deletion_that_fails_says_so_and_can_be_tried_again(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.settle_all()
    engine.delete("fqdn", id_)
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    item = document.body["groups"]["shard_web_a"]["vars"]["web_fqdns"][0]
    assert (item["id"], item["state"]) == (str(id_), "absent")
    for host in document.sent:
        engine.report(taken, document, host, failed={id_: "disk full"})
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("failed", "web1: disk full; web2: disk full")
    assert engine.row("fqdn", id_).delete_requested
    engine.retry("fqdn", id_)
    engine.run("web-a")
    assert engine.status("fqdn", id_) == ("gone", "")


def test_a_name_waits_for_its_records(engine: Any, fqdn: Make) -> None:
    engine.add("lb_address", address="192.0.2.1", cluster_id=engine.ids["cluster"])
    id_ = fqdn("www.acme.example")
    engine.run("web-a")
    engine.run("lb-a")
    assert engine.status("fqdn", id_)[0] in ("pending", "provisioning")
    taken = engine.claim("dns-a")
    document = engine.document(taken)
    zone = document.body["groups"]["shard_dns_a"]["vars"]["dns_zones"][0]
    assert [record["content"] for record in zone["records"]] == ["192.0.2.1"]
    record = uuid.UUID(zone["records"][0]["id"])
    engine.report(taken, document, "dns1")
    engine.report(taken, document, "dns2", failed={record: "refused"})
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("failed", "dns2: refused")
    engine.retry("fqdn", id_)
    engine.run("dns-a")
    assert engine.status("fqdn", id_) == ("active", "")
    # Gone from the zone's list: the zone's success is its own.
    engine.delete("fqdn", id_)
    engine.run("web-a")
    engine.run("lb-a")
    assert engine.status("fqdn", id_)[0] == "deleting"
    engine.run("dns-a")
    assert engine.status("fqdn", id_) == ("gone", "")
    assert engine.row("record", record) is None


def test_suspension_has_its_own_status(engine: Any) -> None:
    engine.change("tenant", engine.ids["tenant"], suspended=True)
    taken = engine.claim("web-a")
    document = engine.document(taken)
    assert document.body["groups"]["shard_web_a"]["vars"]["web_tenants"][0]["state"] == "suspended"
    for host in document.sent:
        engine.report(taken, document, host)
    engine.end(taken)
    assert engine.status("tenant", engine.ids["tenant"]) == ("suspended", "")


def test_a_full_run_finds_what_nobody_waited_for(engine: Any) -> None:
    with engine.transaction() as session:
        ensure_job(session, engine.ids["web-a"], full=True)
    taken = engine.claim("web-a")
    document = engine.document(taken)
    variables = document.body["groups"]["shard_web_a"]["vars"]
    assert variables["web_purge"] is True
    webroot, tenant = engine.ids["webroot"], engine.ids["tenant"]
    engine.report(taken, document, "web1", changed=[tenant])
    engine.report(taken, document, "web2", failed={webroot: "disk full"})
    engine.end(taken)
    assert engine.status("webroot", webroot) == ("failed", "web2: disk full")
    assert engine.status("tenant", tenant) == ("active", "")
    engine.retry("webroot", webroot)
    engine.run("web-a")
    assert engine.status("webroot", webroot) == ("active", "")


def test_status_reports_leave_the_revision_alone(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    before = engine.row("fqdn", id_)
    engine.settle_all()
    after = engine.row("fqdn", id_)
    assert (before.revision, before.updated_at) == (after.revision, after.updated_at)
    assert after.status == "active"


def test_every_kind_that_hosts_carry_has_a_shard(engine: Any) -> None:
    from api.jobs.scope import belongs_to, carried_by

    shard = registry["shard"].model
    with engine.maker() as session:
        for role in ("web", "lb", "dns", "valkey"):
            place = session.scalars(sa.select(shard).where(shard.role == role)).one()
            for kind in carried_by(role):
                session.scalars(sa.select(kind.model).where(belongs_to(kind, place))).all()
