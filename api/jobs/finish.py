"""The end of a run: what no host reported, the state of the job, the leases, the audit."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.audit import record
from api.jobs import leases, tell
from api.jobs.dispatch import ensure_job
from api.jobs.models import READ, Delivery, Job, JobHost, JobResource, Lease
from api.jobs.settle import audit_gone
from api.jobs.sql import clock, insert, read_clock
from api.jobs.status import recompute, touch
from api.jobs.steer import message
from api.operations import core as operations
from api.plan import life

#: Runs that may vanish under a resource before it waits for somebody to look.
ATTEMPTS = 5
#: Reason and state of a run that somebody ended.
CANCELED = "canceled"
VANISHED = "the run vanished several times; see the worker's log"


class Held(Protocol):
    """A claimed job: its id, and host → token of the leases that it holds."""

    @property
    def job_id(self) -> uuid.UUID: ...

    @property
    def tokens(self) -> dict[str, int]: ...


@dataclass
class Ending:
    """How a run ended: ``reason`` says why it failed or that it was canceled, empty for a success."""

    reason: str = ""
    #: host → fields of JobHost; a launch, which carries no resources, counts these
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_host: bool = False
    events_lost: bool = False
    truncated: bool = False
    events_sha256: str = ""
    #: of a launch: what it told with set_stats (null: more than is kept), and what its operation heard
    data: dict[str, Any] | None = field(default_factory=dict)
    heard: dict[str, Any] = field(default_factory=dict)


def finish(session: Session, claim: Held, ending: Ending) -> bool:
    """End a running job and give its leases back; False if somebody else ended it before.

    What the job still carries must have been settled or failed before.
    """
    told = sa.select(sa.func.count().filter(JobResource.changed), sa.func.count().filter(JobResource.failed)).where(
        JobResource.job_id == claim.job_id
    )
    changed, failed = session.execute(told).one()
    if ending.by_host:
        changed = sum(bool(values["changed"]) for values in ending.hosts.values())
        failed = sum(bool(values["failed"] or values["unreachable"]) for values in ending.hosts.values())
    reason = ending.reason or ("events_lost" if ending.events_lost else "") or ("resources_failed" if failed else "")
    row = session.execute(
        sa.update(Job)
        .where(Job.id == claim.job_id, Job.state == "running")
        .values(
            state="canceled" if reason == CANCELED else "failed" if reason else "successful",
            reason=reason,
            ended_at=clock(session),
            changed=changed,
            failed=failed,
            events_lost=ending.events_lost,
            truncated=ending.truncated,
            events_sha256=ending.events_sha256,
        )
        .returning(
            *(Job.shard_id, Job.state, Job.started_at, Job.ended_at, Job.resources, Job.full, Job.playbook, Job.purpose)
        )
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is not None:
        life.job_over(session, claim.job_id, row.purpose, reason or row.state)
        if row.shard_id is None:
            operations.over(session, claim.job_id, reason, ending.heard, ending.data)
        if ending.hosts:
            session.execute(
                insert(session, JobHost)
                .values([{"job_id": claim.job_id, "host": host, **values} for host, values in ending.hosts.items()])
                .on_conflict_do_nothing()
            )
        facts = {"reason": reason, "changed": changed, "failed": failed, "playbook": row.playbook}
        facts["events_sha256"] = ending.events_sha256
        facts |= {"purpose": row.purpose} if row.purpose else {}
        facts["hosts"] = {host: _recap(values) for host, values in sorted(ending.hosts.items())}
        if row.purpose != READ:
            _audit(session, claim.job_id, row, {**facts, "resources": row.resources, "full": row.full})
            tell.job_ended(session, claim.job_id, row.state)
    leases.release(session, claim.job_id, claim.tokens)
    return row is not None


def abandon(session: Session, job_id: uuid.UUID, reason: str) -> bool:
    """End a job whose run vanished; what it carried waits for the next one. False if it was ended before.

    A launch is not done again by itself: nobody here knows whether its playbook can be repeated.

    Only for a run that is gone, or one whose leases have run out.
    """
    row = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.state == "running")
        .values(state="abandoned", reason=reason, ended_at=clock(session))
        .returning(
            Job.shard_id,
            Job.state,
            Job.started_at,
            Job.ended_at,
            Job.resources,
            Job.full,
            Job.playbook,
            Job.purpose,
            Job.cancel_requested_at,
            Job.canceled_by,
        )
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return False
    session.execute(sa.update(Lease).where(Lease.holder == job_id).values(holder=None))
    _audit(session, job_id, row, {"reason": reason, "resources": row.resources, "playbook": row.playbook})
    life.job_over(session, job_id, row.purpose, reason)
    if row.shard_id is None:
        operations.over(session, job_id, reason, {}, {})
    canceled = row.cancel_requested_at is not None
    # What an approved plan carried goes on as what it is, pending; the whole of it was approved for once.
    if not canceled and row.shard_id is not None and not row.purpose:
        ensure_job(session, row.shard_id, full=row.full)
    mine = sa.and_(Delivery.job_id == job_id, Delivery.state == "running")
    tired: dict[str, set[uuid.UUID]] = {}
    for kind, id_ in session.execute(
        sa.update(Delivery)
        .where(mine, sa.true() if canceled else Delivery.tries >= ATTEMPTS)
        .values(state="failed", message=message(row.canceled_by) if canceled else VANISHED, job_id=None)
        .returning(Delivery.kind, Delivery.resource_id)
        .execution_options(synchronize_session=False)
    ):
        tired.setdefault(kind, set()).add(id_)
    session.execute(
        sa.update(Delivery)
        .where(mine)
        .values(state="pending", job_id=None, tries=Delivery.tries + 1)
        .execution_options(synchronize_session=False)
    )
    audit_gone(session, job_id, recompute(session, touch(session, tired), job_id))
    tell.job_ended(session, job_id, row.state)
    return True


def _recap(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in ("ok", "changed", "failed", "unreachable") if key in values}


def _audit(session: Session, job_id: uuid.UUID, row: Any, facts: dict[str, Any]) -> None:
    began, ended = row.started_at, row.ended_at or read_clock(session)
    record(
        session,
        actor="worker",
        action="run",
        kind="launch" if row.shard_id is None else "shard",
        resource_id=job_id if row.shard_id is None else row.shard_id,
        before=None,
        after=facts,
        result=row.state,
        duration_ms=round((ended - began).total_seconds() * 1000) if began else 0,
        job_ids=[job_id],
    )
