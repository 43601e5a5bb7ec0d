"""When shards are searched for drift. Any number of sweepers may look; each search is queued once."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.jobs.models import Job
from api.jobs.sql import clock, read_clock
from api.kinds.node import Node
from api.kinds.shard import Shard
from api.plan.models import Plan
from api.plan.start import lone

#: Shards that one look takes on.
MOST = 100


def due(session: Session) -> list[uuid.UUID]:
    """Return the shards that are to be searched now."""
    chosen = sa.select(Shard.id).where(Shard.drift_policy != "off", Shard.drift_at <= clock(session))
    return list(session.scalars(chosen.order_by(Shard.drift_at).limit(MOST)))


def begin(session: Session, shard_id: uuid.UUID) -> Job | None:
    """Queue the search of a shard, if it is still due; the job is published after the commit."""
    row = session.execute(sa.select(Shard.drift_at, Shard.drift_every).where(Shard.id == shard_id)).one_or_none()
    moment = read_clock(session)
    if row is None or row.drift_at is None or row.drift_at > moment:
        return None
    # Whoever moves the time on has this search. Not through the mapping: it disturbs no client's revision.
    table: Any = Shard.__table__
    moved = session.execute(
        sa.update(table)
        .where(table.c.id == shard_id, table.c.drift_policy != "off", table.c.drift_at == row.drift_at)
        .values(drift_at=moment + timedelta(minutes=row.drift_every), updated_at=table.c.updated_at)
    )
    if not moved.rowcount or under_way(session, shard_id) is not None:  # type: ignore[attr-defined]
        return None
    nodes = sa.select(Node.id).where(Node.shard_id == shard_id, Node.delete_requested.is_(False)).limit(1)
    return None if session.scalar(nodes) is None else lone(session, shard_id, "check")


def under_way(session: Session, shard_id: uuid.UUID) -> Job | None:
    """Return the search of a shard that waits or runs."""
    planned = sa.exists().where(Plan.job_id == Job.id)
    live = sa.select(Job).where(Job.shard_id == shard_id, Job.purpose == "check", Job.state.in_(("queued", "running")))
    return session.scalar(live.where(~planned).limit(1))
