"""Which resources the ids of a prediction stand for, and what people call them."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.sql import chunks
from api.plan.prediction import LONGEST_NAME, Entry


def name(session: Session, entries: list[Entry]) -> None:
    """Put kind, id and title into the entries whose name is the id of a resource."""
    unknown: dict[uuid.UUID, list[Entry]] = {}
    for entry in entries:
        if (id_ := _id(entry["name"])) is not None:
            unknown.setdefault(id_, []).append(entry)
    for kind in registry:
        if not kind.carries:
            continue
        table: Any = kind.model.__table__
        for part in chunks(sorted(unknown)):
            for id_, title in session.execute(sa.select(table.c.id, table.c[kind.title]).where(table.c.id.in_(part))):
                for entry in unknown.pop(id_):
                    entry.update(kind=kind.name, resource_id=str(id_), name=str(title)[:LONGEST_NAME])


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
