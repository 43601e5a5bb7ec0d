"""The status of resources, derived from the deliveries that are left.

    no delivery left      active (suspended where that is wished); gone when its deletion was wished
    pending or running    provisioning, deleting
    only failed ones      failed, with host and reason

A resource counts the deliveries of its parts too (an FQDN those of its platform-managed records).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import Base
from api.core.kind import Kind, registry
from api.jobs import tell
from api.jobs.models import Delivery
from api.jobs.parts import parts_of, whole_of
from api.jobs.sql import chunks, is_postgresql

#: kind → ids
Touched = dict[str, set[uuid.UUID]]
#: Hosts that a status message names; the rest is counted.
NAMED = 3


@dataclass(frozen=True)
class Gone:
    """A row that was deleted because nothing waits for it any longer."""

    kind: str
    id: uuid.UUID
    title: str
    brand_id: uuid.UUID | None


def touch(session: Session, ids: Mapping[str, Iterable[uuid.UUID]]) -> Touched:
    """Return the resources whose status may change with the deliveries of ``ids``, and lock their rows.

    To be called before the deliveries are changed: two hosts that report at once would otherwise each miss the other.
    """
    touched: Touched = {name: set(values) for name, values in ids.items() if name in registry}
    for name, values in list(touched.items()):
        kind = registry[name]
        whole = whole_of(kind)
        if whole is None:
            continue
        column = getattr(kind.model, str(kind.part_of))
        for part in chunks(sorted(values)):
            found = session.scalars(sa.select(column).where(kind.model.id.in_(part), column.is_not(None)))
            touched.setdefault(whole.name, set()).update(found)
    if is_postgresql(session):
        for kind in registry:
            for part in chunks(sorted(touched.get(kind.name, ()))):
                table = kind.model.__table__
                session.execute(
                    sa.select(table.c.id).where(table.c.id.in_(part)).order_by(table.c.id).with_for_update()
                ).all()
    return touched


def recompute(session: Session, touched: Touched, job_id: uuid.UUID | None = None) -> list[Gone]:
    """Set the status of locked resources, and announce it; return the rows that are gone now.

    ``job_id`` is the job that brought it about.
    """
    gone: list[Gone] = []
    # Children first: a parent whose deletion waited for them goes with the last one.
    for kind in reversed(list(registry)):
        for part in chunks(sorted(touched.get(kind.name, ()))):
            finished = _write(session, kind, part, job_id)
            removed = _remove(session, kind, finished)
            tell.gone(session, kind, {row.id: row for row in removed}, job_id)
            for row in removed:
                gone.append(Gone(kind.name, row.id, row.title, row.brand_id))
                if kind.parent is not None and row.parent is not None:
                    _touch_parent(session, kind, row.parent, touched)
    return gone


def _write(session: Session, kind: Kind, ids: Iterable[uuid.UUID], job_id: uuid.UUID | None) -> list[uuid.UUID]:
    """Write the statuses; return the ids of rows that wait for nothing but their removal."""
    table = kind.model.__table__
    ids = list(ids)
    suspended = table.c.suspended if "suspended" in table.c else sa.false()
    rows = session.execute(
        sa.select(
            table.c.id,
            table.c.generation,
            table.c.status,
            table.c.status_message,
            table.c.delete_requested,
            suspended.label("suspended"),
        ).where(table.c.id.in_(ids))
    ).all()
    left = _left(session, kind, ids)
    finished = []
    changes: dict[tuple[int, str, str], list[uuid.UUID]] = {}
    reached: dict[str, list[uuid.UUID]] = {}
    for row in rows:
        status, message = _judge(left.get(row.id, []), row.delete_requested, bool(row.suspended))
        if status == "gone":
            finished.append(row.id)
            status = "deleting"
        if (status, message) != (row.status, row.status_message):
            changes.setdefault((row.generation, status, message), []).append(row.id)
        if status != row.status and status in tell.TOPIC:
            reached.setdefault(status, []).append(row.id)
    for (generation, status, message), members in changes.items():
        # Not through the mapping: a report is no wish and must not disturb a client's revision.
        session.execute(
            sa.update(table)
            .where(table.c.id.in_(members), table.c.generation == generation)
            .values(status=status, status_message=message, updated_at=table.c.updated_at)
        )
    for status, members in reached.items():
        tell.resources(session, kind, members, status, job_id)
    return finished


def _judge(left: list[tuple[str, str, str]], deleting: bool, suspended: bool) -> tuple[str, str]:
    """Return status and message for the deliveries that are left: (state, message, host)."""
    if not left:
        return ("gone", "") if deleting else ("suspended" if suspended else "active", "")
    failures = sorted((host, message) for state, message, host in left if state == "failed")
    text = "; ".join(f"{host}: {message}" for host, message in failures[:NAMED])
    if len(failures) > NAMED:
        text += f"; and {len(failures) - NAMED} more"
    if len(failures) == len(left):
        return "failed", text
    return "deleting" if deleting else "provisioning", text


def _left(session: Session, kind: Kind, ids: list[uuid.UUID]) -> dict[uuid.UUID, list[tuple[str, str, str]]]:
    """Return the deliveries of each row and of its parts."""
    node = registry["node"].model.__table__
    left: dict[uuid.UUID, list[tuple[str, str, str]]] = {}
    queries = [
        sa.select(Delivery.resource_id, Delivery.state, Delivery.message, node.c.name).where(
            Delivery.kind == kind.name, Delivery.resource_id.in_(ids)
        )
    ]
    for part, column in parts_of(kind):
        queries.append(
            sa.select(column, Delivery.state, Delivery.message, node.c.name)
            .join(part.model, sa.and_(Delivery.kind == part.name, Delivery.resource_id == part.model.id))
            .where(column.in_(ids))
        )
    for query in queries:
        for id_, state, message, host in session.execute(query.join(node, node.c.id == Delivery.node_id)):
            left.setdefault(id_, []).append((state, message, host))
    return left


def _remove(session: Session, kind: Kind, ids: list[uuid.UUID]) -> list[Any]:
    """Delete the rows to which nothing refers any longer; return what is told of each."""
    if not ids:
        return []
    table = kind.model.__table__
    parent = table.c[kind.parent] if kind.parent else sa.null()
    brand, tenant = (table.c[name] if name in table.c else sa.null() for name in ("brand_id", "tenant_id"))
    free = [
        ~sa.exists().where(key.parent == table.c.id)
        for other in Base.metadata.tables.values()
        for key in other.foreign_keys
        if key.column.table is table and key.ondelete is None
    ]
    return list(
        session.execute(
            sa.delete(table)
            .where(table.c.id.in_(ids), table.c.delete_requested.is_(True), *free)
            .returning(
                table.c.id,
                table.c.generation,
                table.c[kind.title].label("title"),
                parent.label("parent"),
                brand.label("brand_id"),
                tenant.label("tenant_id"),
            )
        ).all()
    )


def _touch_parent(session: Session, kind: Kind, parent_id: uuid.UUID, touched: Touched) -> None:
    """Look at a parent again when its deletion was wished."""
    column = kind.model.__table__.c[kind.parent]
    target = next(iter(column.foreign_keys)).column.table
    parent = registry[target.name]
    wished = sa.select(target.c.id).where(target.c.id == parent_id, target.c.delete_requested.is_(True))
    if session.scalar(wished.with_for_update() if is_postgresql(session) else wished) is not None:
        touched.setdefault(parent.name, set()).add(parent_id)
