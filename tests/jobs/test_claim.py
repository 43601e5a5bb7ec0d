"""Claims and leases: one run per host, whoever asks and however often."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.db import now
from api.jobs import leases
from api.jobs.claim import Busy, claim, set_aside
from api.jobs.models import Job, Lease
from api.jobs.sql import clock

Make = Callable[[str], uuid.UUID]


def test_of_many_claims_one_gets_the_job(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = engine.queued("web-a").id
    barrier = threading.Barrier(12)

    def take(number: int) -> Any:
        barrier.wait()
        with engine.transaction() as session:
            return claim(session, job_id, str(number), 60)

    with ThreadPoolExecutor(12) as pool:
        taken = [found for found in pool.map(take, range(12)) if found]
    assert len(taken) == 1
    assert {delivery.job_id for delivery in engine.deliveries(state="running")} == {job_id}


def test_a_busy_host_leaves_the_job_queued_and_everything_as_it_was(engine: Any, fqdn: Make) -> None:
    fqdn("one.other.example")
    running = engine.claim("web-a")
    fqdn("two.other.example")
    waiting = engine.queued("web-a")
    with pytest.raises(Busy), engine.transaction() as session:
        claim(session, waiting.id, "test", 60)
    assert engine.queued("web-a").id == waiting.id
    assert len(engine.deliveries(state="pending", shard_id=engine.ids["web-a"])) == 2
    engine.end(running)
    assert engine.claim("web-a").job_id == waiting.id


def test_the_token_grows_with_every_run_and_over_releases(engine: Any, fqdn: Make) -> None:
    tokens = []
    for number in range(3):
        fqdn(f"n{number}.other.example")
        taken = engine.claim("web-a")
        tokens.append(taken.tokens["web1"])
        engine.end(taken)
    assert tokens == sorted(set(tokens))


def test_a_stale_holder_can_neither_renew_nor_release(engine: Any) -> None:
    old, new = uuid.uuid4(), uuid.uuid4()
    with engine.transaction() as session:
        stale = leases.acquire(session, ["a", "b"], old, 60)
        session.execute(sa.update(Lease).where(Lease.host == "a").values(expires_at=clock(session, -1)))
    with engine.transaction() as session:
        fresh = leases.acquire(session, ["a"], new, 60)
    assert fresh == {"a": stale["a"] + 1}
    with engine.transaction() as session:
        assert not leases.renew(session, old, stale, 60)
        leases.release(session, old, stale)
        assert leases.renew(session, new, fresh, 60)
    assert [row.holder for row in engine.all(sa.select(Lease).where(Lease.host == "a"))] == [new]


def test_all_hosts_or_none(engine: Any) -> None:
    with engine.transaction() as session:
        assert leases.acquire(session, ["b"], uuid.uuid4(), 60)
    with engine.maker() as session:
        assert leases.acquire(session, ["c", "b", "a"], uuid.uuid4(), 60) is None
        session.rollback()
    assert engine.all(sa.select(Lease.host).where(Lease.host.in_(["a", "c"]))) == []


def test_of_many_that_want_hosts_in_any_order_one_wins_and_none_waits_for_ever(engine: Any) -> None:
    barrier = threading.Barrier(10)
    hosts = [f"h{number}" for number in range(6)]

    def take(number: int) -> bool:
        barrier.wait()
        with engine.maker() as session:
            won = leases.acquire(session, hosts[number % 6 :] + hosts[: number % 6], uuid.uuid4(), 60)
            session.commit() if won else session.rollback()
            return bool(won)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(take, range(10))) == 1


def test_new_work_of_a_silent_node_waits_for_its_next_try(engine: Any, fqdn: Make) -> None:
    old = fqdn("old.other.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1")
    engine.fail(taken, "web2", "does not answer", again=True)
    engine.end(taken)
    new = fqdn("new.other.example")
    engine.run("lb-a")
    with engine.transaction() as session:
        assert set_aside(session, engine.ids["web-a"]) == 1
    taken = engine.claim("web-a")
    assert list(engine.document(taken).sent) == ["web1"]
    engine.report(taken, engine.document(taken), "web1")
    engine.end(taken)
    assert engine.status("fqdn", new) == engine.status("fqdn", old) == ("failed", "web2: does not answer")
    retries = {delivery.retry_at for delivery in engine.deliveries(node_id=engine.ids["web2"])}
    assert len(retries) == 1
    # A person who asks is not told to wait.
    engine.retry("fqdn", new)
    with engine.transaction() as session:
        assert set_aside(session, engine.ids["web-a"]) == 0
    assert list(engine.document(engine.claim("web-a")).sent) == ["web2"]


def test_resources_say_that_they_are_under_way(engine: Any, fqdn: Make) -> None:
    from api.jobs.claim import mark_provisioning

    id_ = fqdn("www.other.example")
    taken = engine.claim("web-a")
    with engine.transaction() as session:
        mark_provisioning(session, taken.job_id)
    assert engine.status("fqdn", id_) == ("provisioning", "")
    assert engine.all(sa.select(Job.started_at).where(Job.id == taken.job_id))[0] <= now()
