"""Points: kept from what hosts told, the newest of a resource, and those that have outlived their span.

A host is believed about the resources of its own shard, in the fields that the kind declares, as whole numbers; the
rest of what it says is dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import now
from api.core.fields import NUMBER_MOST
from api.core.kind import Kind, Usage, registry
from api.jobs.scope import belongs_to
from api.jobs.sql import chunks, insert, read_clock
from api.usage.models import DAILY, EVERY, HOURLY, KEPT, STATES, Point

#: host → what it told, as JSON values of any shape
Told = dict[str, Any]
Entry = tuple[str, dict[str, int]]


def measured(role: str | None = None) -> list[tuple[Kind, Usage]]:
    """Return the kinds of which hosts (of a role) tell the use."""
    return [(kind, kind.usage) for kind in registry if kind.usage and role in (None, kind.usage.role)]


def newest(kind: Kind, column: Any) -> Any:
    """Return the expression for one column of the newest point of each row of a kind."""
    mine = sa.and_(Point.kind == kind.name, Point.resource_id == kind.model.__table__.c.id)
    chosen = sa.select(column).where(mine).order_by(Point.at.desc()).limit(1)
    return chosen.correlate(kind.model.__table__).scalar_subquery()


def keep(session: Session, shard_id: uuid.UUID, told: Told) -> int:
    """Keep what the nodes of a shard told of its resources; return the number of points."""
    shard = session.get(registry["shard"].model, shard_id)
    if shard is None:
        return 0
    node = registry["node"].model
    nodes = session.scalars(sa.select(node.name).where(node.shard_id == shard_id).order_by(node.name))
    reports = [told[name] for name in nodes if isinstance(told.get(name), dict)]
    moment, count = read_clock(session), 0
    for kind, usage in measured(shard.role):
        entries = _entries(usage, reports)
        table = kind.model.__table__
        name = table.c[kind.title]
        for part in chunks(sorted(entries)):
            chosen = sa.select(table.c.id, name.label("name"), newest(kind, Point.at).label("last"))
            found = session.execute(chosen.where(belongs_to(kind, shard), name.in_(part))).all()
            rows = [
                {
                    "kind": kind.name,
                    "resource_id": row.id,
                    "at": moment,
                    "span": _span(row.last, moment),
                    "state": entries[row.name][0],
                    "numbers": entries[row.name][1],
                }
                for row in found
            ]
            if rows:
                session.execute(insert(session, Point.__table__).on_conflict_do_nothing(), rows)
            count += len(rows)
    return count


def _entries(usage: Usage, reports: list[dict[str, Any]]) -> dict[str, Entry]:
    """Return name → what is believed of it. One that several hosts have is that of the host where it is up."""
    found: dict[str, Entry] = {}
    for name, entry in _told(usage, reports):
        if name not in found or STATES.index(entry[0]) < STATES.index(found[name][0]):
            found[name] = entry
    return found


def _told(usage: Usage, reports: list[dict[str, Any]]) -> Iterator[tuple[str, Entry]]:
    for report in reports:
        listed = report.get(usage.key)
        for name, values in listed.items() if isinstance(listed, dict) else ():
            state = values.get("state") if isinstance(values, dict) else None
            if not isinstance(name, str) or not isinstance(state, str) or state not in STATES:
                continue
            numbers = {field: values[field] for field in usage.fields if _is_number(values.get(field))}
            if numbers or state != "up":
                yield name, (state, numbers)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MOST


def _span(last: datetime | None, moment: datetime) -> int:
    if last is None or last.date() != moment.date():
        return DAILY
    return HOURLY if last.hour != moment.hour else EVERY


def purge(session: Session) -> None:
    """Delete the points that have outlived their span."""
    old = [sa.and_(Point.span == span, Point.at < now() - age) for span, age in KEPT.items()]
    session.execute(sa.delete(Point).where(sa.or_(*old)).execution_options(synchronize_session=False))
