"""Jobs of a shard in which no wishes gather: the check for a plan, the search for drift, and the run of a plan.

All hold the leases of the shard's hosts, like any run. A check settles nothing and changes no status. The run of a plan
checks again, and goes on under the same leases only if everything is as it was approved.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs import tell
from api.jobs.claim import SITE, Busy, Claim, carry, hold
from api.jobs.document import Document, document_for
from api.jobs.finish import Ending, abandon, finish
from api.jobs.models import Job
from api.plan import drift, inputs, life
from api.plan.models import Plan
from api.plan.revision import revision_of
from worker import processes
from worker.context import Context, wake
from worker.events import EventLog
from worker.lease import Lease
from worker.planned import Refused, verify
from worker.playbook import private_directory
from worker.predict import Found, predict
from worker.reporter import attempt

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Steps:
    """How a shard's job is run: what it sends of a whole converge, the run to its end, and the end of a broken one."""

    prepare: Callable[[Session, Claim], Document]
    converge: Callable[[Context, Claim, Lease, Callable[[Session], Document]], None]
    give_up: Callable[[Context, Claim], None]


def is_one(context: Context, job_id: uuid.UUID) -> bool:
    """Tell whether a job only checks, or carries out a plan."""
    with context.maker() as session:
        return bool(session.scalar(sa.select(Job.purpose).where(Job.id == job_id)))


def carry_out(context: Context, job_id: uuid.UUID, steps: Steps) -> None:
    """Take the job and carry it out."""
    held = _take(context, job_id)
    if held is None:
        return
    lease = Lease(context, held)
    lease.start()
    try:
        with context.maker() as session:
            plan = session.scalar(sa.select(Plan).where(Plan.apply_job_id == job_id))
        if plan is None:
            _check(context, held, lease)
        else:
            _apply(context, held, lease, plan, steps)
    except Exception:
        log.exception("run broke", job=str(job_id))
        steps.give_up(context, held)
    finally:
        lease.stop()
    wake(context, held.tokens, held.shard_id)


def _take(context: Context, job_id: uuid.UUID) -> Claim | None:
    def work(session: Session) -> Claim | None:
        held = hold(session, job_id, processes.name(), context.settings.lease_seconds)
        if held is not None:
            tell.job(session, "job_started", job_id)
        return held

    try:
        held: Claim | None = attempt(context, work)
    except Busy:
        # The one who holds the hosts publishes again at its end.
        return None
    return held


def _check(context: Context, held: Claim, lease: Lease) -> None:
    document, parts = attempt(context, lambda session: _read(session, held))
    parts["revision"] = revision_of(context.settings.playbooks)
    log_ = _log(context, held, document)
    found = _look(context, held, document, lease, log_, again=False)
    if _lost(context, held, lease, log_):
        return
    ending = Ending(
        reason=found.problem,
        hosts=found.recap.hosts(),
        by_host=True,
        events_lost=log_.lost,
        truncated=log_.truncated,
        events_sha256=log_.close(),
    )
    ending.reason = ending.reason or _unfit(document)

    def end(session: Session) -> None:
        plan = session.scalar(sa.select(Plan).where(Plan.job_id == held.job_id, Plan.origin != "drift"))
        if plan is None:
            drift.note(session, held, _through(document, found), found.prediction, parts, whole=not ending.reason)
        elif not ending.reason:
            life.ready(session, plan, parts, found.prediction, document.sent)
        finish(session, held, ending)

    attempt(context, end)


def _apply(context: Context, held: Claim, lease: Lease, plan: Plan, steps: Steps) -> None:
    """Check again; then run, with the very document that was compared."""
    document, parts = attempt(context, lambda session: _read(session, held))
    parts["revision"] = revision_of(context.settings.playbooks)
    log_ = _log(context, held, document)

    def carried(session: Session) -> Document:
        made = steps.prepare(session, carry(session, held))
        shard = session.get_one(registry["shard"].model, held.shard_id)
        now = {**inputs.of_shard(session, shard, made.body), "revision": revision_of(context.settings.playbooks)}
        if moved := inputs.moved(plan, now):
            raise Refused(moved)
        if not life.began(session, plan):
            raise Refused([], "it is not to be applied any longer")
        return made

    try:
        if moved := inputs.moved(plan, parts):
            raise Refused(moved)
        found = _look(context, held, document, lease, log_, again=True)
        if not lease.stop_run.reason:
            verify(plan, found)
            log_.say("what a run would change is what was approved")
    except Refused as refused:
        _refuse(context, held, plan, refused, log_)
        return
    if _lost(context, held, lease, log_):
        return
    sha256 = log_.close()
    if lease.stop_run.reason:
        attempt(context, lambda session: finish(session, held, Ending(lease.stop_run.reason, events_sha256=sha256)))
        return
    try:
        steps.converge(context, held, lease, carried)
    except Refused as refused:
        _refuse(context, held, plan, refused, _log(context, held, document))


def _refuse(context: Context, held: Claim, plan: Plan, refused: Refused, log_: EventLog) -> None:
    def end(session: Session) -> None:
        reason = life.refused(session, plan, refused.parts, str(refused))
        log_.say(reason)
        finish(session, held, Ending(reason=reason, truncated=log_.truncated, events_sha256=log_.close()))

    attempt(context, end)


def _read(session: Session, held: Claim) -> tuple[Document, dict[str, str]]:
    """Return the document of a full converge, and the parts of a plan that the database holds."""
    document = document_for(session, held)
    shard = session.get_one(registry["shard"].model, held.shard_id)
    count = len({id_ for sent in document.sent.values() for id_ in sent.items})
    session.execute(sa.update(Job).where(Job.id == held.job_id).values(resources=count))
    return document, inputs.of_shard(session, shard, document.body)


def _look(context: Context, held: Claim, document: Document, lease: Lease, log_: EventLog, *, again: bool) -> Found:
    if not document.sent or lease.stop_run.reason:
        return Found(problem=lease.stop_run.reason)
    with private_directory(context.settings, str(held.job_id), document.body) as directory:
        return predict(context.settings, SITE, directory, lease.stop_run, log_, again=again)


def _log(context: Context, held: Claim, document: Document) -> EventLog:
    log_ = EventLog(context.settings.data_dir.resolve() / "jobs", str(held.job_id))
    for host, reason in document.unfit.items():
        log_.say(f"{host}: {reason}")
    return log_


def _lost(context: Context, held: Claim, lease: Lease, log_: EventLog) -> bool:
    """End a run that lost its leases; whoever has them now must not be reported for."""
    if lease.stop_run.reason != "lease_lost":
        return False
    log_.close()
    attempt(context, lambda session: abandon(session, held.job_id, "lease_lost"))
    return True


def _unfit(document: Document) -> str:
    return "host_failed: " + ", ".join(sorted(document.unfit)) if document.unfit else ""


def _through(document: Document, found: Found) -> list[str]:
    """Return the hosts on which a search came through: of others nothing is known, so nothing is forgotten."""
    stats: dict[str, Any] = (found.recap.stats or {}) if found.problem != "events_lost" else {}
    bad = {host for name in ("failures", "dark") for host, count in stats.get(name, {}).items() if count}
    return [host for host in document.sent if host in stats.get("ok", {}) and host not in bad]
