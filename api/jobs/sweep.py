"""The sweeper: finds work whose wake-up was lost, and runs whose worker vanished.

Several may run; each sweep is one transaction that only one of them gets.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core import audit_prune, idempotency
from api.core.kind import registry
from api.jobs import terminal
from api.jobs.dispatch import ensure_jobs
from api.jobs.finish import abandon
from api.jobs.models import Delivery, Job, Lease
from api.jobs.sql import chunks, clock, is_postgresql, read_clock
from api.jobs.status import touch
from api.launch.claim import forget_alone

#: Key of the advisory lock; any number that nothing else in this database uses.
LOCK = 4_021_966
#: Seconds that a message may take before the job is published again; doubled with every message, up to the longest.
PATIENCE, LONGEST_PATIENCE = 5, 300
#: Seconds that a run without hosts may last.
BRIEF = 30


def sweep(session: Session) -> list[uuid.UUID]:
    """Sweep once, in the session's transaction; return the jobs to publish after the commit.

    Returns nothing if another sweeper is at work.
    """
    if is_postgresql(session) and not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))):
        return []
    for job_id in _vanished(session):
        abandon(session, job_id, "lease_expired")
    terminal.sweep(session)
    _try_again(session)
    _ensure(session)
    return list(dict.fromkeys([*session.info.pop("outbox", ()), *_unheard(session)]))


def purge(session: Session, audit_days: int = 0) -> None:
    """Delete what has outlived its use: answers of idempotent requests, and the audit of long ago if so wished."""
    if is_postgresql(session) and not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))):
        return
    idempotency.purge(session)
    forget_alone(session)
    audit_prune.prune(session, audit_days)


def _vanished(session: Session) -> list[uuid.UUID]:
    """Return running jobs that hold no live lease.

    A job that has just begun holds its leases already, since both are written in one transaction; the job of a shard
    without nodes has none, and is given some time to end.
    """
    alive = sa.exists().where(Lease.holder == Job.id, Lease.expires_at > clock(session))
    begun = Job.started_at < clock(session, -BRIEF)
    return list(session.scalars(sa.select(Job.id).where(Job.state == "running", begun, ~alive)))


def _try_again(session: Session) -> None:
    """Let hosts that did not answer be tried again when their pause is over."""
    due = sa.and_(Delivery.state == "failed", Delivery.retry_at <= clock(session))
    ids: dict[str, set[uuid.UUID]] = {}
    shards = set()
    for row in session.execute(sa.select(Delivery.kind, Delivery.resource_id, Delivery.shard_id).where(due)):
        ids.setdefault(row.kind, set()).add(row.resource_id)
        shards.add(row.shard_id)
    if not ids:
        return
    touch(session, ids)
    ensure_jobs(session, shards)
    # The status stays as it is: failed with its reason, until the host reports.
    session.execute(
        sa.update(Delivery)
        .where(due, Delivery.shard_id.in_(shards))
        .values(state="pending", job_id=None)
        .execution_options(synchronize_session=False)
    )


def _ensure(session: Session) -> None:
    """Give every shard with pending work its queued job."""
    queued = sa.exists().where(Job.shard_id == Delivery.shard_id, Job.state == "queued", Job.purpose == "")
    orphaned = session.scalars(
        sa.select(Delivery.shard_id).where(Delivery.state == "pending", ~queued).distinct()
    ).all()
    if orphaned:
        ensure_jobs(session, orphaned)


def _unheard(session: Session) -> list[uuid.UUID]:
    """Return queued jobs that nobody took in time and whose hosts are free."""
    node = registry["node"].model
    busy = (
        sa.select(Lease.host)
        .join(node, node.name == Lease.host)
        .where(node.shard_id == Job.shard_id, Lease.holder.is_not(None), Lease.expires_at > clock(session))
        .exists()
    )
    moment = read_clock(session)
    waiting = session.execute(
        sa.select(Job.id, Job.published, Job.published_at, Job.created_at).where(Job.state == "queued", ~busy)
    ).all()
    late = []
    for part in chunks(waiting):
        for row in part:
            pause = min(LONGEST_PATIENCE, PATIENCE * 2 ** min(row.published, 10)) if row.published else PATIENCE
            since = row.published_at or (row.created_at - timedelta(seconds=PATIENCE - 1))
            if since + timedelta(seconds=pause) <= moment:
                late.append(row.id)
    return late
