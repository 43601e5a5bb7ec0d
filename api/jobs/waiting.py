"""Which queued jobs wait for hosts: those of the hosts' shards, and launches, which may want any host."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.models import Job
from api.jobs.sql import chunks

#: Launches that are told at once that something ended; the sweeper tells the others.
MOST = 20


def waiting_for(session: Session, hosts: Iterable[str], shard_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Return the queued jobs to tell that hosts are free: of their shards and of ``shard_id``, then launches."""
    node = registry["node"].model
    queued = sa.select(Job.id).where(Job.state == "queued").order_by(Job.created_at)
    found: dict[uuid.UUID, None] = {}
    if shard_id is not None:
        found.update(dict.fromkeys(session.scalars(queued.where(Job.shard_id == shard_id))))
    for part in chunks(hosts):
        shards = sa.select(node.shard_id).where(node.name.in_(part))
        found.update(dict.fromkeys(session.scalars(queued.where(Job.shard_id.in_(shards)))))
    found.update(dict.fromkeys(session.scalars(queued.where(Job.shard_id.is_(None)).limit(MOST))))
    return list(found)
