"""One job, in a process of its own: claim, run, report. RQ calls ``run`` with the id and learns nothing from it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from api.core.settings import load
from api.jobs.claim import SITE, Busy, Claim, claim, mark_provisioning, set_aside
from api.jobs.document import Document, document_for
from api.jobs.finish import CANCELED, Ending, abandon, finish
from api.jobs.models import Delivery, Job
from api.jobs.report import Result, public
from api.jobs.settle import Run, fail_host, settle_node, settle_report
from api.jobs.steer import message as canceled
from api.plan import drift
from worker import bound, launch, processes
from worker.context import Context, context_for, wake
from worker.events import EventLog
from worker.gather import gather
from worker.lease import Lease
from worker.playbook import play, private_directory
from worker.reporter import UNREACHABLE, Reporter, attempt

log = structlog.get_logger(__name__)

#: Set by the worker before it forks, so that a run finds everything ready.
prepared: Context | None = None

NO_REPORT = "the run ended before it came to this host"
HOST_FAILED = "the run failed on this host"
INTERNAL = "the run could not be carried out; it is tried again by itself"


def run(job_id: str) -> None:
    """Carry out a job, if it is still to be done and its hosts are free."""
    processes.die_with_parent()
    processes.adopt_orphans()
    carry_out(prepared or context_for(load()), uuid.UUID(job_id))


def carry_out(context: Context, job_id: uuid.UUID) -> None:
    """Claim the job, run it, and tell the queue what waits for its hosts by then."""
    if launch.is_one(context, job_id):
        launch.carry_out(context, job_id)
        return
    if bound.is_one(context, job_id):
        bound.carry_out(context, job_id, bound.Steps(_prepare_whole, _run, _give_up))
        return
    taken = take(context, job_id)
    if taken is None:
        return
    lease = Lease(context, taken)
    lease.start()
    try:
        _run(context, taken, lease)
    except Exception:
        log.exception("run broke", job=str(job_id))
        _give_up(context, taken)
    finally:
        lease.stop()
    wake(context, taken.tokens, taken.shard_id)


def take(context: Context, job_id: uuid.UUID) -> Claim | None:
    """Return the claimed job; None if it is not to be done, or not now."""
    with context.maker() as session:
        job = session.execute(sa.select(Job.shard_id, Job.full).where(Job.id == job_id, Job.state == "queued")).first()
    if job is None:
        return None
    if not job.full:
        gather(context, job.shard_id)
        attempt(context, lambda session: set_aside(session, job.shard_id))
    try:
        return attempt(
            context, lambda session: claim(session, job_id, processes.name(), context.settings.lease_seconds)
        )
    except Busy:
        # The one who holds the hosts publishes again at its end.
        return None


def _run(context: Context, taken: Claim, lease: Lease, prepare: Callable[[Session], Document] | None = None) -> None:
    """Run a job to its end; ``prepare`` returns what to send, where that is not what waits."""
    run_ = Run(taken.job_id, taken.shard_id, taken.full or taken.playbook == SITE)
    document = attempt(context, prepare or (lambda session: _prepare(session, taken, run_)))
    log_ = EventLog(context.settings.data_dir.resolve() / "jobs", str(taken.job_id))
    for host, reason in document.unfit.items():
        log_.say(f"{host}: {reason}")
    reporter = Reporter(context, run_, document)
    status, stop = "successful", lease.stop_run

    def on_event(event: dict[str, Any]) -> bool:
        stop.heard()
        try:
            log_.append(event)
            reporter.take(event)
        except Exception:
            log.exception("event not understood", job=str(taken.job_id))
            log_.lost = True
        # ansible-runner keeps no file of the event.
        return False

    if document.sent and not stop.reason:
        reporter.start()
        with private_directory(context.settings, str(taken.job_id), document.body) as directory:
            status, _ = play(context.settings, taken.playbook, directory, on_event, stop)
        reporter.finish()
    if stop.reason == "lease_lost":
        log_.close()
        attempt(context, lambda session: abandon(session, taken.job_id, "lease_lost"))
        return
    broken = stop.reason or ("run_failed" if reporter.stats is None and status != "successful" else "")
    ending = Ending(
        reason=broken,
        hosts=_recap(document, reporter),
        events_lost=log_.lost or reporter.failed,
        truncated=log_.truncated,
        events_sha256=log_.close(),
    )

    def end(session: Session) -> None:
        if stop.reason == CANCELED:
            _settle_canceled(session, taken, run_)
        bad = dict(document.unfit) | _settle_rest(session, run_, document, reporter, broken == "run_failed")
        if bad and not broken:
            ending.reason = "host_failed: " + ", ".join(bad[host] for host in sorted(bad))
        if taken.full and taken.playbook == SITE and reporter.stats is not None:
            drift.repaired(session, taken.job_id, (taken.nodes[host] for host in document.sent if host not in bad))
        finish(session, taken, ending)

    attempt(context, end)


def _prepare_whole(session: Session, taken: Claim) -> Document:
    """Return what to send of a whole converge."""
    return _prepare(session, taken, Run(taken.job_id, taken.shard_id, everything=True))


def _prepare(session: Session, taken: Claim, run_: Run) -> Document:
    """Return what to send; what needs no run is settled here."""
    mark_provisioning(session, taken.job_id)
    document = document_for(session, taken)
    if run_.everything:
        count = len({id_ for sent in document.sent.values() for id_ in sent.items})
    else:
        carried = sa.select(Delivery.kind, Delivery.resource_id).where(Delivery.job_id == taken.job_id).distinct()
        count = session.scalar(sa.select(sa.func.count()).select_from(carried.subquery())) or 0
        for host, sent in list(document.sent.items()):
            if not sent.items:
                # Only rows that are gone were waiting.
                settle_report(session, run_, host, sent, Result())
                del document.sent[host], document.body["hosts"][host]
    session.execute(sa.update(Job).where(Job.id == taken.job_id).values(resources=count))
    for host, reason in document.unfit.items():
        fail_host(session, run_, taken.nodes[host], reason)
    return document


def _settle_canceled(session: Session, taken: Claim, run_: Run) -> None:
    """What no host has reported has failed: somebody did not want it done."""
    who = session.scalar(sa.select(Job.canceled_by).where(Job.id == taken.job_id)) or ""
    for node_id in taken.nodes.values():
        fail_host(session, run_, node_id, canceled(who))


def _settle_rest(session: Session, run_: Run, document: Document, reporter: Reporter, again: bool) -> dict[str, str]:
    """Settle what no report settled: nothing counts as done because nobody complained. Return the bad hosts.

    ``again``: the run broke off, which is no resource's fault, so what it left is tried again by itself.
    """
    bad = {host: f"{host} (unreachable)" for host in reporter.unreachable} | {host: host for host in reporter.messages}
    stats = reporter.stats or {}
    for host, sent in sorted(document.sent.items()):
        if host in stats.get("ok", {}) and not stats["failures"].get(host) and not stats["dark"].get(host):
            settle_node(session, run_, sent.node_id)
        if host in reporter.unreachable:
            fail_host(session, run_, sent.node_id, UNREACHABLE, again=True)
            continue
        said = reporter.messages.get(host, "")
        # Who runs nodes needs to know what failed there; who owns a site does not.
        fail_host(session, run_, sent.node_id, public(said) if said else NO_REPORT, nodes=True, again=again)
        if fail_host(session, run_, sent.node_id, HOST_FAILED if said else NO_REPORT, again=again):
            bad.setdefault(host, host)
    return bad


def _recap(document: Document, reporter: Reporter) -> dict[str, dict[str, Any]]:
    stats = reporter.stats or {}

    def of(name: str, host: str) -> int:
        return int(stats.get(name, {}).get(host, 0))

    return {
        host: {
            "ok": of("ok", host),
            "changed": of("changed", host),
            "failed": of("failures", host),
            "skipped": of("skipped", host),
            "unreachable": host in reporter.unreachable,
            "seconds": round(reporter.seconds.get(host, 0.0), 3),
            "message": (reporter.unreachable.get(host) or reporter.messages.get(host, ""))[:2000],
        }
        for host in document.sent
    }


def _give_up(context: Context, taken: Claim) -> None:
    """End a run that an error of ours broke; what it carried is tried again, later each time."""
    processes.kill_all()
    run_ = Run(taken.job_id, taken.shard_id, everything=False)

    def give_up(session: Session) -> None:
        for node_id in taken.nodes.values():
            fail_host(session, run_, node_id, INTERNAL, again=True)
        finish(session, taken, Ending(reason="worker_error"))

    try:
        attempt(context, give_up)
    except sa.exc.SQLAlchemyError:
        log.exception("run could not be ended; the sweeper will", job=str(taken.job_id))
