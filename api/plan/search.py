"""When shards are searched for drift. Any number of sweepers may look; each search is queued once."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.jobs.models import Job
from api.jobs.periodic import Periodic
from api.plan.models import Plan
from api.plan.start import lone

SEARCH = Periodic("drift_every", "drift_at", lambda shard: [shard.c.drift_policy != "off"])
#: (session) → the shards that are to be searched now
due = SEARCH.due


def begin(session: Session, shard_id: uuid.UUID) -> Job | None:
    """Queue the search of a shard, if it is still due; the job is published after the commit."""
    if not SEARCH.take(session, shard_id) or under_way(session, shard_id) is not None:
        return None
    return lone(session, shard_id, "check")


def under_way(session: Session, shard_id: uuid.UUID) -> Job | None:
    """Return the search of a shard that waits or runs."""
    planned = sa.exists().where(Plan.job_id == Job.id)
    live = sa.select(Job).where(Job.shard_id == shard_id, Job.purpose == "check", Job.state.in_(("queued", "running")))
    return session.scalar(live.where(~planned).limit(1))
