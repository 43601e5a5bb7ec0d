"""Waiting for the rest of a burst, so that it costs a few runs and not one after the other without an end."""

from __future__ import annotations

import time
import uuid

import sqlalchemy as sa

from api.jobs.models import Delivery, Job
from worker.context import Context

#: So many waiting deliveries are a burst; fewer are never made to wait.
BURST = 20
#: Seconds without a new change after which the burst is over.
PAUSE = 0.2
#: The wait is at most as long as the shard's last run took, within these seconds.
SHORTEST, LONGEST = 1.0, 5.0


def gather(context: Context, shard_id: uuid.UUID) -> None:
    """Return when a burst of changes of a shard is over, or has waited long enough; at once if there is none."""
    waiting = _waiting(context, shard_id)
    if waiting < BURST:
        return
    end = time.monotonic() + min(max(_last_run(context, shard_id), SHORTEST), LONGEST)
    while time.monotonic() < end:
        time.sleep(PAUSE)
        before, waiting = waiting, _waiting(context, shard_id)
        if waiting <= before:
            return


def _waiting(context: Context, shard_id: uuid.UUID) -> int:
    chosen = sa.select(sa.func.count()).where(Delivery.shard_id == shard_id, Delivery.state == "pending")
    with context.maker() as session:
        return session.scalar(chosen) or 0


def _last_run(context: Context, shard_id: uuid.UUID) -> float:
    chosen = (
        sa.select(Job.started_at, Job.ended_at)
        .where(Job.shard_id == shard_id, Job.started_at.is_not(None), Job.ended_at.is_not(None))
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )
    with context.maker() as session:
        row = session.execute(chosen).first()
    return (row.ended_at - row.started_at).total_seconds() if row else 0.0
