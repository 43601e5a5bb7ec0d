"""Cancel and relaunch: what a person does to a job.

Locks as everywhere: resources, then jobs, then deliveries.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.errors import conflict
from api.core.kind import registry
from api.jobs import tell
from api.jobs.claim import SITE
from api.jobs.dispatch import ensure_job, owe
from api.jobs.models import READ, Delivery, Job, JobHost, JobResource
from api.jobs.settle import audit_gone
from api.jobs.sql import chunks, clock, is_postgresql
from api.jobs.status import recompute, touch
from api.jobs.waiting import waiting_for
from api.launch.models import Launch
from api.launch.start import again
from api.operations import core as operations
from api.plan import life

#: A job that has come to its end.
OVER = ("successful", "failed", "abandoned", "canceled")

Ids = dict[str, set[uuid.UUID]]


def cancel(session: Session, job: Job, who: str) -> None:
    """Cancel a job; ``who`` is told to everybody who waited for it. 409 if it is over.

    One that waits is canceled at once, and what it would have carried has failed. One that runs is asked to end: it is
    ``canceled`` when its last process is gone.
    """
    ids = _waiting(session, job) if job.state == "queued" and not job.purpose else {}
    touched = touch(session, ids)
    job = locked(session, job.id)
    if job.state in OVER:
        raise conflict(f"The job is {job.state} already.", "state")
    if job.cancel_requested_at is None:
        job.cancel_requested_at, job.canceled_by = clock(session), who
    if job.state == "queued":
        job.state, job.reason, job.ended_at = "canceled", "canceled", clock(session)
        life.job_over(session, job.id, job.purpose, "canceled")
        if job.shard_id is None:
            operations.over(session, job.id, "canceled", {}, {})
        for kind, members in ids.items():
            for part in chunks(sorted(members)):
                mine = sa.and_(Delivery.kind == kind, Delivery.resource_id.in_(part))
                session.execute(
                    sa.update(Delivery)
                    .where(Delivery.shard_id == job.shard_id, Delivery.state == "pending", mine)
                    .values(state="failed", message=message(who), job_id=job.id, retry_at=None)
                    .execution_options(synchronize_session=False)
                )
    session.flush()
    session.refresh(job)
    if job.shard_id is None and job.state in OVER:
        # Launches of its turn may have waited for it.
        session.info.setdefault("outbox", []).extend(waiting_for(session, ()))
    if job.state in OVER:
        tell.job_ended(session, job.id, job.state)
    audit_gone(session, job.id, recompute(session, touched, job.id))


def message(who: str) -> str:
    """Return what the status of a resource says whose run was canceled."""
    return f"canceled by {who}"


def relaunch(session: Session, job: Job, failed_only: bool, who: str = "") -> list[Job]:
    """Let a job's work be done again, in the shard's next run; 409 if it is not over yet.

    What it carried is sent again in its present form, to the hosts of then; with ``failed_only``, only what failed. A
    full converge is made again whole, a launch as it was asked for. Returns the queued jobs; none when nothing is left
    of the work.
    """
    if job.state not in OVER:
        raise conflict(f"The job is {job.state}; only one that is over can be launched again.", "state")
    if job.purpose and job.purpose != READ:
        raise conflict("The job belongs to a plan or to a search for drift; make a new plan.", "purpose")
    if job.shard_id is None:
        if session.get_one(Launch, job.id).operation:
            raise conflict("The platform ran this for an end of its own; ask for that again.", "operation")
        queued_again = again(session, job, failed_only, who)
        return [queued_again] if queued_again else []
    if job.full and not failed_only:
        return [ensure_job(session, job.shard_id, full=True)]
    shard_id = job.shard_id
    wanted = _carried(session, job, failed_only)
    ids = {kind: {id_ for id_, _ in pairs} for kind, pairs in wanted.items()}
    touched = touch(session, ids)
    owed = [
        (registry[kind], [(id_, generation, node, shard_id) for id_, generation, node in rows])
        for kind, rows in _present(session, job, wanted).items()
    ]
    if not any(rows for _, rows in owed):
        return []
    queued = ensure_job(session, shard_id)
    for kind, rows in owed:
        owe(session, kind, rows)
    audit_gone(session, None, recompute(session, touched))
    return [queued]


def locked(session: Session, job_id: uuid.UUID) -> Job:
    """Return a job as it is now, locked."""
    chosen = sa.select(Job).where(Job.id == job_id).execution_options(populate_existing=True)
    return session.scalars(chosen.with_for_update() if is_postgresql(session) else chosen).one()


def _waiting(session: Session, job: Job) -> Ids:
    """Return what a queued job would carry."""
    ids: Ids = {}
    chosen = sa.select(Delivery.kind, Delivery.resource_id).where(
        Delivery.shard_id == job.shard_id, Delivery.state == "pending"
    )
    for kind, id_ in session.execute(chosen):
        ids.setdefault(kind, set()).add(id_)
    return ids


def _carried(session: Session, job: Job, failed_only: bool) -> dict[str, set[tuple[uuid.UUID, str]]]:
    """Return kind → (id, host) of what a job carried, or of what is left of that undone."""
    node = registry["node"].model
    pairs: set[tuple[str, uuid.UUID, str]] = set()
    left = (
        sa.select(Delivery.kind, Delivery.resource_id, node.name)
        .join(node, node.id == Delivery.node_id)
        .where(Delivery.job_id == job.id, Delivery.state == "failed")
    )
    pairs.update((row.kind, row.resource_id, row.name) for row in session.execute(left))
    told = sa.select(JobResource.kind, JobResource.resource_id, JobResource.host).where(JobResource.job_id == job.id)
    told = told.where(JobResource.failed) if failed_only else told
    pairs.update((row.kind, row.resource_id, row.host) for row in session.execute(told))
    if job.playbook == SITE:
        hosts = sa.select(node.id, node.name).join(JobHost, JobHost.host == node.name).where(JobHost.job_id == job.id)
        hosts = hosts.where(sa.or_(JobHost.failed > 0, JobHost.unreachable)) if failed_only else hosts
        pairs.update(("node", row.id, row.name) for row in session.execute(hosts))
    carried: dict[str, set[tuple[uuid.UUID, str]]] = {}
    for kind, id_, host in pairs:
        carried.setdefault(kind, set()).add((id_, host))
    return carried


def _present(
    session: Session, job: Job, wanted: dict[str, set[tuple[uuid.UUID, str]]]
) -> dict[str, Iterable[tuple[uuid.UUID, int, uuid.UUID]]]:
    """Return kind → (id, present generation, node id) of what is still there, on nodes that still are."""
    node = registry["node"].model
    nodes = {
        name: id_
        for id_, name in session.execute(
            sa.select(node.id, node.name).where(node.shard_id == job.shard_id, node.delete_requested.is_(False))
        )
    }
    found: dict[str, Iterable[tuple[uuid.UUID, int, uuid.UUID]]] = {}
    for kind, pairs in wanted.items():
        model = registry[kind].model
        generations: dict[uuid.UUID, int] = {}
        for part in chunks(sorted({id_ for id_, _ in pairs})):
            rows = session.execute(sa.select(model.id, model.generation).where(model.id.in_(part)))
            generations.update({row.id: row.generation for row in rows})
        found[kind] = [
            (id_, generations[id_], nodes[host]) for id_, host in sorted(pairs) if id_ in generations and host in nodes
        ]
    return found
