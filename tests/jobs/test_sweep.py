"""The sweeper: what was lost is found, what vanished is done again, and never twice at a time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.db import now
from api.jobs.finish import ATTEMPTS, VANISHED
from api.jobs.models import Delivery, Job, Lease
from api.jobs.sweep import LOCK, sweep

Make = Callable[[str], uuid.UUID]


def swept(engine: Any) -> list[uuid.UUID]:
    with engine.maker() as session, session.begin():
        return sweep(session)


def age(engine: Any, seconds: int = 3600) -> None:
    """Let everything have happened earlier."""
    with engine.maker() as session, session.begin():
        past = now() - timedelta(seconds=seconds)
        session.execute(sa.update(Job).where(Job.published_at.is_not(None)).values(published_at=past))
        session.execute(sa.update(Job).values(created_at=past))
        session.execute(sa.update(Job).where(Job.started_at.is_not(None)).values(started_at=past))
        session.execute(sa.update(Lease).values(expires_at=past))
        session.execute(sa.update(Delivery).where(Delivery.retry_at.is_not(None)).values(retry_at=past))


def test_a_message_that_was_lost_is_sent_again(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    wanted = {engine.queued("web-a").id, engine.queued("lb-a").id}
    with engine.maker() as session, session.begin():
        session.execute(sa.update(Job).values(published=1, published_at=now()))
    assert swept(engine) == []
    age(engine)
    assert set(swept(engine)) == wanted


def test_a_job_whose_hosts_are_busy_is_left_alone(engine: Any, fqdn: Make) -> None:
    fqdn("one.other.example")
    running = engine.claim("web-a")
    fqdn("two.other.example")
    with engine.maker() as session, session.begin():
        session.execute(sa.update(Job).values(created_at=now() - timedelta(hours=1)))
    assert swept(engine) == [engine.queued("lb-a").id]
    engine.end(running)
    assert set(swept(engine)) == {engine.queued("lb-a").id, engine.queued("web-a").id}


def test_a_run_that_vanished_is_abandoned_and_its_work_carried_by_another(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    lost = engine.claim("web-a")
    document = engine.document(lost)
    engine.report(lost, document, "web1")
    assert swept(engine) == []
    age(engine)
    again = swept(engine)
    assert again == [engine.queued("web-a").id]
    assert engine.all(sa.select(Job.state).where(Job.id == lost.job_id)) == ["abandoned"]
    # What the vanished one still has to say reaches nobody.
    engine.report(lost, document, "web2", failed={id_: "late"})
    engine.end(lost)
    assert engine.all(sa.select(Job.state).where(Job.id == lost.job_id)) == ["abandoned"]
    taken = engine.claim("web-a")
    assert taken.tokens["web2"] > lost.tokens["web2"]
    assert list(engine.document(taken).sent) == ["web2"]
    engine.report(taken, engine.document(taken), "web2")
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("active", "")


def test_a_full_converge_that_vanished_comes_back_full(engine: Any) -> None:
    from api.jobs.dispatch import ensure_job

    with engine.transaction() as session:
        ensure_job(session, engine.ids["web-a"], full=True)
    engine.claim("web-a")
    age(engine)
    swept(engine)
    assert engine.queued("web-a").full


def test_what_always_kills_its_run_is_given_up(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    for _ in range(ATTEMPTS + 1):
        engine.claim("web-a")
        age(engine)
        swept(engine)
    assert engine.status("fqdn", id_) == ("failed", f"web1: {VANISHED}; web2: {VANISHED}")


def test_a_host_that_did_not_answer_is_tried_again_later_and_later(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    pauses = []
    for _ in range(7):
        taken = engine.claim("web-a")
        document = engine.document(taken)
        if "web1" in document.sent:
            engine.report(taken, document, "web1")
        engine.fail(taken, "web2", "does not answer", again=True)
        engine.end(taken)
        retry_at = engine.deliveries(resource_id=id_)[0].retry_at
        pauses.append(round((retry_at - now()).total_seconds() / 5) * 5)
        assert swept(engine) == []
        assert engine.status("fqdn", id_) == ("failed", "web2: does not answer")
        age(engine)
        swept(engine)
        assert engine.status("fqdn", id_) == ("failed", "web2: does not answer")
    assert pauses == [15, 30, 60, 120, 240, 300, 300]
    engine.run("web-a")
    assert engine.status("fqdn", id_) == ("active", "")


def test_pending_work_without_a_job_gets_one(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    with engine.maker() as session, session.begin():
        session.execute(sa.delete(Job).where(Job.state == "queued"))
    assert engine.queued("web-a") is None
    swept(engine)
    assert engine.queued("web-a")
    assert engine.queued("lb-a")


def test_sweepers_do_not_meet(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    engine.claim("web-a")
    age(engine)
    barrier = threading.Barrier(6)

    def work(_number: int) -> list[uuid.UUID]:
        barrier.wait()
        return swept(engine)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    states = engine.all(sa.select(Job.state).where(Job.shard_id == engine.ids["web-a"]))
    assert states.count("abandoned") == 1
    assert states.count("queued") == 1


def test_only_one_sweeper_sweeps(engine: Any) -> None:
    if engine.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    with engine.maker() as other:
        other.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        with engine.maker() as session, session.begin():
            assert sweep(session) == []
        other.rollback()
