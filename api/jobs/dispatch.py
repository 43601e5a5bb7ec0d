"""From a wish to the work that is left: deliveries and the queued job of a shard.

Everything here runs in the caller's transaction, next to the resource and its audit record. Ids of new jobs gather in
``session.info["outbox"]``; ``unit_of_work`` publishes them after the commit (``api.jobs.queue.Publisher``).

Rows are locked in one order everywhere: resources (parents first), then jobs, then deliveries.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from api.core.kind import Kind, registry
from api.jobs import tell
from api.jobs.models import GATHERS, Delivery, Job
from api.jobs.nodes import concerned, others
from api.jobs.parts import parts_of
from api.jobs.sql import chunks, insert, is_postgresql, read_clock
from api.jobs.status import recompute, touch

_QUEUED = sa.text(GATHERS)


def deliver(session: Session, kind: Kind, row: Any) -> list[Job]:
    """Make every node that must carry ``row`` owe its present generation; set its status.

    A row that concerns no host is ``active`` at once, and gone at once when its deletion was wanted.
    Returns the queued jobs that will carry it out.
    """
    session.flush()
    forget_node(session, kind, row)
    nodes = _nodes(session, (shard.id for shard in kind.shards(session, row)))
    if kind.name == "node":
        nodes = concerned(session, row, nodes)
    if not nodes:
        if row.delete_requested:
            tell.resource(session, kind, row, "deleted")
        _at_once(session, row)
        session.flush()
        if not row.delete_requested:
            tell.resource(session, kind, row, row.status)
        return []
    row.status, row.status_message = "deleting" if row.delete_requested else "pending", ""
    session.flush()
    jobs = ensure_jobs(session, {shard_id for _, shard_id in nodes})
    owe(session, kind, [(row.id, row.generation, node, shard) for node, shard in nodes])
    return jobs


def deliver_many(session: Session, kind: Kind, rows: Iterable[Any]) -> list[Job]:
    """Deliver many rows of a kind with a handful of statements.

    For changes that reach further than their own row, such as the suspension of a tenant with 1,000 names. Neither
    generation nor revision moves: nobody wished anything new of these rows.
    """
    session.flush()
    rows = sorted(rows, key=lambda row: row.id)
    shards = {row.id: [shard.id for shard in kind.shards(session, row)] for row in rows}
    nodes: dict[uuid.UUID, list[uuid.UUID]] = {}
    for node, shard in _nodes(session, {shard for wanted in shards.values() for shard in wanted}):
        nodes.setdefault(shard, []).append(node)
    owed = [
        (row.id, row.generation, node, shard)
        for row in rows
        for shard in shards[row.id]
        for node in nodes.get(shard, ())
    ]
    concerned = {entry[0] for entry in owed}
    _set_status(session, kind, [row for row in rows if row.id in concerned])
    for row in rows:
        if row.id not in concerned:
            _at_once(session, row)
    session.flush()
    jobs = ensure_jobs(session, {shard for *_, shard in owed})
    owe(session, kind, owed)
    return jobs


def announce(session: Session, node_id: uuid.UUID) -> None:
    """Tell the load balancers about a node that has just carried everything for the first time."""
    row, shards = others(session, node_id)
    nodes = _nodes(session, shards)
    ensure_jobs(session, {shard for _, shard in nodes})
    owe(session, registry["node"], [(row.id, row.generation, node, shard) for node, shard in nodes])


def _at_once(session: Session, row: Any) -> None:
    """Fulfil a wish that concerns no host."""
    if row.delete_requested:
        session.delete(row)
    else:
        row.status, row.status_message = "suspended" if getattr(row, "suspended", False) else "active", ""


def retry(session: Session, kind: Kind, row: Any) -> list[Job]:
    """Try again what failed of a row and of its parts, on the nodes where it failed; nothing else.

    Returns the queued jobs that will carry it out; none when nothing is missing.
    """
    session.flush()
    mine = _deliveries_of(kind, row.id)
    failed = session.execute(
        sa.select(Delivery.node_id, Delivery.shard_id).where(mine, Delivery.state == "failed").distinct()
    ).all()
    if not failed:
        return []
    row.status, row.status_message = "deleting" if row.delete_requested else "pending", ""
    session.flush()
    jobs = ensure_jobs(session, {shard for _, shard in failed})
    session.execute(
        sa.update(Delivery)
        .where(mine, Delivery.state == "failed")
        .values(state="pending", job_id=None, message="", retry_at=None, tries=0)
    )
    # A person asks: an unreachable node is tried now, not at the end of its back-off.
    moment = read_clock(session)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.node_id.in_({node for node, _ in failed}), Delivery.retry_at > moment)
        .values(retry_at=moment)
    )
    return jobs


def ensure_job(session: Session, shard_id: uuid.UUID, full: bool = False) -> Job:
    """Return the shard's queued job, made if there is none; ``full`` turns it into a converge of everything."""
    return ensure_jobs(session, [shard_id], full)[0]


