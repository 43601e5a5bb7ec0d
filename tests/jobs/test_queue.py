"""The queue only wakes: losing it, or its memory, loses no work."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis import Redis

from api.core.db import now
from api.jobs import queue as queue_module
from api.jobs.models import Job
from api.jobs.queue import DEFAULT, Publisher, queue_of
from worker.context import context_for
from worker.sweeper import once

Make = Callable[[str], uuid.UUID]


@pytest.fixture
def redis(engine: Any) -> Redis:
    connection = Redis.from_url(engine.settings.redis_url)
    connection.flushall()
    return connection


def waiting(redis: Redis, queue: str = DEFAULT) -> list[str]:
    return list(queue_of(queue, redis).job_ids)


def test_every_message_has_an_id_of_its_own_and_carries_only_the_job_id(engine: Any, fqdn: Make, redis: Redis) -> None:
    fqdn("www.other.example")
    job_id = engine.queued("web-a").id
    publish = Publisher(engine.settings, engine.maker)
    publish(job_id)
    publish(job_id)
    assert waiting(redis) == [f"job-{job_id}-1", f"job-{job_id}-2"]
    message = queue_of(DEFAULT, redis).fetch_job(f"job-{job_id}-1")
    assert message is not None
    assert (message.func_name, message.args) == ("worker.run.run", [str(job_id)])
    assert message.timeout > engine.settings.job_timeout


def test_a_job_goes_to_the_queue_of_its_shard_or_of_its_region(engine: Any, fqdn: Make, redis: Redis) -> None:
    engine.change("region", engine.ids["region"], queue="eu")
    engine.change("shard", engine.ids["lb-a"], queue="edge")
    fqdn("www.other.example")
    publish = Publisher(engine.settings, engine.maker)
    for shard in ("web-a", "lb-a"):
        publish(engine.queued(shard).id)
    assert waiting(redis) == []
    assert waiting(redis, "eu") == [f"job-{engine.queued('web-a').id}-1"]
    assert waiting(redis, "edge") == [f"job-{engine.queued('lb-a').id}-1"]


def test_a_job_that_somebody_took_is_not_published(engine: Any, fqdn: Make, redis: Redis) -> None:
    fqdn("www.other.example")
    publish = Publisher(engine.settings, engine.maker)
    publish(engine.claim("web-a").job_id)
    publish(uuid.uuid4())
    assert waiting(redis) == []


def test_without_a_queue_nothing_fails_and_the_sweeper_publishes_later(
    engine: Any, fqdn: Make, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "PAUSE", 0.1)
    fqdn("www.other.example")
    job_id = engine.queued("web-a").id
    away = Publisher(replace(engine.settings, redis_url=f"unix://{tmp_path}/nobody.sock"), engine.maker)
    begun = time.monotonic()
    for _ in range(20):
        away(job_id)
    assert time.monotonic() - begun < 2
    assert engine.queued("web-a").published_at is None
    with engine.maker() as session, session.begin():
        session.execute(sa.update(Job).values(created_at=now() - timedelta(seconds=10)))
    context = context_for(engine.settings)
    once(context)
    assert any(str(job_id) in name for name in waiting(redis))
    # Flushed: nobody was told, and the row says when that becomes suspicious.
    redis.flushall()
    once(context)
    assert waiting(redis) == []
    with engine.maker() as session, session.begin():
        session.execute(sa.update(Job).values(published_at=now() - timedelta(seconds=60)))
    once(context, purging=True)
    assert any(str(job_id) in name for name in waiting(redis))
    context.engine.dispose()
