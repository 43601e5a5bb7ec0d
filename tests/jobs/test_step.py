"""A host is tied to the audit by what it carries, and is found to be out of step."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.audit import Audit, record
from api.jobs import step
from api.jobs.finish import Ending, abandon, finish
from api.jobs.models import Job
from api.jobs.step import Carried, Said
from api.launch.claim import claim
from api.launch.models import Launch
from api.launch.start import queue
from worker.context import Context
from worker.reporter import Reporter

from .conftest import run_of
from .test_routes import Rest

NOTHING = Carried()


class Host:
    """A web host's fact file, as its modules keep it, and runs that come to it."""

    def __init__(self, engine: Any, fqdn: Any) -> None:
        self.engine, self.fqdn, self.carries, self.number = engine, fqdn, NOTHING, 0

    def run(self, changed: bool = True, reported: bool = True) -> Any:
        """Let a job come; return its claim."""
        self.number += 1
        self.fqdn(f"n{self.number}.acme.example")
        taken = self.engine.claim("web-a")
        before = self.carries
        if changed:
            self.carries = Carried(taken.job_id, taken.audit_head)
        if not reported:
            with self.engine.transaction() as session:
                abandon(session, taken.job_id, "lease_expired")
            return taken
        with self.engine.transaction() as session:
            step.note(session, run_of(taken), self.engine.ids["web1"], Said(before, self.carries))
        document = self.engine.document(taken)
        for name in document.sent:
            self.engine.report(taken, document, name)
        self.engine.end(taken)
        return taken

    def node(self) -> dict[str, Any]:
        found: dict[str, Any] = Rest(self.engine, ["*"], ["*"])(f"/nodes/{self.engine.ids['web1']}").json
        return found

    def told(self) -> list[Any]:
        return list(self.engine.all(sa.select(Audit).where(Audit.action == "out_of_step").order_by(Audit.seq)))


@pytest.fixture
def host(engine: Any, fqdn: Any) -> Host:
    return Host(engine, fqdn)


def test_a_run_carries_the_head_of_the_audit(engine: Any, fqdn: Any) -> None:
    fqdn("www.acme.example")
    with engine.transaction() as session:
        record(
            session, actor="worker", action="run", kind="shard", resource_id=uuid.uuid4(), before=None, after=None,
            result="successful", duration_ms=0, job_ids=[],
        )  # fmt: skip
    admin = Rest(engine, ["*"], ["*"])
    now = admin("/audit/head").json
    taken = engine.claim("web-a")
    assert taken.audit_head == f"{now['seq']}:{now['hash']}"
    assert engine.document(taken).body["groups"]["shard_web_a"]["vars"]["hostreeve_audit_head"] == taken.audit_head
    assert admin(f"/jobs/{taken.job_id}").json["audit_head"] == taken.audit_head


def test_in_step(host: Host) -> None:
    before = host.node()
    assert (before["in_step"], before["last_job_id"], before["host_seen_at"]) == (None, None, None)
    taken = host.run()
    node = host.node()
    assert node["in_step"] is True and node["host_seen_at"]
    assert node["last_job_id"] == node["host_job_id"] == str(taken.job_id)
    assert node["last_audit_head"] == node["host_audit_head"] == taken.audit_head
    # A report is no wish.
    assert all(node[name] == before[name] for name in ("revision", "generation", "updated_at"))
    host.run(changed=False)
    assert host.node()["last_job_id"] == str(taken.job_id) and host.node()["in_step"] is True
    host.run()
    assert host.node()["in_step"] is True and host.told() == []


def test_a_host_that_was_somebody_elses(host: Host) -> None:
    host.carries = Carried(uuid.uuid4(), "3:" + "a" * 64)
    host.run(changed=False)
    assert host.node()["in_step"] is None and host.node()["host_audit_head"] == "3:" + "a" * 64
    host.run()
    assert host.node()["in_step"] is None
    host.run(changed=False)
    assert host.node()["in_step"] is True and host.told() == []


