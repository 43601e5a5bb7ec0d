"""From a wish to deliveries and queued jobs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from api.core.kind import registry
from api.jobs import dispatch
from api.jobs.models import Delivery, Job

Make = Callable[[str], uuid.UUID]


def test_a_name_is_owed_by_every_node_that_must_carry_it(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    assert engine.status("fqdn", id_) == ("pending", "")
    owed = {(delivery.node_id, delivery.generation) for delivery in engine.deliveries(resource_id=id_)}
    assert owed == {(engine.ids[name], 1) for name in ("web1", "web2", "lb1")}
    assert engine.queued("web-a")
    assert engine.queued("lb-a")
    assert engine.queued("dns-a") is None


def test_what_waits_for_a_shard_shares_one_job_that_is_published_once(engine: Any, fqdn: Make) -> None:
    first = fqdn("a.other.example")
    jobs = {engine.queued("web-a").id, engine.queued("lb-a").id}
    assert set(engine.published) == jobs
    for number in range(5):
        fqdn(f"b{number}.other.example")
    engine.change("fqdn", first)
    assert set(engine.published) == jobs
    assert len(engine.published) == 2
    assert len(engine.all(sa.select(Job).where(Job.state == "queued"))) == 2


def test_a_rollback_publishes_nothing(engine: Any) -> None:
    try:
        with engine.transaction() as session:
            dispatch.ensure_job(session, engine.ids["web-a"])
            raise ValueError
    except ValueError:
        pass
    assert engine.published == []
    assert engine.queued("web-a") is None


def test_concurrent_requests_make_one_job(engine: Any) -> None:
    barrier = threading.Barrier(12)

    def ask(_number: int) -> uuid.UUID:
        barrier.wait()
        with engine.transaction() as session:
            return dispatch.ensure_job(session, engine.ids["web-a"]).id

    with ThreadPoolExecutor(12) as pool:
        found = set(pool.map(ask, range(12)))
    assert found == {engine.queued("web-a").id}
    assert engine.published == [engine.queued("web-a").id]


def test_a_claim_waits_for_a_request_that_joined_the_job(engine: Any, fqdn: Make) -> None:
    """What a request adds to a queued job is carried by that job, or by a new one; never by none."""
    fqdn("first.other.example")
    joined, id_ = threading.Event(), uuid.uuid4()
    done: list[Any] = []

    def take() -> None:
        joined.wait()
        done.append(engine.claim("lb-a"))

    thread = threading.Thread(target=take)
    thread.start()
    with engine.transaction() as session:
        dispatch.ensure_job(session, engine.ids["lb-a"])
        session.execute(
            sa.insert(Delivery).values(
                kind="fqdn",
                resource_id=id_,
                node_id=engine.ids["lb1"],
                shard_id=engine.ids["lb-a"],
                generation=1,
                state="pending",
                message="",
                tries=0,
            )
        )
        joined.set()
        # Time for a claim that does not wait to take the job away.
        thread.join(0.3)
    thread.join()
    assert [delivery.job_id for delivery in engine.deliveries(resource_id=id_)] == [done[0].job_id]


def test_a_change_during_a_run_waits_in_a_new_job(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    taken = engine.claim("web-a")
    jobs = engine.change("fqdn", id_)
    assert taken.job_id not in {job.id for job in jobs}
    pending = [delivery.generation for delivery in engine.deliveries(resource_id=id_, state="pending")]
    assert pending == [2, 2, 2]


def test_what_concerns_no_host_is_active_at_once_and_gone_at_once(engine: Any) -> None:
    id_ = engine.add("region", name="us-1")
    assert engine.status("region", id_) == ("active", "")
    engine.delete("region", id_)
    assert engine.status("region", id_) == ("gone", "")


def test_many_rows_are_delivered_with_a_handful_of_statements(engine: Any) -> None:
    with engine.transaction() as session:
        model = registry["fqdn"].model
        session.add_all(
            model(brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn=f"n{number}.other.example")
            for number in range(300)
        )
    with engine.transaction() as session:
        rows = session.scalars(sa.select(registry["fqdn"].model)).all()
        shards = {row.id: list(registry["fqdn"].shards(session, row)) for row in rows[:1]}
        statements: list[str] = []
        kind = registry["fqdn"]
        flat = type(kind)(**{**vars(kind), "shards": lambda session, row: shards[rows[0].id]})

        def count(_c: Any, _u: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        sa.event.listen(session.get_bind(), "before_cursor_execute", count)
        dispatch.deliver_many(session, flat, rows)
        sa.event.remove(session.get_bind(), "before_cursor_execute", count)
        assert len(statements) < 15
        assert {row.status for row in rows} == {"pending"}
    assert len(engine.deliveries(kind="fqdn")) == 900


def test_retry_re_drives_only_what_failed(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.acme.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1")
    engine.report(taken, document, "web2", failed={id_: "no space left"})
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("failed", "web2: no space left")
    jobs = engine.retry("fqdn", id_)
    assert [job.shard_id for job in jobs] == [engine.ids["web-a"]]
    taken = engine.claim("web-a")
    document = engine.document(taken)
    assert list(document.sent) == ["web2"]
    engine.report(taken, document, "web2")
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("active", "")
    assert engine.retry("fqdn", id_) == []


def test_retry_of_a_name_reaches_its_records(engine: Any, fqdn: Make) -> None:
    engine.add("lb_address", address="192.0.2.1", cluster_id=engine.ids["cluster"])
    id_ = fqdn("www.acme.example")
    for shard in ("lb-a", "web-a"):
        engine.run(shard)
    taken = engine.claim("dns-a")
    for host in taken.nodes:
        engine.fail(taken, host, "does not answer", again=True)
    engine.end(taken)
    assert engine.status("fqdn", id_) == ("failed", "dns1: does not answer; dns2: does not answer")
    assert [job.shard_id for job in engine.retry("fqdn", id_)] == [engine.ids["dns-a"]]
    engine.run("dns-a")
    assert engine.status("fqdn", id_) == ("active", "")


def test_nobody_waits_for_a_node_that_goes(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    engine.run("lb-a")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1")
    engine.fail(taken, "web2", "does not answer", again=True)
    engine.end(taken)
    assert engine.status("fqdn", id_)[0] == "failed"
    engine.delete("node", engine.ids["web2"])
    assert engine.status("fqdn", id_) == ("active", "")
    assert engine.status("node", engine.ids["web2"])[0] == "deleting"
    taken = engine.claim("lb-a")
    assert taken.playbook == "site.yml"
    shards = engine.document(taken).body["groups"]["shard_lb_a"]["vars"]["lb_shards"]
    assert [node["name"] for node in shards[0]["nodes"]] == ["web1"]
    engine.report(taken, engine.document(taken), "lb1")
    engine.end(taken)
    assert engine.status("node", engine.ids["web2"]) == ("gone", "")


def test_balancers_learn_about_a_new_node_once_it_carries_everything(engine: Any) -> None:
    id_ = engine.add("node", name="web3", address="10.0.0.13", shard_id=engine.ids["web-a"])
    assert engine.queued("lb-a") is None
    assert {delivery.node_id for delivery in engine.deliveries(kind="node")} == {id_}
    taken = engine.claim("web-a")
    assert (taken.playbook, list(taken.nodes)) == ("site.yml", ["web3"])
    assert set(taken.tokens) == {"web1", "web2", "web3"}
    document = engine.document(taken)
    assert len(document.body["groups"]["shard_web_a"]["vars"]["web_webroots"]) == 1
    engine.report(taken, document, "web3")
    engine.end(taken)
    assert engine.status("node", id_)[0] == "provisioning"
    engine.run("lb-a")
    assert engine.status("node", id_) == ("active", "")
