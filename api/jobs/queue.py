"""Waking a worker: Redis carries ids only, and losing it loses no work."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress

import sqlalchemy as sa
import structlog
from redis import Redis, RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from api.core.db import Base, Maker, now
from api.core.settings import Settings
from api.jobs.models import Job

#: Where jobs go that no region, no shard and no template gives another queue.
DEFAULT = "default"
TASK = "worker.run.run"
#: Seconds without a try after Redis did not answer, so that a dead Redis does not slow down every request.
PAUSE = 2.0
#: RQ's own limit lies above ours, which ends a run in an orderly way.
GRACE = 120

log = structlog.get_logger(__name__)


def queue_of(name: str, connection: Redis) -> Queue:
    """Return a queue; a worker listens on one only: with two, one killed between pop and start loses the message."""
    return Queue(f"hostreeve-{name}", connection=connection, serializer=JSONSerializer)


def connect(settings: Settings, blocking: float | None = None) -> Redis:
    """Return a connection; ``blocking`` is the longest wait for an answer in seconds."""
    return Redis.from_url(settings.redis_url, socket_connect_timeout=1, socket_timeout=blocking)


class Publisher:
    """Tell the queue about a job: ``publisher(job_id)`` after the commit. Never raises."""

    def __init__(self, settings: Settings, maker: Maker) -> None:
        self._maker = maker
        self._timeout = settings.job_timeout + GRACE
        self._connection = connect(settings, blocking=2)
        self._pause_until = 0.0

    def __call__(self, job_id: uuid.UUID) -> None:
        """Publish; what fails here is found by the sweeper."""
        if time.monotonic() < self._pause_until:
            return
        try:
            with self._maker() as session, session.begin():
                number = session.scalar(
                    sa.update(Job)
                    .where(Job.id == job_id, Job.state == "queued")
                    .values(published=Job.published + 1, published_at=now())
                    .returning(Job.published)
                )
                name = session.scalar(_queue_name(job_id)) if number is not None else None
            if name is not None:
                queue_of(name, self._connection).enqueue_call(
                    TASK,
                    args=(str(job_id),),
                    # An id that RQ has seen may be refused or confused with its predecessor, so it never repeats.
                    job_id=f"job-{job_id}-{number}",
                    timeout=self._timeout,
                    result_ttl=0,
                    failure_ttl=60,
                )
        except (RedisError, OSError, sa.exc.SQLAlchemyError) as error:
            self._pause_until = time.monotonic() + PAUSE
            self._forget(job_id)
            log.warning("job not published", job=str(job_id), error=type(error).__name__)

    def _forget(self, job_id: uuid.UUID) -> None:
        """Take the time of the message back, so that the next sweep publishes and does not wait."""
        with suppress(sa.exc.SQLAlchemyError), self._maker() as session, session.begin():
            session.execute(sa.update(Job).where(Job.id == job_id, Job.state == "queued").values(published_at=None))


def _queue_name(job_id: uuid.UUID) -> sa.Select[str]:
    """Return the statement for the queue of a job: its shard's, or that of its region; a launch has its own."""
    shard, cluster, region, launch = (Base.metadata.tables[name] for name in ("shard", "cluster", "region", "launch"))
    return (
        sa.select(sa.func.coalesce(shard.c.queue, region.c.queue, launch.c.queue, DEFAULT))
        .select_from(Job)
        .outerjoin(shard, shard.c.id == Job.shard_id)
        .outerjoin(cluster, cluster.c.id == shard.c.cluster_id)
        .outerjoin(region, region.c.id == cluster.c.region_id)
        .outerjoin(launch, launch.c.job_id == Job.id)
        .where(Job.id == job_id)
    )