@pytest.mark.parametrize(
    "forged",
    [
        NOTHING,
        Carried(uuid.uuid4(), "3:" + "a" * 64),
        pytest.param("terminal", id="a change from a terminal"),
        pytest.param("older", id="a host from a backup"),
    ],
)
def test_out_of_step(host: Host, forged: Any) -> None:
    older = host.run()
    last = host.run()
    if forged == "terminal":
        forged = Carried(last.job_id, "")
    if forged == "older":
        forged = Carried(older.job_id, older.audit_head)
    host.carries = forged
    host.run(changed=False)
    node = host.node()
    assert node["in_step"] is False and node["last_job_id"] == str(last.job_id)
    assert (node["host_job_id"], node["host_audit_head"]) == (
        str(forged.job_id) if forged.job_id else None,
        forged.audit_head,
    )
    (entry,) = host.told()
    assert entry.resource_id == host.engine.ids["web1"] and entry.seq
    assert entry.before == {"job_id": str(last.job_id), "audit_head": last.audit_head}
    assert entry.after == {"job_id": node["host_job_id"], "audit_head": forged.audit_head}
    # It stays so, and is not told again, until a run has changed the host and the next one has seen that.
    host.run(changed=False)
    assert host.node()["in_step"] is False and len(host.told()) == 1
    host.run()
    host.run(changed=False)
    assert host.node()["in_step"] is True and len(host.told()) == 1


def test_a_run_whose_report_was_lost(host: Host) -> None:
    """The host was changed by a job of ours that the platform knows as abandoned: nothing is wrong with it."""
    host.run()
    lost = host.run(reported=False)
    host.run(changed=False)
    assert host.node()["in_step"] is True and host.node()["host_job_id"] == str(lost.job_id)
    # With another head it would be somebody who has only read of the job.
    host.carries = Carried(lost.job_id, "1:" + "0" * 64)
    host.run(changed=False)
    assert host.node()["in_step"] is False


def test_a_launch_reports_nothing_and_is_ours(host: Host) -> None:
    host.run()
    with host.engine.transaction() as session:
        job, row = queue(session, Launch(playbook="site.yml"), "site.yml")
        taken = claim(session, row, ["web1"], "test", 60)
        assert taken is not None
        host.carries = Carried(job.id, taken.audit_head)
        finish(session, taken, Ending())
    host.run()
    assert host.node()["in_step"] is True
    assert host.told() == []


@pytest.mark.parametrize("said", [None, "x", [], 5, True])
def test_hosts_that_say_nothing(said: Any) -> None:
    assert step.read(said) is None


@pytest.mark.parametrize(
    "value",
    [
        None, [], "x", {"job": 5, "audit_head": None}, {"job": "x" * 36, "audit_head": "1:zz"},
        {"job": "{{ lookup('pipe', 'id') }}", "audit_head": "1:" + "a" * 64 + "\n"},
        {"job": ["a"], "audit_head": {"a": 1}},
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_nothing(value: Any) -> None:
    assert step.read({"before": value, "now": value}) == Said(NOTHING, NOTHING)


def test_the_reporter_hears_it(engine: Any, fqdn: Any) -> None:
    id_ = fqdn("www.acme.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    context = Context(engine.settings, None, engine.maker, engine.published.append)  # type: ignore[arg-type]
    reporter = Reporter(context, run_of(taken), document)
    reporter.start()
    now = {"job": str(taken.job_id), "audit_head": taken.audit_head}
    result = {
        "resources": {str(id_): {"changed": True, "failed": False, "msg": ""}},
        "unchanged": len(document.sent["web1"].items) - 1,
        "node": {"before": {"job": "", "audit_head": ""}, "now": now},
    }
    data = {"host": "web1", "resolved_action": "hostreeve.hosting.web_resources", "res": result}
    reporter.take({"event": "runner_on_ok", "event_data": data})
    reporter.finish()
    assert not reporter.failed
    row = engine.row("node", engine.ids["web1"])
    assert (row.host_job_id, row.last_job_id, row.in_step) == (taken.job_id, taken.job_id, True)
    assert re.fullmatch("[0-9]+:[0-9a-f]{64}", row.last_audit_head)
    assert engine.all(sa.select(Job.audit_head).where(Job.id == taken.job_id)) == [row.host_audit_head]
