"""Taking a job: one transaction, all or nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.chain import anchor
from api.core.kind import registry
from api.jobs import leases, tell
from api.jobs.models import Delivery, Job
from api.jobs.sql import clock
from api.jobs.status import recompute, touch

CONVERGE, SITE = "converge.yml", "site.yml"


class Busy(Exception):
    """Somebody else runs Ansible on a host of the shard; the job stays queued."""


@dataclass(frozen=True)
class Claim:
    """A job that is ours: what to run, where, and under which tokens."""

    job_id: uuid.UUID
    shard_id: uuid.UUID
    playbook: str
    #: everything, and what is not in the lists is removed
    full: bool
    #: host name → node id, of the hosts that the run goes to
    nodes: dict[str, uuid.UUID]
    #: host name → fencing token, of every host of the shard
    tokens: dict[str, int] = field(repr=False)
    #: where the audit ended, ``seq:hash``; hosts that the run changes note it
    audit_head: str = ""


def claim(session: Session, job_id: uuid.UUID, worker: str, lease_seconds: int) -> Claim | None:
    """Make a queued job ours, with the leases of its hosts and everything that waits for them.

    Returns None if it is not queued (any longer). Raises Busy; the caller rolls back and the job stays queued.
    """
    held = hold(session, job_id, worker, lease_seconds)
    if held is None:
        return None
    claimed = carry(session, held)
    tell.job(session, "job_started", job_id)
    return claimed


def hold(session: Session, job_id: uuid.UUID, worker: str, lease_seconds: int) -> Claim | None:
    """Make a queued job ours, with the leases of its hosts; what waits for them goes on waiting. As ``claim``."""
    head = anchor(session)
    row = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.state == "queued")
        .values(state="running", worker=worker, started_at=clock(session), audit_head=head)
        .returning(Job.shard_id, Job.full, Job.playbook)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return None
    node = registry["node"].model
    nodes = {
        name: id_
        for id_, name in session.execute(
            sa.select(node.id, node.name).where(node.shard_id == row.shard_id, node.delete_requested.is_(False))
        )
    }
    tokens = leases.acquire(session, nodes, job_id, lease_seconds)
    if tokens is None:
        raise Busy
    return Claim(job_id, row.shard_id, row.playbook, row.full, nodes, tokens, head)


def carry(session: Session, held: Claim) -> Claim:
    """Let a job that holds its hosts carry everything that waits for them."""
    pending = sa.and_(Delivery.shard_id == held.shard_id, Delivery.state == "pending")
    changed = set(session.scalars(sa.select(Delivery.node_id).where(pending, Delivery.kind == "node").distinct()))
    playbook = SITE if changed else held.playbook
    nodes = held.nodes
    if changed and not held.full:
        nodes = {name: id_ for name, id_ in nodes.items() if id_ in changed}
    session.execute(
        sa.update(Delivery)
        .where(pending, Delivery.node_id.in_(nodes.values()))
        .values(state="running", job_id=held.job_id, message="", retry_at=None)
        .execution_options(synchronize_session=False)
    )
    if playbook != held.playbook:
        session.execute(sa.update(Job).where(Job.id == held.job_id).values(playbook=playbook))
    return replace(held, playbook=playbook, nodes=nodes)


def mark_provisioning(session: Session, job_id: uuid.UUID) -> None:
    """Let the resources that a run carries say so; after the claim, since resources are locked before jobs."""
    for kind in registry:
        table = kind.model.__table__
        carried = sa.select(Delivery.resource_id).where(Delivery.job_id == job_id, Delivery.kind == kind.name)
        session.execute(
            sa.update(table)
            .where(table.c.id.in_(carried), table.c.status == "pending")
            .values(status="provisioning", updated_at=table.c.updated_at)
        )


def set_aside(session: Session, shard_id: uuid.UUID) -> int:
    """Do not send new work to nodes that did not answer lately; it waits for the same next try as the old work.

    A dead host would otherwise delay every change of its shard by a connection timeout. Returns how many deliveries
    were set aside. To be called before a claim, in a transaction of its own.
    """
    silent: dict[uuid.UUID, Any] = {
        row.node_id: row
        for row in session.execute(
            sa.select(
                Delivery.node_id,
                sa.func.max(Delivery.retry_at).label("retry_at"),
                sa.func.max(Delivery.tries).label("tries"),
                sa.func.max(Delivery.message).label("message"),
            )
            .where(Delivery.shard_id == shard_id, Delivery.state == "failed", Delivery.retry_at > clock(session))
            .group_by(Delivery.node_id)
        )
    }
    count = 0
    for node_id, row in silent.items():
        waiting = sa.and_(Delivery.node_id == node_id, Delivery.shard_id == shard_id, Delivery.state == "pending")
        ids: dict[str, list[uuid.UUID]] = {}
        for kind, id_ in session.execute(sa.select(Delivery.kind, Delivery.resource_id).where(waiting)):
            ids.setdefault(kind, []).append(id_)
        if not ids or "node" in ids:
            continue
        touch(session, ids)
        moved = session.execute(
            sa.update(Delivery)
            .where(waiting)
            .values(state="failed", message=row.message, retry_at=row.retry_at, tries=row.tries, job_id=None)
            .returning(Delivery.kind, Delivery.resource_id)
            .execution_options(synchronize_session=False)
        ).all()
        for kind, id_ in moved:
            ids.setdefault(kind, []).append(id_)
        count += len(moved)
        recompute(session, touch(session, ids))
    return count