def ensure_jobs(session: Session, shard_ids: Iterable[uuid.UUID], full: bool = False) -> list[Job]:
    """Return the queued job of each shard, in the order of the shards' ids.

    The rows are locked until the caller commits, so that a worker that claims one of them sees what the caller adds.
    """
    wanted = sorted(set(shard_ids))
    found: dict[uuid.UUID, Job] = {}
    while missing := [shard for shard in wanted if shard not in found]:
        for job in session.scalars(_queued(session, missing, full)):
            found[cast(uuid.UUID, job.shard_id)] = job
        for shard in missing:
            if shard in found:
                continue
            # A concurrent insert makes this wait and then do nothing; the next round locks the other's row,
            # unless a worker took it in between.
            created = session.scalar(
                insert(session, Job)
                .values(id=uuid.uuid4(), shard_id=shard, full=full)
                .on_conflict_do_nothing(index_elements=["shard_id"], index_where=_QUEUED)
                .returning(Job)
            )
            if created is not None:
                found[shard] = created
                session.info.setdefault("outbox", []).append(created.id)
    if full and any(not job.full for job in found.values()):
        for job in found.values():
            job.full = True
        session.flush()
    return [found[shard] for shard in wanted]


def forget_node(session: Session, kind: Kind, row: Any) -> None:
    """When a node goes, nobody waits for it any longer: settle what it owed."""
    if kind.name != "node" or not row.delete_requested:
        return
    owed: dict[str, set[uuid.UUID]] = {}
    for name, id_ in session.execute(
        sa.select(Delivery.kind, Delivery.resource_id).where(Delivery.node_id == row.id, Delivery.resource_id != row.id)
    ):
        owed.setdefault(name, set()).add(id_)
    touched = touch(session, owed)
    session.execute(sa.delete(Delivery).where(Delivery.node_id == row.id))
    recompute(session, touched)


def _queued(session: Session, shard_ids: Sequence[uuid.UUID], full: bool) -> Any:
    query = sa.select(Job).where(Job.shard_id.in_(shard_ids), _QUEUED).order_by(Job.shard_id)
    query = query.execution_options(populate_existing=True)
    return query.with_for_update(read=not full) if is_postgresql(session) else query


def _nodes(session: Session, shard_ids: Iterable[uuid.UUID]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return (node id, shard id) of every node that stays."""
    node = registry["node"].model
    return [
        (row.id, row.shard_id)
        for row in session.execute(
            sa.select(node.id, node.shard_id)
            .where(node.shard_id.in_(set(shard_ids)), node.delete_requested.is_(False))
            .order_by(node.id)
        )
    ]


def owe(session: Session, kind: Kind, owed: Sequence[tuple[uuid.UUID, int, uuid.UUID, uuid.UUID]]) -> None:
    """Write deliveries (resource id, generation, node id, shard id); a newer wish replaces an older one."""
    for part in chunks(owed):
        rows = [
            {
                "kind": kind.name,
                "resource_id": resource,
                "node_id": node,
                "shard_id": shard,
                "generation": generation,
                "state": "pending",
                "message": "",
                "tries": 0,
            }
            for resource, generation, node, shard in part
        ]
        # The rows go along as parameters: a statement that holds them all would be compiled anew each time.
        statement = insert(session, Delivery.__table__)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "resource_id", "node_id"],
                set_={
                    "generation": statement.excluded.generation,
                    "shard_id": statement.excluded.shard_id,
                    "state": "pending",
                    "job_id": None,
                    "message": "",
                    "retry_at": None,
                    "tries": 0,
                },
            ),
            rows,
        )


def _set_status(session: Session, kind: Kind, rows: Sequence[Any]) -> None:
    """Mark many rows as waiting, and the objects that stand for them."""
    for part in chunks(rows):
        for status, gone in (("pending", False), ("deleting", True)):
            ids = [row.id for row in part if row.delete_requested is gone]
            if ids:
                session.execute(
                    sa.update(kind.model.__table__)
                    .where(kind.model.__table__.c.id.in_(ids))
                    .values(status=status, status_message="")
                )
        for row in part:
            set_committed_value(row, "status", "deleting" if row.delete_requested else "pending")
            set_committed_value(row, "status_message", "")


def _deliveries_of(kind: Kind, resource_id: uuid.UUID) -> Any:
    """Return the condition for the deliveries of a row and of the rows that are part of it."""
    conditions = [sa.and_(Delivery.kind == kind.name, Delivery.resource_id == resource_id)]
    for part, column in parts_of(kind):
        ids = sa.select(part.model.id).where(column == resource_id)
        conditions.append(sa.and_(Delivery.kind == part.name, Delivery.resource_id.in_(ids)))
    return sa.or_(*conditions)
