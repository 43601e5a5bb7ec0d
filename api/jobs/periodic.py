"""What is done for every shard each so many minutes. Any number of sweepers may look; each turn is taken once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.sql import clock, read_clock

#: Shards that one look takes on.
MOST = 100


@dataclass(frozen=True)
class Periodic:
    """A turn of every shard: the columns that hold how often it comes (minutes) and when next (null: never)."""

    every: str
    at: str
    #: (table of shards) → further conditions
    where: Callable[[Any], list[sa.ColumnElement[bool]]] = lambda table: []

    def due(self, session: Session, *where: sa.ColumnElement[bool]) -> list[uuid.UUID]:
        """Return the shards whose turn has come, the one that waits longest first."""
        table: Any = registry["shard"].model.__table__
        chosen = sa.select(table.c.id).where(table.c[self.at] <= clock(session), *self.where(table), *where)
        return list(session.scalars(chosen.order_by(table.c[self.at]).limit(MOST)))

    def take(self, session: Session, shard_id: uuid.UUID) -> bool:
        """Take the turn of a shard, if it is still due: whoever moves the time on has it."""
        table: Any = registry["shard"].model.__table__
        at, every = table.c[self.at], table.c[self.every]
        row = session.execute(sa.select(at.label("at"), every.label("every")).where(table.c.id == shard_id)).first()
        moment = read_clock(session)
        if row is None or row.at is None or row.at > moment:
            return False
        # Not through the mapping: it disturbs no client's revision.
        moved: Any = session.execute(
            sa.update(table)
            .where(table.c.id == shard_id, at == row.at, *self.where(table))
            .values({at: moment + timedelta(minutes=row.every), table.c.updated_at: table.c.updated_at})
        )
        return bool(moved.rowcount) and _has_nodes(session, shard_id)


def _has_nodes(session: Session, shard_id: uuid.UUID) -> bool:
    node = registry["node"].model
    nodes = sa.select(node.id).where(node.shard_id == shard_id, node.delete_requested.is_(False)).limit(1)
    return session.scalar(nodes) is not None
